# Subscribers that do not read, beside others that do: what they cost, how they end, what waits for them, and what all together may have.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export SANITIZED=""
# A sanitizer's own memory says nothing about the program's.
if grep -qE '__(asan|tsan)_init' "$SIGNALBOX_BIN"; then SANITIZED=1; fi
start_postgres
start_server send_timeout=2s session_queue=64KiB session_queue_max=150 connects_per_device=0 net_loops=2
python3 "$SIGNALBOX_ROOT/tests/system/parts/slow_consumers.py" one
stop_server
start_server queues_max=1MiB session_queue=4MiB session_queue_max=1000
python3 "$SIGNALBOX_ROOT/tests/system/parts/slow_consumers.py" all
