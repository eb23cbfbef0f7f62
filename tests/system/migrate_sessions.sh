# A database of the first three migrations with sessions in it: none is lost on the way to the newest, and their clients find them again.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres
sql "CREATE TABLE migrations (number int PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
number=0
for file in "$SIGNALBOX_ROOT"/migrations/000[123]_*.sql; do
    number=$((number + 1))
    psql -X -q -1 -v ON_ERROR_STOP=1 -d "$(cat "$SIGNALBOX_TEST_DIR/database_url")" -f "$file" >>"$TEST_LOG"
    sql "INSERT INTO migrations (number, name, sha256) VALUES ($number, '$(basename "$file")', '$(sha256sum "$file" | cut -d ' ' -f 1)')"
done
expect "the first migrations" "$number" 3
long=$(printf 'x%.0s' {1..128})
sql "INSERT INTO device_types (name, definition, any_metric) VALUES
         ('talker', '{\"metrics\":{},\"commands\":[],\"topics\":{\"publish\":[\"t/#\"],\"subscribe\":[\"t/#\"]}}', true);
     INSERT INTO devices (name, type_id) SELECT n, t.id FROM device_types t, unnest(ARRAY['ann', 'bob']) n WHERE t.name = 'talker';
     INSERT INTO sessions (device_id, client_id, filters, expiry_s, updated_at)
     SELECT d.id, s.c, s.f::jsonb, s.e, now() - s.ago::interval FROM devices d JOIN (VALUES
         ('ann', 'one', '[{\"filter\":\"t/x\",\"options\":1,\"identifier\":0},{\"filter\":\"v1/devices/me/rpc/request/+\",\"options\":1,\"identifier\":7}]', 3600, '1 s'),
         ('ann', '$long', '[]', 3600, '1 min'),
         ('ann', 'gone', '[{\"filter\":\"t/x\",\"options\":1,\"identifier\":0}]', 60, '1 hour'),
         ('bob', 'one', '[{\"filter\":\"t/#\",\"options\":2,\"identifier\":268435455}]', 604800, '1 day'),
         ('bob', 'zwölf', '[{\"filter\":\"u/forbidden\",\"options\":0,\"identifier\":0}]', 3600, '0')) s (n, c, f, e, ago) ON s.n = d.name"
create_server
want="ann|one|{\"t/x\": [1, 0], \"v1/devices/me/rpc/request/+\": [1, 7]}|3600
ann|gone|{\"t/x\": [1, 0]}|60
ann|$long|{}|3600
bob|one|{\"t/#\": [2, 268435455]}|604800
bob|zwölf|{\"u/forbidden\": [0, 0]}|3600"
rows="SELECT d.name, s.client_id, s.filters, s.expiry_s FROM sessions s JOIN devices d ON d.id = s.device_id ORDER BY d.name, s.client_id COLLATE \"C\""
expect "every row is there" "$(sql "$rows" | sort)" "$(printf '%s\n' "$want" | sort)"
expect "with a number of its own" "$(sql "SELECT count(DISTINCT id), min(id) > 0, bool_and(client_hash = sha256(convert_to(client_id, 'UTF8'))) FROM sessions")" "5|t|t"
start_server
want=$(printf '%s\n' "$want" | grep -v gone | sed 's/{"u.forbidden": \[0, 0\]}/{}/' | sort)
as_wanted() { [[ $(sql "$rows" | sort) == "$want" ]]; }
wait_until 20 as_wanted || true
expect "what has expired is gone, what is not allowed is given up" "$(sql "$rows" | sort)" "$want"
python3 - <<'PYTHON'
import os, sys
sys.path.insert(0, os.path.join(os.environ["SIGNALBOX_ROOT"], "tests/system/parts"))
from house import CA, MQTT_PORT, api, check, finish, metric
from mqtt_peer import Peer

tokens = {n: api("POST", f"/v1/devices/{n}/credentials", {"kind": "token"})["token"] for n in ("ann", "bob")}
check("all sessions are known", metric("sessions"), 4)
author = Peer(MQTT_PORT, CA, "author", tokens["ann"])
check("a message finds their subscriptions", author.put("t/x", "after", qos=2), 0)
for name, client, qos, identifier in (("ann", "one", 1, None), ("bob", "one", 2, [268435455])):
    c = Peer(MQTT_PORT, CA, client, tokens[name], clean=False, expires=3600)
    m = c.take()
    check(f"{name}/{client}: the session is there, and what came for it", (c.session_present, m[:3], m.properties.get(0x0B)), (1, ("t/x", "after", qos), identifier))
    c.leave()
for name, client in (("ann", "x" * 128), ("bob", "zw\u00f6lf")):
    check(f"{name}/{client[:5]}: the session is there", Peer(MQTT_PORT, CA, client, tokens[name], clean=False, expires=60).session_present, 1)
check("one that had expired is not", Peer(MQTT_PORT, CA, "gone", tokens["ann"], clean=False, expires=60).session_present, 0)
api("POST", "/v1/devices/ann/commands", {"method": "beep"})
c = Peer(MQTT_PORT, CA, "one", tokens["ann"], clean=False, expires=60)
m = c.take()
check("commands find their filter too", (m.topic.startswith("v1/devices/me/rpc/request/"), m.properties[0x0B]), (True, [7]))
sys.exit(finish())
PYTHON
