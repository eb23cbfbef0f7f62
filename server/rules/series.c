#include "rules/series.h"

#include <stdlib.h>

void engine_series_fini(struct engine_series *s)
{
    free(s->points);
    free(s->extremes);
    *s = (struct engine_series){.points = NULL};
}

static struct engine_extremes *block_of(const struct engine_series *s, uint64_t n)
{
    return &s->extremes[(n / ENGINE_BLOCK) & (s->cap / ENGINE_BLOCK - 1)];
}

static void block_add(struct engine_series *s, uint64_t n, double value)
{
    struct engine_extremes *b = block_of(s, n);
    if (n % ENGINE_BLOCK == 0) {
        *b = (struct engine_extremes){.low = value, .high = value};
        return;
    }
    b->low = value < b->low ? value : b->low;
    b->high = value > b->high ? value : b->high;
}

static enum err grow(struct engine_series *s)
{
    uint64_t cap = s->cap == 0 ? ENGINE_BLOCK : s->cap * 2;
    struct engine_series bigger = {
        .points = malloc(cap * sizeof(*bigger.points)),
        .extremes = calloc(cap / ENGINE_BLOCK, sizeof(*bigger.extremes)),
        .cap = cap,
        .first = s->first,
        .end = s->end,
    };
    if (bigger.points == NULL || bigger.extremes == NULL) {
        engine_series_fini(&bigger);
        return ERR_NOMEM;
    }
    for (uint64_t n = s->first; n < s->end; n++) {
        struct engine_point p = engine_series_at(s, n);
        bigger.points[n & (cap - 1)] = p;
        block_add(&bigger, n, p.value);
    }
    free(s->points);
    free(s->extremes);
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
    block_add(s, s->end, p.value);
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
    uint64_t from = end - end % ENGINE_BLOCK; /* the last block lost some of its points */
    for (uint64_t n = from > s->first ? from : s->first; n < end; n++) {
        block_add(s, n, engine_series_at(s, n).value);
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
        if (n % ENGINE_BLOCK == 0 && to - n >= ENGINE_BLOCK) {
            const struct engine_extremes *b = block_of(s, n);
            best = pick(best, high ? b->high : b->low, high);
            n += ENGINE_BLOCK;
        } else {
            best = pick(best, engine_series_at(s, n).value, high);
            n++;
        }
    }
    return best;
}
