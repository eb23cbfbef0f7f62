/*
 * clock: the only place that reads the clocks. Time inside the server is int64_t microseconds.
 *
 * Wall time is since 1970-01-01T00:00:00Z; monotonic time is for timers and durations only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

#define CLOCK_MS_US     1000LL
#define CLOCK_SECOND_US 1000000LL
#define CLOCK_MINUTE_US (60 * CLOCK_SECOND_US)
#define CLOCK_HOUR_US   (60 * CLOCK_MINUTE_US)
#define CLOCK_DAY_US    (24 * CLOCK_HOUR_US)
#define CLOCK_NONE      INT64_MIN            /* "no time" */
#define CLOCK_MAX_US    253402300799999999LL /* 9999-12-31T23:59:59.999999Z */
#define CLOCK_MIN_US    0LL                  /* 1970-01-01T00:00:00Z */
#define CLOCK_TEXT_SIZE 40                   /* room for clock_format() */

int64_t clock_wall_us(void);
int64_t clock_mono_us(void);
/* RFC 3339 in UTC with as many decimals as needed, in groups of three: 2020-03-09T10:46:06.250Z.
 * Returns ret_text. Times outside [CLOCK_MIN_US, CLOCK_MAX_US] give "invalid". */
char *clock_format(int64_t us, char ret_text[static CLOCK_TEXT_SIZE]);
/* RFC 3339 with zone, up to nine decimals (cut to µs). */
NODISCARD enum err clock_parse(struct view text, int64_t *ret_us);
/* "250ms", "30s", "5m", "2h", "7d", "1w", "1h30m"; not negative. */
NODISCARD enum err clock_parse_duration(struct view text, int64_t *ret_us);
/* In days and smaller units, as clock_parse_duration() reads it back: "1h30m". Returns ret_text. */
char *clock_format_duration(int64_t us, char ret_text[static CLOCK_TEXT_SIZE]);
/* Civil date of a day number since 1970-01-01, and back. */
void clock_civil(int64_t days, int *ret_year, int *ret_month, int *ret_day);
int64_t clock_days(int year, int month, int day);
