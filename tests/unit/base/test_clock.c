#include <stdio.h>
#include <time.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"

Test(clock, formats_and_parses_the_same_instant)
{
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"1970-01-01T00:00:00.001Z", 1000},
        {"2000-02-29T12:00:00Z", 951825600000000},
        {"2020-03-09T10:46:06.250Z", 1583750766250000},
        {"2024-02-29T23:59:59.999999Z", 1709251199999999},
        {"2024-12-31T23:59:59Z", 1735689599000000},
        {"2038-01-19T03:14:08Z", 2147483648000000},
        {"2100-02-28T00:00:00Z", 4107456000000000},
        {"2100-03-01T00:00:00Z", 4107542400000000},
        {"9999-12-31T23:59:59.999999Z", CLOCK_MAX_US},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t us = -1;
        cr_expect_str_eq(clock_format(rows[i].us, text), rows[i].text);
        cr_expect_eq(clock_parse(view_str(rows[i].text), &us), ERR_OK);
        cr_expect_eq(us, rows[i].us, "%s", rows[i].text);
    }
}

Test(clock, parses_zones_decimals_and_leap_seconds)
{
    static const struct {
        const char *text;
        const char *same;
    } rows[] = {
        {"2024-02-29T12:00:00+01:00", "2024-02-29T11:00:00Z"},
        {"2024-02-29T12:00:00-05:30", "2024-02-29T17:30:00Z"},
        {"2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00Z"},
        {"2024-02-29t12:00:00z", "2024-02-29T12:00:00Z"},
        {"2024-02-29 12:00:00Z", "2024-02-29T12:00:00Z"},
        {"2024-02-29T12:00:00.1Z", "2024-02-29T12:00:00.100Z"},
        {"2024-02-29T12:00:00.123456789Z", "2024-02-29T12:00:00.123456Z"},
        {"2024-02-29T12:00:00.999999999Z", "2024-02-29T12:00:00.999999Z"},
        {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"},
        {"2024-02-29T12:00:00-00:00", "2024-02-29T12:00:00Z"},
        {"1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00Z"},
        {"1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00Z"},
        {"2024-02-29T12:00:00+23:59", "2024-02-28T12:01:00Z"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t us = -1;
        cr_expect_eq(clock_parse(view_str(rows[i].text), &us), ERR_OK, "%s", rows[i].text);
        cr_expect_str_eq(clock_format(us, text), rows[i].same);
    }
}

Test(clock, refuses_what_is_no_time)
{
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"", ERR_SYNTAX},
        {"2024", ERR_SYNTAX},
        {"2024-02-29", ERR_SYNTAX},
        {"2024-02-29T12:00:00", ERR_SYNTAX}, /* no zone */
        {"2024-02-29T12:00Z", ERR_SYNTAX},
        {"2024-02-29T12:00:00.Z", ERR_SYNTAX},
        {"2024-02-29T12:00:00.1234567890Z", ERR_SYNTAX},
        {"2024-02-29T12:00:00Z ", ERR_SYNTAX},
        {" 2024-02-29T12:00:00Z", ERR_SYNTAX},
        {"2024-2-29T12:00:00Z", ERR_SYNTAX},
        {"24-02-29T12:00:00Z", ERR_SYNTAX},
        {"2024-02-29T12:00:00+1:00", ERR_SYNTAX},
        {"2024-02-29T12:00:00+0100", ERR_SYNTAX},
        {"2024-02-29T12:00:00+24:00", ERR_SYNTAX},
        {"2024-02-29T12:00:00+01:60", ERR_SYNTAX},
        {"2024-02-29T12:00:00ZZ", ERR_SYNTAX},
        {"2024/02/29T12:00:00Z", ERR_SYNTAX},
        {"2024-02-29X12:00:00Z", ERR_SYNTAX},
        {"-024-02-29T12:00:00Z", ERR_SYNTAX},
        {"2023-02-29T12:00:00Z", ERR_RANGE},
        {"2100-02-29T12:00:00Z", ERR_RANGE},
        {"2024-02-30T12:00:00Z", ERR_RANGE},
        {"2024-04-31T12:00:00Z", ERR_RANGE},
        {"2024-00-01T12:00:00Z", ERR_RANGE},
        {"2024-13-01T12:00:00Z", ERR_RANGE},
        {"2024-01-00T12:00:00Z", ERR_RANGE},
        {"2024-01-32T12:00:00Z", ERR_RANGE},
        {"2024-01-01T24:00:00Z", ERR_RANGE},
        {"2024-01-01T12:60:00Z", ERR_RANGE},
        {"2024-01-01T12:00:61Z", ERR_RANGE},
        {"1969-12-31T23:59:59Z", ERR_RANGE},
        {"1970-01-01T00:00:00+00:01", ERR_RANGE},
        {"0000-01-01T00:00:00Z", ERR_RANGE},
        {"9999-12-31T23:59:60Z", ERR_RANGE},
        {"9999-12-31T23:59:59-00:01", ERR_RANGE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us = 77;
        cr_expect_eq(clock_parse(view_str(rows[i].text), &us), rows[i].err, "%s", rows[i].text);
        cr_expect_eq(us, 77, "output touched on failure");
    }
    int64_t us = 77;
    cr_expect_eq(clock_parse(VIEW("2024-02-29T12:00:00\0"), &us), ERR_SYNTAX);
    cr_expect_eq(clock_parse(view_of(NULL, 0), &us), ERR_SYNTAX);
}

Test(clock, outside_its_range_is_invalid)
{
    static const int64_t times[] = {-1, CLOCK_NONE, CLOCK_MAX_US + 1, INT64_MAX};
    char text[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        cr_expect_str_eq(clock_format(times[i], text), "invalid");
    }
}

Test(clock, every_day_agrees_with_the_library)
{
    int64_t last = CLOCK_MAX_US / CLOCK_DAY_US;
    for (int64_t day = 0; day <= last; day += day < 60000 ? 1 : 97) {
        int year = 0;
        int month = 0;
        int dom = 0;
        time_t t = (time_t)(day * 86400);
        struct tm tm;
        cr_assert_not_null(gmtime_r(&t, &tm));
        clock_civil(day, &year, &month, &dom);
        cr_assert(year == tm.tm_year + 1900 && month == tm.tm_mon + 1 && dom == tm.tm_mday,
                  "day %lld", (long long)day);
        cr_assert_eq(clock_days(year, month, dom), day);
    }
    cr_expect_eq(clock_days(1969, 12, 31), -1);
    cr_expect_eq(clock_days(1600, 2, 29), -135081);
    cr_expect_eq(clock_days(0, 3, 1), -719468);
}

Test(clock, round_trip_of_many_instants)
{
    uint64_t state = 3;
    for (int i = 0; i < 100000; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        int64_t us = (int64_t)(state % (uint64_t)(CLOCK_MAX_US + 1));
        us = i % 3 == 0 ? us / 1000000 * 1000000 : i % 3 == 1 ? us / 1000 * 1000 : us;
        char text[CLOCK_TEXT_SIZE];
        int64_t back = -1;
        cr_assert_eq(clock_parse(view_str(clock_format(us, text)), &back), ERR_OK);
        cr_assert_eq(back, us, "%s", text);
    }
}

Test(clock, durations)
{
    static const struct {
        const char *text;
        int64_t us;
        const char *formatted;
    } rows[] = {
        {"0s", 0, "0s"},
        {"1us", 1, "1us"},
        {"250ms", 250000, "250ms"},
        {"30s", 30000000, "30s"},
        {"5m", 300000000, "5m"},
        {"2h", 7200000000, "2h"},
        {"7d", 604800000000, "7d"},
        {"1w", 604800000000, "7d"},
        {"1h30m", 5400000000, "1h30m"},
        {"90m", 5400000000, "1h30m"},
        {"1d2h3m4s5ms6us", 93784005006, "1d2h3m4s5ms6us"},
        {"1m1ms", 60001000, "1m1ms"},
        {"00010s", 10000000, "10s"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us = -1;
        char text[CLOCK_TEXT_SIZE];
        cr_expect_eq(clock_parse_duration(view_str(rows[i].text), &us), ERR_OK, "%s", rows[i].text);
        cr_expect_eq(us, rows[i].us, "%s", rows[i].text);
        cr_expect_str_eq(clock_format_duration(us, text), rows[i].formatted);
    }
    static const struct {
        const char *text;
        enum err err;
    } bad[] = {
        {"", ERR_SYNTAX},
        {"5", ERR_SYNTAX},
        {"m", ERR_SYNTAX},
        {"-5m", ERR_SYNTAX},
        {"5 m", ERR_SYNTAX},
        {"5min", ERR_SYNTAX},
        {"5x", ERR_SYNTAX},
        {"1.5h", ERR_SYNTAX},
        {"5m ", ERR_SYNTAX},
        {"5M", ERR_SYNTAX},
        {"5m3", ERR_SYNTAX},
        {"99999999999999999999s", ERR_RANGE},
        {"9999999w", ERR_RANGE},
        {"253402300800s", ERR_RANGE},
        {"2932896d1d9999999h", ERR_RANGE},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t us = 77;
        cr_expect_eq(clock_parse_duration(view_str(bad[i].text), &us), bad[i].err, "%s",
                     bad[i].text);
        cr_expect_eq(us, 77);
    }
    uint64_t state = 4;
    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        int64_t us = (int64_t)((state >> 8) % (uint64_t)CLOCK_MAX_US);
        char text[CLOCK_TEXT_SIZE];
        int64_t back = -1;
        cr_assert_eq(clock_parse_duration(view_str(clock_format_duration(us, text)), &back),
                     ERR_OK);
        cr_assert_eq(back, us, "%s", text);
    }
    char text[CLOCK_TEXT_SIZE];
    cr_expect_str_eq(clock_format_duration(-5, text), "0s");
    cr_expect_str_eq(clock_format_duration(INT64_MAX, text), "106751991d4h54s775ms807us");
}

Test(clock, both_clocks_go_forward)
{
    int64_t mono = clock_mono_us();
    int64_t wall = clock_wall_us();
    cr_expect_gt(wall, 1700000000000000);
    cr_expect_lt(wall, CLOCK_MAX_US);
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        cr_assert_geq(now, mono);
        mono = now;
    }
}
