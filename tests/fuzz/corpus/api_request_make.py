#!/usr/bin/env python3
"""Writes the seeds api_request/ beside this file: one good request to each route, and some others. The order of the routes is
that of server/api/route.c, that of the choices that of ask() in fuzz_api_request.c: run it again when one of them changes."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
ROUTE = re.compile(r'^    \{"(\w+)", +"([^"]+)", +[\w| ]+, +(\w+),', re.M)
NAMES = {"/v1/device-types/": 4, "/v1/devices/": 1, "/v1/rules/": 6}  # places in api_names
BODIES = {"/v1/device-types": 0, "/v1/devices": 1, "credentials": 2, "commands": 4, "rules": 5, "ack": 6, "close": 7, "telemetry": 8, "import": 9}
ONE_ROW, CHOICES = 5, 24  # a row whose version is 3, for each time the database is asked


def name_for(path, at):
    if at > 0 or re.match(r"/v1/(commands|alerts|maintenance)", path):
        return 9  # 42
    return next((n for start, n in NAMES.items() if path.startswith(start)), 1)


def body_for(path):
    found = 0
    for part, which in BODIES.items():
        found = which if part in path else found
    return found


def request(number, path, flags, body=None, accept=0, media=0, rows=ONE_ROW, params=b"\0", token=0):
    out = bytes([0, number, 0]) + bytes(name_for(path, at) for at in range(path.count("{"))) + params
    if flags in ("BODY", "INGEST"):
        out += bytes([body_for(path) if body is None else body, 0])
    has = 4 | (2 if accept else 0) | (1 if media else 0)
    out += bytes([token, has]) + (bytes([media]) if media else b"") + (bytes([accept]) if accept else b"") + bytes([1, 2])
    return out + bytes([rows]) * CHOICES


def main():
    with open(os.path.join(HERE, "../../../server/api/route.c"), encoding="utf-8") as f:
        routes = ROUTE.findall(f.read())
    os.makedirs(os.path.join(HERE, "api_request"), exist_ok=True)
    seeds = {}
    for number, (method, path, flags) in enumerate(routes):
        label = method.lower() + path.replace("/v1", "").replace("/", "_").replace("{", "").replace("}", "").replace(".", "_")
        seeds[label] = request(number, path, flags, media=2 if "import" in path else 0)
        seeds[label + "_nothing"] = request(number, path, flags, rows=0)
        if "readings" in path:
            for name, accept in (("csv", 3), ("ndjson", 4)):
                seeds[f"{label}_{name}"] = request(number, path, flags, accept=accept, rows=15)
            seeds[label + "_step"] = request(number, path, flags, params=bytes([2, 3, 13, 4, 16]))
        if "telemetry" in path:
            seeds[label + "_device"] = request(number, path, flags, token=2, rows=0)
        if "import" in path:
            seeds[label + "_ndjson"] = request(number, path, flags, media=3, body=10)
        if "credentials" in path and method == "POST":
            seeds[label + "_request"] = request(number, path, flags, body=3)
        if path.endswith("/commands") and method == "POST":
            seeds[label + "_wait"] = request(number, path, flags, params=bytes([1, 0, 15]), rows=1)
    for label, data in seeds.items():
        with open(os.path.join(HERE, "api_request", label), "wb") as f:
            f.write(data)
    print(len(seeds))


main()
