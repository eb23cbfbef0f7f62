#!/usr/bin/env python3
"""Watches a server while things are done to it, until SIGTERM; then prints one line of JSON. Exit code 1: a promise was broken.

Five times a second: /livez must answer, and in /metrics `received = committed + duplicate + rejected + in flight` must hold with
nothing below zero. A server that is not there (killed on purpose) is no fault; one that is there and does not answer is.
"""
import argparse
import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
PARTS = ("committed_total", "duplicate_total", "rejected_total", "in_flight")
running = True


def stop(*_):
    global running
    running = False


class Pinger(threading.Thread):
    """A quiet MQTT 5 device that sends PINGREQ and measures how long the answer takes."""

    def __init__(self, port, ca, token):
        super().__init__(daemon=True)
        self.port, self.ca, self.token = port, ca, token
        self.times, self.connects, self.cuts = [], 0, 0

    def run(self):
        import mqtt

        while running:
            try:
                c = mqtt.Client(self.port, self.ca, "pinger", self.token, version=5, timeout=30)
                if c.connack != 0:
                    raise mqtt.Closed()
                self.connects += 1
                while running:
                    began = time.monotonic()
                    c.send(b"\xc0\0")
                    c.wait(13)
                    self.times.append(time.monotonic() - began)
                    time.sleep(0.2)
            except (mqtt.Closed, OSError):
                self.cuts += 1
                time.sleep(0.2)


def get(address, path):
    c = http.client.HTTPConnection(*address, timeout=30)
    try:
        began = time.monotonic()
        c.request("GET", path)
        answer = c.getresponse()
        body = answer.read().decode()
        return answer.status, body, time.monotonic() - began
    finally:
        c.close()


def rss_kib(pid_file):
    try:
        pid = open(pid_file).read().strip()
        with open(f"/proc/{pid}/status") as f:
            return next((int(line.split()[1]) for line in f if line.startswith("VmRSS:")), 0)
    except (OSError, ValueError):
        return 0


def numbers(text):
    out = {}
    for line in text.splitlines():
        if line.startswith("signalbox_"):
            name, value = line.split(" ", 1)
            out[name[len("signalbox_"):]] = int(float(value))
    return out


def balance_fault(m):
    got = [m["messages_" + p] for p in PARTS]
    received = m["messages_received_total"]
    if sum(got) != received:
        return f"received {received} is not the sum of " + ", ".join(f"{p} {v}" for p, v in zip(PARTS, got))
    if min(got) < 0:
        return "below zero: " + ", ".join(f"{p} {v}" for p, v in zip(PARTS, got))
    return None


def percentile(times, share):
    return round(sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000) if times else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid-file", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ping")
    options = parser.parse_args()
    url = urllib.parse.urlparse(options.url)
    address = (url.hostname, url.port)
    signal.signal(signal.SIGTERM, stop)
    pinger = None
    if options.ping:
        pinger = Pinger(int(os.environ["SIGNALBOX_MQTT_PORT"]), os.environ["SIGNALBOX_CA"], options.ping)
        pinger.start()
    faults, live, absent, scrapes, in_flight_max, rss_max, rss_first = [], [], 0, 0, 0, 0, 0
    with open(options.out, "w") as out:
        while running:
            began = time.monotonic()
            try:
                status, _, took = get(address, "/livez")
                live.append(took)
                if status != 200:
                    faults.append(f"/livez answers {status}")
                _, text, _ = get(address, "/metrics")
                m = numbers(text)
                fault = balance_fault(m)
                if fault:
                    faults.append(fault)
                scrapes += 1
                in_flight_max = max(in_flight_max, m["messages_in_flight"])
                rss = rss_kib(options.pid_file)
                rss_first, rss_max = rss_first or rss, max(rss_max, rss)
                out.write(json.dumps({"t": time.time(), "livez_ms": round(took * 1000, 1), "rss_kib": rss, **m}) + "\n")
                out.flush()
            except TimeoutError:
                faults.append("no answer within 30 s")
            except (OSError, http.client.HTTPException, KeyError):
                absent += 1  # it was killed
            time.sleep(max(0, 0.2 - (time.monotonic() - began)))
    print(json.dumps({"scrapes": scrapes, "absent": absent, "livez_ms_p99": percentile(live, 0.99), "livez_ms_max": percentile(live, 1),
                      "in_flight_max": in_flight_max, "rss_mib_first": rss_first // 1024, "rss_mib_max": rss_max // 1024,
                      "pings": len(pinger.times) if pinger else 0, "ping_ms_p99": percentile(pinger.times, 0.99) if pinger else 0,
                      "ping_ms_max": percentile(pinger.times, 1) if pinger else 0, "ping_cuts": pinger.cuts if pinger else 0,
                      "faults": len(faults), "first_fault": faults[0] if faults else None}))
    sys.exit(1 if faults else 0)


main()
