# A message that is sent again because its PUBACK never came is stored once, whether the device gives the time or the server does.
# Lines between devices and server go deaf: what the device sends arrives and is stored, what the server answers does not, and the
# device sends all of it again with DUP. At least 20 % of 20,000 messages, with SIGNALBOX_FULL=1 of 200,000.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
messages=20000 devices=100 share=10 # % of what was sent again had been stored; less on a machine that stores late
full && messages=200000 share=20

start_postgres
start_server "${SPOOL[@]}"
load_devices $devices
read -r port < <(free_ports 1)
proxy_start line "127.0.0.1:$port" "127.0.0.1:$SIGNALBOX_MQTT_PORT"
order line deaf 80 500
watch_start
LOAD_PORT=$port load_start --messages $messages --rate 1500 --values 3 --server-ts 50% --retry-fast --drain 60s
load_end
order line deaf 0
wait_until 10 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
committed=$(metric messages_committed_total) duplicate=$(metric messages_duplicate_total) received=$(metric messages_received_total)
watch_end
resent=$(load_count resent)
figure "messages / sent again / recognised" "$messages / $resent / $duplicate"
at_least "% of messages sent again" $((resent * 100 / messages)) 20
at_least "% of messages that were stored when they came again" $((duplicate * 100 / messages)) $share
expect "messages counted as committed" "$committed" $messages
expect "messages counted as duplicates" "$duplicate" $((received - messages))
expect "messages recognised are no more than were sent again" "$((duplicate <= resent))" 1
expect "samples stored" "$(sql 'SELECT count(*) FROM samples')" $messages
expect "samples with the server's time" "$(sql 'SELECT count(*) FROM samples WHERE flags & 4 = 4')" \
    "$(tail -n +2 "${LOAD_BOOKS[0]}" | awk -F, '$4 == "" { n++ } END { print n / 3 }')"
expect "the sum over all values, to the last digit" \
    "$(sql "SELECT sum(value::numeric) FROM reading_values WHERE device LIKE 'ledger-%'")" \
    "$(tail -n +2 "${LOAD_BOOKS[0]}" | cut -d, -f6 | python3 -c 'import sys; print(sum(map(int, sys.stdin)))')"
load_verify
