#include "rules/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct order_chunk {
    double values[ORDER_CHUNK];
};

static void clear(struct engine_order *o, uint64_t at)
{
    for (uint32_t i = 0; i < o->chunk_count; i++) {
        free(o->chunks[i]);
    }
    o->chunk_count = 0;
    o->total = 0;
    o->from = at;
    o->to = at;
}

void engine_order_fini(struct engine_order *o)
{
    clear(o, 0);
    free(o->chunks);
    free(o->counts);
    *o = (struct engine_order){.chunks = NULL};
}

/* The first chunk whose largest value is not smaller than v; the last one if there is none. */
static uint32_t chunk_of(const struct engine_order *o, double v)
{
    uint32_t low = 0;
    uint32_t high = o->chunk_count - 1;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (o->chunks[mid]->values[o->counts[mid] - 1] < v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* The first place in the chunk whose value is not smaller than v. */
static uint32_t place_of(const struct engine_order *o, uint32_t chunk, double v)
{
    const double *values = o->chunks[chunk]->values;
    uint32_t low = 0;
    uint32_t high = o->counts[chunk];
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (values[mid] < v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* An empty chunk before the others from `at` on. */
static enum err chunk_add(struct engine_order *o, uint32_t at)
{
    if (o->chunk_count == o->chunk_cap) {
        uint32_t cap = o->chunk_cap == 0 ? 4 : o->chunk_cap * 2;
        struct order_chunk **chunks = realloc(o->chunks, cap * sizeof(struct order_chunk *));
        if (chunks == NULL) {
            return ERR_NOMEM;
        }
        o->chunks = chunks;
        uint32_t *counts = realloc(o->counts, cap * sizeof(*counts));
        if (counts == NULL) {
            return ERR_NOMEM;
        }
        o->counts = counts;
        o->chunk_cap = cap;
    }
    struct order_chunk *chunk = malloc(sizeof(*chunk));
    if (chunk == NULL) {
        return ERR_NOMEM;
    }
    uint32_t behind = o->chunk_count - at;
    memmove(o->chunks + at + 1, o->chunks + at, behind * sizeof(struct order_chunk *));
    memmove(o->counts + at + 1, o->counts + at, behind * sizeof(*o->counts));
    o->chunks[at] = chunk;
    o->counts[at] = 0;
    o->chunk_count++;
    return ERR_OK;
}

static void chunk_remove(struct engine_order *o, uint32_t at)
{
    free(o->chunks[at]);
    uint32_t behind = o->chunk_count - at - 1;
    memmove(o->chunks + at, o->chunks + at + 1, behind * sizeof(struct order_chunk *));
    memmove(o->counts + at, o->counts + at + 1, behind * sizeof(*o->counts));
    o->chunk_count--;
}

/* A full chunk gives its upper half to a new one behind it. */
static enum err split(struct engine_order *o, uint32_t at)
{
    enum err e = chunk_add(o, at + 1);
    if (e == ERR_OK) {
        memcpy(o->chunks[at + 1]->values, o->chunks[at]->values + ORDER_CHUNK / 2,
               ORDER_CHUNK / 2 * sizeof(double));
        o->counts[at] = ORDER_CHUNK / 2;
        o->counts[at + 1] = ORDER_CHUNK / 2;
    }
    return e;
}

static enum err insert(struct engine_order *o, double v)
{
    enum err e = o->chunk_count == 0 ? chunk_add(o, 0) : ERR_OK;
    uint32_t at = e != ERR_OK || o->counts[0] == 0 ? 0 : chunk_of(o, v);
    if (e == ERR_OK && o->counts[at] == ORDER_CHUNK) {
        e = split(o, at);
        at += e == ERR_OK && o->chunks[at]->values[o->counts[at] - 1] < v ? 1 : 0;
    }
    if (e != ERR_OK) {
        return e;
    }
    uint32_t place = place_of(o, at, v);
    double *values = o->chunks[at]->values;
    memmove(values + place + 1, values + place, (o->counts[at] - place) * sizeof(*values));
    values[place] = v;
    o->counts[at]++;
    o->total++;
    return ERR_OK;
}

/* Two neighbours that are half a chunk together become one. */
static void merge(struct engine_order *o, uint32_t at)
{
    if (at + 1 >= o->chunk_count || o->counts[at] + o->counts[at + 1] > ORDER_CHUNK / 2) {
        return;
    }
    memcpy(o->chunks[at]->values + o->counts[at], o->chunks[at + 1]->values,
           o->counts[at + 1] * sizeof(double));
    o->counts[at] += o->counts[at + 1];
    chunk_remove(o, at + 1);
}

static void take_out(struct engine_order *o, double v)
{
    uint32_t at = chunk_of(o, v);
    uint32_t place = place_of(o, at, v);
    double *values = o->chunks[at]->values;
    CHECK(place < o->counts[at] && values[place] == v); /* what was put in is in */
    o->counts[at]--;
    o->total--;
    memmove(values + place, values + place + 1, (o->counts[at] - place) * sizeof(*values));
    if (o->counts[at] == 0) {
        chunk_remove(o, at);
        return;
    }
    merge(o, at);
}

enum err engine_order_follow(struct engine_order *o, const struct engine_series *s, uint64_t from,
                             uint64_t to)
{
    if (from >= o->to || to <= o->from || o->from < s->first) {
        clear(o, from); /* nothing in common, or points that are to go are not known any more */
    }
    enum err e = ERR_OK;
    while (o->from < from) {
        take_out(o, engine_series_at(s, o->from++).value);
    }
    while (o->to > to) {
        take_out(o, engine_series_at(s, --o->to).value);
    }
    while (o->from > from && e == ERR_OK) {
        e = insert(o, engine_series_at(s, --o->from).value);
    }
    while (o->to < to && e == ERR_OK) {
        e = insert(o, engine_series_at(s, o->to++).value);
    }
    return e;
}

void engine_order_cut(struct engine_order *o, const struct engine_series *s, uint64_t end)
{
    if (end <= o->from || o->from < s->first) {
        clear(o, end);
    }
    while (o->to > end) {
        take_out(o, engine_series_at(s, --o->to).value);
    }
}

double engine_order_at(const struct engine_order *o, uint64_t rank)
{
    uint32_t at = 0;
    while (rank >= o->counts[at]) {
        rank -= o->counts[at];
        at++;
    }
    return o->chunks[at]->values[rank];
}

double engine_order_quantile(const struct engine_order *o, double q)
{
    double rank = q * (double)(o->total - 1);
    uint64_t low = (uint64_t)floor(rank);
    uint64_t high = low + 1 < o->total ? low + 1 : o->total - 1;
    double weight = rank - floor(rank);
    return engine_order_at(o, low) * (1 - weight) + engine_order_at(o, high) * weight;
}

/* How many values are smaller than v. */
static uint64_t rank_of(const struct engine_order *o, double v)
{
    uint32_t at = chunk_of(o, v);
    uint64_t rank = place_of(o, at, v);
    for (uint32_t i = 0; i < at; i++) {
        rank += o->counts[i];
    }
    return rank;
}

/* The distance from `middle` with `rank` smaller ones. Those below it and those above it are sorted
 * by their distance already: i of the smallest come from below, the others from above. */
static double distance_at(const struct engine_order *o, double middle, uint64_t below,
                          uint64_t rank)
{
    uint64_t above = o->total - below;
    uint64_t low = rank + 1 > above ? rank + 1 - above : 0;
    uint64_t high = rank + 1 < below ? rank + 1 : below;
    while (low < high) { /* the fewest from below that leave nothing nearer behind */
        uint64_t i = (low + high) / 2;
        uint64_t j = rank + 1 - i;
        if (j > 0 && middle - engine_order_at(o, below - 1 - i) <
                         engine_order_at(o, below + j - 1) - middle) {
            low = i + 1;
        } else {
            high = i;
        }
    }
    uint64_t j = rank + 1 - low;
    double a = low > 0 ? middle - engine_order_at(o, below - low) : 0;
    double b = j > 0 ? engine_order_at(o, below + j - 1) - middle : 0;
    return a > b ? a : b;
}

double engine_order_mad(const struct engine_order *o)
{
    double middle = engine_order_quantile(o, 0.5);
    uint64_t below = rank_of(o, middle);
    uint64_t half = (o->total - 1) / 2;
    double low = distance_at(o, middle, below, half);
    return o->total % 2 == 1 ? low : low * 0.5 + distance_at(o, middle, below, half + 1) * 0.5;
}
