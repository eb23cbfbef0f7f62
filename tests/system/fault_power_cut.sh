# A power cut takes nothing that was acknowledged. PostgreSQL's data and the spool are on a disk that forgets, at a random moment, what
# nobody synced; both programs die with it and are started again. Some cuts come while PostgreSQL is stopped and the spool acknowledges,
# some while the spool is read back. PostgreSQL's own default is synchronous_commit=off all the time: the server does not rely on it.
# With fsync=off the server says that it is not ready. 3 cuts; SIGNALBOX_FULL=1: 20, 5 of them while spooling, 3 while reading back.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/mounts.sh
. "$SIGNALBOX_ROOT/tests/system/parts/mounts.sh"
own_world
# shellcheck source=parts/fault.sh
. "$SIGNALBOX_ROOT/tests/system/parts/fault.sh"
# shellcheck source=parts/power.sh
. "$PARTS/power.sh"
fault_undo() { unmount; }
cuts=(direct spool reading) rate=${SIGNALBOX_RATE:-1000} messages=2000
if full; then
    cuts=() rate=${SIGNALBOX_RATE:-2000} messages=18000
    for kind in reading reading reading direct direct; do cuts+=(direct spool direct "$kind"); done
fi

power_disk 4G
start_postgres
stop_postgres
mv "$TEST_PG/data" "$DISK/data"
ln -s "$DISK/data" "$TEST_PG/data"
sync -f "$DISK/data"
settings=(max_wal_size=512MB min_wal_size=64MB)
start_postgres "${settings[@]}"
postgres_sql "$TEST_PG" -c "ALTER ROLE signalbox SET synchronous_commit = off"
expect "what the server gets if it does not ask" "$(sql "SHOW synchronous_commit")" off
start_server "spool_dir=$DISK/spool" spool_after=500ms
load_devices 200
watch_start
load_start --seconds 1d --rate "$rate" --values 5 --server-ts 50% --retry-fast --drain 60s

arrive() { # N : so many messages, and then a moment that nobody can foresee
    local goal=$(($(metric messages_received_total) + $1))
    wait_until 60 eval "((\$(metric messages_received_total) >= $goal))" || fail "no load: $(tail -n 3 "$LOAD_REPORT")"
    sleep "0.$((RANDOM % 10))"
}
spool_moves_to() { sed -n 's/.*"event":"spool","from":"[a-z]*","to":"\([a-z]*\)".*/\1/p' "$TEST_LOG" | tail -n 1; }
spools() { [[ $(metric spooling) == 1 ]]; }
spool_for_a_while() {
    postgres_stop "$TEST_PG" immediate
    wait_until 30 spools || fail "the server does not spool"
    arrive "$messages"
}
spooled=0 interrupted=0
cut_direct() {
    arrive "$messages"
    power_cut
}
cut_spool() {
    spool_for_a_while
    spooled=$((spooled + $(metric spool_records_total)))
    power_cut
}
cut_reading() { # the server sleeps until PostgreSQL is there, so that it does not begin unseen
    spool_for_a_while
    kill -STOP "$(server_pid)"
    start_postgres "${settings[@]}"
    power_cut "$TEST_LOG" '"to":"draining"' "$(server_pid)"
    [[ $(spool_moves_to) == direct ]] || interrupted=$((interrupted + 1))
}

for ((i = 0; i < ${#cuts[@]}; i++)); do
    "cut_${cuts[i]}"
    power_back
    start_postgres "${settings[@]}"
    start_server
    note back
    if [[ ${cuts[i]} == reading ]] && ((interrupted == 0 && i < 30)); then cuts+=(reading); fi # that one came too late
done

# A PostgreSQL for which no COMMIT means anything.
stop_postgres
start_postgres fsync=off
wait_until 20 eval '[[ $(metric durability_unsafe) == 1 ]]' || fail "the server does not see that PostgreSQL has fsync=off"
expect "ready with fsync=off" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
expect "the log says so" "$(grep -c '"event":"durability_unsafe"' "$TEST_LOG")" 1
stop_postgres
start_postgres
wait_ready 20 || fail "the server is not ready although PostgreSQL has fsync=on"

arrive "$messages"
kill -TERM "$LOAD_PID"
load_end
wait_until 60 eval '(($(metric messages_in_flight) == 0 && $(metric spool_bytes) == 0))' || fail "messages stay in flight or in the spool"
watch_end
figure "power cuts" "${#cuts[@]}"
figure "messages / of them sent again" "$(load_count messages) / $(load_count resent)"
at_least "messages in the spool when PostgreSQL was stopped" $spooled 1
at_least "times the spool was being read back" $interrupted 1
expect "segments that could not be read" "$(metric spool_bad_segments_total)" 0
at_most "ms from the server's being ready to the first PUBACK" "$(since back)" 5000
load_verify
