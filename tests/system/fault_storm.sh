# All devices lose the server at once and come back together, with client certificates and full TLS handshakes: (i) after pauses that
# grow from 1 to 30 s, (ii) again and again within a second. The server works the crowd off instead of choking on handshakes that
# their devices have given up, those who are in get their PUBACKs, and nothing is lost or doubled.
# 500 devices; with SIGNALBOX_FULL=1 10,000.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
devices=500 patience=(--patience 60s) settings=(connect_timeout=60s) # a busy machine is no storm
full && devices=10000 patience=(--patience 10s) settings=() # as long as the server has for them
certificates=$SIGNALBOX_TEST_DIR/certificates
mkdir -p "$certificates"

start_postgres
start_server "${SPOOL[@]}" "${settings[@]}"
load_devices $devices
"$SIGNALBOX_BUILD/system_certificates" "$SIGNALBOX_CA" "${SIGNALBOX_CA%.pem}.key" "$certificates" ledger- $devices || fail "no certificates"
# Others that lose the server as well and measure for themselves how long a PUBACK takes: the crowd's own clock is as late as its program.
"$SIGNALBOX_BUILD/bench_ledger" --csv --prefix witness- --devices 20 --secret $LOAD_SECRET >"$SIGNALBOX_TEST_DIR/devices.csv"
API_TYPE=text/csv api POST /v1/devices/import "@$SIGNALBOX_TEST_DIR/devices.csv" >/dev/null || fail "importing devices"
watch_start
load_start --prefix witness- --devices 20 --seconds 1d --rate 40 --values 1 --retry-fast --drain 120s
witness_pid=$LOAD_PID witness_report=$LOAD_REPORT witness_book=${LOAD_BOOKS[-1]}
fault_undo() { kill "$witness_pid" 2>/dev/null; }
all_online() { (($(metric sessions_online) == devices + 20)); }

storm() { # WORDS LIMIT_S OPTIONS…
    local words=$1 limit=$2
    shift 2
    load_start --certs "$certificates" --seconds 1d --rate $((devices / 10)) --window 10 --keepalive 60 --ramp 200 --drain 120s "${patience[@]}" "$@"
    wait_until 240 all_online || fail "only $(metric sessions_online) of $((devices + 20)) devices came at all"
    sleep 3
    kill_server
    note lost
    start_server
    note again
    wait_until 600 all_online || fail "only $(metric sessions_online) of $((devices + 20)) devices came back"
    note all_back
    sleep 2
    kill -TERM "$LOAD_PID"
    load_end
    at_most "ms until all are back, $words" $((($(moment all_back) - $(moment lost)) / 1000)) $((limit * 1000))
    local settled=$(($(moment again) + 10000000)) started completed
    if (($(moment all_back) > settled + 2000000)); then # after the first 10 s
        echo "$settled settled" >>"$MOMENTS"
        started=$(grown connections_accepted_total settled all_back)
        completed=$(grown tls_handshakes_total settled all_back)
        figure "handshakes begun / completed after the first 10 s" "$started / $completed"
        at_least "% of handshakes that were not in vain" $((completed * 100 / (started + 1))) 90
    fi
    figure "connections the devices lost, $words" "$(load_count lost_connections)"
}
storm "pauses of 1 to 30 s" 60 --slow-retry
storm "again within a second" 120
kill -TERM "$witness_pid"
LOAD_PID=$witness_pid LOAD_REPORT=$witness_report
load_end
at_most "ms from PUBLISH to PUBACK while the crowd comes back, p99" \
    "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --latency again all_back "$witness_book")" 2000
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
at_most "MiB of memory" "$(watched rss_mib_max)" 1228
load_verify
