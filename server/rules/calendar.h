/*
 * calendar: when a rule may raise alerts: times of the week in its time zone.
 *
 *     "timezone": "Europe/Vienna",
 *     "active": [{"days": "mon-fri", "from": "07:00", "to": "19:00"}, {"days": "sat"}]
 *
 * days: names and ranges, "mon-wed,fri"; all when absent. from and to: 00:00 and 24:00 when absent;
 * a window whose `to` is not after its `from` ends the day after.
 *
 * Ownership: rule_calendar_fini() frees the zone. Threads: any; nothing changes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/zone.h"
#include "rules/fields.h"

enum { RULE_CALENDAR_MAX = 16 };

struct rule_window {
    uint8_t days; /* bit 0 is Sunday: those on which it begins */
    int16_t from_minute, to_minute;
};

struct rule_calendar {
    struct zone *zone; /* NULL: UTC */
    struct rule_window windows[RULE_CALENDAR_MAX];
    uint32_t count; /* 0: always */
};

/* Of the fields `timezone` and `active`. ERR_TYPE, ERR_SYNTAX, ERR_LIMIT, ERR_UNKNOWN_NAME. */
NODISCARD enum err rule_calendar_read(const struct rule_fields *f,
                                      struct rule_calendar *ret_calendar);
void rule_calendar_fini(struct rule_calendar *c);
bool rule_calendar_open(const struct rule_calendar *c, int64_t t_us);
/* The first instant after t_us at which a window begins; at most a week and a day away, and never
 * later than it: where clocks are changed it may be earlier. CLOCK_NONE: the rule is always active.
 */
int64_t rule_calendar_next(const struct rule_calendar *c, int64_t t_us);
