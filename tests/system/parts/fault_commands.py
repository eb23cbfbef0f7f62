#!/usr/bin/env python3
"""Devices that flap and an operator who sends them commands, with a book of their own. Until SIGTERM; then all stay connected and
each command comes to its end.

    fault_commands.py --devices N --commands N --rate R --book BOOK.jsonl

Each device remembers which commands it carried out, as the README asks of devices that must not act twice. It comes and goes every 1
to 10 s, sometimes in the worst moment: before it looked at the command, before its PUBACK, before its answer. Half speak MQTT 3.1.1.
The operator gives each command an Idempotency-Key and asks again with it until there is an answer; some are asked for twice at once,
some again much later, some are cancelled. 10 % expire after 2 s, the others after 15 s.

Lines of the book: {"at": s, "what": …, "device" or "key", "id", …}; what: posted (an answer of the API), cancelled, got, did (carried
out), puback (about to leave), answered (its PUBACK came, "reason"), lag (this program was held up for so long), unexpected.
"""
import argparse
import json
import random
import signal
import struct
import sys
import threading
import time
import urllib.error

from house import CA, MQTT_PORT, api, request
from mqtt import Client, Closed, packet

REQUESTS, ANSWERS = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
GONE = (Closed, ConnectionError, OSError)  # ssl.SSLError and time-outs are OSErrors
ANSWER_KINDS = (({"ok": 1}, "succeeded", 80), ({"error": "stuck"}, "failed", 10), ({"rejected": "busy"}, "rejected", 5), (None, None, 5))
ending = threading.Event()
over = threading.Event()


class Book:
    def __init__(self, path):
        self.file, self.lock = open(path, "w"), threading.Lock()

    def write(self, what, **fields):
        with self.lock:
            self.file.write(json.dumps({"at": time.time(), "what": what, **fields}) + "\n")

    def close(self):
        with self.lock:
            self.file.close()


class Device(threading.Thread):
    def __init__(self, number, token, book):
        super().__init__(daemon=True)
        self.name_, self.token, self.book = f"actor-{number:04}", token, book
        self.version = 4 if number % 2 else 5
        self.random = random.Random(number)
        self.done = {}       # id -> the answer it has for it, or None
        self.unanswered = {}  # id -> answer, until its PUBACK
        self.waiting = {}    # packet id -> command id

    def run(self):
        while not over.is_set():
            try:
                self.serve()
            except GONE:
                pass
            if not ending.is_set():
                over.wait(self.random.uniform(5, 9) if self.random.random() < 0.15 else self.random.uniform(0.05, 1.5))
            else:
                over.wait(0.2)

    def serve(self):
        expiry = b"" if self.version == 4 else b"\x11" + struct.pack(">I", 3600)
        c = Client(MQTT_PORT, CA, self.name_, self.token, version=self.version, clean=False, properties=expiry, timeout=20)
        try:
            if c.connack != 0:
                raise Closed()
            if not c.session_present:
                c.subscribe(REQUESTS + "+")
            c.socket.settimeout(0.5)
            self.waiting = {}
            for id, answer in list(self.unanswered.items()):
                self.answer(c, id, answer)
            until = time.monotonic() + self.random.uniform(1, 10)
            while not over.is_set() and (time.monotonic() < until or ending.is_set()):
                try:
                    head, body = c.later.pop(0) if c.later else c.receive()
                except TimeoutError:
                    continue
                if not self.take(c, head, body):
                    break
            if self.random.random() < 0.3:
                c.send(packet(0xE0, b""))
        finally:
            c.socket.close()

    def take(self, c, head, body):
        """False: this is the moment to go."""
        if head >> 4 == 4:
            id = self.waiting.pop(struct.unpack(">H", body[:2])[0], None)
            if id in self.unanswered:
                del self.unanswered[id]
                self.book.write("answered", device=self.name_, id=id, version=self.version, reason=body[2] if len(body) > 2 else 0)
            return True
        if head >> 4 != 3:
            return True
        go = None if ending.is_set() else self.random.choices(("now", "did", "acked", None), (4, 4, 4, 88))[0]
        topic, packet_id, payload = self.message(head, body)
        id = int(topic[len(REQUESTS):])
        self.book.write("got", device=self.name_, id=id)
        if go == "now":
            return False
        if id not in self.done:
            answer = random.Random(id).choices([k[0] for k in ANSWER_KINDS], [k[2] for k in ANSWER_KINDS])[0]
            self.done[id] = answer
            self.book.write("did", device=self.name_, id=id, order=json.loads(payload), answer=answer)
            if answer is not None:
                self.unanswered[id] = answer
        if go == "did":
            return False
        self.book.write("puback", device=self.name_, id=id)
        c.send(packet(0x40, packet_id))
        if go == "acked":
            return False
        if id in self.unanswered:
            self.answer(c, id, self.unanswered[id])
        return True

    def message(self, head, body):
        n = struct.unpack(">H", body[:2])[0]
        topic, rest = body[2 : 2 + n].decode(), body[2 + n :]
        packet_id, rest = rest[:2], rest[2:]
        if self.version == 5:
            rest = rest[1 + rest[0] :]  # the properties here are shorter than 128 bytes
        return topic, packet_id, rest

    def answer(self, c, id, answer):
        self.waiting[c.publish(ANSWERS + str(id), json.dumps(answer), wait=False)] = id


def post(book, name, key, wish):
    """Asks until there is an answer, as a good client does."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            status, answer, _ = request("POST", f"/v1/devices/{name}/commands", wish, headers={"Idempotency-Key": key}, timeout=10)
        except (urllib.error.URLError, OSError, TimeoutError):
            status, answer = 0, {}
        if status == 202:
            book.write("posted", key=key, id=answer["id"])
            return answer["id"]
        if status not in (0, 503):
            book.write("unexpected", key=key, status=status, answer=answer)
            return None
        time.sleep(0.2)
    book.write("unexpected", key=key, status=0, answer="none within 120 s")
    return None


def cancel(book, id):
    try:
        status, _, _ = request("POST", f"/v1/commands/{id}/cancel", {}, timeout=10)
    except (urllib.error.URLError, OSError, TimeoutError):
        return
    if status == 200:
        book.write("cancelled", id=id)


def operate(book, first, step, options):
    chance = random.Random(first)
    for n in range(first, options.commands, step):
        time.sleep(max(0, options.began + n / options.rate - time.monotonic()))
        name, key = f"actor-{chance.randrange(options.devices):04}", f"order-{n}"
        wish = {"method": "set", "params": {"nonce": n}, "expires_in": "2s" if n % 10 == 0 else "15s"}
        twin = threading.Thread(target=post, args=(book, name, key, wish)) if chance.random() < 0.1 else None
        if twin:
            twin.start()
        id = post(book, name, key, wish)
        if twin:
            twin.join()
        if id is not None and chance.random() < 0.05:
            cancel(book, id)
        if id is not None and chance.random() < 0.1:
            threading.Timer(chance.uniform(0.05, 5), post, (book, name, key, wish)).start()


def watch_lag(book):
    while not over.is_set():
        before = time.monotonic()
        time.sleep(0.05)
        late = time.monotonic() - before - 0.05
        if late > 0.1:
            book.write("lag", s=late)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--commands", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--book", required=True)
    options = parser.parse_args()
    tokens = {f"actor-{i:04}": f"token-of-the-actor-{i:04}" for i in range(options.devices)}
    lines = "".join(f"{name},generic,{token}\n" for name, token in tokens.items())
    assert api("POST", "/v1/devices/import", "name,type,token\n" + lines, "text/csv")["created"] == options.devices
    book = Book(options.book)
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    devices = [Device(i, tokens[f"actor-{i:04}"], book) for i in range(options.devices)]
    for d in devices:
        d.start()
    threading.Thread(target=watch_lag, args=(book,), daemon=True).start()
    options.began = time.monotonic()
    operators = [threading.Thread(target=operate, args=(book, i, 16, options)) for i in range(16)]
    for o in operators:
        o.start()
    for o in operators:
        o.join()
    ending.set()
    print("posted", flush=True)
    over.wait()
    for d in devices:
        d.join(5)
    book.close()


sys.exit(main())
