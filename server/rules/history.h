/*
 * history: the samples since the base snapshot in the order of (ts, arrival), with the values that
 * rules read.
 *
 * It serves two questions: was this sample here before, and what must be run again after a
 * roll-back.
 *
 * Ownership: engine_history_fini() frees all. Threads: one.
 * Limits:    ENGINE_HISTORY_MAX samples; whoever adds makes room first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* A value that some rule reads: not missing, not text. */
struct engine_reading {
    uint32_t slot;
    double value;
};

struct engine_entry {
    int64_t ts_us;
    int64_t seq;
    int32_t digest;
    uint32_t count;
    uint64_t first; /* of its readings */
};

struct engine_history {
    struct engine_entry *entries; /* [head, head + count) are in use */
    uint64_t head, count, cap;
    struct engine_reading *readings; /* in order of arrival; holes after engine_history_drop() */
    uint64_t reading_count, reading_cap;
    uint64_t live_count; /* readings that an entry still has */
};

void engine_history_fini(struct engine_history *h);
/* A sample of the same time and content. */
bool engine_history_has(const struct engine_history *h, int64_t ts_us, int32_t digest);
/* Puts the sample in its place by (ts, seq); *ret_at is its index. */
NODISCARD enum err engine_history_add(struct engine_history *h, struct engine_entry entry,
                                      const struct engine_reading *readings, uint64_t *ret_at);
void engine_history_drop(struct engine_history *h, int64_t through_us); /* all up to and with */
/* The number of entries with ts <= ts_us: the index of the first one after. */
uint64_t engine_history_after(const struct engine_history *h, int64_t ts_us);

static inline const struct engine_entry *engine_history_at(const struct engine_history *h,
                                                           uint64_t i)
{
    return &h->entries[h->head + i];
}
