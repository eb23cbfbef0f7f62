"""A WebSocket client's frames by hand (RFC 6455), with the face of a socket: what Client of mqtt.py needs."""
import base64
import hashlib
import os
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG, FIN = 0, 1, 2, 8, 9, 10, 0x80


class Refused(Exception):
    """The answer was not 101: its status."""


def frame(head, payload, mask=True):
    n = len(payload)
    size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
    if not mask:
        return bytes([head]) + size + payload
    key = os.urandom(4)
    masked = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    return bytes([head, size[0] | 0x80]) + size[1:] + key + masked


def request(sock, path="/mqtt", fields=None):
    """Asks for a WebSocket; returns status, header lines and what followed the head."""
    key = base64.b64encode(os.urandom(16))
    lines = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key.decode(),
             "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "mqtt", **(fields or {})}
    head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None) + "\r\n"
    sock.sendall(head.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        data = sock.recv(65536)
        if not data:
            break
        got += data
    head, _, rest = got.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
    answer = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    if status == 101:
        want = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert answer["Sec-WebSocket-Accept"] == want, "Sec-WebSocket-Accept is wrong"
        assert answer["Sec-WebSocket-Protocol"] == "mqtt", "the subprotocol is not mqtt"
    return status, answer, rest


class WebSocket:
    """sendall() sends one binary frame, recv() gives the payload of the next ones; `close_code` when the server said Close."""

    def __init__(self, sock, path="/mqtt", fields=None):
        self.sock, self.buffer, self.close_code, self.pongs = sock, b"", None, []
        status, _, rest = request(sock, path, fields)
        if status != 101:
            raise Refused(status)
        self.buffer = rest

    def sendall(self, data):
        self.sock.sendall(frame(FIN | BINARY, data))

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def _need(self, n):
        while len(self.buffer) < n:
            data = self.sock.recv(65536)
            if not data:
                return False
            self.buffer += data
        return True

    def frame(self):
        """Head byte and payload of the next frame, or None at the end."""
        if not self._need(2):
            return None
        assert not self.buffer[1] & 0x80, "a server must not mask"
        n, at = self.buffer[1], 2
        if n == 126:
            if not self._need(4):
                return None
            n, at = struct.unpack(">H", self.buffer[2:4])[0], 4
        elif n == 127:
            if not self._need(10):
                return None
            n, at = struct.unpack(">Q", self.buffer[2:10])[0], 10
        if not self._need(at + n):
            return None
        head, payload, self.buffer = self.buffer[0], self.buffer[at : at + n], self.buffer[at + n :]
        return head, payload

    def recv(self, _size=0):
        while True:
            got = self.frame()
            if got is None:
                return b""
            head, payload = got
            if head == FIN | BINARY and payload:
                return payload
            if head == FIN | PONG:
                self.pongs.append(payload)
            elif head == FIN | CLOSE:
                self.close_code = struct.unpack(">H", payload[:2])[0] if payload else 0
                return b""
            elif head not in (FIN | BINARY, FIN | PING):
                raise AssertionError(f"frame {head:#x} of a server")

    def close(self):
        self.sock.close()
