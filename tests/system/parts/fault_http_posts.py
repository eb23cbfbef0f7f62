#!/usr/bin/env python3
"""fault_http_posts.py --phase NAME --devices N --posts N --book BOOK.csv : readings by HTTP, sent again in every way.

Each post is an array of three readings for one device, each value a number used once. One third have times of their own and no
Idempotency-Key, one third times and a key, one third no time and a key. Every post is sent until it is answered with 200; a quarter is
sent by two at once, a third again later, up to three times. A book as bench_ledger keeps it; the last line printed is JSON:
posts, again (sent again after their 200), tries (requests that may have arrived), seconds.
"""
import argparse
import json
import os
import random
import sys
import threading
import time
import urllib.error

from house import request

THREADS = 12


class Poster(threading.Thread):
    lock = threading.Lock()
    counts = {"posts": 0, "again": 0, "tries": 0}
    book = None
    wrong = []

    def __init__(self, number, options):
        super().__init__(daemon=True)
        self.number, self.options, self.random = number, options, random.Random(f"{options.phase}{number}")
        self.old = []  # posts that were answered, to be sent again

    def run(self):
        for n in range(self.number, self.options.posts, THREADS):
            time.sleep(max(0, self.options.began + n / self.options.rate - time.monotonic()))
            self.first(n)
            if self.old and self.random.random() < 0.33:
                self.again(self.old[self.random.randrange(len(self.old))])
        for post in self.old[:: max(1, len(self.old) // 20)]:
            self.again(post)

    def first(self, n):
        device = f"poster-{n % self.options.devices:03}"
        nonce, kind = self.options.first + n * 3, n % 3
        ms = self.options.first_ms + n * 10
        readings = [{"ts": ms + i, "values": {"v": nonce + i}} if kind < 2 else {"v": nonce + i} for i in range(3)]
        key = f"{self.options.phase}-{n}" if kind > 0 else None
        post = (device, json.dumps(readings), key)
        sent = time.time()
        twin = threading.Thread(target=self.send, args=(post,)) if self.random.random() < 0.25 else None
        if twin:
            twin.start()
        done = self.send(post)
        if twin:
            twin.join()
        self.note("posts")
        if done:
            self.old.append(post)
            del self.old[:-200]
        with Poster.lock:
            for i in range(3):
                Poster.book.write(f"{nonce + i},{device},v,{ms + i if kind < 2 else ''},{n},{nonce + i},{int(sent * 1e6)},"
                                  f"{int(time.time() * 1e6) if done else ''},{'acked' if done else 'unknown'}\n")

    def again(self, post):
        self.send(post)
        self.note("again")

    def send(self, post):
        device, body, key = post
        until = time.monotonic() + 120
        while time.monotonic() < until:
            self.note("tries")
            try:
                status, answer, _ = request("POST", f"/v1/telemetry?device={device}", body, headers={"Idempotency-Key": key} if key else {}, timeout=15)
            except (urllib.error.URLError, OSError):
                status, answer = 0, None
            if status == 200:
                return True
            if status not in (0, 503):
                Poster.wrong.append(f"{status} {answer} for {body}")
                return False
            time.sleep(0.1)
        Poster.wrong.append(f"no answer for {body}")
        return False

    def note(self, what):
        with Poster.lock:
            Poster.counts[what] += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--phase", required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--posts", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--book", required=True)
    options = parser.parse_args()
    options.began, options.first, options.first_ms = time.monotonic(), time.time_ns() // 1000, time.time_ns() // 1000000 - 3600000
    with open(options.book, "w") as Poster.book:
        Poster.book.write("nonce,device,metric,ts,seq,value,t_send,t_ack,state\n")
        posters = [Poster(i, options) for i in range(THREADS)]
        for p in posters:
            p.start()
        for p in posters:
            p.join()
    print("\n".join(Poster.wrong[:5]))
    print(json.dumps({**Poster.counts, "seconds": round(time.monotonic() - options.began, 1)}))
    return 1 if Poster.wrong else 0


sys.exit(main())
