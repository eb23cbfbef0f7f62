# One device sends its samples in reverse order, all within the lateness: it costs itself, others are answered, no alert is wrong.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
python3 "$SIGNALBOX_ROOT/tests/system/parts/out_of_order.py"
