#!/usr/bin/env bash
# Devices that say nothing: absence and `for` end by the clock, at their own instants, also over a crash; a severity goes up and
# down; rules that only watch; alerts of a rule that is deleted.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
rule() { api POST /v1/rules "$1" >/dev/null; }
alerts() { sql "SELECT count(*) FROM alerts WHERE rule = '$1'$2"; }
has() { [[ $(alerts "$1" "${3:-}") == "$2" ]]; }
seconds() { sql "SELECT round(extract(epoch FROM $2 - timestamptz '$T0')) FROM alerts WHERE rule = '$1'"; }

# Old data: event time alone says that half an hour was silent.
T0=2024-01-01T00:00:00Z
old=$(device old)
rule '{"name":"offline","select":"name=old","when":"absent_over_time(x[30m])"}'
publish "$old" '{"ts":1704067200000,"values":{"x":1}}'
publish "$old" '{"ts":1704074400000,"values":{"x":1}}'
wait_until 20 has offline 1 || fail "absence is not seen in a replay"
expect "raised at last + 1800 s, ended by the reading" "$(seconds offline fired_at) $(seconds offline resolved_at)" "1800 7200"

# Now: nothing comes any more.
T0=2024-06-01T00:00:00Z
live=$(device live)
rule '{"name":"gone","select":"name=live","when":"absent_over_time(x[3s])"}'
rule '{"name":"hot","select":"name=live","when":"x > 60","for":"2s","actions":[{"command":{"method":"stop"}}]}'
rule '{"name":"watched","select":"name=live","when":"x > 60","mode":"shadow","actions":[{"command":{"method":"never"}}]}'
publish "$live" '{"ts":1717200000000,"values":{"x":70}}'
wait_until 30 has hot 1 || fail "for does not end without a reading"
wait_until 30 has gone 1 || fail "absence is not seen without a reading"
expect "the newest reading stood for as long as for" "$(seconds hot since) $(seconds hot fired_at)" "0 2"
expect "raised at last + T" "$(seconds gone fired_at)" "3"
expect "a rule that only watches is marked" "$(sql "SELECT shadow, state FROM alerts WHERE rule = 'watched'")" "t|firing"
expect "nor is it listed" "$(api GET '/v1/alerts?rule=watched' | jq '.items | length')" 0
expect "and does nothing" "$(sql "SELECT string_agg(method, ',') FROM commands")" "stop"
publish "$live" '{"ts":1717200060000,"values":{"x":50}}'
wait_until 20 has gone 0 " AND state = 'firing'" || fail "a reading ends absence"
expect "ended by the reading" "$(seconds hot resolved_at) $(seconds gone resolved_at)" "60 60"

# A crash while a device is silent: it is raised all the same, once, at its instant, though the device does not come back.
T0=2024-07-01T00:00:00Z
lost=$(device lost)
rule '{"name":"silent","select":"name=lost","when":"absent_over_time(x[6s])"}'
publish "$lost" '{"ts":1719792000000,"values":{"x":1}}'
wait_until 20 bash -c "[[ \$(psql -X -q -tA -d '$(cat "$SIGNALBOX_TEST_DIR/database_url")' -c 'SELECT count(*) FROM device_timers') != 0 ]]" ||
    fail "who waits for something is not remembered"
kill_server
expect "not raised yet" "$(alerts silent "")" 0
start_server
wait_until 30 has silent 1 || fail "a crash loses the silence of a device"
expect "raised at last + T" "$(seconds silent fired_at)" 6
before=$(sql "SELECT count(*) FROM alert_events")
kill_server
start_server
wait_ready 30
publish "$lost" '{"ts":1719792020000,"values":{"x":1}}'
wait_until 20 has silent 0 " AND state = 'firing'" || fail "a reading ends absence after a restart"
expect "the crash corrected nothing" "$(sql "SELECT count(*) FROM alert_events")" "$((before + 1))"

# One alert, its severity goes up and down.
rig=$(device rig)
rule '{"name":"cooler","select":"name=rig","severities":{"warning":{"when":"t > 42","clear":"t < 40"},"critical":{"when":"t > 50","clear":"t < 48"}}}'
for t in 45 51 47 39; do publish "$rig" "{\"t\":$t}"; done
wait_until 20 has cooler 1 " AND state = 'resolved'" || fail "the severities do not end"
expect "its history" "$(sql "SELECT string_agg(kind, ',' ORDER BY e.id) FROM alert_events e JOIN alerts a ON a.id = alert_id WHERE rule = 'cooler'")" \
    "firing,severity,severity,resolved"
expect "what it was at its end and at its worst" "$(sql "SELECT severity, worst FROM alerts WHERE rule = 'cooler'")" "warning|critical"

# A rule goes, its alerts are closed and say why.
publish "$rig" '{"t":60}'
wait_until 20 has cooler 1 " AND state = 'firing'" || fail "no alert"
api_call DELETE /v1/rules/cooler "" --fail-with-body -H 'If-Match: "1"' >/dev/null
wait_until 20 has cooler 0 " AND state = 'firing'" || fail "the alerts of a deleted rule stay open"
expect "and say why" "$(sql "SELECT detail->>'cause' FROM alert_events ORDER BY id DESC LIMIT 1")" "rule deleted"
stop_server
