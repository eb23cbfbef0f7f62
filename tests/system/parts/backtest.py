#!/usr/bin/env python3
"""A backtest over a recorded period is the live history of that period, byte for byte.

Each set is replayed by `signalbox fleet replay` as two fleets: `one-` in order of the files to a server with one loop, `three-` out of
order (some of it too late, so that rules do not see it) to a server with three. Then, for every rule, what GET /v1/alerts has is
compared with the report of POST /v1/rules/{name}/backtest, and for `one-` with `signalbox rule test --data`, which has no server.

The first set is made here; the others are recordings, and left out, with a word, where they are not.
"""
import csv
import datetime as dt
import glob
import gzip
import json
import os
import random
import subprocess
import sys
import time
import urllib.parse

from house import BIN, CA, DIR, MQTT_PORT, api, check, finish, lib, sql

DATA = os.environ.get("SIGNALBOX_DATA", "")
FULL = os.environ.get("SIGNALBOX_FULL") == "1"
EVER = {"from": "1970-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "warm_up": "all", "limit": 100000}


def limit_rule(name, when, clear=None, **more):
    rule = {"name": name, "when": when, "severity": "major", "summary": "{{device}} {{rule}} at {{value}}", **more}
    return rule | ({"clear": clear} if clear else {})


# name, files, options of the replay, metrics of the type, rules
RECORDED = [
    ("skab", "*.csv.gz", [], {"flow_l_min": {"baseline_samples": 300}, "fluid_temp_c": {"baseline_samples": 300}},
     [limit_rule("flow-low", "avg_over_time(flow_l_min[30s]) < 0.97 * baseline(flow_l_min)",
                 "avg_over_time(flow_l_min[30s]) > 0.98 * baseline(flow_l_min)", **{"for": "30s", "clear_for": "30s", "max_gap": "60s"}),
      limit_rule("fluid-hot", "fluid_temp_c > baseline(fluid_temp_c) + 1", **{"for": "30s"})]),
    ("nab", "*.csv.gz", [], {},
     [limit_rule("machine-cold", "temperature_f < 45", "temperature_f > 50", **{"for": "10m", "clear_for": "30m", "max_gap": "15m"}),
      limit_rule("machine-moves", "max_over_time(temperature_f[1h]) - min_over_time(temperature_f[1h]) > 6")]),
    ("hydraulic", "rig.csv.gz", [], {},
     [limit_rule("cooler-degraded", "oil_temp1_c > 42", "oil_temp1_c < 40", **{"for": "5m", "clear_for": "5m", "max_gap": "2m"})]),
    ("ims-bearing", "*.csv.gz", [], {"rms_g": {"baseline_samples": 144}},
     [limit_rule("bearing", "rms_g >= 1.25 * baseline(rms_g)", **{"for": "1h"})]),
    ("cmapss", "fleet.csv.gz", [], {}, [limit_rule("borescope", "Ps30 >= 47.8", **{"for": "2h"})]),
    ("coldchain", "ruuvi_*.csv", [], {}, [limit_rule("cold", "temp_c < 2", "temp_c >= 2.5", **{"for": "10m", "clear_for": "5m", "max_gap": "30m"})]),
    ("occupancy", "*ing.csv.gz", [], {}, [limit_rule("stuffy", "co2_ppm > 1000", "co2_ppm < 900", **{"for": "10m"})]),
    ("ai4i", "mill.csv.gz", [], {}, []),
    ("metr-la", "speed_mph_wide.csv.gz", ["--wide", "speed_mph"], {},
     [limit_rule("congestion", "speed_mph < 35", "speed_mph >= 45", **{"for": "10m", "clear_for": "10m"})]),
]


def made_set():
    """Ten devices with three metrics: walks with gaps, repeated times and holes."""
    path = os.path.join(DIR, "made.csv")
    dice = random.Random(11)
    with open(path, "w") as f:
        f.write("ts,device,a,b,on\n")
        rows = []
        for d in range(10):
            t, a, b = 1_700_000_000 + d, 50.0, 10.0
            for _ in range(1500):
                t += dice.choice((1, 1, 1, 2, 5, 120)) if dice.random() > 0.02 else 0
                a += dice.gauss(0, 2) + (50 - a) * 0.02
                b += dice.gauss(0, 0.5) + (10 - b) * 0.01
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{dice.randrange(1000):03d}Z"
                rows.append((t, f"{stamp},made-{d},{a:.3f},{b:.4f},{'true' if a > 55 else 'false'}" if dice.random() > 0.1 else
                             f"{stamp},made-{d},{a:.3f},,"))
        for _, row in sorted(rows):
            f.write(row + "\n")
    stop = [{"command": {"to": "self", "method": "stop", "params": {"why": "hot"}, "expires_in": "5m"}}]
    rules = [limit_rule("made-hot", "a > 56", "a < 54", **{"for": "3s", "clear_for": "2s", "max_gap": "60s", "actions": stop}),
             limit_rule("made-mean", "avg_over_time(a[1m]) > baseline(a) * 1.02 and b > 9", **{"for": "5s"}),
             limit_rule("made-on", "on == 1 and count_over_time(b[2m]) > 3"),
             {"name": "made-levels", "severities": {"warning": {"when": "a > 53", "for": "2s"}, "critical": {"when": "a > 58", "clear": "a < 56"}}},
             limit_rule("made-off", "sum_over_time(b[30s]) > 90", mode="disabled")]
    return ("made", [path], [], {"a": {"baseline_samples": 50}, "b": {}, "on": {}}, rules)


def recorded_sets():
    for name, pattern, options, metrics, rules in RECORDED:
        files = sorted(glob.glob(os.path.join(DATA, name, pattern))) if DATA else []
        files = [f for f in files if "label" not in f and "expected" not in f]
        if name == "metr-la" and not FULL:
            print("left out: metr-la, 179,000 readings (SIGNALBOX_FULL=1)")
        elif not files:
            print(f"skipped: the recordings of {name} are not here (SIGNALBOX_DATA)")
        elif rules:
            yield (name, files, options, metrics, rules)


def set_up(name, files, options, metrics, rules):
    api("POST", "/v1/device-types", {"name": name, "metrics": metrics_of(files, options) | metrics})
    for rule in rules:
        api("POST", "/v1/rules", rule | {"select": f"type={name}"})
    devices = devices_of(files, options)
    lines = ["name,type,token"]
    with open(os.path.join(DIR, f"tokens-{name}.csv"), "w") as f:
        f.write("name,token\n")
        for prefix in ("one-", "three-"):
            for d in devices:
                lines.append(f"{prefix}{d},{name},backtest-{prefix}{d}-token")
                f.write(f"{prefix}{d},backtest-{prefix}{d}-token\n")
    counts = api("POST", "/v1/devices/import", "\n".join(lines) + "\n", "text/csv")
    check(f"{name}: devices", counts["created"], 2 * len(devices))


def rows_of(path):
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as f:
        yield from csv.reader(f)


def metrics_of(files, options):
    if options:
        return {options[1]: {}}
    names = set()
    for path in files:
        names |= set(next(rows_of(path))[2:])
    return {n: {} for n in sorted(names)}


def devices_of(files, options):
    names = set()
    for path in files:
        rows = rows_of(path)
        head = next(rows)
        names |= set(head[1:]) if options else {r[1] for r in rows if r}
    return sorted(names)


def replay(name, files, options, prefix, *more):
    command = [BIN, "fleet", "replay", *files, *options, "--speed", "max", "--device-prefix", prefix, "--tokens",
               os.path.join(DIR, f"tokens-{name}.csv"), "--host", "127.0.0.1", "--port", str(MQTT_PORT), "--cafile", CA, "-o", "json", *more]
    return name, prefix, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def replayed(replays):
    """All sets at once: their devices do not know of each other."""
    for name, prefix, p in replays:
        out, err = p.communicate(timeout=600)
        counts = json.loads(out.strip().splitlines()[-1]) if out.strip() else {"stderr": err}
        check(f"{name} {prefix}: all acknowledged", (p.returncode, counts.get("refused"), counts.get("unanswered")), (0, 0, 0))


def live(rule):
    items, cursor = [], ""
    while True:
        page = api("GET", f"/v1/alerts?limit=1000&rule={urllib.parse.quote(rule)}" + (f"&cursor={cursor}" if cursor else ""))
        items += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return text_of(items)


def text_of(items, prefix=""):
    """One line an alert, without its number: what is to be the same to the last byte."""
    wanted = sorted((a["fired_at"], a["device"], json.dumps({k: v for k, v in a.items() if k in FIELDS}, sort_keys=True)) for a in items)
    return "\n".join(line for _, device, line in wanted if device.startswith(prefix))


FIELDS = ("rule", "device", "group", "severity", "state", "since", "fired_at", "resolved_at", "value", "summary", "severity_at", "worst")


def compare_history(name, rule):
    report = api("POST", f"/v1/rules/{rule['name']}/backtest?wait=60s", EVER)
    history = live(rule["name"])
    check(f"{name} {rule['name']}: the backtest is done", report["state"], "done")
    difference = report.get("difference", {})
    check(f"{name} {rule['name']}: nothing differs from history", [difference.get(k) for k in ("against", "added_count", "removed_count", "changed_count")],
          ["history", 0, 0, 0])
    check(f"{name} {rule['name']}: alerts, byte for byte ({len(history.splitlines())})", text_of(report["alerts"]) == history, True)
    stored = sql(f"SELECT count(*) FROM samples s JOIN devices d ON d.id = s.device_id JOIN device_types t ON t.id = d.type_id"
                 f" WHERE t.name = '{name}' AND s.flags & 3 = 0")
    check(f"{name} {rule['name']}: samples that rules saw", report["counts"]["samples"], int(stored))
    return report, history


def compare_commands(rule, report):
    sent = sql("SELECT d.name || ' ' || c.method || ' ' || c.params FROM commands c JOIN devices d ON d.id = c.device_id"
               f" WHERE c.origin = 'rule:{rule['name']}' ORDER BY 1").splitlines()
    told = sorted(f"{c['device']} {c['method']} {json.dumps(c['params'])}" for c in report["commands"])
    check(f"{rule['name']}: commands that would have gone out ({len(told)})", told, sent)


def compare_files(name, files, options, metrics, rule, history):
    """The same by the files alone: their devices have no prefix."""
    def write(file, document):
        path = os.path.join(DIR, file)
        with open(path, "w") as f:
            json.dump(document, f)
        return path
    command = [BIN, "rule", "test", write("rule.json", rule | {"select": f"type={name}"}), "--types",
               write("type.json", {"name": name, "metrics": metrics}), "-o", "json"]
    for path in files:
        command += ["--data", path]
    p = subprocess.run(command + options, capture_output=True, text=True, timeout=300)
    if not check(f"{name} {rule['name']}: rule test --data", (p.returncode, p.stderr), (0, "")):
        return
    prefixed = [a | {"device": "one-" + a["device"], "summary": "one-" + a["summary"]} for a in json.loads(p.stdout)["alerts"]]
    check(f"{name} {rule['name']}: the files give the same alerts", text_of(prefixed) == text_of(by_samples(history, newest_of(files, options))), True)


def newest_of(files, options):
    newest = {}
    for path in files:
        rows = rows_of(path)
        head = next(rows)
        for row in rows:
            for device in (head[1:] if options else row[1:2]) if row else ():
                newest[device] = max(newest.get(device, 0), seconds(row[0]))
    return newest


def seconds(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def by_samples(history, newest):
    """Live, the clock goes on after the last sample and may complete what waits; a file has no clock."""
    for line in history.splitlines():
        alert = json.loads(line)
        end = newest.get(alert["device"].removeprefix("one-"))
        if end is None or seconds(alert["fired_at"]) > end:
            continue
        if alert["resolved_at"] and seconds(alert["resolved_at"]) > end:
            alert |= {"resolved_at": None, "state": "firing"}
        yield alert


def main():
    started = time.monotonic()
    sets = [made_set(), *recorded_sets()]
    for s in sets:
        set_up(*s)
    replayed([replay(name, files, options, "one-") for name, files, options, _, _ in sets])
    print(f"     one loop: {time.monotonic() - started:.1f} s")
    lib("stop_server")
    lib("start_server", "net_loops=3")
    replayed([replay(name, files, options, "three-", "--shuffle", "10m" if name in ("made", "skab") else "90s", "--seed", "3")
              for name, files, options, _, _ in sets])
    print(f"     three loops: {time.monotonic() - started:.1f} s")
    late = int(sql("SELECT count(*) FROM samples WHERE flags & 1 = 1"))
    check("some samples came too late for rules", late > 0, True)
    for name, files, options, metrics, rules in sets:
        for rule in rules:
            if rule.get("mode") == "disabled":
                check(f"{rule['name']}: a disabled rule fires nothing", live(rule["name"]), "")
                report = api("POST", f"/v1/rules/{rule['name']}/backtest?wait=60s", EVER)
                check(f"{rule['name']}: its backtest does", (report["state"], report["counts"]["alerts"] > 0), ("done", True))
                continue
            report, history = compare_history(name, rule)
            compare_files(name, files, options, metrics, rule, history)
            if rule.get("actions"):
                compare_commands(rule, report)
    before = sql("SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM commands), (SELECT count(*) FROM alert_events)")
    api("POST", "/v1/rules/made-off/backtest?wait=60s", EVER)
    check("nothing is left behind by a backtest", sql("SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM commands),"
                                                      " (SELECT count(*) FROM alert_events)"), before)
    print(f"     compared: {time.monotonic() - started:.1f} s")
    return finish()


sys.exit(main())
