#!/usr/bin/env python3
"""Publishers and subscribers with sessions that last, while the server is killed at random moments. Each keeps its own book:

- every message that was acknowledged (PUBACK; PUBREC for QoS 2) arrives at every subscriber: QoS 1 at least once, QoS 2 exactly once;
- the first arrivals of a publisher's messages of one QoS are in its order;
- the retained value of each publisher is its last one.

A client plays by the standard: unacknowledged messages are sent again with DUP after a reconnect, what was released is not sent
again, QoS 2 messages in hand are recognised by their packet identifier. A session that the server does not know any more is a
failure. Usage: routing_kill.py KILLS SECONDS_BETWEEN PUBLISHERS SUBSCRIBERS"""
import collections
import os
import random
import select
import ssl
import struct
import sys
import threading
import time

from house import CA, MQTT_PORT, api, check, finish, lib, sql
from mqtt import Closed, packet, text, varint
from mqtt_peer import Peer, take_text, take_varint

KILLS, BETWEEN, PUBLISHERS, SUBSCRIBERS = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
WINDOW = 20
LOST = (Closed, ConnectionError, ssl.SSLError, OSError, AssertionError)
TOKENS = {}
over = threading.Event() # publishers stop
quiet = threading.Event() # subscribers stop
problems = []


def problem(words):
    if len(problems) < 20:
        problems.append(words)


class Party(threading.Thread):
    """Connects again and again, as one session."""

    def __init__(self, name, version):
        super().__init__(daemon=True)
        self.name, self.version, self.peer, self.known = name, version, None, False
        self.random = random.Random(name)

    def connect(self):
        while not quiet.is_set():
            try:
                c = Peer(MQTT_PORT, CA, self.name, TOKENS[self.name], version=self.version, clean=False,
                         expires=3600 if self.version == 5 else None)
                if c.connack == 0:
                    if self.known and not c.session_present:
                        problem(f"{self.name}: its session is forgotten")
                    self.peer = c
                    return True
            except LOST:
                pass
            time.sleep(0.05)
        return False

    def packets(self, seconds):
        """What has come, waiting for it so long."""
        c, end = self.peer, time.monotonic() + seconds
        while True:
            done = c.later.pop(0) if c.later else c._take()
            if done:
                yield done
                continue
            left = end - time.monotonic()
            if not c.socket.pending() and (left <= 0 or not select.select([c.socket], [], [], left)[0]):
                return
            data = c.socket.recv(65536)
            if not data:
                raise Closed()
            c.buffer += data

    def run(self):
        while self.connect():
            try:
                self.greet()
                while not self.is_done():
                    self.live()
                self.peer.leave()
                return
            except LOST:
                pass
            try:
                self.peer.socket.close()
            except OSError:
                pass


class Publisher(Party):
    """QoS 1, QoS 2 and retained messages, each with its own number; all share the window and the packet identifiers."""

    def __init__(self, name, version):
        super().__init__(name, version)
        self.numbers = {1: 0, 2: 0, "r": 0} # made so far
        self.acked = {1: 0, 2: 0, "r": 0}
        self.under_way = collections.OrderedDict() # packet id -> [kind, number, released]
        self.id = 0

    def body(self, id, kind, number):
        topic = f"k/{self.name}/{kind}" if kind != "r" else f"r/{self.name}"
        return text(topic) + struct.pack(">H", id) + (b"\0" if self.version == 5 else b"") + str(number).encode()

    def put(self, id, kind, number, dup):
        qos = 2 if kind == 2 else 1
        self.peer.send(packet(0x30 | qos << 1 | (1 if kind == "r" else 0) | (8 if dup else 0), self.body(id, kind, number)))

    def greet(self):
        for id, (kind, number, released) in self.under_way.items():
            if released:
                self.peer.send(packet(0x62, struct.pack(">H", id)))
            else:
                self.put(id, kind, number, True)

    def live(self):
        while len(self.under_way) < WINDOW and not over.is_set():
            self.id = self.id % 65535 + 1
            if self.id in self.under_way:
                break
            kind = self.random.choice((1, 1, 2, 2, "r"))
            self.numbers[kind] += 1
            self.under_way[self.id] = [kind, self.numbers[kind], False]
            self.put(self.id, kind, self.numbers[kind], False)
        for head, body in self.packets(0.2):
            self.take(head, body)
            if len(self.under_way) < WINDOW // 2:
                break

    def take(self, head, body):
        id = struct.unpack(">H", body[:2])[0]
        entry = self.under_way.get(id)
        reason = body[2] if len(body) > 2 else 0
        if reason not in (0, 0x10, 0x92):
            problem(f"{self.name}: reason {reason:#x}")
        if head >> 4 == 4 and entry:
            self.confirm(entry)
            del self.under_way[id]
        elif head >> 4 == 5:
            if entry and not entry[2]:
                self.confirm(entry)
                entry[2] = True
            self.peer.send(packet(0x62, struct.pack(">H", id)))
        elif head >> 4 == 7 and entry:
            del self.under_way[id]
        self.known = True

    def confirm(self, entry):
        kind, number, _ = entry
        if number != self.acked[kind] + 1:
            problem(f"{self.name}: {kind} {number} is acknowledged after {self.acked[kind]}")
        self.acked[kind] = number

    def is_done(self):
        return over.is_set() and not self.under_way


class Subscriber(Party):
    def __init__(self, name, version, qos):
        super().__init__(name, version)
        self.qos = qos
        self.got = collections.defaultdict(list) # (publisher, kind) -> numbers as they came
        self.in_hand = set() # packet identifiers of QoS 2 between PUBLISH and PUBREL
        self.repeated = 0
        self.stay_until = 0
        self.ready = threading.Event()

    def greet(self):
        if not self.known:
            self.peer.sub("k/#", qos=self.qos)
            self.known = True
            self.ready.set()
        self.stay_until = time.monotonic() + self.random.uniform(0.2, 3)

    def live(self):
        for head, body in self.packets(0.2):
            self.take(head, body)
        if time.monotonic() > self.stay_until and not over.is_set():
            if self.random.random() < 0.5:
                self.peer.leave()
            else:
                self.peer.abort() # with acknowledgements that may not have arrived
            time.sleep(self.random.uniform(0, 0.5))
            raise Closed()

    def take(self, head, body):
        if head >> 4 == 6:
            id = body[:2]
            self.in_hand.discard(struct.unpack(">H", id)[0])
            self.peer.send(packet(0x70, id))
            return
        if head >> 4 != 3:
            return
        topic, rest = take_text(body)
        id, rest = rest[:2], rest[2:]
        if self.version == 5:
            length, rest = take_varint(rest)
            rest = rest[length:]
        if head >> 1 & 3 == 1:
            self.note(topic, rest)
            self.peer.send(packet(0x40, id))
            return
        number = struct.unpack(">H", id)[0]
        if number in self.in_hand:
            self.repeated += 1
        else:
            self.in_hand.add(number)
            self.note(topic, rest)
        self.peer.send(packet(0x50, id))

    def note(self, topic, payload):
        _, publisher, kind = topic.decode().split("/")
        self.got[publisher, int(kind)].append(int(payload))

    def is_done(self):
        return quiet.is_set()


def verify(publishers, subscribers):
    counts = collections.Counter()
    for s in subscribers:
        for p in publishers:
            for kind in (1, 2):
                numbers, sent = s.got[p.name, kind], p.numbers[kind]
                exactly_once = kind == 2 and s.qos == 2
                counts["arrived"] += len(numbers)
                missing = set(range(1, p.acked[kind] + 1)) - set(numbers)
                counts["lost"] += len(missing)
                doubled = len(numbers) - len(set(numbers))
                counts["doubled QoS 2" if exactly_once else "repeated QoS 1"] += doubled
                counts["never sent"] += len([n for n in numbers if not 1 <= n <= sent])
                first = list(dict.fromkeys(numbers))
                counts["out of order"] += sum(b < a for a, b in zip(first, first[1:]))
                if missing:
                    problem(f"{s.name} lacks {len(missing)} of {p.name} QoS {kind}: {sorted(missing)[:5]}")
    return counts


def complete(publishers, subscribers):
    return all(len(set(s.got[p.name, kind])) >= p.acked[kind] for s in subscribers for p in publishers for kind in (1, 2))


def main():
    api("POST", "/v1/device-types", {"name": "killed", "any_metric": True,
                                     "topics": {"publish": ["k/#", "r/#"], "subscribe": ["k/#", "r/#"]}})
    publishers = [Publisher(f"p{i}", 5 if i % 2 else 4) for i in range(PUBLISHERS)]
    subscribers = [Subscriber(f"s{i}", 4 if i % 2 else 5, 1 if i == 0 else 2) for i in range(SUBSCRIBERS)]
    for party in publishers + subscribers:
        api("POST", "/v1/devices", {"name": party.name, "type": "killed"})
        TOKENS[party.name] = api("POST", f"/v1/devices/{party.name}/credentials", {"kind": "token"})["token"]
    for s in subscribers:
        s.start()
    for s in subscribers:
        check(f"{s.name} subscribes", s.ready.wait(30), True)
    for p in publishers:
        p.start()
    for i in range(KILLS):
        time.sleep(random.uniform(0.2, BETWEEN))
        lib("kill_server")
        lib("start_server")
    time.sleep(1)
    over.set()
    for p in publishers:
        p.join(120)
        check(f"{p.name}: everything is acknowledged", (p.is_alive(), len(p.under_way)), (False, 0))
    end = time.monotonic() + 120
    while not complete(publishers, subscribers) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1) # for what should not come
    quiet.set()
    for s in subscribers:
        s.join(30)
    counts = verify(publishers, subscribers)
    for words in ("lost", "doubled QoS 2", "never sent", "out of order"):
        check(words, counts[words], 0)
    look = Peer(MQTT_PORT, CA, "look", TOKENS["p0"])
    look.sub("r/+", qos=1)
    values = {}
    while len(values) < PUBLISHERS:
        m = look.take()
        values[m.topic[2:]] = int(m.payload)
    check("the retained values are the last ones", values, {p.name: p.acked["r"] for p in publishers})
    check("problems", problems, [])
    check("something was sent", all(p.acked[1] > 20 and p.acked[2] > 20 for p in publishers), True)
    left = sql("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM session_queue), (SELECT count(*) FROM session_received)")
    end = time.monotonic() + 15
    while left != "0|0|0" and time.monotonic() < end:
        time.sleep(0.1)
        left = sql("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM session_queue), (SELECT count(*) FROM session_received)")
    check("nothing is left in the tables", left, "0|0|0")
    sent = sum(p.acked[1] + p.acked[2] + p.acked["r"] for p in publishers)
    print(f"# {KILLS} kills: {sent} messages acknowledged, {counts['arrived']} arrivals at {SUBSCRIBERS} sessions that came and went,"
          f" {counts['repeated QoS 1']} of QoS 1 came again, {sum(s.repeated for s in subscribers)} of QoS 2 were recognised")


main()
sys.stdout.flush()
os._exit(finish())
