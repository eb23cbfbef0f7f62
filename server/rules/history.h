/*
 * history: the samples since the base snapshot in the order of (ts, arrival), with the values that
 * rules read.
 *
 * It serves one question: what must be run again after a roll-back. Samples are taken in any order
 * and lie unsorted behind the others until engine_history_merge() puts all of them in their places
 * at once: sorting n of them costs n log n and one pass, however far back they reach.
 *
 * Ownership: engine_history_fini() frees all. Threads: one.
 * Limits:    full: ENGINE_HISTORY_MAX samples, or ENGINE_HISTORY_WORK evaluations if all were run
 *            again; whoever adds makes room first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ENGINE_HISTORY_MAX = 65536,
    ENGINE_HISTORY_WORK = 1 << 19, /* about 25 ms: the most that one roll-back costs */
};

/* A value that some rule reads: not missing, not text. */
struct engine_reading {
    uint32_t slot;
    double value;
};

/* seq of an entry that is no sample: the clock has come to its time and nothing was heard. It
 * stands behind the samples of that time. */
#define ENGINE_TICK INT64_MAX

struct engine_entry {
    int64_t ts_us;
    int64_t seq;
    uint32_t count;
    uint32_t work;  /* evaluations that it causes, at most, and one for itself; 0: forgotten */
    uint64_t first; /* of its readings */
};

struct engine_history {
    /* [head, head + count) are in order; the `fresh` ones behind them came since the last merge. */
    struct engine_entry *entries;
    uint64_t head, count, fresh, cap;
    bool shuffled;                   /* the fresh ones are not in order, or not behind the others */
    bool gaps;                       /* some are forgotten, */
    uint64_t gap;                    /* the first of them is here */
    struct engine_reading *readings; /* in order of arrival; holes where entries were dropped */
    uint64_t reading_count, reading_cap;
    uint64_t live_count; /* readings that an entry still has */
    uint64_t work;       /* of all entries */
};

void engine_history_fini(struct engine_history *h);
bool engine_history_full(const struct engine_history *h);
/* Takes a sample; it has no place yet. */
NODISCARD enum err engine_history_add(struct engine_history *h, struct engine_entry entry,
                                      const struct engine_reading *readings);
/* Puts the fresh ones in their places by (ts, seq). *ret_from: the place of the first of them;
 * *ret_newer: from here to the end all are fresh. */
NODISCARD enum err engine_history_merge(struct engine_history *h, uint64_t *ret_from,
                                        uint64_t *ret_newer);
/* Entry i changed nothing: it goes with the next engine_history_close(). */
void engine_history_forget(struct engine_history *h, uint64_t i);
void engine_history_close(struct engine_history *h);
void engine_history_drop(struct engine_history *h, int64_t through_us); /* all up to and with */
/* The number of entries with ts <= ts_us: the index of the first one after. */
uint64_t engine_history_after(const struct engine_history *h, int64_t ts_us);

static inline const struct engine_entry *engine_history_at(const struct engine_history *h,
                                                           uint64_t i)
{
    return &h->entries[h->head + i];
}
