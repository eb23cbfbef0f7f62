#!/usr/bin/env python3
"""power_cut.py DISK [LOG WORDS PID] : the file system DISK, an ext4, forgets what nobody synced, and refuses everything from now on.

The kernel does it, for tests like this: EXT4_IOC_SHUTDOWN, here without a flush of the journal. With LOG it happens when a new line with
these words appears there and up to 30 ms later; PID is sent SIGCONT first, so that it can have been stopped until everything was ready.
A file `unsynced` is left behind by which one can see that the cut was one.
"""
import fcntl
import os
import random
import signal
import struct
import sys
import time

EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


def wait_for(path, words, pid):
    with open(path) as log:
        log.seek(0, os.SEEK_END)
        os.kill(pid, signal.SIGCONT)
        deadline = time.monotonic() + 60
        while words not in log.readline():
            if time.monotonic() > deadline:
                sys.exit(f"power_cut: {words} does not appear")
            time.sleep(0.001)
    time.sleep(random.uniform(0, 0.03))


def main():
    disk = os.open(sys.argv[1], os.O_RDONLY)
    if len(sys.argv) > 2:
        wait_for(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    with open(sys.argv[1] + "/unsynced", "w") as f:
        f.write("nobody synced this\n")
    fcntl.ioctl(disk, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))


main()
