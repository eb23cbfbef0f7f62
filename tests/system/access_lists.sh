# Who may use which topic: lists of the device type, placeholders, and changes that act on sessions that live.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server net_loops=3 connects_per_device=0
python3 "$SIGNALBOX_ROOT/tests/system/parts/access_lists.py"
