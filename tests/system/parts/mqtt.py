"""A small MQTT client over TLS that writes its bytes by hand, so that the server is not tested with its own codec."""
import socket
import ssl
import struct


def text(s):
    b = s.encode() if isinstance(s, str) else s
    return struct.pack(">H", len(b)) + b


def varint(n):
    out = b""
    while True:
        n, low = n >> 7, n & 0x7F
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


def packet(head, body):
    return bytes([head]) + varint(len(body)) + body


class Closed(Exception):
    pass


class Will:
    def __init__(self, topic, payload, qos=0, retain=False, properties=b""):
        self.topic, self.payload, self.qos, self.retain, self.properties = topic, payload, qos, retain, properties

    def flags(self):
        return 0x04 | self.qos << 3 | (0x20 if self.retain else 0)

    def body(self, version):
        properties = varint(len(self.properties)) + self.properties if version == 5 else b""
        return properties + text(self.topic) + text(self.payload)


class Client:
    """version 4 (3.1.1) or 5. `connack` has the reason code, or is None when the server closed without one. will: a Will.
    connected: a socket, or what has its face, instead of a new connection over TLS."""

    def __init__(self, port, ca, client_id, token=None, version=5, clean=True, cert=None, keep_alive=60, timeout=10, properties=b"",
                 will=None, connected=None):
        self.version = version
        self.socket = connected or self.dial(port, ca, cert, timeout)
        self.buffer = b""
        self.next_id = 1
        self.later = []  # packets that came while another was waited for
        flags = (0x02 if clean else 0) | (0x80 if token is not None else 0) | (will.flags() if will else 0)
        body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", keep_alive)
        if version == 5:
            body += varint(len(properties)) + properties
        body += text(client_id) + (will.body(version) if will else b"") + (text(token) if token is not None else b"")
        self.send(packet(0x10, body))
        self.connack, self.session_present = None, None
        try:
            head, body = self.receive()
            if head >> 4 == 2:
                self.session_present, self.connack = body[0], body[1]
        except (Closed, ConnectionError, ssl.SSLError):
            pass

    @staticmethod
    def dial(port, ca, cert, timeout):
        context = ssl.create_default_context(cafile=ca)
        if cert:
            context.load_cert_chain(*cert)
        raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(raw, server_hostname="localhost")

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next packet: head byte and body."""
        while True:
            done = self._take()
            if done:
                return done
            data = self.socket.recv(65536)
            if not data:
                raise Closed()
            self.buffer += data

    def _take(self):
        length, shift, at = 0, 0, 1
        while at < len(self.buffer):
            b = self.buffer[at]
            length |= (b & 0x7F) << shift
            shift += 7
            at += 1
            if not b & 0x80:
                if len(self.buffer) < at + length:
                    return None
                head, body = self.buffer[0], self.buffer[at : at + length]
                self.buffer = self.buffer[at + length :]
                return head, body
        return None

    def wait(self, kind):
        """The next packet of a type; others are kept in `later`."""
        for i, (head, body) in enumerate(self.later):
            if head >> 4 == kind:
                del self.later[i]
                return head, body
        while True:
            head, body = self.receive()
            if head >> 4 == kind:
                return head, body
            self.later.append((head, body))

    def publish(self, topic, payload, qos=1, dup=False, packet_id=None, properties=b"", wait=True):
        """QoS 1: the reason code of the PUBACK (0 in 3.1.1)."""
        payload = payload.encode() if isinstance(payload, str) else payload
        if packet_id is None:
            packet_id, self.next_id = self.next_id, self.next_id % 65535 + 1
        body = text(topic) + (struct.pack(">H", packet_id) if qos else b"")
        if self.version == 5:
            body += varint(len(properties)) + properties
        self.send(packet(0x30 | qos << 1 | (8 if dup else 0), body + payload))
        if not qos or not wait:
            return packet_id
        head, ack = self.wait(4)
        assert struct.unpack(">H", ack[:2])[0] == packet_id, "PUBACK of another packet"
        return ack[2] if len(ack) > 2 else 0

    def subscribe(self, *filters, qos=1):
        packet_id, self.next_id = self.next_id, self.next_id % 65535 + 1
        body = struct.pack(">H", packet_id) + (b"\0" if self.version == 5 else b"")
        for f in filters:
            body += text(f) + bytes([qos])
        self.send(packet(0x82, body))
        _, ack = self.wait(9)
        return list(ack[3 if self.version == 5 else 2 :])

    def message(self):
        """The next PUBLISH: topic, payload; QoS 1 is acknowledged."""
        head, body = self.wait(3)
        n = struct.unpack(">H", body[:2])[0]
        topic, rest = body[2 : 2 + n].decode(), body[2 + n :]
        if head >> 1 & 3:
            packet_id, rest = rest[:2], rest[2:]
            self.send(packet(0x40, packet_id))
        if self.version == 5:
            length, shift = 0, 0
            while True:
                b, rest = rest[0], rest[1:]
                length |= (b & 0x7F) << shift
                shift += 7
                if not b & 0x80:
                    break
            rest = rest[length:]
        return topic, rest

    def closed(self):
        """Waits for the end; the reason code of a DISCONNECT that came before, or None."""
        reason = None
        try:
            while True:
                head, body = self.receive()
                if head >> 4 == 14:
                    reason = body[0] if body else 0
        except (Closed, ConnectionError, ssl.SSLError):
            return reason

    def disconnect(self):
        self.send(packet(0xE0, b""))
        self.socket.close()
