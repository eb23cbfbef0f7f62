# The HTTP interface, endpoint by endpoint, right and wrong: alone on a database, then with the whole server behind it.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
contract=$SIGNALBOX_ROOT/tests/system/parts/api_contract.py
passed=$SIGNALBOX_TEST_DIR/contract.log
start_postgres
python3 "$contract" --harness "$SIGNALBOX_BUILD/system_api_server" --database "$(cat "$SIGNALBOX_TEST_DIR/database_url")" | tee "$passed"
postgres_sql "$TEST_PG" -c "DROP DATABASE signalbox" -c "CREATE DATABASE signalbox OWNER signalbox"
start_server
wait_until 5 api GET "/v1/devices?limit=1" || fail "the admin token does not work"
python3 "$contract" --base "$SIGNALBOX_URL" --token "$SIGNALBOX_TOKEN" | tee -a "$passed"
checks=$(awk '/checks passed$/ { n += $2 } END { print n }' "$passed")
