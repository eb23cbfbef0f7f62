# Devices behind a network that swallows everything: their sessions end by keep alive, their next connection takes over.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
((EUID == 0)) || skip "network namespaces need root"
export CUT=sbcut$$ LIVE=sblive$$ NET=198.18.$((BASHPID % 250))
namespace() { # NAME HOST-ADDRESS ADDRESS
    ip netns add "$1" && ip link add "$1" type veth peer name eth0 netns "$1" && ip addr add "$2/30" dev "$1" && ip link set "$1" up &&
        ip -n "$1" addr add "$3/30" dev eth0 && ip -n "$1" link set eth0 up && ip netns exec "$1" iptables -w -L >/dev/null
}
test_undo() {
    ip netns del "$CUT"
    ip netns del "$LIVE"
}
if ! { namespace "$CUT" "$NET.1" "$NET.2" && namespace "$LIVE" "$NET.5" "$NET.6"; } >"$SIGNALBOX_TEST_DIR/netns.log" 2>&1; then
    skip "no network namespaces here: $(tail -n 1 "$SIGNALBOX_TEST_DIR/netns.log")"
fi
start_postgres
create_server
# shellcheck disable=SC1091
. "$SIGNALBOX_TEST_DIR/server.env"
start_server "device_listen=0.0.0.0:$SIGNALBOX_MQTT_PORT"
python3 "$SIGNALBOX_ROOT/tests/system/parts/half_open.py"
