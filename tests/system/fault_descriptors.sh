# A server with few file descriptors says so at the start when they are fewer than its settings ask for. When they are used up,
# devices beyond them are refused and counted, the server does not spin, the API and PostgreSQL keep working, and everything that
# devices sent is stored once there is room for them again. 1,024 descriptors and 1,500 devices, with SIGNALBOX_FULL=1 3,000.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
limit=1024 devices=1500
full && devices=3000

start_postgres
start_server "${SPOOL[@]}"
load_devices $devices
stop_server
within_limit() { # COMMAND… : it and its children may open so many files
    (
        ulimit -n $limit
        "$@"
    )
}
if (within_limit start_server) 2>/dev/null; then fail "the server starts although connections_max needs more descriptors than there are"; fi
expect "the refusal to start names the setting" "$(tail -n 20 "$TEST_LOG" | grep -c 'connections_max')" 1
within_limit start_server connections_max=$((limit - 124))
watch_start
load_start --seconds 1d --rate 500 --values 1 --ramp 500 --keepalive 60 --drain 120s
wait_until 30 eval '(($(metric connections_open) >= limit - 124 - 10))' || fail "the connections are not used up: $(metric connections_open)"
sleep 2

cpu() { awk '{ print $14 + $15 }' "/proc/$(server_pid)/stat"; }
before=$(cpu)
sleep 5
at_most "% of a processor while full, with 500 messages a second" $((($(cpu) - before) / 5)) 20
at_least "descriptors kept free for the rest" $((limit - $(find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l))) 64
at_least "connections refused" "$(metric connections_refused_total)" 1
for ((i = 0; i < 20; i++)); do
    began=${EPOCHREALTIME/[.,]/}
    expect "the API while full" "$(api_status GET '/v1/devices?limit=1' | head -n 1)" 200
    took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    ((took <= ${slowest:-0})) || slowest=$took
done
at_most "ms the API took while full" "$slowest" 1000
# A new connection to PostgreSQL is needed for what follows.
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'signalbox%' AND pid <> pg_backend_pid()" >/dev/null
note killed
wait_until 10 ready || fail "the server does not reach PostgreSQL again while it is full"
before=$(metric messages_committed_total)
wait_until 10 eval "((\$(metric messages_committed_total) > $before + 100))" || fail "nothing is stored any more"
stop_server
start_server connections_max=16000
wait_until 60 eval '(($(metric sessions_online) == devices))' || fail "only $(metric sessions_online) of $devices devices came back"
kill -TERM "$LOAD_PID"
load_end
watch_end
at_most "ms /livez took, p99" "$(watched livez_ms_p99)" 250
load_verify
