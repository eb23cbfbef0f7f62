#!/usr/bin/env python3
"""Who is told of alerts: a web server, a mail server and two syslog receivers, on loopback, that write down what they get.

    receivers.py FOLDER     writes FOLDER/ports once it listens: http smtp udp tcp; then a line of JSON for each message to
                            FOLDER/http, FOLDER/smtp, FOLDER/udp, FOLDER/tcp

The web server answers 200, on /redirect 302, on /refuse 400, and 503 on /busy as long as FOLDER/busy exists; /slow takes 20 ms.
It verifies the signature with the secret in FOLDER/secret. Python's standard library only; nothing is shared with the server.
"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import socket
import socketserver
import sys
import threading
import time

FOLDER = sys.argv[1]
LOCK = threading.Lock()


def note(kind, **what):
    with LOCK, open(os.path.join(FOLDER, kind), "a", encoding="utf-8") as out:
        out.write(json.dumps(what) + "\n")


def exists(name):
    return os.path.exists(os.path.join(FOLDER, name))


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        ident, stamp = self.headers["Webhook-Id"], self.headers["Webhook-Timestamp"]
        with open(os.path.join(FOLDER, "secret"), encoding="utf-8") as file:
            key = file.read().strip().encode()
        mac = hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signed = self.headers["Webhook-Signature"] == "v1," + base64.b64encode(mac).decode()
        fresh = abs(time.time() - int(stamp)) < 300
        status = {"/redirect": 302, "/refuse": 400, "/busy": 503 if exists("busy") else 200}.get(self.path, 200)
        note("http", path=self.path, id=ident, good=signed and fresh, status=status, body=json.loads(body))
        if self.path == "/slow":
            time.sleep(0.02)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        note("http", path=self.path, id=None, good=False, status=200, body=None)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    """Just enough of RFC 5321."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        sender, recipients = "", []
        self.say("220 sink.example")
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            word = line[:4].upper()
            if word in ("EHLO", "HELO"):
                self.say("250 sink.example")
            elif word == "MAIL":
                sender = line[10:].split()[0]
                self.say("250 ok")
            elif word == "RCPT":
                recipients.append(line[8:])
                self.say("550 nobody" if "nobody@" in line else "250 ok")
            elif word == "DATA":
                self.say("354 go on")
                lines = []
                for data in self.rfile:
                    if data == b".\r\n":
                        break
                    lines.append(data[1:] if data.startswith(b".") else data)
                note("smtp", sender=sender, recipients=recipients, text=b"".join(lines).decode())
                self.say("250 taken")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


class Lines(socketserver.StreamRequestHandler):
    """Octet counting of RFC 6587."""

    def handle(self):
        while True:
            count = b""
            while not count.endswith(b" "):
                byte = self.rfile.read(1)
                if not byte:
                    return
                count += byte
            note("tcp", text=self.rfile.read(int(count)).decode())


def datagrams(udp):
    while True:
        note("udp", text=udp.recv(65536).decode())


class Threaded(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a sender that is killed in the middle is what is tested


def main():
    servers = [Server(("127.0.0.1", 0), Web), Threaded(("127.0.0.1", 0), Mail), Threaded(("127.0.0.1", 0), Lines)]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=datagrams, args=(udp,), daemon=True).start()
    web, mail, tcp = (server.server_address[1] for server in servers)
    with open(os.path.join(FOLDER, "ports.new"), "w", encoding="utf-8") as out:
        out.write(f"{web} {mail} {udp.getsockname()[1]} {tcp}\n")
    os.rename(os.path.join(FOLDER, "ports.new"), os.path.join(FOLDER, "ports"))
    parent = os.getppid()
    while os.getppid() == parent:  # ends with the test
        time.sleep(0.5)


main()
