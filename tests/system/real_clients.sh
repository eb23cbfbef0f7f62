# Clients that people use, as they are: mosquitto's programs, Eclipse Paho in C and Python, MQTT.js, ThingsBoard's device API.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
parts=$SIGNALBOX_ROOT/tests/system/parts
/usr/bin/python3 -c 'import paho.mqtt.client' 2>/dev/null || skip "Paho for Python is not installed: apt-get install python3-paho-mqtt"
[[ -e /usr/include/MQTTClient.h ]] || skip "Paho for C is not installed: apt-get install libpaho-mqtt-dev"
cc -std=c17 -Wall -Wextra -Werror -O1 "$parts/paho_client.c" -o "$SIGNALBOX_TEST_DIR/paho_client" -lpaho-mqtt3cs || fail "paho_client.c"

# MQTT.js is no Debian package: from npm's registry, into the folder of this test.
export MQTT_JS="" MQTT_JS_WHY=""
if ! command -v npm >/dev/null; then
    MQTT_JS_WHY="npm is not installed"
elif timeout 120 npm install --no-audit --no-fund --no-save --prefix "$SIGNALBOX_TEST_DIR/js" mqtt@5 >"$SIGNALBOX_TEST_DIR/npm.log" 2>&1; then
    MQTT_JS=$SIGNALBOX_TEST_DIR/js
else
    MQTT_JS_WHY="npm install mqtt: $(tail -n 1 "$SIGNALBOX_TEST_DIR/npm.log")"
fi
start_postgres
start_server
/usr/bin/python3 "$parts/real_clients.py"
