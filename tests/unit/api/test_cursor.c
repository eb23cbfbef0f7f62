#include <criterion/criterion.h>

#include "api/cursor.h"
#include "base/clock.h"

Test(cursor, what_is_written_is_read_back)
{
    static const struct api_cursor cases[] = {
        {'d', 0, 0, "m-1"},
        {'r', 1700000000000000, -2147483648, ""},
        {'a', INT64_MAX, INT64_MIN, "a:b:c"},
        {'t', -1, 1, "ä"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[API_CURSOR_TEXT_SIZE];
        struct api_cursor c = {0};
        api_cursor_write(&cases[i], text);
        cr_expect_eq(
            strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            strlen(text), "needs no escape in a URL: %s", text);
        cr_assert_eq(api_cursor_read(view_str(text), cases[i].tag, &c), ERR_OK);
        cr_expect(c.tag == cases[i].tag && c.a == cases[i].a && c.b == cases[i].b);
        cr_expect_str_eq(c.name, cases[i].name);
        cr_expect_eq(api_cursor_read(view_str(text), 'Z', &c), ERR_MALFORMED, "another list's");
    }
}

Test(cursor, the_longest_name_fits)
{
    struct api_cursor c = {.tag = 'd', .a = INT64_MIN, .b = INT64_MIN};
    struct api_cursor read = {0};
    char text[API_CURSOR_TEXT_SIZE];
    memset(c.name, 'x', API_CURSOR_NAME_MAX);
    cr_assert_eq(api_cursor_read(view_str(api_cursor_write(&c, text)), 'd', &read), ERR_OK);
    cr_expect_str_eq(read.name, c.name);
}

Test(cursor, what_was_made_up_is_refused)
{
    static const char *const cases[] = {
        "",
        "a",
        "====",
        "ZDow",
        "ZDowOg",
        /* d:0: */ "ZDo6Og", /* d::: */
        "ZDowOjA",
        /* d:0:0 */ "ZDp4OjA6", /* d:x:0: */
        "ZDowOjA6AA",
        /* a NUL byte */ "ZDowOjA6_w", /* not UTF-8 */
        "ZDo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OjA6",
        "ä",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct api_cursor c = {.tag = 'x'};
        cr_expect_eq(api_cursor_read(view_str(cases[i]), 'd', &c), ERR_MALFORMED, "%s", cases[i]);
        cr_expect_eq(c.tag, 'x', "result touched");
    }
    char text[1000];
    memset(text, 'A', sizeof(text));
    struct api_cursor c;
    cr_expect_eq(api_cursor_read(view_of(text, sizeof(text)), 'd', &c), ERR_MALFORMED);
}

#define NOW 1700000000000000LL

Test(time, every_written_form_is_understood)
{
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2023-11-14T22:13:20Z", NOW},
        {"2023-11-14T22:13:20.5Z", NOW + 500000},
        {"2023-11-14T23:13:20+01:00", NOW},
        {"2023-11-14T23:13:20 01:00", NOW}, /* a plus sign that was not escaped */
        {"1700000000000", NOW},
        {"0", 0},
        {"now", NOW},
        {"-1h", NOW - CLOCK_HOUR_US},
        {"-1h30m", NOW - 90 * CLOCK_MINUTE_US},
        {"now-7d", NOW - 7 * CLOCK_DAY_US},
        {"now+5m", NOW + 5 * CLOCK_MINUTE_US},
        {"now 5m", NOW + 5 * CLOCK_MINUTE_US},
        {"+5m", NOW + 5 * CLOCK_MINUTE_US},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = -1;
        cr_expect_eq(api_time_parse(view_str(cases[i].text), NOW, &us), ERR_OK, "%s",
                     cases[i].text);
        cr_expect_eq(us, cases[i].want, "%s", cases[i].text);
    }
}

Test(time, what_is_no_time_is_refused)
{
    static const char *const cases[] = {
        "",
        " ",
        "yesterday",
        "now-",
        "now1h",
        "nowish",
        "-",
        "-1",
        "-1x",
        "1h",
        "--1h",
        "1.5",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-02-30T00:00:00Z",
        "2023-11-14T22:13:20Z ",
        "253402300800000",
        "99999999999999999999",
        "-99999999d",
        "+99999999d",
        "-5000000000000",
        "2023-11-14T22:13:20.123456789123456789123456789Z",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = -77;
        cr_expect_neq(api_time_parse(view_str(cases[i]), NOW, &us), ERR_OK, "%s", cases[i]);
        cr_expect_eq(us, -77, "result touched by %s", cases[i]);
    }
}

Test(integer, ends_of_the_range_are_in_and_beyond_is_out)
{
    int64_t v = 0;
    cr_expect_eq(api_int_parse(VIEW("9223372036854775807"), &v), ERR_OK);
    cr_expect_eq(v, INT64_MAX);
    cr_expect_eq(api_int_parse(VIEW("-9223372036854775808"), &v), ERR_OK);
    cr_expect_eq(v, INT64_MIN);
    cr_expect_eq(api_int_parse(VIEW("9223372036854775808"), &v), ERR_RANGE);
    cr_expect_eq(api_int_parse(VIEW("-9223372036854775809"), &v), ERR_RANGE);
    cr_expect_eq(api_int_parse(VIEW("1 "), &v), ERR_SYNTAX);
    cr_expect_eq(api_int_parse(VIEW("+1"), &v), ERR_SYNTAX);
    cr_expect_eq(api_int_parse(VIEW("-"), &v), ERR_SYNTAX);
    cr_expect_eq(v, INT64_MIN, "result touched");
}
