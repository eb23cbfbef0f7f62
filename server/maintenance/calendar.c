#include "maintenance/calendar.h"

#include <libical/ical.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

/*
 * A rule is expanded from its first occurrence on. Without COUNT the iterator starts at the time
 * asked for; with it the occurrences must be counted, and ends a rule does.
 */
enum { CALENDAR_STEPS_MAX = 100000 };

static icaltimezone *find_zone(const char *name)
{
    return strcmp(name, "UTC") == 0 ? icaltimezone_get_utc_timezone()
                                    : icaltimezone_get_builtin_timezone(name);
}

static struct icaltimetype local_time(int64_t us, icaltimezone *zone)
{
    return icaltime_from_timet_with_zone((time_t)(us / CLOCK_SECOND_US), 0, zone);
}

/* "2026-01-25T02:00:00" or "2026-01-25", local. */
static bool read_start(const char *text, struct icaltimetype *ret_time)
{
    int n = 0;
    struct icaltimetype t = icaltime_null_time();
    int fields = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &t.year, &t.month, &t.day, &t.hour,
                        &t.minute, &t.second, &n);
    if (fields == 3 && strlen(text) == 10) {
        n = 10;
    }
    if ((fields != 3 && fields != 6) || text[n] != '\0' || t.year < 1970 || t.year > 9999) {
        return false;
    }
    struct icaltimetype normal = icaltime_normalize(t);
    *ret_time = t;
    return icaltime_compare(normal, t) == 0; /* the 30th of February is none */
}

static bool frequency_allowed(const struct icalrecurrencetype *r)
{
    return r->freq == ICAL_DAILY_RECURRENCE || r->freq == ICAL_WEEKLY_RECURRENCE ||
           r->freq == ICAL_MONTHLY_RECURRENCE || r->freq == ICAL_YEARLY_RECURRENCE;
}

/* The first occurrence after a time; null: none. */
static struct icaltimetype expand(struct icalrecurrencetype r, struct icaltimetype start,
                                  struct icaltimetype after)
{
    icalrecur_iterator *at = icalrecur_iterator_new(r, start);
    if (at == NULL) {
        return icaltime_null_time();
    }
    if (r.count == 0 && icaltime_compare(after, start) > 0) {
        (void)icalrecur_iterator_set_start(at, after);
    }
    struct icaltimetype next = icalrecur_iterator_next(at);
    for (int i = 0; i < CALENDAR_STEPS_MAX && !icaltime_is_null_time(next); i++) {
        if (icaltime_compare(next, after) > 0) {
            break;
        }
        next = icalrecur_iterator_next(at);
    }
    icalrecur_iterator_free(at);
    return icaltime_compare(next, after) > 0 ? next : icaltime_null_time();
}

static int64_t next_date(const char *rrule, const char *zone_name, const char *start,
                         int64_t anchor_us, int64_t after_us)
{
    icaltimezone *zone = find_zone(zone_name);
    struct icalrecurrencetype r = icalrecurrencetype_from_string(rrule);
    struct icaltimetype first = icaltime_null_time();
    if (zone == NULL || !frequency_allowed(&r)) {
        return CLOCK_NONE;
    }
    if (start == NULL || !read_start(start, &first)) {
        first = local_time(anchor_us, zone);
    }
    first.zone = NULL; /* occurrences are compared as local times */
    struct icaltimetype after = local_time(after_us, zone);
    after.zone = NULL;
    struct icaltimetype next = expand(r, first, after);
    if (icaltime_is_null_time(next)) {
        return CLOCK_NONE;
    }
    int64_t us = (int64_t)icaltime_as_timet_with_zone(next, zone) * CLOCK_SECOND_US;
    /* A local time that is skipped is taken with the offset before the gap (RFC 5545, 3.3.5). */
    struct icaltimetype back = local_time(us, zone);
    back.zone = NULL;
    int64_t skipped_s = icaldurationtype_as_int(icaltime_subtract(next, back));
    return us + (skipped_s > 0 ? skipped_s : 0) * CLOCK_SECOND_US;
}

enum err maintenance_calendar_check(const char *rrule, const char *zone, const char *start,
                                    char *ret_detail, size_t size)
{
    icalerror_set_errors_are_fatal(0);
    struct icaltimetype first;
    if (strncmp(rrule, "FREQ=", 5) != 0 || strstr(rrule, "RSCALE") != NULL) {
        (void)snprintf(ret_detail, size, "expected a rule such as FREQ=MONTHLY;BYDAY=-1SU");
        return ERR_SYNTAX;
    }
    struct icalrecurrencetype r = icalrecurrencetype_from_string(rrule);
    if (r.freq == ICAL_NO_RECURRENCE) {
        (void)snprintf(ret_detail, size, "is no recurrence rule of RFC 5545");
        return ERR_SYNTAX;
    }
    if (!frequency_allowed(&r)) {
        (void)snprintf(ret_detail, size, "FREQ is DAILY, WEEKLY, MONTHLY or YEARLY");
        return ERR_SYNTAX;
    }
    if (find_zone(zone) == NULL) {
        (void)snprintf(ret_detail, size, "%.80s is no time zone, such as Europe/Berlin", zone);
        return ERR_UNKNOWN_NAME;
    }
    if (start != NULL && !read_start(start, &first)) {
        (void)snprintf(ret_detail, size, "expected a local time such as 2026-01-25T02:00:00");
        return ERR_TYPE;
    }
    if (next_date(rrule, zone, start, CLOCK_MIN_US, CLOCK_MIN_US) == CLOCK_NONE) {
        (void)snprintf(ret_detail, size, "has no date");
        return ERR_NOT_FOUND;
    }
    return ERR_OK;
}

int64_t maintenance_calendar_next(const struct maintenance_trigger *t, int64_t anchor_us,
                                  int64_t after_us)
{
    return next_date(t->rrule, t->zone, t->start, anchor_us, after_us);
}
