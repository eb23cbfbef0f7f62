# Sourced by tests that mount file systems, after lib.sh and before fault.sh: in a world of their own, which leaves nothing behind.
#
#   own_world              runs the test again as the first process of its own process and mount namespaces: however it ends, SIGKILL
#                          included, its processes end with it, and with the last of them its mounts and loop devices. Skips elsewhere.
#   mount_small FOLDER SIZE    an empty tmpfs
#   move_to_small FOLDER SIZE  the folder, which nobody uses meanwhile, is one with the same content
#   fill FOLDER, unfill FOLDER to its last byte, with files named ballast; and room again
#   log_runs_out           writes to PostgreSQL's log, whose disk is full, until PostgreSQL gives up: what devices send may fit into recycled files
#   unmount                    ends the server and PostgreSQL, and unmounts what these functions mounted; for `fault_undo`
# shellcheck shell=bash
own_world() {
    [[ ${SIGNALBOX_OWN_WORLD:-} != 1 ]] || return 0
    ((EUID == 0)) || skip "file systems can only be mounted by root"
    local world=(unshare --mount --pid --fork --kill-child --mount-proc)
    "${world[@]}" true 2>/dev/null || skip "no namespaces of processes and mounts can be made here"
    SIGNALBOX_OWN_WORLD=1 SIGNALBOX_TEST_OWN=${SIGNALBOX_TEST_OWN:-} exec "${world[@]}" bash "$0"
}

MOUNTS=()
mount_small() { # FOLDER SIZE
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2,mode=700" tmpfs "$1" 2>/dev/null || skip "file systems cannot be mounted here"
    MOUNTS+=("$1")
}
unmount() {
    cleanup
    ((${#MOUNTS[@]} == 0)) || umount -l "${MOUNTS[@]}"
}
move_to_small() { # FOLDER SIZE
    mv "$1" "$1.disk"
    mount_small "$1" "$2"
    cp -a "$1.disk/." "$1"
    chown --reference="$1.disk" "$1"
    rm -rf "$1.disk"
}

fill() { # FOLDER
    dd if=/dev/zero of="$1/ballast" bs=64k status=none 2>/dev/null || true
    dd if=/dev/zero of="$1/ballast2" bs=512 status=none 2>/dev/null || true
}
unfill() { rm "$1/ballast" "$1/ballast2"; }

log_write() { sql "SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1 << 20))) FROM generate_series(1, 16)" &>/dev/null || true; }
log_runs_out() {
    wait_until 60 eval 'log_write; ! postgres_running "$TEST_PG"' || fail "PostgreSQL does not stop although its log has no room"
}
