"""A client that plays both sides of every exchange: QoS 2, properties, wills, sessions that last. Bytes by hand, as in mqtt.py."""
import socket
import struct
from collections import namedtuple

from mqtt import Client, Closed, packet, text, varint

Message = namedtuple("Message", "topic payload qos retain dup packet_id properties")

U8, U16, U32, VARINT, TEXT, BYTES, PAIR = range(7)
PROPERTIES = {0x01: U8, 0x02: U32, 0x03: TEXT, 0x08: TEXT, 0x09: BYTES, 0x0B: VARINT, 0x23: U16, 0x26: PAIR, 0x18: U32, 0x11: U32,
              0x21: U16, 0x27: U32, 0x17: U8, 0x12: TEXT, 0x13: U16, 0x1F: TEXT, 0x22: U16, 0x24: U8, 0x25: U8, 0x28: U8, 0x29: U8,
              0x2A: U8}


def take_varint(data):
    value, shift, at = 0, 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, data[at:]


def take_text(data):
    n = struct.unpack(">H", data[:2])[0]
    return data[2 : 2 + n], data[2 + n :]


def take_properties(data):
    """{id: [values in order]}, and what follows."""
    length, data = take_varint(data)
    left, rest, found = data[:length], data[length:], {}
    while left:
        kind = PROPERTIES[left[0]]
        id, left = left[0], left[1:]
        if kind == VARINT:
            value, left = take_varint(left)
        elif kind in (TEXT, BYTES):
            value, left = take_text(left)
            value = value.decode() if kind == TEXT else value
        elif kind == PAIR:
            name, left = take_text(left)
            value, left = take_text(left)
            value = (name.decode(), value.decode())
        else:
            size = {U8: 1, U16: 2, U32: 4}[kind]
            value, left = int.from_bytes(left[:size], "big"), left[size:]
        found.setdefault(id, []).append(value)
    return found, rest


def expiry(seconds):
    """Session expiry for CONNECT."""
    return b"\x11" + struct.pack(">I", seconds)


class Peer(Client):
    """A session that lasts has `expires` (seconds) and clean=False."""

    def __init__(self, port, ca, client_id, token=None, version=5, clean=True, expires=None, properties=b"", **more):
        if version == 5 and expires is not None:
            properties = expiry(expires) + properties
        super().__init__(port, ca, client_id, token, version=version, clean=clean, properties=properties, **more)

    def ask(self, head, body, kind):
        self.send(packet(head, body))
        return self.wait(kind)[1]

    def id(self):
        id, self.next_id = self.next_id, self.next_id % 65535 + 1
        return id

    def put_without_waiting(self, topic, payload, qos=1, retain=False):
        """The packet identifier; the acknowledgement is the caller's to wait for."""
        id = self.id()
        body = text(topic) + struct.pack(">H", id) + (b"\0" if self.version == 5 else b"") + payload.encode()
        self.send(packet(0x30 | qos << 1 | (1 if retain else 0), body))
        return id

    def acknowledged_before_ping(self):
        """The acknowledgements that are there when a PINGREQ has been answered."""
        self.ask(0xC0, b"", 13)
        return [body for head, body in self.later if head >> 4 in (4, 5)]

    def put(self, topic, payload, qos=1, retain=False, properties=b"", dup=False, packet_id=None):
        """The whole exchange; the reason code of PUBACK or PUBREC."""
        payload = payload.encode() if isinstance(payload, str) else payload
        id = packet_id or self.id()
        body = text(topic) + (struct.pack(">H", id) if qos else b"")
        if self.version == 5:
            body += varint(len(properties)) + properties
        self.send(packet(0x30 | qos << 1 | (1 if retain else 0) | (8 if dup else 0), body + payload))
        if qos == 0:
            return 0
        ack = self.wait(4 if qos == 1 else 5)[1]
        reason = ack[2] if len(ack) > 2 else 0
        assert struct.unpack(">H", ack[:2])[0] == id, "an acknowledgement of another packet"
        if qos == 2 and reason < 0x80:
            self.release(id)
        return reason

    def release(self, id):
        done = self.ask(0x62, struct.pack(">H", id), 7)
        assert struct.unpack(">H", done[:2])[0] == id, "PUBCOMP of another packet"

    def sub(self, *filters, qos=1, options=0, identifier=None):
        """Reason codes; options: no local 4, retain as published 8, retain handling << 4."""
        properties = b"" if identifier is None else b"\x0b" + varint(identifier)
        body = struct.pack(">H", self.id()) + (varint(len(properties)) + properties if self.version == 5 else b"")
        for f in filters:
            body += text(f) + bytes([qos | options])
        return list(self.ask(0x82, body, 9)[3 if self.version == 5 else 2 :])

    def unsub(self, *filters):
        body = struct.pack(">H", self.id()) + (b"\0" if self.version == 5 else b"")
        answer = self.ask(0xA2, body + b"".join(text(f) for f in filters), 11)
        return list(answer[3:]) if self.version == 5 else [0] * len(filters)

    def read(self, head, body):
        topic, rest = take_text(body)
        qos, packet_id, properties = head >> 1 & 3, None, {}
        if qos:
            packet_id, rest = struct.unpack(">H", rest[:2])[0], rest[2:]
        if self.version == 5:
            properties, rest = take_properties(rest)
        return Message(topic.decode(), rest.decode(errors="replace"), qos, bool(head & 1), bool(head & 8), packet_id, properties)

    def take(self, acknowledge=True):
        """The next message, with the whole exchange of its QoS."""
        m = self.read(*self.wait(3))
        if acknowledge and m.qos == 1:
            self.send(packet(0x40, struct.pack(">H", m.packet_id)))
        if acknowledge and m.qos == 2:
            self.send(packet(0x50, struct.pack(">H", m.packet_id)))
            self.released(m.packet_id)
        return m

    def released(self, id):
        """Waits for this PUBREL and answers it; those of others are kept."""
        others = []
        while True:
            head, body = self.wait(6)
            if struct.unpack(">H", body[:2])[0] == id:
                break
            others.append((head, body))
        self.later += others
        self.send(packet(0x70, struct.pack(">H", id)))

    def until(self, topic, payload):
        """All messages before this one, as (topic, payload)."""
        found = []
        while True:
            m = self.take()
            if (m.topic, m.payload) == (topic, payload):
                return found
            found.append((m.topic, m.payload))

    def abort(self):
        """The connection goes without a DISCONNECT."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def leave(self, expires=None):
        """DISCONNECT; expires: a new session expiry."""
        properties = b"" if expires is None else expiry(expires)
        self.send(packet(0xE0, b"" if expires is None else b"\0" + varint(len(properties)) + properties))
        try:
            while True: # what is under way comes first, then the server closes
                self.receive()
        except (Closed, ConnectionError, OSError):
            pass
        self.socket.close()
