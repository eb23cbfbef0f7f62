# A message that cannot be stored costs nobody else anything: 1 in 1,000 is bad, most for the server to see, some only for PostgreSQL
# (a constraint of the test's own stands for whatever a database may refuse). Each is acknowledged and listed once, with the reason.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
messages=200000 share=60
full && messages=2000000 share=80 # % of the throughput without bad ones; a short measurement is less sure

start_postgres
start_server "${SPOOL[@]}"
load_devices 100
sql "ALTER TABLE samples ADD CONSTRAINT refuse_666 CHECK (value IS DISTINCT FROM 666)"
watch_start
clean=0 # ms; the slower of one run before and one after, for the machine is not ours alone
without() {
    load_start --messages $messages --server-ts 50%
    python3 "$PARTS/fault_poison.py" $((messages / 1000)) --good || fail "the good messages"
    load_end
    ((clean >= $(load_count seconds_x1000))) || clean=$(load_count seconds_x1000)
}
without
retries=$(metric batch_retries_total)
load_start --messages $messages --server-ts 50%
python3 "$PARTS/fault_poison.py" $((messages / 1000)) >"$SIGNALBOX_TEST_DIR/poison.log" || fail "$(cat "$SIGNALBOX_TEST_DIR/poison.log")"
cat "$SIGNALBOX_TEST_DIR/poison.log"
load_end
poisoned=$(load_count seconds_x1000)
without
wait_until 10 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
at_least "% of the throughput without bad messages" $((clean * 100 / poisoned)) $share
expect "batches that were tried again as if PostgreSQL were away" "$(($(metric batch_retries_total) - retries))" 0
load_verify
