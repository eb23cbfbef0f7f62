#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * CLOCK_SECOND_US + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * CLOCK_SECOND_US + t.tv_nsec / 1000;
}

/* Days and civil dates in the proleptic Gregorian calendar, counted from 0000-03-01 in 400-year
 * eras. */
int64_t clock_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void clock_civil(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *ret_day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *ret_month = month;
    *ret_year = (int)(year_of_era + era * 400 + (month <= 2));
}

char *clock_format(int64_t us, char ret_text[static CLOCK_TEXT_SIZE])
{
    if (us < CLOCK_MIN_US || us > CLOCK_MAX_US) {
        (void)snprintf(ret_text, CLOCK_TEXT_SIZE, "invalid");
        return ret_text;
    }
    int year = 0;
    int month = 0;
    int day = 0;
    clock_civil(us / CLOCK_DAY_US, &year, &month, &day);
    int64_t rest = us % CLOCK_DAY_US;
    int seconds = (int)(rest / CLOCK_SECOND_US);
    int micros = (int)(rest % CLOCK_SECOND_US);
    int len = snprintf(ret_text, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day,
                       seconds / 3600, seconds / 60 % 60, seconds % 60);
    char *at = ret_text + len;
    size_t left = CLOCK_TEXT_SIZE - (size_t)len;
    if (micros == 0) {
        (void)snprintf(at, left, "Z");
    } else if (micros % 1000 == 0) {
        (void)snprintf(at, left, ".%03dZ", micros / 1000);
    } else {
        (void)snprintf(at, left, ".%06dZ", micros);
    }
    return ret_text;
}

struct scan {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static int scan_digits(struct scan *s, int count)
{
    int v = 0;
    for (int i = 0; i < count; i++) {
        if (s->at == s->end || *s->at < '0' || *s->at > '9') {
            s->bad = true;
            return 0;
        }
        v = v * 10 + (*s->at++ - '0');
    }
    return v;
}

static bool scan_char(struct scan *s, const char *any)
{
    if (s->at < s->end && *s->at != 0 && strchr(any, *s->at) != NULL) {
        s->at++;
        return true;
    }
    return false;
}

static void scan_expect(struct scan *s, const char *any)
{
    if (!scan_char(s, any)) {
        s->bad = true;
    }
}

static int64_t scan_fraction_us(struct scan *s)
{
    int64_t us = 0;
    int digits = 0;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        if (digits < 6) {
            us = us * 10 + (*s->at - '0');
        }
        digits++;
        s->at++;
    }
    if (digits == 0 || digits > 9) {
        s->bad = true;
    }
    for (; digits < 6; digits++) {
        us *= 10;
    }
    return us;
}

static int64_t scan_zone_us(struct scan *s)
{
    if (scan_char(s, "Zz")) {
        return 0;
    }
    int64_t sign = scan_char(s, "-") ? -1 : 1;
    if (sign > 0) {
        scan_expect(s, "+");
    }
    int hours = scan_digits(s, 2);
    scan_expect(s, ":");
    int minutes = scan_digits(s, 2);
    s->bad = s->bad || hours > 23 || minutes > 59;
    return sign * (hours * CLOCK_HOUR_US + minutes * CLOCK_MINUTE_US);
}

enum err clock_parse(struct view text, int64_t *ret_us)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct scan s = {.at = text.data, .end = text.data + text.len};
    int year = scan_digits(&s, 4);
    scan_expect(&s, "-");
    int month = scan_digits(&s, 2);
    scan_expect(&s, "-");
    int day = scan_digits(&s, 2);
    scan_expect(&s, "Tt ");
    int hour = scan_digits(&s, 2);
    scan_expect(&s, ":");
    int minute = scan_digits(&s, 2);
    scan_expect(&s, ":");
    int second = scan_digits(&s, 2);
    int64_t fraction = scan_char(&s, ".") ? scan_fraction_us(&s) : 0;
    int64_t zone = scan_zone_us(&s);
    if (s.bad || s.at != s.end) {
        return ERR_SYNTAX;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1] ||
        (month == 2 && day == 29 && !leap) || hour > 23 || minute > 59 || second > 60) {
        return ERR_RANGE;
    }
    int64_t us = clock_days(year, month, day) * CLOCK_DAY_US + hour * CLOCK_HOUR_US +
                 minute * CLOCK_MINUTE_US + second * CLOCK_SECOND_US + fraction - zone;
    if (us < CLOCK_MIN_US || us > CLOCK_MAX_US) {
        return ERR_RANGE;
    }
    *ret_us = us;
    return ERR_OK;
}

static const struct {
    const char *unit;
    int64_t us;
} duration_units[] = {
    {"w", 7 * CLOCK_DAY_US}, {"d", CLOCK_DAY_US}, {"h", CLOCK_HOUR_US},
    {"ms", CLOCK_MS_US},     {"us", 1},           {"m", CLOCK_MINUTE_US},
    {"s", CLOCK_SECOND_US},
};

enum err clock_parse_duration(struct view text, int64_t *ret_us)
{
    int64_t total = 0;
    struct view left = text;
    if (left.len == 0) {
        return ERR_SYNTAX;
    }
    while (left.len > 0) {
        int64_t n = 0;
        size_t digits = 0;
        while (digits < left.len && left.data[digits] >= '0' && left.data[digits] <= '9') {
            n = n * 10 + (left.data[digits++] - '0');
            if (n > CLOCK_MAX_US) {
                return ERR_RANGE;
            }
        }
        if (digits == 0) {
            return ERR_SYNTAX;
        }
        left = view_skip(left, digits);
        int64_t unit = 0;
        for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
            struct view u = view_str(duration_units[i].unit);
            if (view_starts(left, u)) {
                unit = duration_units[i].us;
                left = view_skip(left, u.len);
                break;
            }
        }
        if (unit == 0) {
            return ERR_SYNTAX;
        }
        int64_t part = 0;
        if (__builtin_mul_overflow(n, unit, &part) || __builtin_add_overflow(total, part, &total) ||
            total > CLOCK_MAX_US) {
            return ERR_RANGE;
        }
    }
    *ret_us = total;
    return ERR_OK;
}

char *clock_format_duration(int64_t us, char ret_text[static CLOCK_TEXT_SIZE])
{
    static const struct {
        const char *unit;
        int64_t us;
    } order[] = {{"d", CLOCK_DAY_US},    {"h", CLOCK_HOUR_US}, {"m", CLOCK_MINUTE_US},
                 {"s", CLOCK_SECOND_US}, {"ms", CLOCK_MS_US},  {"us", 1}};
    if (us <= 0) {
        (void)snprintf(ret_text, CLOCK_TEXT_SIZE, "0s");
        return ret_text;
    }
    size_t used = 0;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && used < CLOCK_TEXT_SIZE - 1; i++) {
        int64_t n = us / order[i].us;
        us %= order[i].us;
        if (n > 0) {
            used += (size_t)snprintf(ret_text + used, CLOCK_TEXT_SIZE - used, "%lld%s",
                                     (long long)n, order[i].unit);
        }
    }
    return ret_text;
}
