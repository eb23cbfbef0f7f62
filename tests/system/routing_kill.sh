# Messages between devices while the server is killed: nothing acknowledged is lost, QoS 2 comes once, order holds, retained values are
# the last ones. 4 kills; with SIGNALBOX_FULL=1 40 kills, then 20 on three net loops.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
kills=4
[[ ${SIGNALBOX_FULL:-} != 1 ]] || kills=40
start_postgres
start_server session_queue_max=1000000 session_queue=1GiB
python3 "$SIGNALBOX_ROOT/tests/system/parts/routing_kill.py" $kills 3 4 4
if [[ ${SIGNALBOX_FULL:-} == 1 ]]; then
    stop_server
    sql "DELETE FROM devices; DELETE FROM device_types WHERE name <> 'generic'; DELETE FROM retained"
    start_server net_loops=3
    python3 "$SIGNALBOX_ROOT/tests/system/parts/routing_kill.py" 20 3 4 4
fi
