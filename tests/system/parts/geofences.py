#!/usr/bin/env python3
"""Geofences over real positions: a bus run of 2,144 fixes past 36 stops, and 1,126 vessels.

The bus drives three times, as three devices: in order; out of order within 60 s with 5 % sent twice; and with the server killed
at a fix that lies between the two radii of a stop, where only the past tells whether the bus is inside. There are two rules for
each stop: `at-STOP` (inside) and `delay-STOP` (inside for 180 s). What must come out is in expected_events.csv: an alert is a
visit, raised on entering and resolved on leaving.
"""
import csv
import datetime as dt
import gzip
import json
import math
import os
import subprocess
import sys
import time

from house import BIN, CA, DIR, MQTT_PORT, api, check, finish, lib, request, sql

DATA = os.environ["SIGNALBOX_DATA"]
RADIUS_M = 6371008.8


def rows_of(*path):
    full = os.path.join(DATA, *path)
    with gzip.open(full, "rt") if full.endswith(".gz") else open(full, newline="") as f:
        return list(csv.DictReader(f))


def instant(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def haversine(a_lat, a_lon, b_lat, b_lon):
    a_lat, a_lon, b_lat, b_lon = (math.radians(float(v)) for v in (a_lat, a_lon, b_lat, b_lon))
    h = math.sin((b_lat - a_lat) / 2) ** 2 + math.cos(a_lat) * math.cos(b_lat) * math.sin((b_lon - a_lon) / 2) ** 2
    return 2 * RADIUS_M * math.asin(math.sqrt(h))


def write_csv(name, rows):
    """As `fleet replay` wants it, with the metrics' names of a position."""
    path = os.path.join(DIR, name)
    names = {"lat": "latitude", "lon": "longitude"}
    with open(path, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow([names.get(k, k) for k in rows[0]])
        w.writerows([list(r.values()) for r in rows])
    return path


def devices(of_type, names):
    tokens = os.path.join(DIR, f"tokens-{of_type}.csv")
    lines = ["name,type,token"] + [f"{n},{of_type},geofences-{n}-token" for n in names]
    with open(tokens, "w") as f:
        f.write("name,token\n" + "".join(f"{n},geofences-{n}-token\n" for n in names))
    counts = api("POST", "/v1/devices/import", "\n".join(lines) + "\n", "text/csv")
    check(f"{of_type}: devices imported", counts["created"], len(names))
    return tokens


def replay(path, tokens, *options):
    command = [BIN, "fleet", "replay", path, "--speed", "max", "--tokens", tokens, "--host", "127.0.0.1", "--port", str(MQTT_PORT),
               "--cafile", CA, "-o", "json", *options]
    p = subprocess.run(command, capture_output=True, text=True, timeout=300)
    counts = json.loads(p.stdout.strip().splitlines()[-1]) if p.stdout.strip() else {}
    check(f"{os.path.basename(path)} {' '.join(options)}: all acknowledged", (p.returncode, counts.get("refused"), counts.get("unanswered")),
          (0, 0, 0))


def alerts_of(query):
    items, cursor = [], ""
    while cursor is not None:
        page = api("GET", f"/v1/alerts?limit=1000&{query}" + (f"&cursor={cursor}" if cursor else ""))
        items += page["items"]
        cursor = page["next_cursor"]
    return items


# ---- the bus ----------------------------------------------------------------------------------------


def make_stops(stops):
    for s in stops:
        api("POST", "/v1/geofences", {"name": s["id"], "description": s["name"], "kind": "circle", "center": [float(s["lon"]), float(s["lat"])],
                                      "radius_m": float(s["enter_radius_m"]), "exit_radius_m": float(s["exit_radius_m"])})
        for name, more in ((f"at-{s['id']}", {}), (f"delay-{s['id']}", {"for": "180s"})):
            api("POST", "/v1/rules", {"name": name, "select": "type=bus", "when": f'inside("{s["id"]}")', **more})


def between_the_radii(stops, track):
    """The first fix of the second half at which the bus is inside a stop, farther away than it may enter."""
    inside = {}
    for i, fix in enumerate(track):
        for s in stops:
            m = haversine(s["lat"], s["lon"], fix["lat"], fix["lon"])
            inside[s["id"]] = m <= float(s["exit_radius_m"] if inside.get(s["id"]) else s["enter_radius_m"])
            if i > len(track) // 2 and inside[s["id"]] and m > float(s["enter_radius_m"]):
                return i
    raise SystemExit("no such fix")


def check_bus(device, track, want, expected):
    alerts = alerts_of("device=" + device)
    visits = sorted((a["fired_at"], a["rule"][3:], a["resolved_at"]) for a in alerts if a["rule"].startswith("at-"))
    check(f"{device}: visits", visits, sorted((e["enter"], e["fence"], e["exit"] or None) for e in want))
    check(f"{device}: enters, exits", (len(visits), sum(v[2] is not None for v in visits)), (expected["enter"], expected["exit"]))
    names = {e["fence"]: e["name"] for e in want}
    dwells = [(names[v[1]], round((instant(v[2]) - instant(v[0])).total_seconds())) for v in visits if v[2]]
    check(f"{device}: dwell of 120 s and more", sorted(d for d in dwells if d[1] >= 120), sorted(map(tuple, expected["dwell_ge_120s"])))
    check(f"{device}: open at the end", [names[v[1]] for v in visits if v[2] is None], expected["open_at_end"])
    delays = sorted((a["since"], a["rule"][6:], a["resolved_at"]) for a in alerts if a["rule"].startswith("delay-"))
    long_visits = [v for v in visits if v[2] and (instant(v[2]) - instant(v[0])).total_seconds() >= 180]
    check(f"{device}: delays", (len(delays), delays), (3, long_visits))
    for a in alerts:
        if a["rule"].startswith("delay-"):
            due = instant(a["since"]) + dt.timedelta(seconds=180)
            first = min(instant(f["ts"]) for f in track if instant(f["ts"]) >= due)
            check(f"{device}: {a['rule']} raised when 180 s are over, or at the first fix after", instant(a["fired_at"]) in (due, first), True)


def bus():
    stops, track = rows_of("gps304", "geofences.csv"), rows_of("gps304", "track.csv.gz")
    want, expected = rows_of("gps304", "expected_events.csv"), json.load(open(os.path.join(DATA, "gps304", "expected.json")))
    api("POST", "/v1/device-types", {"name": "bus", "metrics": {"latitude": {"unit": "deg"}, "longitude": {"unit": "deg"}}})
    make_stops(stops)
    device = track[0]["device"]
    tokens = devices("bus", [p + device for p in ("plain-", "shuffled-", "killed-")])
    path = write_csv("bus.csv", track)
    started = time.monotonic()
    replay(path, tokens, "--device-prefix", "plain-")
    print(f"     bus: {len(track)} fixes, {2 * len(stops)} rules in {time.monotonic() - started:.1f} s")
    check_bus("plain-" + device, track, want, expected)
    replay(path, tokens, "--device-prefix", "shuffled-", "--shuffle", "60s", "--double", "5%", "--seed", "7")
    check_bus("shuffled-" + device, track, want, expected)
    half = between_the_radii(stops, track) + 1
    replay(write_csv("bus-1.csv", track[:half]), tokens, "--device-prefix", "killed-")
    lib("kill_server")
    lib("start_server")
    replay(write_csv("bus-2.csv", track[half:]), tokens, "--device-prefix", "killed-")
    check_bus("killed-" + device, track, want, expected)
    return stops, track, tokens


def changed_fence(stops, track, tokens):
    """The stop that the bus still stands at shrinks. Fixes within the lateness are judged anew: at the last one the bus has left."""
    last, device = track[-1], "plain-" + track[-1]["device"]
    stop = next(s for s in stops if s["name"] == "UL Student Centre")
    path = "/v1/geofences/" + stop["id"]
    later, latest = ((instant(last["ts"]) + dt.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ") for s in (300, 305))
    replay(write_csv("bus-3.csv", [{**last, "ts": later}]), tokens, "--device-prefix", "plain-")
    status, fence, headers = request("GET", path)
    check("the fence is there", (status, fence["radius_m"], fence["version"]), (200, 30, 1))
    check("a fence that rules name stays", request("DELETE", path, headers={"If-Match": headers["ETag"]})[0], 409)
    distance = haversine(stop["lat"], stop["lon"], last["lat"], last["lon"])
    smaller = {**fence, "radius_m": distance / 4, "exit_radius_m": distance / 2}
    check("a fence needs its ETag", request("PUT", path, smaller)[0], 428)
    check("the fence shrinks", request("PUT", path, smaller, headers={"If-Match": headers["ETag"]})[0], 200)
    replay(write_csv("bus-4.csv", [{**last, "ts": latest}]), tokens, "--device-prefix", "plain-")
    alerts = [a for a in alerts_of("device=" + device) if a["rule"] == "at-" + stop["id"]]
    check("who was inside has left", [a["resolved_at"] for a in alerts], [later])


# ---- the vessels ------------------------------------------------------------------------------------


def vessels():
    expected = json.load(open(os.path.join(DATA, "ais", "expected.json")))
    track = rows_of("ais", "ais.csv.gz")
    first = {}
    for r in track:
        first[r["device"]] = min(first.get(r["device"], r["ts"]), r["ts"])
    api("POST", "/v1/device-types", {"name": "vessel", "metrics": {"latitude": {}, "longitude": {}}, "any_metric": True})
    for name, fence in expected["fences"].items():
        south, north, west, east = fence["box_lat_min_max_lon_min_max"]
        api("POST", "/v1/geofences", {"name": name, "kind": "polygon", "bbox": [west, south, east, north]})
        # The rows are not in order of time, and reach a day back.
        api("POST", "/v1/rules", {"name": "in-" + name, "select": "type=vessel", "when": f'inside("{name}")', "lateness": "24h"})
    tokens = devices("vessel", sorted(first))
    started = time.monotonic()
    replay(write_csv("vessels.csv", track), tokens)
    print(f"     vessels: {len(track)} positions of {len(first)} in {time.monotonic() - started:.1f} s")
    check("vessels: each position stored once",
          int(sql("SELECT count(*) FROM samples s JOIN devices d ON d.id = s.device_id JOIN device_types t ON t.id = d.type_id WHERE t.name = 'vessel'")),
          len({tuple(r.values()) for r in track}))
    for name, fence in expected["fences"].items():
        alerts = alerts_of("rule=in-" + name)
        check(f"{name}: vessels seen inside", len({a["device"] for a in alerts}), fence["vessels_seen_inside"])
        moves = sorted([a["fired_at"], a["device"], "enter"] for a in alerts if a["fired_at"] > first[a["device"]])
        moves += [[a["resolved_at"], a["device"], "exit"] for a in alerts if a["resolved_at"]]
        check(f"{name}: enters and exits", sorted(moves), fence["transitions"])


def main():
    stops, track, tokens = bus()
    changed_fence(stops, track, tokens)
    vessels()
    return finish()


sys.exit(main())
