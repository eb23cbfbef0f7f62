# A full disk stops acknowledgements and nothing else. First the tables' disk: PostgreSQL refuses with 53100 and recovers by itself
# when there is room. Then the disk of its log: PostgreSQL goes down and is started again. Nothing is lost either way.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/mounts.sh
. "$SIGNALBOX_ROOT/tests/system/parts/mounts.sh"
own_world
# shellcheck source=parts/fault.sh
. "$SIGNALBOX_ROOT/tests/system/parts/fault.sh"
fault_undo() { unmount; }
full_for=4
full && full_for=60

start_postgres
start_server "${SPOOL[@]}"
load_devices 100
stop_server
stop_postgres
move_to_small "$TEST_PG/data/base" 96m
move_to_small "$TEST_PG/data/pg_wal" 120m
settings=(min_wal_size=32MB max_wal_size=64MB)
start_postgres "${settings[@]}"
start_server
pid=$(server_pid)
watch_start
load_start --seconds 1d --rate 1000 --values 5 --server-ts 50% --drain 90s
sleep 3

lines_before=$(wc -l <"$TEST_LOG")
fill "$TEST_PG/data/base"
began=${EPOCHREALTIME/[.,]/}
wait_until 30 eval '[[ $(metric store_up) == 0 ]]' || fail "a full disk is not noticed"
note full
at_least "times PostgreSQL said that the disk is full" "$(grep -c 'No space left on device' "$TEST_PG/log")" 1
sleep $full_for
expect "ready while the disk is full" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000000 + 1))
note room
unfill "$TEST_PG/data/base"
wait_ready 10 || fail "the server does not recover when the disk has room again"
at_most "lines of log a second, times 10" $((($(wc -l <"$TEST_LOG") - lines_before) * 10 / took)) 20
sleep 2

fill "$TEST_PG/data/pg_wal"
log_runs_out
note wal_full
at_least "times PostgreSQL panicked" "$(grep -c 'PANIC' "$TEST_PG/log")" 1
sleep $full_for
expect "ready while PostgreSQL is down" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
note wal_room
unfill "$TEST_PG/data/pg_wal"
start_postgres "${settings[@]}"
note back
wait_ready 10 || fail "the server does not recover when PostgreSQL is back"
sleep 2
kill -TERM "$LOAD_PID"
load_end
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
expect "the server's process" "$(server_pid)" "$pid"
expect "the server lives" "$(server_lives && echo yes)" yes
for between in "full room" "wal_full wal_room"; do
    # shellcheck disable=SC2086
    expect "PUBACKs between $between" "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --between $between "${LOAD_BOOKS[@]}")" 0
done
at_most "ms from room on the disk to the first PUBACK" "$(since room)" 10000
at_most "ms from PostgreSQL's return to the first PUBACK" "$(since back)" 10000
load_verify
