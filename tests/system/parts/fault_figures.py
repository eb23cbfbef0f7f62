#!/usr/bin/env python3
"""fault_figures.py MOMENTS KIND BOOK.csv… : the longest time in ms from a moment of that kind to the first PUBACK after it.

MOMENTS has lines `µs kind`. `--between A B` instead of KIND: how many messages were acknowledged between each A and the next B.
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


def main():
    path, kind, *books = sys.argv[1:]
    if kind == "--between":
        first, last, *books = books
        times, count, began = acks(books), 0, None
        for t, what in moments(path):
            if what == first:
                began = t
            elif what == last and began is not None:
                count += bisect.bisect_right(times, t) - bisect.bisect_left(times, began)
                began = None
        print(count)
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
