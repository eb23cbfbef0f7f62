#!/usr/bin/env python3
"""PUBACKs leave in the order of their PUBLISHes although the commits finish in another order.

A device that is still being loaded keeps its good messages waiting (the test holds the lock on its saved state), while its bad
ones are rejected and committed at once: they finish first and must be acknowledged in their turn all the same.
"""
import os
import struct
import subprocess
import sys
import time

from house import CA, DIR, MQTT_PORT, check, device, finish, sql
from mqtt import Client


def hold_lock(seconds):
    url = open(os.path.join(DIR, "database_url")).read().strip()
    query = f"BEGIN; LOCK TABLE device_state IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({seconds}); COMMIT"
    holder = subprocess.Popen(["psql", "-X", "-q", "-d", url, "-c", query], stdout=subprocess.DEVNULL)
    while sql("SELECT count(*) FROM pg_locks WHERE relation = 'device_state'::regclass AND mode = 'AccessExclusiveLock' AND granted") != "1":
        time.sleep(0.05)
    return holder


def main():
    for version in (4, 5):
        token = device(f"order-{version}")
        holder = hold_lock(1.5)
        c = Client(MQTT_PORT, CA, f"order-{version}", token, version=version)
        sent = [c.publish("v1/devices/me/telemetry", body, wait=False)
                for body in ('{"x":1}', '{"x":2}', '{"x":', '{"x":3}', '{"x":nope}', '{"x":4}')]
        before = sql("SELECT count(*) FROM rejected_messages")
        deadline = time.monotonic() + 1
        while before != str(2 * (version - 3)) and time.monotonic() < deadline:
            time.sleep(0.05)
            before = sql("SELECT count(*) FROM rejected_messages")
        check(f"version {version}: the bad messages are committed before the good ones", before, str(2 * (version - 3)))
        got = [struct.unpack(">H", c.wait(4)[1][:2])[0] for _ in sent]
        check(f"version {version}: PUBACKs come in the order of the PUBLISHes", got, sent)
        c.disconnect()
        holder.wait()
        stored = sql(f"SELECT count(*) FROM reading_values WHERE device = 'order-{version}' AND metric = 'x'")
        check(f"version {version}: the good ones are stored", stored, "4")
    return finish()


sys.exit(main())
