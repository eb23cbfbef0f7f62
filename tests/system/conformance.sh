# What OASIS MQTT 3.1.1 and 5.0 say a server does between its clients, scenario by scenario, on the open listener.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
create_server
# shellcheck disable=SC1091
. "$SIGNALBOX_TEST_DIR/server.env"
start_server "open_listener=127.0.0.1:$SIGNALBOX_OPEN_PORT"
python3 "$SIGNALBOX_ROOT/tests/system/parts/conformance.py"
