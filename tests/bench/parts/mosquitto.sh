# Sourced by tests/bench/run: Debian's mosquitto with TLS and, on a second port, client certificates.
# shellcheck shell=bash
#
#   theirs_start, theirs_stop     THEIRS_PID, THEIRS_PORT, THEIRS_MUTUAL_PORT
#   load_theirs ARGUMENTS…        bench_load as anonymous devices
THEIRS_DIR=$SIGNALBOX_TEST_DIR/mosquitto
THEIRS_PID=''
PATH=$PATH:/usr/sbin

theirs_files() { # once
    [[ ! -e $THEIRS_DIR/conf ]] || return 0
    command -v mosquitto >/dev/null || fail "mosquitto is not installed (apt-get install mosquitto)"
    mkdir -p "$THEIRS_DIR/devices"
    read -r THEIRS_PORT THEIRS_MUTUAL_PORT < <(free_ports 2)
    # The same CA and server certificate as ours: the same work in a handshake.
    cp "$TEST_VAR/ca.pem" "$TEST_VAR/server.pem" "$TEST_VAR/server.key" "$THEIRS_DIR/"
    cat >"$THEIRS_DIR/conf" <<CONF
per_listener_settings false
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
persistence false
log_type error
user $(id -un)
listener $THEIRS_PORT 127.0.0.1
certfile $THEIRS_DIR/server.pem
keyfile $THEIRS_DIR/server.key
listener $THEIRS_MUTUAL_PORT 127.0.0.1
certfile $THEIRS_DIR/server.pem
keyfile $THEIRS_DIR/server.key
cafile $THEIRS_DIR/ca.pem
require_certificate true
CONF
}

theirs_start() {
    theirs_files
    setsid mosquitto -c "$THEIRS_DIR/conf" >"$THEIRS_DIR/log" 2>&1 &
    THEIRS_PID=$!
    wait_until 5 bash -c ": </dev/tcp/127.0.0.1/$THEIRS_PORT" || fail "mosquitto did not start: $(tail -n 3 "$THEIRS_DIR/log")"
}
theirs_stop() {
    [[ -n $THEIRS_PID ]] || return 0
    kill "$THEIRS_PID" 2>/dev/null && wait "$THEIRS_PID" 2>/dev/null
    THEIRS_PID=''
}

load_theirs() {
    "$BENCH_LOAD" --host localhost --retry-fast --port "$THEIRS_PORT" --cafile "$THEIRS_DIR/ca.pem" --secret "$BENCH_SECRET" "$@"
}
