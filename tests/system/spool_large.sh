# The largest message that the settings allow goes through the spool like any other.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server "spool_dir=$TEST_VAR/spool" spool_after=1s packet_max=16MiB
token=$(device large-1)
stop_postgres
spools() { [[ $(metric spooling) == 1 ]]; }
publish "$token" '{"ts":1700000000000,"values":{"t":1}}'
wait_until 20 spools || fail "the server does not spool"
printf '{"ts":1700000001000,"values":{"t":2%*s}}' $((15 << 20)) "" >"$SIGNALBOX_TEST_DIR/large.json"
timeout 20 mosquitto_pub --cafile "$SIGNALBOX_CA" -h localhost -p "$SIGNALBOX_MQTT_PORT" -u "$token" -q 1 -V mqttv5 \
    -t v1/devices/me/telemetry -f "$SIGNALBOX_TEST_DIR/large.json" || fail "a message of 15 MiB is not acknowledged while PostgreSQL is away"
start_postgres
spool_is_empty() { [[ $(metric spooling) == 0 && $(metric spool_bytes) == 0 ]]; }
wait_until 30 spool_is_empty || fail "the spool is not empty: $(metric spool_bytes) bytes"
expect "both readings are stored" "$(sql "SELECT count(*) FROM reading_values")" 2
expect "nothing is in flight" "$(metric messages_in_flight)" 0
