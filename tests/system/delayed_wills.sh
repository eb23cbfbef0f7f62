# Wills with a delay, over restarts and kills: published once when they are due, cancelled by a return, as long as it takes.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server connects_per_device=0 net_loops=2
python3 "$SIGNALBOX_ROOT/tests/system/parts/delayed_wills.py"
