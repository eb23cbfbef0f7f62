# A bus past its 36 stops and 1,126 vessels in four boxes: enters, exits and dwells exactly, also out of order and over a kill.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ -n $SIGNALBOX_DATA && -e $SIGNALBOX_DATA/gps304/expected.json ]] || skip "the recordings are not here"
start_postgres
start_server
python3 "$SIGNALBOX_ROOT/tests/system/parts/geofences.py"
