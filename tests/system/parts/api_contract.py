#!/usr/bin/env python3
"""Exercises every endpoint of the HTTP interface, right and wrong, against a server that runs.

    api_contract.py --base http://127.0.0.1:8080 --token TOKEN
        with the whole server: what is sent is stored, rules fire, streams tell
    api_contract.py --harness build/system_api_server --database URL
        starts the interface alone on an empty database; rows that the core would write come from psql

Python's standard library only. Prints one line for each check that fails, and a closing line.
"""
import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse

FAILED = []
COUNT = 0
RUN = format(int(time.time() * 1000), "x")  # names differ from run to run, so that a server can be checked twice


def check(name, good, detail=""):
    global COUNT
    COUNT += 1
    if not good:
        FAILED.append(name)
        print(f"FAILED {name}: {str(detail)[:600]}")
    return good


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.body[:400]!r}"


class Api:
    def __init__(self, base, token):
        parts = urllib.parse.urlsplit(base)
        self.host, self.port, self.token = parts.hostname, parts.port, token

    def call(self, method, path, body=None, headers=None, token="", timeout=30):
        sent = {} if token is None else {"Authorization": "Bearer " + (token or self.token)}
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def raw(self, data, seconds=3):
        """Bytes as they are, and what comes back until the server closes or is silent."""
        with socket.create_connection((self.host, self.port), timeout=seconds) as s:
            s.sendall(data)
            got = b""
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    got += piece
            except socket.timeout:
                pass
            return got


def problem(name, answer, status, pointer=None, words=None):
    """The answer is a problem with this status, of the shape that RFC 9457 and this project say."""
    good = check(name, answer.status == status, answer)
    if not good:
        return
    check(name + ": media type", answer.headers["Content-Type"] == "application/problem+json", answer.headers)
    p = answer.json
    check(name + ": members", {"type", "title", "status", "detail", "instance", "request_id"} <= set(p), p)
    check(name + ": status inside", p["status"] == status, p)
    check(name + ": type", p["type"].startswith("/docs/problems/"), p)
    check(name + ": request id", p["request_id"] == answer.headers["X-Request-Id"], p)
    text = answer.body.decode()
    check(name + ": nothing of the inside", not any(w in text for w in ("SELECT", "INSERT", "pg_", "libpq", "PostgreSQL 1", ".c:")), text)
    if pointer is not None:
        check(name + ": pointer " + pointer, any(e["pointer"] == pointer for e in p.get("errors", [])), p)
    if words is not None:
        check(name + ": words", words in p["detail"], p)


# ---- things that need no database ----------------------------------------------------------------


def pages(api):
    for path in ("/livez", "/readyz"):
        check(path, api.call("GET", path, token=None).status == 200)
    text = api.call("GET", "/livez", token=None, headers={"Accept": "text/plain"})
    check("livez as text", text.body == b"ok\n", text)
    metrics = api.call("GET", "/metrics", token=None).body.decode()
    for name in ("signalbox_messages_received_total", "signalbox_messages_committed_total", "signalbox_messages_duplicate_total",
                 "signalbox_messages_rejected_total", "signalbox_messages_in_flight", "process_resident_memory_bytes",
                 "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds", "signalbox_build_info{version="):
        check("metric " + name, "\n" + name in metrics)
    start = [float(line.split()[1]) for line in metrics.splitlines() if line.startswith("process_start_time_seconds ")]
    check("start time", start and time.time() - 86400 < start[0] <= time.time() + 2, start)
    document = api.call("GET", "/openapi.json", token=None)
    check("openapi.json", document.status == 200 and document.json["openapi"].startswith("3.1"), document)
    check("openapi.yaml", api.call("GET", "/openapi.yaml", token=None).body.startswith(b"openapi: 3.1"))
    docs = api.call("GET", "/docs", token=None)
    check("docs", docs.status == 200 and b"<html" in docs.body and b"http://" not in docs.body and b"https://" not in docs.body)
    check("docs policy", "default-src 'none'" in docs.headers["Content-Security-Policy"])
    root = api.call("GET", "/", token=None)
    check("root goes to docs", root.status == 302 and root.headers["Location"] == "/docs", root)
    check("problem page", api.call("GET", "/docs/problems/not-found", token=None).status == 200)
    problem("no such problem page", api.call("GET", "/docs/problems/none", token=None), 404)
    head = api.call("HEAD", "/livez", token=None)
    check("HEAD has no body", head.status == 200 and head.body == b"")
    return document.json


def abuse(api):
    problem("no token", api.call("GET", "/v1/devices", token=None), 401)
    check("WWW-Authenticate", "Bearer" in api.call("GET", "/v1/devices", token=None).headers["WWW-Authenticate"])
    problem("wrong scheme", api.call("GET", "/v1/devices", token=None, headers={"Authorization": "Basic eDp5"}), 401)
    problem("unknown path", api.call("GET", "/v1/nothing"), 404)
    wrong = api.call("PUT", "/v1/alerts", {})
    problem("wrong method", wrong, 405)
    check("Allow", wrong.headers["Allow"] == "GET, HEAD", wrong.headers["Allow"])
    problem("not acceptable", api.call("GET", "/v1/devices", headers={"Accept": "image/png"}), 406)
    problem("unknown parameter", api.call("GET", "/v1/devices?page=9223372036854775808"), 400, words="page")
    for limit in ("-1", "0", "1001", "x", "9223372036854775808", ""):
        problem(f"limit {limit!r}", api.call("GET", "/v1/devices?limit=" + limit), 400)
    problem("made-up cursor", api.call("GET", "/v1/devices?cursor=abc"), 400)
    problem("cursor of another list", api.call("GET", "/v1/devices?cursor=dDowOjA6YQ"), 400)
    problem("dots", api.call("GET", "/v1/../v1/devices"), 400)
    problem("escaped dots", api.call("GET", "/v1/%2e%2e/devices"), 400)
    problem("NUL", api.call("GET", "/v1/devices/%00"), 400)
    problem("bad escape", api.call("GET", "/v1/devices/%zz"), 400)
    problem("not UTF-8", api.call("GET", "/v1/devices/%ff"), 400)
    problem("empty segment", api.call("GET", "/v1//devices"), 400)
    problem("long query", api.call("GET", "/v1/devices?q=" + "a" * 100_000), 414)
    problem("many parameters", api.call("GET", "/v1/devices?" + "&".join("q=1" for _ in range(65))), 414)
    deep = b'{"name":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    problem("deep JSON", api.call("POST", "/v1/devices", deep, {"Content-Type": "application/json"}), 400)
    problem("no JSON", api.call("POST", "/v1/devices", b"{", {"Content-Type": "application/json"}), 400)
    problem("empty body", api.call("POST", "/v1/devices", b"", {"Content-Type": "application/json"}), 400)
    problem("a name twice", api.call("POST", "/v1/devices", b'{"name":"a","name":"b"}', {"Content-Type": "application/json"}), 400)
    problem("an array", api.call("POST", "/v1/devices", [1]), 422)
    problem("a form", api.call("POST", "/v1/devices", b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}), 415)
    head = f"Host: x\r\nAuthorization: Bearer {api.token}\r\n"
    got = api.raw(f"POST /v1/devices HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n".encode())
    check("1 GB announced", got.startswith(b"HTTP/1.1 413") and b"problem+json" in got, got[:300])
    got = api.raw(f"GET /v1/devices HTTP/1.1\r\n{head}Authorization: Bearer x\r\nConnection: close\r\n\r\n".encode())
    check("two tokens", got.startswith(b"HTTP/1.1 400"), got[:300])
    got = api.raw(f"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/devices?limit=1 HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
    check("pipelining", got.count(b"HTTP/1.1 200 OK") == 2, got[:600])
    got = api.raw(b"GET http://x/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check("absolute target", got.startswith(b"HTTP/1.1 400"), got[:300])
    check("request id is taken", api.call("GET", "/livez", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1")
    check("request id is whitelisted", api.call("GET", "/livez", headers={"X-Request-Id": "a b<"}).headers["X-Request-Id"] != "a b<")
    check("no-store", api.call("GET", "/v1/devices").headers["Cache-Control"] == "no-store")


def brute_force(api):
    """Last of all: the address is refused wrong tokens for a minute afterwards, and good ones never."""
    seen = [api.call("GET", "/v1/devices", token=f"sba_wrong{i}") for i in range(30)]
    statuses = [a.status for a in seen]
    check("wrong tokens are limited", statuses.count(401) <= 10 and statuses[-1] == 429, statuses)
    problem("too many", seen[-1], 429)
    check("Retry-After", 1 <= int(seen[-1].headers["Retry-After"]) <= 61, seen[-1].headers["Retry-After"])
    check("a good token passes", api.call("GET", "/v1/devices?limit=1").status == 200)


# ---- device types ---------------------------------------------------------------------------------


def types(api):
    name = "motor-" + RUN
    doc = {"name": name, "metrics": {"temperature": {"unit": "degC", "min": -50, "max": 150, "baseline_samples": 300, "missing": [511]}, "rpm": {"modulus": 100000}, "mode": {}, "on": {}},
           "commands": ["stop", {"name": "start"}], "topics": {"publish": ["a/b"], "subscribe": ["c/+"]}, "auto_register": False}
    made = api.call("POST", "/v1/device-types", doc)
    check("type made", made.status == 201 and made.json["metrics"]["temperature"]["missing"] == [511], made)
    check("type Location", made.headers["Location"] == "/v1/device-types/" + name)
    problem("type again", api.call("POST", "/v1/device-types", doc), 409)
    path = "/v1/device-types/" + name
    got = api.call("GET", path)
    check("type read", got.status == 200 and {k: got.json[k] for k in doc} == doc, got)
    tag = got.headers["ETag"]
    problem("type without If-Match", api.call("PUT", path, doc), 428)
    problem("type with an old ETag", api.call("PUT", path, doc, {"If-Match": '"77"'}), 412)
    problem("weak ETag", api.call("PUT", path, doc, {"If-Match": "W/" + tag}), 412)
    put = api.call("PUT", path, {**got.json, "auto_register": True}, {"If-Match": tag})
    check("type changed; what GET gave may come back", put.status == 200 and put.json["auto_register"] and put.headers["ETag"] != tag, put)
    patch = api.call("PATCH", path, {"commands": ["stop"]}, {"If-Match": put.headers["ETag"]})
    check("type patched", patch.status == 200 and patch.json["commands"] == ["stop"] and patch.json["auto_register"], patch)
    problem("type renamed", api.call("PUT", path, {**doc, "name": "x"}, {"If-Match": patch.headers["ETag"]}), 422, "/name")
    for change, pointer in (({"metrics": {"a": {"unti": "K"}}}, "/metrics/a/unti"), ({"metrics": {"a": {"min": "1"}}}, "/metrics/a/min"),
                            ({"metrics": {"a": {"min": 2, "max": 1}}}, "/metrics/a/min"), ({"metrics": {"a/b~c": {"x": 1}}}, "/metrics/a~1b~0c/x"),
                            ({"metrics": []}, "/metrics"), ({"commands": [7]}, "/commands/0"), ({"commands": [{"nam": "x"}]}, "/commands/0/nam"),
                            ({"topics": {"publish": [""]}}, "/topics/publish"), ({"colour": 1}, "/colour"), ({"auto_register": "no"}, "/auto_register"),
                            ({"metrics": {"a": {"missing": ["x"]}}}, "/metrics/a/missing"), ({"metrics": {"a": {"modulus": 0}}}, "/metrics/a/modulus"), ({"name": "a b"}, "/name"), ({"name": None}, "/name")):
        problem(f"type with {change}", api.call("POST", "/v1/device-types", {"name": "other-" + RUN, **change}), 422, pointer)
    problem("type without name", api.call("POST", "/v1/device-types", {}), 422, "/name")
    names = [t["name"] for t in every(api, "/v1/device-types?limit=1")]
    check("types listed page by page", name in names and "generic" in names and names == sorted(set(names)), names)
    problem("generic stays", api.call("DELETE", "/v1/device-types/generic", headers={"If-Match": "*"}), 409)
    problem("no such type", api.call("GET", "/v1/device-types/none"), 404)
    return name


def every(api, path):
    """All items of a list, following next_cursor."""
    items, cursor = [], None
    for _ in range(1000):
        page = api.call("GET", path + (("&" if "?" in path else "?") + "cursor=" + cursor if cursor else ""))
        if not check("a page of " + path, page.status == 200, page):
            return items
        items += page.json["items"]
        cursor = page.json["next_cursor"]
        if cursor is None:
            return items
    check("pages of " + path + " end", False)
    return items


# ---- devices --------------------------------------------------------------------------------------


def devices(api, type_name):
    name, site = "m-1-" + RUN, "plant-" + RUN
    doc = {"name": name, "type": type_name, "labels": {"site": site, "line": 3}, "attributes": {"limit": 80.1, "deep": {"a": [1, None]}}, "gateway": None}
    made = api.call("POST", "/v1/devices", doc)
    check("device made", made.status == 201 and {k: made.json[k] for k in doc} == doc, made)
    check("device Location", made.headers["Location"] == "/v1/devices/" + name)
    problem("device again", api.call("POST", "/v1/devices", doc), 409)
    for change, pointer in (({"type": "none"}, "/type"), ({"gateway": "none"}, "/gateway"), ({"labels": {"a b": "x"}}, "/labels/a b"),
                            ({"labels": {"a": {}}}, "/labels/a"), ({"labels": 1}, "/labels"), ({"lables": {}}, "/lables"), ({"enabled": 1}, "/enabled"),
                            ({"name": "a/b"}, "/name"), ({"name": "x" * 129}, "/name"), ({"gateway": "m-2-" + RUN, "name": "m-2-" + RUN}, "/gateway")):
        problem(f"device with {change}", api.call("POST", "/v1/devices", {"name": "m-2-" + RUN, "type": type_name, **change}), 422, pointer)
    path = "/v1/devices/" + name
    got = api.call("GET", path)
    check("device read", got.status == 200 and got.json["enabled"] and got.json["reported"] == {} and "last_seen_at" in got.json, got)
    patched = api.call("PATCH", path, {"labels": {"line": None, "cell": "c"}, "attributes": {"limit": 90}})
    check("device patched", patched.status == 200 and patched.json["labels"] == {"site": site, "cell": "c"} and patched.json["attributes"]["limit"] == 90
          and "deep" in patched.json["attributes"], patched)
    problem("device, old ETag", api.call("PATCH", path, {"enabled": False}, {"If-Match": got.headers["ETag"]}), 412)
    check("device, new ETag", api.call("PATCH", path, {"enabled": False}, {"If-Match": patched.headers["ETag"]}).json["enabled"] is False)
    put = api.call("PUT", path, {**doc, "attributes": {"limit": 80.1}})
    check("device put", put.status == 200 and put.json["enabled"] and put.json["labels"] == doc["labels"] and put.json["attributes"] == {"limit": 80.1}, put)
    child = api.call("POST", "/v1/devices", {"name": "m-2-" + RUN, "gateway": name})
    check("type generic by default, gateway by name", child.status == 201 and child.json["type"] == "generic" and child.json["gateway"] == name, child)
    for query, want in ((f"label.site={site}", [name]), (f"label.site={site}&label.line=3", [name]), (f"label.site={site}&label.line=4", []),
                        (f"gateway={name}", ["m-2-" + RUN]), (f"type={type_name}", [name]), (f"q=m-1-{RUN}", [name]),
                        (f"select=site%3D{site}", [name]), (f"select=type%3D{type_name},site!%3D{site}", [])):
        listed = [d["name"] for d in every(api, "/v1/devices?" + query)]
        check("devices with " + query, listed == want, listed)
    problem("bad selector", api.call("GET", "/v1/devices?select=site%3D%3D%3D("), 400)
    problem("no such device", api.call("GET", "/v1/devices/none"), 404)
    problem("type in use", api.call("DELETE", "/v1/device-types/" + type_name, headers={"If-Match": "*"}), 409)
    check("device deleted", api.call("DELETE", "/v1/devices/m-2-" + RUN).status == 204)
    problem("device is gone", api.call("GET", "/v1/devices/m-2-" + RUN), 404)
    return name


def imports(api, type_name):
    head = "name,type,token,gateway,label.site,attr.limit,attr.note\r\n"
    rows = [f'i-1-{RUN},{type_name},token-of-i-1-{RUN}-0123456789,i-9-{RUN},"a, ""b""",80.5,true', f"i-9-{RUN},{type_name},,,s,,", f"i-2-{RUN},none,,,,,",
            "bad name,,,,,,", f"i-3-{RUN},{type_name},short,,,,", f"i-1-{RUN},{type_name},,,,,", "one,two", f"i-4-{RUN},{type_name},,nowhere,,,",
            f"i-5-{RUN},{type_name},token-of-i-1-{RUN}-0123456789,,,,", "", f"i-6-{RUN},,,,,,"]
    got = api.call("POST", "/v1/devices/import", (head + "\r\n".join(rows)).encode(), {"Content-Type": "text/csv"})
    check("import counts", got.status == 200 and (got.json["created"], got.json["updated"], got.json["failed"]) == (3, 0, 7), got)
    check("import lines", sorted(e["line"] for e in got.json["errors"]) == [4, 5, 6, 7, 8, 9, 10], got.json["errors"])
    one = api.call("GET", "/v1/devices/i-1-" + RUN).json
    check("imported", one["labels"] == {"site": 'a, "b"'} and one["attributes"] == {"limit": 80.5, "note": True} and one["gateway"] == "i-9-" + RUN, one)
    check("imported without type", api.call("GET", "/v1/devices/i-6-" + RUN).json["type"] == "generic")
    check("import made a credential", [c["kind"] for c in every(api, f"/v1/devices/i-1-{RUN}/credentials")] == ["token"])
    lines = [{"name": "i-1-" + RUN, "labels": {"cell": "c"}}, {"name": "i-7-" + RUN, "token": f"token-of-i-1-{RUN}-0123456789"}, {"name": "i-8-" + RUN, "colour": 1}]
    body = "\n".join(json.dumps(line) for line in lines).encode() + b"\n\n{]\n"
    got = api.call("POST", "/v1/devices/import", body, {"Content-Type": "application/x-ndjson"})
    check("NDJSON import", got.status == 200 and (got.json["created"], got.json["updated"], got.json["failed"]) == (0, 1, 3), got)
    one = api.call("GET", "/v1/devices/i-1-" + RUN).json
    check("import merges", one["labels"] == {"site": 'a, "b"', "cell": "c"} and one["type"] == type_name and one["gateway"] == "i-9-" + RUN, one)
    problem("unknown column", api.call("POST", "/v1/devices/import", b"name,colour\nx,y\n", {"Content-Type": "text/csv"}), 400, words="colour")
    problem("no column name", api.call("POST", "/v1/devices/import", b"type\nx\n", {"Content-Type": "text/csv"}), 400)
    problem("import as JSON", api.call("POST", "/v1/devices/import", {}), 415)
    table = "name,type,token,label.site\n" + "".join(f"bulk-{RUN}-{i},{type_name},bulk-token-{RUN}-{i:08},s{i % 10}\n" for i in range(10_000))
    started = time.monotonic()
    got = api.call("POST", "/v1/devices/import", table.encode(), {"Content-Type": "text/csv"}, timeout=60)
    took = time.monotonic() - started
    check("10,000 devices with tokens", got.status == 200 and got.json["created"] == 10_000 and got.json["failed"] == 0, got)
    check("10,000 devices in 10 s", took < 10, f"{took:.1f} s")
    print(f"import of 10,000 devices with tokens: {took:.2f} s")


def credentials(api, device, with_ca):
    path = f"/v1/devices/{device}/credentials"
    made = api.call("POST", path, {"kind": "token"})
    check("token made", made.status == 201 and len(made.json["token"]) >= 40 and made.json["kind"] == "token", made)
    given = f"a-token-of-our-own-{RUN}"
    own = api.call("POST", path, {"kind": "token", "token": given})
    check("token given", own.status == 201 and own.json["token"] == given, own)
    problem("token in use", api.call("POST", path, {"kind": "token", "token": given}), 409)
    problem("short token", api.call("POST", path, {"kind": "token", "token": "x" * 19}), 422, "/token")
    problem("no kind", api.call("POST", path, {}), 422, "/kind")
    problem("other kind", api.call("POST", path, {"kind": "password"}), 422, "/kind")
    listed = every(api, path)
    check("credentials listed without secrets", {c["id"] for c in listed} == {made.json["id"], own.json["id"]}
          and not any("token" in c or "hash" in c for c in listed), listed)
    check("revoked", api.call("DELETE", f"{path}/{own.json['id']}").status == 204)
    problem("revoked again", api.call("DELETE", f"{path}/{own.json['id']}"), 404)
    check("revoked is shown", [c for c in every(api, path) if c["id"] == own.json["id"]][0]["revoked_at"] is not None)
    cert = api.call("POST", path, {"kind": "certificate", "days": 30})
    if with_ca:
        check("certificate", cert.status == 201 and "BEGIN CERTIFICATE" in cert.json["certificate"] and "PRIVATE KEY" in cert.json["private_key"], cert)
        problem("bad csr", api.call("POST", path, {"csr": "x"}), 422, "/csr")
        csr = make_csr()
        if csr is not None:
            got = api.call("POST", path, {"csr": csr})
            check("certificate for a csr", got.status == 201 and "private_key" not in got.json, got)
    else:
        check("certificate, or told that there is no CA", cert.status in (201, 409), cert)
    return made.json["token"]


def make_csr():
    try:
        made = subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
                               "-subj", "/CN=ignored"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return made.stdout[made.stdout.index("-----BEGIN"):]


# ---- readings -------------------------------------------------------------------------------------

BASE_MS = 1_700_000_000_000 // 60_000 * 60_000
SAMPLES = [(BASE_MS + i * 10_000, {"temperature": 20 + i, "rpm": 100 * i} if i % 2 == 0 else {"temperature": 20 + i, "mode": "auto", "on": True})
           for i in range(60)]


def store_by_http(api, device, token):
    body = [{"ts": ts, "values": values} for ts, values in SAMPLES]
    got = api.call("POST", "/v1/telemetry?device=" + device, body)
    check("telemetry stored", got.status == 200, got)
    again = api.call("POST", "/v1/telemetry?device=" + device, body)
    check("telemetry again is stored already", again.status == 200, again)
    own = api.call("POST", "/v1/telemetry", {"ts": BASE_MS - 1000, "values": {"rpm": 1}}, token=token)
    check("telemetry with the device's own token", own.status == 200, own)
    problem("telemetry for another device", api.call("POST", "/v1/telemetry?device=other", {"rpm": 1}, token=token), 403)
    problem("telemetry without device", api.call("POST", "/v1/telemetry", {"rpm": 1}), 400)
    problem("telemetry of nobody", api.call("POST", "/v1/telemetry?device=none", {"rpm": 1}), 404)
    bad = api.call("POST", "/v1/telemetry?device=" + device, b'{"rpm":', {"Content-Type": "application/json"})
    check("telemetry that is no JSON", bad.status in (400, 422), bad)
    other = api.call("POST", "/v1/telemetry?device=" + device, {"colour": 1})
    problem("telemetry that the type does not admit", other, 422)
    kept = every(api, "/v1/rejected?device=" + device)
    check("rejected messages are kept", kept and kept[0]["payload"] == '{"colour": 1}' and kept[0]["pointer"] == "/colour", kept)
    problem("readings with a device's token", api.call("GET", f"/v1/devices/{device}/readings", token=token), 401)


def store_by_sql(sql, device):
    """The rows that the core would write: shapes (rpm, temperature) and (temperature)."""
    sql("INSERT INTO metrics SELECT 9001, 'temperature' WHERE NOT EXISTS (SELECT FROM metrics WHERE name = 'temperature')")
    sql("INSERT INTO metrics SELECT 9002, 'rpm' WHERE NOT EXISTS (SELECT FROM metrics WHERE name = 'rpm')")
    ids = dict(line.split("|") for line in sql("SELECT name, id FROM metrics WHERE name IN ('temperature', 'rpm')").splitlines())
    t, r = ids["temperature"], ids["rpm"]
    sql(f"INSERT INTO shapes VALUES (9001, ARRAY[{r},{t}]), (9002, ARRAY[{t}]) ON CONFLICT DO NOTHING")
    rows = []
    for i, (ts, values) in enumerate(SAMPLES):
        several = "rpm" in values
        numbers = f"9001, NULL, ARRAY[{values['rpm']},{values['temperature']}]" if several else f"9002, {values['temperature']}, NULL"
        extra = "NULL" if several else "'{\"mode\":\"auto\",\"on\":true}'"
        rows.append(f"(to_timestamp({ts / 1000}), now(), (SELECT id FROM devices WHERE name = '{device}'), {i}, 0, {numbers}, {extra})")
    sql("INSERT INTO samples (ts, received_at, device_id, digest, flags, shape, value, values, extra) VALUES " + ",".join(rows))


def readings(api, device):
    path = f"/v1/devices/{device}/readings"
    span = f"from={BASE_MS}&to={BASE_MS + 600_000}"
    got = api.call("GET", f"{path}?metric=temperature&{span}")
    items = got.json["items"]
    check("one metric", [i["value"] for i in items] == [v["temperature"] for _, v in SAMPLES] and got.json["next_cursor"] is None, got)
    check("times are RFC 3339", items[0] == {"ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BASE_MS / 1000)), "value": 20}, items[0])
    paged = every(api, f"{path}?metric=temperature&{span}&limit=7")
    check("page by page the same", paged == items)
    newest = every(api, f"{path}?metric=temperature&{span}&limit=7&order=desc")
    check("newest first the same backwards", newest == items[::-1])
    half = api.call("GET", f"{path}?metric=temperature&from={SAMPLES[1][0]}&to={SAMPLES[3][0]}").json["items"]
    check("from is in, to is not", [i["value"] for i in half] == [21, 22], half)
    text = api.call("GET", f"{path}?metric=mode&{span}").json["items"]
    check("texts", len(text) == 30 and text[0]["value"] == "auto", text[:2])
    check("booleans", api.call("GET", f"{path}?metric=on&{span}").json["items"][0]["value"] is True)
    several = api.call("GET", f"{path}?metric=rpm,mode&{span}").json["items"]
    check("several metrics", several[0]["values"] == {"rpm": 0} and several[1]["values"] == {"mode": "auto"} and len(several) == 60, several[:2])
    check("metric repeated", api.call("GET", f"{path}?metric=rpm&metric=mode&{span}").json["items"] == several)
    everything = api.call("GET", f"{path}?{span}").json["items"]
    check("all metrics", [i["values"] for i in everything] == [v for _, v in SAMPLES], everything[:2])
    check("unknown metric", api.call("GET", f"{path}?metric=none&{span}").json["items"] == [])
    check("nothing in the last hour", api.call("GET", f"{path}?metric=temperature&from=-1h").json["items"] == [])
    values = [v["temperature"] for _, v in SAMPLES]
    minutes = [values[i:i + 6] for i in range(0, 60, 6)]
    for agg, fold in (("avg", lambda v: sum(v) / len(v)), ("min", min), ("max", max), ("sum", sum), ("count", len), ("last", lambda v: v[-1])):
        got = every(api, f"{path}?metric=temperature&{span}&step=1m&agg={agg}&limit=3")
        check("buckets: " + agg, [i["value"] for i in got] == [fold(v) for v in minutes], got[:3])
    both = api.call("GET", f"{path}?metric=temperature,rpm&{span}&step=5m").json["items"]
    check("buckets of several", set(both[0]["values"]) == {"temperature", "rpm"} and len(both) == 2 + (BASE_MS % 300_000 != 0), both)
    for query in ("agg=avg", "step=1m&agg=median", "step=0s", "step=x", "from=yesterday", f"from={BASE_MS + 1}&to={BASE_MS}", "limit=10001",
                  "from=99999999999999999999", "order=up", "format=xml", "from=2023-02-30T00:00:00Z", "metric=" + ",".join("m%d" % i for i in range(65))):
        problem("readings with " + query[:40], api.call("GET", f"{path}?{query}"), 400)
    for form, accept in (("csv", "text/csv"), ("ndjson", "application/x-ndjson")):
        by_format = api.call("GET", f"{path}?metric=temperature&{span}&format={form}")
        by_accept = api.call("GET", f"{path}?metric=temperature&{span}", headers={"Accept": accept})
        check(form + " by format and by Accept", by_format.status == 200 and by_format.body == by_accept.body, by_format)
        check(form + " media type", by_accept.headers["Content-Type"].startswith(accept), by_accept.headers["Content-Type"])
    lines = api.call("GET", f"{path}?metric=temperature&{span}&format=csv").body.decode().split("\r\n")
    check("CSV", lines[0] == "ts,value" and lines[1].endswith("Z,20") and len(lines) == 62, lines[:3])
    wide = api.call("GET", f"{path}?metric=temperature,mode&{span}&format=csv").body.decode().split("\r\n")
    check("CSV, a column each", wide[0] == "ts,temperature,mode" and wide[1].endswith(",20,") and wide[2].endswith(",21,auto"), wide[:3])
    long = api.call("GET", f"{path}?{span}&format=csv").body.decode().split("\r\n")
    check("CSV, all metrics", long[0] == "ts,metric,value" and len(long) == 2 + sum(len(v) for _, v in SAMPLES), long[:3])
    rows = [json.loads(line) for line in api.call("GET", f"{path}?{span}&format=ndjson").body.splitlines()]
    check("NDJSON", rows == everything)
    latest = {i["metric"]: i for i in api.call("GET", f"/v1/devices/{device}/latest").json["items"]}
    check("latest", latest["temperature"]["value"] == 79 and latest["rpm"]["value"] == 5800 and latest["mode"]["value"] == "auto"
          and latest["on"]["value"] is True, latest)
    check("latest of one", [i["metric"] for i in api.call("GET", f"/v1/devices/{device}/latest?metric=rpm").json["items"]] == ["rpm"])


# ---- geofences, rules, alerts, commands, events ------------------------------------------------------


def geofences(api):
    name = "yard-" + RUN
    doc = {"name": name, "description": "where they sleep", "kind": "circle", "center": [-8.6254356, 52.6634001], "radius_m": 30, "exit_radius_m": 45}
    made = api.call("POST", "/v1/geofences", doc)
    check("geofence made", made.status == 201 and {k: made.json[k] for k in doc} == doc and made.json["version"] == 1, made)
    path = "/v1/geofences/" + name
    check("geofence has its place", made.headers["Location"] == path and made.headers["ETag"] == '"1"', made)
    problem("geofence again", api.call("POST", "/v1/geofences", doc), 409)
    problem("geofence without kind", api.call("POST", "/v1/geofences", {"name": "x"}), 422, "/kind")
    problem("geofence, latitude first", api.call("POST", "/v1/geofences", {**doc, "name": "x", "center": [33.7, -118.3]}), 422, "/center", words="longitude comes first")
    problem("geofence, unknown field", api.call("POST", "/v1/geofences", {**doc, "name": "x", "radius": 3}), 422, "/radius")
    problem("geofence, out before in", api.call("POST", "/v1/geofences", {**doc, "name": "x", "exit_radius_m": 29}), 422, "/exit_radius_m")
    bow = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
    problem("geofence, a bow tie", api.call("POST", "/v1/geofences", {"name": "x", "kind": "polygon", "coordinates": [bow]}), 422, "/coordinates", words="Self-intersection")
    problem("geofence, a word in a ring", api.call("POST", "/v1/geofences", {"name": "x", "kind": "polygon", "coordinates": [[[0, 0], [1, 0], [1, "y"], [0, 0]]]}),
            422, "/coordinates/0/2")
    problem("geofence, too many positions", api.call("POST", "/v1/geofences", {"name": "x", "kind": "corridor", "width_m": 5, "line": [[i / 100, 0] for i in range(1001)]}),
            422, "/line", words="1000")
    for other in ({"kind": "polygon", "bbox": [170, -20, -170, -10], "exit_margin_m": 5}, {"kind": "corridor", "line": [[1, 2], [3, 4]], "width_m": 50},
                  {"kind": "polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]], [[4, 4], [5, 4], [5, 5], [4, 4]]]}):
        one = api.call("POST", "/v1/geofences", {"name": "other-" + RUN, **other})
        check(f"geofence: {other['kind']}", one.status == 201 and {k: one.json[k] for k in other} == other, one)
        check("geofence deleted", api.call("DELETE", "/v1/geofences/other-" + RUN, headers={"If-Match": one.headers["ETag"]}).status == 204)
    got = api.call("GET", path)
    check("geofence read", got.status == 200 and got.json == made.json and got.headers["ETag"] == '"1"', got)
    problem("no such geofence", api.call("GET", "/v1/geofences/none"), 404)
    problem("geofence without If-Match", api.call("PUT", path, doc), 428)
    problem("geofence, wrong ETag", api.call("PUT", path, doc, {"If-Match": '"9"'}), 412)
    problem("geofence renamed", api.call("PUT", path, {**doc, "name": "y"}, {"If-Match": '"1"'}), 422, "/name")
    put = api.call("PUT", path, {**got.json, "radius_m": 35}, {"If-Match": got.headers["ETag"]})
    check("geofence replaced", put.status == 200 and put.json["version"] == 2 and put.json["radius_m"] == 35, put)
    check("geofences listed", name in [g["name"] for g in every(api, "/v1/geofences?limit=1")])
    rule = {"name": "in-" + name, "when": f'inside("{name}") and distance_to("{name}") < 1'}
    problem("rule with an unknown geofence", api.call("POST", "/v1/rules", {**rule, "when": 'inside("nowhere")'}), 422, "/when", words="no geofence")
    named = api.call("POST", "/v1/rules", rule)
    check("rule that names it", named.status == 201, named)
    problem("geofence delete without If-Match", api.call("DELETE", path), 428)
    problem("geofence in use", api.call("DELETE", path, headers={"If-Match": put.headers["ETag"]}), 409, words="in-" + name)
    away = api.call("PUT", "/v1/rules/in-" + name, {**rule, "when": "rpm > 1"}, {"If-Match": named.headers["ETag"]})
    check("rule that names it no more", away.status == 200, away)
    back = api.call("PUT", "/v1/rules/in-" + name, rule, {"If-Match": away.headers["ETag"]})
    problem("geofence in use again", api.call("DELETE", path, headers={"If-Match": put.headers["ETag"]}), 409)
    check("rule deleted", api.call("DELETE", "/v1/rules/in-" + name, headers={"If-Match": back.headers["ETag"]}).status == 204)
    check("geofence deleted", api.call("DELETE", path, headers={"If-Match": put.headers["ETag"]}).status == 204)
    problem("geofence is gone", api.call("GET", path), 404)
    problem("and no rule may name it", api.call("POST", "/v1/rules", rule), 422, "/when", words="no geofence")




def rules(api, type_name):
    name = "hot-" + RUN
    doc = {"name": name, "select": "type=" + type_name, "when": "temperature > 80.1", "severity": "critical", "summary": "{{device}} is hot", "mode": "active"}
    made = api.call("POST", "/v1/rules", doc)
    check("rule made", made.status == 201 and {k: made.json[k] for k in doc} == doc and made.json["version"] == 1, made)
    problem("rule again", api.call("POST", "/v1/rules", doc), 409)
    problem("rule that does not parse", api.call("POST", "/v1/rules", {**doc, "name": "x", "when": "temperature >"}), 422, "/when", words="column")
    problem("rule with an unknown field", api.call("POST", "/v1/rules", {**doc, "name": "x", "wehn": "1"}), 422, "/wehn")
    problem("rule without name", api.call("POST", "/v1/rules", {"when": "rpm > 1"}), 422, "/name")
    path = "/v1/rules/" + name
    got = api.call("GET", path)
    problem("rule without If-Match", api.call("PUT", path, doc), 428)
    problem("rule, wrong ETag", api.call("PUT", path, doc, {"If-Match": '"9"'}), 412)
    put = api.call("PUT", path, {**got.json, "summary": "hot"}, {"If-Match": got.headers["ETag"]})
    check("rule changed", put.status == 200 and put.json["version"] == 2 and put.json["summary"] == "hot", put)
    patch = api.call("PATCH", path, {"mode": "disabled", "for": "2m"}, {"If-Match": put.headers["ETag"]})
    check("rule patched", patch.status == 200 and patch.json["mode"] == "disabled" and patch.json["for"] == "2m", patch)
    undone = api.call("PATCH", path, {"mode": "active", "for": None}, {"If-Match": patch.headers["ETag"]})
    check("null removes a member", undone.status == 200 and "for" not in undone.json, undone)
    problem("rule renamed", api.call("PATCH", path, {"name": "y"}, {"If-Match": undone.headers["ETag"]}), 422, "/name")
    problem("rule delete without If-Match", api.call("DELETE", path), 428)
    check("rules listed", name in [r["name"] for r in every(api, "/v1/rules?limit=1")])
    problem("no such rule", api.call("GET", "/v1/rules/none"), 404)
    return name, undone.headers["ETag"]


ALERT = {"id", "rule", "device", "group", "severity", "state", "since", "fired_at", "resolved_at", "value", "summary", "acknowledged_by"}


def alerts_by_sql(sql, device, rule):
    sql(f"INSERT INTO alerts (id, rule_id, rule, device_id, severity, state, since, fired_at, value, summary, explain) SELECT i, r.id, r.name, d.id, 'critical',"
        f" CASE i WHEN 1 THEN 'firing' WHEN 9 THEN 'retracted' ELSE 'resolved' END, to_timestamp({BASE_MS / 1000}) + i * interval '1 s',"
        f" to_timestamp({BASE_MS / 1000}) + i * interval '1 s', 81, 'hot', '{{\"temperature\":81}}' FROM generate_series(1, 9) i, rules r, devices d"
        f" WHERE r.name = '{rule}' AND d.name = '{device}'")
    sql("INSERT INTO alert_events (alert_id, kind, ts) VALUES (1, 'firing', now())")


def wait_for(what, seconds, found):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = found()
        if got:
            return got
        time.sleep(0.05)
    check(what, False, f"not within {seconds} s")
    return None


def alerts(api, device, rule, with_core):
    query = f"/v1/alerts?rule={rule}&device={device}"
    if with_core:
        now = int(time.time() * 1000)
        sent = api.call("POST", "/v1/telemetry?device=" + device, [{"ts": now - 1000, "values": {"temperature": 95}}, {"ts": now, "values": {"temperature": 96}}])
        check("hot telemetry", sent.status == 200, sent)
    listed = wait_for("an alert", 5, lambda: every(api, query + "&limit=2"))
    if listed is None:
        return
    one = listed[-1] if not with_core else listed[0]
    check("alert has its fields", ALERT <= set(one), one)
    check("alert is of the rule and the device", one["rule"] == rule and one["device"] == device and one["severity"] == "critical" and one["group"] is None, one)
    if not with_core:
        check("retracted is not listed", [a["id"] for a in listed] == [8, 7, 6, 5, 4, 3, 2, 1], [a["id"] for a in listed])
        check("retracted when asked for", [a["id"] for a in every(api, query + "&state=retracted")] == [9])
        check("by time", [a["id"] for a in every(api, f"{query}&from={BASE_MS + 3000}&to={BASE_MS + 5000}")] == [4, 3])
    check("by state", every(api, query + "&state=firing")[0]["state"] == "firing")
    check("by severity", every(api, query + "&severity=minor,warning") == [])
    check("by selector", every(api, f"/v1/alerts?rule={rule}&select=name%3D{device}") == listed)
    problem("state is words", api.call("GET", "/v1/alerts?state=a'b"), 400)
    firing = every(api, query + "&state=firing")[0]
    full = api.call("GET", f"/v1/alerts/{firing['id']}")
    check("alert with events", full.status == 200 and full.json["events"][0]["kind"] == "firing" and "explain" in full.json, full)
    for id_ in ("0", "-1", "x", "99999999999999999999", "4611686018427387904"):
        problem("no alert " + id_, api.call("GET", "/v1/alerts/" + id_), 404)
    problem("ack with a wrong field", api.call("POST", f"/v1/alerts/{firing['id']}/ack", {"commnet": "x"}), 422, "/commnet")
    ack = api.call("POST", f"/v1/alerts/{firing['id']}/ack", {"comment": "on my way"})
    if with_core:
        check("acknowledged", ack.status == 200 and ack.json["acknowledged_by"], ack)
    else:
        problem("no core, no acknowledgement", ack, 503)


def alert_life(api, device, rule, with_core):
    id_ = every(api, f"/v1/alerts?rule={rule}&device={device}&state=firing")[0]["id"]
    life = f"/v1/alerts/{id_}/"
    for verb, body, pointer in (("comment", {}, "/comment"), ("comment", {"comment": ""}, "/comment"), ("assign", {}, "/to"), ("assign", {"to": 5}, "/to"),
                                ("shelve", {}, "/until"), ("shelve", {"for": "5 minutes"}, "/for"), ("shelve", {"for": "400d"}, "/for"),
                                ("shelve", {"until": "yesterday"}, "/until"), ("unshelve", {"why": "x"}, "/why")):
        problem(f"{verb} with {body}", api.call("POST", life + verb, body), 422, pointer)
        problem(f"{verb} of no alert", api.call("POST", f"/v1/alerts/4611686018427387904/{verb}", body), 404)
    if not with_core:
        problem("without the core nothing is done", api.call("POST", life + "comment", {"comment": "x"}), 503)
        return
    got = api.call("POST", life + "assign", {"to": "ann", "comment": "yours"})
    check("assigned", got.status == 200 and got.json["assigned_to"] == "ann", got)
    check("assigned to nobody", api.call("POST", life + "assign", {"to": None}).json["assigned_to"] is None)
    got = api.call("POST", life + "shelve", {"for": "10m"})
    check("shelved", got.status == 200 and got.json["shelved_by"] and got.json["shelved_until"], got)
    check("unshelved", api.call("POST", life + "unshelve").json["shelved_until"] is None)
    kinds = [e["kind"] for e in api.call("POST", life + "comment", {"comment": "seen"}).json["events"]]
    check("the history has it all", kinds[-5:] == ["assigned", "assigned", "shelved", "unshelved", "comment"], kinds)


def channels(api):
    name, secret = "ops-" + RUN, "a secret of this run " + RUN
    body = {"name": name, "kind": "webhook", "config": {"url": "https://hooks.example.com/x"}, "secret": secret}
    for wrong, pointer in (({"kind": "pigeon"}, "/kind"), ({"secret": None}, "/secret"), ({"secret": 5}, "/secret"), ({"config": {"url": "gopher://x/"}}, "/config/url"),
                           ({"digest_window": 5}, "/digest_window"), ({"colour": "red"}, "/colour"), ({"name": "a b"}, "/name")):
        problem(f"channel with {wrong}", api.call("POST", "/v1/channels", {**body, **wrong}), 422, pointer)
    made = api.call("POST", "/v1/channels", body)
    path = "/v1/channels/" + name
    if not check("channel made", made.status == 201 and made.headers["Location"] == path and made.json["secret_set"] is True, made):
        return
    problem("a second one", api.call("POST", "/v1/channels", body), 409)
    read = api.call("GET", path)
    check("read without its secret", read.json["config"] == body["config"] and "secret" not in read.json and secret not in str(read), read)
    check("listed", name in [c["name"] for c in every(api, "/v1/channels?limit=1")])
    problem("put without If-Match", api.call("PUT", path, body), 428)
    problem("put of another version", api.call("PUT", path, body, {"If-Match": '"999"'}), 412)
    problem("put of another name", api.call("PUT", path, {**body, "name": "x"}, {"If-Match": read.headers["ETag"]}), 422, "/name")
    back = {k: v for k, v in read.json.items()}
    put = api.call("PUT", path, {**back, "enabled": False}, {"If-Match": read.headers["ETag"]})
    check("what was read can be put back; the secret stays", put.status == 200 and put.json["secret_set"] is True and put.json["enabled"] is False, put)
    test = api.call("POST", path + "/test")
    check("test is taken", test.status == 202 and test.json["event"] == "test", test)
    seen = api.call("GET", f"/v1/notifications/{test.json['id']}")
    check("and has its row", seen.status == 200 and seen.json["channel"] == name and "history" in seen.json, seen)
    check("listed by channel", [n["id"] for n in every(api, "/v1/notifications?channel=" + name)] == [test.json["id"]])
    check("none of another state", every(api, f"/v1/notifications?channel={name}&state=digested") == [])
    problem("no notification", api.call("GET", "/v1/notifications/4611686018427387904"), 404)
    problem("alert is a number", api.call("GET", "/v1/notifications?alert=x"), 404)
    problem("no channel to test", api.call("POST", "/v1/channels/none/test"), 404)
    problem("deleted without If-Match", api.call("DELETE", path), 428)
    check("deleted", api.call("DELETE", path, headers={"If-Match": put.headers["ETag"]}).status == 204)
    problem("gone", api.call("GET", path), 404)


def silences(api):
    for wrong, pointer in (({}, "/expires_at"), ({"expires_in": "1h", "comment": None}, "/comment"), ({"expires_in": "1h", "select": "a=="}, "/select"),
                           ({"expires_at": "2001-01-01T00:00:00Z", "starts_at": "2000-12-31T00:00:00Z"}, "/expires_at"),
                           ({"expires_in": "1h", "while": {"rule": "r", "on": "x"}}, "/while/on"), ({"expires_in": "1h", "every": "1d"}, "/window")):
        problem(f"silence with {wrong}", api.call("POST", "/v1/silences", {"comment": "c", **wrong}), 422, pointer)
    made = api.call("POST", "/v1/silences", {"select": "site=" + RUN, "severity": ["minor"], "expires_in": "1h", "comment": "run " + RUN})
    if not check("silence made", made.status == 201 and made.json["owner"] and made.json["expires_at"] and "expires_in" not in made.json, made):
        return
    path = made.headers["Location"]
    check("silence read", api.call("GET", path).json == made.json)
    check("in force", made.json["id"] in [s["id"] for s in every(api, "/v1/silences?active=true&limit=1")])
    problem("active is a boolean", api.call("GET", "/v1/silences?active=1"), 400)
    ended = api.call("DELETE", path)
    check("ended", ended.status == 200 and ended.json["ended_by"], ended)
    problem("ended once", api.call("DELETE", path), 409)
    check("no longer in force, but kept", made.json["id"] not in [s["id"] for s in every(api, "/v1/silences?active=true")] and api.call("GET", path).status == 200)
    problem("no silence", api.call("DELETE", "/v1/silences/4611686018427387904"), 404)


def commands(api, device, with_core):
    path = f"/v1/devices/{device}/commands"
    made = api.call("POST", path, {"method": "stop", "params": {"hard": True, "x": 0.1}, "expires_in": "60s"}, {"Idempotency-Key": "k-" + RUN})
    check("command", made.status == 202 and made.json["state"] == "queued", made)
    check("command Location", made.headers["Location"] == f"/v1/commands/{made.json['id']}")
    got = api.call("GET", made.headers["Location"])
    check("command read", got.status == 200 and {"id", "device", "method", "params", "state", "result", "history"} <= set(got.json)
          and got.json["params"] == {"hard": True, "x": 0.1} and got.json["history"][0]["state"] == "queued", got)
    if with_core:
        again = api.call("POST", path, {"method": "stop", "params": {"hard": True, "x": 0.1}, "expires_in": "60s"}, {"Idempotency-Key": "k-" + RUN})
        check("the same key gives the same command", again.status == 202 and again.json["id"] == made.json["id"], again)
        problem("the same key for another command", api.call("POST", path, {"method": "stop", "params": {}}, {"Idempotency-Key": "k-" + RUN}), 422)
    problem("method of another type", api.call("POST", path, {"method": "fly"}), 422, "/method")
    for body, pointer in (({}, "/method"), ({"method": 1}, "/method"), ({"method": "stop", "params": []}, "/params"), ({"method": "stop", "expires_in": "0s"}, "/expires_in"),
                          ({"method": "stop", "expires_in": 60}, "/expires_in"), ({"method": "stop", "parms": {}}, "/parms")):
        problem(f"command {body}", api.call("POST", path, body), 422, pointer)
    problem("long wait", api.call("POST", path + "?wait=61s", {"method": "stop"}), 400)
    problem("bad key", api.call("POST", path, {"method": "stop"}, {"Idempotency-Key": "a b"}), 400)
    problem("command for nobody", api.call("POST", "/v1/devices/none/commands", {"method": "stop"}), 404)
    started = time.monotonic()
    waited = api.call("POST", path + "?wait=1s", {"method": "stop"})
    took = time.monotonic() - started
    check("wait runs out", waited.status == 202 and waited.json["state"] == "queued" and 0.9 < took < 3, f"{waited} after {took:.2f} s")
    check("commands listed", [c["id"] for c in every(api, path + "?limit=1")] == [waited.json["id"], made.json["id"]])
    check("commands by state", every(api, path + "?state=failed") == [])
    problem("no such command", api.call("GET", "/v1/commands/4611686018427387904"), 404)
    if with_core:
        gone = api.call("POST", f"/v1/commands/{made.json['id']}/cancel")
        check("cancelled", gone.status == 200 and gone.json["state"] == "cancelled", gone)
        problem("cancelled again", api.call("DELETE", f"/v1/commands/{made.json['id']}"), 409)


class Stream:
    """An event stream, as EventSource reads it."""

    def __init__(self, api, query="", headers=None, token_in_query=False):
        self.connection = http.client.HTTPConnection(api.host, api.port, timeout=20)
        sent = {} if token_in_query else {"Authorization": "Bearer " + api.token}
        sent.update(headers or {})
        query += ("&" if query else "") + "access_token=" + api.token if token_in_query else ""
        self.connection.request("GET", "/v1/events" + ("?" + query if query else ""), headers=sent)
        self.response = self.connection.getresponse()

    def lines(self):
        block = []
        while True:
            line = self.response.readline().decode()
            if not line:
                return block
            if line == "\n":
                return block
            block.append(line.rstrip("\n"))

    def next(self):
        """The next event as (id, kind, data); comments and retry are passed over."""
        while True:
            block = self.lines()
            if not block:
                return None
            fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
            if "data" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])

    def close(self):
        self.connection.close()


def streams_alone(api, sql, harness, device):
    sql(f"INSERT INTO events SELECT i, now(), CASE i % 3 WHEN 0 THEN 'alert.firing' WHEN 1 THEN 'command.sent' ELSE 'device.online' END,"
        f" CASE WHEN i % 2 = 0 THEN (SELECT id FROM devices WHERE name = '{device}') END, json_build_object('n', i) FROM generate_series(1, 2000) i")
    replay = Stream(api, "since=0")
    check("stream", replay.response.status == 200 and replay.response.headers["Content-Type"] == "text/event-stream", replay.response.headers)
    check("retry", replay.lines() == ["retry: 3000"])
    for i in range(2001, 2101):
        sql_event(sql, harness, i)
    got = [replay.next() for _ in range(2100)]
    check("replay, then live, without gap or repeat", [g[0] for g in got] == list(range(1, 2101)), [g[0] for g in got][:10])
    check("data", got[4][2] == {"n": 5} and got[4][1] == "device.online", got[4])
    replay.close()
    for query, want in (("since=1990&kind=alert", [1992, 1995, 1998]), ("since=1990&kind=alert.firing,command.sent", [1992, 1993, 1995]),
                        (f"since=1990&device={device}", [1992, 1994, 1996]), (f"since=1990&select=name%3D{device}", [1992, 1994, 1996])):
        s = Stream(api, query)
        ids = [s.next()[0] for _ in range(3)]
        check("stream with " + query, ids == want, ids)
        s.close()
    s = Stream(api, headers={"Last-Event-ID": "2098"})
    check("Last-Event-ID", [s.next()[0] for _ in range(2)] == [2099, 2100])
    sql_event(sql, harness, 2101)
    check("then live", s.next()[0] == 2101)
    s.close()
    s = Stream(api, token_in_query=True)
    time.sleep(0.3)
    sql_event(sql, harness, 2102)
    check("token in the query, from now on", s.next()[0] == 2102)
    s.close()
    sql("DELETE FROM events WHERE id <= 1000")
    s = Stream(api, "since=500")
    reset = s.next()
    check("reset", reset[0] == 1000 and reset[1] == "reset", reset)
    check("after it the oldest", s.next()[0] == 1001)
    s.close()
    s = Stream(api, "since=999999")
    check("an id from elsewhere", s.next()[1] == "reset")
    s.close()
    slow_reader(api, sql, harness)
    problem("since is an id", api.call("GET", "/v1/events?since=-5"), 400)
    problem("stream of nobody", api.call("GET", "/v1/events?device=none"), 404)
    problem("stream as JSON", api.call("GET", "/v1/events", headers={"Accept": "application/json"}), 406)
    s = Stream(api)
    s.lines()
    started = time.monotonic()
    check("keep-alive", s.lines() == [": keep-alive"] and 10 < time.monotonic() - started < 18, time.monotonic() - started)
    s.close()


def sql_event(sql, harness, i, size=0):
    sql(f"INSERT INTO events VALUES ({i}, now(), 'alert.firing', NULL, json_build_object('n', {i}, 'pad', repeat('x', {size})))")
    harness(f"event {i}")


def slow_reader(api, sql, harness):
    """A client that does not read for a while gets everything all the same: from the table, when its buffer was too small."""
    s = Stream(api, "since=2102")
    s.lines()
    time.sleep(0.3)
    sql("INSERT INTO events SELECT i, now(), 'alert.firing', NULL, json_build_object('n', i, 'pad', repeat('x', 20000)) FROM generate_series(2103, 2402) i")
    for i in range(2103, 2403):
        harness(f"event {i}")
    time.sleep(0.5)
    ids = [s.next()[0] for _ in range(300)]
    check("a slow reader misses nothing", ids == list(range(2103, 2403)), ids[:5])
    s.close()


def streams_with_core(api, device):
    s = Stream(api, "kind=alert,command&device=" + device)
    s.lines()
    made = api.call("POST", f"/v1/devices/{device}/commands", {"method": "stop"})
    event = s.next()
    check("an event of the command", event is not None and event[1].startswith("command."), event)
    api.call("DELETE", f"/v1/commands/{made.json['id']}")
    again = s.next()
    check("and of its end", again is not None and again[0] > event[0], again)
    s.close()
    s = Stream(api, f"since={event[0] - 1}&kind=alert,command&device={device}")
    check("the same again from the table", s.next()[:2] == event[:2])
    s.close()


def wait_for_command(api, sql, harness, device):
    """?wait ends with the event, not with the time."""
    import threading
    result = {}

    def ask():
        started = time.monotonic()
        result["answer"] = api.call("POST", f"/v1/devices/{device}/commands?wait=20s", {"method": "stop"})
        result["took"] = time.monotonic() - started

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1)
    id_ = every(api, f"/v1/devices/{device}/commands?limit=1")[0]["id"]
    sql(f"UPDATE commands SET state = 'succeeded', result = '{{\"ok\":true}}' WHERE id = {id_}")
    harness(f"final {id_}")
    thread.join()
    check("wait ends with the command", result["answer"].json["state"] == "succeeded" and result["answer"].json["result"] == {"ok": True} and result["took"] < 5,
          f"{result['answer']} {result['took']}")


def work_orders(api, sql, device, rule):
    if sql is not None:
        sql(f"INSERT INTO work_orders (id, rule_id, rule, device_id, alert_id, title, opened_at) SELECT 1, r.id, r.name, d.id, 1, 'Inspect', now()"
            f" FROM rules r, devices d WHERE r.name = '{rule}' AND d.name = '{device}'")
        listed = every(api, f"/v1/maintenance/work-orders?device={device}&state=open")
        check("work orders", [w["title"] for w in listed] == ["Inspect"], listed)
        problem("close wrongly", api.call("POST", "/v1/maintenance/work-orders/1/close", {"state": "lost"}), 422, "/state")
        closed = api.call("POST", "/v1/maintenance/work-orders/1/close", b"")
        check("work order closed", closed.status == 200 and closed.json["state"] == "done" and closed.json["closed_by"], closed)
        problem("closed twice", api.call("POST", "/v1/maintenance/work-orders/1/close", {"state": "cancelled"}), 409)
        check("work order read", api.call("GET", "/v1/maintenance/work-orders/1").json["state"] == "done")
    check("work orders list", api.call("GET", "/v1/maintenance/work-orders").status == 200)
    problem("no such work order", api.call("GET", "/v1/maintenance/work-orders/4611686018427387904"), 404)


def logs(api, sql):
    if sql is not None:
        sql("INSERT INTO rejected_messages (received_at, device, topic, reason, pointer, detail, payload, size) VALUES"
            " (now(), 'd', 't', 'malformed', '/a', 'x', '{\"a\":'::bytea, 5), (now(), 'd', 't', 'malformed', '', '', '\\xff00fe', 3)")
        kept = every(api, "/v1/rejected?device=d&limit=1")
        check("rejected", kept[0]["id"] > kept[1]["id"] and kept[0]["payload_base64"] == "/wD+" and kept[1]["payload"] == '{"a":', kept)
    actions = {a["action"] for a in every(api, f"/v1/audit?from=-1h&limit=1000")}
    want = {"device-type.create", "device-type.update", "device.create", "device.update", "device.delete", "device.import", "credential.create",
            "credential.revoke", "rule.create", "rule.update", "geofence.create", "geofence.update", "geofence.delete"}
    check("audit has every change", want <= actions, want - actions)
    check("audit by action", {a["action"] for a in every(api, "/v1/audit?action=rule&limit=1000")} <= {"rule.create", "rule.update", "rule.delete"})


def limited_tokens(api, sql, harness_restart, device):
    """Tokens with few scopes, and one that sees some devices only."""
    import hashlib
    def make(name, scopes, selector=""):
        token = f"sba_{name}_{RUN}_0123456789012345"
        digest = hashlib.sha256(token.encode()).hexdigest()
        sql(f"INSERT INTO api_tokens (name, hash, scopes, selector) VALUES ('{name}', '\\x{digest}', '{{{scopes}}}', '{selector}')")
        return token
    reader = make("reader", "devices:read")
    local = make("local", "devices:read,devices:write,telemetry:read,rules:write,commands:write", "site=plant-" + RUN)
    harness_restart()
    problem("reader cannot write", api.call("POST", "/v1/devices", {"name": "x"}, token=reader), 403, words="devices:write")
    problem("reader cannot see readings", api.call("GET", f"/v1/devices/{device}/readings", token=reader), 403)
    problem("audit is for admins", api.call("GET", "/v1/audit", token=local), 403)
    check("local sees its device", api.call("GET", "/v1/devices/" + device, token=local).status == 200)
    problem("local does not see others", api.call("GET", f"/v1/devices/i-9-{RUN}", token=local), 404)
    check("local lists its own", [d["name"] for d in api.call("GET", "/v1/devices", token=local).json["items"]] == [device])
    check("local sees its alerts", api.call("GET", "/v1/alerts", token=local).json["items"] != [])
    problem("local sees no alert of others", api.call("GET", f"/v1/devices/i-9-{RUN}/latest", token=local), 404)
    problem("local cannot write geofences", api.call("POST", "/v1/geofences", {}, token=local), 403)
    problem("local cannot silence", api.call("POST", "/v1/silences", {}, token=local), 403)
    problem("local cannot change channels", api.call("POST", "/v1/channels", {}, token=local), 403)
    check("local sees notifications of its devices only", all(n["device"] == device for n in api.call("GET", "/v1/notifications", token=local).json["items"]))
    problem("reader sees no channels", api.call("GET", "/v1/channels", token=reader), 403)
    problem("local cannot write rules", api.call("POST", "/v1/rules", {}, token=local), 403)
    problem("local cannot make others", api.call("POST", "/v1/devices", {"name": "o-" + RUN, "labels": {"site": "x"}}, token=local), 403)
    problem("local cannot move its device out", api.call("PATCH", "/v1/devices/" + device, {"labels": {"site": "x"}}, token=local), 403)
    mine = api.call("POST", "/v1/devices", {"name": "o-" + RUN, "labels": {"site": "plant-" + RUN}}, token=local)
    check("local makes its own", mine.status == 201, mine)
    body = f'{{"name":"p-{RUN}","labels":{{"site":"x"}}}}\n{{"name":"q-{RUN}","labels":{{"site":"plant-{RUN}"}}}}\n{{"name":"i-9-{RUN}"}}\n'.encode()
    got = api.call("POST", "/v1/devices/import", body, {"Content-Type": "application/x-ndjson"}, token=local)
    check("local imports its own", got.status == 200 and (got.json["created"], got.json["failed"]) == (1, 2), got)


def documented(api, document):
    """Every path of the document answers with something else than 404 for the path itself or 405."""
    for path, methods in document["paths"].items():
        for method in methods:
            if method in ("get", "post", "put", "patch", "delete") and path != "/v1/events":
                got = api.call(method.upper(), path.replace("{name}", "none").replace("{id}", "4611686018427387904"), headers={"Accept": "*/*"})
                wrong = got.status == 405 or (got.status == 404 and b"nothing at this path" in got.body)
                check(f"documented {method} {path}", not wrong, got)


# ---- main -------------------------------------------------------------------------------------------


class Harness:
    def __init__(self, program, database, folder):
        self.program, self.database = program, database
        self.ca = [os.path.join(folder, "ca.pem"), os.path.join(folder, "ca.key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=test ca",
                        "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.ca[1], "-out", self.ca[0]], check=True, capture_output=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, self.database, "0", *self.ca], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = {}
        for line in self.process.stdout:
            words = line.split()
            said[words[0]] = words[-1]
            if words[0] == "ready":
                break
        self.base, self.token = "http://127.0.0.1:" + said["port"], said["token"]

    def line(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.wait(timeout=30)
        check("the harness stops in order", self.process.returncode == 0 and "stopped" in rest, self.process.returncode)


def run(api, sql, harness):
    with_core = harness is None
    document = pages(api)
    abuse(api)
    type_name = types(api)
    device = devices(api, type_name)
    imports(api, type_name)
    token = credentials(api, device, not with_core)
    if with_core:
        store_by_http(api, device, token)
    else:
        store_by_sql(sql, device)
        harness.stop()
        harness.start()  # metrics are read at the start
        api = Api(harness.base, harness.token)
    readings(api, device)
    geofences(api)
    rule, tag = rules(api, type_name)
    if not with_core:
        alerts_by_sql(sql, device, rule)
    alerts(api, device, rule, with_core)
    alert_life(api, device, rule, with_core)
    channels(api)
    silences(api)
    commands(api, device, with_core)
    if with_core:
        streams_with_core(api, device)
    else:
        wait_for_command(api, sql, harness.line, device)
        streams_alone(api, sql, harness.line, device)
    work_orders(api, sql, device, rule)
    logs(api, sql)
    if not with_core:
        def restart():
            harness.stop()
            harness.start()
            api.port, api.token = int(harness.base.rsplit(":", 1)[1]), harness.token
        limited_tokens(api, sql, restart, device)
    documented(api, document)
    check("rule deleted", api.call("DELETE", "/v1/rules/" + rule, headers={"If-Match": tag}).status == 204)
    problem("rule is gone", api.call("GET", "/v1/rules/" + rule), 404)
    brute_force(api)
    if harness is not None:
        left = Stream(api)  # a stop ends open streams
        harness.stop()
        left.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="URL of a running server")
    parser.add_argument("--token", help="its admin token")
    parser.add_argument("--harness", help="program system_api_server")
    parser.add_argument("--database", help="connection string of an empty database, for the harness")
    options = parser.parse_args()
    if options.harness:
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            harness = Harness(options.harness, options.database, folder)

            def sql(text):
                return subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", options.database, "-c", text], check=True, capture_output=True,
                                      text=True).stdout
            run(Api(harness.base, harness.token), sql, harness)
    else:
        run(Api(options.base, options.token), None, None)
    print(f"api_contract: {COUNT - len(FAILED)} of {COUNT} checks passed")
    sys.exit(1 if FAILED else 0)


main()
