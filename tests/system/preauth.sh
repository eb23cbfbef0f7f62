# Peers that never say who they are: they are gone in time, cost little, and good devices get in beside them.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export CONNECT_TIMEOUT=3 SANITIZED=""
[[ -z ${SIGNALBOX_FULL:-} ]] || CONNECT_TIMEOUT=10
if grep -q __asan_init "$SIGNALBOX_BIN"; then SANITIZED=1; fi
start_postgres
start_server "connect_timeout=${CONNECT_TIMEOUT}s"
python3 "$SIGNALBOX_ROOT/tests/system/parts/preauth.py"
