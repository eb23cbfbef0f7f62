#!/usr/bin/env python3
"""The ways in: ALPN, WebSocket, a proxy in front, the open listener. What comes in is the same everywhere."""
import json
import os
import socket
import ssl
import struct
import sys
import time

import websocket
from house import CA, DIR, ENV, MQTT_PORT, api, check, device, finish, lib, metric, sql
from mqtt import Client, packet, text, varint
from websocket import BINARY, CLOSE, CONTINUED, FIN, PING, TEXT, WebSocket, frame

TELEMETRY = "v1/devices/me/telemetry"
OPEN_PORT = int(ENV["SIGNALBOX_OPEN_PORT"])


def dial(port=MQTT_PORT, alpn=None, cert=None, tls=True, before=b""):
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.sendall(before)
    if not tls:
        return raw
    context = ssl.create_default_context(cafile=CA)
    if cert:
        context.load_cert_chain(*cert)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context.wrap_socket(raw, server_hostname="localhost")


def mqtt(sock, client_id, token=None, version=5):
    return Client(MQTT_PORT, CA, client_id, token, version, connected=sock)


def ended(sock):
    """Everything until the end."""
    got = b""
    try:
        while True:
            data = sock.recv(65536)
            if not data:
                return got
            got += data
    except (ConnectionError, ssl.SSLError, TimeoutError) as e:
        return got if not isinstance(e, TimeoutError) else None


def alpn_variants(token):
    for words, offered, selected in (
        ("no ALPN", None, None),
        ("ALPN mqtt", ["mqtt"], "mqtt"),
        ("ALPN of AWS IoT devices", ["x-amzn-mqtt-ca"], "x-amzn-mqtt-ca"),
        ("ALPN that is not ours", ["h2", "acme-tls/1"], None),
        ("both", ["http/1.1", "mqtt"], "mqtt"),
    ):
        sock = dial(alpn=offered)
        check(f"{words}: selected", sock.selected_alpn_protocol(), selected)
        check(f"{words}: a publish is stored", mqtt(sock, "alpn", token).publish(TELEMETRY, '{"a":1}'), 0)


def websocket_variants(token, cert):
    for version in (4, 5):
        for words, arguments, credential in (
            ("WebSocket, ALPN http/1.1", {"alpn": ["http/1.1"]}, token),
            ("WebSocket without ALPN", {}, token),
            ("WebSocket with a certificate", {"cert": cert}, None),
        ):
            c = mqtt(WebSocket(dial(**arguments)), "ws", credential, version)
            check(f"{words}, version {version}: CONNACK", c.connack, 0)
            check(f"{words}, version {version}: a publish is stored", c.publish(TELEMETRY, '{"a":2}'), 0)
            c.send(b"\xc0\x00")
            check(f"{words}, version {version}: PINGRESP", c.wait(13), (0xD0, b""))
            c.send(b"\xe0\x00")
            check(f"{words}, version {version}: DISCONNECT ends it with Close", (c.closed(), c.socket.close_code), (None, 1000))


def websocket_streams(token):
    ws = WebSocket(dial())
    c = mqtt(ws, "stream", token)
    publish = [packet(0x32, text(TELEMETRY) + struct.pack(">H", 100 + i) + b"\0" + b'{"a":%d}' % i) for i in range(20)]
    ws.sendall(b"".join(publish[:10]))
    check("ten packets in one frame: ten acknowledgements", [struct.unpack(">H", c.wait(4)[1][:2])[0] for _ in range(10)], list(range(100, 110)))
    raw = b"".join(publish[10:])
    parts = [raw[i : i + 7] for i in range(0, len(raw), 7)]
    for i, part in enumerate(parts):
        head = (BINARY if i == 0 else CONTINUED) | (FIN if i == len(parts) - 1 else 0)
        ws.sock.sendall(frame(head, part) + (frame(FIN | PING, b"between %d" % i) if i % 5 == 0 else b""))
    check("ten packets in fragments of seven bytes", [struct.unpack(">H", c.wait(4)[1][:2])[0] for _ in range(10)], list(range(110, 120)))
    check("of the pings between the fragments the last is answered", b"between %d" % ((len(parts) - 1) // 5 * 5) in ws.pongs, True)
    big = json.dumps({f"metric_{i}": i for i in range(6000)})
    check("a message of many reads", (len(big) > 65536, c.publish(TELEMETRY, big)), (True, 0))
    check("a filter", c.subscribe("v1/devices/me/rpc/request/+"), [1])
    api("POST", "/v1/devices/ways/commands", {"method": "beep", "params": {"long": "x" * 3000}})
    topic, payload = c.message()
    check("a command comes down", (topic.startswith("v1/devices/me/rpc/request/"), json.loads(payload)["method"]), (True, "beep"))


def websocket_endings(token):
    for words, data, code in (
        ("a text frame", frame(FIN | TEXT, packet(0xC0, b"")), 1003),
        ("an unmasked frame", frame(FIN | BINARY, packet(0xC0, b""), mask=False), 1002),
        ("a reserved bit", frame(FIN | 0x40 | BINARY, b"x"), 1002),
        ("a reserved opcode", frame(FIN | 0x3, b"x"), 1002),
        ("a continuation of nothing", frame(FIN | CONTINUED, b"x"), 1002),
        ("the client's Close", frame(FIN | CLOSE, struct.pack(">H", 1001) + b"going away"), 1001),
        ("the client's Close without a code", frame(FIN | CLOSE, b""), 0),
    ):
        ws = WebSocket(dial())
        c = mqtt(ws, "end", token)
        check(f"{words}: up before", c.connack, 0)
        ws.sock.sendall(data)
        check(f"{words}: Close {code}", (ws.recv(), ws.close_code, ended(ws.sock)), (b"", code, b""))


def no_websocket(cert):
    for words, path, fields, status in (
        ("another path", "/", {}, 404),
        ("no upgrade", "/mqtt", {"Upgrade": None, "Connection": None}, 426),
        ("another version", "/mqtt", {"Sec-WebSocket-Version": "12"}, 426),
        ("no key", "/mqtt", {"Sec-WebSocket-Key": None}, 400),
        ("no subprotocol", "/mqtt", {"Sec-WebSocket-Protocol": None}, 400),
        ("another subprotocol", "/mqtt", {"Sec-WebSocket-Protocol": "wamp"}, 400),
        ("a head without end", "/mqtt", {"X": "x" * 9000}, 431),
    ):
        sock = dial()
        got, answer, body = websocket.request(sock, path, fields)
        body += ended(sock) or b""
        check(f"{words}: {status} with a sentence, and the end", (got, len(body) == int(answer["Content-Length"]) > 10), (status, True))
    page = {"Origin": "https://evil.example"}
    check("a page of another host may not use a client certificate", websocket.request(dial(cert=cert), fields=page)[0], 403)
    check("but come with a token of its own", websocket.request(dial(), fields=page)[0], 101)
    check("and not to the open listener", websocket.request(dial(OPEN_PORT, tls=False), fields=page)[0], 403)
    sock = dial(OPEN_PORT, tls=False)
    sock.sendall(b"BREW /mqtt HTTP/1.1\r\n\r\n")
    check("what is neither HTTP nor MQTT is closed", ended(sock), b"")


def open_listener():
    for version in (4, 5):
        for words, wrap in (("plain", lambda s: s), ("WebSocket", WebSocket)):
            c = mqtt(wrap(dial(OPEN_PORT, tls=False)), "anyone", None, version)
            check(f"open listener, {words}, version {version}: nobody is asked who they are", c.connack, 0)
            nobody_listens = 0x10 if version == 5 else 0  # taken, and the publisher is told [section 3.4.2.1]
            check(f"open listener, {words}, version {version}: any topic", c.publish("any/topic", "hello"), nobody_listens)
    c = mqtt(dial(OPEN_PORT, tls=False), "large", None)
    largest = 268435455 if os.environ.get("SIGNALBOX_FULL") else 20_000_000
    head = text("large") + b"\0\x07\0"
    c.send(b"\x32" + varint(largest) + head)
    part = b"x" * 65536
    for at in range(len(head), largest, len(part)):
        c.send(part[: largest - at])
    c.socket.settimeout(120)
    check(f"open listener: a packet of {largest} bytes", c.wait(4)[1][:2], b"\0\x07")
    c.disconnect()
    warned = open(os.path.join(DIR, "server.log")).read().count('"open_listener"')
    check("and the log is loud about it", warned >= 1, True)
    if os.environ.get("SIGNALBOX_FULL"):
        until = time.monotonic() + 90
        while open(os.path.join(DIR, "server.log")).read().count('"open_listener"') == warned and time.monotonic() < until:
            time.sleep(1)
        check("again and again", open(os.path.join(DIR, "server.log")).read().count('"open_listener"') > warned, True)


def before_authentication(token):
    """connect_timeout is 2 s now. A WebSocket is no way around it, nor around 16 KiB."""
    big = "x" * 20000
    check("a CONNECT of 20,000 bytes in a WebSocket", mqtt(WebSocket(dial()), big, token).connack in (0x95, 0x85, None), True)
    silent = WebSocket(dial())
    pings = WebSocket(dial())
    half = dial()
    half.sendall(b"GET /mqtt HTTP/1.1\r\nHost: l")
    began = time.monotonic()
    for _ in range(10):
        pings.sock.sendall(frame(FIN | PING, b"still here"))
        time.sleep(0.1)
    check("silence after the upgrade is closed", (silent.recv(), ended(silent.sock)), (b"", b""))
    check("pings buy no time", pings.recv(), b"")
    check("half a request is closed", ended(half), b"")
    answers = [mqtt(dial(), "flaps", token).connack for _ in range(40)]
    check("a device that is cut off again and again is let in at first and then refused with 0x97", (answers[0], sorted(set(answers))), (0, [0, 0x97]))
    polite = device("polite")
    for _ in range(40):
        c = mqtt(dial(), "polite", polite)
        answers.append(c.connack)
        c.disconnect()
    check("one that leaves as it should is not", set(answers[40:]), {0})
    other = device("does-not-flap")
    check("another device is not", mqtt(dial(), "calm", other).connack, 0)
    check("all within the limit", time.monotonic() - began < 15, True)


def head(address="192.0.2.7", port=40312, command=0x21, more=b""):
    body = socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 8883) + more
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x11]) + struct.pack(">H", len(body)) + body


def proxied(token):
    log = os.path.join(DIR, "server.log")
    c = mqtt(dial(before=head()), "proxied", token)
    check("behind a proxy: CONNACK and PUBACK", (c.connack, c.publish(TELEMETRY, '{"a":3}')), (0, 0))
    check("with TLVs", mqtt(dial(before=head(more=b"\x01\x00\x04mqtt" + b"\x04\x01\x00" + bytes(256))), "tlv", token).connack, 0)
    check("a health check of the proxy's own", mqtt(dial(before=head(command=0x20)), "local", token).connack, 0)
    check("WebSocket behind it", mqtt(WebSocket(dial(before=head())), "both", token).connack, 0)
    mqtt(dial(before=head("198.51.100.9", 555)), "nobody", "wrong-token")
    check("the log has the client's address", '"peer":"198.51.100.9:555"' in open(log).read(), True)
    for words, before in (("version 1", b"PROXY TCP4 192.0.2.7 127.0.0.1 40312 8883\r\n"), ("no head", b"")):
        try:
            sock = dial(before=before)
            check(f"{words} is refused", sock is None, True)
        except (ConnectionError, ssl.SSLError) as e:
            check(f"{words} is refused", isinstance(e, Exception), True)
    waiting = [dial(before=head()) for _ in range(3)]
    try:
        dial(before=head())
        over = False
    except (ConnectionError, ssl.SSLError):
        over = True
    check("the limit for each source counts the client", over, True)
    check("another client is let in", mqtt(dial(before=head("192.0.2.8")), "other", token).connack, 0)
    for w in waiting:
        w.close()


def main():
    token = device("ways")
    issued = api("POST", "/v1/devices/ways/credentials", {"kind": "certificate"})
    cert = os.path.join(DIR, "ways.pem"), os.path.join(DIR, "ways.key")
    open(cert[0], "w").write(issued["certificate"])
    open(cert[1], "w").write(issued["private_key"])
    alpn_variants(token)
    websocket_variants(token, cert)
    websocket_streams(token)
    websocket_endings(token)
    no_websocket(cert)
    open_listener()
    check("what came through each way is in the database",
          sql("SELECT count(*) > 0 FROM reading_values WHERE device = 'ways'"), "t")
    lib("stop_server")
    lib("start_server", "connect_timeout=2s", "connects_per_device=1", "proxy_protocol_from=")
    before_authentication(token)
    lib("stop_server")
    lib("start_server", "connect_timeout=10s", "connects_per_device=0", "proxy_protocol_from=127.0.0.0/8", "connections_per_source_max=3")
    proxied(token)
    check("no protocol error was made up", metric("protocol_errors_total"), 0)
    return finish()


sys.exit(main())
