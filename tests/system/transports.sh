# The ways in: ALPN, WebSocket, a proxy in front, the open listener. What comes in is the same everywhere.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
create_server
# shellcheck disable=SC1091
. "$SIGNALBOX_TEST_DIR/server.env"
start_server "open_listener=127.0.0.1:$SIGNALBOX_OPEN_PORT" connects_per_device=0
python3 "$SIGNALBOX_ROOT/tests/system/parts/transports.py"
