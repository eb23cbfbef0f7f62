# Commands and answers, rules that act, gateways and children, sessions that last, kinds of values: over TLS, by hand-written bytes.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
python3 "$SIGNALBOX_ROOT/tests/system/parts/devices.py"
