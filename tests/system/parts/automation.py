#!/usr/bin/env python3
"""Machines that act on each other by rules: who is told what, when not, and why."""
import json
import sys
import time

from house import CA, MQTT_PORT, api, check, device, finish, lib, request, sql
from mqtt import Client

TELEMETRY = "v1/devices/me/telemetry"
REQUESTS = "v1/devices/me/rpc/request/+"
HORNS, LARGE = 450, 16000


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


def suppressed():
    return int(next(x for x in request("GET", "/metrics")[1].splitlines() if x.startswith("signalbox_commands_suppressed_total ")).split()[1])


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
    before = suppressed()
    for i in range(13):
        c.publish(TELEMETRY, json.dumps({"x": 1}))
        c.publish(TELEMETRY, json.dumps({"x": 0}))
    check("ten in a minute, then none, and one row for all of those", [x[1] == "suppressed" for x in commands("flip-1")], [False] * 10 + [True])
    check("which are counted", suppressed() - before, 3)
    check("with the reason", commands("flip-1")[-1][2], "loop guard: too many commands of this method to this device")
    check("told once", sql("SELECT count(*) FROM events WHERE kind = 'automation.loop'"), "1")
    check("people may", api("POST", "/v1/devices/flip-1/commands", {"method": "flip"})["state"] in ("queued", "sent"), True)
    c.disconnect()


def storm():
    """One message fires rules hundreds of times, each time for many devices, with commands that together are larger than a batch."""
    token = device("storm-1")
    for i in range(HORNS):
        api("POST", "/v1/devices", {"name": f"horn-{i}", "type": "generic", "labels": {"kind": "horn"}})
    to = {"to": {"select": "kind=horn"}}
    rule("wide", "name=storm-1", "wide > 0", {"command": {**to, "method": "wide"}})
    rule("large", "name=storm-1", "large > 0", {"command": {**to, "method": "large", "params": {"text": "x" * LARGE}}})
    c = connect("storm-1", token)
    now = int(time.time() * 1000)
    for metric in ("wide", "large"):
        message = [{"ts": now - 2000 + i, "values": {metric: i % 2}} for i in range(2000)]
        before = suppressed()
        check(f"{metric}: it is taken", c.publish(TELEMETRY, json.dumps(message)), 0)
        check(f"{metric}: all alerts", sql(f"SELECT count(*) FROM alerts WHERE rule = '{metric}'"), "1000")
        states = dict(x.split("|") for x in sql(f"SELECT state, count(*) FROM commands WHERE method = '{metric}' GROUP BY state").split())
        if metric == "wide":
            check("wide: ten for each device, and one row for the rest", states, {"queued": str(10 * HORNS), "suppressed": str(HORNS)})
        else:
            check("large: as many as a batch may take", HORNS <= int(states["queued"]) < 10 * HORNS, True)
        check(f"{metric}: the rest is counted", suppressed() > before, True)
        now += 3000
    check("the server goes on", c.publish(TELEMETRY, '{"calm":1}'), 0)
    c.disconnect()


def waiting():
    """Commands that wait when a person takes over, or takes them back."""
    sensor, token = device("tank-2"), device("pump-2")
    to = {"to": "device:pump-2"}
    rule("on", "name=tank-2", "on > 0", {"command": {**to, "method": "start"}})
    rule("off", "name=tank-2", "off > 0", {"command": {**to, "method": "stop", "hold": {"start": "1h"}}})
    rule("call", "name=tank-2", "call > 0", {"command": {**to, "method": "call"}})
    t, p = connect("tank-2", sensor), connect("pump-2", token)
    p.subscribe(REQUESTS)
    fire(t, "on")
    check("it starts", take(p), "start")
    p.disconnect()
    fire(t, "off")
    stop = api("GET", "/v1/devices/pump-2/commands")["items"][0]["id"]
    check("a deferred command is taken back", request("DELETE", f"/v1/commands/{stop}")[0], 200)
    fire(t, "off")
    check("and the next one waits in its place", [x[:2] for x in commands("pump-2")][1:], [("stop", "cancelled"), ("stop", "queued")])
    fire(t, "call")
    api("POST", "/v1/devices/pump-2/commands", {"method": "stop"})
    path = "/v1/devices/pump-2/override"
    api("POST", path, {"method": "stop", "expires_in": "1h"})
    check("an override cancels what rules' commands of its method wait, not a person's", [x[:2] for x in commands("pump-2")][2:],
          [("stop", "cancelled"), ("call", "queued"), ("stop", "queued")])
    check("with the reason", commands("pump-2")[2][2], "manual override by test")
    api("POST", path, {"expires_in": "1h"})
    check("one of all methods, all of them", [x[:2] for x in commands("pump-2")][3:], [("call", "cancelled"), ("stop", "queued")])
    p = connect("pump-2", token)
    p.subscribe(REQUESTS)
    check("the device hears the person only", take(p), "stop")
    check("both are given back", [request("DELETE", path + q)[0] for q in ("", "?method=stop")], [204, 204])
    fire(t, "off")
    check("and the rule's command waits again", commands("pump-2")[-1][:2], ("stop", "queued"))
    t.disconnect()
    p.disconnect()


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
    check("overrides are told", sql("SELECT string_agg(kind, ' ' ORDER BY events.id) FROM events JOIN devices d ON d.id = device_id"
              " WHERE d.name = 'valve-1' AND kind LIKE 'automation.%' AND kind <> 'automation.loop'"),
          "automation.override automation.resumed automation.override")
    g.disconnect()
    v.disconnect()


def main():
    children()
    desired()
    minimum_times()
    loop_guard()
    waiting()
    override()
    storm()
    return finish()


sys.exit(main())
