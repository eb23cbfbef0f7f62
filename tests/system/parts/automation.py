#!/usr/bin/env python3
"""Machines that act on each other by rules: who is told what, when not, and why."""
import json
import sys
import time

from house import CA, MQTT_PORT, api, check, device, finish, lib, request, sql
from mqtt import Client

TELEMETRY = "v1/devices/me/telemetry"
REQUESTS = "v1/devices/me/rpc/request/+"


def wait_for(words, ask, want, seconds=20):
    end, got = time.monotonic() + seconds, None
    while time.monotonic() < end:
        got = ask()
        if got == want:
            break
        time.sleep(0.05)
    return check(words, got, want)


def rule(name, select, when, *actions):
    api("POST", "/v1/rules", {"name": name, "select": select, "when": when, "severity": "info", "actions": list(actions)})


def connect(name, token):
    c = Client(MQTT_PORT, CA, name, token)
    return c


def commands(of):
    """Method, state and last cause of each, the oldest first."""
    found = []
    for c in reversed(api("GET", f"/v1/devices/{of}/commands")["items"]):
        whole = api("GET", f"/v1/commands/{c['id']}")
        found.append((c["method"], c["state"], whole["history"][-1]["cause"]))
    return found


def fire(c, metric):
    """The rule on the metric fires once more."""
    check(f"{metric} trips", [c.publish(TELEMETRY, json.dumps({metric: v})) for v in (1, 0)], [0, 0])


def take(c):
    """The next command: method; answered."""
    topic, payload = c.message()
    c.publish(f"v1/devices/me/rpc/response/{topic.rsplit('/', 1)[1]}", "{}")
    return json.loads(payload)["method"]


def children():
    token = device("gw-hall")
    for name in ("lamp-1", "lamp-2"):
        api("POST", "/v1/devices", {"name": name, "type": "generic", "gateway": "gw-hall"})
    device("lamp-9")
    rule("dark", "name=gw-hall", "empty > 0", {"command": {"to": "children", "method": "off"}})
    c = connect("gw-hall", token)
    c.subscribe("v1/gateway/rpc")
    c.publish("v1/gateway/connect", '{"device":"lamp-1"}')
    fire(c, "empty")
    got = sorted((json.loads(p)["device"], json.loads(p)["data"]["method"]) for _, p in (c.message(), c.message()))
    check("all children of the gateway are told, nobody else", (got, commands("lamp-9")), ([("lamp-1", "off"), ("lamp-2", "off")], []))
    c.disconnect()


def desired():
    sensor, heater = device("window-1"), device("heater-1", attributes={"setpoint": 17, "mode": "auto"})
    rule("open", "name=window-1", "open > 0", {"twin": {"to": "device:heater-1", "desired": {"setpoint": 5, "reason": {"window": "window-1"}}}})
    rule("cold", "name=heater-1", 'temp < attr("setpoint")', {"command": {"method": "heat"}})
    s, h = connect("window-1", sensor), connect("heater-1", heater)
    h.subscribe("v1/devices/me/attributes")
    fire(s, "open")
    topic, payload = h.message()
    check("what is desired arrives", (topic, json.loads(payload)), ("v1/devices/me/attributes", {"setpoint": 5, "reason": {"window": "window-1"}}))
    check("and is an attribute", api("GET", "/v1/devices/heater-1")["attributes"], {"setpoint": 5, "mode": "auto", "reason": {"window": "window-1"}})
    wait_for("rules see it", lambda: (h.publish(TELEMETRY, '{"temp":10}'), h.publish(TELEMETRY, '{"temp":4}'), commands("heater-1") != [])[2], True)
    check("it was told", sql("SELECT count(*) FROM events WHERE kind = 'twin.desired'"), "1")
    s.disconnect()
    h.disconnect()


def minimum_times():
    sensor, token = device("tank-1"), device("pump-1")
    to = {"to": "device:pump-1"}
    rule("low", "name=tank-1", "low > 0", {"command": {**to, "method": "start", "hold": {"stop": "1s"}}})
    rule("high", "name=tank-1", "high > 0", {"command": {**to, "method": "stop", "hold": {"start": "8s"}}})
    rule("ring", "name=tank-1", "ring > 0", {"command": {**to, "method": "ring", "min_interval": "1h"}})
    t, p = connect("tank-1", sensor), connect("pump-1", token)
    p.subscribe(REQUESTS)
    fire(t, "ring")
    fire(t, "ring")
    fire(t, "low")
    fire(t, "high")
    check("told at once: ring, once, and start", [take(p), take(p)], ["ring", "start"])
    wait_for("the second ring is suppressed, the stop waits", lambda: [x[:2] for x in commands("pump-1")],
             [("ring", "succeeded"), ("ring", "suppressed"), ("start", "succeeded"), ("stop", "queued")])
    check("with the reasons", [commands("pump-1")[i][2] for i in (1, 3)], ["min_interval: within 1h after the last one", "hold: 8s after start"])
    lib("kill_server")
    lib("start_server")
    t, p = connect("tank-1", sensor), connect("pump-1", token)
    p.subscribe(REQUESTS)
    fire(t, "high")
    check("after a crash the minimum time holds still, and one stop is enough", commands("pump-1")[4][1], "suppressed")
    check("the stop comes when the pump has run long enough", take(p), "stop")
    fire(t, "low")
    check("and starts again", take(p), "start")
    sent = [float(x) for x in sql("SELECT extract(epoch FROM h.ts) FROM commands c JOIN command_history h ON h.command_id = c.id AND h.state = 'sent'"
                                  " WHERE c.method IN ('start', 'stop') ORDER BY h.ts").split()]
    check("it ran for 8 s at least, and stood for one", (sent[1] - sent[0] > 7.9, sent[2] - sent[1] > 0.9, len(sent)), (True, True, 3))
    fire(t, "high")
    fire(t, "low")
    check("the newest decision wins: it goes on", take(p), "start")
    wait_for("the stop that waited is cancelled", lambda: [x for x in commands("pump-1") if x[1] == "cancelled"],
             [("stop", "cancelled", "replaced by start before its hold was over")])
    t.disconnect()
    p.disconnect()


def loop_guard():
    token = device("flip-1")
    rule("flip", "name=flip-1", "x > 0", {"command": {"method": "flip"}})
    c = connect("flip-1", token)
    c.subscribe(REQUESTS)
    for i in range(13):
        c.publish(TELEMETRY, json.dumps({"x": 1}))
        c.publish(TELEMETRY, json.dumps({"x": 0}))
    check("ten in a minute, then none", [x[1] == "suppressed" for x in commands("flip-1")], [False] * 10 + [True] * 3)
    check("with the reason", commands("flip-1")[-1][2], "loop guard: too many commands of this method to this device")
    check("told once", sql("SELECT count(*) FROM events WHERE kind = 'automation.loop'"), "1")
    check("people may", api("POST", "/v1/devices/flip-1/commands", {"method": "flip"})["state"] in ("queued", "sent"), True)
    c.disconnect()


def override():
    sensor, token = device("gauge-1"), device("valve-1")
    rule("leak", "name=gauge-1", "leak > 0", {"command": {"to": "device:valve-1", "method": "shut"}})
    g, v = connect("gauge-1", sensor), connect("valve-1", token)
    v.subscribe(REQUESTS)
    path = "/v1/devices/valve-1/override"
    check("an override must end", request("POST", path, {"method": "shut"})[0], 422)
    api("POST", path, {"method": "shut", "expires_in": "1h", "reason": "testing"})
    fire(g, "leak")
    wait_for("the rule's command is suppressed, and says by whom", lambda: [(x[0], x[1], x[2][:23]) for x in commands("valve-1")],
             [("shut", "suppressed", "manual override by test")])
    api("POST", "/v1/devices/valve-1/commands", {"method": "shut"})
    check("people may", take(v), "shut")
    lib("kill_server")
    lib("start_server")
    g, v = connect("gauge-1", sensor), connect("valve-1", token)
    v.subscribe(REQUESTS)
    fire(g, "leak")
    wait_for("a restart does not end it", lambda: [x[1] for x in commands("valve-1")], ["suppressed", "succeeded", "suppressed"])
    check("it is listed", [(o["method"], o["actor"], o["reason"]) for o in api("GET", path)["items"]], [("shut", "test", "testing")])
    check("and given back", request("DELETE", path + "?method=shut")[0], 204)
    check("no more", api("GET", path)["items"], [])
    fire(g, "leak")
    check("the rule acts again", take(v), "shut")
    api("POST", path, {"expires_in": "3s"})
    fire(g, "leak")
    wait_for("all methods", lambda: commands("valve-1")[-1][1], "suppressed")
    wait_for("until it expires", lambda: api("GET", path)["items"], [])
    fire(g, "leak")
    check("then the rule acts", take(v), "shut")
    check("overrides are told", sql("SELECT string_agg(kind, ' ' ORDER BY id) FROM events WHERE kind LIKE 'automation.%' AND kind <> 'automation.loop'"),
          "automation.override automation.resumed automation.override")
    g.disconnect()
    v.disconnect()


def main():
    children()
    desired()
    minimum_times()
    loop_guard()
    override()
    return finish()


sys.exit(main())
