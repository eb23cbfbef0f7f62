#!/usr/bin/env python3
"""Clients that people use, as they are: each connects, publishes at each QoS, takes a command and answers it.

Over TLS and in a WebSocket, with a token and with a certificate, in MQTT 3.1.1 and 5.0.
"""
import json
import os
import ssl
import subprocess
import sys
import threading
import time

import paho.mqtt.client as paho

from house import CA, DIR, MQTT_PORT, ROOT, api, check, device, finish, sql

TELEMETRY, REQUESTS = "v1/devices/me/telemetry", "v1/devices/me/rpc/request/+"
PATIENCE = 40


def own_device(name):
    """A device with its token and the files of a certificate."""
    token = device(name)
    issued = api("POST", f"/v1/devices/{name}/credentials", {"kind": "certificate"})
    cert, key = os.path.join(DIR, name + ".pem"), os.path.join(DIR, name + ".key")
    open(cert, "w").write(issued["certificate"])
    open(key, "w").write(issued["private_key"])
    return token, (cert, key)


def stored(words, name, metrics):
    until, want = time.monotonic() + PATIENCE, sorted(metrics)
    query = f"SELECT coalesce(string_agg(DISTINCT metric, ' ' ORDER BY metric), '') FROM reading_values WHERE device = '{name}'"
    while sql(query).split() != want and time.monotonic() < until:
        time.sleep(0.1)
    check(words, sql(query).split(), want)


def with_command(words, name, run):
    """run() answers the command that waits for it; returns what the device printed."""
    id = api("POST", f"/v1/devices/{name}/commands", {"method": "greet", "params": {"from": "operator"}, "expires_in": "120s"})["id"]
    said = run()
    check(f"{words}: the command arrives as it was sent", said, {"method": "greet", "params": {"from": "operator"}})
    until = time.monotonic() + PATIENCE
    while (state := api("GET", f"/v1/commands/{id}")["state"]) in ("queued", "sent", "delivered") and time.monotonic() < until:
        time.sleep(0.05)
    check(f"{words}: its answer too", state, "succeeded")


def program(words, command):
    p = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if p.returncode != 0:
        return f"{words}: exit code {p.returncode}: {p.stderr.strip()[-300:]}"
    return json.loads(p.stdout)


def ways(client):
    """Each way in: words, URL scheme, version, credential as arguments."""
    name = client.replace(" ", "-").replace(".", "-").lower()
    token, cert = own_device(name)
    for scheme, way in (("tls", "TLS"), ("ws", "WebSocket")):
        for version in (4, 5):
            for words, credential in (("token", [token]), ("certificate", list(cert))):
                yield name, f"{client}, {way}, {'3.1.1' if version == 4 else '5.0'}, {words}", scheme, version, credential


# --- mosquitto's programs ------------------------------------------------------------------------------------------------


def mosquitto():
    name = "mosquitto"
    token, (cert, key) = own_device(name)
    for version in ("mqttv311", "mqttv5"):
        for words, credential in (("token", ["-u", token]), ("certificate", ["--cert", cert, "--key", key])):
            common = ["-h", "localhost", "-p", str(MQTT_PORT), "--cafile", CA, "-V", version, *credential]
            for qos in (0, 1, 2):
                p = subprocess.run(["mosquitto_pub", *common, "-q", str(qos), "-t", TELEMETRY, "-m", '{"%s_qos_%d":1}' % (version, qos)],
                                   capture_output=True, text=True, timeout=PATIENCE)
                check(f"mosquitto_pub, {version}, {words}, QoS {qos}", (p.returncode, p.stderr), (0, ""))

            def receive():
                p = subprocess.run(["mosquitto_sub", *common, "-q", "1", "-t", REQUESTS, "-C", "1", "-W", "30", "-v"],
                                   capture_output=True, text=True, timeout=PATIENCE)
                topic, payload = p.stdout.strip().split(" ", 1)
                subprocess.run(["mosquitto_pub", *common, "-q", "1", "-t", topic.replace("request", "response"), "-m", "{}"], check=True, timeout=PATIENCE)
                return json.loads(payload)

            with_command(f"mosquitto_sub, {version}, {words}", name, receive)
    stored("mosquitto: all is stored", name, [f"{v}_qos_{q}" for v in ("mqttv311", "mqttv5") for q in (0, 1, 2)])


# --- Eclipse Paho ----------------------------------------------------------------------------------------------------------


def paho_c():
    client = os.path.join(DIR, "paho_client")
    for name, words, scheme, version, credential in ways("Paho C"):
        uri = f"ssl://localhost:{MQTT_PORT}" if scheme == "tls" else f"wss://localhost:{MQTT_PORT}/mqtt"
        with_command(words, name, lambda: program(words, [client, uri, str(version), CA, *credential]))
    stored("Paho C: all is stored", name, [f"paho_c_{v}_qos_{q}" for v in (4, 5) for q in (0, 1, 2)])


def paho_python_client(scheme, version, credential):
    c = paho.Client("paho-python", protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311, transport="websockets" if scheme == "ws" else "tcp")
    if len(credential) == 2:
        c.tls_set(CA, certfile=credential[0], keyfile=credential[1])
    else:
        c.tls_set(CA)
        c.username_pw_set(credential[0])
    return c


def paho_python():
    def run():
        commands, got, subscribed = [], threading.Event(), threading.Event()
        c = paho_python_client(scheme, version, credential)
        c.on_message = lambda c, _, m: (commands.append(m), got.set())
        c.on_subscribe = lambda *_: subscribed.set()
        c.connect("localhost", MQTT_PORT, keepalive=30)
        c.loop_start()
        for qos in (0, 1, 2):
            c.publish(TELEMETRY, '{"paho_python_%d_qos_%d":1}' % (version, qos), qos).wait_for_publish(PATIENCE)
        c.subscribe(REQUESTS, 1)
        check(f"{words}: SUBACK and the command", (subscribed.wait(PATIENCE), got.wait(PATIENCE)), (True, True))
        c.publish(commands[0].topic.replace("request", "response"), "{}", 1).wait_for_publish(PATIENCE)
        c.disconnect()
        c.loop_stop()
        return json.loads(commands[0].payload)

    for name, words, scheme, version, credential in ways("Paho Python"):
        with_command(words, name, run)
    stored("Paho Python: all is stored", name, [f"paho_python_{v}_qos_{q}" for v in (4, 5) for q in (0, 1, 2)])


# --- MQTT.js ---------------------------------------------------------------------------------------------------------------


def mqtt_js():
    folder = os.environ.get("MQTT_JS")
    if not folder:
        print("skip MQTT.js: " + os.environ.get("MQTT_JS_WHY", "not there"))
        return
    for name, words, scheme, version, credential in ways("MQTT.js"):
        url = f"mqtts://localhost:{MQTT_PORT}" if scheme == "tls" else f"wss://localhost:{MQTT_PORT}/mqtt"
        with_command(words, name, lambda: program(words, ["node", f"{ROOT}/tests/system/parts/mqttjs.js", folder, url, str(version), CA, *credential]))
    stored("MQTT.js: all is stored", name, [f"mqtt_js_{v}_qos_{q}" for v in (4, 5) for q in (0, 1, 2)])


# --- the device API in the order in which ThingsBoard's Python client does things -------------------------------------------


def device_api():
    token = device("sdk", attributes={"interval": 30, "unused": 1})
    inbox, changed = [], threading.Condition()

    def arrived(_c, _u, m):
        with changed:
            inbox.append((m.topic, json.loads(m.payload)))
            changed.notify_all()

    def wait_for(prefix):
        with changed:
            changed.wait_for(lambda: any(t.startswith(prefix) for t, _ in inbox), PATIENCE)
            found = [(t, p) for t, p in inbox if t.startswith(prefix)]
            inbox.clear()
        return found[0] if found else None

    c = paho.Client("", protocol=paho.MQTTv311)  # its client identifier is empty unless asked for
    c.tls_set(CA, cert_reqs=ssl.CERT_REQUIRED, tls_version=ssl.PROTOCOL_TLSv1_2)
    c.username_pw_set(token)
    c.on_message = arrived
    granted = []
    c.on_subscribe = lambda _c, _u, mid, qos: granted.append(qos)
    up = threading.Event()
    c.on_connect = lambda _c, _u, _f, rc: rc == 0 and up.set()
    c.connect("localhost", MQTT_PORT, keepalive=120)
    c.loop_start()
    check("device API: connected", up.wait(PATIENCE), True)
    for topic in ("v1/devices/me/attributes", "v1/devices/me/attributes/response/+", "v1/devices/me/rpc/request/+", "v1/devices/me/rpc/response/+"):
        c.subscribe(topic, qos=1)
    until = time.monotonic() + PATIENCE
    while len(granted) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    check("its four filters are granted", granted, [(1,)] * 4)

    def send(topic, value):
        return c.publish(topic, json.dumps(value), qos=1).wait_for_publish(PATIENCE)

    now = int(time.time() * 1000) + 2000  # newer than what has no time of its own
    send(TELEMETRY, {"temperature": 41.9, "enabled": False})
    send(TELEMETRY, [{"temperature": 42.0}, {"humidity": 65}])
    send(TELEMETRY, {"ts": now, "values": {"temperature": 42.2, "mode": "auto"}})
    send(TELEMETRY, [{"ts": now - 2000, "values": {"temperature": 42.3}}, {"ts": now - 1000, "values": {"temperature": 42.4}}])
    latest = {i["metric"]: i["value"] for i in api("GET", "/v1/devices/sdk/latest")["items"]}
    check("telemetry in each of its forms", latest, {"temperature": 42.2, "humidity": 65, "enabled": False, "mode": "auto"})
    send("v1/devices/me/attributes", {"firmware": "2.1", "serial": 77})
    send("v1/devices/me/attributes/request/1", {"clientKeys": "firmware,serial", "sharedKeys": "interval"})
    check("request_attributes()", wait_for("v1/devices/me/attributes/response/"),
          ("v1/devices/me/attributes/response/1", {"client": {"firmware": "2.1", "serial": 77}, "shared": {"interval": 30}}))
    id = api("POST", "/v1/devices/sdk/commands", {"method": "getValue", "params": {"pin": 7}, "expires_in": "60s"})["id"]
    topic, request = wait_for("v1/devices/me/rpc/request/") or (None, None)
    check("set_server_side_rpc_request_handler()", (topic, request), (f"v1/devices/me/rpc/request/{id}", {"method": "getValue", "params": {"pin": 7}}))
    send(f"v1/devices/me/rpc/response/{id}", {"value": 3})
    until = time.monotonic() + PATIENCE
    while api("GET", f"/v1/commands/{id}")["state"] != "succeeded" and time.monotonic() < until:
        time.sleep(0.05)
    check("send_rpc_reply()", api("GET", f"/v1/commands/{id}").get("result"), {"value": 3})
    c.disconnect()
    c.loop_stop()


def main():
    for client in (mosquitto, paho_c, paho_python, mqtt_js, device_api):
        client()
    return finish()


sys.exit(main())
