# Messages between devices: each QoS, retained, wills, shared subscriptions, absent sessions, rights; on one net loop and on three.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server
python3 "$SIGNALBOX_ROOT/tests/system/parts/routing.py" 1
stop_server
sql "DELETE FROM devices; DELETE FROM device_types WHERE name <> 'generic'"
start_server net_loops=3
python3 "$SIGNALBOX_ROOT/tests/system/parts/routing.py" 3
