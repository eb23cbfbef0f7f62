# Bad input costs the peer that sent it and nobody else, gets a clear answer, is counted and listed.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
python3 "$SIGNALBOX_ROOT/tests/system/parts/bad_input.py"
