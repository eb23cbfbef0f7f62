# Sourced by the programs of tests/bench: a private PostgreSQL and server through tests/system/lib.sh, devices, load.
# shellcheck shell=bash
#
#   bench_server N [SETTING=VALUE…]   PostgreSQL, the server and N devices with tokens; what runs already is taken as it is
#   load_ours ARGUMENTS…              bench_load as those devices: one JSON line
#   rss_kib PID, ticks PID…           resident memory; CPU time of a process in ticks of 1/HZ s
#   others_percent                    of the CPU is used although we do nothing
BENCH_SECRET=bench-secret

# shellcheck source=../../system/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../system/lib.sh"
BENCH_LOAD=$SIGNALBOX_BUILD/bench_load

bench_server() {
    local devices=$1
    shift
    [[ -x $SIGNALBOX_BIN && -x $BENCH_LOAD ]] ||
        fail "build them first: cmake --build $SIGNALBOX_BUILD --target signalbox bench_load"
    if ! server_lives; then
        # With this machine's memory, as deploy/quickstart sets it up.
        postgres_start "$TEST_PG" "$(memory_mib)" || fail "PostgreSQL did not start"
        postgres_url "$TEST_PG" >"$SIGNALBOX_TEST_DIR/database_url"
        start_server "$@"
    fi
    limits_raise
    "$BENCH_LOAD" --csv --connections "$devices" --secret $BENCH_SECRET >"$SIGNALBOX_TEST_DIR/devices.csv"
    API_TYPE=text/csv API_SECONDS=300 api POST /v1/devices/import "@$SIGNALBOX_TEST_DIR/devices.csv" >"$SIGNALBOX_TEST_DIR/import.json" ||
        fail "the devices could not be imported: $(head -c 300 "$SIGNALBOX_TEST_DIR/import.json")"
    jq -e '.failed == 0 or .failed == []' "$SIGNALBOX_TEST_DIR/import.json" >/dev/null ||
        fail "import: $(head -c 300 "$SIGNALBOX_TEST_DIR/import.json")"
}

load_ours() {
    "$BENCH_LOAD" --host localhost --retry-fast --port "$SIGNALBOX_MQTT_PORT" --cafile "$SIGNALBOX_CA" --secret $BENCH_SECRET "$@"
}

rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
ticks() { # of processes that may end meanwhile; a name may have blanks
    local pid sum=0
    for pid; do
        if [[ -r /proc/$pid/stat ]]; then sum=$((sum + $(sed 's/^.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }'))); fi
    done
    echo "$sum"
}

others_percent() {
    local a b
    read -ra a < <(grep '^cpu ' /proc/stat)
    sleep 3
    read -ra b < <(grep '^cpu ' /proc/stat)
    local idle=$((b[4] + b[5] - a[4] - a[5])) all=0 i
    for i in 1 2 3 4 5 6 7 8; do all=$((all + b[i] - a[i])); done
    echo $((100 - idle * 100 / all))
}
