#!/usr/bin/env python3
"""fault_spool.py MOMENTS WATCH.jsonl BOOK.csv : figures of an outage with the spool on, as one line of JSON.

MOMENTS has lines `µs kind`: down, spooling, up (PostgreSQL is started), back (it is there), drained.
p99_ms         PUBACK of the messages sent while the spool acknowledged
messages       sent between down and drained; payload_bytes: of them on average
spool_bytes    in the spool's files at most, which are as long as a segment
rss_mib, rss_mib_max   of the server at `down`, and at most until drained
drain_ms       from back to drained; drain_times: how many times faster than they came the messages left
"""
import csv
import json
import sys


def payload_length(ts, nonce, values):
    body = ",".join(f'"m{i:02d}":{nonce + i}' for i in range(values))
    return len('{"ts":%s,"values":{%s}}' % (ts, body) if ts else "{%s}" % body)


def main():
    path, watch, book = sys.argv[1:]
    with open(path) as f:
        at = {kind: int(t) for t, kind in (line.split() for line in f)}
    messages, taken = {}, []
    with open(book, newline="") as f:
        for row in csv.DictReader(f):
            sent = int(row["t_send"])
            if not at["down"] <= sent <= at["drained"]:
                continue
            message = messages.setdefault((row["device"], row["seq"]), [row["ts"], int(row["nonce"]), 0, sent])
            message[2] += 1
            if row["metric"] == "m00" and at["spooling"] <= sent <= at["up"] and row["t_ack"]:
                taken.append(int(row["t_ack"]) - sent)
    with open(watch) as f:
        seen = [m for m in map(json.loads, f) if at["down"] <= m["t"] * 1e6 <= at["drained"]]
    taken.sort()
    drain_s = (at["drained"] - at["back"]) / 1e6
    lasted_s = (at["drained"] - at["down"]) / 1e6
    print(json.dumps({
        "p99_ms": taken[int(len(taken) * 0.99)] // 1000, "messages": len(messages),
        "payload_bytes": sum(payload_length(ts, nonce, n) for ts, nonce, n, _ in messages.values()) // len(messages),
        "spool_bytes": max(m["spool_bytes"] for m in seen),
        "rss_mib": seen[0]["rss_kib"] >> 10, "rss_mib_max": max(m["rss_kib"] for m in seen) >> 10,
        "drain_ms": round(drain_s * 1000), "drain_times": round(lasted_s / drain_s, 1)}))


main()
