#!/usr/bin/env python3
"""Writes the seeds net_tls/ beside this file: short lives of connections, by name. See fuzz_net_tls.c for the operations."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN, TLS12, TLS13, CERT, CERT12, OTHER_CA, EXPIRED, RESUME = range(8)
ONE, THREE, HEAD, SIX, LITTLE, SOME, MUCH, ALL = range(8)


def dial(kind, who=0, host=0, ws=0):
    return bytes([14 * kind, who + 8 * (host + 4 * ws)])


def go(who=0, amount=LITTLE):  # both sides take and answer everything once
    return bytes([13, who + 8 * amount])


def op(what, who=0, arg=0):
    return bytes([what, who + 8 * arg])


SEEDS = {
    "tls13": [dial(TLS13)] + 5 * [go()],
    "tls12": [dial(TLS12)] + 5 * [go()],
    "certificate": [dial(CERT)] + 5 * [go()],
    "certificate_tls12": [dial(CERT12)] + 5 * [go()],
    "other_ca": [dial(OTHER_CA)] + 4 * [go()],
    "expired": [dial(EXPIRED)] + 4 * [go()],
    "resumed": [dial(TLS13)] + 5 * [go()] + [dial(RESUME, 1)] + 4 * [go(1)],
    "resumed_after_reload": [dial(CERT)] + 5 * [go()] + [b"\x0c\x00", dial(RESUME, 1)] + 4 * [go(1)],
    "byte_by_byte": [dial(TLS13)] + 40 * [op(3, 0, ONE)] + 3 * [go()] + [op(2, 0, SOME)] + 20 * [op(3, 0, SIX)],
    "answers": [dial(TLS13)] + 4 * [go()] + [op(9, 0, 7), op(1, 0, ONE), op(1, 0, ALL), op(9, 0, 2)] + 2 * [go()],
    "slow_reader": [dial(TLS13)] + 4 * [go()] + [op(7, 0, ONE)] + 5 * [op(9, 0, 7), op(3, 0, ALL)] + [b"\x06\xff"],
    "owner_keeps_some": [dial(TLS13)] + 4 * [go()] + [op(9, 0, 0)] + 6 * [op(2, 0, SOME), op(4, 0, ALL)],
    "owner_closes": [dial(TLS13)] + 4 * [go()] + [op(9, 0, 7), op(9, 0, 5), go()],
    "goodbye": [dial(TLS13)] + 4 * [go()] + [op(2, 0, SOME), op(8, 0, 0), op(3, 0, ALL), go()],
    "hang_up": [dial(TLS13)] + 4 * [go()] + [op(2, 0, SOME), op(8, 0, 1), op(3, 0, ALL)],
    "reset": [dial(TLS13)] + 4 * [go()] + [op(9, 0, 7), op(8, 0, 2), op(3, 0, ALL)],
    "key_update": [dial(TLS13)] + 4 * [go()] + [op(11), op(3, 0, ALL), op(2, 0, SOME)] + 2 * [go()],
    "renegotiation": [dial(TLS12)] + 4 * [go()] + [op(11)] + 3 * [go()],
    "damaged_record": [dial(TLS13)] + 4 * [go()] + [op(2, 0, SOME), op(5), b"\x00\x20"] + [op(3, 0, ALL)] + 2 * [go()],
    "damaged_hello": [dial(TLS13), op(5), b"\x00\x05", op(3, 0, ALL), go()],
    "record_again": [dial(TLS13)] + 4 * [go()] + [op(2, 0, LITTLE), bytes([5 + 14 * 2, 0]), b"\x00\x00", op(3, 0, ALL)],
    "no_record": [dial(PLAIN), bytes([19, 4 * 8]), b"GET / HTTP/1.1\r\n\r\n", op(3, 0, ALL)],
    "websocket": [dial(TLS13, ws=1)] + 6 * [go()] + [op(2, 0, SOME), op(2, 0, THREE), op(9, 0, 7)] + 3 * [go()],
    "websocket_in_pieces": [dial(TLS12, ws=1)] + 6 * [go()] + [op(2, 0, LITTLE)] + 20 * [op(3, 0, SIX), op(9, 0, 6), op(1, 0, THREE)],
    "proxied": [dial(TLS13, host=3)] + 5 * [go()],
    "proxied_in_pieces": [dial(TLS13, host=3)] + 30 * [op(3, 0, ONE)] + 5 * [go()],
    "silent": [dial(TLS13), b"\x06\xff", b"\x06\xff"],
    "many": [dial(TLS13, i) for i in range(8)] + 3 * [go(i) for i in range(8)],
    "one_source": [b""] + [dial(TLS12, i, i % 2) for i in range(5)] + 4 * [go(i) for i in range(5)],
    "no_descriptors": [b"\x0c\x02", dial(TLS13)] + 3 * [go()] + [b"\x06\x40"] + 4 * [go()],
    "write_fails": [dial(TLS13)] + 4 * [go()] + [b"\x0c\x09"[:1] + b"\x09", op(9, 1, 7), go(1)],
}
os.makedirs(os.path.join(HERE, "net_tls"), exist_ok=True)
for name, parts in SEEDS.items():
    settings = {"one_source": 4, "silent": 4, "owner_closes": 0x80, "slow_reader": 0x80, "tls12": 1, "many": 2}.get(name, 0)
    with open(os.path.join(HERE, "net_tls", name), "wb") as f:
        f.write(bytes([settings]) + b"".join(parts))
