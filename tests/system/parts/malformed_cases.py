"""Packets that break a rule of OASIS MQTT 3.1.1 or 5.0, each with the clause and with what the clause lets a server answer.

A case is what a client sends after its CONNACK (`first`: instead of its CONNECT) and the set of allowed outcomes:

    CLOSED            closed without a word (all that 3.1.1 has)
    0x81, 0x82 …      DISCONNECT with this reason, then closed; for `first` CONNACK with it
    ALIVE             nothing happens, the next PINGREQ is answered
    (head, body)      this packet, and the connection lives

MQTT 5 lets a server close without a word wherever it lets it say why; ours promises to say why once a session is up, so
CLOSED is only in a set where nothing can be said.
"""
import struct
from dataclasses import dataclass

from mqtt import packet, text, varint

CLOSED, ALIVE = "closed", "alive"
MALFORMED, PROTOCOL, UNSUPPORTED_VERSION = 0x81, 0x82, 0x84
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(1, 16)
NAMES = "reserved CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH".split()
FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}


@dataclass(frozen=True)
class Case:
    words: str
    clause: str
    version: int
    data: bytes
    allowed: frozenset
    first: bool = False


CASES = []


def case(words, clause, version, data, allowed, first=False):
    allowed = allowed if isinstance(allowed, (set, frozenset, list, tuple)) and not (isinstance(allowed, tuple) and isinstance(allowed[0], int)) else {allowed}
    if version == 4:  # it has no words for it, but for what a CONNACK can say
        allowed = {CLOSED if isinstance(a, int) and not (first and (a < 6 or a == UNSUPPORTED_VERSION)) else a for a in allowed}
    elif first:  # [MQTT-4.13]: a CONNACK may tell
        allowed = set(allowed) | {CLOSED}
    CASES.append(Case(f"{words}, version {'3.1.1' if version == 4 else '5.0'}", clause, version, data, frozenset(allowed), first))


def both(words, clause, data, allowed, first=False):
    """data: a function of the version, or bytes that mean the same in both."""
    for version in (4, 5):
        case(words, clause, version, data(version) if callable(data) else data, allowed, first)


# --- well-formed packets, field by field --------------------------------------------------------------------------------

def props(version, raw=b""):
    return b"" if version == 4 else varint(len(raw)) + raw


def connect(version, client_id=b"case", flags=0x02, keep=60, raw=b"", payload=b"", name=b"MQTT", level=None, reserved=0):
    body = text(name) + bytes([level or version, flags | reserved]) + struct.pack(">H", keep) + props(version, raw)
    return packet(0x10, body + text(client_id) + payload)


def publish(version, topic=b"a/b", qos=1, raw=b"", payload=b"x", packet_id=7, head=0):
    return packet(0x30 | qos << 1 | head, text(topic) + (struct.pack(">H", packet_id) if qos else b"") + props(version, raw) + payload)


def subscribe(version, topic=b"a/b", options=0, raw=b"", packet_id=7):
    return packet(0x82, struct.pack(">H", packet_id) + props(version, raw) + text(topic) + bytes([options]))


def unsubscribe(version, topic=b"a/b", raw=b"", packet_id=7):
    return packet(0xA2, struct.pack(">H", packet_id) + props(version, raw) + text(topic))


def ack(kind, raw=b"", reason=0, packet_id=7):
    return packet(kind << 4 | FLAGS.get(kind, 0), struct.pack(">H", packet_id) + bytes([reason]) + varint(len(raw)) + raw)


def string(n, s=b"s"):
    return bytes([n]) + text(s)


# --- properties: identifier, a good value, the packets it belongs to (MQTT 5, table 2-4) ---------------------------------

WILL = 16
USER = b"\x26" + text(b"k") + text(b"v")
PROPERTIES = {
    0x01: (b"\x01\x01", {PUBLISH, WILL}),
    0x02: (b"\x02\0\0\0\x3c", {PUBLISH, WILL}),
    0x03: (string(3), {PUBLISH, WILL}),
    0x08: (string(8), {PUBLISH, WILL}),
    0x09: (string(9), {PUBLISH, WILL}),
    0x0B: (b"\x0b\x01", {SUBSCRIBE}),  # and PUBLISH, from a server; 0x1C is in a server's DISCONNECT
    0x11: (b"\x11\0\0\0\x00", {CONNECT, DISCONNECT}),
    0x12: (string(0x12), set()),
    0x13: (b"\x13\0\x3c", set()),
    0x15: (string(0x15), {CONNECT, AUTH}),
    0x16: (string(0x16), {CONNECT, AUTH}),
    0x17: (b"\x17\x01", {CONNECT}),
    0x18: (b"\x18\0\0\0\0", {WILL}),
    0x19: (b"\x19\x01", {CONNECT}),
    0x1A: (string(0x1A), set()),
    0x1C: (string(0x1C), set()),
    0x1F: (string(0x1F), {PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH}),
    0x21: (b"\x21\0\x0a", {CONNECT}),
    0x22: (b"\x22\0\x0a", {CONNECT}),
    0x23: (b"\x23\0\x01", {PUBLISH}),
    0x24: (b"\x24\x01", set()),
    0x25: (b"\x25\x01", set()),
    0x26: (USER, {CONNECT, PUBLISH, WILL, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH}),
    0x27: (b"\x27\0\0\x10\0", {CONNECT}),
    0x28: (b"\x28\x01", set()),
    0x29: (b"\x29\x01", set()),
    0x2A: (b"\x2a\x01", set()),
}
OWNERS = [CONNECT, WILL, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT]
NAMES.append("will")


def carrying(owner, raw):
    """A packet of this kind with these properties; `first` cases are CONNECT and will."""
    if owner == CONNECT:
        return connect(5, raw=raw)
    if owner == WILL:
        return connect(5, flags=0x06, payload=varint(len(raw)) + raw + text(b"w") + text(b"p"))
    if owner == PUBLISH:
        return publish(5, raw=raw)
    if owner == SUBSCRIBE:
        return subscribe(5, raw=raw)
    if owner == UNSUBSCRIBE:
        return unsubscribe(5, raw=raw)
    if owner == DISCONNECT:
        return packet(0xE0, b"\0" + varint(len(raw)) + raw)
    return ack(owner, raw)


def property_cases():
    for owner in OWNERS:
        first = owner in (CONNECT, WILL)
        name = NAMES[owner]
        for number, (good, owners) in PROPERTIES.items():
            if owner not in owners:
                allowed = {(0x0B, PUBLISH): {MALFORMED, PROTOCOL}, (0x1C, DISCONNECT): {CLOSED}}.get((number, owner), {MALFORMED})
                case(f"property {number:#04x} in {name}", "2.2.2.2", 5, carrying(owner, good), allowed, first)
                continue
            if number != 0x26:
                case(f"property {number:#04x} twice in {name}", "2.2.2.2, 3", 5, carrying(owner, good + good), {PROTOCOL, MALFORMED}, first)
            for cut in range(1, len(good)):
                case(f"property {number:#04x} cut after {cut} in {name}", "2.2.2.2", 5, carrying(owner, good[:cut]), {MALFORMED}, first)
        for number in (0x00, 0x04, 0x0A, 0x7F):
            case(f"unknown property {number:#04x} in {name}", "2.2.2.2", 5, carrying(owner, bytes([number, 1])), {MALFORMED}, first)
        case(f"a property identifier of two bytes in {name}", "2.2.2.2", 5, carrying(owner, b"\x80\x01\x00"), {MALFORMED}, first)
    for number, value, words in ((0x21, b"\0\0", "Receive Maximum 0"), (0x27, b"\0\0\0\0", "Maximum Packet Size 0"),
                                 (0x17, b"\x02", "Request Problem Information 2"), (0x19, b"\x02", "Request Response Information 2")):
        case(words, "3.1.2.11", 5, connect(5, raw=bytes([number]) + value), {PROTOCOL, MALFORMED}, True)
    case("no CONNACK fits into the client's Maximum Packet Size", "MQTT-3.1.2-24", 5, connect(5, raw=b"\x27\0\0\0\x02"), {CLOSED}, True)
    case("Authentication Data without a method", "3.1.2.11.10", 5, connect(5, raw=string(0x16)), {PROTOCOL}, True)
    case("an unknown authentication method", "3.1.2.11.9, 4.12", 5, connect(5, raw=string(0x15)), {0x8C}, True)
    case("Payload Format Indicator 2", "3.3.2.3.2", 5, publish(5, raw=b"\x01\x02"), {MALFORMED, PROTOCOL})
    case("Topic Alias 0", "3.3.2.3.4", 5, publish(5, raw=b"\x23\0\0"), {0x94, PROTOCOL})
    case("Topic Alias above the maximum", "3.3.2.3.4", 5, publish(5, raw=b"\x23\xff\xff"), {0x94, PROTOCOL})
    case("Topic Alias nobody gave a topic", "3.3.2.3.4", 5, publish(5, topic=b"", raw=b"\x23\0\x02"), {PROTOCOL, 0x94})
    case("no topic and no alias", "3.3.2.1", 5, publish(5, topic=b""), {PROTOCOL})
    case("a wildcard in the Response Topic", "MQTT-3.3.2-14", 5, publish(5, raw=string(8, b"a/#")), {PROTOCOL, MALFORMED, 0x90})
    case("Subscription Identifier 0", "3.8.2.1.2", 5, subscribe(5, raw=b"\x0b\0"), {PROTOCOL})
    case("Subscription Identifier of five bytes", "3.8.2.1.2", 5, subscribe(5, raw=b"\x0b\xff\xff\xff\xff\x01"), {MALFORMED})
    case("a session that lives longer by its DISCONNECT", "3.14.2.2.2", 5, packet(0xE0, b"\0\x05\x11\0\0\0\x3c"), {PROTOCOL})


# --- every body, cut at every byte, its length adjusted --------------------------------------------------------------------

def whole_packets(version):
    """kind, packet, {legal length of its body: what follows from it}"""
    p = version == 5
    user = USER if p else b""
    n = 1 + len(user) if p else 0
    yield CONNECT, connect(version, flags=0xC6, raw=user, payload=(varint(len(user)) + user if p else b"") + text(b"w") + text(b"p") + text(b"u") + text(b"pw")), {}
    yield PUBLISH, publish(version, raw=user, payload=b"payload"), {7 + n + i: None for i in range(7)}
    yield PUBLISH, publish(version, qos=0, raw=user, payload=b""), {}
    two = text(b"a/b") + b"\0" + text(b"c") + b"\0"
    yield SUBSCRIBE, packet(0x82, b"\0\x07" + props(version, user) + two), {2 + n + 6: None, 2 + n: PROTOCOL}
    two = text(b"a/b") + text(b"c")
    yield UNSUBSCRIBE, packet(0xA2, b"\0\x07" + props(version, user) + two), {2 + n + 5: None, 2 + n: PROTOCOL}
    for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        if p:
            yield kind, ack(kind, user), {2: None, 3: None}
        else:
            yield kind, packet(kind << 4 | FLAGS.get(kind, 0), b"\0\x07"), {}
    if p:
        yield DISCONNECT, packet(0xE0, b"\0" + varint(len(user)) + user), {0: None, 1: None}


def body_of(data):
    at = 1
    while data[at] & 0x80:
        at += 1
    return data[at + 1 :]


def cut_cases():
    for version in (4, 5):
        for kind, data, legal in whole_packets(version):
            body = body_of(data)
            for cut in range(len(body)):
                if legal.get(cut, MALFORMED) is None:
                    continue
                case(f"{NAMES[kind]} {'' if kind != PUBLISH else f'QoS {data[0] >> 1 & 3} '}cut to {cut} of {len(body)} bytes", "1.5, 2.1.4", version,
                     packet(data[0], body[:cut]), {legal.get(cut, MALFORMED)}, kind == CONNECT)
            if kind != PUBLISH:
                longer = {PUBACK: 5 + len(USER), PUBREC: 5 + len(USER), PUBREL: 5 + len(USER), PUBCOMP: 5 + len(USER)}
                case(f"{NAMES[kind]} with a byte too many", "2.1.4" if longer else "", version, packet(data[0], body + b"\0"), {MALFORMED}, kind == CONNECT)
        for kind in (PINGREQ, DISCONNECT):
            if version == 4 or kind == PINGREQ:
                case(f"{NAMES[kind]} with a body", "3.12.1" if kind == PINGREQ else "3.14.1", version, packet(kind << 4, b"\0"), {MALFORMED})


# --- the fixed header ------------------------------------------------------------------------------------------------------

def header_cases():
    samples = {PUBACK: b"\0\x07", PUBREC: b"\0\x07", PUBREL: b"\0\x07", PUBCOMP: b"\0\x07", PINGREQ: b"", DISCONNECT: b""}
    for version in (4, 5):
        bodies = {**samples, SUBSCRIBE: body_of(subscribe(version)), UNSUBSCRIBE: body_of(unsubscribe(version)), CONNECT: body_of(connect(version))}
        for kind, body in bodies.items():
            for flags in range(16):
                if flags != FLAGS.get(kind, 0):
                    case(f"{NAMES[kind]} with flags {flags:04b}", "MQTT-2.1.3-1 (3.1.1: MQTT-2.2.2-1, -2)", version, packet(kind << 4 | flags, body), {MALFORMED},
                         kind == CONNECT)
        for dup in (0, 8):
            for retain in (0, 1):
                case(f"QoS 3, flags {6 | dup | retain:04b}", "MQTT-3.3.1-4", version, publish(version, qos=3, head=dup | retain), {MALFORMED})
        case("DUP with QoS 0", "MQTT-3.3.1-2", version, publish(version, qos=0, head=8), {MALFORMED, PROTOCOL})
        for kind, words in ((0, "reserved type 0"), (15, "reserved type 15")) if version == 4 else ((0, "reserved type 0"),):
            for flags in (0, 2, 15):
                case(f"{words}, flags {flags:04b}", "2.1.2", version, packet(kind << 4 | flags, b""), {MALFORMED, PROTOCOL})
        for kind in (PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT):
            head = bytes([kind << 4 | FLAGS.get(kind, 0)])
            for length in (b"\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\xff\xff"):
                case(f"{NAMES[kind]} with a length of more than four bytes ({length.hex()})", "1.5.5, 2.1.4", version, head + length, {MALFORMED})
        case("a CONNECT with a length of more than four bytes", "1.5.5", version, b"\x10\xff\xff\xff\xff\x01", {MALFORMED}, True)
        for kind in range(16):
            if kind != CONNECT:
                case(f"first packet is {NAMES[kind]}", "MQTT-3.1.0-1", version, packet(kind << 4 | FLAGS.get(kind, 0), bodies.get(kind, b"\0\x07")), {CLOSED}, True)
        case("a second CONNECT", "MQTT-3.1.0-2", version, connect(version), {PROTOCOL})
        for kind in (CONNACK, SUBACK, UNSUBACK, PINGRESP):
            case(f"{NAMES[kind]} from a client", "2.1.2, 4.13", version, packet(kind << 4, b"\0\x07\0" if kind in (SUBACK, UNSUBACK) else b"\0\0" if kind == CONNACK else b""),
                 {PROTOCOL, MALFORMED})
    case("AUTH without an authentication method in CONNECT", "MQTT-4.12.0-6", 5, packet(0xF0, b"\x18\0"), {PROTOCOL})
    for flags in (1, 2, 15):
        case(f"AUTH with flags {flags:04b}", "MQTT-3.15.1-1", 5, packet(0xF0 | flags, b"\x18\0"), {MALFORMED, PROTOCOL})


# --- CONNECT -----------------------------------------------------------------------------------------------------------------

def connect_cases():
    will = lambda v: props(v) + text(b"w") + text(b"p")
    both("CONNECT, reserved flag", "MQTT-3.1.2-3", lambda v: connect(v, reserved=1), {MALFORMED}, True)
    both("will QoS 3", "MQTT-3.1.2-12 (3.1.1: -14)", lambda v: connect(v, flags=0x1E, payload=will(v)), {MALFORMED}, True)
    both("will QoS without a will", "MQTT-3.1.2-11 (3.1.1: -13)", lambda v: connect(v, flags=0x0A), {MALFORMED, PROTOCOL}, True)
    both("will retain without a will", "MQTT-3.1.2-13 (3.1.1: -15)", lambda v: connect(v, flags=0x22), {MALFORMED, PROTOCOL}, True)
    both("a will that is not there", "MQTT-3.1.2-9", lambda v: connect(v, flags=0x06), {MALFORMED}, True)
    both("a user name that is not there", "MQTT-3.1.2-17", lambda v: connect(v, flags=0x82), {MALFORMED}, True)
    both("a password that is not there", "MQTT-3.1.2-19", lambda v: connect(v, flags=0xC2, payload=text(b"u")), {MALFORMED}, True)
    both("more than the flags say", "MQTT-3.1.3-1", lambda v: connect(v, payload=text(b"u")), {MALFORMED}, True)
    case("a password without a user name", "3.1.1: MQTT-3.1.2-22", 4, connect(4, flags=0x42, payload=text(b"pw")), {CLOSED}, True)
    both("a wildcard in the will's topic", "MQTT-3.1.3, 4.7.1", lambda v: connect(v, flags=0x06, payload=props(v) + text(b"a/#") + text(b"p")),
         {MALFORMED, PROTOCOL, 0x90}, True)
    both("an empty topic of the will", "MQTT-4.7.3-1", lambda v: connect(v, flags=0x06, payload=props(v) + text(b"") + text(b"p")),
         {MALFORMED, PROTOCOL, 0x90}, True)
    for name in (b"MQTX", b"mqtt", b"MQT", b"MQTTT", b"", b"MQIsdp"):
        both(f"protocol name {name.decode()!r}", "MQTT-3.1.2-1", lambda v, n=name: connect(v, name=n), {UNSUPPORTED_VERSION, 0x01, MALFORMED, PROTOCOL, CLOSED}, True)
    for level in (0, 1, 2, 3, 6, 127, 0x84, 255):
        case(f"protocol level {level}", "MQTT-3.1.2-2", 4, connect(4, level=level) if level else packet(0x10, text(b"MQTT") + b"\0\x02\0\x3c" + text(b"c")),
             {0x01, UNSUPPORTED_VERSION}, True)
    case("an empty client identifier without a clean session", "3.1.1: MQTT-3.1.3-8", 4, connect(4, client_id=b"", flags=0), {0x02}, True)


# --- text --------------------------------------------------------------------------------------------------------------------

BAD_TEXT = (
    ("a byte that begins nothing", b"a\xff"), ("a lone continuation", b"\x80"), ("a sequence that ends too early", b"\xe2\x82"),
    ("an overlong slash", b"\xc0\xaf"), ("an overlong NUL", b"\xc0\x80"), ("a surrogate", b"\xed\xa0\x80"), ("beyond Unicode", b"\xf4\x90\x80\x80"),
    ("NUL", b"a\0b"), ("a control character", b"a\x01b"), ("DEL", b"a\x7f"), ("a control character of two bytes", b"\xc2\x9f"),
    ("a non-character", b"\xef\xbf\xbf"),
)


def text_cases():
    for words, bad in BAD_TEXT:
        clause = {"NUL": "MQTT-1.5.4-2 (3.1.1: 1.5.3-2)", "a control character": "1.5.4", "DEL": "1.5.4", "a control character of two bytes": "1.5.4",
                  "a non-character": "1.5.4"}.get(words, "MQTT-1.5.4-1 (3.1.1: 1.5.3-1)")
        both(f"{words} in a client identifier", clause, lambda v, b=bad: connect(v, client_id=b), {MALFORMED, 0x85}, True)
        both(f"{words} in a user name", clause, lambda v, b=bad: connect(v, flags=0x82, payload=text(b)), {MALFORMED}, True)
        both(f"{words} in the will's topic", clause, lambda v, b=bad: connect(v, flags=0x06, payload=props(v) + text(b) + text(b"p")), {MALFORMED}, True)
        both(f"{words} in a topic", clause, lambda v, b=bad: publish(v, topic=b), {MALFORMED, 0x90})
        both(f"{words} in a filter", clause, lambda v, b=bad: subscribe(v, topic=b), {MALFORMED, 0x8F})
        both(f"{words} in a filter to be given up", clause, lambda v, b=bad: unsubscribe(v, topic=b), {MALFORMED, 0x8F})
        case(f"{words} in a Content Type", clause, 5, publish(5, raw=string(3, bad)), {MALFORMED})
        case(f"{words} in a Response Topic", clause, 5, publish(5, raw=string(8, bad)), {MALFORMED})
        case(f"{words} in the name of a user property", clause, 5, publish(5, raw=b"\x26" + text(bad) + text(b"v")), {MALFORMED})
        case(f"{words} in the value of a user property", clause, 5, subscribe(5, raw=b"\x26" + text(b"k") + text(bad)), {MALFORMED})
        case(f"{words} in a Reason String", clause, 5, ack(PUBACK, string(0x1F, bad)), {MALFORMED})


# --- topics, filters, identifiers, states --------------------------------------------------------------------------------------

def topic_cases():
    for topic in (b"a/#", b"+/b", b"#", b"+", b"a/b#", b"a+/b"):
        both(f"PUBLISH to {topic.decode()}", "MQTT-3.3.2-2", lambda v, t=topic: publish(v, topic=t), {MALFORMED, PROTOCOL, 0x90})
    case("an empty topic", "3.1.1: MQTT-4.7.3-1", 4, publish(4, topic=b""), {CLOSED})
    for topic in (b"", b"a/#/b", b"#a", b"a#", b"a/b+", b"+a/b", b"a/##", b"++"):
        for words, make in (("SUBSCRIBE to", subscribe), ("UNSUBSCRIBE from", unsubscribe)):
            for version in (4, 5):
                done = (0x90 if make is subscribe else 0xB0, struct.pack(">H", 7) + (b"\0\x8f" if version == 5 else b"\x80"))
                case(f"{words} {topic.decode()!r}", "MQTT-4.7.1-1, -2, -3, MQTT-4.7.3-1", version, make(version, topic=topic), {MALFORMED, PROTOCOL, 0x8F, done})
    for topic in (b"$share/", b"$share/g", b"$share//a", b"$share/g/", b"$share/g+/a", b"$share/#/a"):
        refused = (0x90, struct.pack(">H", 7) + b"\0\x8f")
        case(f"SUBSCRIBE to {topic.decode()!r}", "MQTT-4.8.2-1, -2", 5, subscribe(5, topic=topic), {MALFORMED, PROTOCOL, 0x8F, refused})
    case("No Local on a shared subscription", "MQTT-3.8.3-4", 5, subscribe(5, topic=b"$share/g/a", options=4), {PROTOCOL})


def state_cases():
    for qos in (1, 2):
        both(f"packet identifier 0, PUBLISH QoS {qos}", "MQTT-2.2.1-3 (3.1.1: 2.3.1-1)", lambda v, q=qos: publish(v, qos=q, packet_id=0), {MALFORMED, PROTOCOL})
    both("packet identifier 0, SUBSCRIBE", "MQTT-2.2.1-3 (3.1.1: 2.3.1-1)", lambda v: subscribe(v, packet_id=0), {MALFORMED, PROTOCOL})
    both("packet identifier 0, UNSUBSCRIBE", "MQTT-2.2.1-3 (3.1.1: 2.3.1-1)", lambda v: unsubscribe(v, packet_id=0), {MALFORMED, PROTOCOL})
    for options in range(256):
        if options & 0xC0:
            clause, allowed = "MQTT-3.8.3-5", {MALFORMED}
        elif options & 3 == 3 or options >> 4 & 3 == 3:
            clause, allowed = "3.8.3.1", {PROTOCOL, MALFORMED}
        else:
            continue
        if options in (0x03, 0x30, 0x33, 0x40, 0x80, 0xC0, 0xFF, 0x43, 0x81, 0x3F):
            case(f"subscription options {options:#04x}", clause, 5, subscribe(5, options=options), allowed)
    for options in (3, 4, 8, 0x40, 0x80, 0xFF):
        case(f"requested QoS byte {options:#04x}", "3.1.1: MQTT-3.8.3-4", 4, subscribe(4, options=options), {CLOSED})
    for kind, good in ((PUBACK, {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}), (PUBREL, {0, 0x92}), (PUBCOMP, {0, 0x92})):
        for reason in (0x01, 0x0F, 0x11, 0x18, 0x7F, 0x84, 0x8E, 0xFF, 0x92 if kind == PUBACK else 0x10):
            if reason not in good:
                case(f"{NAMES[kind]} with reason {reason:#04x}", "2.4", 5, ack(kind, reason=reason), {MALFORMED, PROTOCOL})
    for reason in (0x01, 0x03, 0x05, 0x7F, 0x8D, 0x8E, 0xFF):  # 0x8D and 0x8E are a server's
        case(f"DISCONNECT with reason {reason:#04x}", "3.14.2.1", 5, packet(0xE0, bytes([reason])), {MALFORMED, PROTOCOL, CLOSED})
    case("PUBREL of an unknown identifier", "4.3.3, table 2-6", 5, packet(0x62, b"\x30\x39"), {(0x70, b"\x30\x39\x92")})
    case("PUBREL of an unknown identifier", "3.1.1: 4.3.3", 4, packet(0x62, b"\x30\x39"), {(0x70, b"\x30\x39")})
    case("PUBREC of an unknown identifier", "4.3.3, table 2-6", 5, packet(0x50, b"\x30\x39"), {(0x62, b"\x30\x39\x92"), ALIVE})
    case("PUBACK of an unknown identifier", "4.3.2", 5, packet(0x40, b"\x30\x39"), {ALIVE, PROTOCOL})
    both("an empty payload", "3.3.3", lambda v: publish(v, qos=0, payload=b""), {ALIVE})
    both("PINGREQ", "MQTT-3.12.4-1", b"\xc0\x00", {(0xD0, b"")})
    both("PUBLISH of a DISCONNECT's bytes", "3.3.3", lambda v: publish(v, qos=0, payload=b"\xe0\x00"), {ALIVE})


for make in (property_cases, cut_cases, header_cases, connect_cases, text_cases, topic_cases, state_cases):
    make()
