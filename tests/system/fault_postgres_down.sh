# PostgreSQL that is down: nothing is acknowledged that is not stored, memory is bounded by the budget, the server keeps answering
# and its devices stay connected; when PostgreSQL is back everything is delivered. 12 s of it, with SIGNALBOX_FULL=1 600 s.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
down=12 budget=5000
full && down=600 budget=50000

start_postgres
start_server "${SPOOL[@]}" messages_in_flight_max=$budget
load_devices 200
token=$(device pinger)
watch_start --ping "$token"
# As fast as the windows allow, so that they fill at once: 100 for each of 100 MQTT 5 devices, more for the others.
load_start --seconds 1d --rate 3000 --values 5 --server-ts 50% --drain 120s
sleep 4
command=$(api_status POST /v1/devices/ledger-0000/commands '{"method":"ping","expires_in":"60s"}' | head -n 1)
expect "a command before" "$command" 202
pid=$(server_pid)
stop_postgres
note down
began=${EPOCHREALTIME/[.,]/}
wait_until 10 eval '[[ $(metric store_up) == 0 ]]' || fail "it is not noticed that PostgreSQL is down"
at_most "ms until it is noticed" $(((${EPOCHREALTIME/[.,]/} - began) / 1000)) 10000
expect "ready without PostgreSQL" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
expect "a command without PostgreSQL" "$(API_SECONDS=20 api_status POST /v1/devices/ledger-0000/commands '{"method":"ping","expires_in":"60s"}' | head -n 1)" 503
while (((${EPOCHREALTIME/[.,]/} - began) / 1000000 < down)); do sleep 0.1; done
full || expect "the budget of messages in flight is used up" "$(($(metric messages_in_flight) >= budget * 9 / 10))" 1
connected=$(metric connections_open)
note up
start_postgres
note back
wait_ready 30 || fail "the server does not come back"
at_most "ms from PostgreSQL's return to ready" $(((${EPOCHREALTIME/[.,]/} - $(awk '$2 == "back" { print $1 }' "$MOMENTS")) / 1000)) 2000
kill -TERM "$LOAD_PID"
load_end
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
expect "PUBACKs while PostgreSQL was down" "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --between down up "${LOAD_BOOKS[@]}")" 0
expect "the server's process" "$(server_pid)" "$pid"
expect "the server lives" "$(server_lives && echo yes)" yes
full || at_least "devices still connected at the end of it" "$connected" 201
full || expect "connections of a quiet device that were cut" "$(watched ping_cuts)" 0
at_most "ms PINGRESP took, p99" "$(watched ping_ms_p99)" 200
at_most "ms /livez took, p99" "$(watched livez_ms_p99)" 100
at_most "messages in flight" "$(watched in_flight_max)" $((budget + 4096))
at_most "MiB of memory more than before" $(($(watched rss_mib_max) - $(watched rss_mib_first))) $((64 + budget / 200))
at_most "ms from PostgreSQL's return to the first PUBACK" "$(since back)" 2000
load_verify
