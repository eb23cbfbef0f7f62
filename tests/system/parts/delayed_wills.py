#!/usr/bin/env python3
"""Wills with a delay survive the server. Whoever listens has a session that lasts, so that nothing it should get can pass it by; that
something does not come is shown by what comes after it."""
import random
import struct
import sys
import time

from house import CA, MQTT_PORT, api, check, device, finish, lib, sql
from mqtt import Will, text
from mqtt_peer import Peer

TOKENS = {}
WAITING = "SELECT count(*) FROM delayed_wills"
MANY, KILLS = 30, 4


def peer(name, client, **more):
    c = Peer(MQTT_PORT, CA, client, TOKENS[name], **more)
    assert c.connack == 0, f"{client} is refused: {c.connack}"
    return c


def lasting(name, client, seconds=3600, **more):
    return peer(name, client, clean=False, expires=seconds, **more)


def until(words, ask, want, seconds=30):
    end = time.monotonic() + seconds
    while ask() != want and time.monotonic() < end:
        time.sleep(0.05)
    check(words, ask(), want)


def will(topic, payload, delay, qos=1, retain=False, properties=b""):
    return Will(topic, payload, qos=qos, retain=retain, properties=b"\x18" + struct.pack(">I", delay) + properties)


def goes(name, client, w, seconds=3600):
    """A connection that breaks, with a will; returns when that is stored."""
    before = int(sql(WAITING))
    lasting(name, client, seconds, will=w).abort()
    until(f"the will of {client} waits in the table", lambda: int(sql(WAITING)), before + 1)


def killed():
    lib("kill_server")
    lib("start_server")


def end(client):
    """The session is gone, and a will that waits for it comes now."""
    peer("ann", client).leave()


def heard():
    """All that listeners were sent up to here."""
    mark = f"mark {random.random()}"
    c = peer("ann", "marks")
    c.put("t/mark", mark)
    c.leave()
    ear = lasting("ear", "ear")
    found = ear.until("t/mark", mark)
    ear.leave()
    return found


def a_restart_between():
    goes("ann", "w1", will("t/w", "after the delay", 2, properties=b"\x02" + struct.pack(">I", 1000) + b"\x03" + text("kind"), qos=2))
    killed()
    ear = lasting("ear", "ear")
    m = ear.take()
    check("a will that waited during a kill comes when it is due", (m[:3], m.properties[0x03], 990 < m.properties[0x02][0] <= 1000),
          (("t/w", "after the delay", 2), ["kind"], True))
    ear.leave()
    until("and is forgotten", lambda: sql(WAITING), "0")
    end("w1")
    killed()
    check("it does not come again, not after another kill either", heard(), [])


def cancelled():
    goes("ann", "w2", will("t/w", "never", 3600))
    killed()
    c = lasting("ann", "w2")
    check("its session comes back after the kill", c.session_present, 1)
    until("which cancels the will, in the table too", lambda: sql(WAITING), "0")
    c.leave()
    killed()
    end("w2")
    check("and for good", heard(), [])


def due_meanwhile():
    goes("ann", "w3", will("t/w", "while it was away", 1, retain=True))
    lib("kill_server")
    until("its time comes while there is no server", lambda: sql("SELECT due_at < now() FROM delayed_wills"), "t")
    lib("start_server")
    until("it is published after the start", lambda: sql(WAITING), "0")
    check("once", heard(), [("t/w", "while it was away")])
    check("and retained", sql("SELECT convert_from(payload, 'UTF8') FROM retained WHERE topic = 't/w'"), "while it was away")
    goes("ann", "w4", will("t/w", "at the end of its session", 3600), seconds=1)
    lib("kill_server")
    until("a session expires while there is no server", lambda: sql("SELECT closed_at + expiry_s * interval '1 second' < now() FROM sessions"
          " WHERE client_id = 'w4' AND closed_at IS NOT NULL"), "t")
    lib("start_server")
    until("its will is published", lambda: sql(WAITING), "0")
    check("once", heard(), [("t/w", "at the end of its session")])
    end("w3")


def back_too_late():
    goes("ann", "w5", will("t/w", "was due", 1))
    lib("kill_server")
    until("its time comes while there is no server", lambda: sql("SELECT due_at < now() FROM delayed_wills"), "t")
    lib("start_server")
    lasting("ann", "w5").leave()
    check("a client that comes back after the time does not cancel it", heard(), [("t/w", "was due")])
    end("w5")


def stopped():
    c = lasting("ann", "w6", will=will("t/w", "of a stop", 3600))
    lib("stop_server")
    check("a server that stops keeps what its connections leave", sql(WAITING), "1")
    c.socket.close()
    lib("start_server")
    end("w6")
    check("it comes when its session ends", heard(), [("t/w", "of a stop")])
    until("the table is empty", lambda: sql(WAITING), "0")


def of_a_device_that_is_gone():
    TOKENS["fay"] = device("fay", "talker")
    goes("fay", "w7", will("t/w", "never", 2))
    killed()
    api("DELETE", "/v1/devices/fay")
    until("the will of a device that is deleted goes with it", lambda: sql(WAITING), "0")
    check("and is not published", heard(), [])


def killed_around_the_time():
    wants = [f"will {i}" for i in range(MANY)]
    for i, words in enumerate(wants):
        lasting(f"many-{i % 3}", f"m{i}", will=will("t/w", words, 1 + i % 4, qos=1 + i % 2)).abort()
    # Some are due already: those that are not are in the table, the others in the ear's queue.
    rows = f"SELECT ({WAITING}) + (SELECT count(*) FROM session_queue)"
    until("all are stored, here or there", lambda: int(sql(rows)), MANY)
    for _ in range(KILLS):
        time.sleep(random.uniform(0.1, 0.9)) # any moment will do
        killed()
    until("all were due", lambda: sql(WAITING), "0")
    got = heard()
    check(f"{MANY} wills and {KILLS} kills: each came once", sorted(got), sorted(("t/w", w) for w in wants))
    for i in range(MANY):
        peer(f"many-{i % 3}", f"m{i}").leave()


def main():
    api("POST", "/v1/device-types", {"name": "talker", "topics": {"publish": ["t/#"], "subscribe": ["t/#"]}})
    for name in ("ann", "ear", "many-0", "many-1", "many-2"):
        TOKENS[name] = device(name, "talker")
    ear = lasting("ear", "ear")
    ear.sub("t/#", qos=2)
    ear.leave()
    for part in (a_restart_between, cancelled, due_meanwhile, back_too_late, stopped, of_a_device_that_is_gone, killed_around_the_time):
        part()


main()
sys.exit(finish())
