#!/usr/bin/env python3
"""Devices behind a network that swallows everything: their sessions end by keep alive, their next connection takes over.

`hold HOST PORT KEEP_ALIVE NAME=TOKEN…` is what runs in a network namespace: it keeps sessions up, pings when keep alive asks
for it, and prints one line for each session that ends.
"""
import os
import selectors
import socket
import ssl
import subprocess
import sys
import time

PATIENCE = 90


def hold(host, port, keep_alive, devices):
    from mqtt import Client

    context = ssl.create_default_context(cafile=os.environ["SIGNALBOX_CA"])
    context.check_hostname = False
    waiting = selectors.DefaultSelector()
    up = {}
    for device in devices:
        name, token = device.split("=", 1)
        sock = context.wrap_socket(socket.create_connection((host, int(port)), timeout=30))
        c = Client(0, None, "holder", token, connected=sock, keep_alive=int(keep_alive))
        if c.connack == 0:
            sock.setblocking(False)
            waiting.register(sock, selectors.EVENT_READ, name)
            up[name] = sock
    print(f"up {len(up)}", flush=True)
    waiting.register(sys.stdin, selectors.EVENT_READ, None)
    ping_at = time.monotonic()
    while True:
        if time.monotonic() >= ping_at:
            ping_at = time.monotonic() + int(keep_alive) / 2
            for sock in up.values():
                try:
                    sock.send(b"\xc0\x00")
                except (OSError, ssl.SSLError):
                    pass
        for key, _ in waiting.select(0.2):
            if key.data is None:
                return
            try:
                data = key.fileobj.recv(4096)
            except ssl.SSLWantReadError:
                continue
            except OSError:
                data = b""
            if not data or data[0] == 0xE0:
                print(f"ended {key.data} {data[2] if len(data) > 2 else 0:#04x}", flush=True)
                waiting.unregister(key.fileobj)
                del up[key.data]


class Holder:
    def __init__(self, namespace, host, port, keep_alive, devices):
        self.process = subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, __file__, "hold", host, str(port), str(keep_alive),
                                         *(f"{n}={t}" for n, t in devices.items())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.up = int(self.process.stdout.readline().split()[1])

    def stop(self):
        """What had ended until now."""
        self.process.stdin.close()
        return self.process.stdout.read().split("\n")[:-1]


def cut(namespace, how):
    for chain in ("INPUT", "OUTPUT"):
        subprocess.run(["ip", "netns", "exec", namespace, "iptables", "-w", how, chain, "-j", "DROP"], check=True)


def main():
    from house import MQTT_PORT, check, device, finish, metric, sql

    def reaches(name, value):
        until = time.monotonic() + PATIENCE
        while metric(name) != value and time.monotonic() < until:
            time.sleep(0.1)
        return metric(name)

    cut_off, live, net = os.environ["CUT"], os.environ["LIVE"], os.environ["NET"]
    half, keep_alive = (500, 20) if os.environ.get("SIGNALBOX_FULL") else (40, 4)
    devices = {f"half-{i:04}": device(f"half-{i:04}") for i in range(2 * half)}
    first, second = dict(list(devices.items())[:half]), dict(list(devices.items())[half:])
    swallowed, fine = Holder(cut_off, net + ".1", MQTT_PORT, keep_alive, first), Holder(live, net + ".5", MQTT_PORT, keep_alive, second)
    check("all are up", (swallowed.up, fine.up, reaches("sessions_online", 2 * half)), (half, half, 2 * half))

    cut(cut_off, "-A")
    began = time.monotonic()
    check("those behind the cut end", reaches("sessions_online", half), half)
    print(f"     after {time.monotonic() - began:.1f} s; keep alive is {keep_alive} s")
    check("and their connections go", reaches("connections_open", half), half)
    gone = "SELECT count(*), count(DISTINCT device_id) FROM events WHERE kind = 'device.offline'"
    until = time.monotonic() + PATIENCE
    while sql(gone) != f"{half}|{half}" and time.monotonic() < until:
        time.sleep(0.2)
    check("each is reported offline once", sql(gone), f"{half}|{half}")
    swallowed.stop()
    cut(cut_off, "-D")

    # The same again with a keep alive that will not help: the next connection has to take over.
    swallowed = Holder(cut_off, net + ".1", MQTT_PORT, 600, first)
    check("up again", (swallowed.up, reaches("sessions_online", 2 * half)), (half, 2 * half))
    cut(cut_off, "-A")
    began = time.monotonic()
    moved = Holder(live, net + ".5", MQTT_PORT, 600, first)
    took = time.monotonic() - began
    check("they come back another way and take over at once", (moved.up, metric("sessions_online")), (half, 2 * half))
    print(f"     {half} connections took {took:.1f} s, {took * 1000 / half:.0f} ms each")
    check("what was half open is closed", reaches("connections_open", 2 * half), 2 * half)
    check("those that took over stay", moved.stop(), [])
    check("the others noticed nothing", fine.stop(), [])
    cut(cut_off, "-D")
    swallowed.stop()
    check("and at last nobody is connected", (reaches("sessions_online", 0), reaches("connections_open", 0)), (0, 0))
    return finish()


if sys.argv[1:2] == ["hold"]:
    hold(*sys.argv[2:5], sys.argv[5:])
else:
    sys.exit(main())
