# PostgreSQL that is down, with the spool on: devices hardly notice. They are acknowledged at once, memory does not grow, the files grow by
# what is sent; afterwards the spool is read back faster than it was written, once, and in each device's order. Rules wait until then.
# 12 s; with SIGNALBOX_FULL=1 600 s and 2,000 devices.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
down=12 devices=200 rate=500
full && down=600 devices=2000 rate=2000

start_postgres
start_server "spool_dir=$TEST_VAR/spool" spool_after=1s
load_devices $devices
token=$(device pinger)
watch_start --ping "$token"
load_start --seconds 1d --rate $rate --values 5 --server-ts 50% --ramp 50 --drain 120s
wait_until 120 eval '(($(metric sessions_online) > devices))' || fail "only $(metric sessions_online) devices are there"
sleep 3
pid=$(server_pid)
stop_postgres
note down
began=${EPOCHREALTIME/[.,]/}
wait_until 10 eval '[[ $(metric spooling) == 1 ]]' || fail "the server does not spool"
note spooling
at_most "ms until messages go to the spool" $(((${EPOCHREALTIME/[.,]/} - began) / 1000)) 10000
expect "ready without PostgreSQL" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
expect "a command without PostgreSQL" "$(API_SECONDS=20 api_status POST /v1/devices/ledger-0000/commands '{"method":"ping","expires_in":"60s"}' | head -n 1)" 503
while (((${EPOCHREALTIME/[.,]/} - began) / 1000000 < down)); do sleep 0.1; done
note up
start_postgres
note back
wait_until 150 eval '[[ $(metric spooling) == 0 && $(metric spool_bytes) == 0 ]]' || fail "the spool is not read back: $(metric spool_bytes) bytes"
note drained
records=$(metric spool_records_total)
sleep 2
kill -TERM "$LOAD_PID"
load_end
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
expect "the server's process" "$(server_pid)" "$pid"
expect "connections of devices that were cut" "$(load_count lost_connections)" 0
expect "connections of a quiet device that were cut" "$(watched ping_cuts)" 0
python3 "$PARTS/fault_spool.py" "$MOMENTS" "$SIGNALBOX_TEST_DIR/watch.jsonl" "${LOAD_BOOKS[0]}" >"$SIGNALBOX_TEST_DIR/figures.json"
spooled() { jq -r ".$1" "$SIGNALBOX_TEST_DIR/figures.json"; }
figure "messages sent meanwhile / of them through the spool" "$(spooled messages) / $records"
at_most "ms PUBACK took from the spool, p99" "$(spooled p99_ms)" 1000
at_most "ms PINGRESP took, p99" "$(watched ping_ms_p99)" 200
sanitized || at_most "MiB of memory more than before" $(($(spooled rss_mib_max) - $(spooled rss_mib))) 64
# Files are 16 MiB and full of zeros first: a short outage says nothing of what a message takes.
! full || at_most "bytes of the spool's files a message, beyond its payload of $(spooled payload_bytes)" \
    $(($(spooled spool_bytes) / records - $(spooled payload_bytes))) 100
at_most "ms until the spool was read back" "$(spooled drain_ms)" 150000
figure "times faster than it was written" "$(spooled drain_times)"
! full || expect "read back five times faster, or more" "$(spooled 'drain_times >= 5')" true
expect "values of a device that are not in the order in which it sent them" "$(sql "SELECT count(*) FROM (SELECT value,
    lag(value) OVER (PARTITION BY device, metric ORDER BY ts) AS before FROM reading_values) v WHERE before > value")" 0
load_verify
