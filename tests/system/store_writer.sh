# The writer keeps its promises against a real PostgreSQL: duplicates, refused rows, lost connections, a second server.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
"$SIGNALBOX_BUILD/system_store_writer" "$(cat "$SIGNALBOX_TEST_DIR/database_url")" || fail "see above"
