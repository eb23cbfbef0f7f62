# Readings older than retention_days go with their partition, newer ones stay, and the next days have their partitions ahead.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
partitions() { sql "SELECT count(*) FROM pg_inherits WHERE inhparent = 'samples'::regclass AND inhrelid::regclass::text ~ '$1'"; }
ahead_exist() { [[ $(partitions "samples_$(date -u -d '+3 days' +%Y%m%d)") == 1 ]]; }
old_gone() { [[ $(partitions samples_202001) == 0 ]]; }
start_postgres
start_server
token=$(device keeper-1)
publish "$token" '{"ts":1578000000000,"values":{"a":1}}'
publish "$token" '{"a":2}'
expect "without retention old readings are kept" "$(partitions samples_202001)" 1
expect "today has a partition of its own" "$(partitions "samples_$(date -u +%Y%m%d)")" 1
wait_until 15 ahead_exist || fail "no partition was made ahead"
stop_server
start_server retention_days=30
wait_until 15 old_gone || fail "the partition of 2020 is still there"
expect "the new reading is still there" "$(sql 'SELECT count(*) FROM samples')" 1
publish "$token" '{"ts":1578000000000,"values":{"a":1}}' >"$SIGNALBOX_TEST_DIR/publish.log" 2>&1 || true
expect "an older reading is refused, with the reason" "$(api GET '/v1/rejected?device=keeper-1' | jq -r '.items[0].detail')" \
    "the time is older than retention_days"

# Whoever follows the events continues after the last id it saw: an id is never given twice.
last_id=$(sql 'SELECT max(id) FROM events')
stop_server
sql "UPDATE events SET ts = ts - interval '100 days'" >/dev/null
history_gone() { [[ $(sql "SELECT count(*) FROM events WHERE ts < now() - interval '30 days'") -le 1 ]]; }
start_server history_days=30
wait_until 15 history_gone || fail "events older than history_days are still there"
stop_server
start_server history_days=30
publish "$token" '{"a":3}'
newer_exist() { [[ $(sql "SELECT count(*) FROM events WHERE id > $last_id AND ts > now() - interval '1 day'") -ge 1 ]]; }
wait_until 15 newer_exist || fail "no event after the restart has an id above $last_id: $(sql 'SELECT min(id), max(id) FROM events')"
expect "no new event has an old id" "$(sql "SELECT count(*) FROM events WHERE id <= $last_id AND ts > now() - interval '1 day'")" 0
