# Nothing acknowledged is lost, doubled or altered when the server and PostgreSQL are killed under load. The client keeps its
# own book and trusts nothing. 4 kills of the server and 2 of PostgreSQL; with SIGNALBOX_FULL=1 20 and 10.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
server_kills=4 postgres_kills=2
[[ ${SIGNALBOX_FULL:-} == 1 ]] && server_kills=20 postgres_kills=10
kills=$((server_kills + postgres_kills))
seconds=$((kills * 5 + 5))

start_postgres
start_server
devices=200 secret=durability-secret
ledger=$SIGNALBOX_TEST_DIR/ledger.csv
API_TYPE=text/csv api POST /v1/devices/import "$("$SIGNALBOX_BUILD/bench_ledger" --csv --devices $devices --secret $secret)" >/dev/null

"$SIGNALBOX_BUILD/bench_ledger" --devices $devices --secret $secret --host 127.0.0.1 --port "$SIGNALBOX_MQTT_PORT" \
    --cafile "$SIGNALBOX_CA" --file "$ledger" --seconds $seconds --rate 2000 --values 5 --server-ts 50% --retry-fast --drain 60s \
    >"$SIGNALBOX_TEST_DIR/ledger.log" 2>&1 &
client=$!
for ((i = 0; i < kills; i++)); do
    sleep "$((RANDOM % 3 + 1)).$((RANDOM % 10))"
    if ((i % 3 == 2 && postgres_kills > 0)); then
        postgres_kills=$((postgres_kills - 1))
        kill_postgres
        sleep 1
        start_postgres
        wait_ready 30 || fail "the server does not come back after PostgreSQL was killed"
    else
        kill_server
        start_server
    fi
done
wait $client || fail "the client: $(tail -n 5 "$SIGNALBOX_TEST_DIR/ledger.log")"
tail -n 1 "$SIGNALBOX_TEST_DIR/ledger.log"
python3 "$SIGNALBOX_ROOT/tests/system/parts/ledger_verify.py" "$ledger" "$(cat "$SIGNALBOX_TEST_DIR/database_url")" || fail "see above"
