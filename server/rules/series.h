/*
 * series: the readings of one metric in time order, for windows. A ring that is appended at its
 * end, cut back at its end by a roll-back and trimmed at its start as time goes on.
 *
 * Points have absolute numbers that never change: `first` is the oldest kept, `end` the next to
 * come.
 *
 * For every full block of points, small and large, what a window adds up is kept: extremes, and if
 * asked for, moments and falls. So a window costs its edges and a few blocks: about 40 steps for
 * 300 points, 1,100 for a million. Blocks lie at multiples of their size, so the last bits of a sum
 * depend on the numbers of its points: engine_series_shift() gives a restored series those it had.
 *
 * Ownership: engine_series_fini() frees the points. Threads: one.
 * Limits:    ENGINE_POINTS_MAX points; one more drops the oldest. A point takes 17 bytes, 12 more
 *            with turns, 2 more with moments.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "rules/functions.h"
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

/* Means, and sums of the products of the distances from them. Values and times are those since the
 * first point, so that a large offset takes no digits. */
struct engine_moments {
    double value, values; /* mean; sum of (v - mean)^2 */
    double time, times;   /* in seconds */
    double both;
};

/* Up to and with a point: how often the value was another one, or a smaller one, than the last, and
 * how many of the falls went round the modulus. */
struct engine_turn {
    uint32_t changes, falls, rounds;
};

/* What is kept of full blocks: of block b at [b & (blocks - 1)]. */
struct engine_blocks {
    struct engine_extremes *extremes;
    struct engine_moments *moments; /* NULL: not asked for */
    double *fallen;                 /* what counters lost; NULL: not asked for */
    uint64_t count;                 /* a power of two */
};

struct engine_series {
    unsigned needs;              /* enum rule_needs; set before the first point */
    double modulus;              /* of a counter; 0: none */
    struct engine_point *points; /* of point n: points[n & (cap - 1)] */
    struct engine_turn *turns;   /* as well; NULL: not asked for */
    struct engine_blocks small;
    struct engine_blocks large;
    uint64_t cap; /* a power of two, at least ENGINE_BLOCK_SMALL */
    uint64_t first;
    uint64_t end;
};

void engine_series_fini(struct engine_series *s);
NODISCARD enum err engine_series_append(struct engine_series *s, struct engine_point p);
void engine_series_cut(struct engine_series *s,
                       uint64_t end); /* forgets the points from `end` on */
void engine_series_trim(struct engine_series *s, uint64_t first);
/* Gives every point a number that is larger by `by`. */
NODISCARD enum err engine_series_shift(struct engine_series *s, uint64_t by);

/* Of the points [from, to), which is not empty: */
/* the smallest or largest value; */
double engine_series_extreme(const struct engine_series *s, uint64_t from, uint64_t to, bool high);
/* the moments; */
struct engine_moments engine_series_moments(const struct engine_series *s, uint64_t from,
                                            uint64_t to);
/* its turns, from the first point on; */
struct engine_turn engine_series_turns(const struct engine_series *s, uint64_t from, uint64_t to);
/* what to add to the difference of its ends, so that a counter's falls are none. */
double engine_series_fallen(const struct engine_series *s, uint64_t from, uint64_t to);
/* Did a counter go round its modulus? Forward by more than half a round is no round: it was reset,
 * or is another one. */
bool engine_series_round(const struct engine_series *s, double before, double after);

static inline struct engine_point engine_series_at(const struct engine_series *s, uint64_t n)
{
    return s->points[n & (s->cap - 1)];
}
