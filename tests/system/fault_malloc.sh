# Memory that is refused now and then, one request of 500 on the threads that have the devices' connections: it costs a device its
# connection or lets its message wait, and never the server its life. Afterwards all is as it was, and nothing is lost.
# 10 s; with SIGNALBOX_FULL=1 120 s.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
refuse_for=10 devices=100 orders=$SIGNALBOX_TEST_DIR/malloc.orders shim=$SIGNALBOX_TEST_DIR/malloc_shim.so
full && refuse_for=120
fault_undo() { kill "${GREEDY_PID:-}" 2>/dev/null; }

! sanitized || skip "a sanitized server has a malloc of its own"
gcc -O2 -D_GNU_SOURCE -shared -fPIC -o "$shim" "$PARTS/malloc_shim.c" || skip "there is no gcc, or the C library is not glibc"
refuse_one_of() { python3 -c 'import struct, sys; open(sys.argv[1], "r+b").write(struct.pack("=Q", int(sys.argv[2])))' "$orders" "$1"; }
refused() { python3 -c 'import struct, sys; print(struct.unpack("=QQ", open(sys.argv[1], "rb").read())[1])' "$orders"; }
head -c 16 /dev/zero >"$orders"
start_postgres
LD_PRELOAD=$shim MALLOC_SHIM_FILE=$orders start_server "${SPOOL[@]}"
load_devices $devices
"$SIGNALBOX_BUILD/bench_ledger" --csv --prefix greedy- --devices 40 --secret $LOAD_SECRET >"$SIGNALBOX_TEST_DIR/greedy.csv"
API_TYPE=text/csv api POST /v1/devices/import "@$SIGNALBOX_TEST_DIR/greedy.csv" >/dev/null
pid=$(server_pid)
watch_start
load_start --seconds 1d --rate 500 --values 5 --server-ts 50% --retry-fast --cut 5 --drain 60s
python3 "$PARTS/fault_memory.py" "$SIGNALBOX_TEST_DIR/greedy.csv" 10 20 10 >"$SIGNALBOX_TEST_DIR/greedy.log" 2>&1 &
GREEDY_PID=$!
sleep 2

refuse_one_of 500
sleep $refuse_for
refuse_one_of 0
server_lives || fail "the server does not live without memory"
kill -TERM "$GREEDY_PID"
wait "$GREEDY_PID" || fail "the greedy: $(tail -n 3 "$SIGNALBOX_TEST_DIR/greedy.log")"
note given
sleep 2
kill -TERM "$LOAD_PID"
began=${EPOCHREALTIME/[.,]/}
load_end
drained=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
wait_until 30 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
expect "the server's process" "$(server_pid)" "$pid"
at_least "requests for memory refused" "$(refused)" 100
figure "messages / sent again / connections lost" "$(load_count messages) / $(load_count resent) / $(load_count lost_connections)"
at_most "ms until everything was acknowledged" $drained 20000
at_most "ms from memory's being there again to the first PUBACK" "$(since given)" 5000
load_verify
