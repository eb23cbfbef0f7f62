"""What the Python system tests share: the API, SQL, checks, and the server of lib.sh."""
import json
import os
import subprocess
import urllib.error
import urllib.request

ROOT = os.environ["SIGNALBOX_ROOT"]
DIR = os.environ["SIGNALBOX_TEST_DIR"]
FAILED = []


def server_env():
    out = subprocess.run(["bash", "-c", '. "$0/server.env"; env -0', DIR], capture_output=True, check=True).stdout
    return dict(item.split("=", 1) for item in out.decode().split("\0") if "=" in item)


ENV = server_env()
CA = os.environ["SIGNALBOX_CA"]
MQTT_PORT = int(ENV["SIGNALBOX_MQTT_PORT"])
BIN = os.environ["SIGNALBOX_BIN"]


def lib(*words):
    subprocess.run(["bash", os.path.join(ROOT, "tests/system/lib.sh"), *words], check=True, stdout=subprocess.DEVNULL)


def check(words, got, want):
    ok = got == want
    print(("ok   " if ok else "FAIL ") + words + ("" if ok else f"\n       got      {got}\n       expected {want}"), flush=True)
    if not ok:
        FAILED.append(words)
    return ok


def request(method, path, body=None, kind="application/json", headers=None, token=None, timeout=60):
    """Status, body (parsed when it is JSON), headers."""
    data = None if body is None else body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    r = urllib.request.Request(ENV["SIGNALBOX_URL"] + path, data, method=method)
    r.add_header("Authorization", "Bearer " + (token or ENV["SIGNALBOX_TOKEN"]))
    if data is not None:
        r.add_header("Content-Type", kind)
    for k, v in (headers or {}).items():
        r.add_header(k, v)
    try:
        with urllib.request.urlopen(r, timeout=timeout) as answer:
            status, raw, got = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as e:
        status, raw, got = e.code, e.read(), e.headers
    try:
        return status, json.loads(raw), got
    except ValueError:
        return status, raw.decode(errors="replace"), got


def api(method, path, body=None, kind="application/json", **more):
    status, answer, _ = request(method, path, body, kind, **more)
    if status >= 400:
        raise SystemExit(f"{method} {path}: {status} {answer}")
    return answer


def sql(query):
    url = open(os.path.join(DIR, "database_url")).read().strip()
    return subprocess.run(["psql", "-X", "-q", "-tA", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", query], capture_output=True, check=True,
                          text=True).stdout.strip()


def device(name, of_type="generic", **fields):
    """A device with a token."""
    api("POST", "/v1/devices", {"name": name, "type": of_type, **fields})
    return api("POST", f"/v1/devices/{name}/credentials", {"kind": "token"})["token"]


def metric(name):
    with urllib.request.urlopen(ENV["SIGNALBOX_URL"] + "/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("signalbox_" + name + " "):
                return int(float(line.split()[1]))
    return None


def finish():
    print(f"{len(FAILED)} failed" if FAILED else "all as promised")
    return 1 if FAILED else 0
