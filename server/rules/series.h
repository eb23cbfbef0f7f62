/*
 * series: the readings of one metric in time order, for windows. A ring that is appended at its
 * end, cut back at its end by a roll-back and trimmed at its start as time goes on.
 *
 * Points have absolute numbers that never change: `first` is the oldest kept, `end` the next to
 * come.
 *
 * For every full block of points, small and large, the smallest and largest value are kept, so that
 * the extreme of a window costs its edges and a few blocks: about 40 steps for 300 points, 1,100
 * for a million.
 *
 * Ownership: engine_series_fini() frees the points. Threads: one.
 * Limits:    ENGINE_POINTS_MAX points; one more drops the oldest.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "rules/history.h"

enum {
    ENGINE_BLOCK_SMALL = 32,
    ENGINE_BLOCK_LARGE = 1024,
    ENGINE_WINDOW_POINTS_MAX = 1000000, /* a window is its newest so many readings */
    /* No window of a snapshot reaches further back than this. */
    ENGINE_POINTS_MAX = ENGINE_WINDOW_POINTS_MAX + ENGINE_HISTORY_MAX,
};

struct engine_point {
    int64_t ts_us;
    double value;
};

struct engine_extremes {
    double low;
    double high;
};

struct engine_series {
    struct engine_point *points;   /* of point n: points[n & (cap - 1)] */
    struct engine_extremes *small; /* of block b: small[b & (cap / ENGINE_BLOCK_SMALL - 1)] */
    struct engine_extremes *large; /* as well, but at least one */
    uint64_t cap;                  /* a power of two, at least ENGINE_BLOCK_SMALL */
    uint64_t first;
    uint64_t end;
};

void engine_series_fini(struct engine_series *s);
NODISCARD enum err engine_series_append(struct engine_series *s, struct engine_point p);
void engine_series_cut(struct engine_series *s,
                       uint64_t end); /* forgets the points from `end` on */
void engine_series_trim(struct engine_series *s, uint64_t first);
/* The smallest or largest value of the points [from, to), which is not empty. */
double engine_series_extreme(const struct engine_series *s, uint64_t from, uint64_t to, bool high);

static inline struct engine_point engine_series_at(const struct engine_series *s, uint64_t n)
{
    return s->points[n & (s->cap - 1)];
}
