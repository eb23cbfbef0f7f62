/*
 * zone: the offset of a time zone from UTC, from the system's zone files (TZif, RFC 9636). Nothing
 * here reads or sets TZ or any other state of the process.
 *
 * Ownership: zone_load() and zone_parse() give a zone to their caller, who frees it.
 * Threads:   a zone never changes; any thread may ask it.
 * Errors:    ERR_UNKNOWN_NAME (no such zone, or no name of one), ERR_MALFORMED (no TZif of version
 * 2 or later), ERR_UNSUPPORTED (leap seconds), ERR_LIMIT, ERR_IO, ERR_NOMEM. Limits:    a file 256
 * KiB, 4,096 transitions, a name 64 characters.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct zone; /* NULL is UTC wherever one is asked */

struct zone_time {
    int year, month, day; /* 1970, 1 to 12, 1 to 31 */
    int hour, minute, second;
    int weekday;     /* 0 is Sunday */
    int day_of_year; /* from 1 */
    int days_in_month;
};

/* "Europe/Vienna", from /usr/share/zoneinfo; *ret_zone is NULL for "UTC", which needs no file. */
NODISCARD enum err zone_load(struct view name, struct zone **ret_zone);
/* The bytes of a file. */
NODISCARD enum err zone_parse(struct view tzif, struct zone **ret_zone);
void zone_free(struct zone *z);
/* Seconds to add to UTC. utc_us: not CLOCK_NONE. */
int32_t zone_offset_s(const struct zone *z, int64_t utc_us);
struct zone_time zone_local(const struct zone *z, int64_t utc_us);
