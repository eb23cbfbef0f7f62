# Who is told of alerts: each kind of channel for real, signed, retried; a server killed in the middle; a storm as one digest.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
got=$SIGNALBOX_TEST_DIR/got
mkdir -p "$got"
echo "a secret of 20 bytes" >"$got/secret"
python3 "$SIGNALBOX_ROOT/tests/system/parts/receivers.py" "$got" & # ends with this test
start_postgres
wait_until 20 test -s "$got/ports" || fail "the receivers did not start"
read -r web mail udp tcp <"$got/ports"
start_server "notify_networks=127.0.0.1/32"

channel() { api POST /v1/channels "$1" >/dev/null || fail "channel $1"; }
state_is() { [[ $(api GET "/v1/notifications/$1" | jq -r .state) == "$2" ]]; }
# Sends a test message and waits for its end; prints its id.
try() { # CHANNEL STATE
    local id
    id=$(api POST "/v1/channels/$1/test" | jq -er .id) || fail "test of $1"
    wait_until 20 state_is "$id" "$2" || fail "$1 is not $2: $(api GET "/v1/notifications/$id")"
    echo "$id"
}
received() { jq -s "[.[] | $2] | length" "$got/$1" 2>/dev/null || echo 0; } # FILE FILTER
received_is() { [[ $(received "$1" "$2") == "$3" ]]; }
count_of() { sql "SELECT count(*) FROM outbox WHERE $1"; }
count_is() { [[ $(count_of "$1") == "$2" ]]; }
logged() { grep -q "$1" "$TEST_LOG"; }
count_reaches() { (($(count_of "$1") >= $2)); }

window=$([[ ${SIGNALBOX_FULL:-} == 1 ]] && echo 8s || echo 2s)

# --- each kind --------------------------------------------------------------------------------------------------------
hook='"kind":"webhook","secret":"a secret of 20 bytes","config"'
channel "{\"name\":\"hook\",$hook:{\"url\":\"http://127.0.0.1:$web/hook\"}}"
channel "{\"name\":\"mail\",\"kind\":\"email\",\"digest_window\":\"$window\",\"config\":{\"url\":\"smtp://127.0.0.1:$mail\",\"tls\":false,
    \"from\":\"sb@example.com\",\"to\":[\"ops@example.com\",\"nobody@example.com\"]}}"
channel "{\"name\":\"udp\",\"kind\":\"syslog\",\"config\":{\"url\":\"udp://127.0.0.1:$udp\",\"facility\":\"local1\"}}"
channel "{\"name\":\"tcp\",\"kind\":\"syslog\",\"config\":{\"url\":\"tcp://127.0.0.1:$tcp\"}}"
channel '{"name":"log","kind":"log"}'
channel '{"name":"siren","kind":"command","config":{"device":"siren-1","method":"sound","params":{"seconds":3}}}'
channel '{"name":"topic","kind":"mqtt","config":{"topic":"alarms/{{device}}","qos":1,"retain":true}}'

id=$(try hook sent)
expect "webhook: signed, with the id of its row" "$(received http "select(.good and .id == \"$id\" and .body.id == \"$id\" and .body.event == \"notification.test\")")" 1
id=$(try mail sent)
expect "mail: arrived where it was taken" "$(received smtp "select((.text | contains(\"X-Signalbox-Id: $id\r\")) and .sender == \"<sb@example.com>\")")" 1
id=$(try udp sent)
wait_until 10 received_is udp 'select(.text | test("^<141>1 [0-9TZ:.-]+ [^ ]+ signalbox [0-9]+ notification.test \\[signalbox@32473 id=\"'"$id"'\"\\] "))' 1 ||
    fail "syslog by UDP: $(cat "$got/udp")"
id=$(try tcp sent)
wait_until 10 received_is tcp "select(.text | contains(\"id=\\\"$id\\\"\"))" 1 || fail "syslog by TCP: $(cat "$got/tcp")"
id=$(try log sent)
expect "log: a line of the alert log" "$(jq -r 'select(.event == "notification.logged") | .notification.channel + " " + .notification.id' "$SIGNALBOX_ALERTS")" "log $id"
device siren-1 >/dev/null
id=$(try siren sent)
expect "command: made once, with its parameters" "$(api GET /v1/devices/siren-1/commands | jq -c '[.items[] | [.method, .params]]')" '[["sound",{"seconds":3}]]'
api POST /v1/device-types '{"name":"listener","topics":{"subscribe":["alarms/#"],"publish":[]}}' >/dev/null
ear=$(device ear listener)
id=$(try topic sent)
heard=$(mosquitto_sub --cafile "$SIGNALBOX_CA" -h localhost -p "$SIGNALBOX_MQTT_PORT" -u "$ear" -t 'alarms/#' -C 1 -W 15 -F '%r %t %p')
expect "topic: retained, with the id" "$(jq -r .id <<<"${heard#1 alarms/test }")" "$id"

# --- a receiver by name ---------------------------------------------------------------------------------------------------
channel "{\"name\":\"named\",\"kind\":\"syslog\",\"config\":{\"url\":\"udp://localhost:$udp\"}}"
id=$(try named sent)
wait_until 10 received_is udp "select(.text | contains(\"id=\\\"$id\\\"\"))" 1 || fail "syslog by UDP to a name: $(cat "$got/udp")"

# --- where it must not go, and what must not come out --------------------------------------------------------------------
channel "{\"name\":\"inner\",$hook:{\"url\":\"http://127.0.0.2:$web/hook\"}}"
channel "{\"name\":\"redirected\",$hook:{\"url\":\"http://127.0.0.1:$web/redirect\"}}"
channel "{\"name\":\"refused\",$hook:{\"url\":\"http://127.0.0.1:$web/refuse\"}}"
channel "{\"name\":\"busy\",$hook:{\"url\":\"http://127.0.0.1:$web/busy\"}}"
id=$(try inner failed)
expect "an address that is not listed" "$(api GET "/v1/notifications/$id" | jq -r '.detail | test("not allowed")')" true
try redirected failed >/dev/null
expect "a redirect is not followed" "$(received http 'select(.path == "/elsewhere")')" 0
try refused failed >/dev/null
touch "$got/busy"
id=$(api POST /v1/channels/busy/test | jq -er .id)
wait_until 20 received_is http "select(.id == \"$id\")" 2 || fail "a busy receiver is not tried again"
rm "$got/busy"
wait_until 20 state_is "$id" sent || fail "a receiver that is back is not told"
expect "each attempt is kept" "$(api GET "/v1/notifications/$id" | jq -r '.attempts == (.history | length) and .history[-1].outcome == "sent"')" true
expect "no secret in answers" "$(api GET /v1/channels | grep -c 'a secret of 20')" 0
expect "no secret in the audit log" "$(sql "SELECT count(*) FROM audit_log WHERE detail::text LIKE '%a secret of%'")" 0
expect "no secret in the log" "$(grep -c 'a secret of 20' "$TEST_LOG" || true)" 0

# --- what the database refuses delays nobody else -------------------------------------------------------------------------
refuse() { sql "ALTER TABLE outbox ADD CONSTRAINT refused CHECK (NOT ($1)) NOT VALID" >/dev/null; }
refuse_no_more() { sql "ALTER TABLE outbox DROP CONSTRAINT refused" >/dev/null; }
refuse "detail LIKE 'the receiver%'"
id=$(try refused failed)
expect "a reason that is refused is replaced" "$(api GET "/v1/notifications/$id" | jq -r '.history[-1].detail')" "the server's log has it"
expect "and is in the log" "$(grep notification_not_sent "$TEST_LOG" | tail -n 1 | jq -r .why)" "the receiver answered 400"
refuse_no_more
refuse "channel = 'refused' AND state = 'failed' AND id > $id"
stuck=$(api POST /v1/channels/refused/test | jq -er .id)
wait_until 20 logged '"event":"notifications_not_served"' || fail "a refused mark is not said"
try hook sent >/dev/null
refuse_no_more
wait_until 20 state_is "$stuck" failed || fail "what could not be marked is not marked later"
channel '{"name":"a-first","kind":"log"}'
refuse "channel = 'a-first' AND attempts > 0"
stuck=$(api POST /v1/channels/a-first/test | jq -er .id)
try hook sent >/dev/null
expect "the first channel waits alone" "$(api GET "/v1/notifications/$stuck" | jq -r .state)" queued
refuse_no_more
wait_until 20 state_is "$stuck" sent || fail "a channel that could not be claimed is not served later"

# --- the server dies in the middle ---------------------------------------------------------------------------------------
alerts=$([[ ${SIGNALBOX_FULL:-} == 1 ]] && echo 1000 || echo 100)
gateway=$(device gw)
# A message of a gateway: all of its children N to M have the value.
children() { # FIRST LAST VALUE
    jq -nc --argjson a "$1" --argjson b "$2" --argjson v "$3" '[range($a; $b + 1) | {key: "c\(.)", value: [{x: $v}]}] | from_entries'
}
channel "{\"name\":\"slow\",$hook:{\"url\":\"http://127.0.0.1:$web/slow\"}}"
api POST /v1/rules '{"name":"high","select":"type=generic","when":"x > 10","clear":"x < 5","severity":"major","summary":"{{device}} {{x}}","actions":[{"notify":"slow"}]}' >/dev/null
publish "$gateway" "$(children 1 "$alerts" 11)" v1/gateway/telemetry
wait_until 30 count_reaches "channel = 'slow' AND state = 'sent'" $((alerts / 5)) || fail "nothing is sent"
kill_server
expect "killed in the middle" "$(($(count_of "channel = 'slow' AND state = 'sent'") < alerts))" 1
start_server
wait_until 60 count_is "channel = 'slow' AND state = 'sent'" "$alerts" || fail "not all are sent: $(sql "SELECT state, count(*), max(detail) FROM outbox GROUP BY 1")"
expect "every alert was told" "$(jq -s '[.[] | select(.path == "/slow") | .body.alert.alert_id] | unique | length' "$got/http")" "$alerts"
expect "under one id each" "$(jq -s '[.[] | select(.path == "/slow") | .id] | unique | length' "$got/http")" "$alerts"
expect "and the same message each time" "$(jq -s '[.[] | select(.path == "/slow") | {id, body}] | unique | length' "$got/http")" "$alerts"
expect "all signed" "$(received http 'select(.path == "/slow" and (.good | not))')" 0

# --- a storm is one message ----------------------------------------------------------------------------------------------
storm=$([[ ${SIGNALBOX_FULL:-} == 1 ]] && echo 10000 || echo 1000)
etag=$(api_call GET /v1/rules/high "" -o /dev/null -D - | awk 'tolower($1) == "etag:" { print $2 }' | tr -d '\r')
api_call DELETE /v1/rules/high "" --fail-with-body -H "If-Match: $etag"
channel "{\"name\":\"storm\",\"digest_window\":\"$window\",$hook:{\"url\":\"http://127.0.0.1:$web/storm\"}}"
api POST /v1/rules '{"name":"gone","select":"type=generic","when":"x > 20","severity":"critical","actions":[{"notify":"storm"},{"notify":"mail"}]}' >/dev/null
report() { # VALUE : by all of them
    local at
    for ((at = 1; at <= storm; at += 2000)); do
        publish "$gateway" "$(children "$at" $((at + 1999 < storm ? at + 1999 : storm)) "$1")" v1/gateway/telemetry
    done
}
report 1 # they are there, and well
report 21
wait_until 60 count_is "channel = 'storm' AND state = 'digested'" "$storm" || fail "not all are in a digest: $(sql "SELECT channel, state, count(*) FROM outbox GROUP BY 1, 2")"
wait_until 30 count_is "channel = 'mail' AND state = 'digested'" "$storm" || fail "not all are in a digest by mail"
wait_until 30 count_is "event = 'digest' AND state = 'sent'" 2 || fail "the digests are not sent: $(sql "SELECT id, channel, state, detail FROM outbox WHERE event = 'digest'")"
expect "one message on the webhook" "$(received http 'select(.path == "/storm")')" 1
expect "which counts them all" "$(jq -s '[.[] | select(.path == "/storm")][0].body.digest | [.count, .firing, (.alerts | length)]' -c "$got/http")" "[$storm,$storm,50]"
expect "one mail" "$(received smtp "select(.text | contains(\"$storm firing critical gone\"))")" 1
expect "each row names its digest" "$(count_of "state = 'digested' AND digest_id IN (SELECT id FROM outbox WHERE event = 'digest')")" $((2 * storm))
