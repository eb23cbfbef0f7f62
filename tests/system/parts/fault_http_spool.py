#!/usr/bin/env python3
"""The same readings through the spool and through PostgreSQL: published while it is down, and by HTTP and MQTT again afterwards."""
import json
import sys
import time

from house import CA, MQTT_PORT, check, device, finish, lib, metric, request, sql
from mqtt import Client

TELEMETRY = "v1/devices/me/telemetry"
COUNT = 20


def wait_for(words, ask, want, seconds=30):
    end, got = time.monotonic() + seconds, None
    while time.monotonic() < end:
        got = ask()
        if got == want:
            break
        time.sleep(0.05)
    return check(words, got, want)


def main():
    token = device("both-roads")
    now = int(time.time() * 1000) - 60000
    bodies = [json.dumps([{"ts": now + 10 * n + i, "values": {"x": 10 * n + i}} for i in range(3)]) for n in range(COUNT)]
    c = Client(MQTT_PORT, CA, "both", token, version=4, clean=False, timeout=60)
    c.publish(TELEMETRY, '{"x":-1}')
    committed, duplicate = metric("messages_committed_total"), metric("messages_duplicate_total")
    lib("stop_postgres")
    c.publish(TELEMETRY, '{"ts":%d,"values":{"x":-2}}' % (now - 1))
    wait_for("the server spools", lambda: metric("spooling"), 1)
    check("published while PostgreSQL is down", [c.publish(TELEMETRY, b) for b in bodies], [0] * COUNT)
    check("one without a time, too", c.publish(TELEMETRY, '{"x":-3}', packet_id=40000), 0)
    lib("start_postgres")
    wait_for("PostgreSQL is back for the API", lambda: request("POST", "/v1/telemetry?device=both-roads", bodies[0])[0], 200)
    check("all of it by HTTP again", [request("POST", "/v1/telemetry?device=both-roads", b)[0] for b in bodies], [200] * COUNT)
    c.publish(TELEMETRY, '{"x":-3}', packet_id=40000, dup=True)
    wait_for("the spool is read", lambda: (metric("spooling"), metric("messages_in_flight")), (0, 0))
    c.disconnect()
    stored = sql("SELECT count(*), count(DISTINCT value) FROM reading_values WHERE device = 'both-roads'")
    check("each reading is stored once", stored, f"{3 * COUNT + 3}|{3 * COUNT + 3}")
    check("and counted once", metric("messages_committed_total") - committed, COUNT + 2)
    check("the others are counted as duplicates", metric("messages_duplicate_total") - duplicate >= COUNT + 2, True)
    return finish()


sys.exit(main())
