#include "maintenance/count.h"

#include <math.h>

#include "base/clock.h"

struct maintenance_count maintenance_count_init(void)
{
    return (struct maintenance_count){.prev_us = CLOCK_NONE, .reached_us = CLOCK_NONE};
}

static bool text_holds(const struct maintenance_trigger *t, struct view text)
{
    bool same = t->operand.text.data != NULL && view_eq(text, t->operand.text);
    return t->compare == MAINTENANCE_EQ ? same : t->compare == MAINTENANCE_NE && !same;
}

bool maintenance_holds(const struct maintenance_trigger *t, const struct maintenance_value *v)
{
    if (v->text.data != NULL || t->operand.text.data != NULL) {
        return text_holds(t, v->text);
    }
    double x = v->number;
    double limit = t->operand.number;
    switch (t->compare) {
    case MAINTENANCE_NE:
        return x != limit;
    case MAINTENANCE_EQ:
        return x == limit;
    case MAINTENANCE_GT:
        return x > limit;
    case MAINTENANCE_GE:
        return x >= limit;
    case MAINTENANCE_LT:
        return x < limit;
    case MAINTENANCE_LE:
        return x <= limit;
    }
    return false;
}

/* µs of (prev, ts] that count. */
static int64_t run_time(const struct maintenance_count *c, int64_t max_gap_us, int64_t since_us,
                        int64_t ts_us, int64_t *ret_end_us)
{
    int64_t from_us = c->prev_us > since_us ? c->prev_us : since_us;
    int64_t to_us = ts_us - c->prev_us > max_gap_us ? c->prev_us + max_gap_us : ts_us;
    *ret_end_us = to_us;
    return to_us > from_us ? to_us - from_us : 0;
}

static double grown(const struct maintenance_trigger *t, double from, double to)
{
    double by = to - from;
    if (by >= 0.0) {
        return by;
    }
    if (t->modulus == 0.0) {
        return to > 0.0 ? to : 0.0;
    }
    by = fmod(by, t->modulus);
    return by < 0.0 ? by + t->modulus : by;
}

static double goal(const struct maintenance_trigger *t)
{
    return t->kind == MAINTENANCE_RUN_HOURS ? t->every * (double)CLOCK_HOUR_US : t->every;
}

void maintenance_count_take(struct maintenance_count *c, const struct maintenance_trigger *t,
                            int64_t max_gap_us, int64_t since_us, int64_t ts_us,
                            const struct maintenance_value *v)
{
    bool registers = t->kind == MAINTENANCE_ENERGY || t->kind == MAINTENANCE_COUNTER;
    if ((registers && !isfinite(v->number)) || (v->text.data == NULL && isnan(v->number)) ||
        (c->prev_us != CLOCK_NONE && ts_us < c->prev_us)) {
        return;
    }
    double now = registers ? v->number : maintenance_holds(t, v) ? 1.0 : 0.0;
    int64_t at_us = ts_us;
    double add = 0.0;
    if (c->prev_us == CLOCK_NONE) {
        /* Nothing is known of what was before. */
    } else if (t->kind == MAINTENANCE_RUN_HOURS) {
        add = c->prev != 0.0 ? (double)run_time(c, max_gap_us, since_us, ts_us, &at_us) : 0.0;
    } else if (ts_us >= since_us) {
        add = registers ? grown(t, c->prev, now) : now > c->prev ? 1.0 : 0.0;
    }
    c->total += add;
    if (c->reached_us == CLOCK_NONE && add > 0.0 && c->total >= goal(t)) {
        /* Hours pass evenly, so the moment is known; everything else was seen with this sample. */
        c->reached_us =
            t->kind == MAINTENANCE_RUN_HOURS ? at_us - (int64_t)(c->total - goal(t)) : ts_us;
    }
    c->prev_us = ts_us;
    c->prev = now;
}

double maintenance_count_value(const struct maintenance_count *c,
                               const struct maintenance_trigger *t)
{
    return t->kind == MAINTENANCE_RUN_HOURS ? c->total / (double)CLOCK_HOUR_US : c->total;
}
