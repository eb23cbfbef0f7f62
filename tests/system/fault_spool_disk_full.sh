# A spool whose disk is full stops acknowledgements and nothing else, and goes on by itself when there is room. First the disk is full
# before PostgreSQL goes away. Then the spool itself fills it, down to the reserve that it leaves to others; the server is killed and
# starts again with the disk full to its last byte. At last all three disks are full: the spool's, that of the tables, that of
# PostgreSQL's log, and PostgreSQL is down. 3 s each, with SIGNALBOX_FULL=1 60 s.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/mounts.sh
. "$SIGNALBOX_ROOT/tests/system/parts/mounts.sh"
own_world
# shellcheck source=parts/fault.sh
. "$SIGNALBOX_ROOT/tests/system/parts/fault.sh"
fault_undo() { unmount; }
full_for=3 reserve_mib=64 spool=$TEST_VAR/spool
full && full_for=60

start_postgres
start_server spool_dir=
load_devices 100
large=$(device large-1)
stop_server
stop_postgres
move_to_small "$TEST_PG/data/base" 128m
move_to_small "$TEST_PG/data/pg_wal" 120m
mount_small "$spool" 200m
settings=(min_wal_size=32MB max_wal_size=64MB)
start_postgres "${settings[@]}"
start_server "spool_dir=$spool" spool_after=500ms packet_max=2MiB
watch_start
load_start --seconds 1d --rate 500 --values 5 --server-ts 50% --retry-fast --drain 90s
sleep 2

logged() { grep -vc '"event":"session_' "$TEST_LOG"; } # devices that give up and come again are told apart
said() { grep -c "\"event\":\"$1\"" "$TEST_LOG" || true; }
spool_fills() { # MOMENT : from when the server says so, for a while
    local lines
    wait_until 10 eval '(($(said spool_full) > $(said spool_works_again)))' || fail "it is not said that the spool is full"
    note "$1"
    lines=$(logged)
    sleep $full_for
    expect "ready while it is full" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
    at_most "lines of log, one a second and three" $(($(logged) - lines)) $((full_for + 3))
    note "$1_over"
}
stored_and_quiet() {
    (($(metric messages_in_flight) < 1000)) && [[ $(metric spooling) == 0 && $(metric spool_bytes) == 0 ]]
}

# The disk is full before there is a spool on it.
fill "$spool"
stop_postgres
spool_fills before
unfill "$spool"
wait_until 10 eval '(($(said spool_works_again) == 1))' || fail "the spool does not work again although there is room"

# The spool fills the disk down to the reserve, where one more segment fits in: messages of 1 MiB, until there is no answer.
free_mib() { df --output=avail -B 1M "$spool" | tail -n 1; }
dd if=/dev/zero of="$spool/ballast" bs=1M count=$(($(free_mib) - reserve_mib - 24)) status=none
for ((sent = 0; sent < 1000; sent++)); do
    printf '{"ts":%d,"values":{"t":%d%*s}}' $((1700000000000 + sent)) "$sent" $((1 << 20)) "" >"$SIGNALBOX_TEST_DIR/large.json"
    timeout 4 mosquitto_pub --cafile "$SIGNALBOX_CA" -h localhost -p "$SIGNALBOX_MQTT_PORT" -u "$large" -q 1 -V mqttv5 \
        -t v1/devices/me/telemetry -f "$SIGNALBOX_TEST_DIR/large.json" || break
done
spool_fills itself
at_least "large messages acknowledged before it was full" $sent 16
at_least "MiB left to others" "$(free_mib)" $reserve_mib

# Killed, and started on a disk without a byte left: what the spool has must come out all the same.
fill "$spool"
kill_server
start_postgres "${settings[@]}"
note restart
start_server
pid=$(server_pid)
wait_until 20 stored_and_quiet || fail "the spool is not empty: $(metric spool_bytes) bytes"
unfill "$spool"
expect "large messages stored" "$(sql "SELECT count(*) FROM reading_values WHERE device = 'large-1' AND value < $sent")" $sent

# Every disk is full, and PostgreSQL has not even room to go on.
fill "$spool"
fill "$TEST_PG/data/pg_wal"
log_runs_out
fill "$TEST_PG/data/base"
wait_until 20 eval '[[ $(metric spooling) == 1 ]]' || fail "the server does not notice that PostgreSQL is gone"
spool_fills all
unfill "$spool"
unfill "$TEST_PG/data/base"
unfill "$TEST_PG/data/pg_wal"
start_postgres "${settings[@]}"
note back
wait_until 20 stored_and_quiet || fail "the server does not recover: $(metric spool_bytes) bytes in the spool, $(metric messages_in_flight) messages in flight"
kill -TERM "$LOAD_PID"
load_end
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
expect "the server's process" "$(server_pid)" "$pid"
expect "the server lives" "$(server_lives && echo yes)" yes
for moment in before itself all; do
    expect "PUBACKs while the spool was full, $moment" \
        "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --between $moment ${moment}_over "${LOAD_BOOKS[@]}")" 0
done
at_most "ms from room in the spool to the first PUBACK" "$(since before_over)" 10000
at_most "ms from a restart on the full disk to the first PUBACK" "$(since restart)" 10000
at_most "ms from PostgreSQL's return to the first PUBACK" "$(since back)" 10000
load_verify
