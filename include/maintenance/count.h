/*
 * count: what a trigger counted since the last service, as a pure fold over the samples of its
 * metric in the order of their time.
 *
 * Run hours: an interval between two samples counts when the condition held at the earlier one, and
 * of an interval that is longer than max_gap only max_gap: a machine that is silent while it runs
 * is not credited with a standstill, and one that died is not credited with weeks. The last
 * sample's interval counts when the next one comes. Cycles: from false at one sample to true at the
 * next, whatever lies between them. Registers: the difference; where it is negative the modulus is
 * added, and without a modulus the register began anew at 0 (as PromQL's increase takes it).
 *
 * Samples before `since` only tell what the state was: so the counts of two services in a row add
 * up to that of one.
 *
 * Exactness: hours are kept in µs, which a double holds exactly for 285 years; sums are made in the
 * order of the samples. A fold that is stopped, stored and taken up again gives the same bits.
 */
#pragma once

#include "maintenance/plan.h"

struct maintenance_count {
    double total;       /* µs, cycles, or in the metric's unit */
    int64_t prev_us;    /* the newest sample taken; CLOCK_NONE: none */
    double prev;        /* of a condition 0 or 1, of a register its value */
    int64_t reached_us; /* when `every` was reached; CLOCK_NONE: not yet */
};

struct maintenance_count maintenance_count_init(void);
bool maintenance_holds(const struct maintenance_trigger *t, const struct maintenance_value *v);
/* In order of time; a sample older than the one before is passed over. */
void maintenance_count_take(struct maintenance_count *c, const struct maintenance_trigger *t,
                            int64_t max_gap_us, int64_t since_us, int64_t ts_us,
                            const struct maintenance_value *v);
/* In the unit of `every`. */
double maintenance_count_value(const struct maintenance_count *c,
                               const struct maintenance_trigger *t);
