# A bad mobile network between devices and server: 5 % of the packets get lost each way, every answer takes 300 ms, and now and then
# nothing gets through at all. Nothing is lost or doubled, PUBACKs keep their order, devices stay connected while only packets get
# lost, and what they have to send goes through. In a network namespace of its own, with iptables for the loss and system_fault_proxy
# for the delay. 12 s of it and one partition of 5 s; with SIGNALBOX_FULL=1 ten minutes and 5 of 30 s.
# shellcheck shell=bash
if [[ ${LOSSY_LINE_INSIDE:-} != 1 ]]; then
    LOSSY_LINE_INSIDE=1 unshare --net bash "${BASH_SOURCE[0]}" && exit 0
    code=$?
    unshare --net true 2>/dev/null && exit $code
    echo "a network namespace of its own is not allowed here (unshare --net needs root)"
    exit 77
fi
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
ip link set lo up || skip "the namespace's loopback cannot be used (ip link set lo up)"
lose() { # PROBABILITY : of the packets to and from the devices' port, from now on
    iptables -F INPUT
    iptables -A INPUT -p tcp --dport "$port" -m statistic --mode random --probability "$1" -j DROP
    iptables -A INPUT -p tcp --sport "$port" -m statistic --mode random --probability "$1" -j DROP
}
port=1 lose 0.05 2>/dev/null || skip "iptables with its module statistic is not there"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
devices=100 rate=200 rounds=1 lossy=6 partition=5 after=6
full && devices=500 rate=1000 rounds=5 lossy=60 partition=30 after=30

start_postgres
start_server "${SPOOL[@]}"
load_devices $devices
read -r port < <(free_ports 1)
proxy_start line "127.0.0.1:$port" "127.0.0.1:$SIGNALBOX_MQTT_PORT"
order line delay 150 50
lose 0.05
watch_start
LOAD_PORT=$port load_start --seconds 1d --rate $rate --values 5 --server-ts 50% --retry-fast --drain 120s
all_online() { (($(metric sessions_online) == devices)); }
dropped() { iptables -nvxL INPUT | awk '/DROP/ { n += $1 } END { print n }'; }
lost=0 reconnected=0
for ((round = 0; round < rounds; round++)); do
    wait_until 120 all_online || fail "only $(metric sessions_online) of $devices devices are connected"
    note lossy
    before=$(metric connections_accepted_total)
    sleep $lossy
    reconnected=$((reconnected + $(metric connections_accepted_total) - before))
    note partition
    lost=$((lost + $(dropped)))
    lose 1
    sleep $partition
    lose 0.05
    note healed
    sleep $after
done
kill -TERM "$LOAD_PID"
load_end
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
at_least "packets lost, partitions not counted" $((lost + $(dropped))) 50
at_most "% of the devices that had to reconnect in a lossy period" $((reconnected * 100 / (devices * rounds))) 5
sent=$(load_count messages) offered=$(($(load_count seconds_x1000) * rate / 1000))
figure "messages / sent again / connections lost" "$sent / $(load_count resent) / $(load_count lost_connections)"
at_least "% of what the devices had to send" $((sent * 100 / offered)) 70
figure "ms from PUBLISH to PUBACK without partition, p99" \
    "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --latency lossy partition "${LOAD_BOOKS[@]}")"
figure "ms from the end of a partition to the next PUBACK, at most" "$(since healed)"
load_verify
