# Why a rule fired, or did not: what each transition keeps, and the answer for any device and instant.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
explain() { api GET "/v1/rules/hot/explain?device=$1&at=$2${3:-}"; }

api POST /v1/rules '{"name":"hot","select":"name in (oven,kiln)","when":"temperature > 80 and avg_over_time(load[1m]) >= 0.5","for":"3s","clear":"temperature < 70","clear_for":"2s"}' >/dev/null
token=$(device oven)
device kiln >/dev/null
device fridge >/dev/null
# 22:13:20Z and a second for each: 78 … 87, then 60; load is 1 throughout
for i in 0 1 2 3 4 5 6 7 8 9; do
    readings+="${readings:+,}{\"ts\":$((1700000000000 + i * 1000)),\"values\":{\"temperature\":$((78 + i)),\"load\":1}}"
done
for i in 10 11 12; do readings+=",{\"ts\":$((1700000000000 + i * 1000)),\"values\":{\"temperature\":60,\"load\":1}}"; done
publish "$token" "[$readings]"

# --- what the history keeps ---------------------------------------------------------------------------------------------
alert=$(api GET "/v1/alerts/$(api GET '/v1/alerts?device=oven' | jq -r '.items[0].id')")
expect "the transition has the rule's version and its sample" "$(jq -c '[.explain.version, .explain.evaluated_at]' <<<"$alert")" '[1,"2023-11-14T22:13:26Z"]'
expect "its conditions with both sides" "$(jq -c '.explain.levels[0].when.conditions[] | [.condition, .holds, .left, .right]' <<<"$alert")" \
    $'["temperature > 80",true,84,80]\n["avg_over_time(load[1m]) >= 0.5",true,1,0.5]'
expect "its inputs with their samples" "$(jq -c '.explain.inputs' <<<"$alert")" \
    '{"temperature":{"ts":"2023-11-14T22:13:26Z","value":84},"avg_over_time(load[1m])":{"last":"2023-11-14T22:13:26Z","first":"2023-11-14T22:13:20Z","value":1,"samples":7}}'
expect "its timers" "$(jq -c '.explain.levels[0] | [.since, .for]' <<<"$alert")" '["2023-11-14T22:13:23Z","3s"]'
expect "the end too" "$(jq -c '.events[] | select(.kind == "resolved") | .detail.levels[0] | [.clear.conditions[0].condition, .clear.holds]' <<<"$alert")" '["temperature < 70",true]'

# --- any instant --------------------------------------------------------------------------------------------------------
at=2023-11-14T22:13
expect "before it: why not" "$(explain oven $at:21Z | jq -c '[.state, .selected, .samples, .alert, .levels[0].when.conditions[0]]')" \
    '["inactive",true,2,null,{"condition":"temperature > 80","holds":false,"left":79,"right":80}]'
expect "waiting: since when and how long still" "$(explain oven $at:24Z | jq -c '[.state, .levels[0].since, .levels[0].fires_at]')" '["pending","2023-11-14T22:13:23Z","2023-11-14T22:13:26Z"]'
explain oven $at:24.500Z | jq -r .why | grep -q 'without a break, in 1s' || fail "why says $(explain oven $at:24.500Z | jq -r .why)"
expect "firing: the alert with what it kept" "$(explain oven $at:28Z | jq -c '[.state, .open_at, .alert.id != null, .fired_at, .alert.explain.levels[0].since]')" \
    '["firing",true,true,"2023-11-14T22:13:26Z","2023-11-14T22:13:23Z"]'
expect "what is run again is what was kept" "$(explain oven $at:26Z | jq -cS '{evaluated_at, inputs, levels}')" "$(jq -cS '.explain | {evaluated_at, inputs, levels}' <<<"$alert")"
expect "clearing" "$(explain oven $at:31Z | jq -c '[.state, .levels[0].clear_since, .levels[0].clears_at]')" '["firing","2023-11-14T22:13:30Z","2023-11-14T22:13:32Z"]'
expect "after it" "$(explain oven $at:40Z | jq -c '[.state, .open_at]')" '["inactive",false]'
expect "a device that never reported" "$(explain kiln $at:28Z | jq -c '[.state, .samples, .evaluated_at]')" '["inactive",0,null]'
expect "a device that the rule does not select" "$(explain fridge $at:28Z | jq -c '[.selected, .state]')" '[false,"inactive"]'

# --- versions -----------------------------------------------------------------------------------------------------------
api_call PATCH /v1/rules/hot '{"when":"temperature > 85","for":"0s"}' --fail-with-body -H 'If-Match: "1"' >/dev/null
expect "a version that was not active then" "$(explain oven $at:28Z '&version=2' | jq -c '[.version, .state, .levels[0].fires_at, .levels[0].when.text]')" '[2,"firing",null,"temperature > 85"]'
expect "no such version" "$(api_status GET "/v1/rules/hot/explain?device=oven&version=9" | head -n 1)" 404
expect "no such rule" "$(api_status GET "/v1/rules/none/explain?device=oven" | head -n 1)" 404
expect "no such device" "$(api_status GET "/v1/rules/hot/explain?device=none" | head -n 1)" 404
expect "no device" "$(api_status GET "/v1/rules/hot/explain" | head -n 1)" 400
expect "nothing came of looking" "$(sql 'SELECT count(*) FROM alerts')" 1
