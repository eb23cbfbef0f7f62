#!/usr/bin/env python3
"""What OASIS MQTT 3.1.1 and 5.0 say a server does, scenario by scenario, on the open listener: plain and in a WebSocket.

That something does not arrive is shown by what arrives instead: a message sent after it, on the same way.
"""
import concurrent.futures
import struct
import sys
import time
import traceback

from house import ENV, check, finish
from mqtt import packet
from mqtt5 import Ended, Peer
from websocket import WebSocket

PORT = int(ENV["SIGNALBOX_OPEN_PORT"])
SCENARIOS = []


def scenario(clause, versions=(4, 5)):
    def put(run):
        SCENARIOS.append((run, clause, versions))
        return run

    return put


class Place:
    """Client identifiers and topics of one run's own."""

    def __init__(self, name, version, wrap):
        self.name, self.version, self.wrap, self.peers = f"{name}-{version}-{'ws' if wrap else 'tcp'}", version, wrap, []

    def peer(self, who="a", **more):
        p = Peer(PORT, self.version, f"{self.name}-{who}", wrap=self.wrap, **more)
        self.peers.append(p)
        return p

    def lasting(self, who="a", clean=False, **more):
        """A session that outlives its connection; clean: a new one."""
        if self.version == 5:
            more["props"] = {"session_expiry": 600, **more.get("props", {})}
        elif clean:  # in 3.1.1 a clean session ends with its connection
            self.peer(who).disconnect()
            clean = False
        return self.peer(who, clean=clean, **more)

    def topic(self, rest="t"):
        return f"c/{self.name}/{rest}"


def same(got, want, words=""):
    assert got == want, f"{words}: got {got!r}, expected {want!r}"


def payloads(messages):
    return [m["payload"] for m in messages]


# --- messages ----------------------------------------------------------------------------------------------------------------


@scenario("4.3: each QoS, the lower of the publisher's and the subscriber's")
def each_qos(p):
    a, b = p.peer("a"), p.peer("b")
    for granted in (0, 1, 2):
        same(a.subscribe((p.topic(f"{granted}"), granted)), [granted])
        for sent in (0, 1, 2):
            same(b.publish(p.topic(f"{granted}"), b"%d" % sent, qos=sent) if sent else b.publish(p.topic(f"{granted}"), b"0") and 0, 0)
            m = a.message()
            same((m["payload"], m["qos"], m["retain"], m["dup"], m["topic"]), (b"%d" % sent, min(granted, sent), False, False, p.topic(f"{granted}")))


@scenario("MQTT-4.6.0-5: the messages of a publisher arrive in its order")
def order(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe((p.topic(), 2))
    for qos in (1, 2):
        for i in range(100):
            b.publish(p.topic(), b"%d" % i, qos=qos)
        same([a.message()["payload"] for _ in range(100)], [b"%d" % i for i in range(100)])


@scenario("3.3.3: payloads of any size and bytes")
def sizes(p):
    a = p.peer("a")
    a.subscribe((p.topic(), 1))
    for size in (0, 1, 127, 128, 16383, 16384, 1_000_000):
        body = bytes(range(256)) * (size // 256 + 1)
        same(a.publish(p.topic(), body[:size], qos=1), 0)
        assert a.message()["payload"] == body[:size], f"{size} bytes"


@scenario("4.3.3: a QoS 2 message that is sent twice arrives once")
def exactly_once(p):
    a, b = p.peer("a"), p.lasting("b", clean=True)
    a.subscribe((p.topic(), 2))
    for dup in (False, True, True):
        b.publish(p.topic(), b"once", qos=2, wait=False, id=77, dup=dup)
        same(b.wait(5)[1][:2], b"\0\x4d", "PUBREC")
        b.drop()
        b = p.lasting("b")
        same(b.present, True)
    b.send(packet(0x62, b"\0\x4d"))
    same(b.wait(7)[1][:2], b"\0\x4d", "PUBCOMP")
    b.publish(p.topic(), b"end", qos=2)
    same(payloads(a.messages()), [b"once"])


# --- filters -----------------------------------------------------------------------------------------------------------------


@scenario("4.7.1: wildcards")
def wildcards(p):
    b = p.peer("b")
    rows = [("+", ["x", "y"]), ("x/+", ["x/y"]), ("x/#", ["x", "x/y", "x/y/z"]), ("+/y", ["x/y"]), ("+/+", ["x/y", "/x"]), ("/+", ["/x"]),
            ("#", ["x", "y", "x/y", "x/y/z", "/x"]), ("+/+/#", ["x/y", "x/y/z", "/x"]), ("x/y", ["x/y"])]
    for i, (rest, want) in enumerate(rows):
        a = p.peer(f"a{i}")
        a.subscribe((p.topic(rest), 0))
        for t in ("x", "y", "x/y", "x/y/z", "/x"):
            b.publish(p.topic(t), t.encode())
        c = p.peer(f"c{i}")  # a subscriber of the end
        same(a.subscribe((p.topic("end"), 0)), [0])
        b.publish(p.topic("end"), b"end")
        got = [m for m in a.messages() if m["payload"] != b"end"]
        same(sorted(m["payload"].decode() for m in got), sorted(want), rest)
        c.disconnect()


@scenario("MQTT-4.7.2-1: wildcards at the front do not match topics that begin with $")
def dollar(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe("#", "+/" + p.name, p.topic("end"))
    b.publish("$test/" + p.name, b"hidden", qos=1)
    b.publish(p.topic("end"), b"end", qos=1)
    same([m for m in a.messages() if m["payload"] == b"hidden"], [])


@scenario("3.9.3: a filter that is refused has a reason in the SUBACK, the others are granted")
def refused(p):
    same(p.peer("a").subscribe((p.topic("x"), 1), ("test/nosubscribe", 2), (p.topic("y"), 2)), [1, 0x80, 2])


@scenario("3.10.4: what is given up does not come any more")
def unsubscribe(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe(p.topic("x"), p.topic("y"))
    same(a.unsubscribe(p.topic("x")), [0] if p.version == 5 else [])
    same(a.unsubscribe(p.topic("x")), [0x11] if p.version == 5 else [], "no subscription existed")
    b.publish(p.topic("x"), b"no", qos=1)
    b.publish(p.topic("y"), b"end", qos=1)
    same(a.messages(), [])


@scenario("MQTT-3.3.4-2 (3.1.1: 3.3.5-1): overlapping subscriptions")
def overlapping(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe((p.topic("x"), 0), (p.topic("#"), 2), (p.topic("+"), 1))
    b.publish(p.topic("x"), b"1", qos=2)
    b.publish(p.topic("y"), b"end", qos=2)
    got = a.messages()
    same((len(got) in (1, 3), max(m["qos"] for m in got)), (True, 2), "one with the highest QoS, or one each")
    a.drop()


@scenario("MQTT-3.8.4-3: the same filter again replaces the subscription")
def replaced(p):
    a, b = p.peer("a"), p.peer("b")
    same(a.subscribe((p.topic(), 2)), [2])
    same(a.subscribe((p.topic(), 0)), [0])
    b.publish(p.topic(), b"x", qos=2)
    b.publish(p.topic(), b"end", qos=2)
    same([(m["payload"], m["qos"]) for m in a.messages()], [(b"x", 0)])


@scenario("3.8.3.1: No Local, Retain As Published, Retain Handling", (5,))
def options(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe((p.topic("local"), 2 | 4), (p.topic("as-is"), 2 | 8), (p.topic("plain"), 2))
    a.publish(p.topic("local"), b"own", qos=1)
    b.publish(p.topic("local"), b"other", qos=1)
    same(a.message()["payload"], b"other")
    for kind, flag in (("as-is", True), ("plain", False)):
        b.publish(p.topic(kind), b"kept", qos=1, retain=True)
        m = a.message()
        same((m["payload"], m["retain"]), (b"kept", flag), kind)
    for handling, fresh, again in ((0, 1, 1), (1, 1, 0), (2, 0, 0)):
        c = p.peer(f"c{handling}")
        for count in (fresh, again):
            c.subscribe((p.topic("plain"), 2 | handling << 4), (p.topic("end"), 2))
            b.publish(p.topic("end"), b"end", qos=2)
            same(len(c.messages()), count, f"retain handling {handling}")
    for kind in ("as-is", "plain"):
        b.publish(p.topic(kind), b"", qos=1, retain=True)


@scenario("3.8.2.1.2: subscription identifiers", (5,))
def identifiers(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe((p.topic("x"), 2), props={"identifier": [268435455]})
    a.subscribe((p.topic("#"), 1), props={"identifier": [7]})
    a.subscribe((p.topic("none"), 1))
    b.publish(p.topic("x"), b"both", qos=2)
    b.publish(p.topic("y"), b"one", qos=2)
    b.publish(p.topic("y"), b"end", qos=2)
    got = a.messages()
    same(sorted(i for m in got if m["payload"] == b"both" for i in m["props"]["identifier"]), [7, 268435455])
    same([m["props"]["identifier"] for m in got if m["payload"] == b"one"], [[7]])


@scenario("4.8.2: a shared subscription gives each message to one of its sessions", (5,))
def shared(p):
    group = [p.peer(f"g{i}") for i in range(3)]
    own, b = p.peer("own"), p.peer("b")
    for g in group:
        same(g.subscribe((f"$share/{p.name}/{p.topic('#')}", 1)), [1])
    own.subscribe((p.topic("#"), 1))
    for i in range(30):
        b.publish(p.topic("job"), b"%d" % i, qos=1)
    same([own.message()["payload"] for _ in range(30)], [b"%d" % i for i in range(30)], "an own subscription beside it gets all")
    for g in group:
        g.subscribe((p.topic("end"), 1))
    b.publish(p.topic("end"), b"end", qos=1)  # matches the shared one too: one of them gets it twice
    got = [payloads(g.messages()) for g in group]
    same(sorted(int(n) for one in got for n in one), list(range(30)))
    assert all(got), f"one had nothing to do: {[len(g) for g in got]}"
    b.publish(p.topic("kept"), b"kept", retain=True, qos=1)
    for g in group:
        g.drop()
    late = p.peer("late")
    late.subscribe((f"$share/{p.name}x/{p.topic('kept')}", 1), (p.topic("end"), 1))
    b.publish(p.topic("end"), b"end", qos=1)
    same(late.messages(), [], "no retained messages for shared subscriptions")
    b.publish(p.topic("kept"), b"", retain=True, qos=1)


# --- retained messages -------------------------------------------------------------------------------------------------------


@scenario("3.3.1.3: retained messages")
def retained(p):
    b = p.peer("b")
    for qos in (0, 1, 2):
        b.publish(p.topic(f"{qos}"), b"old", qos=qos, retain=True)
        b.publish(p.topic(f"{qos}"), b"kept", qos=qos, retain=True)
    b.publish(p.topic("gone"), b"kept", qos=1, retain=True)
    b.publish(p.topic("gone"), b"", qos=1, retain=True)
    b.publish(p.topic("not"), b"not kept", qos=1)
    a = p.peer("a")
    a.subscribe((p.topic("+"), 2))
    got = sorted((m["topic"], m["payload"], m["qos"], m["retain"]) for m in (a.message() for _ in range(3)))
    same(got, [(p.topic(f"{q}"), b"kept", q, True) for q in (0, 1, 2)])
    b.publish(p.topic("1"), b"news", qos=1, retain=True)
    m = a.message()
    same((m["payload"], m["retain"]), (b"news", False), "an established subscription sees it without the flag")
    b.publish(p.topic("1"), b"", qos=1, retain=True)
    same(a.message()["payload"], b"", "what removes is delivered too")
    b.publish(p.topic("not"), b"end", qos=2)
    same(a.messages(), [], "and nothing else")
    for qos in (0, 1, 2):
        b.publish(p.topic(f"{qos}"), b"", qos=1, retain=True)


# --- sessions ----------------------------------------------------------------------------------------------------------------


@scenario("3.1.2.4, 4.1: a session outlives its connection, with what comes meanwhile")
def offline(p):
    a, b = p.lasting("a", clean=True), p.peer("b")
    same((a.present, a.subscribe((p.topic("+"), 2))), (False, [2]))
    a.disconnect()
    for qos in (1, 2):
        b.publish(p.topic(f"{qos}"), b"%d" % qos, qos=qos)
    a = p.lasting("a")
    same(a.present, True)
    same([(m["payload"], m["qos"]) for m in (a.message(), a.message())], [(b"1", 1), (b"2", 2)])
    a.disconnect()
    a = p.lasting("a", clean=True)
    same(a.present, False, "a new one")
    b.publish(p.topic("1"), b"lost", qos=1)
    a.subscribe((p.topic("end"), 1))
    b.publish(p.topic("end"), b"end", qos=1)
    same(a.messages(), [], "it has no filters")
    a.disconnect()
    same(p.peer("a", clean=True).present, False)


@scenario("4.4: what was not acknowledged is sent again, with DUP, in order, under its identifier")
def redelivery(p):
    a, b = p.lasting("a", clean=True), p.peer("b")
    a.subscribe((p.topic("+"), 2))
    for i in range(5):
        b.publish(p.topic(f"{i}"), b"%d" % i, qos=1 + i % 2)
    first = [a.message(acknowledge=False) for _ in range(5)]
    a.send(packet(0x50, struct.pack(">H", first[1]["id"])))  # PUBREC of one: its PUBREL comes again
    same(struct.unpack(">H", a.wait(6)[1][:2])[0], first[1]["id"])
    a.drop()
    a = p.lasting("a")
    same(a.present, True)
    head, body = a.wait(6)
    same(struct.unpack(">H", body[:2])[0], first[1]["id"], "PUBREL again")
    a.send(packet(0x70, body[:2]))
    again = [a.message() for _ in range(4)]
    same([(m["payload"], m["id"], m["dup"]) for m in again], [(m["payload"], m["id"], True) for m in first if m is not first[1]])
    p.lasting("a", clean=True).disconnect()


@scenario("MQTT-3.1.4-3 (3.1.1: 3.1.4-2): a second connection with the identifier takes over")
def takeover(p):
    a = p.peer("a")
    b = p.peer("a")
    same(a.ended(), 0x8E if p.version == 5 else None)
    b.send(b"\xc0\0")
    same(b.wait(13), (0xD0, b""))


@scenario("3.1.2.11.2: Session Expiry Interval", (5,))
def session_expiry(p):
    a = p.peer("a", clean=True, props={"session_expiry": 1})
    a.subscribe(p.topic())
    a.disconnect()
    same(p.peer("a", clean=False, props={"session_expiry": 600}).present, True, "in time")
    until = time.monotonic() + 30
    while True:  # takes over, then lets it expire
        a = p.peer("a", clean=False, props={"session_expiry": 600})
        a.disconnect(props={"session_expiry": 1})
        time.sleep(2.5)
        a = p.peer("a", clean=False, props={"session_expiry": 600})
        if not a.present or time.monotonic() > until:
            break
    same(a.present, False, "too late")
    a.disconnect(props={"session_expiry": 0})
    same(p.peer("a", clean=False).present, False, "0 at the end")


@scenario("MQTT-3.1.3-6, -7: an empty identifier is replaced by one of the server's")
def assigned(p):
    a = Peer(PORT, p.version, "", wrap=p.wrap)
    same(a.reason, 0)
    if p.version == 5:
        name = a.props["assigned"]
        same(len(name) > 0, True)
        b = Peer(PORT, 5, name, wrap=p.wrap)
        same(a.ended(), 0x8E, "it is the session's name")
        b.disconnect()


@scenario("MQTT-3.1.2-22 (3.1.1: 3.1.2-24): silence for one and a half keep alives ends it")
def keep_alive(p):
    a = p.peer("a", keep=1)
    same(a.ended(), 0x8D if p.version == 5 else None)


# --- wills -------------------------------------------------------------------------------------------------------------------


@scenario("MQTT-3.1.2-21: Server Keep Alive is used instead of the client's", (5,))
def server_keep_alive(p):
    same(p.peer("a", keep=50).props.get("server_keep_alive"), None)
    for keep in (0, 61, 65535):
        same(p.peer("a", keep=keep).props["server_keep_alive"], 60)


@scenario("3.1.2.5: the will is published when the connection is lost, and not after a DISCONNECT")
def will(p):
    b = p.peer("b")
    b.subscribe((p.topic("+"), 2))
    for qos in (0, 1, 2):
        p.peer("a", will={"topic": p.topic("will"), "payload": b"lost", "qos": qos}).drop()
        m = b.message()
        same((m["payload"], m["qos"], m["retain"]), (b"lost", qos, False))
    p.peer("a", will={"topic": p.topic("will"), "payload": b"kept", "qos": 1, "retain": True}).drop()
    same(b.message()["payload"], b"kept")
    c = p.peer("c")
    c.subscribe((p.topic("will"), 1))
    m = c.message()
    same((m["payload"], m["retain"]), (b"kept", True))
    b.publish(p.topic("will"), b"", qos=1, retain=True)
    same(b.message()["payload"], b"")
    p.peer("a", will={"topic": p.topic("will"), "payload": b"no", "qos": 1}).disconnect()
    b.publish(p.topic("x"), b"end", qos=2)
    same(b.messages(), [])
    bad = p.peer("a", will={"topic": p.topic("will"), "payload": b"bad packet", "qos": 1})
    bad.send(b"\xf5\0" if p.version == 4 else b"\x05\0")
    bad.ended()
    same(b.message()["payload"], b"bad packet", "a protocol error publishes it")
    if p.version == 5:
        p.peer("a", will={"topic": p.topic("will"), "payload": b"asked for", "qos": 1}).disconnect(reason=4)
        same(b.message()["payload"], b"asked for", "DISCONNECT with Will Message")


@scenario("3.1.3.2.2: Will Delay Interval", (5,))
def will_delay(p):
    b = p.peer("b")
    b.subscribe((p.topic("+"), 1))
    will = {"topic": p.topic("will"), "payload": b"late", "qos": 1, "props": {"will_delay": 2, "user": [("k", "v")], "content_type": "x"}}
    p.peer("a", clean=True, will=will, props={"session_expiry": 600}).drop()
    b.publish(p.topic("x"), b"end", qos=1)
    same(b.messages(), [], "not at once")
    m = b.message()
    same((m["payload"], m["props"].get("user"), m["props"].get("content_type"), "will_delay" in m["props"]), (b"late", [("k", "v")], "x", False))
    p.peer("a", clean=False, will={**will, "props": {"will_delay": 3}}, props={"session_expiry": 600}).drop()
    back = p.peer("a", clean=False, props={"session_expiry": 600})
    time.sleep(4)
    b.publish(p.topic("x"), b"end", qos=1)
    same(b.messages(), [], "back in time")
    back.disconnect(props={"session_expiry": 0})
    p.peer("c", clean=True, will={**will, "payload": b"session ended", "props": {"will_delay": 600}}, props={"session_expiry": 1}).drop()
    same(b.message()["payload"], b"session ended", "the end of the session ends the delay")


# --- MQTT 5: properties and limits -----------------------------------------------------------------------------------------------


@scenario("3.3.2.3: properties are handed on as they came", (5,))
def handed_on(p):
    a, b = p.peer("a"), p.peer("b")
    a.subscribe((p.topic(), 2))
    sent = {"format": 1, "content_type": "text/plain", "response_topic": p.topic("answer"), "correlation": b"\0\xff\1", "user": [("k", "1"), ("a", "2"), ("k", "1")]}
    for qos in (0, 1, 2):
        b.publish(p.topic(), "grün".encode(), qos=qos, props=sent)
        same(a.message()["props"], sent)
    kept = p.lasting("k", clean=True)
    kept.subscribe((p.topic(), 2))
    kept.disconnect()
    b.publish(p.topic(), b"x", qos=1, retain=True, props=sent)
    same(p.lasting("k").message()["props"], sent, "over a queue")
    c = p.peer("c")
    c.subscribe((p.topic(), 2))
    same(c.message()["props"], sent, "retained")
    b.publish(p.topic(), b"", retain=True, qos=1)
    p.lasting("k", clean=True).disconnect()


@scenario("3.3.2.3.3: Message Expiry Interval", (5,))
def message_expiry(p):
    a, b = p.lasting("a", clean=True), p.peer("b")
    a.subscribe((p.topic(), 2))
    b.publish(p.topic(), b"now", qos=1, props={"expiry": 100})
    same(a.message()["props"]["expiry"] in (99, 100), True)
    a.disconnect()
    b.publish(p.topic(), b"short", qos=1, props={"expiry": 1})
    b.publish(p.topic(), b"long", qos=1, props={"expiry": 600})
    b.publish(p.topic(), b"for ever", qos=2)
    b.publish(p.topic("kept"), b"short", qos=1, retain=True, props={"expiry": 1})
    time.sleep(2.5)
    a = p.lasting("a")
    m = a.message()
    same((m["payload"], 500 < m["props"]["expiry"] < 599), (b"long", True), "the time that is left")
    m = a.message()
    same((m["payload"], "expiry" in m["props"]), (b"for ever", False))
    a.subscribe((p.topic("kept"), 1), (p.topic("end"), 1))
    b.publish(p.topic("end"), b"end", qos=1)
    same(a.messages(), [], "a retained message expires, too")
    p.lasting("a", clean=True).disconnect()


@scenario("3.3.2.3.4: topic aliases of the client", (5,))
def aliases_in(p):
    a = p.peer("a")
    most = a.props["alias_maximum"]
    same(most > 0, True)
    a.subscribe((p.topic("+"), 1))
    a.publish(p.topic("x"), b"1", qos=1, props={"alias": most})
    a.publish("", b"2", qos=1, props={"alias": most})
    a.publish(p.topic("y"), b"3", qos=1, props={"alias": most})
    a.publish("", b"4", qos=1, props={"alias": most})
    same([(a.message()["topic"], i) for i in range(4)], [(p.topic(t), i) for i, t in enumerate("xxyy")])
    a.publish(p.topic("x"), b"5", props={"alias": most + 1}) if most < 65535 else a.send(b"\x00\x00")
    same(a.ended() in (0x94, 0x81, 0x82), True)


@scenario("MQTT-3.1.2-26, -27: topic aliases of the server, only as many as the client allows", (5,))
def aliases_out(p):
    b = p.peer("b")
    for most in (0, 1, 2):
        a = p.peer(f"a{most}", props={"alias_maximum": most})
        a.subscribe((p.topic("+"), 1))
        names = {}
        for t in ("x", "y", "z") * 3:
            b.publish(p.topic(t), t.encode(), qos=1)
            m = a.message()
            alias = m["props"].get("alias")
            same(alias is None or 1 <= alias <= most, True, f"maximum {most}, alias {alias}")
            if m["topic"]:
                names[alias] = m["topic"]
            same(names[alias], p.topic(t))
        a.disconnect()


@scenario("MQTT-3.1.2-24, -25: nothing larger than the client's Maximum Packet Size", (5,))
def maximum_packet(p):
    a, b = p.peer("a", props={"maximum_packet": 100}), p.peer("b")
    same(a.reason, 0)
    a.subscribe((p.topic(), 2))
    for qos in (0, 1, 2):
        b.publish(p.topic(), b"x" * 200, qos=qos)
        b.publish(p.topic(), b"small", qos=qos)
        same(a.message()["payload"], b"small")


@scenario("4.9: Receive Maximum of the client", (5,))
def receive_maximum_out(p):
    a, b = p.peer("a", props={"receive_maximum": 3}), p.peer("b")
    a.subscribe((p.topic(), 2))
    for i in range(8):
        b.publish(p.topic(), b"%d" % i, qos=1 + i % 2)
    b.publish(p.topic(), b"zero")  # QoS 0 is not held back by it
    got = [a.message(acknowledge=False) for _ in range(3)]
    a.send(b"\xc0\0")
    a.wait(13)
    same([h >> 4 for h, _ in a.inbox if h & 6], [], "three under way are enough")
    for m in got:
        if m["qos"] == 1:
            a.send(packet(0x40, struct.pack(">H", m["id"])))
        else:
            a.send(packet(0x50, struct.pack(">H", m["id"])))
            a.wait(6)
            a.send(packet(0x70, struct.pack(">H", m["id"])))
    rest = sorted(a.message()["payload"] for _ in range(6))
    same(sorted(m["payload"] for m in got) + rest, sorted([b"0", b"1", b"2"]) + sorted([b"3", b"4", b"5", b"6", b"7", b"zero"]))


@scenario("3.6: a QoS 2 message whose PUBREC has an error is done with", (5,))
def pubrec_error(p):
    a, b = p.lasting("a", clean=True), p.peer("b")
    a.subscribe((p.topic(), 2))
    b.publish(p.topic(), b"refused", qos=2)
    m = a.message(acknowledge=False)
    a.send(packet(0x50, struct.pack(">H", m["id"]) + b"\x80"))
    b.publish(p.topic(), b"next", qos=2)
    same(a.message()["payload"], b"next")
    a.drop()
    a = p.lasting("a")
    b.publish(p.topic(), b"end", qos=2)
    same(a.messages(), [], "it does not come again")
    p.lasting("a", clean=True).disconnect()


@scenario("MQTT-4.3.2-4, -4.3.3-8, -4.3.3-11: an answer out of turn ends the connection, and the message comes again")
def out_of_turn(p):
    b = p.peer("b")
    for qos, answer in ((1, 0x50), (1, 0x70), (2, 0x40), (2, 0x70)):
        who = f"a{qos}{answer:x}"
        a = p.lasting(who, clean=True)
        a.subscribe((p.topic(who), qos))
        b.publish(p.topic(who), b"x", qos=qos)
        a.send(packet(answer, struct.pack(">H", a.message(acknowledge=False)["id"])))
        same(a.ended(), 0x82 if p.version == 5 else None)
        m = p.lasting(who).message()
        same((m["payload"], m["qos"], m["dup"]), (b"x", qos, True))
        p.lasting(who, clean=True).disconnect()


@scenario("4.3: what a client publishes comes back to it behind the answer")
def own_copy(p):
    a = p.peer("a")
    a.subscribe((p.topic(), 2))
    for qos, answer in ((1, 4), (2, 5)):
        a.publish(p.topic(), b"x", qos=qos, wait=False)
        same([a.packet()[0] >> 4 for _ in range(2)], [answer, 3], f"QoS {qos}")


@scenario("3.4.2.1: who kept a message from itself by No Local has a matching subscription", (5,))
def nobody(p):
    a = p.peer("a")
    same(a.publish(p.topic(), b"x", qos=1), 0x10)
    a.subscribe((p.topic(), 5))
    same(a.publish(p.topic(), b"x", qos=1), 0)
    same(a.publish(p.topic("other"), b"x", qos=1), 0x10)


@scenario("3.2.2.3: what the open listener announces, byte by byte", (5,))
def announced(p):
    a = p.peer("a", keep=60)
    same(a.props, {"alias_maximum": 10, "receive_maximum": 20})
    same(list(a.props), ["alias_maximum", "receive_maximum"], "the order")


@scenario("2.1.2: what a client may not send is a protocol error whatever its flags and its length", (5,))
def not_of_a_client(p):
    for first in (0x00, 0x0F, 0x21, 0x90, 0xB8, 0xD1, 0xF1):
        a = p.peer("a")
        a.send(bytes([first]))
        same(a.ended(), 0x82, hex(first))


# ---------------------------------------------------------------------------------------------------------------------------------


def run(one):
    scenario_, clause, version, wrap = one
    place = Place(scenario_.__name__, version, wrap)
    try:
        scenario_(place)
        return None
    except (AssertionError, Ended, OSError, KeyError) as e:
        where = traceback.extract_tb(e.__traceback__)
        line = next(f.lineno for f in where if f.name == scenario_.__name__)
        return f"{type(e).__name__} {e} (line {line})"
    finally:
        for p in place.peers:
            p.socket.close()


def main():
    only = sys.argv[1:]
    runs = [(s, c, v, w) for s, c, versions in SCENARIOS for v in versions for w in (None, WebSocket) if not only or s.__name__ in only]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for (s, clause, version, wrap), wrong in zip(runs, pool.map(run, runs)):
            check(f"{s.__name__}, {'3.1.1' if version == 4 else '5.0'}{', WebSocket' if wrap else ''} [{clause}]", wrong, None)
    print(f"# {len(runs)} checks")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
