# A commit whose answer is lost is neither lost nor made twice. Between server and PostgreSQL answers to COMMIT are swallowed, old
# backends get the end of their rows only after the server has gone on without them, lines break in the middle of rows, and backends
# are killed. 100 swallowed answers over a Unix socket; with SIGNALBOX_FULL=1 1,000, 200 killed backends, and TCP after that.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
swallow_goal=100 orphan_goal=5 kill_goal=10
full && swallow_goal=1000 orphan_goal=50 kill_goal=200

start_postgres
between=$SIGNALBOX_TEST_DIR/between
mkdir -p "$between"
proxy_start db "$between/.s.PGSQL.5432" "$(postgres_socket_path)" --postgres
create_server
setting_put "$SIGNALBOX_CONFIG" database_url "host=$between dbname=signalbox user=signalbox"
start_server "${SPOOL[@]}" commit_timeout=5s
load_devices 100
watch_start
load_start --seconds 1d --rate 1000 --values 5 --server-ts 50% --drain 60s

writers="application_name = 'signalbox-writer'"
locks_longest=0
locks() { # s the writer's newest backend waits for a lock at most
    local s
    s=$(sql "SELECT coalesce(max(extract(epoch FROM now() - query_start))::int, 0) FROM pg_stat_activity WHERE $writers AND wait_event_type = 'Lock'")
    ((s <= locks_longest)) || locks_longest=$s
}
await_count() { # COUNTER GOAL SECONDS
    local until=$((SECONDS + $3))
    while (($(proxied db "$1") < $2)); do
        ((SECONDS < until)) || fail "$1: only $(proxied db "$1") of $2 within $3 s: $(tail -n 2 "$TEST_LOG")"
        locks
    done
}

order db swallow 3
await_count swallowed $swallow_goal $((swallow_goal * 2))
order db swallow 0
order db orphan 3 4000
await_count orphaned $orphan_goal $((orphan_goal * 10 + 30))
order db orphan 0
order db cut 40000
sleep "$(full && echo 30 || echo 3)"
order db cut 0
killed=0
while ((killed < kill_goal)); do
    pid=$(sql "SELECT pid FROM pg_stat_activity WHERE $writers LIMIT 1")
    # A backend that dies of SIGKILL takes the whole of PostgreSQL through a restart; SIGTERM ends only itself.
    if [[ -n $pid ]]; then
        if ((killed % 10 == 9)); then kill -KILL "$pid" 2>/dev/null || true; else kill -TERM "$pid" 2>/dev/null || true; fi
        killed=$((killed + 1))
    fi
    if ((killed % 10 == 0)); then wait_until 20 sql "SELECT 1"; fi
    sleep 0.2
done
if full; then # the same over TCP, where a line can also be reset
    stop_server
    read -r port < <(free_ports 1)
    proxy_start tcp "127.0.0.1:$port" "$(postgres_socket_path)" --postgres
    start_server "database_url=host=127.0.0.1 port=$port dbname=signalbox user=signalbox sslmode=disable gssencmode=disable"
    order tcp swallow 3
    sleep 30
    order tcp swallow 0
    at_least "answers to COMMIT swallowed over TCP" "$(proxied tcp swallowed)" 50
fi
kill -TERM "$LOAD_PID"
load_end
wait_until 10 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
committed=$(metric samples_committed_total) received=$(metric messages_received_total)
watch_end
figure "messages / received by the server" "$(load_count messages) / $received"
figure "batches tried again / backends killed" "$(metric batch_retries_total) / $killed"
figure "lines cut in the middle of rows" "$(proxied db cuts)"
at_least "answers to COMMIT swallowed" "$(proxied db swallowed)" $swallow_goal
at_least "backends that commit late, or would have" "$(proxied db orphaned)" $orphan_goal
at_most "s a batch waits for locks of an old backend" "$locks_longest" 1
full || expect "samples counted as committed" "$committed" "$(sql 'SELECT count(*) FROM samples')"
load_verify
