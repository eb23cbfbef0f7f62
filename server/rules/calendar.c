#include "rules/calendar.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"

enum { DAY_MINUTES = 24 * 60, WEEK_DAYS = 7, ALL_DAYS = 127 };

static bool digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "07:30", 00:00 to 24:00. */
static bool parse_minute(struct view v, int16_t *ret_minute)
{
    if (v.len != 5 || v.data[2] != ':' || !digit(v.data[0]) || !digit(v.data[1]) ||
        !digit(v.data[3]) || !digit(v.data[4])) {
        return false;
    }
    int hour = (v.data[0] - '0') * 10 + v.data[1] - '0';
    int minute = (v.data[3] - '0') * 10 + v.data[4] - '0';
    if (minute > 59 || hour * 60 + minute > DAY_MINUTES) {
        return false;
    }
    *ret_minute = (int16_t)(hour * 60 + minute);
    return true;
}

static bool parse_day(struct view v, int *ret_day)
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    for (int i = 0; i < WEEK_DAYS; i++) {
        if (view_eq_str(v, names[i])) {
            *ret_day = i;
            return true;
        }
    }
    return false;
}

/* The part of v up to `c`; *v goes on behind it. */
static struct view cut(struct view *v, char c)
{
    size_t n = 0;
    while (n < v->len && v->data[n] != (uint8_t)c) {
        n++;
    }
    struct view part = view_of(v->data, n);
    *v = view_skip(*v, n < v->len ? n + 1 : n);
    return part;
}

/* "mon-fri,sun" */
static bool parse_days(struct view v, uint8_t *ret_days)
{
    uint8_t days = 0;
    do {
        struct view range = cut(&v, ',');
        int from = 0;
        if (!parse_day(cut(&range, '-'), &from)) {
            return false;
        }
        int to = from;
        if (range.len > 0 && !parse_day(range, &to)) {
            return false;
        }
        for (int d = from; d != to; d = (d + 1) % WEEK_DAYS) {
            days |= (uint8_t)(1U << (unsigned)d);
        }
        days |= (uint8_t)(1U << (unsigned)to);
    } while (v.len > 0);
    *ret_days = days;
    return true;
}

static enum err read_minute(const struct rule_fields *f, const char *key, int16_t *minute)
{
    struct view text;
    enum err e = rule_fields_text(f, key, SIZE_MAX, &text);
    if (e == ERR_OK && json_object_get(f->object, key) != NULL && !parse_minute(text, minute)) {
        return rule_fields_fail(f, ERR_SYNTAX, key, "expected a time of day such as \"07:30\"");
    }
    return e;
}

static enum err read_window(const struct rule_fields *f, struct rule_window *ret_window)
{
    static const char *const known[] = {"days", "from", "to"};
    struct rule_window w = {.days = ALL_DAYS, .to_minute = DAY_MINUTES};
    struct view days;
    enum err e = rule_fields_only(f, known, COUNT_OF(known));
    if (e == ERR_OK) {
        e = rule_fields_text(f, "days", SIZE_MAX, &days);
    }
    if (e == ERR_OK && json_object_get(f->object, "days") != NULL && !parse_days(days, &w.days)) {
        return rule_fields_fail(f, ERR_SYNTAX, "days",
                                "expected days such as \"mon-fri\" or \"mon,wed,sat-sun\"");
    }
    if (e == ERR_OK) {
        e = read_minute(f, "from", &w.from_minute);
    }
    if (e == ERR_OK) {
        e = read_minute(f, "to", &w.to_minute);
    }
    if (e == ERR_OK) {
        *ret_window = w;
    }
    return e;
}

static enum err read_windows(const struct rule_fields *f, struct rule_calendar *c)
{
    json_t *array = json_object_get(f->object, "active");
    if (array == NULL) {
        return ERR_OK;
    }
    size_t count = json_array_size(array);
    if (!json_is_array(array) || count == 0) {
        return rule_fields_fail(f, ERR_TYPE, "active",
                                "expected an array of windows such as "
                                "{\"days\":\"mon-fri\",\"from\":\"07:00\","
                                "\"to\":\"19:00\"}");
    }
    if (count > RULE_CALENDAR_MAX) {
        return rule_fields_fail(f, ERR_LIMIT, "active", "at most %d windows", RULE_CALENDAR_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "active/%zu", i);
        char pointer[RULE_POINTER_SIZE];
        (void)snprintf(pointer, sizeof(pointer), "/%s", key);
        struct rule_fields window = {
            .object = json_array_get(array, i), .pointer = pointer, .error = f->error};
        enum err e =
            json_is_object(window.object)
                ? read_window(&window, &c->windows[i])
                : rule_error_set(f->error, ERR_TYPE, (struct rule_place){.pointer = pointer},
                                 "expected an object");
        if (e != ERR_OK) {
            return e;
        }
    }
    c->count = (uint32_t)count;
    return ERR_OK;
}

enum err rule_calendar_read(const struct rule_fields *f, struct rule_calendar *ret_calendar)
{
    struct rule_calendar c = {.zone = NULL};
    struct view name;
    enum err e = rule_fields_text(f, "timezone", SIZE_MAX, &name);
    if (e == ERR_OK && json_object_get(f->object, "timezone") != NULL) {
        e = zone_load(name, &c.zone);
        if (e != ERR_OK && e != ERR_NOMEM) {
            return rule_fields_fail(f, ERR_UNKNOWN_NAME, "timezone",
                                    "unknown time zone \"%.*s\"; expected a name such as "
                                    "\"Europe/Vienna\"",
                                    VIEW_ARG(view_of(name.data, name.len < 64 ? name.len : 64)));
        }
    }
    if (e == ERR_OK) {
        e = read_windows(f, &c);
    }
    if (e != ERR_OK) {
        rule_calendar_fini(&c);
        return e;
    }
    *ret_calendar = c;
    return ERR_OK;
}

void rule_calendar_fini(struct rule_calendar *c)
{
    zone_free(c->zone);
    c->zone = NULL;
}

static bool on(const struct rule_window *w, int weekday)
{
    return (w->days >> (unsigned)((weekday + WEEK_DAYS) % WEEK_DAYS) & 1U) != 0;
}

bool rule_calendar_open(const struct rule_calendar *c, int64_t t_us)
{
    if (c->count == 0) {
        return true;
    }
    struct zone_time t = zone_local(c->zone, t_us);
    int minute = t.hour * 60 + t.minute;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct rule_window *w = &c->windows[i];
        bool over_night = w->to_minute <= w->from_minute;
        if (on(w, t.weekday) && minute >= w->from_minute && (over_night || minute < w->to_minute)) {
            return true;
        }
        if (over_night && on(w, t.weekday - 1) && minute < w->to_minute) {
            return true;
        }
    }
    return false;
}

int64_t rule_calendar_next(const struct rule_calendar *c, int64_t t_us)
{
    if (c->count == 0) {
        return CLOCK_NONE;
    }
    struct zone_time t = zone_local(c->zone, t_us);
    int now = t.hour * 60 + t.minute;
    int least = (WEEK_DAYS + 1) * DAY_MINUTES;
    for (uint32_t i = 0; i < c->count; i++) {
        for (int day = 0; day <= WEEK_DAYS; day++) {
            int minutes = day * DAY_MINUTES + c->windows[i].from_minute - now;
            if (on(&c->windows[i], t.weekday + day) && minutes > 0 && minutes < least) {
                least = minutes;
            }
        }
    }
    /* A change of the clocks moves it by at most two hours: look again shortly before, and then
     * from minute to minute. */
    least = least > 3 * 60 ? least - 2 * 60 : least;
    int64_t minute_us = t_us - t_us % CLOCK_MINUTE_US;
    int64_t next_us = minute_us + least * CLOCK_MINUTE_US;
    bool steady = zone_offset_s(c->zone, t_us) == zone_offset_s(c->zone, next_us);
    return steady ? next_us : minute_us + CLOCK_MINUTE_US;
}
