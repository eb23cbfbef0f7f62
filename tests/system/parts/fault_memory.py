#!/usr/bin/env python3
"""fault_memory.py DEVICES.csv MUTE STALLED LARGE : devices that cost a server as much memory as they may, until SIGTERM.

MUTE      subscribe, never read again, and ask for answers: what waits for them grows to just below `send_queue_max`.
STALLED   MQTT 5 with the largest will, user properties and topic aliases; then they send all but the last byte of a packet
          of 256 KiB, wait, send the last byte, and begin again.
LARGE     publish payloads of 230 KiB with 9,000 values at QoS 1, four at a time, as fast as they are acknowledged.
Whoever is disconnected comes back after a second. At the end a line of JSON: acknowledged, connects, disconnects of each kind.
"""
import asyncio
import csv
import json
import os
import random
import signal
import socket
import ssl
import struct
import sys

from mqtt import packet, text, varint

PORT, CA = int(os.environ["SIGNALBOX_MQTT_PORT"]), os.environ["SIGNALBOX_CA"]
TOPIC = "v1/devices/me/telemetry"
DENSE = ("{" + ",".join(f"\"n{i:04d}\":{i}" for i in range(9000)) + " " * 120000 + "}").encode()
SPARSE = b'{"value":1' + b" " * 250000 + b"}"
STALL_S = 20
counts = {kind: {"connects": 0, "losts": 0, "acknowledged": 0} for kind in ("mute", "stalled", "large")}
context = ssl.create_default_context(cafile=CA)
gate = asyncio.Semaphore(16)  # handshakes at a time


def user_properties(size):
    out = b""
    while size > 0:
        value = "v" * min(size, 1000)
        out += b"\x26" + text("k") + text(value)
        size -= 1000
    return out


def connect_packet(name, token, version):
    flags, properties, will = 0x82, b"", b""
    if version == 5:
        flags |= 0x04
        properties = user_properties(6000)
        properties = varint(len(properties)) + properties
        mine = user_properties(6000)
        will = varint(len(mine)) + mine + text("v1/devices/me/telemetry") + text("w" * 2000)
    body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", 300) + properties + text(name) + will + text(token)
    return packet(0x10, body)


def publish_packet(topic, payload, packet_id=0, properties=None):
    body = text(topic) + (struct.pack(">H", packet_id) if packet_id else b"")
    if properties is not None:
        body += varint(len(properties)) + properties
    return packet(0x32 if packet_id else 0x30, body + payload)


async def next_packet(reader):
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        b = (await reader.readexactly(1))[0]
        length |= (b & 0x7F) << shift
        shift += 7
        if not b & 0x80:
            return head >> 4, await reader.readexactly(length)


async def until_acknowledged(reader):
    while (await next_packet(reader))[0] != 4:
        pass


async def mute(reader, writer):
    writer.write(packet(0x82, struct.pack(">H", 1) + text("v1/devices/me/rpc/request/+") + b"\1"))
    await next_packet(reader)
    writer.transport.pause_reading()
    for _ in range(250):
        writer.write(b"\xc0\0" * 480)
        await writer.drain()
    await asyncio.sleep(60)


async def stalled(reader, writer):
    for alias in range(1, 17):
        writer.write(publish_packet("x/" + "y" * 1000, b"", properties=b"\x23" + struct.pack(">H", alias)))
    whole = publish_packet(TOPIC, SPARSE, 1, user_properties(6000))
    while True:
        writer.write(whole[:-1])
        await asyncio.sleep(STALL_S * random.uniform(0.5, 1.5))
        writer.write(whole[-1:])
        await until_acknowledged(reader)
        counts["stalled"]["acknowledged"] += 1


async def large(reader, writer):
    whole = publish_packet(TOPIC, DENSE, 1)
    for _ in range(3):
        writer.write(whole)
    while True:
        writer.write(whole)
        await writer.drain()
        await until_acknowledged(reader)
        counts["large"]["acknowledged"] += 1


async def device(kind, behave, name, token):
    await asyncio.sleep(random.uniform(0, 1))
    while True:
        writer = None
        try:
            async with gate:
                raw = socket.socket()
                raw.setblocking(False)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", PORT))
                reader, writer = await asyncio.open_connection(sock=raw, ssl=context, server_hostname="localhost")
                writer.write(connect_packet(name, token, 5 if kind == "stalled" else 4))
                answer = await asyncio.wait_for(next_packet(reader), 30)
            if answer[0] == 2 and answer[1][1] == 0:
                counts[kind]["connects"] += 1
                await behave(reader, writer)
        except (OSError, ssl.SSLError, EOFError, asyncio.TimeoutError):
            counts[kind]["losts"] += 1
        if writer:
            writer.transport.abort()
        await asyncio.sleep(1)


async def main():
    with open(sys.argv[1], newline="") as f:
        tokens = [(row["name"], row["token"]) for row in csv.DictReader(f)]
    tasks = []
    for kind, behave, number in zip(counts, (mute, stalled, large), map(int, sys.argv[2:5])):
        for name, token in tokens[:number]:
            tasks.append(asyncio.create_task(device(kind, behave, name, token)))
        del tokens[:number]
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()
    print(json.dumps(counts), flush=True)
    os._exit(0)


asyncio.run(main())
