#include "maintenance/due.h"

#include <math.h>

#include "base/clock.h"
#include "maintenance/calendar.h"

const char *maintenance_status_words(enum maintenance_status s)
{
    static const char *const words[] = {
        [MAINTENANCE_OK] = "ok",
        [MAINTENANCE_DUE_SOON] = "due_soon",
        [MAINTENANCE_DUE] = "due",
        [MAINTENANCE_OVERDUE] = "overdue",
    };
    return words[s];
}

/* One trigger by itself. */
struct date {
    int64_t us; /* CLOCK_NONE: never, as far as is known */
    bool reached;
    double per_day;
};

static struct date count_date(const struct maintenance_trigger *t,
                              const struct maintenance_count *c, const struct maintenance_facts *f)
{
    struct date d = {.us = CLOCK_NONE, .per_day = (double)NAN};
    double value = maintenance_count_value(c, t);
    double days = f->newest_us == CLOCK_NONE
                      ? 0.0
                      : (double)(f->newest_us - f->since_us) / (double)CLOCK_DAY_US;
    if (days > 0.0) {
        d.per_day = value / days;
    }
    if (c->reached_us != CLOCK_NONE || value >= t->every) {
        d.us = c->reached_us != CLOCK_NONE ? c->reached_us : c->prev_us;
        d.reached = true;
    } else if (d.per_day > 0.0) {
        double us = (t->every - value) / d.per_day * (double)CLOCK_DAY_US;
        double left = (double)(CLOCK_MAX_US - f->newest_us);
        d.us = us < left ? f->newest_us + (int64_t)us : CLOCK_NONE;
    }
    return d;
}

static struct date trigger_date(const struct maintenance_trigger *t, uint32_t at,
                                const struct maintenance_facts *f)
{
    struct date d = {.us = CLOCK_NONE, .per_day = (double)NAN};
    switch (t->kind) {
    case MAINTENANCE_RUN_HOURS:
    case MAINTENANCE_CYCLES:
    case MAINTENANCE_ENERGY:
    case MAINTENANCE_COUNTER:
        return count_date(t, &f->counts[at], f);
    case MAINTENANCE_CALENDAR:
        d.us = maintenance_calendar_next(t, f->since_us, f->after_us);
        d.reached = d.us != CLOCK_NONE && d.us <= f->now_us;
        return d;
    case MAINTENANCE_CONDITION:
        d.us = f->fired_us[at];
        d.reached = d.us != CLOCK_NONE;
        return d;
    }
    return d;
}

enum maintenance_status maintenance_due_status(const struct maintenance_plan *p,
                                               const struct maintenance_due *d, int64_t now_us)
{
    if (d->due_us == CLOCK_NONE) {
        return MAINTENANCE_OK;
    }
    if (d->reached) {
        return d->due_us + p->overdue_after_us < now_us ? MAINTENANCE_OVERDUE : MAINTENANCE_DUE;
    }
    return d->due_us - p->due_soon_us <= now_us ? MAINTENANCE_DUE_SOON : MAINTENANCE_OK;
}

struct maintenance_due maintenance_due_find(const struct maintenance_plan *p,
                                            const struct maintenance_facts *f)
{
    struct maintenance_due due = {.due_us = CLOCK_NONE, .per_day = (double)NAN};
    for (uint32_t i = 0; i < p->trigger_count; i++) {
        struct date d = trigger_date(&p->triggers[i], i, f);
        /* What is reached comes before every forecast, even one that lies in the past. */
        bool first = d.us != CLOCK_NONE && (due.due_us == CLOCK_NONE || d.reached > due.reached ||
                                            (d.reached == due.reached && d.us < due.due_us));
        if (first) {
            due.due_us = d.us;
            due.reached = d.reached;
            due.trigger = i;
            due.per_day = d.per_day;
        }
    }
    due.status = maintenance_due_status(p, &due, f->now_us);
    return due;
}
