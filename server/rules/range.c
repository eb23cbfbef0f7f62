/*
 * range: the functions over a window's readings. Each is a pure function of those and of t; what
 * PromQL has too is computed by its formulae (promql/functions.go of Prometheus).
 */
#include <math.h>

#include "rules/inside.h"

#define ABSENT ((double)NAN)

/* The scale that makes the median of the distances from the median an estimate of the standard
 * deviation of normally distributed values: 1 / Phi^-1(3/4). */
#define MAD_SCALE 1.482602218505602

/* The points [from, to) of a window that ends at t, not empty. */
struct window {
    const struct engine_series *series;
    uint64_t from, to;
    double length_s;
    double head_s; /* from its start to the first point */
    double rest_s; /* from the last point to t */
    double span_s; /* from the first to the last point */
};

static double seconds(int64_t us)
{
    return (double)us / (double)CLOCK_SECOND_US;
}

static struct window window_of(const struct engine *e, const struct engine_input *in, int64_t t_us)
{
    const struct engine_series *s = &e->slots[in->slot].series;
    const struct engine_range_state *r = &e->now->ranges[in->range];
    int64_t first_us = engine_series_at(s, r->tail).ts_us;
    int64_t last_us = engine_series_at(s, r->end - 1).ts_us;
    int64_t window_us = e->ranges[in->range].window_us;
    return (struct window){.series = s,
                           .from = r->tail,
                           .to = r->end,
                           .length_s = seconds(window_us),
                           .head_s = seconds(first_us - (t_us - window_us)),
                           .rest_s = seconds(t_us - last_us),
                           .span_s = seconds(last_us - first_us)};
}

static double first_of(const struct window *w)
{
    return engine_series_at(w->series, w->from).value;
}

static double last_of(const struct window *w)
{
    return engine_series_at(w->series, w->to - 1).value;
}

/* How far the readings stand for the window: they are taken to go on to its edges, unless an edge
 * is more than 1.1 of their mean distance away; then half a distance. `zero_s`: how long before the
 * first reading a counter was at zero. */
static double extrapolation(const struct window *w, double zero_s)
{
    double distance_s = w->span_s / (double)(w->to - w->from - 1);
    double limit_s = distance_s * 1.1;
    double head_s = w->head_s >= limit_s ? distance_s / 2 : w->head_s;
    double rest_s = w->rest_s >= limit_s ? distance_s / 2 : w->rest_s;
    head_s = zero_s < head_s ? zero_s : head_s;
    return (w->span_s + head_s + rest_s) / w->span_s;
}

static double increase(const struct window *w)
{
    if (w->to - w->from < 2) {
        return ABSENT;
    }
    double first = first_of(w);
    double grown = last_of(w) - first + engine_series_fallen(w->series, w->from, w->to);
    double zero_s = grown > 0 && first >= 0 ? w->span_s * (first / grown) : (double)INFINITY;
    return grown * extrapolation(w, zero_s);
}

/* A gauge may fall; but where a modulus is declared, what went round did not. */
static double delta(const struct window *w)
{
    if (w->to - w->from < 2) {
        return ABSENT;
    }
    struct engine_turn t = engine_series_turns(w->series, w->from, w->to);
    double grown = last_of(w) - first_of(w) + t.rounds * w->series->modulus;
    return grown * extrapolation(w, (double)INFINITY);
}

/* From the last reading but one to the last. */
static double last_step(const struct window *w, bool counter)
{
    const struct engine_series *s = w->series;
    if (w->to - w->from < 2) {
        return ABSENT;
    }
    double before = engine_series_at(s, w->to - 2).value;
    double after = last_of(w);
    if (engine_series_round(s, before, after)) {
        return after - before + s->modulus;
    }
    return counter && after < before ? after : after - before;
}

static double irate(const struct window *w)
{
    double step = last_step(w, true);
    if (isnan(step)) {
        return ABSENT;
    }
    int64_t before_us = engine_series_at(w->series, w->to - 2).ts_us;
    return step / seconds(engine_series_at(w->series, w->to - 1).ts_us - before_us);
}

static double deviation(const struct window *w)
{
    struct engine_moments m = engine_series_moments(w->series, w->from, w->to);
    return sqrt(m.values / (double)(w->to - w->from));
}

static double zscore(const struct window *w)
{
    struct engine_moments m = engine_series_moments(w->series, w->from, w->to);
    return (last_of(w) - first_of(w) - m.value) / sqrt(m.values / (double)(w->to - w->from));
}

/* The straight line of least squares: its slope, or its value `ahead_s` after t. */
static double regression(const struct window *w, bool predict, double ahead_s)
{
    if (w->to - w->from < 2) {
        return ABSENT;
    }
    struct engine_moments m = engine_series_moments(w->series, w->from, w->to);
    double slope = m.both / m.times;
    double since_s = w->span_s + w->rest_s - m.time + ahead_s;
    return predict ? first_of(w) + m.value + slope * since_s : slope;
}

static double turns(const struct window *w, bool falls)
{
    struct engine_turn t = engine_series_turns(w->series, w->from, w->to);
    return falls ? t.falls - t.rounds : t.changes;
}

static double anomaly(const struct engine_order *o, double value)
{
    return fabs(value - engine_order_quantile(o, 0.5)) / (MAD_SCALE * engine_order_mad(o));
}

/* Of a window that is not empty. */
static double value_of(const struct engine *e, const struct engine_input *in, int64_t t_us)
{
    const struct engine_range_state *r = &e->now->ranges[in->range];
    const struct engine_order *order = &e->ranges[in->range].order;
    struct window w = window_of(e, in, t_us);
    switch (in->fn) {
    case RULE_RANGE_AVG:
        return (r->sum + r->carry) / (double)(w.to - w.from);
    case RULE_RANGE_SUM:
        return r->sum + r->carry;
    case RULE_RANGE_MIN:
        return engine_series_extreme(w.series, w.from, w.to, false);
    case RULE_RANGE_MAX:
        return engine_series_extreme(w.series, w.from, w.to, true);
    case RULE_RANGE_COUNT:
        return (double)(w.to - w.from);
    case RULE_RANGE_FIRST:
        return first_of(&w);
    case RULE_RANGE_LAST:
        return last_of(&w);
    case RULE_RANGE_PRESENT:
        return 1.0;
    case RULE_RANGE_ABSENT:
        return 0.0;
    case RULE_RANGE_STDDEV:
        return deviation(&w);
    case RULE_RANGE_STDVAR:
        return engine_series_moments(w.series, w.from, w.to).values / (double)(w.to - w.from);
    case RULE_RANGE_ZSCORE:
        return zscore(&w);
    case RULE_RANGE_QUANTILE:
        return engine_order_quantile(order, in->param);
    case RULE_RANGE_MAD:
        return engine_order_mad(order);
    case RULE_RANGE_ANOMALY:
        return anomaly(order, last_of(&w));
    case RULE_RANGE_RATE:
        return increase(&w) / w.length_s;
    case RULE_RANGE_IRATE:
        return irate(&w);
    case RULE_RANGE_INCREASE:
        return increase(&w);
    case RULE_RANGE_DELTA:
        return delta(&w);
    case RULE_RANGE_IDELTA:
        return last_step(&w, false);
    case RULE_RANGE_DERIV:
        return regression(&w, false, 0);
    case RULE_RANGE_PREDICT:
        return regression(&w, true, in->param);
    case RULE_RANGE_CHANGES:
        return turns(&w, false);
    case RULE_RANGE_RESETS:
        return turns(&w, true);
    }
    return ABSENT;
}

double engine_range_value(const struct engine *e, const struct engine_input *in, int64_t t_us)
{
    const struct engine_range_state *r = &e->now->ranges[in->range];
    if (r->end > r->tail) {
        return value_of(e, in, t_us);
    }
    return in->fn == RULE_RANGE_PRESENT ? 0.0 : in->fn == RULE_RANGE_ABSENT ? 1.0 : ABSENT;
}
