#!/usr/bin/env python3
"""Slow consumers. A subscriber that stops reading costs what its buffers may hold, is closed by send_timeout, and nobody else notices:
the publisher goes on only when the good subscribers have what was published, so that one who had to wait would stop it all.

one: subscribers over TLS and WebSocket, QoS 0 and 1, and sessions that last. all: what waits for all sessions together."""
import json
import os
import socket
import ssl
import sys
import threading
import time

from house import CA, DIR, MQTT_PORT, api, check, device, finish, metric, sql
from mqtt_peer import Peer
from websocket import WebSocket

FULL = os.environ.get("SIGNALBOX_FULL") == "1"
SLOW_EACH = 40 if FULL else 6  # of each transport and QoS
DEVICES = 16
PAYLOAD = 4096
OUT_HIGH = 65536  # messages wait while so much is not written
QUEUE = 65536  # session_queue
QUEUE_MAX = 150  # session_queue_max
WINDOW = 100  # unacknowledged messages of a client that sets none
STALLED = "peer does not read: nothing went out"
AHEAD = 30  # published and not yet with a good one
TOKENS = {}
FIGURES = []


def dial(small):
    raw = socket.socket()
    if small:  # the window closes after a few packets
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(30)
    raw.connect(("127.0.0.1", MQTT_PORT))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ssl.create_default_context(cafile=CA).wrap_socket(raw, server_hostname="localhost")


def connect(name, client, transport="tls", small=False, **more):
    sock = dial(small)
    c = Peer(MQTT_PORT, CA, client, TOKENS[name], connected=WebSocket(sock) if transport == "ws" else sock, **more)
    assert c.connack == 0, f"{client} is refused: {c.connack}"
    return c


def until(words, ask, done, seconds=60):
    end = time.monotonic() + seconds
    while not done(ask()) and time.monotonic() < end:
        time.sleep(0.05)
    got = ask()
    return check(words, True if done(got) else got, True)


def resident():
    with open(f"/proc/{open(os.path.join(DIR, 'server.pid')).read().strip()}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def closed_why(prefix):
    """Why the sessions of clients with this prefix were closed, as the log has it, which does not have every line."""
    with open(os.path.join(DIR, "server.log"), encoding="utf-8") as log:
        return {json.loads(line)["detail"] for line in log if '"session_closed"' in line and f'"client_id":"{prefix}' in line}


class Good(threading.Thread):
    """Reads all it gets, and notes when."""

    def __init__(self, client, transport, qos):
        super().__init__(daemon=True)
        self.peer = connect("good", client, transport, keep_alive=600)
        self.peer.sub("t/x", qos=qos)
        self.seen, self.at, self.room = [], [], threading.Condition()
        self.start()

    def run(self):
        try:
            while True:
                m = self.peer.take()
                with self.room:
                    self.seen.append(int(m.payload.split()[0]))
                    self.at.append(time.monotonic())
                    self.room.notify()
        except Exception:  # the end of the test, or its failure: the count says which
            pass

    def wait_for(self, count):
        with self.room:
            return self.room.wait_for(lambda: len(self.seen) >= count, timeout=60)


class Stream:
    """Messages one after another to all subscribers of t/x."""

    def __init__(self, goods):
        self.peer, self.goods, self.sent_at = connect("boss", "boss"), goods, []

    def send(self, count):
        for _ in range(count):
            n = len(self.sent_at)
            self.sent_at.append(time.monotonic())
            self.peer.put("t/x", f"{n} ".ljust(PAYLOAD, "x"), qos=1)
            if n >= AHEAD and not all(g.wait_for(n - AHEAD) for g in self.goods):
                raise SystemExit(f"a good subscriber does not get message {n - AHEAD}")

    def settle(self):
        return all(g.wait_for(len(self.sent_at)) for g in self.goods)

    def latencies(self, since):
        """Milliseconds: median and 99th percentile of what was sent from `since` on. A figure, not a promise: the clients share the machine."""
        took = sorted(1000 * (g.at[i] - self.sent_at[n]) for g in self.goods for i, n in enumerate(g.seen) if n >= since)
        return f"{took[len(took) // 2]:.1f}/{took[len(took) * 99 // 100]:.1f} ms"


def until_all_ended(stream, peaks):
    """Publishes on until only the good ones are connected, and notes what is held for the others."""
    end = time.monotonic() + 90
    while metric("sessions_online") > len(stream.goods) + 1 and time.monotonic() < end:
        stream.send(20)
        for name in ("connection_buffer_bytes", "session_queue_bytes"):
            peaks[name] = max(peaks.get(name, 0), metric(name))
        peaks["resident"] = max(peaks.get("resident", 0), resident())


def at_its_end(sock):
    """What was on its way is there, and then the end."""
    try:
        while sock.recv(65536):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:  # reset, or TLS without its goodbye
        return True


def one_connection(stream):
    """Sessions that end with their connection."""
    first = len(stream.sent_at)
    stream.send(100)
    stream.settle()
    before = stream.latencies(first)
    slow = []
    for transport in ("tls", "ws"):
        for qos in (0, 1):
            for i in range(SLOW_EACH):
                c = connect(f"slow-{i % DEVICES}", f"slow-{transport}-{qos}-{i}", transport, small=True)
                c.sub("t/x", qos=qos)
                slow.append(c)
    resident_before, peaks = resident(), {}
    first = len(stream.sent_at)
    until_all_ended(stream, peaks)
    check("each that does not read is closed", metric("sessions_online"), len(stream.goods) + 1)
    check("by send_timeout", closed_why("slow-"), {STALLED})
    stream.settle()
    after = stream.latencies(first)
    # Beside the mark one message and its record may be in the buffer, and one larger than the bound in the queue.
    each = PAYLOAD + 20000
    check("what is buffered for them is bounded", peaks["connection_buffer_bytes"] <= len(slow) * (OUT_HIGH + each) + 1000000, True)
    check("what waits for them too", peaks["session_queue_bytes"] <= len(slow) * (QUEUE + each) + 1000000, True)
    if not os.environ.get("SANITIZED"):
        check("and so is memory", peaks["resident"] - resident_before <= len(slow) * (OUT_HIGH + QUEUE + 2 * each) + 32000000, True)
    check("no good one missed a message, or had one twice or out of order",
          [g.seen == list(range(len(stream.sent_at))) for g in stream.goods], [True] * len(stream.goods))
    until("all that was held for them is given back", lambda: metric("session_queue_bytes"), lambda n: n == 0)
    c = slow[0].socket
    check("the client finds its connection at its end", at_its_end(c), True)
    FIGURES.append(f"{len(slow)} slow ones: buffers {peaks['connection_buffer_bytes'] // len(slow) // 1024} KiB, queues "
                   f"{peaks['session_queue_bytes'] // len(slow) // 1024} KiB, resident {(peaks['resident'] - resident_before) // len(slow) // 1024} KiB each; "
                   f"good ones' latency (median/p99) {before} without them, {after} with them")


def sessions_that_last(stream):
    """They are closed as well; what waits is bounded, the oldest give way, and each is counted."""
    dropped = metric("routed_dropped_total")
    clients = [(f"slow-{i}", f"last-{i}", transport) for i, transport in enumerate(("tls", "ws", "tls", "ws"))]
    first = len(stream.sent_at)
    slow = [connect(name, client, transport, small=True, clean=False, expires=3600) for name, client, transport in clients]
    for c in slow:
        c.sub("t/x", qos=1)
    until_all_ended(stream, {})
    check("they are closed by send_timeout too", (metric("sessions_online"), closed_why("last-")), (len(stream.goods) + 1, {STALLED}))
    stream.send(QUEUE_MAX)
    stream.settle()
    sent = len(stream.sent_at)
    per_session = QUEUE // PAYLOAD
    most = int(sql("SELECT max(n) FROM (SELECT count(*) n FROM session_queue GROUP BY session_id) c"))
    check("rows that wait for one are bounded by its window and its queue", per_session < most <= WINDOW + per_session, True)
    missing, ordered = 0, []
    for name, client, transport in clients:
        c = connect(name, client, transport, clean=False, expires=3600)
        assert c.session_present == 1, f"{client}: its session is gone"
        seen = []
        while not seen or seen[-1] != sent - 1:
            seen.append(int(c.take().payload.split()[0]))
        # What was sent and not acknowledged comes again, then the newest ones, as many as fit.
        under_way = next((i for i, n in enumerate(seen) if n != first + i), len(seen))
        newest = len(seen) - under_way
        ordered.append(0 < under_way <= WINDOW and per_session - 2 <= newest <= per_session and seen[under_way:] == list(range(sent - newest, sent)))
        missing += sent - first - len(seen)
        c.leave(expires=0)
    check("the oldest gave way: what was under way, then the newest, in order", ordered, [True] * len(clients))
    check("each that gave way is counted", metric("routed_dropped_total") - dropped, missing)
    until("nothing is left in the tables", lambda: sql("SELECT (SELECT count(*) FROM session_queue), (SELECT count(*) FROM messages)"),
          lambda rows: rows == "0|0")
    FIGURES.append(f"sessions that last: {most} rows wait for one at most, {missing} of {len(clients) * (sent - first)} messages gave way")


def of_one():
    for name in ("good", "boss"):
        TOKENS[name] = device(name, "crowd")
    for i in range(DEVICES):
        TOKENS[f"slow-{i}"] = device(f"slow-{i}", "crowd")
    stream = Stream([Good(f"good-{t}-{q}", t, q) for t in ("tls", "ws") for q in (0, 1)])
    one_connection(stream)
    sessions_that_last(stream)


def queues_full():
    with open(os.path.join(DIR, "server.log"), encoding="utf-8") as log:
        return sum("queues_full" in line for line in log)


def of_all():
    """queues_max is 1 MiB."""
    for name in ("here", "author", "old"):
        TOKENS[name] = device(name, "crowd")
    for i in range(4):
        TOKENS[f"away-{i}"] = device(f"away-{i}", "crowd")
        c = connect(f"away-{i}", f"away-{i}", clean=False, expires=3600)
        c.sub(f"t/away/{i}", "t/everyone", qos=1)
        c.leave()
    here, author = connect("here", "here"), connect("author", "author")
    here.sub("t/everyone", "t/here", qos=1)
    dropped, limit = metric("routed_dropped_total"), 1048576
    taken, answer = 0, 0
    while answer == 0 and taken < 4 * limit // PAYLOAD:
        answer = author.put(f"t/away/{taken % 4}", f"{taken} ".ljust(PAYLOAD, "x"))
        taken += answer == 0
    check("when all queues are full, who publishes to absent sessions only is told so", answer, 0x97)
    held = metric("session_queue_bytes")
    check("before that they hold what they may", limit <= held <= limit + 2 * PAYLOAD, True)
    check("QoS 2 is told so too", author.put("t/away/0", "x", qos=2), 0x97)
    check("each is counted", metric("routed_dropped_total") - dropped, 2)
    check("who is there does not suffer", (author.put("t/everyone", "a"), author.put("t/here", "b"), author.put("t/here", "c", qos=2)), (0, 0, 0))
    check("and gets all", [here.take().payload for _ in range(3)], ["a", "b", "c"])
    check("the absent are counted for what the others got", metric("routed_dropped_total") - dropped, 6)
    check("what is retained is kept", author.put("t/away/1", "kept", retain=True), 0)
    old = connect("old", "old", version=4)
    old.put("t/away/1", "x")
    check("MQTT 3.1.1 has no word for it; it is counted", metric("routed_dropped_total") - dropped, 8)
    check("nothing more is held", metric("session_queue_bytes") <= held, True)
    check("the log says so, once", queues_full(), 1)
    received, committed, rejected = (metric(f"messages_{n}_total") for n in ("received", "committed", "rejected"))
    check("the balance adds up", received, committed + rejected + metric("messages_duplicate_total") + metric("messages_in_flight"))
    back = connect("away-0", "away-0", clean=False, expires=3600)
    got = [int(back.take().payload.split()[0]) for _ in range((taken + 3) // 4)]
    check("a session that comes back gets all that was taken for it", got, list(range(0, taken, 4)))
    until("which makes room", lambda: metric("session_queue_bytes"), lambda n: n <= limit * 7 // 8)
    check("and messages are taken again", author.put("t/away/2", "y"), 0)
    back.leave(expires=0)
    FIGURES.append(f"all together: {taken} messages of {PAYLOAD} bytes were taken, {held} bytes held")
    author.put("t/away/1", "", retain=True)
    for i in range(1, 4):
        connect(f"away-{i}", f"away-{i}").leave()


if sys.argv[1] == "one":
    api("POST", "/v1/device-types", {"name": "crowd", "topics": {"publish": ["t/#"], "subscribe": ["t/#"]}})
    of_one()
else:
    of_all()
for line in FIGURES:
    print("# " + line)
sys.exit(finish())
