# What people do with alerts, and whom it keeps from being told: each step with its history, each row with its reason.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server

device gw >/dev/null
for name in p-1 p-2 p-3 p-4 p-5 p-6 p-7 flap; do device "$name" generic '"labels":{"site":"north"}' >/dev/null; done
device child generic '"labels":{"site":"south"},"gateway":"gw"' >/dev/null
device lonely generic '"labels":{"site":"west"}' >/dev/null
device far generic '"labels":{"site":"west"}' >/dev/null

channel() { api POST /v1/channels "$1" >/dev/null || fail "channel $1"; }
rule() { # NAME WHEN CHANNEL
    api POST /v1/rules "{\"name\":\"$1\",\"select\":\"type=generic\",\"when\":\"$2 > 10\",\"severity\":\"major\",\"actions\":[{\"notify\":\"$3\"}]}" >/dev/null || fail "rule $1"
}
put() { api POST "/v1/telemetry?device=$1" "{\"$2\":$3}" >/dev/null || fail "telemetry of $1"; } # DEVICE METRIC VALUE
alert() { api GET "/v1/alerts?device=$1&rule=$2" | jq -er '.items[0].id'; }
# The newest notification of a device on a channel, as "event state reason", once it is decided and sent.
told() { # DEVICE CHANNEL EXPECTED WORDS
    wait_until 20 told_is "$1" "$2" "$3" || fail "${4:-$1 on $2}: $(api GET "/v1/notifications?device=$1&channel=$2")"
    checks=$((checks + 1))
}
told_is() { [[ $(api GET "/v1/notifications?device=$1&channel=$2&limit=1" | jq -r '.items[0] | "\(.event) \(.state) \(.reason // "-")"') == "$3" ]]; }
ended_are() { [[ $(sql "SELECT count(*) FROM outbox WHERE channel = '$1' AND ended_at IS NOT NULL") == "$2" ]]; }
change() { # CHANNEL DOCUMENT
    local etag
    etag=$(api_call GET "/v1/channels/$1" "" -o /dev/null -D - | awk 'tolower($1) == "etag:" { print $2 }' | tr -d '\r')
    api_call PUT "/v1/channels/$1" "$2" --fail-with-body -H "If-Match: $etag" >/dev/null || fail "change of $1"
}
status_of() { api_status "$@" | head -n 1; }

channel '{"name":"ops","kind":"log"}'
rule hot temperature ops
put p-1 temperature 11
told p-1 ops "firing sent -"

# --- acknowledge, comment, assign, shelve ------------------------------------------------------------------------------
id=$(alert p-1 hot)
api POST "/v1/alerts/$id/comment" '{"comment":"looking at it"}' >/dev/null
expect "assigned" "$(api POST "/v1/alerts/$id/assign" '{"to":"ann"}' | jq -r .assigned_to)" ann
expect "shelved" "$(api POST "/v1/alerts/$id/shelve" '{"for":"1h","comment":"part ordered"}' | jq -r '.shelved_by, (.shelved_until != null)' | tr '\n' ' ')" "test true "
expect "unshelved" "$(api POST "/v1/alerts/$id/unshelve" | jq -r '.shelved_by')" null
api POST "/v1/alerts/$id/ack" '{"comment":"known"}' >/dev/null
expect "all of it is history" "$(api GET "/v1/alerts/$id" | jq -c '[.events[].kind]')" '["firing","comment","assigned","shelved","unshelved","acknowledged"]'
expect "with the comment" "$(api GET "/v1/alerts/$id" | jq -r '.events[1].detail.comment + " " + .events[1].actor')" "looking at it test"
expect "events for the streams" "$(sql "SELECT string_agg(kind, ' ' ORDER BY id) FROM events WHERE kind LIKE 'alert.%' AND kind <> 'alert.firing'")" \
    "alert.commented alert.assigned alert.shelved alert.unshelved alert.acknowledged"
expect "audited" "$(sql "SELECT count(*) FROM audit_log WHERE action LIKE 'alert.%' AND object = '$id'")" 4
expect "a comment needs words" "$(status_of POST "/v1/alerts/$id/comment" '{}')" 422
expect "a shelf needs an end" "$(status_of POST "/v1/alerts/$id/shelve" '{}')" 422
expect "and an end ahead" "$(status_of POST "/v1/alerts/$id/shelve" '{"until":"2001-01-01T00:00:00Z"}')" 422
expect "no such alert" "$(status_of POST /v1/alerts/999999/assign '{"to":"x"}')" 404

# --- silences: by selector, with an end; maintenance windows ---------------------------------------------------------------
silence=$(api POST /v1/silences '{"select":"name=p-2","rule":"hot","expires_in":"1h","comment":"painting"}' | jq -r .id)
put p-2 temperature 11
told p-2 ops "firing suppressed silenced"
expect "the row says why" "$(api GET '/v1/notifications?device=p-2' | jq -r '.items[0].detail | test("painting")')" true
put p-2 temperature 1
told p-2 ops "resolved suppressed not_told" "nobody is told of the end of what nobody was told of"
expect "ended" "$(api DELETE "/v1/silences/$silence" | jq -r .ended_by)" test
expect "once" "$(status_of DELETE "/v1/silences/$silence")" 409
put p-2 temperature 11
told p-2 ops "firing sent -" "after the silence"
api POST /v1/silences '{"select":"name=p-3","expires_in":"30d","every":"1w","window":"1h","maintenance":true,"comment":"weekly service"}' >/dev/null
put p-3 temperature 11
told p-3 ops "firing suppressed maintenance"
expect "a silence has an end" "$(status_of POST /v1/silences '{"comment":"for ever"}')" 422
expect "and a comment" "$(status_of POST /v1/silences '{"expires_in":"1h"}')" 422
expect "silences are events" "$(sql "SELECT string_agg(kind, ' ' ORDER BY id) FROM events WHERE kind LIKE 'silence.%'")" "silence.created silence.ended silence.created"
expect "those in force" "$(api GET '/v1/silences?active=true' | jq -c '[.items[] | [.owner, .comment]]')" '[["test","weekly service"]]'

# --- inhibition: the gateway's own alert of the rule, and another alert that a silence names ------------------------------
put gw temperature 11
told gw ops "firing sent -"
put child temperature 11
told child ops "firing suppressed inhibited" "its gateway has the alert"
rule site-down down ops
api POST /v1/silences '{"rule":"hot","expires_in":"1h","comment":"one cause is enough","while":{"rule":"site-down","on":"label:site"}}' >/dev/null
put far temperature 11
told far ops "firing sent -" "as long as the site is up"
put lonely down 11
told lonely ops "firing sent -" "the cause is told"
put far temperature 1
told far ops "resolved sent -"
api POST /v1/rules '{"name":"wet","select":"type=generic","when":"humidity > 10","actions":[{"notify":"ops"}]}' >/dev/null
put far humidity 11
told far ops "firing sent -" "another rule is not inhibited"
put far temperature 11
told far ops "firing suppressed inhibited" "now that the site is down"

# --- flapping, a cap on messages ------------------------------------------------------------------------------------------
channel '{"name":"calm","kind":"log","flapping":{"max":2,"within":"1h"}}'
rule shaky vibration calm
for ((i = 0; i < 3; i++)); do
    put flap vibration 11
    put flap vibration 1
done
wait_until 20 ended_are calm 6 || fail "flapping: $(api GET '/v1/notifications?channel=calm')"
expect "two are told, the third flaps" "$(sql "SELECT string_agg(coalesce(reason, state), ' ' ORDER BY id) FROM outbox WHERE channel = 'calm'")" "sent sent sent sent flapping not_told"
channel '{"name":"few","kind":"log","rate":{"max":2,"per":"1h"}}'
rule low level few
for name in p-1 p-2 p-4; do
    put "$name" level 11
    told "$name" few "$([[ $name == p-4 ]] && echo "firing suppressed rate_cap" || echo "firing sent -")"
done

# --- escalation ------------------------------------------------------------------------------------------------------------
channel '{"name":"boss","kind":"log"}'
channel '{"name":"first","kind":"log"}'
rule leak flow first
put p-4 flow 11
put p-5 flow 11
put p-6 flow 11
wait_until 20 ended_are first 3 || fail "not told: $(api GET '/v1/notifications?channel=first')"
api POST "/v1/alerts/$(alert p-5 leak)/ack" >/dev/null
api POST "/v1/alerts/$(alert p-6 leak)/shelve" '{"for":"1h"}' >/dev/null
change first '{"name":"first","kind":"log","escalate":{"after":"1s","to":"boss"}}'
told p-4 boss "escalated sent -" "nobody took it"
expect "what is acknowledged or shelved is not" "$(sql "SELECT count(*) FROM outbox WHERE channel = 'boss'")" 1
put p-4 flow 1
told p-4 boss "resolved sent -" "who was told is told of its end"
api POST "/v1/alerts/$(alert p-6 leak)/unshelve" >/dev/null
told p-6 boss "escalated sent -" "off the shelf"

# --- channels ---------------------------------------------------------------------------------------------------------------
rule nobody pressure pager
put p-7 pressure 11
told p-7 pager "firing suppressed no_channel"
expect "a change needs If-Match" "$(status_of PUT /v1/channels/ops '{"name":"ops","kind":"log"}')" 428
expect "what is wrong is named" "$(api_status POST /v1/channels '{"name":"x","kind":"webhook","config":{"url":"https://example.com/"}}' | tail -n +2 | jq -r '.errors[0].pointer')" /secret
change ops '{"kind":"log","enabled":false}'
put p-7 temperature 11
told p-7 ops "firing suppressed disabled"
expect "the alert log has every alert" "$(jq -s '[.[] | select(.event == "alert.firing")] | length' "$SIGNALBOX_ALERTS")" "$(sql "SELECT count(*) FROM alerts")"
