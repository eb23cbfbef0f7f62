# A child that its gateway names for the first time while PostgreSQL is away: its readings were acknowledged from the spool, so
# they are stored afterwards, even though each database connection that creating the child could use has died meanwhile.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server "spool_dir=$TEST_VAR/spool" spool_after=1s
token=$(device gw-1)
publish "$token" '{"old-child":[{"ts":1700000000000,"values":{"t":1}}]}' v1/gateway/telemetry
for _ in {1..40}; do api GET /v1/devices >/dev/null & done # all connections of the pool are open
wait
stop_postgres
# The broker's credential is in memory, so the gateway may come and go.
spools() { [[ $(metric spooling) == 1 ]]; }
# One message about two: the part about the old child goes into a batch, the other one waits for its child to be made.
publish "$token" '{"old-child":[{"ts":1700000001000,"values":{"t":2}}],"new-child-0":[{"ts":1700000001000,"values":{"t":2}}]}' v1/gateway/telemetry
wait_until 20 spools || fail "the server does not spool"
for i in {1..5}; do
    publish "$token" "{\"new-child-$i\":[{\"ts\":1700000002000,\"values\":{\"t\":3}}]}" v1/gateway/telemetry
done
start_postgres
spool_is_empty() { [[ $(metric spooling) == 0 && $(metric spool_bytes) == 0 ]]; }
wait_until 30 spool_is_empty || fail "the spool is not empty: $(metric spool_bytes) bytes"
expect "readings of children seen first during the outage" "$(sql "SELECT count(*) FROM reading_values WHERE device LIKE 'new-child-%'")" 6
expect "nothing was rejected" "$(sql "SELECT count(*) FROM rejected_messages")" 0
expect "nothing is in flight" "$(metric messages_in_flight)" 0
received=$(metric messages_received_total)
ended=$(($(metric messages_committed_total) + $(metric messages_duplicate_total) + $(metric messages_rejected_total)))
expect "a message of two parts is counted once" "$ended" "$received"
