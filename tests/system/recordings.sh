# Real recordings over TLS give exactly the expected alerts: in order, shuffled and doubled, with the server killed half-way.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ -n $SIGNALBOX_DATA ]] || skip "the recordings are not here"
start_postgres
start_server
python3 "$SIGNALBOX_ROOT/tests/system/parts/recordings.py"
