/*
 * zone_tail: what holds after the last transition of a zone file: its last line, a TZ text of POSIX
 * (IEEE 1003.1, 8.3) with the hours of RFC 9636: "CET-1CEST,M3.5.0,M10.5.0/3".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

/* The day and time of a change in each year, by local time before it. */
struct zone_change {
    char kind;            /* 'M': month, week, weekday; 'J': day 1 to 365; 'n': day 0 to 365 */
    int month, week, day; /* of 'M'; `day` of the others */
    int32_t time_s;       /* may be negative, or of a later day */
};

struct zone_tail {
    bool saves;                     /* has a summer time */
    int32_t offset_s, saved_s;      /* from UTC: standard time, summer time */
    struct zone_change start, stop; /* of summer time */
};

/* ERR_MALFORMED. */
NODISCARD enum err zone_tail_parse(struct view text, struct zone_tail *ret_tail);
int32_t zone_tail_offset_s(const struct zone_tail *t, int64_t utc_s);
