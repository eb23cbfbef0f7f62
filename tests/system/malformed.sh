# Packets that break a rule, each answered as the standards say, and a device beside them that notices nothing.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
create_server
# shellcheck disable=SC1091
. "$SIGNALBOX_TEST_DIR/server.env"
start_server "open_listener=127.0.0.1:$SIGNALBOX_OPEN_PORT"
python3 "$SIGNALBOX_ROOT/tests/system/parts/malformed.py"
