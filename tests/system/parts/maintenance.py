#!/usr/bin/env python3
"""Maintenance: what plans count is what SQL counts in the table, whatever came in which order and whoever died meanwhile."""
import json
import os
import random
import sys
import time
from datetime import datetime, timedelta, timezone

from house import CA, MQTT_PORT, api, check, device, finish, lib, request, sql
from mqtt import Client

TELEMETRY = "v1/devices/me/telemetry"
FULL = os.environ.get("SIGNALBOX_FULL") == "1"
HOUR = 3600.0
PLANS = "/v1/maintenance/plans"
ORDERS = "/v1/maintenance/work-orders"


def wait_for(words, ask, want, seconds=20):
    end, got = time.monotonic() + seconds, None
    while time.monotonic() < end:
        got = ask()
        if got == want:
            break
        time.sleep(0.05)
    return check(words, got, want)


def rfc(t):
    return t.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ms(t):
    return round(t.timestamp() * 1000)


def plan(name, triggers, **fields):
    return api("POST", PLANS, {"name": name, "title": f"Service by {name}", "select": f"plan={name}", "triggers": triggers, **fields})


def state(name, of):
    items = api("GET", f"{PLANS}/{name}/devices?device={of}")["items"]
    return items[0] if items else {}


def counts(name, of):
    return {c["trigger"]: c["value"] for c in state(name, of).get("counts", [])}


def orders(**filters):
    return api("GET", ORDERS + "?" + "&".join(f"{k}={v}" for k, v in filters.items()))["items"]


def events(kind, of):
    return int(sql(f"SELECT count(*) FROM events e JOIN devices d ON d.id = e.device_id WHERE e.kind = '{kind}' AND d.name = '{of}'"))


# --- counts -----------------------------------------------------------------------------------------------------------

def by_sql(of, metric, since, gap_s):
    """Run hours over 100, starts and growth modulo 1000 of a metric, by window functions over the stored samples."""
    row = sql(f"""
        WITH v AS (SELECT r.ts, r.received_at, x.value FROM readings r JOIN devices d ON d.id = r.device_id,
                   unnest(r.metrics, r.values) AS x (metric, value) JOIN metrics m ON m.id = x.metric
                   WHERE d.name = '{of}' AND m.name = '{metric}' AND r.flags & 3 = 0 AND r.ts >= '{since}'),
        p AS (SELECT ts, value, lag(ts) OVER w AS was_at, lag(value) OVER w AS was FROM v WINDOW w AS (ORDER BY ts, received_at))
        SELECT coalesce(sum(least(extract(epoch FROM ts - was_at), {gap_s})) FILTER (WHERE was > 100), 0) / 3600,
               count(*) FILTER (WHERE was <= 100 AND value > 100),
               coalesce(sum(CASE WHEN value >= was THEN value - was ELSE value - was + 1000 END), 0) FROM p""")
    return [round(float(x), 6) for x in row.split("|")]


def counted(name, of, metric):
    c = counts(name, of)
    found = [c.get(f"{k} {metric}{more}") for k, more in (("run_hours", " > 100"), ("cycles", " > 100"), ("counter", " modulo 1000"))]
    return [None if x is None else round(x, 6) for x in found]


def counting():
    """A machine sends out of order within the lateness, some messages twice; the server is killed again and again."""
    begin = datetime.now(timezone.utc) - timedelta(hours=12)
    begin = begin.replace(microsecond=0)
    token = device("press-1", labels={"plan": "counting"})
    plan("counting", [{"run_hours": {"metric": "rpm", "threshold": 100, "every": 5000}}, {"cycles": {"metric": "rpm", "when": "> 100", "every": 5000}},
                      {"counter": {"metric": "rpm", "every": 1e9, "modulus": 1000}}], max_gap="40s", **{"from": rfc(begin)})
    rng = random.Random(7)
    kills = 20 if FULL else 3
    samples, at, rpm = [], begin, 0.0
    for _ in range(3000 if FULL else 600):
        at += timedelta(milliseconds=rng.choice([1000, 2500, 7000, 35000, 90000]) if FULL is False else rng.choice([1000, 2500, 7000]))
        rpm = rng.choice([0.0, 100.0, 100.5, 800.0, 999.0, rpm, rpm])
        samples.append((at, rpm))
    # Within 25 s of its place, so that no sample is late.
    shuffled = sorted(samples, key=lambda s: s[0] + timedelta(seconds=rng.uniform(0, 25)))
    newest, seen = begin, []
    for s in shuffled:
        newest = max(newest, s[0])
        seen.append((newest - s[0]).total_seconds())
    check("the shuffle is one", max(seen) > 5 and max(seen) < 29, True)
    step = len(shuffled) // (kills + 1)
    c = Client(MQTT_PORT, CA, "press-1", token)
    for i, (t, v) in enumerate(shuffled):
        body = json.dumps({"ts": ms(t), "values": {"rpm": v}})
        c.publish(TELEMETRY, body)
        if i % 40 == 7:
            c.publish(TELEMETRY, body)
        if i > 0 and i % step == 0 and i // step <= kills:
            lib("kill_server")
            lib("start_server")
            c = Client(MQTT_PORT, CA, "press-1", token)
    c.disconnect()
    check("every sample is in the table once", int(sql("SELECT count(*) FROM samples s JOIN devices d ON d.id = s.device_id WHERE d.name = 'press-1'")), len(samples))
    check("and none is late", sql("SELECT count(*) FROM samples s JOIN devices d ON d.id = s.device_id WHERE d.name = 'press-1' AND s.flags & 3 <> 0"), "0")
    want = by_sql("press-1", "rpm", rfc(begin), 40)
    check("there is something to count", want[0] > 0 and want[1] > 10, True)
    wait_for(f"after {kills} kills and a shuffle the counts are those of the table", lambda: counted("counting", "press-1", "rpm"), want)
    settled = float(sql("SELECT extract(epoch FROM max(settled_to)) FROM maintenance_counts"))
    check("all but the last half minute is settled", abs(settled - (max(samples)[0].timestamp() - 30)) < 0.01, True)

    t = api_version(f"{PLANS}/counting")
    status, _, _ = request("PATCH", f"{PLANS}/counting", {"max_gap": "5m"}, headers={"If-Match": t})
    check("a plan is changed with its version", status, 200)
    check("and not with an old one", request("PATCH", f"{PLANS}/counting", {"title": "x"}, headers={"If-Match": t})[0], 412)
    check("nor without", request("PATCH", f"{PLANS}/counting", {"title": "x"})[0], 428)
    check("a plan that is wrong says where", request("PATCH", f"{PLANS}/counting", {"triggers": [{"run_hours": {"metric": "x"}}]}, headers={
        "If-Match": api_version(f"{PLANS}/counting")})[1]["errors"][0]["pointer"], "/triggers/0/run_hours/every")


def api_version(path):
    return request("GET", path)[2]["ETag"]


# --- due, orders, services -------------------------------------------------------------------------------------------

def run(c, begin, hours, running=1, every_s=600):
    """The machine runs from begin on; returns the end."""
    at = begin
    while at < begin + timedelta(hours=hours):
        c.publish(TELEMETRY, json.dumps({"ts": ms(at), "values": {"on": running, "kwh": 5.0}}))
        at += timedelta(seconds=every_s)
    c.publish(TELEMETRY, json.dumps({"ts": ms(at), "values": {"on": running, "kwh": 5.0}}))
    return at


def servicing():
    now = datetime.now(timezone.utc).replace(microsecond=0)
    begin = now - timedelta(hours=40)
    token = device("pump-1", labels={"plan": "hours"})
    plan("hours", [{"run_hours": {"metric": "on", "every": 20}}, {"calendar": {"rrule": "FREQ=YEARLY", "timezone": "Europe/Berlin"}}],
         due_soon="10h", overdue_after="30h", max_gap="15m", assignee="anna", **{"from": rfc(begin)})
    c = Client(MQTT_PORT, CA, "pump-1", token)
    at = run(c, begin, 10)
    wait_for("ten hours", lambda: counts("hours", "pump-1").get("run_hours on != 0"), 10.0)
    s = state("hours", "pump-1")
    check("by its pace 20 h are reached ten hours later, which has passed: due soon",
          (s["status"], s["due_at"], s["reached"], s["basis"]["by"], s["basis"]["per_day"]), ("due_soon", rfc(begin + timedelta(hours=20))[:-8] + "Z", False, "pace", 24.0))
    wait_for("it was told once", lambda: events("work_order.due_soon", "pump-1"), 1)
    check("no order yet", orders(device="pump-1"), [])
    at = run(c, at, 12)
    wait_for("due", lambda: state("hours", "pump-1").get("status"), "due")
    wait_for("all that was sent is counted", lambda: counts("hours", "pump-1").get("run_hours on != 0"), 22.0)
    s = state("hours", "pump-1")
    check("since the hour was full", (s["due_at"], s["reached"], s["basis"]["by"]), (rfc(begin + timedelta(hours=20))[:-8] + "Z", True, "count"))
    wait_for("an order is open, and told", lambda: events("work_order.due", "pump-1"), 1)
    [order] = orders(device="pump-1")
    check("for whom the plan says", (order["state"], order["assigned_to"], order["plan"], order["title"]), ("assigned", "anna", "hours", "Service by hours"))
    id = order["id"]
    check("there is one order for a plan on a device", request("POST", ORDERS, {"device": "pump-1", "title": "again", "plan": "hours"})[0], 409)
    check("somebody else", api("POST", f"{ORDERS}/{id}/assign", {"assigned_to": "bert"})["assigned_to"], "bert")
    check("whose it is", [o["id"] for o in orders(assigned_to="bert", state="assigned")], [id])
    check("work begins", api("POST", f"{ORDERS}/{id}/start", {})["state"], "in_progress")
    check("not twice", request("POST", f"{ORDERS}/{id}/start", {})[0], 409)
    check("not in the future", request("POST", f"{ORDERS}/{id}/done", {"at": rfc(now + timedelta(days=1))})[0], 422)
    done_at = begin + timedelta(hours=21)
    done = api("POST", f"{ORDERS}/{id}/done", {"at": rfc(done_at), "reading": {"hours": 21.5}, "notes": "new seal"})
    check("done: who, when, reading", (done["state"], done["closed_by"], done["closed_at"], done["reading"], done["notes"]),
          ("done", "test", rfc(done_at)[:-8] + "Z", {"hours": 21.5}, "new seal"))
    check("its history", [(h["state"], h["actor"]) for h in done["history"]],
          [("open", "plan:hours"), ("assigned", "plan:hours"), ("assigned", "test"), ("in_progress", "test"), ("done", "test")])
    wait_for("the counts begin anew at that time", lambda: counts("hours", "pump-1").get("run_hours on != 0"), 1.0)
    check("the old ones are kept", [(v["counts"], v["reading"], v["done_by"]) for v in api("GET", f"{PLANS}/hours/services")["items"]],
          [({"run_hours on != 0": 22.0}, {"hours": 21.5}, "test")])
    wait_for("everything was told", lambda: [events(f"work_order.{k}", "pump-1") for k in ("assigned", "started", "done", "overdue")], [1, 1, 1, 0])
    check("nothing waits to be told", sql("SELECT count(*) FROM pending_events"), "0")
    log = [json.loads(line) for line in open(os.environ["SIGNALBOX_ALERTS"])]
    check("the alert log has it too", [e["event"] for e in log if e.get("device") == "pump-1" and e["event"].startswith("work_order.")][:5],
          ["work_order.due_soon", "work_order.due", "work_order.assigned", "work_order.started", "work_order.done"])

    lib("kill_server")
    lib("start_server")
    c = Client(MQTT_PORT, CA, "pump-1", token)
    at = run(c, at, 10)
    wait_for("a kill changes nothing", lambda: counts("hours", "pump-1").get("run_hours on != 0"), 11.0)
    c.disconnect()


def overdue_and_conditions():
    now = datetime.now(timezone.utc).replace(microsecond=0)
    begin = now - timedelta(hours=30)
    token = device("pump-2", labels={"plan": "first"})
    device("pump-3", labels={"plan": "dates"})
    plan("first", [{"run_hours": {"metric": "on", "when": "== true", "every": 100}}, {"condition": {"rule": "leak"}}], overdue_after="1h", due_soon="1h",
         **{"from": rfc(begin)})
    plan("dates", [{"calendar": {"rrule": "FREQ=DAILY;INTERVAL=1"}}], overdue_after="30d", **{"from": rfc(begin)})
    api("POST", "/v1/rules", {"name": "leak", "select": "name=pump-2", "when": "drip > 3", "severity": "major"})
    c = Client(MQTT_PORT, CA, "pump-2", token)
    for k in range(4):
        c.publish(TELEMETRY, json.dumps({"ts": ms(begin + timedelta(minutes=10 * k)), "values": {"on": True, "drip": 0}}))
    wait_for("booleans run too", lambda: counts("first", "pump-2").get("run_hours on == 1"), 0.5)
    check("ok", state("first", "pump-2")["status"], "ok")
    c.publish(TELEMETRY, json.dumps({"ts": ms(begin + timedelta(hours=1)), "values": {"on": False, "drip": 9}}))
    c.publish(TELEMETRY, json.dumps({"ts": ms(begin + timedelta(hours=2)), "values": {"on": False, "drip": 0}}))
    wait_for("an alert of the rule makes it due, and by now overdue", lambda: (state("first", "pump-2")["status"], state("first", "pump-2")["basis"]["by"]),
             ("overdue", "alert"))
    wait_for("told", lambda: [events(f"work_order.{k}", "pump-2") for k in ("due", "overdue")], [1, 1])
    [order] = orders(device="pump-2")
    api("POST", f"{ORDERS}/{order['id']}/cancel", {"notes": "no leak"})
    time.sleep(1)
    check("a cancelled order is not opened again", [o["state"] for o in orders(device="pump-2")], ["cancelled"])
    by_hand = api("POST", ORDERS, {"device": "pump-2", "title": "Look again", "plan": "first"})
    check("by hand it is", (by_hand["state"], by_hand["created_by"]), ("open", "test"))
    api("POST", f"{ORDERS}/{by_hand['id']}/close", {})
    wait_for("and resets the plan", lambda: state("first", "pump-2")["status"], "ok")
    wait_for("a device that never sent is due by its calendar", lambda: (state("dates", "pump-3").get("status"), state("dates", "pump-3").get("due_at")),
             ("due", rfc(begin + timedelta(days=1))[:-8] + "Z"))
    [order] = orders(device="pump-3")
    api("POST", f"{ORDERS}/{order['id']}/done", {"at": rfc(now)})
    wait_for("done: the next date", lambda: state("dates", "pump-3")["due_at"], rfc(now + timedelta(days=1))[:-8] + "Z")
    check("without a plan, and unknown ones", [request("POST", ORDERS, b)[0] for b in (
        {"device": "pump-3", "title": "Paint"}, {"device": "pump-3", "title": "x", "plan": "none"}, {"device": "nobody", "title": "x"}, {"device": "pump-3"})],
          [201, 422, 422, 422])
    status, _, _ = request("DELETE", f"{PLANS}/dates", headers={"If-Match": api_version(f"{PLANS}/dates")})
    check("a plan is deleted", (status, request("GET", f"{PLANS}/dates")[0]), (204, 404))
    reliability(c, begin, now)
    c.disconnect()


def reliability(c, begin, now):
    """pump-2 leaked from begin + 1 h to begin + 2 h; leaks again for 3 h, in the middle of it an hour of service."""
    for h, drip in ((10, 9), (13, 0)):
        c.publish(TELEMETRY, json.dumps({"ts": ms(begin + timedelta(hours=h)), "values": {"on": False, "drip": drip}}))
    order = api("POST", ORDERS, {"device": "pump-2", "title": "Seal"})
    api("POST", f"{ORDERS}/{order['id']}/start", {"at": rfc(begin + timedelta(hours=11))})
    api("POST", f"{ORDERS}/{order['id']}/done", {"at": rfc(begin + timedelta(hours=12))})
    r = api("GET", f"/v1/devices/pump-2/reliability?from={rfc(begin)}&to={rfc(begin + timedelta(hours=20))}")
    check("two failures, three hours down, one planned", (r["failures"], r["downtime_s"], r["planned_s"], r["uptime_s"]), (2, 3 * HOUR, HOUR, 16 * HOUR))
    check("MTBF, MTTR, availability", (r["mtbf_s"], r["mttr_s"], round(r["availability"], 9), r["operational_availability"]),
          (8 * HOUR, 1.5 * HOUR, round(16 / 19, 9), 0.8))
    r = api("GET", f"/v1/devices/pump-2/reliability?from={rfc(begin)}&to={rfc(begin + timedelta(hours=20))}&severity=critical")
    check("other severities, other figures", (r["failures"], r["availability"], r["mtbf_s"]), (0, 1.0, None))


def quiet_during_a_service():
    """Work on a machine trips its alarms: they are recorded, and nobody is called."""
    token = device("pump-5")
    api("POST", "/v1/channels", {"name": "shift", "kind": "webhook", "config": {"url": "http://127.0.0.1:9/"}, "secret": "of this run only"})
    api("POST", "/v1/rules", {"name": "dry", "select": "name=pump-5", "when": "flow < 1", "severity": "critical", "actions": [{"notify": "shift"}]})
    order = api("POST", ORDERS, {"device": "pump-5", "title": "Change the filter"})
    api("POST", f"{ORDERS}/{order['id']}/start", {})
    c = Client(MQTT_PORT, CA, "pump-5", token)
    c.publish(TELEMETRY, '{"flow":0}')
    wait_for("the alert is there", lambda: [a["state"] for a in api("GET", "/v1/alerts?device=pump-5")["items"]], ["firing"])
    wait_for("nobody is told, and why", lambda: sql("SELECT state, reason, detail FROM outbox WHERE event = 'firing'"),
             f"suppressed|maintenance|work order {order['id']} is in progress")
    c.disconnect()


def main():
    counting()
    servicing()
    overdue_and_conditions()
    quiet_during_a_service()
    return finish()


sys.exit(main())
