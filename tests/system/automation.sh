# Rules that act on other machines over TLS: gateway children, what is desired, minimum times, loop guard, people who take over.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
start_server automation_per_minute=10
python3 "$SIGNALBOX_ROOT/tests/system/parts/automation.py"
