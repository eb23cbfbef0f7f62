#!/usr/bin/env python3
"""Messages between devices over TLS: each QoS, properties, retained messages, wills, shared subscriptions, absent sessions,
rights. Every wait is for something that comes; that nothing comes is shown by something that comes after it."""
import struct
import sys
import time

from house import CA, MQTT_PORT, api, check, finish, lib, metric, sql
from mqtt import Will, text, varint
from mqtt_peer import Peer

TOKENS, TYPES = {}, {"talker": (["t/#", "$x/#"], ["t/#", "$x/#"]), "ear": ([], ["#", "$x/#"])}


def setup():
    for name, (publish, subscribe) in TYPES.items():
        api("POST", "/v1/device-types", {"name": name, "any_metric": True, "topics": {"publish": publish, "subscribe": subscribe}})
    for name, kind in (("ann", "talker"), ("bob", "talker"), ("cid", "talker"), ("dot", "talker"), ("eve", "ear")):
        api("POST", "/v1/devices", {"name": name, "type": kind})
        TOKENS[name] = api("POST", f"/v1/devices/{name}/credentials", {"kind": "token"})["token"]


def peer(name, client=None, **more):
    c = Peer(MQTT_PORT, CA, client or name, TOKENS[name], **more)
    assert c.connack == 0, f"{name} is refused: {c.connack}"
    return c


def lasting(name, client=None, seconds=3600, version=5, **more):
    return peer(name, client, version=version, clean=False, **({"expires": seconds} if version == 5 else {}), **more)


def fresh(name, client=None):
    """The session is gone, and whatever it had."""
    peer(name, client).leave()


def eventually(words, ask, want, seconds=15):
    end = time.monotonic() + seconds
    while ask() != want and time.monotonic() < end:
        time.sleep(0.05)
    check(words, ask(), want)


def absent_for_good(client):
    eventually(f"{client} is absent", lambda: sql(f"SELECT closed_at IS NOT NULL FROM sessions WHERE client_id = '{client}'"), "t")


def each_qos():
    for version in (4, 5):
        a, b = peer("ann", version=version), peer("bob", version=version)
        for sub in (0, 1, 2):
            b.sub(f"t/q{version}/{sub}", qos=sub)
        got = []
        for sub in (0, 1, 2):
            for pub in (0, 1, 2):
                a.put(f"t/q{version}/{sub}", f"{pub}", qos=pub)
                m = b.take()
                got.append((m.topic[-1], m.payload, m.qos, m.retain, m.dup))
        want = [(str(s), str(p), min(s, p), False, False) for s in (0, 1, 2) for p in (0, 1, 2)]
        check(f"version {version}: each QoS to each QoS: the lower one", got, want)
        for i in range(300):
            a.put(f"t/q{version}/2", f"n{i}", qos=i % 3)
        got = [b.take() for _ in range(300)]
        check(f"version {version}: many, in order [MQTT-4.6.0-6]", [[m.payload for m in got if m.qos == q] for q in (0, 1, 2)],
              [[f"n{i}" for i in range(q, 300, 3)] for q in (0, 1, 2)])
        check("unsubscribed, it comes no more", b.unsub(f"t/q{version}/2", "t/never"), [0, 0x11] if version == 5 else [0, 0])
        a.put(f"t/q{version}/2", "silence")
        a.put(f"t/q{version}/1", "end")
        check("only what is still subscribed comes", b.until(f"t/q{version}/1", "end"), [])
        a.leave()
        b.leave()
    a, b, old = peer("ann"), peer("bob"), peer("cid", version=4)
    old.sub("t/p", qos=1)
    b.sub("t/p", "t/+", "t/#", qos=1, identifier=7)
    b.sub("t/p", qos=2, identifier=268435455)
    properties = (b"\x01\x01" + b"\x03" + text("text/plain") + b"\x08" + text("t/answer") + b"\x09" + text(b"\0\xff") +
                  b"\x26" + text("k") + text("1") + b"\x26" + text("k") + text("2") + b"\x02" + struct.pack(">I", 100))
    a.put("t/p", "x", qos=2, properties=properties)
    m = b.take()
    check("overlapping filters: one message, the highest QoS", m.qos, 2)
    check("and all identifiers", sorted(m.properties.pop(0x0B)), [7, 7, 268435455])
    left = m.properties.pop(0x02)[0]
    check("what is left of its life is told", 90 <= left <= 100, True)
    check("properties are handed on as they came", m.properties,
          {0x01: [1], 0x03: ["text/plain"], 0x08: ["t/answer"], 0x09: [b"\0\xff"], 0x26: [("k", "1"), ("k", "2")]})
    check("3.1.1 gets it without", old.take()[:3], ("t/p", "x", 1))
    check("nobody there: 0x10", a.put("$x/nobody", "x"), 0x10)
    check("nobody there, QoS 2: a PUBREC does not say it", a.put("$x/nobody", "x", qos=2), 0)
    b.sub("t/own", qos=1, options=4)
    b.put("t/own", "mine")
    a.put("t/own", "yours")
    b.unsub("t/+", "t/#")
    check("no local is of its own filter", b.take().payload, "mine") # by t/+ and t/#, which have no such option
    check("others' come", b.take().payload, "yours")
    b.put("t/own", "mine again")
    a.put("t/own", "end")
    check("no local alone keeps it away", b.until("t/own", "end"), [])
    big = "x" * 200000
    a.put("t/p", big, qos=1)
    check("a large one comes whole", b.take().payload == big and old.take().payload == big, True)
    for c in (a, b, old):
        c.leave()


def rights():
    a, e = peer("ann"), peer("eve")
    check("a filter that is not allowed", a.sub("t/x", "u/x", "#", "+/x"), [1, 0x87, 0x87, 0x87])
    check("shared, the filter behind the group counts", a.sub("$share/g/t/x", "$share/g/u/x"), [1, 0x87])
    check("a topic that is not allowed", a.put("u/x", "no"), 0x87)
    check("the server's own topics", a.put("$SYS/x", "no"), 0x87)
    check("one that may only listen", e.put("t/x", "no"), 0x87)
    e.sub("#", "$x/#", "v1/devices/me/rpc/request/+", "v1/devices/me/attributes")
    check("a forged command", a.put("v1/devices/me/attributes/response/1", "{}"), 0x87)
    a.put("$x/1", "hidden")
    a.put("t/x", "seen")
    check("'#' does not match what begins with $; the filter that names it does", [e.take()[:2] for _ in range(2)],
          [("$x/1", "hidden"), ("t/x", "seen")])
    e.unsub("$x/#")
    a.put("$x/1", "hidden")
    a.put("t/x", "end")
    check("and '#' alone does not", e.until("t/x", "end"), [])
    old = Peer(MQTT_PORT, CA, "old", TOKENS["ann"], version=4)
    old.send(b"\x32" + varint(2 + 3 + 2) + text("u/x") + b"\0\1")
    check("3.1.1: a topic that is not allowed ends the connection", old.closed(), None)
    api("POST", "/v1/device-types", {"name": "brief", "any_metric": True, "topics": {"publish": [], "subscribe": ["t/#"]}})
    api("POST", "/v1/devices", {"name": "fay", "type": "brief"})
    TOKENS["fay"] = api("POST", "/v1/devices/fay/credentials", {"kind": "token"})["token"]
    f = lasting("fay")
    f.sub("t/x")
    f.leave()
    a.put("t/x", "while it is away")
    check("its device was deleted: its session is gone", api("DELETE", "/v1/devices/fay"), "")
    eventually("and so are its rows", lambda: sql("SELECT count(*) FROM sessions WHERE client_id = 'fay'"), "0")
    a.leave()
    e.leave()


def retained():
    a, b = peer("ann"), peer("bob")
    a.put("t/r/0", "zero", qos=0, retain=True) # first: what is acknowledged after it says that it is there
    a.put("t/r/1", "one", retain=True)
    a.put("t/r/2", "two", qos=2, retain=True)
    b.sub("t/r/+", qos=1)
    got = sorted(b.take()[:4] for _ in range(3))
    check("a new subscription gets what is retained, marked so", got,
          [("t/r/0", "zero", 0, True), ("t/r/1", "one", 1, True), ("t/r/2", "two", 1, True)])
    a.put("t/r/1", "uno", retain=True)
    check("who is subscribed gets it as any message", b.take()[:4], ("t/r/1", "uno", 1, False))
    b.sub("t/r/1", qos=1, options=1 << 4)
    check("retain handling 1: new subscription", b.take()[:4], ("t/r/1", "uno", 1, True))
    b.sub("t/r/1", qos=1, options=1 << 4)
    b.sub("t/r/2", qos=1, options=2 << 4)
    a.put("t/r/end", "end")
    check("handling 1 again, and handling 2: nothing", b.until("t/r/end", "end"), [])
    b.sub("t/r/1", qos=1, options=8)
    check("handling 0, though it existed", b.take()[:4], ("t/r/1", "uno", 1, True))
    a.put("t/r/1", "ein", retain=True)
    check("retain as published", b.take()[:4], ("t/r/1", "ein", 1, True))
    b.sub("$share/g/t/r/1", qos=1)
    a.put("t/r/end", "end")
    check("a shared subscription gets nothing retained", b.until("t/r/end", "end"), [])
    b.leave()
    a.put("t/r/2", "", retain=True)
    a.put("t/r/never", "", retain=True)
    a.put("t/r/brief", "soon gone", retain=True, properties=b"\x02" + struct.pack(">I", 1))
    a.put("t/r/long", "stays", retain=True, properties=b"\x02" + struct.pack(">I", 1000) + b"\x03" + text("kind"))
    eventually("what has expired is not given", lambda: seen("t/r/#"), ["ein", "stays", "zero"])
    lib("kill_server")
    lib("start_server")
    check("retained messages survive a kill", seen("t/r/#"), ["ein", "stays", "zero"])
    b = peer("bob")
    b.sub("t/r/long")
    m = b.take()
    check("with their properties", (m.properties[0x03], 900 < m.properties[0x02][0] <= 1000), (["kind"], True))
    b.leave()
    check("how many is a number of /metrics", metric("retained_messages"), 3)
    a = peer("ann")
    for topic in ("t/r/0", "t/r/1", "t/r/long"):
        a.put(topic, "", retain=True)
    check("an empty payload deletes", seen("t/r/#"), [])
    check("in the table too", sql("SELECT count(*) FROM retained"), "0")
    many = 1500 # more than session_queue_max
    for i in range(many):
        a.put(f"t/r/many/{i}", "x", qos=0, retain=True)
    a.put("t/r/many/last", "x", retain=True)
    b = lasting("bob", "many")
    b.sub("t/r/many/+", qos=1)
    check("a subscription gets all that is retained, however many", len({b.take().topic for _ in range(many + 1)}), many + 1)
    b.leave(expires=0)
    for i in range(many):
        a.put(f"t/r/many/{i}", "", qos=0, retain=True)
    a.put("t/r/many/last", "", retain=True)
    a.leave()


def seen(filter):
    """The payloads of what is retained, by a new client."""
    c = peer("dot", "looker")
    c.sub(filter, "t/looker", qos=1)
    c.put("t/looker", "end")
    found = sorted(p for _, p in c.until("t/looker", "end"))
    c.leave()
    return found


def wills():
    b = peer("bob")
    b.sub("t/w/#", qos=2)
    for qos in (0, 1, 2):
        a = peer("ann", will=Will(f"t/w/{qos}", "gone", qos=qos, properties=b"\x03" + text("kind")))
        a.abort()
        m = b.take()
        check(f"a connection that breaks leaves its will, QoS {qos}", (m[:3], m.properties), ((f"t/w/{qos}", "gone", qos), {0x03: ["kind"]}))
    a = peer("ann", will=Will("t/w/1", "not this", qos=1))
    a.leave()
    a = peer("ann", will=Will("t/w/1", "by taking over", qos=1))
    again = peer("ann")
    check("none after DISCONNECT; one when it is taken over", b.take().payload, "by taking over")
    again.leave()
    a = peer("ann", will=Will("t/w/kept", "retained", qos=1, retain=True))
    a.abort()
    b.take()
    check("a will can be retained", seen("t/w/kept"), ["retained"])
    for topic in ("u/not/allowed", "v1/devices/me/attributes/response/1"):
        a = Peer(MQTT_PORT, CA, "ann", TOKENS["ann"], will=Will(topic, "no", qos=1))
        check(f"a will on {topic} is refused", a.connack, 0x87)
    a = lasting("ann", "late", will=Will("t/w/late", "late", qos=1, properties=b"\x18" + struct.pack(">I", 1)))
    began = time.monotonic()
    a.abort()
    check("a will with a delay", b.take()[:2], ("t/w/late", "late"))
    check("comes after it", time.monotonic() - began >= 1, True)
    a = lasting("ann", "late", will=Will("t/w/late", "never", qos=1, properties=b"\x18" + struct.pack(">I", 3600)))
    a.abort()
    a = lasting("ann", "late", will=Will("t/w/late", "at its end", qos=1, properties=b"\x18" + struct.pack(">I", 3600)))
    check("the session is there", a.session_present, 1)
    a.abort()
    fresh("ann", "late")
    check("not when the session comes back; at once when the session ends", b.take()[:2], ("t/w/late", "at its end"))
    a = peer("ann")
    a.put("t/w/kept", "", retain=True)
    b.leave()
    a.leave()


def shared():
    a, members = peer("ann"), {n: peer(n) for n in ("bob", "cid", "dot")}
    for c in members.values():
        c.sub("$share/g/t/s/+", "t/end", qos=1)
    for i in range(30):
        a.put("t/s/x", str(i))
    a.put("t/end", "end")
    got = {n: [p for _, p in c.until("t/end", "end")] for n, c in members.items()}
    check("each takes its turn", [len(g) for g in got.values()], [10, 10, 10])
    check("and nothing is lost or doubled", sorted(sum(got.values(), []), key=int), [str(i) for i in range(30)])
    members.pop("dot").leave()
    eventually("a member is gone", lambda: metric("sessions"), 3)
    for i in range(10):
        a.put("t/s/x", str(i))
    a.put("t/end", "end")
    got = {n: [p for _, p in c.until("t/end", "end")] for n, c in members.items()}
    check("a member goes: the others take its turns", [len(g) for g in got.values()], [5, 5])
    for c in members.values():
        c.leave()
    away = lasting("bob", "away")
    away.sub("$share/h/t/s2", qos=1)
    here = lasting("cid", "here")
    here.sub("$share/h/t/s2", qos=1)
    away.leave()
    absent_for_good("away")
    for i in range(6):
        a.put("t/s2", str(i))
    check("connected members first", [here.take().payload for _ in range(6)], [str(i) for i in range(6)])
    here.leave()
    absent_for_good("here")
    for i in range(6):
        a.put("t/s2", str(i))
    here, away = lasting("cid", "here"), lasting("bob", "away")
    got = [here.take().payload for _ in range(3)] + [away.take().payload for _ in range(3)]
    check("all away: it waits for those whose sessions last", sorted(got), [str(i) for i in range(6)])
    for c in (here, away):
        c.leave(expires=0)
    a.leave()


def absent(kill):
    words = "killed meanwhile: " if kill else ""
    fresh("bob", "stays")
    a, b = peer("ann"), lasting("bob", "stays")
    b.sub("t/a/#", qos=2, identifier=9)
    b.sub("t/a1/#", qos=1)
    b.leave()
    for i in range(40):
        a.put("t/a/x", f"q{i}", qos=i % 3)
    a.put("t/a1/x", "one", qos=2)
    a.put("t/a/expired", "never", qos=1, properties=b"\x02" + struct.pack(">I", 1))
    time.sleep(1.1) # the message's life
    if kill:
        lib("kill_server")
        lib("start_server")
        a = peer("ann")
    b = lasting("bob", "stays")
    check(words + "the session is there", b.session_present, 1)
    want = [(f"q{i}", i % 3, [9]) for i in range(40) if i % 3] + [("one", 1, None)]
    got = []
    for _ in want:
        m = b.take()
        got.append((m.payload, m.qos, m.properties.get(0x0B)))
    check(words + "QoS 1 and 2 waited, in order, with QoS and identifiers; QoS 0 and what expired did not", got, want)
    a.put("t/a/x", "live", qos=1)
    check(words + "and nothing else", b.take().payload, "live")

    # What was sent and not acknowledged comes again, under the same packet identifier.
    a.put("t/a/x", "again 1", qos=1)
    a.put("t/a/x", "again 2", qos=2)
    a.put("t/a/x", "released", qos=2)
    first = [b.take(acknowledge=False) for _ in range(3)]
    b.ask(0x50, struct.pack(">H", first[2].packet_id), 6)
    b.abort()
    if kill:
        lib("kill_server")
        lib("start_server")
    b = lasting("bob", "stays")
    again = [b.take() for _ in range(2)]
    check(words + "unacknowledged messages come again, marked, under their identifiers",
          [(m.payload, m.dup, m.packet_id) for m in again],
          [("again 1", True, first[0].packet_id), ("again 2", True, first[1].packet_id)])
    b.released(first[2].packet_id) # what the client has confirmed is only released
    if kill:
        a = peer("ann")

    # A QoS 2 publish whose PUBREC was lost is not routed twice.
    p = lasting("cid", "twice")
    body = text("t/a/twice") + struct.pack(">H", 77) + b"\0" + b"once"
    p.send(bytes([0x34]) + varint(len(body)) + body)
    check(words + "QoS 2 comes", b.take().payload, "once")
    p.wait(5)
    p.abort()
    if kill:
        lib("kill_server")
        lib("start_server")
        b, a = lasting("bob", "stays"), peer("ann")
    p = lasting("cid", "twice")
    check(words + "the sender's session is there", p.session_present, 1)
    p.put("t/a/twice", "once", qos=2, dup=True, packet_id=77)
    a.put("t/a/end", "end")
    check(words + "and does not come twice", b.until("t/a/end", "end"), [])
    check(words + "a released identifier is free again", p.put("t/a/twice", "other", qos=2, packet_id=77), 0)
    check(words + "its message comes", b.take().payload, "other")
    p.leave(expires=0)
    b.unsub("t/a1/#")
    b.leave(expires=0)
    eventually(words + "the tables are empty in the end", lambda: [int(n) for n in sql(
        "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM session_queue), (SELECT count(*) FROM session_received),"
        " (SELECT count(*) FROM sessions)").split("|")], [0, 0, 0, 0])
    a.leave()


def sessions_end():
    a = peer("ann")
    b = lasting("bob", "short", seconds=1)
    b.sub("t/e", qos=1)
    b.leave()
    check("a session that expires", a.put("t/e", "x"), 0)
    eventually("takes its subscriptions along", lambda: a.put("t/e", "x"), 0x10)
    b = lasting("bob", "short", seconds=3600)
    check("it starts afresh", b.session_present, 0)
    b.sub("t/e", qos=1)
    check("its row is there", sql("SELECT count(*), min((closed_at IS NULL)::int), min(expiry_s) FROM sessions WHERE client_id = 'short'"), "1|1|3600")
    b.leave()
    eventually("and tells that it is absent", lambda: sql("SELECT closed_at IS NOT NULL FROM sessions WHERE client_id = 'short'"), "t")
    fresh("bob", "short")
    check("a clean start ends it", a.put("t/e", "x"), 0x10)
    b = lasting("bob", "311", version=4)
    b.sub("t/e", qos=1)
    b.leave()
    a.put("t/e", "for 3.1.1")
    b = lasting("bob", "311", version=4)
    check("3.1.1 has sessions too", (b.session_present, b.take().payload), (1, "for 3.1.1"))
    b.leave()
    fresh("bob", "311")
    a.leave()


def without_database():
    """What needs no database goes on; what does waits, and is neither lost nor acknowledged before its commit."""
    a, live, absent_one = peer("ann"), peer("bob"), lasting("cid", "away")
    live.sub("t/d/#", qos=1)
    absent_one.sub("t/d/kept", qos=1)
    absent_one.leave()
    absent_for_good("away")
    lib("stop_postgres")
    check("to those who are here: acknowledged at once", a.put("t/d/live", "1"), 0)
    check("and delivered", live.take().payload, "1")
    id = a.put_without_waiting("t/d/kept", "2")
    check("who is here gets it at once", live.take().payload, "2")
    retained_id = a.put_without_waiting("t/d/live", "3", retain=True)
    check("a retained one, too", live.take().payload, "3")
    check("acknowledged it is not", a.acknowledged_before_ping(), [])
    lib("start_postgres")
    check("but when PostgreSQL is back", [struct.unpack(">H", a.wait(4)[1][:2])[0] for _ in range(2)], [id, retained_id])
    absent_one = lasting("cid", "away")
    check("what waited is there", absent_one.take().payload, "2")
    check("and retained", seen("t/d/live"), ["3"])
    a.put("t/d/live", "", retain=True)
    absent_one.leave(expires=0)
    live.leave()
    a.leave()


def balance():
    received, committed, rejected = (metric(f"messages_{n}_total") for n in ("received", "committed", "rejected"))
    duplicate, in_flight = metric("messages_duplicate_total"), metric("messages_in_flight")
    check("the balance adds up", received, committed + duplicate + rejected + in_flight)


def main():
    loops = sys.argv[1]
    setup()
    for part in (each_qos, rights, retained, wills, shared, lambda: absent(False), lambda: absent(True), sessions_end, without_database):
        part()
        balance()
    eventually("no session and no subscription is left", lambda: (metric("sessions"), metric("subscriptions")), (0, 0))
    print(f"# net_loops {loops}")


main()
sys.exit(finish())
