/*
 * Zones against the C library's, which reads the same files, in processes of their own: TZ is
 * global there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/zone.h"

static bool same(const struct zone_time *z, const struct tm *t)
{
    return z->year == t->tm_year + 1900 && z->month == t->tm_mon + 1 && z->day == t->tm_mday &&
           z->hour == t->tm_hour && z->minute == t->tm_min && z->second == t->tm_sec &&
           z->weekday == t->tm_wday && z->day_of_year == t->tm_yday + 1;
}

Test(zone, is_that_of_the_c_library_at_every_hour_of_change_and_between)
{
    /* North and south, half and quarter hours, negative summer time, a change at midnight, one on
     * a Friday, two a year around Ramadan, none at all, one that crossed the date line. */
    static const char *const names[] = {
        "Europe/Vienna",     "America/New_York", "Australia/Melbourne", "Australia/Lord_Howe",
        "Europe/Dublin",     "Asia/Kathmandu",   "America/Havana",      "Asia/Jerusalem",
        "Africa/Casablanca", "Asia/Tokyo",       "Pacific/Apia",        "America/Sao_Paulo",
        "Antarctica/Troll",  "America/Nuuk",     "Pacific/Chatham",     "Asia/Kolkata",
        "America/Santiago",  "Asia/Gaza",        "Etc/GMT-14",          "EST5EDT"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct zone *z = NULL;
        enum err e = zone_load(view_str(names[i]), &z);
        if (e == ERR_UNKNOWN_NAME) {
            continue; /* an older or smaller set of zone files */
        }
        cr_assert_eq(e, ERR_OK, "%s: %s", names[i], err_words(e));
        setenv("TZ", names[i], 1);
        tzset();
        /* Each quarter of an hour of three years, and each 7 h 30 min up to 2105. */
        for (int64_t s = 0; s < 4260211200; s += s >= 1577836800 && s < 1672531200 ? 900 : 27000) {
            time_t at = (time_t)s;
            struct tm t;
            cr_assert_not_null(localtime_r(&at, &t));
            struct zone_time local = zone_local(z, s * CLOCK_SECOND_US + 999999);
            cr_assert(same(&local, &t), "%s at %lld: %04d-%02d-%02d %02d:%02d, expected %02d:%02d",
                      names[i], (long long)s, local.year, local.month, local.day, local.hour,
                      local.minute, t.tm_hour, t.tm_min);
            cr_assert_eq(zone_offset_s(z, s * CLOCK_SECOND_US), t.tm_gmtoff);
        }
        zone_free(z);
    }
}

Test(zone, utc_needs_no_file_and_months_have_their_days)
{
    static const struct {
        const char *at;
        int days, weekday, day_of_year;
    } rows[] = {{"2024-02-29T23:59:59Z", 29, 4, 60},  {"2023-02-28T00:00:00Z", 28, 2, 59},
                {"2100-02-01T00:00:00Z", 28, 1, 32},  {"2000-02-01T12:00:00Z", 29, 2, 32},
                {"2024-12-31T12:00:00Z", 31, 2, 366}, {"1970-01-01T00:00:00Z", 31, 4, 1},
                {"2024-04-30T00:00:00Z", 30, 2, 121}};
    struct zone *z = (struct zone *)&z;
    cr_assert_eq(zone_load(VIEW("UTC"), &z), ERR_OK);
    cr_assert_null(z);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us = 0;
        cr_assert_eq(clock_parse(view_str(rows[i].at), &us), ERR_OK);
        struct zone_time t = zone_local(z, us);
        cr_expect_eq(t.days_in_month, rows[i].days, "%s", rows[i].at);
        cr_expect_eq(t.weekday, rows[i].weekday, "%s", rows[i].at);
        cr_expect_eq(t.day_of_year, rows[i].day_of_year, "%s", rows[i].at);
    }
}

Test(zone, a_name_never_leaves_the_directory)
{
    static const struct {
        const char *name;
        enum err err;
    } rows[] = {{"", ERR_UNKNOWN_NAME},
                {"Europe/Nowhere", ERR_UNKNOWN_NAME},
                {"../../../etc/passwd", ERR_UNKNOWN_NAME},
                {"/etc/passwd", ERR_UNKNOWN_NAME},
                {"Europe", ERR_UNKNOWN_NAME},
                {"zone.tab", ERR_UNKNOWN_NAME},
                {"Europe/Vienna ", ERR_UNKNOWN_NAME},
                {"leapseconds", ERR_MALFORMED}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct zone *z = NULL;
        enum err e = zone_load(view_str(rows[i].name), &z);
        cr_expect(e == rows[i].err || e == ERR_UNKNOWN_NAME, "%s: %s", rows[i].name, err_words(e));
        cr_expect_null(z, "output touched on failure");
    }
}

/* A file as a peer would write it: one transition, two offsets, a tail. */
static size_t file_of(const char *tail, uint8_t *bytes)
{
    static const uint8_t header[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                                    "\0\0\0\0\0\0UTC\0";
    static const uint8_t body[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\10"
                                  "\0\0\0\0\x3B\x9A\xCA\0" /* 1000000000 */
                                  "\1"
                                  "\0\0\x0E\x10\0\0"     /* +3600 */
                                  "\xFF\xFF\xF1\xF0\0\4" /* -3600 */
                                  "AAA\0BBB\0\n";
    memcpy(bytes, header, sizeof(header) - 1);
    size_t n = sizeof(header) - 1;
    memcpy(bytes + n, body, sizeof(body) - 1);
    n += sizeof(body) - 1;
    memcpy(bytes + n, tail, strlen(tail));
    n += strlen(tail);
    bytes[n++] = '\n';
    return n;
}

static int32_t offset_of(const char *tail, int64_t utc_s)
{
    uint8_t bytes[512];
    size_t n = file_of(tail, bytes);
    struct zone *z = NULL;
    cr_assert_eq(zone_parse(view_of(bytes, n), &z), ERR_OK, "%s", tail);
    int32_t offset = zone_offset_s(z, utc_s * CLOCK_SECOND_US);
    zone_free(z);
    return offset;
}

Test(zone, transitions_and_tails_say_the_offset)
{
    cr_expect_eq(offset_of("", 999999999), 3600, "before the first transition: the first type");
    cr_expect_eq(offset_of("", 1000000000), -3600);
    cr_expect_eq(offset_of("", 4000000000), -3600, "an empty tail changes nothing");
    static const struct {
        const char *tail;
        int64_t utc_s;
        int32_t offset_s;
    } rows[] = {
        {"CET-1", 1600000000, 3600},
        {"<+0530>-5:30", 1600000000, 19800},
        {"<-0330>3:30:15", 1600000000, -12615},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1585443599, 3600}, /* 2020-03-29T00:59:59Z */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1585443600, 7200},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1603587599, 7200}, /* 2020-10-25T00:59:59Z */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1603587600, 3600},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1577836800, 39600}, /* 1 January, in the south */
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1593561600, 36000}, /* 1 July */
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1593561600, 3600},    /* winter is what is "saved" */
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1577836800, 0},
        {"XXX0YYY,J60/0,J61/0", 1583020800, 3600},  /* 1 March, also in leap years */
        {"XXX0YYY,J60/0,J61/0", 1582934400, 0},     /* 29 February 2020 */
        {"XXX0YYY,59/0,60/0", 1582934400, 3600},    /* day 59 from 0 counts it */
        {"XXX3YYY,0/0,J365/25", 1600000000, -7200}, /* summer all year */
        {"XXX0YYY-2,M1.1.0/-1,M12.5.0/167", 1600000000, 7200},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(offset_of(rows[i].tail, rows[i].utc_s), rows[i].offset_s, "%s at %lld: %d",
                     rows[i].tail, (long long)rows[i].utc_s,
                     offset_of(rows[i].tail, rows[i].utc_s));
    }
}

Test(zone, every_cut_and_every_wrong_tail_is_refused)
{
    uint8_t bytes[512];
    size_t n = file_of("CET-1CEST,M3.5.0,M10.5.0/3", bytes);
    struct zone *z = NULL;
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        cr_expect_eq(zone_parse(view_of(exact, cut), &z), ERR_MALFORMED, "cut at %zu", cut);
        free(exact);
    }
    static const char *const tails[] = {"C-1",
                                        "CET",
                                        "CET-168",
                                        "CET-1:60",
                                        "CET-1CEST",
                                        "CET-1CEST,M3",
                                        "CET-1CEST,M13.1.0,M1.1.0",
                                        "CET-1CEST,M3.6.0,M1.1.0",
                                        "CET-1CEST,M3.5.7,M1.1.0",
                                        "CET-1CEST,J0,J1",
                                        "CET-1CEST,366,1",
                                        "CET-1CEST,M3.5.0,M10.5.0/3x",
                                        "<CET-1",
                                        "1CET-1"};
    for (size_t i = 0; i < COUNT_OF(tails); i++) {
        size_t len = file_of(tails[i], bytes);
        cr_expect_eq(zone_parse(view_of(bytes, len), &z), ERR_MALFORMED, "%s", tails[i]);
    }
    cr_expect_null(z);
}
