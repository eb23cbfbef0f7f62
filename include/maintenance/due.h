/*
 * due: when a plan is due for a device, and why. Whichever of its triggers comes first.
 *
 * A counter's date is forecast from its mean pace since the last service: newest sample + what is
 * left / pace. A counter that does not move has no date.
 */
#pragma once

#include "maintenance/count.h"

enum maintenance_status {
    MAINTENANCE_OK,
    MAINTENANCE_DUE_SOON,
    MAINTENANCE_DUE,
    MAINTENANCE_OVERDUE,
};

/* What is known of a device. */
struct maintenance_facts {
    int64_t since_us;  /* the last service, or the beginning */
    int64_t after_us;  /* a calendar's next date lies after this: the service, or the date it was
                          done for if that is later */
    int64_t newest_us; /* newest sample; CLOCK_NONE: none */
    int64_t now_us;
    const struct maintenance_count
        *counts;             /* one each trigger; those that do not count are unused */
    const int64_t *fired_us; /* the same: first alert since; CLOCK_NONE: none */
};

struct maintenance_due {
    enum maintenance_status status;
    int64_t due_us;   /* CLOCK_NONE: nobody can tell */
    uint32_t trigger; /* which one comes first; valid when due_us is */
    bool reached;     /* it is so far; else due_us is a forecast */
    double per_day;   /* the pace it is forecast from; NaN: no forecast by pace */
};

const char *maintenance_status_words(enum maintenance_status s);
/* What a date that was found means at another time. */
enum maintenance_status maintenance_due_status(const struct maintenance_plan *p,
                                               const struct maintenance_due *d, int64_t now_us);
struct maintenance_due maintenance_due_find(const struct maintenance_plan *p,
                                            const struct maintenance_facts *f);
