# Sourced after mounts.sh and fault.sh: a disk on which everything is that must survive, and the power cut that it has to survive.
#
#   power_disk SIZE      an ext4 on a file at DISK; skips where that cannot be had
#   power_cut [LOG WORDS PID]   what nobody synced is gone, from the disk and from the kernel; so are the server and PostgreSQL.
#                        When the log says so, if one is given; see power_cut.py
#   power_back           the disk is there again. Fails when the cut was none, or took what had been synced
#
# This is a loss of the page cache; not a drive that lies about its own cache, nor sectors torn in half.
# shellcheck shell=bash
DISK=$SIGNALBOX_TEST_DIR/disk

power_mount() { mount -o loop "$DISK.img" "$DISK" 2>"$DISK.log"; }

power_disk() { # SIZE
    mkdir "$DISK"
    truncate -s "$1" "$DISK.img"
    if ! mkfs.ext4 -q -F "$DISK.img" 2>"$DISK.log" || ! power_mount; then
        skip "an ext4 on a loop device cannot be had here: $(tail -n 1 "$DISK.log")"
    fi
    MOUNTS+=("$DISK")
    echo 'this was synced' >"$DISK/synced"
    sync -f "$DISK/synced"
}

power_users() { # whoever has a file open there, or stands there
    local process
    for process in /proc/[0-9]*; do
        ! find "$process/cwd" "$process/fd" -lname "$DISK/*" 2>/dev/null | grep -q . || echo "${process#/proc/}"
    done
}

power_cut() { # [LOG WORDS PID]
    python3 "$PARTS/power_cut.py" "$DISK" "$@"
    kill -KILL "$(server_pid)"
    # shellcheck disable=SC2046
    kill -KILL $(power_users) 2>/dev/null || true
    note cut
    wait_until 20 umount "$DISK" || fail "the disk is busy although all are dead: $(umount "$DISK" 2>&1)"
}

power_back() {
    power_mount || fail "the disk does not come back: $(tail -n 1 "$DISK.log")"
    expect "what was synced before the cut" "$(cat "$DISK/synced")" 'this was synced'
    [[ ! -s $DISK/unsynced ]] || fail "the disk lost nothing: this was no power cut"
    rm -f "$DISK/unsynced" "$DISK/data/postmaster.pid" # which names a process of before the cut
}
