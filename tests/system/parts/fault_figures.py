#!/usr/bin/env python3
"""fault_figures.py MOMENTS KIND BOOK.csv… : the longest time in ms from a moment of that kind to the first PUBACK after it.

MOMENTS has lines `µs kind`. `--between A B` instead of KIND: how many messages were acknowledged between each A and the next B.
`--latency A B`: the p99 in ms from sending to PUBACK of the messages that were first sent between an A and the next B.
"""
import bisect
import csv
import sys


def acks(books):
    times = set()
    for book in books:
        with open(book, newline="") as f:
            rows = csv.reader(f)
            next(rows)
            times.update(int(row[7]) for row in rows if row[8] == "acked")
    return sorted(times)


def moments(path):
    with open(path) as f:
        return [(int(t), kind) for t, kind in (line.split() for line in f)]


def spans(path, first, last):
    began = None
    for t, what in moments(path):
        if what == first:
            began = t
        elif what == last and began is not None:
            yield began, t
            began = None


def latency(path, first, last, books):
    taken, within = [], list(spans(path, first, last))
    for book in books:
        with open(book, newline="") as f:
            rows = csv.reader(f)
            next(rows)
            taken += [int(r[7]) - int(r[6]) for r in rows if r[8] == "acked" and any(a <= int(r[6]) <= b for a, b in within)]
    taken.sort()
    if not taken:
        sys.exit(f"nothing was sent between {first} and {last}")
    return taken[int(len(taken) * 0.99)] // 1000


def main():
    path, kind, *books = sys.argv[1:]
    if kind == "--latency":
        first, last, *books = books
        print(latency(path, first, last, books))
        return
    if kind == "--between":
        first, last, *books = books
        times = acks(books)
        print(sum(bisect.bisect_right(times, b) - bisect.bisect_left(times, a) for a, b in spans(path, first, last)))
        return
    times = acks(books)
    longest = 0
    for t, what in moments(path):
        if what == kind:
            at = bisect.bisect_right(times, t)
            if at == len(times):
                sys.exit(f"no PUBACK after {kind} at {t}")
            longest = max(longest, (times[at] - t) // 1000)
    print(longest)


main()
