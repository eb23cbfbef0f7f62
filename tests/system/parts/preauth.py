#!/usr/bin/env python3
"""Peers that never authenticate: silent, stalled in TLS, slow, greedy. They are gone in time, cost little, and good devices get in."""
import asyncio
import concurrent.futures
import os
import ssl
import sys
import time

from house import CA, DIR, MQTT_PORT, check, device, finish, metric
from mqtt import packet, text, varint

FULL = bool(os.environ.get("SIGNALBOX_FULL"))
LIMIT = int(os.environ["CONNECT_TIMEOUT"])  # seconds
SILENT, STALLED, SLOW, GREEDY = (4000, 1000, 100, 100) if FULL else (400, 150, 60, 60)  # the last two cost us a handshake each
SECONDS, GOOD_EACH_SECOND = (60, 20) if FULL else (3 * LIMIT, 10)
PATIENCE = 60  # beyond the limit; a machine may be busy, a peer that is never closed is what is looked for
CONNECT = packet(0x10, text("MQTT") + b"\x05\x02\0\x3c\0" + text("slow-peer"))


TLS = ssl.create_default_context(cafile=CA)


def client_hello():
    out = ssl.MemoryBIO()
    tls = TLS.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


class Bad:
    """One kind of bad peer, each renewed once in LIMIT as long as the test lasts. lived: how long they were let live."""

    def __init__(self, words, count, begin):
        self.words, self.count, self.begin, self.lived, self.stuck = words, count, begin, [], 0

    async def one(self, number, until):
        await asyncio.sleep(LIMIT * number / self.count)
        while time.monotonic() < until:
            try:
                reader, writer, more = await self.begin()
            except (OSError, ssl.SSLError):
                await asyncio.sleep(0.1)
                continue
            began = time.monotonic()
            feeder = asyncio.create_task(drip(writer, more)) if more else None
            try:
                while await asyncio.wait_for(reader.read(65536), began + LIMIT + PATIENCE - time.monotonic()):
                    pass
                self.lived.append(time.monotonic() - began)
            except (ConnectionError, ssl.SSLError):
                self.lived.append(time.monotonic() - began)
            except asyncio.TimeoutError:
                self.stuck += 1
            if feeder:
                feeder.cancel()
            writer.close()
            await asyncio.sleep(max(0, began + LIMIT - time.monotonic()))


async def drip(writer, data):
    try:
        for i in range(len(data)):
            writer.write(data[i : i + 1])
            await asyncio.sleep(1)
    except (ConnectionError, ssl.SSLError):
        pass


async def plain(first=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", MQTT_PORT)
    if first:
        writer.write(first)
    return reader, writer, None


async def secure(data, more=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", MQTT_PORT, ssl=TLS, server_hostname="localhost", ssl_handshake_timeout=LIMIT + PATIENCE)
    if data:
        writer.write(data)
    return reader, writer, more


async def good(token, serial, waits):
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", MQTT_PORT, ssl=TLS, server_hostname="localhost", ssl_handshake_timeout=PATIENCE)
    writer.write(packet(0x10, text("MQTT") + b"\x05\x82\0\x3c\0" + text(f"good-{serial}") + text(token)))
    answer = await asyncio.wait_for(reader.read(4), PATIENCE)
    if len(answer) == 4 and answer[0] == 0x20 and answer[3] == 0:
        waits.append(time.monotonic() - began)
    writer.write(b"\xe0\x00")
    writer.close()


def rss_kib():
    pid = open(os.path.join(DIR, "server.pid")).read().strip()
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


async def bad_ones():
    hello = client_hello()
    kinds = [
        Bad("silent on TCP", SILENT, plain),
        Bad("half a ClientHello", STALLED // 2, lambda: plain(hello[:100])),
        Bad("stalled after the ClientHello", STALLED - STALLED // 2, lambda: plain(hello)),
        Bad("a CONNECT at one byte a second", SLOW, lambda: secure(CONNECT[:1], CONNECT[1:] * 100)),
        Bad("a CONNECT of 256 MB", GREEDY, lambda: secure(b"\x10" + varint(268435455) + CONNECT[2:])),
    ]
    until = time.monotonic() + SECONDS
    await asyncio.gather(*(kind.one(i, until) for kind in kinds for i in range(kind.count)))
    return [(k.words, k.count, sorted(k.lived), k.stuck) for k in kinds]


def run_bad():
    return asyncio.run(bad_ones())


async def good_ones(tokens, others):
    """Until the others are done. How long each waited, how many failed, and KiB for each connection that is nobody yet."""
    before, waits, tasks, cost = rss_kib(), [], [], 0
    while not others.done():
        tasks.append(asyncio.create_task(good(tokens[len(tasks) % len(tokens)], len(tasks), waits)))
        if len(tasks) % GOOD_EACH_SECOND == 0:
            up = await asyncio.to_thread(metric, "connections_open")
            if up > (SILENT + STALLED) // 2:
                cost = max(cost, (rss_kib() - before) / up)
        await asyncio.sleep(1 / GOOD_EACH_SECOND)
    wrong = [r for r in await asyncio.gather(*tasks, return_exceptions=True) if r is not None]
    return sorted(waits), len(tasks) - len(waits), wrong[:1], cost


def main():
    tokens = [device(f"good-{i}") for i in range(100)]
    with concurrent.futures.ProcessPoolExecutor(1) as pool:  # two processes: neither must wait for the other's handshakes
        others = pool.submit(run_bad)
        waits, failed, why, cost = asyncio.run(good_ones(tokens, others))
        kinds = others.result()
    for words, count, lived, stuck in kinds:
        check(f"{words}: each is closed", (len(lived) >= count // 2, stuck), (True, 0))
        print(f"     {len(lived)} of them, the longest lived {lived[-1]:.2f} s")
    greedy = kinds[-1][2]
    check("one that announces too much is not waited for", greedy[len(greedy) // 2] < LIMIT, True)
    check("every good device got in", (failed, why), (0, []))
    print(f"     {len(waits)} good ones waited {waits[len(waits) // 2] * 1000:.0f} ms in the middle, {waits[len(waits) * 99 // 100] * 1000:.0f} ms at p99; "
          f"a bad one cost {cost:.1f} KiB")
    if not os.environ.get("SANITIZED"):
        check("a peer that is nobody yet costs little memory", cost < 48, True)
    until = time.monotonic() + PATIENCE
    while metric("connections_open") and time.monotonic() < until:
        time.sleep(0.1)
    check("no connection is left", metric("connections_open"), 0)
    return finish()


sys.exit(main())
