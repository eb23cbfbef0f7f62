# Readings by HTTP are stored once, however often they are posted: those with times of their own always, those without by their
# Idempotency-Key; by two at once, again after their answer, and again because the answer was lost when PostgreSQL ended or the server
# was killed. What was acknowledged from the spool and is posted again is recognised, too, and each is counted once as what it was.
# 900 posts, 1 end of PostgreSQL and 1 kill; with SIGNALBOX_FULL=1 30,000, 5 and 10.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
posts=450 rate=80 ends=1 kills=1 pause=2
full && posts=15000 rate=100 ends=5 kills=10 pause=10
devices=20

start_postgres
start_server "spool_dir=$TEST_VAR/spool" spool_after=1s
{
    echo name,type
    for ((i = 0; i < devices; i++)); do printf 'poster-%03d,generic\n' $i; done
} >"$SIGNALBOX_TEST_DIR/devices.csv"
API_TYPE=text/csv api POST /v1/devices/import "@$SIGNALBOX_TEST_DIR/devices.csv" >/dev/null || fail "importing devices"
watch_start
post_start() { # PHASE
    LOAD_BOOKS+=("$SIGNALBOX_TEST_DIR/book-$1.csv")
    LOAD_REPORT=$SIGNALBOX_TEST_DIR/posts-$1.log
    python3 "$PARTS/fault_http_posts.py" --phase "$1" --devices $devices --posts $posts --rate $rate --book "${LOAD_BOOKS[-1]}" >"$LOAD_REPORT" 2>&1 &
    LOAD_PID=$!
}
post_end() { wait "$LOAD_PID" || fail "the posts: $(tail -n 5 "$LOAD_REPORT")"; }
at_rest() { (($(metric messages_in_flight) == 0 && $(metric spooling) == 0)); }

post_start ends
for ((i = 0; i < ends; i++)); do
    sleep $pause
    postgres_stop "$TEST_PG" immediate
    sleep 3 # long enough for the spool
    start_postgres
    wait_ready 60 || fail "the server does not come back after PostgreSQL's end"
done
post_end
wait_until 60 at_rest || fail "messages stay in flight or in the spool"
committed=$(metric messages_committed_total) duplicate=$(metric messages_duplicate_total)
figure "posts / sent again after their answer / requests" "$(jq -r '"\(.posts) / \(.again) / \(.tries)"' <(tail -n 1 "$LOAD_REPORT"))"
expect "posts counted as committed" "$committed" $posts
at_least "posts recognised" "$duplicate" "$(load_count again)"
at_most "posts recognised" "$duplicate" $(($(load_count tries) - posts))
python3 "$PARTS/fault_http_spool.py" || fail "what went through the spool"

post_start kills
for ((i = 0; i < kills; i++)); do
    sleep "$pause.$((RANDOM % 10))"
    kill_server
    start_server
done
post_end
wait_until 60 at_rest || fail "messages stay in flight or in the spool"
watch_end
figure "ends of PostgreSQL / kills of the server" "$ends / $kills"
expect "keys that are remembered" "$(sql 'SELECT count(*) FROM telemetry_keys')" $((posts * 2 * 2 / 3))
expect "samples stored" "$(sql "SELECT count(*) FROM samples s JOIN devices d ON d.id = s.device_id WHERE d.name LIKE 'poster-%'")" $((posts * 2 * 3))
load_verify
