#!/usr/bin/env python3
"""Real recordings over TLS MQTT give exactly the expected alerts, whatever the order, doubling or crashes on the way.

Each recording is replayed three times as other devices of the same type:
  plain     in the order of the file, as fast as it goes
  shuffled  out of order within 60 s of event time, 5 % of the messages sent twice
  killed    the server is killed half-way, while a commit is under way, and started again

The rules are written in the public rule language from the fields of each expected.json. The client is `signalbox fleet
replay`; what is compared comes from the REST API and from SQL.
"""
import csv
import datetime as dt
import glob
import gzip
import json
import os
import subprocess
import sys
import time
import urllib.parse

from house import BIN, CA, DIR, MQTT_PORT, api, check, finish as closing, lib, sql

DATA = os.environ.get("SIGNALBOX_DATA", "")
SETS = ("skab", "nab", "hydraulic")


def rule_of(case_rule, of_type):
    """The fields of expected.json -> a rule document."""
    r = case_rule
    metric = r["metric"]
    left = f"avg_over_time({metric}[{r['agg']['window_s']}s])" if "agg" in r else metric

    def condition(c):
        mode = c.get("mode", "abs")
        limit = {"abs": f"{c['value']}", "ratio": f"{c['value']} * baseline({metric})", "delta": f"baseline({metric}) + {c['value']}"}[mode]
        return f"{left} {c['op']} {limit}"

    return {"name": r["id"], "select": f"type={of_type}", "when": condition(r["raise"]), "for": f"{r['for_s']}s",
            "clear": condition(r["clear"]), "clear_for": f"{r['clear_for_s']}s", "max_gap": f"{r['max_gap_s']}s",
            "severity": r["severity"], "summary": "{{device}} " + r["id"] + " at {{value}}"}


def read_files(folder):
    files = []
    for path in sorted(glob.glob(os.path.join(folder, "*.csv.gz"))):
        with gzip.open(path, "rt") as f:
            rows = list(csv.DictReader(f))
        files.append((path, rows))
    return files


def ms(text):
    return None if text is None else round(dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def set_up(name, files, cases):
    metrics, devices = {}, set()
    for _, rows in files:
        for column in rows[0]:
            if column not in ("ts", "device"):
                metrics[column] = {}
        devices |= {r["device"] for r in rows}
    rules = {}
    for case in cases:
        rules[case["rule"]["id"]] = case["rule"]
        if "baseline" in case["rule"]:
            metrics[case["rule"]["metric"]] = {"baseline_samples": case["rule"]["baseline"]["first_n"]}
    api("POST", "/v1/device-types", {"name": name, "metrics": metrics})
    for rule in rules.values():
        api("POST", "/v1/rules", rule_of(rule, name))
    lines = ["name,type,token"]
    tokens = os.path.join(DIR, f"tokens-{name}.csv")
    with open(tokens, "w") as f:
        f.write("name,token\n")
        for prefix in ("plain-", "shuffled-", "killed-"):
            for d in sorted(devices):
                token = f"recordings-{prefix}{d}-token"
                lines.append(f"{prefix}{d},{name},{token}")
                f.write(f"{prefix}{d},{token}\n")
    counts = api("POST", "/v1/devices/import", "\n".join(lines) + "\n", "text/csv")
    check(f"{name}: devices imported", counts["created"], 3 * len(devices))
    return tokens


def replay(name, files, tokens, prefix, *options, wait=True):
    command = [BIN, "fleet", "replay", *[p for p, _ in files],
               "--speed", "max", "--device-prefix", prefix, "--tokens", tokens, "--host", "127.0.0.1", "--port", str(MQTT_PORT),
               "--cafile", CA, "-o", "json", *options]
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(os.path.join(DIR, f"replay-{prefix}{name}.log"), "w"), text=True)
    return finish(name, prefix, p) if wait else p


def finish(name, prefix, p):
    out, _ = p.communicate(timeout=300)
    counts = json.loads(out.strip().splitlines()[-1]) if out.strip() else {}
    check(f"{name} {prefix} all acknowledged", (p.returncode, counts.get("refused"), counts.get("unanswered")), (0, 0, 0))
    return counts


def alerts_of(device):
    items = api("GET", "/v1/alerts?limit=1000&device=" + urllib.parse.quote(device))["items"]
    return sorted((a["rule"], ms(a["since"]), ms(a["fired_at"]), ms(a["resolved_at"])) for a in items), items


def compare(name, files, cases, prefix):
    want, values = {}, {}
    for case in cases:
        for a in case["alerts"]:
            key = (case["rule"]["id"], ms(a["since"]), ms(a["raised"]), ms(a["cleared"]))
            want.setdefault(case["device"], []).append(key)
            values[(case["device"],) + key] = a["value"]
    for device in sorted({r["device"] for _, rows in files for r in rows}):
        got, items = alerts_of(prefix + device)
        check(f"{name} {prefix}{device}: alerts", got, sorted(want.get(device, [])))
        for a in items:
            v = values.get((device, a["rule"], ms(a["since"]), ms(a["fired_at"]), ms(a["resolved_at"])))
            if v is not None and abs(a["value"] - v) > 1e-4:
                check(f"{name} {prefix}{device}: value of {a['rule']}", a["value"], v)
    rows = len({tuple(sorted((k, v) for k, v in r.items() if v != "")) for _, rs in files for r in rs})
    stored = sql(f"SELECT count(*) FROM readings r JOIN devices d ON d.id = r.device_id JOIN device_types t ON t.id = d.type_id"
                 f" WHERE t.name = '{name}' AND d.name LIKE '{prefix}%'")
    check(f"{name} {prefix}: each sample stored once", int(stored), rows)


class Gate:
    """Lets so many samples into the database and holds the next until it is opened, so that half-way is half-way on any machine."""

    KEY = 4711

    def __init__(self, rows):
        sql(f"""CREATE SEQUENCE IF NOT EXISTS gate_rows; SELECT setval('gate_rows', 1, false);
            CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('gate_rows') > {rows} THEN PERFORM pg_advisory_xact_lock_shared({self.KEY}); END IF;
                RETURN NEW;
            END $$;
            CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON samples FOR EACH ROW EXECUTE FUNCTION gate()""")
        url = open(os.path.join(DIR, "database_url")).read().strip()
        self.holder = subprocess.Popen(["psql", "-X", "-q", "-tA", "-d", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.holder.stdin.write(f"SELECT pg_advisory_lock({self.KEY}); SELECT 'closed';\n")
        self.holder.stdin.flush()
        for line in self.holder.stdout:
            if line.strip() == "closed":
                return
        raise SystemExit("the gate does not close")

    def wait(self, seconds):
        """Until somebody stands before it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if sql(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {self.KEY} AND NOT granted") != "0":
                return True
            time.sleep(0.05)
        return False

    def open(self):
        self.holder.communicate()


def kill_half_way(name, files, cases, tokens):
    total = sum(len(r) for _, r in files)
    gate = Gate(total // 2)
    p = replay(name, files, tokens, "killed-", "--retry-fast", wait=False)
    check(f"{name}: half-way is reached", gate.wait(120), True)
    stored = int(sql("SELECT count(*) FROM samples s JOIN devices d ON d.id = s.device_id JOIN device_types t ON t.id = d.type_id"
                     f" WHERE t.name = '{name}' AND d.name LIKE 'killed-%'"))
    lib("kill_server")
    check(f"{name}: killed on the way", 0 < stored < total, True)
    gate.open()
    lib("start_server")
    finish(name, "killed-", p)
    compare(name, files, cases, "killed-")


def main():
    sets = [s for s in SETS if os.path.exists(os.path.join(DATA, s, "expected.json"))] if DATA else []
    if not sets:
        print("skipped: the recordings are not here (SIGNALBOX_DATA)")
        return 77
    prepared = []
    for name in sets:
        files = read_files(os.path.join(DATA, name))
        cases = json.load(open(os.path.join(DATA, name, "expected.json")))["cases"]
        tokens = set_up(name, files, cases)
        prepared.append((name, files, cases, tokens))
    for name, files, cases, tokens in prepared:
        started = time.monotonic()
        replay(name, files, tokens, "plain-")
        print(f"     {name} plain: {sum(len(r) for _, r in files)} samples in {time.monotonic() - started:.1f} s")
        compare(name, files, cases, "plain-")
    for name, files, cases, tokens in prepared:
        started = time.monotonic()
        replay(name, files, tokens, "shuffled-", "--shuffle", "60s", "--double", "5%", "--seed", "7")
        print(f"     {name} shuffled: {time.monotonic() - started:.1f} s")
        compare(name, files, cases, "shuffled-")
    for name, files, cases, tokens in prepared:
        started = time.monotonic()
        kill_half_way(name, files, cases, tokens)
        print(f"     {name} killed: {time.monotonic() - started:.1f} s")
    return closing()


sys.exit(main())
