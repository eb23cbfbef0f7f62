#include "rules/series.h"

#include <stdlib.h>

void engine_series_fini(struct engine_series *s)
{
    free(s->points);
    free(s->small);
    free(s->large);
    *s = (struct engine_series){.points = NULL};
}

static uint64_t large_count(uint64_t cap)
{
    return cap < ENGINE_BLOCK_LARGE ? 1 : cap / ENGINE_BLOCK_LARGE;
}

static struct engine_extremes *small_of(const struct engine_series *s, uint64_t n)
{
    return &s->small[(n / ENGINE_BLOCK_SMALL) & (s->cap / ENGINE_BLOCK_SMALL - 1)];
}

static struct engine_extremes *large_of(const struct engine_series *s, uint64_t n)
{
    return &s->large[(n / ENGINE_BLOCK_LARGE) & (large_count(s->cap) - 1)];
}

static void widen(struct engine_extremes *b, struct engine_extremes by)
{
    b->low = by.low < b->low ? by.low : b->low;
    b->high = by.high > b->high ? by.high : b->high;
}

/* A block that is not whole, or lost points at its start, holds nonsense; nobody asks it. */
static void blocks_add(struct engine_series *s, uint64_t n, double value)
{
    struct engine_extremes one = {.low = value, .high = value};
    if (n % ENGINE_BLOCK_SMALL == 0) {
        *small_of(s, n) = one;
    } else {
        widen(small_of(s, n), one);
    }
    if (n % ENGINE_BLOCK_LARGE == 0) {
        *large_of(s, n) = one;
    } else {
        widen(large_of(s, n), one);
    }
}

static enum err grow(struct engine_series *s)
{
    uint64_t cap = s->cap == 0 ? ENGINE_BLOCK_SMALL : s->cap * 2;
    struct engine_series bigger = {
        .points = malloc(cap * sizeof(*bigger.points)),
        .small = calloc(cap / ENGINE_BLOCK_SMALL, sizeof(*bigger.small)),
        .large = calloc(large_count(cap), sizeof(*bigger.large)),
        .cap = cap,
        .first = s->first,
        .end = s->end,
    };
    if (bigger.points == NULL || bigger.small == NULL || bigger.large == NULL) {
        engine_series_fini(&bigger);
        return ERR_NOMEM;
    }
    for (uint64_t n = s->first; n < s->end; n++) {
        struct engine_point p = engine_series_at(s, n);
        bigger.points[n & (cap - 1)] = p;
        blocks_add(&bigger, n, p.value);
    }
    free(s->points);
    free(s->small);
    free(s->large);
    *s = bigger;
    return ERR_OK;
}

enum err engine_series_append(struct engine_series *s, struct engine_point p)
{
    if (s->end - s->first == ENGINE_POINTS_MAX) {
        s->first++;
    }
    if (s->end - s->first == s->cap) {
        enum err e = grow(s);
        if (e != ERR_OK) {
            return e;
        }
    }
    s->points[s->end & (s->cap - 1)] = p;
    blocks_add(s, s->end, p.value);
    s->end++;
    return ERR_OK;
}

void engine_series_cut(struct engine_series *s, uint64_t end)
{
    if (end >= s->end) {
        return;
    }
    s->end = end;
    s->first = s->first < end ? s->first : end;
    /* The last blocks lost points: the small one is made anew from its points, the large one from
     * the small. */
    uint64_t small = end - end % ENGINE_BLOCK_SMALL;
    for (uint64_t n = small; n < end; n++) {
        double v = engine_series_at(s, n).value;
        struct engine_extremes one = {.low = v, .high = v};
        if (n == small) {
            *small_of(s, n) = one;
        } else {
            widen(small_of(s, n), one);
        }
    }
    uint64_t large = end - end % ENGINE_BLOCK_LARGE;
    for (uint64_t n = large; n < end; n += ENGINE_BLOCK_SMALL) {
        if (n == large) {
            *large_of(s, n) = *small_of(s, n);
        } else {
            widen(large_of(s, n), *small_of(s, n));
        }
    }
}

void engine_series_trim(struct engine_series *s, uint64_t first)
{
    s->first = first > s->first ? first : s->first;
}

static double pick(double a, double b, bool high)
{
    return (high ? b > a : b < a) ? b : a;
}

double engine_series_extreme(const struct engine_series *s, uint64_t from, uint64_t to, bool high)
{
    double best = engine_series_at(s, from).value;
    uint64_t n = from;
    while (n < to) {
        if (n % ENGINE_BLOCK_SMALL != 0 || to - n < ENGINE_BLOCK_SMALL) {
            best = pick(best, engine_series_at(s, n).value, high);
            n++;
            continue;
        }
        bool large = n % ENGINE_BLOCK_LARGE == 0 && to - n >= ENGINE_BLOCK_LARGE;
        const struct engine_extremes *b = large ? large_of(s, n) : small_of(s, n);
        best = pick(best, high ? b->high : b->low, high);
        n += large ? ENGINE_BLOCK_LARGE : ENGINE_BLOCK_SMALL;
    }
    return best;
}
