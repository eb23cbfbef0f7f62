# With a spool, acknowledgements go on while PostgreSQL is away, and nothing is lost, doubled or altered: PostgreSQL stopped
# twice, for 8 and 4 s, the server killed during the first outage, half of the samples without a time of their own.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
outage=8
seconds=$((outage + 25))
start_postgres
start_server "spool_dir=$TEST_VAR/spool" spool_after=1s
devices=100 secret=spool-test-secret
ledger=$SIGNALBOX_TEST_DIR/ledger.csv
API_TYPE=text/csv api POST /v1/devices/import "$("$SIGNALBOX_BUILD/bench_ledger" --csv --devices $devices --secret $secret)" >/dev/null
"$SIGNALBOX_BUILD/bench_ledger" --devices $devices --secret $secret --host 127.0.0.1 --port "$SIGNALBOX_MQTT_PORT" \
    --cafile "$SIGNALBOX_CA" --file "$ledger" --seconds $seconds --rate 1000 --values 5 --server-ts 50% --retry-fast --drain 60s \
    >"$SIGNALBOX_TEST_DIR/ledger.log" 2>&1 &
client=$!
acknowledged() { grep -c ',acked$' "$ledger" || true; }
spool_is_empty() { [[ $(metric spooling) == 0 && $(metric spool_bytes) == 0 ]]; }

sleep 3
stop_postgres
sleep 3
expect "the server says that it spools" "$(metric spooling)" 1
before=$(acknowledged)
sleep $((outage - 3))
gained=$(($(acknowledged) - before))
((gained > (outage - 4) * 1000 * 5 / 2)) || fail "only $gained values were acknowledged while PostgreSQL was away"
(($(metric spool_bytes) > 0)) || fail "nothing is in the spool"
kill_server
start_postgres
start_server
wait_until 30 spool_is_empty || fail "the spool is not empty after a restart: $(metric spool_bytes) bytes"
sleep 2
stop_postgres
sleep 4
start_postgres
wait $client || fail "the client: $(tail -n 3 "$SIGNALBOX_TEST_DIR/ledger.log")"
wait_until 30 spool_is_empty || fail "the spool is not empty after the outage: $(metric spool_bytes) bytes"
tail -n 1 "$SIGNALBOX_TEST_DIR/ledger.log"
python3 "$SIGNALBOX_ROOT/tests/system/parts/ledger_verify.py" "$ledger" "$(cat "$SIGNALBOX_TEST_DIR/database_url")" || fail "see above"
expect "the balance adds up" "$(($(metric messages_received_total) - $(metric messages_committed_total) - $(metric messages_duplicate_total) - \
    $(metric messages_rejected_total)))" "$(metric messages_in_flight)"
expect "nothing is in flight" "$(metric messages_in_flight)" 0
