# Nothing acknowledged is lost, doubled or altered, and PUBACKs keep their order, when the server and PostgreSQL are killed under load
# and devices' lines break. The client keeps its own book and trusts nothing; the balance is read five times a second.
# 5 kills of the server and 3 of PostgreSQL, one of them of both; with SIGNALBOX_FULL=1 20 and 10, or SIGNALBOX_KILLS of the server.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
server_kills=5 postgres_kills=3 rate=${SIGNALBOX_RATE:-2000}
full && server_kills=20 postgres_kills=10
server_kills=${SIGNALBOX_KILLS:-$server_kills}

start_postgres
start_server "${SPOOL[@]}"
python3 "$PARTS/fault_order.py" || fail "PUBACKs are out of order"
load_devices 200
read -r port < <(free_ports 1)
proxy_start line "127.0.0.1:$port" "127.0.0.1:$SIGNALBOX_MQTT_PORT"
order line deaf 5 60
watch_start
LOAD_PORT=$port load_start --seconds 1d --rate "$rate" --values 5 --server-ts 50% --retry-fast --drain 60s

restart_server() {
    note server_start
    local began=${EPOCHREALTIME/[.,]/}
    start_server
    local took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    ((took <= slowest_start)) || slowest_start=$took
}
slowest_start=0
pause() { sleep "$((RANDOM % ${1:-2} + 1)).$((RANDOM % 10))"; }

pause 3
for ((kills = server_kills + postgres_kills, i = 0; i < kills; i++)); do
    if ((postgres_kills > 0 && i % 3 == 2)) || ((server_kills == 0)); then
        pid=$(server_pid)
        if ((postgres_kills % 2)); then kill_postgres; else postgres_stop "$TEST_PG" immediate; fi
        if ((server_kills > 0 && postgres_kills % 3 == 0)); then # what the server holds without a database dies with it
            sleep 0.5
            kill_server
            server_kills=$((server_kills - 1)) i=$((i + 1))
            start_postgres
            restart_server
        else
            sleep "$(full && echo 5 || echo 3)"
            start_postgres
            note postgres_start
            wait_ready 30 || fail "the server does not come back after PostgreSQL was killed"
            expect "the server survives the end of PostgreSQL" "$(server_pid)" "$pid"
        fi
        postgres_kills=$((postgres_kills - 1))
    else
        kill_server
        restart_server
        server_kills=$((server_kills - 1))
    fi
    pause
done
kill -TERM "$LOAD_PID"
load_end
order line deaf 0
wait_until 10 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight: $(metric messages_in_flight)"
watch_end
figure "kills of server and PostgreSQL together" "$kills"
figure "messages / of them sent again" "$(load_count messages) / $(load_count resent)"
figure "connections cut with messages under way" "$(proxied line deafened)"
load_verify
at_most "ms from the server's start to ready" "$slowest_start" 5000
at_most "ms from the server's start to the first PUBACK" "$(since server_start)" 5000
at_most "ms from PostgreSQL's start to the first PUBACK" "$(since postgres_start)" 2000
