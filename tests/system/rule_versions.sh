# Rules as files and versions: plan and apply, what changed, the way back, a candidate beside the active version, jobs and their end.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
rules=$SIGNALBOX_TEST_DIR/rules
mkdir "$rules"
rule() { "$SIGNALBOX_BIN" rule "$@" --config "$SIGNALBOX_CONFIG" --token "$SIGNALBOX_TOKEN"; }
code_of() { # COMMAND… : its exit code
    local code=0
    "$@" >"$SIGNALBOX_TEST_DIR/out" 2>&1 || code=$?
    echo "$code"
}
etag() { curl -fsS -o /dev/null -D - -H "Authorization: Bearer $SIGNALBOX_TOKEN" "$SIGNALBOX_URL/v1/rules/$1" | tr -d '\r' | awk 'tolower($1) == "etag:" { print $2 }'; }
rollback() { # NAME VERSION [IF-MATCH] : the status
    api_call POST "/v1/rules/$1/rollback" "{\"version\":$2}" ${3:+-H "If-Match: $3"} -o "$SIGNALBOX_TEST_DIR/out" -w '%{http_code}'
}

# --- plan and apply ---------------------------------------------------------------------------------------------------
printf 'name: hot\nwhen: temperature > 80\nfor: 2s\nseverity: major\n' >"$rules/hot.yaml"
printf '%s\n' '- name: cold' '  when: temperature < 5' '- name: wet' '  when: humidity > 90' >"$rules/weather.yml"
echo "not a rule" >"$rules/notes.txt"
expect "a plan changes nothing" "$(rule plan "$rules" -o json 2>/dev/null | jq -c '[.items[] | [.name, .result]]')" '[["hot","create"],["cold","create"],["wet","create"]]'
expect "no rule was made by it" "$(api GET /v1/rules | jq '.items | length')" 0
expect "--check says that there is something to do" "$(code_of rule plan "$rules" --check)" 1
expect "apply does it" "$(rule apply "$rules" -o json | jq -c '[.items[].result]')" '["created","created","created"]'
expect "and again nothing" "$(rule apply "$rules" -o json | jq -c '[.items[].result]')" '["unchanged","unchanged","unchanged"]'
expect "--check says that all is done" "$(code_of rule plan "$rules" --check)" 0
sed -i 's/> 80/> 85/' "$rules/hot.yaml"
rm "$rules/weather.yml"
expect "the difference is shown" "$(rule plan "$rules" -o json 2>/dev/null | jq -r '.items[0].diff' | grep -c '^[-+]  "when"')" 2
expect "without --prune nothing goes" "$(rule plan "$rules" -o json 2>/dev/null | jq '.items | length')" 1
expect "with it the others would" "$(rule plan "$rules" --prune -o json 2>/dev/null | jq -c '[.items[] | [.name, .result]]')" '[["hot","update"],["cold","delete"],["wet","delete"]]'
echo 'name: [' >"$rules/broken.yaml"
expect "a file that cannot be read fails the whole" "$(code_of rule apply "$rules" --prune)" 1
expect "and nothing is pruned then" "$(api GET /v1/rules | jq '.items | length')" 3
rm "$rules/broken.yaml"
expect "apply --prune" "$(rule apply "$rules" --prune -o json | jq -c '[.items[].result]')" '["unchanged","deleted","deleted"]'
expect "the rule is the file's" "$(api GET /v1/rules/hot | jq -r '.when')" "temperature > 85"
printf 'name: hot\nwhen: temperature > 1\n---\nname: hot\nwhen: temperature > 2\n' >"$SIGNALBOX_TEST_DIR/twice.yaml"
expect "a name twice is a mistake" "$(code_of rule plan "$SIGNALBOX_TEST_DIR/twice.yaml")" 1

# --- versions ---------------------------------------------------------------------------------------------------------
expect "versions, the newest first" "$(api GET /v1/rules/hot/versions | jq -c '[.items[] | [.version, .active, .definition.when]]')" \
    '[[2,true,"temperature > 85"],[1,false,"temperature > 80"]]'
expect "a page of one" "$(api GET "/v1/rules/hot/versions?limit=1&cursor=$(api GET '/v1/rules/hot/versions?limit=1' | jq -r .next_cursor)" | jq -c '[.items[].version]')" '[1]'
expect "one version" "$(api GET /v1/rules/hot/versions/1 | jq -r '.definition.for')" 2s
expect "who made it" "$(api GET /v1/rules/hot/versions/1 | jq -r .created_by)" test
expect "its difference" "$(api GET /v1/rules/hot/versions/2/diff | jq -r .diff | grep '^[-+] ')" $'-  "when": "temperature > 80"\n+  "when": "temperature > 85"'
expect "against itself nothing" "$(api GET '/v1/rules/hot/versions/2/diff?against=2' | jq -r .diff)" ""
expect "no such version" "$(api_status GET /v1/rules/hot/versions/3 | head -n 1)" 404
expect "no such rule" "$(api_status GET /v1/rules/none/versions | head -n 1)" 404
expect "rolling back needs the ETag" "$(rollback hot 1)" 428
expect "of this version" "$(rollback hot 1 '"1"')" 412
expect "to an earlier version" "$(rollback hot 2 "$(etag hot)")" 422
expect "then it is done" "$(rollback hot 1 "$(etag hot)")" 200
expect "as a new version" "$(jq -c '[.version, .when]' "$SIGNALBOX_TEST_DIR/out")" '[3,"temperature > 80"]'
rule rollback hot 2 2>/dev/null
expect "the command does the same" "$(rule show hot -o json | jq -c '[.version, .when]')" '[4,"temperature > 85"]'
expect "rule versions" "$(rule versions hot -o json | jq -c '[.items[].version]')" '[4,3,2,1]'
expect "rule diff" "$(rule diff hot 4 --against 3 | grep -c '^[-+]  "when"')" 2

# --- a candidate beside the active version ------------------------------------------------------------------------------
token=$(device oven)
for i in 0 1 2 3 4 5 6 7 8 9; do
    readings+="${readings:+,}{\"ts\":$((1700000000000 + i * 1000)),\"values\":{\"temperature\":$((78 + i))}}"
done
readings+=',{"ts":1700000010000,"values":{"temperature":20}}'
publish "$token" "[$readings]"
period='"from":"2023-11-14T00:00:00Z","to":"2023-11-15T00:00:00Z"'
backtest() { api POST "/v1/rules/$1/backtest" "{$2}"; }
expect "the active version against history" "$(backtest hot "$period" | jq -c '[.state, .version, .counts.alerts, .difference.against]')" '["done",4,0,"history"]'
candidate='"definition":{"name":"hot","when":"temperature > 80","for":"2s","actions":[{"command":{"to":"self","method":"stop"}}]}'
expect "a candidate against the active version" "$(backtest hot "$period,$candidate" | jq -c '[.counts.alerts, .counts.commands, .difference.against, .difference.added_count, .difference.added[0].fired_at]')" \
    '[1,1,"version 4",1,"2023-11-14T22:13:25Z"]'
expect "an older version" "$(backtest hot "$period,\"version\":1" | jq -c '[.version, .counts.alerts, .alerts[0].since, .alerts[0].value]')" '[1,1,"2023-11-14T22:13:23Z",83]'
expect "a rule that does not exist yet" "$(backtest new "$period,\"definition\":{\"when\":\"temperature > 86\"}" | jq -c '[.rule, .counts.alerts, .difference.against]')" '["new",1,null]'
expect "without a definition it must exist" "$(api_status POST /v1/rules/new/backtest '{}' | head -n 1)" 404
expect "a definition that is no rule" "$(api_status POST /v1/rules/new/backtest '{"definition":{"when":"temperature >"}}' | tail -n 1 | jq -c '[.status, .errors[0].pointer]')" '[422,"/definition/when"]'
expect "only some devices" "$(backtest hot "$period,$candidate,\"devices\":[\"nobody\"]" | jq -c '[.counts.devices, .counts.alerts]')" '[0,0]'
printf 'name: hot\nwhen: temperature > 80\nfor: 2s\n' >"$SIGNALBOX_TEST_DIR/candidate.yaml"
expect "signalbox rule test" "$(rule test "$SIGNALBOX_TEST_DIR/candidate.yaml" --from 2023-11-14T00:00:00Z --to 2023-11-15T00:00:00Z -o json | jq -c '[.counts.alerts, .difference.added_count]')" '[1,1]'
rule test "$SIGNALBOX_TEST_DIR/candidate.yaml" --from 2023-11-14T00:00:00Z >"$SIGNALBOX_TEST_DIR/out"
grep -q '^hot: 1 alerts, 0 flaps, 0 commands; 11 samples of 1 devices' "$SIGNALBOX_TEST_DIR/out" || fail "rule test says $(cat "$SIGNALBOX_TEST_DIR/out")"
expect "nothing came of all that" "$(sql 'SELECT count(*) FROM commands')" 0

# --- jobs -------------------------------------------------------------------------------------------------------------
# A lock on the samples holds the job, however quick the machine is.
held=$SIGNALBOX_TEST_DIR/held
mkfifo "$held"
psql -X -q -tA -d "$(cat "$SIGNALBOX_TEST_DIR/database_url")" <"$held" >"$held.out" &
exec 9>"$held"
echo "BEGIN; LOCK TABLE samples IN ACCESS EXCLUSIVE MODE; SELECT 'locked';" >&9
wait_until 10 grep -q locked "$held.out" || fail "the samples are not locked"
answer=$(api_status POST '/v1/rules/hot/backtest?wait=0s' "{$period}")
expect "what takes long is a job" "$(head -n 1 <<<"$answer")" 202
job=$(tail -n 1 <<<"$answer" | jq -r .id)
expect "it can be asked for" "$(api GET "/v1/backtests/$job" | jq -r '.state == "running" or .state == "queued"')" true
expect "it is in the list" "$(api GET /v1/backtests | jq -r ".items[0].id")" "$job"
selector_token=$("$SIGNALBOX_BIN" --config "$SIGNALBOX_CONFIG" token create narrow --scopes rules:write --select name=nobody 2>/dev/null)
expect "another token with a selector does not see it" \
    "$(SIGNALBOX_TOKEN=$selector_token api_status GET "/v1/backtests/$job" | head -n 1)" 404
expect "it is cancelled" "$(api_status DELETE "/v1/backtests/$job" | head -n 1)" 202
echo "ROLLBACK;" >&9
exec 9>&-
expect "and ends so" "$(api GET "/v1/backtests/$job?wait=30s" | jq -r .state)" cancelled
expect "another one is not disturbed" "$(backtest hot "$period" | jq -r .state)" "done"
expect "what a token cannot see is not tested" "$(SIGNALBOX_TOKEN=$selector_token backtest hot "$period,$candidate" | jq .counts.devices)" 0

# --- shadow -----------------------------------------------------------------------------------------------------------
api POST /v1/rules '{"name":"watch","when":"temperature > 90","mode":"shadow","actions":[{"command":{"to":"self","method":"stop"}},{"work_order":{"title":"Look"}}]}' >/dev/null
publish "$token" '[{"ts":1700000020000,"values":{"temperature":95}},{"ts":1700000021000,"values":{"temperature":20}}]'
expect "nobody is told of a rule that only watches" "$(api GET '/v1/alerts?rule=watch' | jq '.items | length')" 0
expect "who asks sees what it would have said" "$(api GET '/v1/alerts?rule=watch&shadow=true' | jq -c '[.items[] | [.shadow, .state, .value, .rule_version]]')" '[[true,"resolved",95,1]]'
expect "shadow is true or false" "$(api_status GET '/v1/alerts?shadow=yes' | head -n 1)" 400
expect "it does nothing" "$(sql "SELECT (SELECT count(*) FROM commands), (SELECT count(*) FROM work_orders)")" "0|0"
expect "its backtest is its history" "$(backtest watch "$period" | jq -c '[.counts.alerts, .counts.commands, .difference.same_count]')" '[1,1,1]'
expect "and explains itself" "$(api GET '/v1/rules/watch/explain?device=oven&at=2023-11-14T22:13:40Z' | jq -c '[.mode, .state]')" '["shadow","firing"]'
api_call PATCH /v1/rules/watch '{"mode":"active"}' --fail-with-body -H "If-Match: $(etag watch)" >/dev/null
publish "$token" '[{"ts":1700000030000,"values":{"temperature":96}},{"ts":1700000031000,"values":{"temperature":20}}]'
expect "switched on it tells and acts" "$(api GET '/v1/alerts?rule=watch' | jq -c '[.items[] | [.shadow, .value]]') $(sql "SELECT (SELECT count(*) FROM commands), (SELECT count(*) FROM work_orders)")" '[[false,96]] 1|1'
