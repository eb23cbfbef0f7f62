"""MQTT 3.1.1 and 5.0 by hand-written bytes: one connection without TLS, properties as a dictionary, and a deadline on every wait."""
import socket
import struct
import time

from mqtt import packet, text, varint

PATIENCE = 30
U8, U16, U32, VAR, STR, BIN, PAIR = "u8", "u16", "u32", "varint", "string", "binary", "pair"
PROPERTIES = {
    "format": (0x01, U8), "expiry": (0x02, U32), "content_type": (0x03, STR), "response_topic": (0x08, STR), "correlation": (0x09, BIN),
    "identifier": (0x0B, VAR), "session_expiry": (0x11, U32), "assigned": (0x12, STR), "server_keep_alive": (0x13, U16),
    "method": (0x15, STR), "data": (0x16, BIN), "problem_info": (0x17, U8), "will_delay": (0x18, U32), "response_info": (0x19, U8),
    "response_information": (0x1A, STR), "server_reference": (0x1C, STR), "reason_string": (0x1F, STR), "receive_maximum": (0x21, U16),
    "alias_maximum": (0x22, U16), "alias": (0x23, U16), "maximum_qos": (0x24, U8), "retain_available": (0x25, U8), "user": (0x26, PAIR),
    "maximum_packet": (0x27, U32), "wildcard_available": (0x28, U8), "identifiers_available": (0x29, U8), "shared_available": (0x2A, U8),
}
KINDS = {number: (name, kind) for name, (number, kind) in PROPERTIES.items()}
MANY = ("user", "identifier")  # may be there more than once: lists


def encode(kind, value):
    if kind == PAIR:
        return text(value[0]) + text(value[1])
    if kind in (STR, BIN):
        return text(value)
    return varint(value) if kind == VAR else struct.pack({U8: ">B", U16: ">H", U32: ">I"}[kind], value)


def properties(values):
    raw = b""
    for name, value in (values or {}).items():
        number, kind = PROPERTIES[name]
        for one in value if isinstance(value, list) else [value]:
            raw += bytes([number]) + encode(kind, one)
    return varint(len(raw)) + raw


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        assert self.at <= len(self.data), "the packet ends too early"
        return self.data[self.at - n : self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def varint(self):
        value = shift = 0
        while True:
            b = self.number(1)
            value |= (b & 0x7F) << shift
            shift += 7
            if not b & 0x80:
                return value

    def text(self):
        return self.take(self.number(2)).decode()

    def rest(self):
        return self.take(len(self.data) - self.at)

    def properties(self):
        end = self.varint() + self.at
        values = {}
        while self.at < end:
            name, kind = KINDS[self.number(1)]
            value = {U8: lambda: self.number(1), U16: lambda: self.number(2), U32: lambda: self.number(4), VAR: self.varint, STR: self.text,
                     BIN: lambda: self.take(self.number(2)), PAIR: lambda: (self.text(), self.text())}[kind]()
            assert name in MANY or name not in values, f"{name} twice"
            if name in MANY:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return values


class Ended(Exception):
    """The server closed; .reason is that of its DISCONNECT, or None."""

    def __init__(self, reason):
        super().__init__(f"ended, reason {reason if reason is None else hex(reason)}")
        self.reason = reason


class Peer:
    """will: dict of topic, payload, qos, retain, props. Packets that come while another is waited for stay in `inbox`."""

    def __init__(self, port, version, client_id, clean=True, keep=60, props=None, will=None, wrap=None):
        self.version, self.client_id, self.inbox, self.buffer, self.next_id = version, client_id, [], b"", 1
        raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = wrap(raw) if wrap else raw
        flags, payload = (2 if clean else 0), text(client_id)
        if will:
            flags |= 4 | will.get("qos", 0) << 3 | (32 if will.get("retain") else 0)
            payload += (properties(will.get("props")) if version == 5 else b"") + text(will["topic"]) + text(will["payload"])
        self.send(packet(0x10, text("MQTT") + bytes([version, flags]) + struct.pack(">H", keep) + self._props(props) + payload))
        kind, body = self.packet()
        assert kind == 0x20, f"{kind:#x} instead of a CONNACK"
        r = Reader(body)
        self.present, self.reason = r.number(1) == 1, r.number(1)
        self.props = r.properties() if version == 5 else {}

    def _props(self, values):
        return properties(values) if self.version == 5 else b""

    def _id(self):
        self.next_id = self.next_id % 65535 + 1
        return self.next_id

    def send(self, data):
        self.socket.sendall(data)

    def packet(self, patience=PATIENCE):
        """Head byte and body of the next packet."""
        until = time.monotonic() + patience
        while True:
            if len(self.buffer) >= 2:
                length, shift, at = 0, 0, 1
                while at < len(self.buffer) and at < 5:
                    length |= (self.buffer[at] & 0x7F) << shift
                    shift, at = shift + 7, at + 1
                    if not self.buffer[at - 1] & 0x80:
                        if len(self.buffer) >= at + length:
                            head, body = self.buffer[0], self.buffer[at : at + length]
                            self.buffer = self.buffer[at + length :]
                            if head == 0xE0:
                                raise Ended(body[0] if body else 0)
                            return head, body
                        break
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("nothing came")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise Ended(None)
            self.buffer += data

    def wait(self, kind):
        """The next packet of this kind (head >> 4); others stay in the inbox."""
        for i, (head, _) in enumerate(self.inbox):
            if head >> 4 == kind:
                return self.inbox.pop(i)
        while True:
            head, body = self.packet()
            if head >> 4 == kind:
                return head, body
            self.inbox.append((head, body))

    # --- out

    def publish(self, topic, payload=b"", qos=0, retain=False, props=None, wait=True, id=None, dup=False):
        """The reason of the PUBACK or of the PUBREC (then PUBREL and PUBCOMP follow)."""
        id = id or self._id()
        self.send(packet(0x30 | (8 if dup else 0) | qos << 1 | retain, text(topic) + (struct.pack(">H", id) if qos else b"") + self._props(props) + payload))
        if qos == 0 or not wait:
            return id
        _, body = self.wait(4 if qos == 1 else 5)
        assert struct.unpack(">H", body[:2])[0] == id, "the acknowledgement of another packet"
        reason = body[2] if len(body) > 2 else 0
        if qos == 2 and reason < 0x80:
            self.send(packet(0x62, struct.pack(">H", id)))
            self.wait(7)
        return reason

    def subscribe(self, *filters, props=None):
        """filters: text, or (text, options). The reasons."""
        pairs = [(f, 2) if isinstance(f, str) else f for f in filters]
        self.send(packet(0x82, struct.pack(">H", self._id()) + self._props(props) + b"".join(text(f) + bytes([o]) for f, o in pairs)))
        r = Reader(self.wait(9)[1])
        r.number(2)
        if self.version == 5:
            r.properties()
        return list(r.rest())

    def unsubscribe(self, *filters):
        self.send(packet(0xA2, struct.pack(">H", self._id()) + self._props(None) + b"".join(text(f) for f in filters)))
        r = Reader(self.wait(11)[1])
        r.number(2)
        if self.version == 5:
            r.properties()
        return list(r.rest())

    def disconnect(self, reason=0, props=None):
        self.send(packet(0xE0, b"" if self.version == 4 else bytes([reason]) + properties(props)))
        try:
            while True:
                self.packet()
        except Ended:
            self.socket.close()

    def drop(self):
        """The connection is lost: no DISCONNECT."""
        self.socket.close()

    # --- in

    def message(self, acknowledge=True):
        """The next PUBLISH as a dictionary; QoS 2 goes its whole way."""
        head, body = self.wait(3)
        r = Reader(body)
        m = {"topic": r.text(), "qos": head >> 1 & 3, "retain": bool(head & 1), "dup": bool(head & 8)}
        m["id"] = r.number(2) if m["qos"] else 0
        m["props"] = r.properties() if self.version == 5 else {}
        m["payload"] = r.rest()
        if acknowledge and m["qos"] == 1:
            self.send(packet(0x40, struct.pack(">H", m["id"])))
        if acknowledge and m["qos"] == 2:
            self.send(packet(0x50, struct.pack(">H", m["id"])))
            while struct.unpack(">H", self.wait(6)[1][:2])[0] != m["id"]:
                pass
            self.send(packet(0x70, struct.pack(">H", m["id"])))
        return m

    def messages(self, until=b"end"):
        """All that comes before the message with this payload."""
        got = []
        while True:
            m = self.message()
            if m["payload"] == until:
                return got
            got.append(m)

    def ended(self):
        """The reason of the DISCONNECT that comes, None when the server just closes."""
        try:
            while True:
                self.packet()
        except Ended as e:
            return e.reason
