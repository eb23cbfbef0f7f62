# Sourced after lib.sh: a server that may have only so much memory, by the kernel's memory controller, version 1 or 2.
#
#   memcg_new MIB       a control group; skips where there is none to be had
#   memcg_run COMMAND…  a process of that group runs it, with all that it starts
#   memcg_killed        how many were killed for lack of memory
#   memcg_peak_mib      the most that was used, page cache included
#   memcg_end           the group goes; for `fault_undo`, after all in it has ended
# shellcheck shell=bash
MEMCG=""

memcg_new() { # MIB
    local root
    root=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/mounts)
    if [[ -n $root ]]; then
        MEMCG=$root/signalbox-test-$$ MEMCG_VERSION=1
    else
        root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
        MEMCG=$root/signalbox-test-$$ MEMCG_VERSION=2
        grep -qw memory "$root/cgroup.subtree_control" 2>/dev/null || { echo +memory >"$root/cgroup.subtree_control"; } 2>/dev/null || true
    fi
    rmdir "$root"/signalbox-test-* 2>/dev/null || true # of tests that were killed
    mkdir "$MEMCG" 2>/dev/null || skip "no control group can be made here"
    if [[ $MEMCG_VERSION == 1 ]]; then
        memcg_set memory.limit_in_bytes $(($1 << 20))
        memcg_set memory.memsw.limit_in_bytes $(($1 << 20)) || true # no swap instead
    else
        memcg_set memory.max $(($1 << 20))
        memcg_set memory.swap.max 0 || true
    fi || skip "the memory of a control group cannot be limited here"
}
memcg_set() { [[ -w $MEMCG/$1 ]] && { echo "$2" >"$MEMCG/$1"; } 2>/dev/null; }
memcg_run() { # COMMAND…
    (
        echo "$BASHPID" >"$MEMCG/cgroup.procs"
        "$@"
    )
}
memcg_killed() {
    if [[ $MEMCG_VERSION == 1 ]]; then
        awk '$1 == "oom_kill" { print $2 }' "$MEMCG/memory.oom_control"
    else
        awk '$1 == "oom_kill" { print $2 }' "$MEMCG/memory.events"
    fi
}
memcg_peak_mib() {
    local bytes
    bytes=$(cat "$MEMCG/memory.max_usage_in_bytes" "$MEMCG/memory.peak" 2>/dev/null) || true
    echo $((${bytes:-0} >> 20))
}
memcg_end() {
    cleanup
    [[ ! -d $MEMCG ]] || rmdir "$MEMCG"
}
