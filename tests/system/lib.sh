#!/usr/bin/env bash
# What the system tests share: a PostgreSQL and a server of one's own, a client for the API, waiting, and the end of it all.
#
# A shell test sources this file. Any other program runs its functions as commands, `bash tests/system/lib.sh start_server`:
# all state is in files below SIGNALBOX_TEST_DIR, so that both ways can be mixed. `bash tests/system/lib.sh with COMMAND…`
# starts both, runs the command with SIGNALBOX_URL and the rest of server.env set, and stops them.
#
#   start_postgres [SETTING=VALUE…]   create and start it; again after stop_postgres or kill_postgres
#   stop_postgres, kill_postgres      fast shutdown; SIGKILL to all of it
#   sql "SELECT …"                    as the server's role, unaligned, without header
#   start_server [SETTING=VALUE…]     settings of the file; waits until /readyz is 200; again after stop or kill
#   stop_server, kill_server          SIGTERM and wait; SIGKILL
#   wait_ready [SECONDS]              /readyz is 200
#   api METHOD PATH [BODY]            prints the body; fails on a status of 400 and above; API_TYPE, API_ACCEPT
#   api_status METHOD PATH [BODY]     prints the status, then the body, and does not fail
#   device NAME [TYPE] [JSON FIELDS]  creates a device with a token; prints the token
#   publish TOKEN JSON [TOPIC]        QoS 1 by mosquitto_pub; returns after the PUBACK
#   metric NAME                       a number of /metrics, without `signalbox_`
#   wait_until SECONDS COMMAND…       until the command succeeds
#   expect WORDS ACTUAL EXPECTED      equal, or the test fails; counts a check
#   skip WORDS, fail WORDS
#
# Variables after start_server: SIGNALBOX_URL, SIGNALBOX_TOKEN, SIGNALBOX_CA, SIGNALBOX_MQTT_PORT, SIGNALBOX_HTTP_PORT,
# SIGNALBOX_CONFIG, SIGNALBOX_ALERTS (the alert log); SIGNALBOX_BIN, SIGNALBOX_BUILD, SIGNALBOX_DATA from tests/run.
set -euo pipefail
umask 022
SIGNALBOX_ROOT=${SIGNALBOX_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
SIGNALBOX_BIN=${SIGNALBOX_BIN:-$SIGNALBOX_ROOT/build/signalbox}
SIGNALBOX_BUILD=${SIGNALBOX_BUILD:-$SIGNALBOX_ROOT/build}
SIGNALBOX_DATA=${SIGNALBOX_DATA-$([[ -d $SIGNALBOX_ROOT/../shared/data ]] && echo "$SIGNALBOX_ROOT/../shared/data" || true)}
# shellcheck source=../../deploy/common.sh
. "$SIGNALBOX_ROOT/deploy/common.sh"

if [[ -z ${SIGNALBOX_TEST_DIR:-} ]]; then # run by hand
    SIGNALBOX_TEST_DIR=$(mktemp -d /tmp/sbtest.XXXXXX)
    SIGNALBOX_TEST_OWN=1
fi
chmod 755 "$SIGNALBOX_TEST_DIR"
export SIGNALBOX_ROOT SIGNALBOX_BIN SIGNALBOX_BUILD SIGNALBOX_DATA SIGNALBOX_TEST_DIR
TEST_PG=$SIGNALBOX_TEST_DIR/pg
TEST_VAR=$SIGNALBOX_TEST_DIR/var
TEST_LOG=$SIGNALBOX_TEST_DIR/server.log
SIGNALBOX_CONFIG=$TEST_VAR/signalbox.yaml
SIGNALBOX_CA=$TEST_VAR/ca.pem
SIGNALBOX_ALERTS=$SIGNALBOX_TEST_DIR/alerts.jsonl
export SIGNALBOX_CONFIG SIGNALBOX_CA SIGNALBOX_ALERTS
# shellcheck disable=SC1091
if [[ -e $SIGNALBOX_TEST_DIR/server.env ]]; then . "$SIGNALBOX_TEST_DIR/server.env"; fi
checks=0

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
skip() {
    printf '%s\n' "$*"
    exit 77
}
expect() { # WORDS ACTUAL EXPECTED
    checks=$((checks + 1))
    [[ $2 == "$3" ]] || fail "$1: got '$2', expected '$3'"
}
wait_until() { # SECONDS COMMAND…
    local tenths=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        ((tenths-- > 0)) || return 1
        sleep 0.1
    done
}

# --- PostgreSQL -------------------------------------------------------------------------------------------------------

start_postgres() { # [SETTING=VALUE…] : a gigabyte machine's worth of it
    postgres_start "$TEST_PG" 1024 "$@" || fail "PostgreSQL did not start"
    postgres_url "$TEST_PG" >"$SIGNALBOX_TEST_DIR/database_url"
}
stop_postgres() { postgres_stop "$TEST_PG" fast; }
kill_postgres() { # the postmaster and all its children, at once
    local postmaster
    postmaster=$(head -n 1 "$TEST_PG/data/postmaster.pid")
    # shellcheck disable=SC2046
    kill -KILL "$postmaster" $(cat "/proc/$postmaster/task/$postmaster/children") 2>/dev/null || true
    wait_until 10 bash -c "! kill -0 $postmaster" || fail "PostgreSQL $postmaster survives SIGKILL"
}
sql() { psql -X -q -tA -v ON_ERROR_STOP=1 -d "$(cat "$SIGNALBOX_TEST_DIR/database_url")" -c "$1"; }

# --- the server -------------------------------------------------------------------------------------------------------

server_pid() { cat "$SIGNALBOX_TEST_DIR/server.pid" 2>/dev/null || echo 0; }
server_lives() { process_lives "$(server_pid)" "$TEST_VAR/"; }

create_server() { # once: settings, CA, schema, admin token
    local ports
    mkdir -p "$TEST_VAR"
    "$SIGNALBOX_BIN" init --dir "$TEST_VAR" --names localhost,127.0.0.1 >>"$TEST_LOG" 2>&1 || fail "signalbox init: $(tail -n 3 "$TEST_LOG")"
    read -ra ports < <(free_ports 3)
    setting_put "$SIGNALBOX_CONFIG" database_url "$(cat "$SIGNALBOX_TEST_DIR/database_url")"
    setting_put "$SIGNALBOX_CONFIG" device_listen "127.0.0.1:${ports[0]}"
    setting_put "$SIGNALBOX_CONFIG" http_listen "127.0.0.1:${ports[1]}"
    setting_put "$SIGNALBOX_CONFIG" alert_log "$SIGNALBOX_ALERTS"
    "$SIGNALBOX_BIN" --config "$SIGNALBOX_CONFIG" migrate >>"$TEST_LOG" 2>&1 || fail "signalbox migrate: $(tail -n 3 "$TEST_LOG")"
    cat >"$SIGNALBOX_TEST_DIR/server.env" <<ENV
export SIGNALBOX_MQTT_PORT=${ports[0]} SIGNALBOX_HTTP_PORT=${ports[1]} SIGNALBOX_OPEN_PORT=${ports[2]}
export SIGNALBOX_URL=http://127.0.0.1:${ports[1]}
ENV
}

start_server() { # [SETTING=VALUE…]
    local setting
    [[ -e $SIGNALBOX_TEST_DIR/server.env ]] || create_server
    # shellcheck disable=SC1091
    . "$SIGNALBOX_TEST_DIR/server.env"
    for setting; do setting_put "$SIGNALBOX_CONFIG" "${setting%%=*}" "${setting#*=}"; done
    limits_raise
    process_start "$TEST_VAR/" "$TEST_LOG" "$SIGNALBOX_BIN" --config "$SIGNALBOX_CONFIG" serve
    echo "$STARTED_PID" >"$SIGNALBOX_TEST_DIR/server.pid"
    [[ ${START_NOWAIT:-} == 1 ]] && return
    wait_ready 60 || fail "the server is not ready: $(tail -n 5 "$TEST_LOG")"
    if [[ -z ${SIGNALBOX_TOKEN:-} ]]; then
        SIGNALBOX_TOKEN=$("$SIGNALBOX_BIN" --config "$SIGNALBOX_CONFIG" token create test --scopes admin 2>>"$TEST_LOG") || fail "signalbox token create"
        echo "export SIGNALBOX_TOKEN=$SIGNALBOX_TOKEN" >>"$SIGNALBOX_TEST_DIR/server.env"
        export SIGNALBOX_TOKEN
    fi
}
stop_server() { process_stop "$(server_pid)" "$TEST_VAR/" 60 || fail "the server did not stop"; }
kill_server() {
    kill -KILL "$(server_pid)" 2>/dev/null || true
    wait_until 10 bash -c "! [[ -s /proc/$(server_pid)/cmdline ]]" || fail "the server survives SIGKILL"
}
ready() { curl -fsS --max-time 5 -o /dev/null "$SIGNALBOX_URL/readyz" 2>/dev/null; }
wait_ready() { # [SECONDS]
    local tenths=$((${1:-30} * 10))
    until ready; do
        server_lives || return 1
        ((tenths-- > 0)) || return 1
        sleep 0.1
    done
}

# --- clients ----------------------------------------------------------------------------------------------------------

api_call() { # METHOD PATH BODY|"" curl's arguments
    local method=$1 path=$2 body=$3
    shift 3
    local data=()
    [[ -z $body ]] || data=(-H "Content-Type: ${API_TYPE:-application/json}" --data-binary "$body")
    curl -sS --max-time "${API_SECONDS:-60}" -X "$method" -H "Authorization: Bearer $SIGNALBOX_TOKEN" \
        ${API_ACCEPT:+-H "Accept: $API_ACCEPT"} "${data[@]}" "$@" "$SIGNALBOX_URL$path"
}
api() { api_call "$1" "$2" "${3:-}" --fail-with-body; }
api_status() { api_call "$1" "$2" "${3:-}" -w '\n%{http_code}' | awk '{ line[NR] = $0 } END { print line[NR]; for (i = 1; i < NR; i++) print line[i] }'; }
device() { # NAME [TYPE] [MORE JSON FIELDS]
    api POST /v1/devices "{\"name\":\"$1\",\"type\":\"${2:-generic}\"${3:+,$3}}" >/dev/null &&
        api POST "/v1/devices/$1/credentials" '{"kind":"token"}' | jq -er .token
}
publish() { # TOKEN JSON [TOPIC]
    mosquitto_pub --cafile "$SIGNALBOX_CA" -h localhost -p "$SIGNALBOX_MQTT_PORT" -u "$1" -q 1 -V mqttv5 \
        -t "${3:-v1/devices/me/telemetry}" -m "$2"
}
metric() { curl -fsS "$SIGNALBOX_URL/metrics" | awk -v name="signalbox_$1" '$1 == name { print $2 }'; }

# --- the end ----------------------------------------------------------------------------------------------------------

cleanup() {
    process_stop "$(server_pid)" "$TEST_VAR/" 20 || true
    if [[ -s $TEST_PG/data/PG_VERSION ]]; then postgres_stop "$TEST_PG" immediate || true; fi
}

with() { # COMMAND… : with a server that is ready
    start_postgres
    start_server
    "$@"
}

finished() { # of a test that sources this file; `test_undo`, if it has one, before the rest
    local code=$?
    trap - EXIT
    if declare -F test_undo >/dev/null; then test_undo >/dev/null 2>&1 || true; fi
    if ((code != 0 && code != 77)); then tail -n 20 "$TEST_LOG" 2>/dev/null | sed 's/^/server: /' >&2 || true; fi
    cleanup
    if [[ ${SIGNALBOX_TEST_OWN:-} == 1 ]]; then
        if ((code == 0)); then rm -rf "$SIGNALBOX_TEST_DIR"; else echo "kept: $SIGNALBOX_TEST_DIR" >&2; fi
    fi
    if ((code == 0 && checks > 0)); then echo "# $checks checks"; fi
    exit "$code"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    if [[ ${1:-} == with ]]; then
        trap finished EXIT
        trap 'exit 143' INT TERM
    fi
    "${@:?a function and its arguments}"
else
    trap finished EXIT
    trap 'exit 143' INT TERM
fi
