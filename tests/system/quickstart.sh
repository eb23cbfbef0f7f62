# deploy/quickstart: ready, quick the second time, restarts what was killed, keeps the data, stops what it started.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ $SIGNALBOX_BIN == "$SIGNALBOX_ROOT/build/signalbox" ]] || skip "quickstart builds its own program"

VAR=$SIGNALBOX_TEST_DIR/quick
read -ra ports < <(free_ports 4)
quickstart() { "$SIGNALBOX_ROOT/deploy/quickstart" --var "$VAR" "$@"; }
test_undo() { quickstart --stop; }
SIGNALBOX_URL=http://127.0.0.1:${ports[1]}

quickstart --no-demo --detach --mqtt-port "${ports[0]}" --http-port "${ports[1]}"
ready || fail "it returned before the server was ready"
pid=$(cat "$VAR/signalbox.pid")
process_lives "$pid" "$VAR/" || fail "signalbox.pid does not name the server"
expect "mode of the token's file" "$(stat -c %a "$VAR/admin.token")" 600
openssl x509 -in "$VAR/ca.pem" -noout || fail "ca.pem is no certificate"
SIGNALBOX_TOKEN=$(cat "$VAR/admin.token")
expect "status with the admin token" "$(api_status GET '/v1/devices?limit=1' | head -n 1)" 200
SIGNALBOX_TOKEN=wrong
expect "status with a wrong token" "$(api_status GET '/v1/devices?limit=1' | head -n 1)" 401
SIGNALBOX_TOKEN=$(cat "$VAR/admin.token")
if ((EUID == 0)); then
    [[ $(stat -c %U "/proc/$(head -n 1 "$VAR/pg/data/postmaster.pid")") != root ]] || fail "PostgreSQL runs as root"
fi
api POST /v1/devices '{"name":"kept","type":"generic"}' >/dev/null

began=$SECONDS
quickstart --no-demo --detach
((SECONDS - began < 10)) || fail "the second run took $((SECONDS - began)) s"
expect "the server of the second run" "$(cat "$VAR/signalbox.pid")" "$pid"
expect "the token of the second run" "$(cat "$VAR/admin.token")" "$SIGNALBOX_TOKEN"

kill -KILL "$pid"
wait_until 10 bash -c "! [[ -s /proc/$pid/cmdline ]]"
quickstart --no-demo --detach
ready || fail "it does not start what was killed"
expect "status of a device from before" "$(api_status GET /v1/devices/kept | head -n 1)" 200

quickstart --no-demo --detach --open-listener "${ports[2]}"
port_busy "${ports[2]}" || fail "--open-listener does not listen"
mosquitto_pub -h 127.0.0.1 -p "${ports[2]}" -q 1 -t any/topic -m hello || fail "the open listener refuses a client"
if quickstart --no-demo --detach --http-port notaport 2>"$SIGNALBOX_TEST_DIR/error.log"; then fail "a port that is none is accepted"; fi

quickstart --stop
[[ ! -e $VAR/signalbox.pid ]] || fail "signalbox.pid is left behind"
for port in "${ports[@]:0:3}"; do
    if port_busy "$port"; then fail "port $port is still open after --stop"; fi
done
if postgres_running "$(realpath "$VAR/pg")"; then fail "PostgreSQL still runs after --stop"; fi

python3 -m http.server --bind 127.0.0.1 "${ports[1]}" >/dev/null 2>&1 &
other=$!
wait_until 10 port_busy "${ports[1]}"
if quickstart --no-demo --detach 2>"$SIGNALBOX_TEST_DIR/error.log"; then kill "$other" && fail "a busy port goes unnoticed"; fi
kill "$other"
grep -q "port ${ports[1]} is in use" "$SIGNALBOX_TEST_DIR/error.log" || fail "no word of the busy port: $(cat "$SIGNALBOX_TEST_DIR/error.log")"
checks=$((checks + 10))
