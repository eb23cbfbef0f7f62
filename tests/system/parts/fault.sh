# Sourced by the fault tests after lib.sh: load with a book, a balance that is watched, a bad line in between, figures.
#
#   load_devices N                    imports N devices of the load
#   load_start ARGUMENTS…             bench_ledger in the background, to LOAD_PORT or the server's port; one book each time
#   load_end                          waits; every message must have been acknowledged, and in order
#   load_count NAME                   a number of the last load's own report: messages, resent, connects …
#   load_verify                       all books against the database: lost, altered, dup, phantom, refused must be 0
#   watch_start [--ping TOKEN]        reads /livez and /metrics five times a second; watch_end checks and prints what it saw
#   watched NAME                      a number of what it saw
#   proxy_start NAME LISTEN TO …      a bad line; order NAME WORDS…; proxied NAME COUNTER
#   postgres_pids                     the postmaster and all its children
#   note KIND                         a moment, for `since`
#   moment KIND, grown COUNTER A B    the last of a kind in µs; how much a counter grew between two of them
#   since KIND                        the longest time in ms from such a moment to the next PUBACK in the books
#   at_most WORDS ACTUAL LIMIT, at_least WORDS ACTUAL LIMIT
#                                     the short form allows WORDS that begin with `ms` ten times the limit: its machine may be busy
# shellcheck shell=bash
LOAD_SECRET=fault-secret
LOAD_BOOKS=()
PARTS=$SIGNALBOX_ROOT/tests/system/parts
MOMENTS=$SIGNALBOX_TEST_DIR/moments
# Without the second durable tier, so that its absence is not what is tested; SIGNALBOX_SPOOL=1: with it.
SPOOL=(spool_dir=)
[[ ${SIGNALBOX_SPOOL:-} != 1 ]] || SPOOL=("spool_dir=$TEST_VAR/spool" spool_after=1s)
full() { [[ ${SIGNALBOX_FULL:-} == 1 ]]; }
sanitized() { grep -q __asan_init "$SIGNALBOX_BIN"; } # its memory says nothing

figure() { printf '%-58s %s\n' "$1" "$2"; }
# From A to B (moments): how much a counter of /metrics grew, by what the watch saw of it within that time.
grown() { # COUNTER A B
    jq -s --arg name "$1" --argjson from "$(moment "$2")" --argjson to "$(moment "$3")" \
        '[.[] | select(.t * 1e6 >= $from and .t * 1e6 <= $to) | .[$name]] | if length == 0 then 0 else last - first end' \
        "$SIGNALBOX_TEST_DIR/watch.jsonl"
}
moment() { awk -v kind="$1" '$2 == kind { at = $1 } END { print at }' "$MOMENTS"; } # the last of its kind, in µs
at_most() { # WORDS ACTUAL LIMIT
    local limit=$3
    [[ $1 != ms* ]] || full || limit=$(($3 * 10))
    figure "$1 (at most $3)" "$2"
    checks=$((checks + 1))
    (($2 <= limit)) || fail "$1: $2, at most $3 is promised"
}
at_least() {
    figure "$1 (at least $3)" "$2"
    checks=$((checks + 1))
    (($2 >= $3)) || fail "$1: $2, at least $3 is needed"
}

# --- load -------------------------------------------------------------------------------------------------------------

load_devices() { # N
    LOAD_DEVICES=$1
    "$SIGNALBOX_BUILD/bench_ledger" --csv --devices "$1" --secret $LOAD_SECRET >"$SIGNALBOX_TEST_DIR/devices.csv"
    API_TYPE=text/csv api POST /v1/devices/import "@$SIGNALBOX_TEST_DIR/devices.csv" >/dev/null || fail "importing devices"
}

load_start() { # ARGUMENTS…
    local book=$SIGNALBOX_TEST_DIR/book${#LOAD_BOOKS[@]}.csv
    LOAD_BOOKS+=("$book")
    LOAD_REPORT=${book%.csv}.log
    # By the clock, as it would be, the values of two that start together are the same ones.
    "$SIGNALBOX_BUILD/bench_ledger" --first-nonce $((${#LOAD_BOOKS[@]} * 10 ** 14)) --devices "$LOAD_DEVICES" --secret $LOAD_SECRET --host 127.0.0.1 \
        --port "${LOAD_PORT:-$SIGNALBOX_MQTT_PORT}" --cafile "$SIGNALBOX_CA" --file "$book" "$@" >"$LOAD_REPORT" 2>&1 &
    LOAD_PID=$!
}

load_end() {
    wait "$LOAD_PID" || fail "the load did not end well: $(tail -n 3 "$LOAD_REPORT")"
    expect "PUBACKs out of order" "$(load_count unordered_acks)" 0
}

load_count() { tail -n 1 "$LOAD_REPORT" | jq -er ".$1"; }

load_verify() {
    local counts
    counts=$(python3 "$PARTS/ledger_verify.py" "${LOAD_BOOKS[@]}" "$(cat "$SIGNALBOX_TEST_DIR/database_url")") ||
        fail "the books do not match the database: $counts"
    figure "values sent / found" "$(jq -r '"\(.sent) / \(.found)"' <<<"$counts")"
    figure "lost, altered, dup, phantom, refused" "$(jq -r '"\(.lost) \(.altered) \(.dup) \(.phantom) \(.refused)"' <<<"$counts")"
    checks=$((checks + 5))
}

# --- what the server says of itself -----------------------------------------------------------------------------------

watch_start() { # [--ping TOKEN]
    python3 "$PARTS/fault_watch.py" --url "$SIGNALBOX_URL" --pid-file "$SIGNALBOX_TEST_DIR/server.pid" \
        --out "$SIGNALBOX_TEST_DIR/watch.jsonl" "$@" >"$SIGNALBOX_TEST_DIR/watch.log" 2>&1 &
    WATCH_PID=$!
}
watch_end() {
    kill -TERM "$WATCH_PID" 2>/dev/null || true
    wait "$WATCH_PID" || fail "the balance: $(cat "$SIGNALBOX_TEST_DIR/watch.log")"
    expect "the balance is watched" "$(($(watched scrapes) > 10))" 1
    figure "scrapes, all balanced" "$(watched scrapes)"
}
watched() { tail -n 1 "$SIGNALBOX_TEST_DIR/watch.log" | jq -r ".$1"; }

# --- a bad line -------------------------------------------------------------------------------------------------------

proxy_start() { # NAME LISTEN TO [--postgres]
    local name=$1 control=$SIGNALBOX_TEST_DIR/$1.control
    rm -f "$control"
    mkfifo "$control"
    "$SIGNALBOX_BUILD/system_fault_proxy" --listen "$2" --to "$3" --control "$control" --status "$SIGNALBOX_TEST_DIR/$name.status" \
        "${@:4}" >>"$SIGNALBOX_TEST_DIR/$name.log" 2>&1 &
    PROXY_PIDS+=("$!")
    wait_until 5 test -s "$SIGNALBOX_TEST_DIR/$name.status" || fail "the proxy: $(cat "$SIGNALBOX_TEST_DIR/$name.log")"
}
PROXY_PIDS=()
order() { # NAME WORDS…
    local name=$1
    shift
    echo "$*" >"$SIGNALBOX_TEST_DIR/$name.control"
}
proxied() { # NAME COUNTER : as of now
    sleep 0.2
    tr ' ' '\n' <"$SIGNALBOX_TEST_DIR/$1.status" | sed -n "s/^$2=//p"
}
# The database through a bad line: `database_url` of the server's settings. Over a Unix socket, or over TCP.
postgres_socket_path() { echo "$(postgres_socket "$TEST_PG")/.s.PGSQL.5432"; }

postgres_pids() {
    local postmaster
    postmaster=$(head -n 1 "$TEST_PG/data/postmaster.pid")
    echo "$postmaster $(cat "/proc/$postmaster/task/$postmaster/children")"
}

# --- moments ----------------------------------------------------------------------------------------------------------

note() { echo "${EPOCHREALTIME/[.,]/} $1" >>"$MOMENTS"; }
since() { python3 "$PARTS/fault_figures.py" "$MOMENTS" "$1" "${LOAD_BOOKS[@]}"; }

# Ends what runs beside the test; the server and PostgreSQL are ended by lib.sh. A test may add to it.
fault_undo() { :; }
fault_finished() {
    local code=$? pid
    set +e
    for pid in ${WATCH_PID:-} ${LOAD_PID:-} "${PROXY_PIDS[@]}"; do kill "$pid" 2>/dev/null; done
    fault_undo
    set -e
    (exit "$code") || finished
    finished
}
trap fault_finished EXIT
