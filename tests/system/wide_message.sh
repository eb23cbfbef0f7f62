# A message with as many values as the settings allow is stored whole, and is read as it was sent, also by a server that starts anew.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
token=$(device wide-1)
for wide in 600 700 3000 10000; do # an index entry has room for some 670 numbers
    jq -nc --argjson n $wide '{ts: (1700000000000 + $n), values: [range($n) | {key: "m\(.)", value: (. + $n)}] | from_entries}' >"$SIGNALBOX_TEST_DIR/wide.json"
    mosquitto_pub --cafile "$SIGNALBOX_CA" -h localhost -p "$SIGNALBOX_MQTT_PORT" -u "$token" -q 1 -V mqttv5 \
        -t v1/devices/me/telemetry -f "$SIGNALBOX_TEST_DIR/wide.json" || fail "a message of $wide values is not acknowledged"
done
stop_server
start_server
for wide in 600 700 3000 10000; do
    expect "values of a message of $wide that are as they were sent" "$(sql "SELECT count(*) FROM reading_values
        WHERE ts = to_timestamp(1700000000.0 + $wide / 1000.0) AND value = substr(metric, 2)::int + $wide")" $wide
done
expect "operations that PostgreSQL refused" "$(grep -c '"event":"operation_refused"' "$TEST_LOG" || true)" 0
