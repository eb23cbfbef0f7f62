#!/usr/bin/env python3
"""What devices and operators do with each other: commands and answers, gateways and children, rules that act, sessions that last."""
import json
import os
import struct
import subprocess
import sys
import threading
import time

from house import CA, DIR, MQTT_PORT, api, check, device, finish, lib, metric, request, sql
from mqtt import Client, packet, text

TELEMETRY = "v1/devices/me/telemetry"
REQUESTS = "v1/devices/me/rpc/request/+"


def command(name, method, params=None, **more):
    return api("POST", f"/v1/devices/{name}/commands", {"method": method, "params": params or {}, **more})


def state_of(id):
    return api("GET", f"/v1/commands/{id}")


def wait_for(words, ask, want, seconds=10):
    end, got = time.monotonic() + seconds, None
    while time.monotonic() < end:
        got = ask()
        if got == want:
            break
        time.sleep(0.05)
    return check(words, got, want)


def answer_next(c, answer):
    topic, payload = c.message()
    id = int(topic.rsplit("/", 1)[1])
    c.publish(f"v1/devices/me/rpc/response/{id}", json.dumps(answer))
    return id, json.loads(payload)


def commands():
    c = Client(MQTT_PORT, CA, "valve", device("valve-1"))
    check("a device may subscribe to its commands", c.subscribe(REQUESTS), [1])
    got = {}
    waiter = threading.Thread(target=lambda: got.update(api("POST", "/v1/devices/valve-1/commands?wait=10s",
                                                           {"method": "open", "params": {"pct": 40}, "expires_in": "60s"})))
    waiter.start()
    id, payload = answer_next(c, {"ok": True})
    waiter.join()
    check("the device gets method and params", payload, {"method": "open", "params": {"pct": 40}})
    check("?wait= gives the outcome", (got.get("id"), got.get("state")), (id, "succeeded"))
    whole = state_of(id)
    check("the answer is kept", whole["result"], {"ok": True})
    check("and so is each step", [h["state"] for h in whole["history"]], ["queued", "sent", "delivered", "succeeded"])
    id = command("valve-1", "open")["id"]
    answer_next(c, {"error": "stuck"})
    wait_for("an answer with an error means failed", lambda: state_of(id)["state"], "failed")
    c.disconnect()

    id = command("valve-1", "close", expires_in="120s")["id"]
    check("a command for an absent device waits", state_of(id)["state"], "queued")
    late = command("valve-1", "never", expires_in="1s")["id"]
    wait_for("it expires if the device does not come in time", lambda: state_of(late)["state"], "expired", 5)
    lib("kill_server")
    lib("start_server")
    c = Client(MQTT_PORT, CA, "valve", api("POST", "/v1/devices/valve-1/credentials", {"kind": "token"})["token"])
    c.subscribe(REQUESTS)
    got_id, payload = answer_next(c, {"done": 1})
    check("after a crash and a restart the waiting command is delivered, the expired one is not", (got_id, payload["method"]), (id, "close"))
    wait_for("and ends", lambda: state_of(id)["state"], "succeeded")

    headers = {"Idempotency-Key": "order-77"}
    first = request("POST", "/v1/devices/valve-1/commands", {"method": "open"}, headers=headers)
    second = request("POST", "/v1/devices/valve-1/commands", {"method": "open"}, headers=headers)
    check("the same Idempotency-Key is the same command", first[1]["id"], second[1]["id"])
    other = request("POST", "/v1/devices/valve-1/commands", {"method": "shut"}, headers=headers)
    check("with another body it is refused", other[0] in (409, 422), True)
    answer_next(c, {})
    check("an answer to a command that is over is kept as rejected", c.publish(f"v1/devices/me/rpc/response/{first[1]['id']}", "{}"), 0x99)
    c.disconnect()
    asked_twice_at_once()
    id = command("valve-1", "open", expires_in="60s")["id"]
    api("POST", f"/v1/commands/{id}/cancel", {})
    check("a waiting command can be cancelled", state_of(id)["state"], "cancelled")


def asked_twice_at_once():
    """The second answer must not be earlier than the commit of the first: a crash between them would leave an id of nothing."""
    hold = subprocess.Popen(["psql", "-X", "-q", "-d", open(os.path.join(DIR, "database_url")).read().strip()], stdin=subprocess.PIPE, text=True)
    hold.stdin.write("BEGIN; LOCK TABLE command_history IN EXCLUSIVE MODE;\n")
    hold.stdin.flush()
    locked = "SELECT count(*) FROM pg_locks WHERE relation = 'command_history'::regclass AND "
    wait_for("history is locked", lambda: sql(locked + "mode = 'ExclusiveLock' AND granted"), "1")
    ids = []
    ask = lambda: ids.append(request("POST", "/v1/devices/valve-1/commands", {"method": "open"}, headers={"Idempotency-Key": "twins"})[1].get("id"))
    twins = [threading.Thread(target=ask) for _ in range(2)]
    twins[0].start()
    wait_for("a command waits for its commit", lambda: sql(locked + "NOT granted"), "1")
    twins[1].start()
    twins[1].join(1)
    check("the same key is answered when the first is committed", ids, [])
    hold.communicate("COMMIT;\n")
    for t in twins:
        t.join()
    check("and with the same command", len(ids) == 2 and ids[0] == ids[1] and ids[0] is not None, True)


def rules_act():
    pump, fan = device("pump-9", labels={"hall": "3"}), device("fan-9", labels={"hall": "3", "role": "fan"})
    api("POST", "/v1/rules", {"name": "hot-9", "select": "hall=3,name=pump-9", "when": "temp > 80", "severity": "critical",
                              "summary": "{{device}} at {{temp}}", "actions": [
                                  {"command": {"to": "self", "method": "stop"}},
                                  {"command": {"to": {"select": "role=fan,hall=3"}, "method": "full"}},
                                  {"work_order": {"title": "Inspect"}}, {"notify": "ops"}]})
    c, f = Client(MQTT_PORT, CA, "pump-9", pump), Client(MQTT_PORT, CA, "fan-9", fan, version=4)
    c.subscribe(REQUESTS)
    f.subscribe(REQUESTS)
    check("a reading is acknowledged", c.publish(TELEMETRY, '{"temp":70}'), 0)
    check("and the one that fires", c.publish(TELEMETRY, '{"temp":91.5}'), 0)
    check("the rule's command reaches its own device", answer_next(c, {})[1]["method"], "stop")
    check("and another machine by selector", answer_next(f, {})[1]["method"], "full")
    alerts = api("GET", "/v1/alerts?device=pump-9")["items"]
    check("one alert fires", [(a["rule"], a["state"], a["severity"], a["value"], a["summary"]) for a in alerts],
          [("hot-9", "firing", "critical", 91.5, "pump-9 at 91.5")])
    check("with a work order", [(w["device"], w["title"], w["state"]) for w in api("GET", "/v1/maintenance/work-orders")["items"] if w["device"] == "pump-9"],
          [("pump-9", "Inspect", "open")])
    api("POST", f"/v1/alerts/{alerts[0]['id']}/ack", {"comment": "seen"})
    check("it can be acknowledged", api("GET", f"/v1/alerts/{alerts[0]['id']}")["acknowledged_by"], "test")
    c.publish(TELEMETRY, '{"temp":60}')
    check("and is resolved when the condition is over", [a["state"] for a in api("GET", "/v1/alerts?device=pump-9")["items"]], ["resolved"])
    c.publish(TELEMETRY, '{"temp":95}')
    status, _, headers = request("GET", "/v1/rules/hot-9")
    request("DELETE", "/v1/rules/hot-9", headers={"If-Match": headers["ETag"]})
    wait_for("deleting a rule ends its open alerts", lambda: [a["state"] for a in api("GET", "/v1/alerts?device=pump-9")["items"]], ["resolved"] * 2)


def gateways():
    token = device("gw-1")
    g = Client(MQTT_PORT, CA, "gw", token)
    check("a gateway's readings are acknowledged", g.publish("v1/gateway/telemetry", json.dumps(
        {"child-a": [{"ts": 1700000000000, "values": {"t": 1}}, {"ts": 1700000001000, "values": {"t": 2}}], "child-b": [{"t": 3}]})), 0)
    check("its children are created on first sight", sorted(d["name"] for d in api("GET", "/v1/devices?gateway=gw-1")["items"]), ["child-a", "child-b"])
    check("and their readings are stored", sql("SELECT string_agg(device || '=' || value, ' ' ORDER BY device, value) FROM reading_values WHERE device LIKE 'child-%'"),
          "child-a=1 child-a=2 child-b=3")
    device("stranger-1")
    check("it may not speak for a device that is not its child", g.publish("v1/gateway/telemetry", '{"stranger-1":[{"t":1}]}'), 0x99)
    g.subscribe("v1/gateway/rpc")
    id = command("child-a", "blink")["id"]
    topic, payload = g.message()
    check("a child's command goes over its gateway", (topic, json.loads(payload)["device"], json.loads(payload)["data"]["method"]), ("v1/gateway/rpc", "child-a", "blink"))
    g.publish("v1/gateway/rpc", json.dumps({"device": "child-a", "id": id, "data": {"ok": 1}}))
    wait_for("and its answer comes back", lambda: state_of(id)["state"], "succeeded")
    g.disconnect()
    id = command("child-b", "blink")["id"]
    g = Client(MQTT_PORT, CA, "gw", token)
    g.subscribe("v1/gateway/rpc")
    topic, payload = g.message()
    check("a child's command waits for its gateway", (topic, json.loads(payload)["device"], json.loads(payload)["data"]["id"]), ("v1/gateway/rpc", "child-b", id))
    g.disconnect()


def deleted():
    token = device("leaving-1")
    lock = threading.Thread(target=lambda: sql("BEGIN; LOCK TABLE alerts; SELECT pg_sleep(2); COMMIT"))
    lock.start()
    wait_for("a device takes its time to load", lambda: sql("SELECT count(*) FROM pg_locks WHERE relation = 'alerts'::regclass AND mode = 'AccessExclusiveLock'"), "1")
    c = Client(MQTT_PORT, CA, "leaving", token)
    c.publish(TELEMETRY, '{"a":1}', wait=False)
    wait_for("and is sending meanwhile", lambda: metric("messages_in_flight"), 1)
    check("when it is deleted", request("DELETE", "/v1/devices/leaving-1")[0], 204)
    lock.join()
    wait_for("what it sent is not in flight for ever", lambda: metric("messages_in_flight"), 0)
    api("POST", "/v1/rules", {"name": "leaving-hot", "select": "site=doomed", "when": "temp > 80"})
    c = Client(MQTT_PORT, CA, "doomed", device("doomed-1", labels={"site": "doomed"}))
    c.publish(TELEMETRY, '{"temp":99}')
    firing = lambda: len(api("GET", "/v1/alerts?state=firing&rule=leaving-hot")["items"])
    wait_for("a device has an alert", firing, 1)
    request("DELETE", "/v1/devices/doomed-1")
    wait_for("which ends with it", firing, 0)


def sessions():
    token = device("meter-1")
    c = Client(MQTT_PORT, CA, "lasting", token, version=4, clean=False)
    check("a first connection finds no session", c.session_present, 0)
    c.subscribe(REQUESTS)
    c.disconnect()
    lib("kill_server")
    lib("start_server")
    id = command("meter-1", "read")["id"]
    c = Client(MQTT_PORT, CA, "lasting", token, version=4, clean=False)
    check("a persistent session survives a crash of the server", c.session_present, 1)
    check("with its subscriptions", answer_next(c, {})[0], id)
    other = Client(MQTT_PORT, CA, "lasting", token, version=5, clean=False, properties=b"\x11\x00\x00\x00\x3c")
    check("a second connection of the same client takes over", (other.connack, other.session_present), (0, 1))
    c.socket.settimeout(5)
    c.closed()
    # QoS 2: PUBLISH -> PUBREC -> PUBREL -> PUBCOMP, sent twice before the release
    for again in (False, True):
        other.send(packet(0x34 | (8 if again else 0), text(TELEMETRY) + struct.pack(">H", 900) + b"\0" + b'{"e":5}'))
        check("QoS 2: PUBREC follows the commit", other.wait(5)[1][:2], struct.pack(">H", 900))
    other.send(packet(0x62, struct.pack(">H", 900)))
    check("QoS 2: PUBCOMP follows PUBREL", other.wait(7)[1][:2], struct.pack(">H", 900))
    check("a QoS 2 message is stored once", sql("SELECT count(*) FROM reading_values WHERE device = 'meter-1' AND metric = 'e'"), "1")
    # redelivery of a message without a time of its own
    other.publish(TELEMETRY, '{"w":8}', packet_id=901)
    lib("kill_server")
    lib("start_server")
    other = Client(MQTT_PORT, CA, "lasting", token, version=4, clean=False)
    check("a redelivery after a crash is acknowledged", other.publish(TELEMETRY, '{"w":8}', packet_id=901, dup=True), 0)
    check("and recognised although the server gave its time", sql("SELECT count(*) FROM reading_values WHERE device = 'meter-1' AND metric = 'w'"), "1")
    other.publish(TELEMETRY, '{"w":8}', packet_id=902)
    other.publish(TELEMETRY, '{"w":8}', packet_id=903)
    check("equal readings of different messages are different readings",
          sql("SELECT count(*) FROM reading_values WHERE device = 'meter-1' AND metric = 'w'"), "3")
    other.publish("v1/devices/me/attributes", '{"firmware":"1.4"}')
    check("what a device reports of itself is kept", api("GET", "/v1/devices/meter-1")["reported"], {"firmware": "1.4"})
    other.subscribe("v1/devices/me/attributes/response/+")
    other.publish("v1/devices/me/attributes/request/5", '{"clientKeys":"firmware"}')
    topic, payload = other.message()
    check("and it can ask for it", (topic, json.loads(payload)["client"]), ("v1/devices/me/attributes/response/5", {"firmware": "1.4"}))


def kinds_of_values():
    c = Client(MQTT_PORT, CA, "kinds", device("kinds-1"))
    c.publish(TELEMETRY, '[{"ts":1700000000000,"values":{"n":1.5,"s":"on","b":true}},{"ts":1700000060000,"values":{"latitude":52.5,"longitude":13.4}}]')
    rows = api("GET", "/v1/devices/kinds-1/readings?from=2023-11-14T00:00:00Z&to=2023-11-15T00:00:00Z")["items"]
    check("numbers, texts, booleans and positions come back as they were", [r["values"] for r in rows],
          [{"n": 1.5, "s": "on", "b": True}, {"latitude": 52.5, "longitude": 13.4}])
    check("one metric is a list of values", api("GET", "/v1/devices/kinds-1/readings?metric=n&from=1699900000000&to=1700100000000")["items"],
          [{"ts": "2023-11-14T22:13:20Z", "value": 1.5}])
    check("and the latest of each", {i["metric"]: i["value"] for i in api("GET", "/v1/devices/kinds-1/latest")["items"]},
          {"n": 1.5, "s": "on", "b": True, "latitude": 52.5, "longitude": 13.4})
    check("HTTP readings take the same road", request("POST", "/v1/telemetry?device=kinds-1", {"ts": 1700000120000, "values": {"n": 2}})[0] in (200, 201, 204), True)
    check("and are there", len(api("GET", "/v1/devices/kinds-1/readings?metric=n&from=1699900000000&to=1700200000000")["items"]), 2)


for part in (commands, rules_act, gateways, deleted, sessions, kinds_of_values):
    print(f"-- {part.__name__}", flush=True)
    part()
b = {k: metric(f"messages_{k}") for k in ("received_total", "committed_total", "duplicate_total", "rejected_total", "in_flight")}
check("the balance adds up", b["received_total"], b["committed_total"] + b["duplicate_total"] + b["rejected_total"] + b["in_flight"])
sys.exit(finish())
