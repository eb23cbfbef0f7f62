#include "base/zone_tail.h"

#include "base/clock.h"

enum { HOUR_S = 3600, DAY_S = 86400, HOURS_MAX = 167, FIELD_MAX = 999 };

static uint8_t look(struct view v)
{
    return v.len > 0 ? v.data[0] : 0;
}

static bool take(struct view *v, char c)
{
    if (look(*v) != (uint8_t)c) {
        return false;
    }
    *v = view_skip(*v, 1);
    return true;
}

/* A number of one to three digits in [min, max]. */
static bool take_number(struct view *v, int min, int max, int *ret_number)
{
    int n = 0;
    size_t digits = 0;
    while (look(*v) >= '0' && look(*v) <= '9' && n <= FIELD_MAX) {
        n = n * 10 + (look(*v) - '0');
        *v = view_skip(*v, 1);
        digits++;
    }
    *ret_number = n;
    return digits > 0 && n >= min && n <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct view *v, int32_t *ret_s)
{
    int sign = take(v, '-') ? -1 : 1;
    int hours = 0;
    int minutes = 0;
    int seconds = 0;
    if (sign > 0) {
        (void)take(v, '+');
    }
    if (!take_number(v, 0, HOURS_MAX, &hours) ||
        (take(v, ':') && (!take_number(v, 0, 59, &minutes) ||
                          (take(v, ':') && !take_number(v, 0, 59, &seconds))))) {
        return false;
    }
    *ret_s = sign * (hours * HOUR_S + minutes * 60 + seconds);
    return true;
}

/* CET or <+0330> */
static bool take_name(struct view *v)
{
    bool quoted = take(v, '<');
    size_t n = 0;
    for (;; n++) {
        uint8_t c = look(*v);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool more = (c >= '0' && c <= '9') || c == '+' || c == '-';
        if (!letter && !(quoted && more)) {
            break;
        }
        *v = view_skip(*v, 1);
    }
    return n >= 3 && (!quoted || take(v, '>'));
}

/* ,M3.5.0/2 or ,J60 or ,59 */
static bool take_change(struct view *v, struct zone_change *c)
{
    bool ok = take(v, ',');
    c->time_s = 2 * HOUR_S;
    if (take(v, 'M')) {
        c->kind = 'M';
        ok = ok && take_number(v, 1, 12, &c->month) && take(v, '.') &&
             take_number(v, 1, 5, &c->week) && take(v, '.') && take_number(v, 0, 6, &c->day);
    } else if (take(v, 'J')) {
        c->kind = 'J';
        ok = ok && take_number(v, 1, 365, &c->day);
    } else {
        c->kind = 'n';
        ok = ok && take_number(v, 0, 365, &c->day);
    }
    return ok && (!take(v, '/') || take_time(v, &c->time_s));
}

enum err zone_tail_parse(struct view text, struct zone_tail *ret_tail)
{
    struct zone_tail t = {.saves = false};
    struct view v = text;
    if (!take_name(&v) || !take_time(&v, &t.offset_s)) {
        return ERR_MALFORMED;
    }
    t.offset_s = -t.offset_s; /* POSIX counts westwards */
    if (v.len > 0) {
        t.saves = true;
        t.saved_s = t.offset_s + HOUR_S;
        if (!take_name(&v)) {
            return ERR_MALFORMED;
        }
        if (look(v) != ',') {
            if (!take_time(&v, &t.saved_s)) {
                return ERR_MALFORMED;
            }
            t.saved_s = -t.saved_s;
        }
        if (!take_change(&v, &t.start) || !take_change(&v, &t.stop) || v.len > 0) {
            return ERR_MALFORMED;
        }
    }
    *ret_tail = t;
    return ERR_OK;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The day of the change in a year, since 1970-01-01. */
static int64_t change_day(const struct zone_change *c, int year)
{
    if (c->kind != 'M') {
        int day = c->kind == 'n' ? c->day : c->day - 1;
        return clock_days(year, 1, 1) + day +
               (c->kind == 'J' && is_leap(year) && c->day >= 60 ? 1 : 0);
    }
    int64_t first = clock_days(year, c->month, 1);
    int64_t next = c->month == 12 ? clock_days(year + 1, 1, 1) : clock_days(year, c->month + 1, 1);
    int weekday = (int)(((first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    int64_t day = first + (c->day - weekday + 7) % 7 + 7 * (c->week - 1);
    return day < next ? day : day - 7; /* week 5 is the last one */
}

int32_t zone_tail_offset_s(const struct zone_tail *t, int64_t utc_s)
{
    if (!t->saves) {
        return t->offset_s;
    }
    int64_t local_s = utc_s + t->offset_s;
    int64_t days = local_s / DAY_S - (local_s % DAY_S < 0 ? 1 : 0);
    int year = 0;
    int month = 0;
    int day = 0;
    clock_civil(days, &year, &month, &day);
    int64_t start_s = change_day(&t->start, year) * DAY_S + t->start.time_s - t->offset_s;
    int64_t stop_s = change_day(&t->stop, year) * DAY_S + t->stop.time_s - t->saved_s;
    bool saved = start_s < stop_s ? start_s <= utc_s && utc_s < stop_s
                                  : !(stop_s <= utc_s && utc_s < start_s);
    return saved ? t->saved_s : t->offset_s;
}
