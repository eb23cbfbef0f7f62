# Sourced by the programs of tests/bench: a private PostgreSQL and server through tests/system/lib.sh, devices, load.
# shellcheck shell=bash
#
#   bench_options NAME… -- ARGUMENTS…   takes `--NAME NUMBER` into the variable NAME, `--NAME TEXT` when it is listed as NAME=;
#                                       SETTING=VALUE into `settings`
#   bench_server N [SETTING=VALUE…]     PostgreSQL, the server and N devices with tokens; what runs already is taken as it is
#   load_ours ARGUMENTS…                bench_load as those devices: one JSON line
#   rss_kib PID, ticks PID…             resident memory; CPU time of processes in ticks of 1/HZ s
#   server_ticks, postgres_ticks        CPU time of ours
#   us_each TICKS COUNT                 CPU time of one, in us
#   others_percent                      of the CPU is used although we do nothing
BENCH_SECRET=bench-secret
BENCH_HZ=$(getconf CLK_TCK)

# shellcheck source=../../system/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../system/lib.sh"
BENCH_LOAD=$SIGNALBOX_BUILD/bench_load

bench_usage() { # of the program that sources this: the comment at its top
    sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" | head -n -1 >&2
    exit 2
}

bench_options() {
    local names=() name
    while [[ $1 != -- ]]; do names+=("$1") && shift; done
    shift
    settings=()
    while (($#)); do
        name=${1#--}
        if [[ $1 == --* && (" ${names[*]} " == *" $name "* && ${2:-} =~ ^[0-9]+$ || " ${names[*]} " == *" $name= "* && -n ${2:-}) ]]; then
            printf -v "$name" %s "$2"
            shift
        elif [[ $1 =~ ^[a-z_]+= ]]; then
            settings+=("$1")
        else
            bench_usage
        fi
        shift
    done
}

bench_server() {
    local devices=$1
    shift
    [[ -x $SIGNALBOX_BIN && -x $BENCH_LOAD ]] ||
        fail "build them first: cmake --build $SIGNALBOX_BUILD --target signalbox bench_programs system_programs"
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
    "$BENCH_LOAD" --host localhost --retry-fast --port "$SIGNALBOX_MQTT_PORT" --cafile "$SIGNALBOX_CA" --secret "$BENCH_SECRET" "$@"
}

rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
ticks() { # of processes that may end meanwhile; a name may have blanks
    local pid sum=0
    for pid; do
        if [[ -r /proc/$pid/stat ]]; then sum=$((sum + $(sed 's/^.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }'))); fi
    done
    echo "$sum"
}
server_ticks() { ticks "$(server_pid)"; }
postgres_ticks() { # of the postmaster and its children; who ended is in the postmaster's own account
    local postmaster
    postmaster=$(head -n 1 "$TEST_PG/data/postmaster.pid")
    # shellcheck disable=SC2046
    ticks "$postmaster" $(cat "/proc/$postmaster/task/$postmaster/children")
}
us_each() { awk -v t="$1" -v n="$2" -v hz="$BENCH_HZ" 'BEGIN { print n == 0 ? 0 : t / hz * 1e6 / n }'; }

others_percent() {
    local a b
    read -ra a < <(grep '^cpu ' /proc/stat)
    sleep 3
    read -ra b < <(grep '^cpu ' /proc/stat)
    local idle=$((b[4] + b[5] - a[4] - a[5])) all=0 i
    for i in 1 2 3 4 5 6 7 8; do all=$((all + b[i] - a[i])); done
    echo $((100 - idle * 100 / all))
}
