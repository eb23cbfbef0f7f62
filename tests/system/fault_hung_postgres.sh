# PostgreSQL that hangs, every process of it stopped, is noticed by the server's own deadline; meanwhile the server answers, and
# afterwards nothing is lost or doubled, whatever the old backend still commits. 24 s of it, with SIGNALBOX_FULL=1 120 s.
# shellcheck shell=bash source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=parts/fault.sh
. "$(dirname "${BASH_SOURCE[0]}")/parts/fault.sh"
hung=24 commit_timeout=4
full && hung=120 commit_timeout=15

start_postgres
start_server "${SPOOL[@]}" commit_timeout=${commit_timeout}s
load_devices 100
token=$(device pinger)
watch_start --ping "$token"
load_start --seconds 1d --rate 1000 --values 5 --server-ts 50% --drain 90s
sleep 2

stopped=$(postgres_pids)
# shellcheck disable=SC2086
fault_undo() { kill -CONT $stopped 2>/dev/null; }
# The postmaster first, so that it starts nobody; then those it had.
# shellcheck disable=SC2086
kill -STOP $stopped
began=${EPOCHREALTIME/[.,]/}
wait_until $((commit_timeout + 5)) eval '[[ $(metric store_up) == 0 ]]' || fail "a hung PostgreSQL is not noticed"
noticed=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
expect "ready while PostgreSQL hangs" "$(curl -s -o /dev/null -w '%{http_code}' "$SIGNALBOX_URL/readyz")" 503
note hung
while (((${EPOCHREALTIME/[.,]/} - began) / 1000000 < hung)); do sleep 0.1; done
note continued
# shellcheck disable=SC2086
kill -CONT $stopped
sleep 2
kill -TERM "$LOAD_PID"
load_end
wait_until 20 eval '(($(metric messages_in_flight) == 0))' || fail "messages stay in flight"
watch_end
at_most "ms until it is noticed" $noticed $((commit_timeout * 1000 + 1500))
at_most "ms /livez took at worst" "$(watched livez_ms_max)" 100
at_most "ms PINGRESP took, p99" "$(watched ping_ms_p99)" 200
expect "connections of a quiet device that were cut" "$(watched ping_cuts)" 0
expect "PUBACKs while it hung" "$(python3 "$PARTS/fault_figures.py" "$MOMENTS" --between hung continued "${LOAD_BOOKS[@]}")" 0
at_most "ms from its going on to the first PUBACK" "$(since continued)" 5000
figure "MiB of memory before / at most" "$(watched rss_mib_first) / $(watched rss_mib_max)"
load_verify
