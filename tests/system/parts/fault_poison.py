#!/usr/bin/env python3
"""fault_poison.py COUNT [--good]: sends at least COUNT bad messages and as many good ones between them, beside a load.

--good: as many messages, none of them bad, to compare with.
"""
import json
import sys

from house import CA, MQTT_PORT, api, check, device, finish, metric, sql
from mqtt import Client

TELEMETRY = "v1/devices/me/telemetry"
LATE_ROUNDS = 2  # with messages that only PostgreSQL refuses: each costs its whole batch a second try


def bad_messages():
    """Payload, and whether it is for PostgreSQL to refuse it; DUP makes it a suspect, which is inserted in another way."""
    yield '{"x":NaN}', False, False
    yield '{"x":Infinity}', False, False
    yield '{"x":1e400}', False, False
    yield '{"x":-1e400}', False, False
    yield '{"x":"nul\\u0000nul"}', False, False
    yield '{"a\\u0000b":1}', False, False
    yield '{"ts":9405074246400000,"values":{"x":1}}', False, False
    yield '{"ts":-1,"values":{"x":1}}', False, False
    yield '{"ts":99999999999999999999,"values":{"x":1}}', False, False
    yield "{" + ",".join(f'"m{i}":{i}' for i in range(10001)) + "}", False, False
    yield '{"x":1', False, False
    yield b'{"x":"\xc0\x80"}', False, False
    yield '{"x":666}', True, False
    yield '{"x":666}', True, True
    yield '{"ts":1600000000000,"values":{"x":666}}', True, False
    yield '{"ts":1600000000000,"values":{"x":666}}', True, True


def good_only(count):
    c = Client(MQTT_PORT, CA, "neighbour", device(f"neighbour-{metric('messages_received_total')}"), timeout=20)
    for i in range(2 * count):
        c.publish(TELEMETRY, json.dumps({"ts": 1700000000000 + i, "values": {"good": i}}))
    c.disconnect()


def main():
    if sys.argv[2:] == ["--good"]:
        return good_only(int(sys.argv[1]))
    count = int(sys.argv[1])
    kinds = list(bad_messages())
    seen_by_server = [k for k in kinds if not k[1]]
    rounds = [kinds] * LATE_ROUNDS + [seen_by_server] * -(-max(0, count - LATE_ROUNDS * len(kinds)) // len(seen_by_server))
    token = device("poisoner")
    c = Client(MQTT_PORT, CA, "poisoner", token, timeout=20)
    rejected_before, poison_before = metric("messages_rejected_total"), metric("batch_poison_total")
    good = 0
    answers = {}
    for i, some in enumerate(rounds):
        for n, (payload, _, dup) in enumerate(some):
            answers.setdefault((payload, dup), set()).add(c.publish(TELEMETRY, payload, dup=dup))
            good += c.publish(TELEMETRY, json.dumps({"ts": 1700000000000 + i * 1000 + n, "values": {"good": i}})) == 0
    bad = sum(map(len, rounds))
    for_postgres = LATE_ROUNDS * (len(kinds) - len(seen_by_server))
    for payload, _, dup in kinds:
        check(f"{payload[:40]!r}{' with DUP' if dup else ''} is acknowledged as refused", answers[(payload, dup)], {0x99})
    check("the good ones between them are acknowledged", good, bad)
    check("and stored", sql("SELECT count(*) FROM reading_values WHERE device = 'poisoner' AND metric = 'good'"), str(bad))
    check("nothing of the bad ones is stored", sql("SELECT count(*) FROM reading_values WHERE device = 'poisoner' AND metric <> 'good'"), "0")
    check("each is counted once", metric("messages_rejected_total") - rejected_before, bad)
    check("those that only PostgreSQL refused are counted apart", metric("batch_poison_total") - poison_before, for_postgres)
    check("each is kept once", sql("SELECT count(*) FROM rejected_messages WHERE device = 'poisoner'"), str(bad))
    check("with a reason, a detail and at most 4 KiB of what it was",
          sql("SELECT count(*) FROM rejected_messages WHERE device = 'poisoner' AND reason <> '' AND length(payload) BETWEEN 1 AND 4096"), str(bad))
    check("and the API lists them", len(api("GET", "/v1/rejected?device=poisoner&limit=1000")["items"]), min(bad, 1000))
    print(f"bad messages {bad}, refused by PostgreSQL {for_postgres}")
    c.disconnect()
    return finish()


sys.exit(main())
