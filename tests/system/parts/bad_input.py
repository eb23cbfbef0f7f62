#!/usr/bin/env python3
"""Bad input costs the peer that sent it and nobody else, gets a clear answer, is counted and listed."""
import os
import sys

from house import CA, DIR, MQTT_PORT, api, check, device, finish, metric, request, sql
from mqtt import Client, packet, text, varint

TELEMETRY = "v1/devices/me/telemetry"


def rejected(name):
    return api("GET", f"/v1/rejected?device={name}&limit=100")["items"]


def good_neighbour(token):
    """A well-behaved device that must notice nothing."""
    c = Client(MQTT_PORT, CA, "neighbour", token)
    assert c.connack == 0
    return c


def main():
    api("POST", "/v1/device-types", {"name": "strict", "metrics": {"temperature": {"unit": "degC", "min": -50, "max": 150}}})
    strict, plain, neighbour = device("strict-1", "strict"), device("plain-1"), device("neighbour")
    other = good_neighbour(neighbour)
    sent = 0

    # --- who are you?
    check("a wrong token is refused with 0x86 or 0x87 (MQTT 5)", Client(MQTT_PORT, CA, "x", "no-such-token-at-all").connack in (0x86, 0x87), True)
    check("and with 4 or 5 (MQTT 3.1.1)", Client(MQTT_PORT, CA, "x", "no-such-token-at-all", version=4).connack in (4, 5), True)
    check("no credential at all is refused", Client(MQTT_PORT, CA, "x").connack in (0x86, 0x87), True)
    issued = api("POST", "/v1/devices/plain-1/credentials", {"kind": "certificate"})
    cert, key = os.path.join(DIR, "c.pem"), os.path.join(DIR, "c.key")
    open(cert, "w").write(issued["certificate"])
    open(key, "w").write(issued["private_key"])
    with_cert = Client(MQTT_PORT, CA, "cert", cert=(cert, key))
    check("an issued certificate is accepted", with_cert.connack, 0)
    check("and may publish", with_cert.publish(TELEMETRY, '{"a":1}'), 0)
    request("DELETE", f"/v1/devices/plain-1/credentials/{issued['id']}")
    with_cert.socket.settimeout(5)
    check("revoking it ends the live session within 5 s", with_cert.closed() in (0x87, 0x98), True)
    again = Client(MQTT_PORT, CA, "cert", cert=(cert, key))
    check("and it is refused from then on", again.connack in (0x86, 0x87, None), True)
    check("refusals are counted", metric("auth_refused_total") >= 4, True)

    # --- what do you say?
    cases = [  # payload, reason code of MQTT 5, word of the detail or pointer
        ('{"temperature":', 0x99, ""),
        ("not json", 0x99, ""),
        ('{"temperature":NaN}', 0x99, ""),
        ('{"temperature":1e400}', 0x99, "temperature"),
        ('{"temperature":200}', 0x99, "temperature"),
        ('{"pressure":3}', 0x99, "pressure"),
        ('{"ts":9405074246400000,"values":{"temperature":1}}', 0x99, "ts"),
        ('{"ts":-5,"values":{"temperature":1}}', 0x99, "ts"),
        ('{"temperature":{"deep":1}}', 0x99, "temperature"),
        ('{"temperature":1,"temperature":2}', 0x99, "temperature"),
        ("[" * 1000 + "]" * 1000, 0x99, ""),
        (b'{"temperature":"\xff"}', 0x99, ""),
    ]
    c5 = Client(MQTT_PORT, CA, "s5", strict)
    before = metric("messages_rejected_total")
    for payload, reason, _ in cases:
        check(f"MQTT 5 answers {payload[:40]!r} with 0x{reason:02x}", c5.publish(TELEMETRY, payload), reason)
        sent += 1
    check("the same connection goes on", c5.publish(TELEMETRY, '{"temperature":20}'), 0)
    listed = rejected("strict-1")
    check("each is listed once", len(listed), len(cases))
    check("and counted once", metric("messages_rejected_total") - before, len(cases))
    for (payload, _, word), row in zip(cases, sorted(listed, key=lambda r: r["id"])):
        if word:
            check(f"the listed reason of {payload[:30]!r} names {word}", word in row["pointer"] + row["detail"], True)
    c4 = Client(MQTT_PORT, CA, "s4", strict, version=4)
    check("MQTT 3.1.1 has no reason: PUBACK, and the message is kept as rejected", (c4.publish(TELEMETRY, "{"), len(rejected("strict-1"))),
          (0, len(cases) + 1))
    check("only good readings are stored", sql("SELECT count(*) FROM reading_values WHERE device = 'strict-1'"), "1")

    # --- how do you say it?
    big = Client(MQTT_PORT, CA, "big", plain)
    big.send(b"\x30" + varint(300 * 1024 * 1024 // 2) + text(TELEMETRY))
    check("an oversized packet ends the connection with 0x95", big.closed(), 0x95)
    early = Client.__new__(Client)
    Client.__init__(early, MQTT_PORT, CA, "y" * 20000, plain)
    check("an oversized CONNECT never gets in", early.connack in (0x95, 0x85, None), True)
    for words, data in (("a reserved packet type", b"\x00\x00"), ("a second CONNECT", packet(0x10, text("MQTT") + b"\x05\x02\x00\x0a\x00" + text("z"))),
                        ("packet identifier 0", packet(0x32, text(TELEMETRY) + b"\0\0\0{}")), ("QoS 3", packet(0x36, text(TELEMETRY) + b"\0\1\0{}")),
                        ("a wildcard in a topic", packet(0x32, text("v1/#") + b"\0\1\0{}"))):
        bad = Client(MQTT_PORT, CA, "bad", plain)
        bad.send(data)
        check(f"{words} ends the connection with a reason", bad.closed() in (0x81, 0x82, 0x90), True)
    check("a topic the device may not use is refused with 0x87", Client(MQTT_PORT, CA, "t", plain).publish("other/topic", "{}"), 0x87)
    check("and so is a filter", Client(MQTT_PORT, CA, "t", plain).subscribe("#"), [0x87])

    # --- a time of its own
    now_ms = int(sql("SELECT (extract(epoch FROM now()) * 1000)::bigint"))
    p = Client(MQTT_PORT, CA, "p", plain)
    check("a reading from tomorrow is stored", p.publish(TELEMETRY, f'{{"ts":{now_ms + 86400000},"values":{{"a":99}}}}'), 0)
    check("with the flag clock", sql("SELECT flags & 2 FROM readings r JOIN devices d ON d.id = r.device_id WHERE d.name = 'plain-1' AND ts > now()"), "2")
    check("and never becomes the latest value", [i["value"] for i in api("GET", "/v1/devices/plain-1/latest")["items"]], [1])

    # --- a rule with a typo
    status, problem, headers = request("POST", "/v1/rules", {"name": "typo", "select": "type=strict", "when": "temprature > 80", "severity": "major"})
    check("a rule about an unknown metric is refused", status, 422)
    check("as problem+json", headers["Content-Type"].startswith("application/problem+json"), True)
    check("that names the field", problem["errors"][0]["pointer"], "/when")
    check("and the metric", "temprature" in str(problem), True)
    status, problem, _ = request("POST", "/v1/rules", {"name": "typo", "select": "type=strict", "when": "temperature >", "severity": "major"})
    check("a rule that ends too early is refused with the column", (status, "column" in str(problem)), (422, True))
    status, problem, _ = request("POST", "/v1/rules", {"name": "typo", "wen": "temperature > 1"})
    check("an unknown field of a rule is named", (status, problem["errors"][0]["pointer"]), (422, "/wen"))

    # --- nobody else noticed
    check("the neighbour's connection has lived through all of it", other.publish(TELEMETRY, '{"fine":1}'), 0)
    b = {k: metric(f"messages_{k}") for k in ("received_total", "committed_total", "duplicate_total", "rejected_total", "in_flight")}
    check("the balance adds up", b["received_total"], b["committed_total"] + b["duplicate_total"] + b["rejected_total"] + b["in_flight"])
    return finish()


sys.exit(main())
