#!/usr/bin/env python3
"""Access lists: deny by default, placeholders, values that could do harm, changes that act at once. Every wait is for something that
comes; that nothing comes is shown by something that comes after it, or by the reason code that says so."""
import json
import subprocess
import sys
import time

from house import CA, ENV, MQTT_PORT, api, check, device, finish, lib, metric, request, sql
from mqtt import Will, text, varint
from mqtt_peer import Peer

DENIED = 0x87
TOKENS = {}
CELL = {"publish": ["{label.site}/{device}/up/#", "alarm/{gateway}/{device}", "free/+"],
        "subscribe": ["{label.site}/{device}/down/#", "cells/{gateway}/#", "free/#"]}


def setup():
    def kind(name, publish, subscribe, **more):
        api("POST", "/v1/device-types", {"name": name, "any_metric": True, "topics": {"publish": publish, "subscribe": subscribe}, **more})
    kind("cell", CELL["publish"], CELL["subscribe"], auto_register=True)
    kind("boss", ["#"], ["#"])
    kind("mute", [], [])
    TOKENS["gw-1"] = device("gw-1", "cell")
    TOKENS["gw-2"] = device("gw-2", "cell")
    TOKENS["boss"] = device("boss", "boss")
    TOKENS["plain"] = device("plain")
    TOKENS["pump-1"] = device("pump-1", "cell", labels={"site": "north"}, gateway="gw-1")
    TOKENS["pump-2"] = device("pump-2", "cell")


def peer(name, client=None, **more):
    c = Peer(MQTT_PORT, CA, client or name, TOKENS[name], **more)
    assert c.connack == 0, f"{name} is refused: {c.connack}"
    return c


def lasting(name, client, **more):
    return peer(name, client, clean=False, expires=3600, **more)


def until(words, ask, want, seconds=20):
    end = time.monotonic() + seconds
    while ask() != want and time.monotonic() < end:
        time.sleep(0.05)
    check(words, ask(), want)


def change_device(name="pump-1", **fields):
    api("PATCH", f"/v1/devices/{name}", fields)


def change_type(publish, subscribe, name="cell"):
    api("PATCH", f"/v1/device-types/{name}", {"topics": {"publish": publish, "subscribe": subscribe}}, headers={"If-Match": "*"})


def connack_with_will(name, topic, version=5):
    return Peer(MQTT_PORT, CA, "will", TOKENS[name], version=version, will=Will(topic, "x", qos=1)).connack


def put_311(name, topic):
    """True: the connection ends, which is the only no that 3.1.1 has for a publish."""
    c = peer(name, "old", version=4)
    body = text(topic) + b"\0\1" + b"x"
    c.send(b"\x32" + varint(len(body)) + body)
    return c.closed() is None and not [head for head, _ in c.later if head >> 4 == 4]


def deny_by_default():
    for name in ("plain", "pump-2"):  # no list; a list whose placeholders have no values
        c = peer(name)
        topics = ["a/b", "north/plain/up/x", "/pump-2/up/x", "alarm//pump-2", "$SYS/x", "$x/y"]
        check(f"{name}: nothing is allowed that no list allows", [c.put(t, "x", qos=q) for t in topics for q in (1, 2)],
              [DENIED] * 2 * len(topics))
        check(f"{name}: to subscribe neither", c.sub("#", "+", "+/+/down/#", "//down/#", "$SYS/#", "cells//#", "$share/g/#"), [DENIED] * 7)
        check(f"{name}: a will neither", [connack_with_will(name, t) for t in ("a/b", "north/plain/up/x")], [DENIED] * 2)
        check(f"{name}: and in 3.1.1", (put_311(name, "a/b"), peer(name, "old", version=4).sub("a/b", "#"), connack_with_will(name, "a/b", 4)),
              (True, [0x80, 0x80], 5))
        check(f"{name}: what the device API has is always allowed", (c.put("v1/devices/me/telemetry", '{"a":1}'),
              c.sub("v1/devices/me/rpc/request/+")), (0, [1]))
        c.leave()


def placeholders():
    a, boss = peer("pump-1"), peer("boss")
    check("{label.site} and {device}", [a.put(t, "x") for t in ("north/pump-1/up/a/b", "north/pump-2/up/a", "south/pump-1/up/a", "free/x")],
          [0x10, DENIED, DENIED, 0x10])
    check("{gateway}", [a.put(t, "x") for t in ("alarm/gw-1/pump-1", "alarm/gw-2/pump-1", "alarm//pump-1")], [0x10, DENIED, DENIED])
    check("to subscribe", a.sub("north/pump-1/down/#", "north/pump-1/down/x", "north/+/down/x", "+/pump-1/down/x", "cells/gw-1/#", "cells/+/x"),
          [1, 1, DENIED, DENIED, 1, DENIED])
    check("a will", [connack_with_will("pump-1", t) for t in ("north/pump-1/up/w", "north/pump-2/up/w")], [0, DENIED])
    boss.sub("north/+/up/#", "alarm/#", qos=1)
    a.put("alarm/gw-1/pump-1", "hot")
    check("it arrives", boss.take()[:2], ("alarm/gw-1/pump-1", "hot"))
    for topic in ("north/pump-2/down/x", "north/pump-1/down/x"):
        boss.put(topic, "go")
    check("each device gets its own", a.take()[:2], ("north/pump-1/down/x", "go"))
    a.leave()
    boss.leave()


def lists_are_checked():
    refused = ["a#", "+a", "{device}+", "+{device}", "{device}#", "a/#/b", "{}", "{name}", "{label}", "{label.}", "{label.a/b}", "{device", "a/{"]
    answers = [request("POST", "/v1/device-types", {"name": "bad", "topics": {side: [topic]}}) for topic in refused for side in CELL]
    check("a list with what is no filter is refused, with a pointer", {(status, answer["errors"][0]["pointer"].rsplit("/", 1)[0])
          for status, answer, _ in answers}, {(422, "/topics")})
    check("and there is no such type", request("GET", "/v1/device-types/bad")[0], 404)


def harmful_values():
    a = peer("pump-1")
    for site in ("+", "#", "north/#", "nor+h", "a/b", "", "$SYS", "$share", "a$b"):
        change_device(labels={"site": site})
        until(f"a label {site!r} opens nothing", lambda: a.sub("north/pump-1/down/#")[0], DENIED)
        itself = site + "/pump-1/down/#" if "#" not in site and "r+h" not in site else "#"
        check("nor what it looks like", (a.sub("#", "+/pump-1/down/#", "a/b/pump-1/down/#", "north/+/pump-1/down/#", itself),
              [a.put(t, "x") for t in ("north/pump-1/up/x", "/pump-1/up/x", "$SYS/pump-1/up/x", "a/b/pump-1/up/x")]),
              ([DENIED] * 5, [DENIED] * 4))
    for value, site in ((7, "7"), (True, "true"), ("{device}", "{device}"), ("p l\u00e4nt", "p l\u00e4nt")):
        change_device(labels={"site": value})
        until(f"a label {value!r} is its text", lambda: a.sub(site + "/pump-1/down/#")[0], 1)
    check("no NUL comes into a label", request("PATCH", "/v1/devices/pump-1", '{"labels":{"site":"a\\u0000b"}}')[0] in (400, 422), True)
    for name in ("a+b", "#", "a/b", "$SYS", ""):
        status = request("POST", "/v1/devices", {"name": name, "type": "cell"})[0]
        check(f"no device is named {name!r}", status, 422)
    g = peer("gw-1")
    for name in ("a+b", "#", "a/b", "$x", "a\0b"):
        g.put("v1/gateway/connect", json.dumps({"device": name, "type": "cell"}))
    g.put("v1/gateway/connect", json.dumps({"device": "child-1", "type": "cell"}))
    until("a gateway brings none in either", lambda: sql("SELECT string_agg(name, ' ' ORDER BY name) FROM devices WHERE name !~ '^(gw|pump)-.$'"),
          "boss child-1 plain")
    change_device(labels={"site": "north"})
    until("and back", lambda: a.sub("north/pump-1/down/#")[0], 1)
    for c in (a, g):
        c.leave()


def still_allowed():
    """pump-1 as it was at first, with a session that has three subscriptions."""
    api("PUT", "/v1/devices/pump-1", {"name": "pump-1", "type": "cell", "labels": {"site": "north"}, "gateway": "gw-1"})
    a = peer("pump-1")
    check("before the change", (a.sub("north/pump-1/down/#", "cells/gw-1/x", "free/+", qos=1), a.put("north/pump-1/up/x", "x")), ([1, 1, 1], 0x10))
    return a


def changes_act_at_once():
    boss = peer("boss")
    topics = ("north/pump-1/down/x", "cells/gw-1/x", "free/x")
    for words, act, left, put in (
        ("a changed list", lambda: change_type(["free/+"], ["free/#"]), ["free/x"], DENIED),
        ("a list that is empty", lambda: change_type([], []), [], DENIED),
        ("a label that changed", lambda: change_device(labels={"site": "south"}), ["cells/gw-1/x", "free/x"], DENIED),
        ("a label that is gone", lambda: change_device(labels={"site": None}), ["cells/gw-1/x", "free/x"], DENIED),
        ("another gateway", lambda: change_device(gateway="gw-2"), ["north/pump-1/down/x", "free/x"], 0x10),
        ("another type", lambda: change_device(type="mute"), [], DENIED),
        ("an import", lambda: api("POST", "/v1/devices/import", '{"name":"pump-1","type":"mute"}\n', kind="application/x-ndjson"), [], DENIED),
    ):
        a = still_allowed()
        act()
        until(f"{words}: subscriptions that are not allowed end", lambda: metric("subscriptions"), len(left))
        check("the next publish is answered by what holds now", a.put("north/pump-1/up/x", "x"), put)
        check("so do deliveries", [boss.put(topic, words) for topic in topics], [0 if topic in left else 0x10 for topic in topics])
        check("but for what is still allowed", [a.take().topic for _ in left], left)
        change_type(**CELL)
        a.leave()
    a = still_allowed()
    api("DELETE", "/v1/devices/gw-1")
    until("a gateway that is deleted takes its topics along", lambda: a.put("alarm/gw-1/pump-1", "x"), DENIED)
    check("to subscribe too", (a.sub("cells/gw-1/x", "cells//x", "free/x"), metric("subscriptions")), ([DENIED, DENIED, 1], 3))
    TOKENS["gw-1"] = device("gw-1", "cell")
    a.leave()
    a = still_allowed()
    change_device(enabled=False)
    check("a device that is disabled is told so", a.closed(), DENIED)
    change_device(enabled=True)
    a = still_allowed()
    api("POST", "/v1/devices/import", '{"name":"pump-1","type":"cell","enabled":false}\n', kind="application/x-ndjson")
    check("by an import too", a.closed(), DENIED)
    change_device(enabled=True)
    boss.leave()


def absent_sessions():
    still_allowed().leave()
    boss, a = peer("boss"), lasting("pump-1", "away")
    a.sub("north/pump-1/down/#", "free/+", qos=1)
    a.leave()
    boss.put("north/pump-1/down/x", "waits")
    boss.put("free/x", "waits too")
    change_device(labels={"site": "south"})
    until("an absent session loses its subscription, in the table too", lambda: sql("SELECT filters FROM sessions WHERE client_id = 'away'"),
          '{"free/+": [1, 0]}')
    check("nobody is left for the topic", boss.put("north/pump-1/down/x", "x"), 0x10)
    a = lasting("pump-1", "away")
    check("what had waited is denied when it would be sent, the rest comes", a.take()[:2], ("free/x", "waits too"))
    a.leave()
    lib("kill_server")
    lib("start_server")
    boss.socket.close()
    boss, a = peer("boss"), lasting("pump-1", "away")
    boss.put("north/pump-1/down/x", "x")
    boss.put("free/x", "end")
    check("after a restart too", a.until("free/x", "end"), [])
    a.leave(expires=0)
    boss.leave()


def wills():
    still_allowed().leave()
    boss = peer("boss")
    boss.sub("north/+/up/#", "free/+", qos=1)
    a = peer("pump-1", will=Will("north/pump-1/up/will", "no", qos=1))
    change_device(labels={"site": "south"})
    until("a will whose topic is not allowed any more", lambda: a.put("north/pump-1/up/x", "x"), DENIED)
    a.abort()
    until("its session is gone", lambda: metric("sessions"), 1)
    boss.put("free/x", "end")
    check("is not published", boss.until("free/x", "end"), [])
    change_device(labels={"site": "north"})
    first = lasting("pump-1", "late", will=Will("north/pump-1/up/will", "no", qos=1, properties=b"\x18\0\0\0\1"))
    first.abort()
    change_device(labels={"site": "south"})
    second = lasting("pump-1", "later", will=Will("free/x", "end", qos=1, properties=b"\x18\0\0\0\2"))
    second.abort()
    check("nor a delayed one, by the rights it has when it is due", boss.until("free/x", "end"), [])
    peer("pump-1", "late").leave()
    peer("pump-1", "later").leave()
    boss.leave()


def mosquitto():
    """A client of others understands what it is told."""
    change_device(labels={"site": "north"})
    common = ["--cafile", CA, "-h", "localhost", "-p", ENV["SIGNALBOX_MQTT_PORT"], "-u", TOKENS["pump-1"], "-V", "mqttv5", "-q", "1"]
    until("the label is back", lambda: peer("pump-1", "look").sub("north/pump-1/down/#")[0], 1)

    def put(topic):
        done = subprocess.run(["mosquitto_pub", *common, "-t", topic, "-m", "x"], capture_output=True, text=True, timeout=60)
        return "Not authorized" in done.stderr

    def sub(topic):
        done = subprocess.run(["mosquitto_sub", *common, "-t", topic, "-E"], capture_output=True, text=True, timeout=60)
        return "denied" in done.stderr

    check("mosquitto_pub", [put("north/pump-1/up/x"), put("north/pump-2/up/x")], [False, True])
    check("mosquitto_sub", [sub("north/pump-1/down/x"), sub("north/pump-2/down/x")], [False, True])


def counted():
    check("denied publishes are counted", metric("publishes_denied_total") > 0, True)


for part in (setup, deny_by_default, placeholders, lists_are_checked, harmful_values, changes_act_at_once, counted, absent_sessions, wills, mosquitto):
    part()
sys.exit(finish())
