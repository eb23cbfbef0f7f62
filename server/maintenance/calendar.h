/*
 * calendar: dates of RFC 5545 recurrence rules in a time zone, by libical. The only file that knows
 * it.
 *
 * A local time that a change to summer time skips is taken an hour later.
 * Threads: any. Limits: FREQ is DAILY, WEEKLY, MONTHLY or YEARLY; no RSCALE.
 */
#pragma once

#include "maintenance/plan.h"

/* ERR_SYNTAX, ERR_UNKNOWN_NAME (the zone), ERR_NOT_FOUND (it has no date at all); ret_detail says
 * what is wrong. start may be NULL. */
NODISCARD enum err maintenance_calendar_check(const char *rrule, const char *zone,
                                              const char *start, char *ret_detail, size_t size);
/* The first date after `after_us`, of a rule that was checked. anchor_us: the first occurrence when
 * the trigger has no `start`. CLOCK_NONE: there is none. */
int64_t maintenance_calendar_next(const struct maintenance_trigger *t, int64_t anchor_us,
                                  int64_t after_us);
