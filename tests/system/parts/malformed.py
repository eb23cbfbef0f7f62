#!/usr/bin/env python3
"""Each case of malformed_cases.py whole, byte by byte and between other packets; a device beside them notices nothing."""
import asyncio
import os
import socket
import sys
import threading
import time

from house import CA, ENV, MQTT_PORT, api, check, device, finish, metric
from malformed_cases import ALIVE, CASES, CLOSED, connect
from mqtt import Client

PORT = int(ENV["SIGNALBOX_OPEN_PORT"])
DEADLINE = 8  # seconds; less than connect_timeout, which must not be what ends a case
PING = b"\xc0\x00"
SHAPES = ("whole", "byte by byte", "between others")


class Peer:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def packet(self):
        """Head and body, or None at the end."""
        try:
            head = (await self.reader.readexactly(1))[0]
            length = shift = 0
            while True:
                b = (await self.reader.readexactly(1))[0]
                length |= (b & 0x7F) << shift
                shift += 7
                if not b & 0x80:
                    return head, await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def send(self, data, part=0):
        try:
            for at in range(0, len(data), part or len(data)):
                self.writer.write(data[at : at + (part or len(data))])
                await self.writer.drain()
                if part:
                    await asyncio.sleep(0)
        except ConnectionError:
            pass  # closed already: what it said before is still there to be read


async def play(case, shape, serial):
    """What the server made of it: CLOSED, a reason, ALIVE, or a packet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = Peer(reader, writer)
    hello = b"" if case.first else connect(case.version, client_id=b"case-%d" % serial)
    try:
        if shape == "between others":
            await peer.send(hello + case.data + PING)
        else:
            if hello:
                await peer.send(hello)
                got = await peer.packet()
                if got is None or got[0] != 0x20 or got[1][1] != 0:
                    return f"no session: {got}"
            await peer.send(case.data, 1 if shape == "byte by byte" else 0)
        greeted = not hello or shape != "between others"
        pinged = shape == "between others"
        answer = None
        while True:
            if greeted and not pinged and (ALIVE in case.allowed or any(isinstance(a, tuple) for a in case.allowed)):
                await peer.send(PING)  # what lives answers
                pinged = True
            got = await peer.packet()
            if got is None:
                return CLOSED if answer is None else answer
            head, body = got
            if not greeted:
                greeted = True
                if head != 0x20 or body[1] != 0:
                    return f"no session: {got}"
            elif head == 0x20:
                answer = body[1]  # of a refused CONNECT; has to be followed by the end
                if answer == 0:
                    return "accepted"
            elif head == 0xE0:
                answer = body[0] if body else 0
            elif head == 0xD0 and (head, body) in case.allowed:
                return (head, body)
            elif head == 0xD0:
                return ALIVE if answer is None else answer
            elif answer is None:
                answer = got
    finally:
        writer.close()


async def judged(case, shape, serial, gate, results):
    async with gate:
        began = time.monotonic()
        try:
            outcome = await asyncio.wait_for(play(case, shape, serial), DEADLINE)
        except asyncio.TimeoutError:
            outcome = "nothing"
        results.append((outcome in case.allowed, case, shape, outcome, time.monotonic() - began))


async def all_cases():
    gate, results, serial = asyncio.Semaphore(64), [], 0
    tasks = []
    for case in CASES:
        for shape in SHAPES:
            serial += 1
            tasks.append(asyncio.create_task(judged(case, shape, serial, gate, results)))
    await asyncio.gather(*tasks)
    return results


def neighbour(token, stop, sent):
    """A device as it should be: one connection, a publish and its acknowledgement after the other."""
    c = Client(MQTT_PORT, CA, "neighbour", token, timeout=60)
    while not stop.is_set():
        began = time.monotonic()
        if c.publish("v1/devices/me/telemetry", '{"calm":%d}' % len(sent)) != 0:
            return
        sent.append(time.monotonic() - began)
        stop.wait(0.02)
    c.disconnect()
    sent.append(None)  # got to the end


def shown(outcome):
    return f"{outcome:#04x}" if isinstance(outcome, int) else str(outcome)


def main():
    stop, sent = threading.Event(), []
    beside = threading.Thread(target=neighbour, args=(device("neighbour"), stop, sent))
    beside.start()
    began = time.monotonic()
    results = asyncio.run(all_cases())
    took = time.monotonic() - began
    stop.set()
    beside.join()
    wrong = [r for r in results if not r[0]]
    for _, case, shape, outcome, _ in wrong[: int(os.environ.get("MALFORMED_SHOW", 40))]:
        print(f"FAIL {case.words}, {shape} [{case.clause}]\n       got      {shown(outcome)}\n       expected {' or '.join(sorted(shown(a) for a in case.allowed))}"
              f"\n       bytes    {case.data[:60].hex()}")
    check("cases with another outcome", len(wrong), 0)
    check("enough of them", len(CASES) >= 600, True)
    check("the device beside them was acknowledged every time and never cut off", sent[-1:], [None])
    check("the server lives and stores", api("GET", "/v1/devices/neighbour/latest")["items"][0]["value"], len(sent) - 2)
    check("what broke a rule was counted", metric("protocol_errors_total") > len(CASES), True)
    waits = sorted(s for s in sent if s is not None)
    slowest = max(results, key=lambda r: r[4])
    print(f"{len(CASES)} cases, {len(results)} connections in {took:.0f} s; the slowest took {slowest[4] * 1000:.0f} ms ({slowest[1].words}); "
          f"the device beside them waited {waits[len(waits) // 2] * 1000:.1f} ms in the middle, {waits[len(waits) * 99 // 100] * 1000:.1f} ms at p99")
    print(f"# {len(results)} checks")
    return finish()


sys.exit(main())
