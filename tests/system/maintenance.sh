# Maintenance plans over TLS and REST: counts that survive shuffles and kills, due dates, work orders, services, reliability.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server maintenance_interval=200ms state_flush=1s lateness=30s
python3 "$SIGNALBOX_ROOT/tests/system/parts/maintenance.py"
