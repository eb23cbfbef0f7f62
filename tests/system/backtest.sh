# A backtest over a recorded period is the live history of that period, byte for byte: on one loop and on three, in order and
# shuffled, over the server's history and over the files themselves.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server net_loops=1
python3 "$SIGNALBOX_ROOT/tests/system/parts/backtest.py"
