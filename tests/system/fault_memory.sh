# A server with little memory, and devices that cost it as much as they may: some subscribe and never read, some stop in the middle of
# the largest packets that there are, with all that MQTT 5 can add to them, some send nothing but large payloads; and PostgreSQL is away
# for a while. The kernel never has to kill the server: a device whose message cannot be taken is not read, then nobody new is let in,
# then the fullest connections are closed. Those who keep to small messages are not closed, and lose nothing.
# 128 MiB and 200 such devices for half a minute; with SIGNALBOX_FULL=1 512 MiB, 1,600 of them beside 2,000 others, ten minutes.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
# shellcheck source=parts/memcg.sh
. "$PARTS/memcg.sh"
fault_undo() {
    kill "${GREEDY_PID:-}" 2>/dev/null
    memcg_end
}
memory_mib=128 budget_mib=24 devices=100 greedy=(40 140 20) down=12 times=1
full && memory_mib=512 budget_mib=128 devices=2000 greedy=(500 1000 100) down=50 times=5

! sanitized || skip "a sanitized server needs more memory than it is allowed here"
memcg_new $memory_mib
start_postgres
memcg_run start_server "${SPOOL[@]}" in_flight_max=${budget_mib}MiB buffers_max=${budget_mib}MiB
# shellcheck disable=SC1091
. "$SIGNALBOX_TEST_DIR/server.env"
load_devices $devices
"$SIGNALBOX_BUILD/bench_ledger" --csv --prefix greedy- --devices 1600 --secret $LOAD_SECRET >"$SIGNALBOX_TEST_DIR/greedy.csv"
API_TYPE=text/csv api POST /v1/devices/import "@$SIGNALBOX_TEST_DIR/greedy.csv" >/dev/null
pid=$(server_pid)
watch_start
load_start --seconds 1d --rate $devices --values 5 --server-ts 50% --ramp 50 --drain 120s
wait_until 120 eval '(($(metric sessions_online) == devices))' || fail "only $(metric sessions_online) devices are there"
python3 "$PARTS/fault_memory.py" "$SIGNALBOX_TEST_DIR/greedy.csv" "${greedy[@]}" >"$SIGNALBOX_TEST_DIR/greedy.log" 2>&1 &
GREEDY_PID=$!
for ((i = 0; i < times; i++)); do
    sleep $down
    stop_postgres
    note down
    sleep $down
    note up
    start_postgres
    wait_ready 30 || fail "the server does not come back"
done
sleep 5
kill -TERM "$GREEDY_PID"
wait "$GREEDY_PID" || fail "the greedy: $(tail -n 3 "$SIGNALBOX_TEST_DIR/greedy.log")"
kill -TERM "$LOAD_PID"
load_end
wait_until 30 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
expect "times the kernel killed for lack of memory" "$(memcg_killed)" 0
expect "the server's process" "$(server_pid)" "$pid"
expect "the server lives" "$(server_lives && echo yes)" yes
figure "MiB allowed / MiB of the server at most" "$memory_mib / $(watched rss_mib_max)"
figure "MiB of the group at most, page cache included" "$(memcg_peak_mib)"
figure "the greedy: $(cat "$SIGNALBOX_TEST_DIR/greedy.log")" ""
expect "PUBACKs while PostgreSQL was away" "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --between down up "${LOAD_BOOKS[@]}")" 0
at_least "connections closed because all buffers were full" "$(metric connections_shed_total)" 1
expect "devices with small messages among the fullest, as far as the log tells" \
    "$(grep 'among the fullest' "$TEST_LOG" | grep -c '"device":"ledger-' || true)" 0
full || expect "connections of devices with small messages that were closed" "$(load_count lost_connections)" 0
at_most "ms /livez took, p99" "$(watched livez_ms_p99)" 1000
load_verify
