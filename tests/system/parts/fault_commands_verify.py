#!/usr/bin/env python3
"""fault_commands_verify.py BOOK.jsonl MOMENTS LATE_S END_S: the book of fault_commands.py against the database.

LATE_S  so long after its expiry a command may still be carried out (and as long as the devices' own program was held up)
END_S   so long after its expiry, or after a start of the server that came later, a command has ended
Prints figures and what is wrong; exit code 1 when something is.
"""
import json
import sys
from collections import Counter, defaultdict

from house import sql

FINAL = {"succeeded", "failed", "rejected", "expired", "cancelled", "timed_out"}
MOVES = {None: {"queued"}, "queued": {"sent", "expired", "cancelled"},
         "sent": {"sent", "delivered", "succeeded", "failed", "rejected", "expired", "cancelled"},
         "delivered": {"succeeded", "failed", "rejected", "timed_out", "cancelled"}}
KINDS = {"ok": "succeeded", "error": "failed", "rejected": "rejected"}
COMMANDS = """SELECT json_agg(c) FROM (SELECT c.id, d.name AS device, c.method, c.params, c.state, c.idempotency_key AS key,
 extract(epoch FROM c.expires_at) AS expires, (SELECT json_agg(json_build_array(h.seq, h.state, extract(epoch FROM h.ts)) ORDER BY h.seq)
 FROM command_history h WHERE h.command_id = c.id) AS history FROM commands c JOIN devices d ON d.id = c.device_id ORDER BY c.id) c"""


class Verdict:
    def __init__(self, book, moments, late_s, end_s):
        self.late_s, self.end_s, self.faults = late_s, end_s, []
        self.events = defaultdict(list)
        for line in open(book):
            e = json.loads(line)
            self.events[e["what"]].append(e)
        self.of = {what: self.by_id(what) for what in ("got", "did", "puback", "answered", "cancelled")}
        self.starts = [int(t) / 1e6 for t, kind in (line.split() for line in open(moments)) if kind == "server_ready"]

    def by_id(self, what):
        ids = defaultdict(list)
        for e in self.events[what]:
            ids[e["id"]].append(e)
        return ids

    def want(self, ok, words):
        if not ok:
            self.faults.append(words)

    def lag(self, since, until):
        return sum(e["s"] for e in self.events["lag"] if since - e["s"] <= e["at"] <= until + e["s"])

    def keys(self, commands):
        rows = {c["key"]: c["id"] for c in commands}
        ids = defaultdict(set)
        for e in self.events["posted"]:
            ids[e["key"]].add(e["id"])
        for key, some in ids.items():
            self.want(some == {rows.get(key)}, f"{key}: the API said {sorted(some)}, stored is {rows.get(key)}")
        for e in self.events["unexpected"]:
            self.want(False, f"{e['key']}: {e['status']} {e['answer']}")
        self.want(len(rows) == len(commands), "a key has two commands")
        nonces = Counter(c["params"]["nonce"] for c in commands)
        self.want(not nonces or max(nonces.values()) == 1, "an order has two commands")

    def history(self, c):
        at, steps = None, c["history"] or []
        self.want([h[0] for h in steps] == list(range(1, len(steps) + 1)), f"{c['id']}: steps {[h[0] for h in steps]}")
        for _, state, _ in steps:
            self.want(state in MOVES.get(at, ()), f"{c['id']}: from {at} to {state}")
            at = state
        self.want(at == c["state"], f"{c['id']}: {c['state']}, its history ends with {at}")
        self.want(c["state"] in FINAL and sum(h[1] in FINAL for h in steps) == 1, f"{c['id']}: no single end: {[h[1] for h in steps]}")
        self.want(all(a[2] <= b[2] for a, b in zip(steps, steps[1:])), f"{c['id']}: its steps go back in time")

    def end_in_time(self, c):
        ended = c["history"][-1][2]
        latest = max([c["expires"]] + [t for t in self.starts if t <= ended]) + self.end_s
        self.want(ended <= latest, f"{c['id']}: {c['state']} {ended - c['expires']:.1f} s after its expiry")

    def device_side(self, c):
        id, when = c["id"], {h[1]: h[2] for h in reversed(c["history"])}
        did = self.of["did"][id]
        for e in self.of["got"][id]:
            self.want("sent" in when and when["sent"] <= e["at"] and e["device"] == c["device"], f"{id}: with a device before it was sent, or with the wrong one")
        self.want(len(did) <= 1, f"{id}: carried out {len(did)} times")
        for e in did:
            self.want(e["order"] == {"method": c["method"], "params": c["params"]}, f"{id}: carried out {e['order']}")
            late = e["at"] - c["expires"]
            self.want(late <= self.late_s + (self.lag(c["expires"], e["at"]) if late > 0 else 0), f"{id}: carried out {late:.1f} s after its expiry")
        if "delivered" in when:
            self.want(any(e["at"] <= when["delivered"] for e in self.of["puback"][id]), f"{id}: delivered without a PUBACK")
        kind = KINDS[next(iter(did[0]["answer"]))] if did and did[0]["answer"] else None
        if c["state"] in KINDS.values():
            self.want(c["state"] == kind, f"{id}: {c['state']}, the device says {kind}")
        for e in self.of["answered"][id]:
            self.want(e["version"] == 4 or e["reason"] >= 0x80 or c["state"] == kind, f"{id}: its answer was taken, it is {c['state']}")
        self.want(id not in self.of["cancelled"] or c["state"] == "cancelled", f"{id}: was cancelled, is {c['state']}")


def main():
    v = Verdict(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
    commands = json.loads(sql(COMMANDS)) or []
    v.keys(commands)
    for c in commands:
        v.history(c)
        v.end_in_time(c)
        v.device_side(c)
    ids = {c["id"] for c in commands}
    v.want(all(id in ids for id in v.of["did"]), "a command was carried out that is not stored")
    states = Counter(c["state"] for c in commands)
    print(json.dumps({"commands": len(commands), "asked": len(v.events["posted"]), "received": len(v.events["got"]), "carried_out": len(v.events["did"]),
                      "again": sum(h[1] == "sent" for c in commands for h in c["history"]) - sum(any(h[1] == "sent" for h in c["history"]) for c in commands),
                      **{s: states[s] for s in sorted(FINAL)}, "longest_lag_s": round(max([e["s"] for e in v.events["lag"]], default=0), 2),
                      "faults": len(v.faults)}))
    for words in v.faults[:20]:
        print(words)
    sys.exit(1 if v.faults else 0)


main()
