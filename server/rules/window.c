/*
 * window: what came into (t - W, t] and what left it, and running sums over it.
 *
 * What left the window is subtracted first, then what came is added, both with Neumaier's
 * compensation; an empty window is exactly zero again. The sum is part of the state, so the result
 * is a fold over the sorted samples and has the same bits whatever order they arrived in. A window
 * keeps its newest ENGINE_WINDOW_POINTS_MAX readings.
 */
#include <math.h>

#include "rules/inside.h"

/* A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974. */
static void sum_add(struct engine_range_state *r, double v)
{
    double sum = r->sum + v;
    r->carry += fabs(r->sum) >= fabs(v) ? (r->sum - sum) + v : (v - sum) + r->sum;
    r->sum = sum;
}

static void drop_tail(struct engine_range_state *r, const struct engine_series *s, bool sums)
{
    if (sums) {
        sum_add(r, -engine_series_at(s, r->tail).value);
    }
    r->tail++;
    if (r->tail == r->end) {
        r->sum = 0;
        r->carry = 0;
    }
}

void engine_range_advance(struct engine *e, uint32_t range, int64_t t_us)
{
    struct engine_range *spec = &e->ranges[range];
    const struct engine_series *s = &e->slots[spec->slot].series;
    struct engine_range_state *r = &e->now->ranges[range];
    uint64_t end = e->now->slots[spec->slot].end;
    int64_t edge_us = t_us - spec->window_us;
    while (r->tail < r->end && engine_series_at(s, r->tail).ts_us <= edge_us) {
        drop_tail(r, s, spec->sums);
    }
    if (r->tail == r->end) { /* empty: start at the oldest point inside */
        uint64_t n = r->end > s->first ? r->end : s->first;
        while (n < end && engine_series_at(s, n).ts_us <= edge_us) {
            n++;
        }
        *r = (struct engine_range_state){.tail = n, .end = n};
    }
    while (r->end < end) {
        if (r->end - r->tail == ENGINE_WINDOW_POINTS_MAX) {
            drop_tail(r, s, spec->sums);
        }
        if (spec->sums) {
            sum_add(r, engine_series_at(s, r->end).value);
        }
        r->end++;
    }
    if (spec->ordered && e->failed == ERR_OK) {
        e->failed = engine_order_follow(&spec->order, s, r->tail, r->end);
    }
}

void engine_orders_cut(struct engine *e)
{
    for (uint32_t i = 0; i < e->range_count; i++) {
        struct engine_range *spec = &e->ranges[i];
        if (spec->ordered) {
            engine_order_cut(&spec->order, &e->slots[spec->slot].series,
                             e->now->slots[spec->slot].end);
        }
    }
}

void engine_range_recount(struct engine *e, uint32_t range)
{
    const struct engine_series *s = &e->slots[e->ranges[range].slot].series;
    struct engine_range_state *r = &e->now->ranges[range];
    r->sum = 0;
    r->carry = 0;
    for (uint64_t n = r->tail; n < r->end; n++) {
        sum_add(r, engine_series_at(s, n).value);
    }
}
