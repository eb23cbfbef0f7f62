# Each command has exactly one end, is carried out at most once by a device that remembers its number, and never after it expired,
# while devices come and go, the server is killed and PostgreSQL ends at once. The same Idempotency-Key is the same command.
# 400 commands to 50 devices, 2 kills and 1 stop; with SIGNALBOX_FULL=1 5,000 to 200, 10 and 5.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
devices=50 commands=400 rate=40 server_kills=2 postgres_stops=1 pause=2 late=5 end=30
full && devices=200 commands=5000 rate=25 server_kills=10 postgres_stops=5 pause=12 late=1 end=5
book=$SIGNALBOX_TEST_DIR/commands.jsonl

start_postgres
start_server "${SPOOL[@]}" command_timeout=3s
watch_start
python3 "$PARTS/fault_commands.py" --devices $devices --commands $commands --rate $rate --book "$book" >"$SIGNALBOX_TEST_DIR/commands.log" 2>&1 &
LOAD_PID=$!
wait_until 60 eval '(($(sql "SELECT count(*) FROM commands") > 0))' || fail "no command: $(cat "$SIGNALBOX_TEST_DIR/commands.log")"
for ((fault = 1; fault <= server_kills + postgres_stops; fault++)); do
    sleep "$pause.$((RANDOM % 10))"
    if ((fault % 3 == 0)); then
        postgres_stop "$TEST_PG" immediate
        sleep 2
        start_postgres
        wait_ready 60 || fail "the server does not come back after PostgreSQL's end"
    else
        kill_server
        start_server
        note server_ready
    fi
done
wait_until 300 grep -q posted "$SIGNALBOX_TEST_DIR/commands.log" || fail "the operator does not come to an end: $(cat "$SIGNALBOX_TEST_DIR/commands.log")"
all_ended() { [[ $(sql "SELECT count(*) FROM commands WHERE state IN ('queued', 'sent', 'delivered')") == 0 ]]; }
wait_until 60 all_ended || fail "commands that do not end: $(sql "SELECT state, count(*) FROM commands GROUP BY state")"
sleep 6 # what was asked for again much later, and answers that come too late
kill -TERM "$LOAD_PID"
wait "$LOAD_PID" || fail "the devices: $(cat "$SIGNALBOX_TEST_DIR/commands.log")"
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
figure "kills of the server / ends of PostgreSQL" "$server_kills / $postgres_stops"
python3 "$PARTS/fault_commands_verify.py" "$book" "$MOMENTS" $late $end || fail "a command did not go as promised"
expect "commands" "$(sql "SELECT count(*) FROM commands")" $commands
