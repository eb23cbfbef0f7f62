# The commands of README.md do what the page says, as they stand there: only folder and ports are exchanged.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
mkdir -p "$SIGNALBOX_TEST_DIR/home/var"
printf '%s' "$SIGNALBOX_TOKEN" >"$SIGNALBOX_TEST_DIR/home/var/admin.token"
cp "$SIGNALBOX_CA" "$SIGNALBOX_TEST_DIR/home/var/ca.pem"

# The blocks after "Connect your own device"; each line's output behind a mark that names it.
awk '/^## /{on = /Connect your own device/} on && /^```/{inside = /^```sh/; next} on && inside' "$SIGNALBOX_ROOT/README.md" |
    sed "s/127\.0\.0\.1:8080/127.0.0.1:$SIGNALBOX_HTTP_PORT/g; s/-p 8883/-p $SIGNALBOX_MQTT_PORT/g" >"$SIGNALBOX_TEST_DIR/readme.commands"
count=$(grep -c . "$SIGNALBOX_TEST_DIR/readme.commands")
((count >= 9)) || fail "only $count command lines found in README.md"

cd "$SIGNALBOX_TEST_DIR/home"
bash -euo pipefail -c '. "$1"' readme "$SIGNALBOX_TEST_DIR/readme.commands" >"$SIGNALBOX_TEST_DIR/readme.log" 2>&1 ||
    fail "a command of README.md fails: $(tail -n 5 "$SIGNALBOX_TEST_DIR/readme.log")"

latest=$(api GET /v1/devices/my-pump/latest)
expect "latest temperature" "$(jq -r '.items[] | select(.metric == "temperature").value' <<<"$latest")" 91
expect "the first reading is stored" "$(api GET '/v1/devices/my-pump/readings?metric=temperature&from=-1h' | jq -c '[.items[].value]')" '[21.5,91]'
alert=$(api GET '/v1/alerts?device=my-pump')
expect "alerts" "$(jq -c '[.items[] | [.rule, .severity, .state]]' <<<"$alert")" '[["too-hot","major","firing"]]'
expect "the summary" "$(jq -r '.items[0].summary' <<<"$alert")" "my-pump is at 91 degC"
expect "the command that arrived" "$(grep -c '"method":"stop"' "$SIGNALBOX_TEST_DIR/readme.log")" 1
