#!/usr/bin/env python3
"""Samples in reverse order, within the lateness: what they cost, whom they cost it, and what becomes of the alerts.

The work is counted, not timed: each evaluation of a rule is in rule_evaluations_total. A device's turn runs again what came since
its oldest sample, once, however many samples it brings.
"""
import json
import struct
import sys
import threading
import time

from house import CA, MQTT_PORT, api, check, device, finish, metric, sql
from mqtt import Client

TELEMETRY = "v1/devices/me/telemetry"
SAMPLES = 23600  # at 1 kHz: 24 s, of 120 s that are put in order
HALF_WAVE = 1000  # samples; so every other thousandth fires and the next one resolves
FIRST_MS = int(time.time() * 1000) - 60000


def level(i):
    return 100 if i // HALF_WAVE % 2 else 0


def reversed_messages(count):
    """All samples, the newest first, in so many messages."""
    size = SAMPLES // count
    for end in range(SAMPLES, 0, -size):
        yield json.dumps([{"ts": FIRST_MS + i, "values": {"level": level(i)}} for i in range(end - 1, end - size - 1, -1)], separators=(",", ":"))


def sorted_alerts():
    """What the rule `level > 50` says of the samples in order: fired and resolved, in ms."""
    edges = [FIRST_MS + i for i in range(1, SAMPLES) if level(i) != level(i - 1)] + [None]  # the last one is open
    return list(zip(edges[::2], edges[1::2]))


def stored_alerts(name):
    rows = sql(
        "SELECT (extract(epoch FROM fired_at) * 1000)::bigint, (extract(epoch FROM resolved_at) * 1000)::bigint FROM alerts"
        f" WHERE device_id = (SELECT id FROM devices WHERE name = '{name}') AND state <> 'retracted' ORDER BY fired_at"
    )
    return [tuple(int(v) if v else None for v in line.split("|")) for line in rows.splitlines()]


class Neighbour(threading.Thread):
    """A device that waits for each PUBACK before it publishes again."""

    def __init__(self, token):
        super().__init__()
        self.client = Client(MQTT_PORT, CA, "neighbour", token, timeout=60)
        self.acks = 0
        self.last = threading.Event()

    def run(self):
        while not self.last.is_set():
            assert self.client.publish(TELEMETRY, '{"a":1}') == 0
            self.acks += 1


def flood(name, token, messages, window):
    """Publishes with so many unacknowledged; the PUBACKs must come in order."""
    c = Client(MQTT_PORT, CA, name, token, timeout=120)
    sent, acked = [], []
    for payload in messages:
        if len(sent) - len(acked) == window:
            acked.append(struct.unpack(">H", c.wait(4)[1][:2])[0])
        sent.append(c.publish(TELEMETRY, payload, wait=False))
    while len(acked) < len(sent):
        acked.append(struct.unpack(">H", c.wait(4)[1][:2])[0])
    check(f"{name}: every message is acknowledged, in the order in which they came", acked, sent)
    return len(acked)


def main():
    api("POST", "/v1/rules", {"name": "level", "select": "name in (few,many)", "when": "level > 50"})
    few, many, other = device("few"), device("many"), device("neighbour")
    neighbour = Neighbour(other)
    for name, token in (("few", few), ("many", many)):  # loaded, with their rules
        Client(MQTT_PORT, CA, name, token).publish(TELEMETRY, '{"other":1}')

    before = metric("rule_evaluations_total")
    flood("few", few, reversed_messages(4), 4)
    work = metric("rule_evaluations_total") - before
    # Each of the four may have its own turn: 1/4 + 2/4 + 3/4 + 4/4.
    check(f"four large messages: {work:.0f} evaluations for {SAMPLES} samples are at most 2.5 times as many", work <= 2.5 * SAMPLES, True)

    count, window = 118, 10
    before = metric("rule_evaluations_total")
    neighbour.start()
    flood("many", many, reversed_messages(count), window)
    answered = neighbour.acks
    neighbour.last.set()
    neighbour.join()
    work = metric("rule_evaluations_total") - before
    check(f"{count} messages: {work:.0f} evaluations are no more than one run for each message", work <= SAMPLES * (count + 1) / 2, True)
    # Twelve windows, of which each waits for a commit; the neighbour needs two commits for a message, at most.
    check(f"meanwhile the neighbour got {answered} PUBACKs", answered >= 3, True)

    check("nothing is under way", metric("messages_in_flight"), 0)
    check("balance", metric("messages_received_total"), metric("messages_committed_total") + metric("messages_duplicate_total"))
    check("no sample was too late", metric("samples_late_total"), 0)
    for name in ("few", "many"):
        check(f"{name}: all samples are stored", int(sql(f"SELECT count(*) FROM samples JOIN devices d ON d.id = device_id WHERE name = '{name}'")), SAMPLES + 1)
        check(f"{name}: the alerts are those of the samples in order", stored_alerts(name), sorted_alerts())
    return finish()


sys.exit(main())
