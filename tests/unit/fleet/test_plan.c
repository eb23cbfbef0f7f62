#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/plan.h"

static enum err read_text(struct fleet_plan *p, const char *text, char *why, size_t why_size)
{
    char path[64] = "/tmp/test_fleet_plan_XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(fd), 0);
    enum err e = fleet_plan_read(p, path, why, why_size);
    (void)unlink(path);
    return e;
}

Test(plan, a_number_is_what_json_calls_one)
{
    static const char *const numbers[] = {"0",   "-0",    "7",         "12.50",
                                          "1e5", "1E-05", "-3.25e+10", "0.054711"};
    static const char *const texts[] = {"",    "-",    "+1",  "01", ".5",  "5.", "1e",
                                        "1e+", "0x10", "nan", "1 ", "--1", "1,5"};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        cr_expect(fleet_plan_is_number(view_str(numbers[i])), "%s", numbers[i]);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        cr_expect_not(fleet_plan_is_number(view_str(texts[i])), "%s", texts[i]);
    }
}

Test(plan, payloads_keep_the_text_of_every_number)
{
    static const struct {
        const char *row, *want, *why;
    } cases[] = {
        {"1.500,a", "{\"ts\":1583750766000,\"values\":{\"x\":1.500,\"y\":\"a\"}}",
         "trailing zeros, text"},
        {"0.1000000000000000055511151231257827,",
         "{\"ts\":1583750766000,\"values\":{\"x\":0.1000000000000000055511151231257827}}",
         "more digits than a double has; an empty cell is missing"},
        {"NaN,true", "{\"ts\":1583750766000,\"values\":{\"y\":true}}",
         "NaN is missing, true is a boolean"},
        {"+5,\"a \"\"b\"\"\"",
         "{\"ts\":1583750766000,\"values\":{\"x\":\"+5\",\"y\":\"a \\\"b\\\"\"}}",
         "what JSON does not call a number is text; quotes are escaped"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fleet_plan p;
        char text[512];
        char why[256] = "";
        fleet_plan_init(&p);
        p.prefix = "p-";
        (void)snprintf(text, sizeof(text), "ts,device,x,y\n2020-03-09T10:46:06Z,d1,%s\n",
                       cases[i].row);
        cr_assert_eq(read_text(&p, text, why, sizeof(why)), ERR_OK, "%s", why);
        cr_assert_eq(fleet_plan_arrange(&p, 0, 0, 1), ERR_OK);
        cr_assert_eq(p.message_count, 1);
        struct view got = fleet_plan_payload(&p, &p.messages[0]);
        cr_expect(view_eq_str(got, cases[i].want), "%s: %.*s", cases[i].why, VIEW_ARG(got));
        cr_expect_str_eq(p.devices[0].name, "p-d1");
        fleet_plan_fini(&p);
    }
}

Test(plan, a_wide_file_has_a_message_for_each_device_that_has_a_value)
{
    struct fleet_plan p;
    char why[256] = "";
    fleet_plan_init(&p);
    p.wide_metric = "speed_mph";
    cr_assert_eq(
        read_text(&p, "ts,d1,d2\n2020-01-01T00:00:00Z,64.38,\n2020-01-01T00:05:00Z,62.67,68.560\n",
                  why, sizeof(why)),
        ERR_OK, "%s", why);
    cr_assert_eq(fleet_plan_arrange(&p, 0, 0, 1), ERR_OK);
    cr_assert_eq(p.message_count, 3);
    cr_assert_eq(p.device_count, 2);
    struct view got = fleet_plan_payload(&p, &p.messages[2]);
    cr_expect(view_eq_str(got, "{\"ts\":1577837100000,\"values\":{\"speed_mph\":68.560}}"), "%.*s",
              VIEW_ARG(got));
    fleet_plan_fini(&p);
}

Test(plan, a_bad_row_is_named_with_its_line_or_counted)
{
    static const struct {
        const char *text, *words, *why;
    } cases[] = {
        {"ts,device,x\n2020-01-01T00:00:00Z,a,1\nyesterday,a,2\n", ":3: ts `yesterday`",
         "not a time"},
        {"ts,device,x\n2020-01-01T00:00:00Z,a\n", ":2: 2 cells, but the header has 3",
         "too few cells"},
        {"ts,device,x\n2020-01-01T00:00:00Z,,1\n", ":2: the device name is empty", "no device"},
        {"ts,device,x\n2020-01-01T00:00:00Z,a,\xff\n", ":2: cell 3 is not UTF-8", "not UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int skip = 0; skip < 2; skip++) {
            struct fleet_plan p;
            char why[256] = "";
            fleet_plan_init(&p);
            p.skip_bad = skip == 1;
            enum err e = read_text(&p, cases[i].text, why, sizeof(why));
            if (skip == 1) {
                cr_expect_eq(e, ERR_OK, "%s", cases[i].why);
                cr_expect_eq(p.bad_rows, 1, "%s", cases[i].why);
            } else {
                cr_expect_eq(e, ERR_SYNTAX, "%s", cases[i].why);
                cr_expect_not_null(strstr(why, cases[i].words), "%s: %s", cases[i].why, why);
            }
            fleet_plan_fini(&p);
        }
    }
    struct fleet_plan p;
    char why[256] = "";
    fleet_plan_init(&p);
    cr_expect_eq(read_text(&p, "time,device,x\n", why, sizeof(why)), ERR_SYNTAX);
    cr_expect_not_null(strstr(why, "no column `ts`"), "%s", why);
    fleet_plan_fini(&p);
}

enum { ROWS = 600, DEVICES = 7 };

/* Rows of several devices, one every 2 s of each, in the order of time. */
static void make_plan(struct fleet_plan *p)
{
    char *text = malloc(ROWS * 64);
    cr_assert_not_null(text);
    size_t at = (size_t)snprintf(text, 64, "ts,device,x\n");
    for (int i = 0; i < ROWS; i++) {
        char ts[CLOCK_TEXT_SIZE];
        int64_t us = 1577836800000000 + (int64_t)(i / DEVICES) * 2000000;
        at += (size_t)snprintf(text + at, 64, "%s,d%d,%d\n", clock_format(us, ts), i % DEVICES, i);
    }
    char why[256] = "";
    fleet_plan_init(p);
    cr_assert_eq(read_text(p, text, why, sizeof(why)), ERR_OK, "%s", why);
    free(text);
}

Test(plan, shuffling_permutes_within_its_bound_and_loses_nothing)
{
    const int64_t bound_us = 20 * CLOCK_SECOND_US;
    struct fleet_plan p;
    make_plan(&p);
    cr_assert_eq(fleet_plan_arrange(&p, bound_us, 0, 42), ERR_OK);
    cr_assert_eq(p.message_count, ROWS);
    bool seen[ROWS] = {false};
    uint32_t disorder = 0;
    int64_t newest_us = INT64_MIN;
    for (uint32_t i = 0; i < p.message_count; i++) {
        const struct fleet_message *m = &p.messages[i];
        cr_expect_not(seen[m->row], "row %u twice", m->row);
        seen[m->row] = true;
        cr_expect_geq(m->due_us, m->ts_us);
        cr_expect_leq(m->due_us - m->ts_us, bound_us);
        if (newest_us != INT64_MIN) {
            cr_expect_leq(newest_us - m->ts_us, bound_us,
                          "a message overtaken by a newer one than the bound allows");
        }
        disorder += m->ts_us < newest_us ? 1 : 0;
        newest_us = m->ts_us > newest_us ? m->ts_us : newest_us;
    }
    cr_expect_gt(disorder, ROWS / 4, "it was hardly shuffled: %u", disorder);
    fleet_plan_fini(&p);
}

Test(plan, the_same_seed_gives_the_same_order_and_another_seed_another)
{
    struct fleet_plan p[3];
    const uint64_t seeds[3] = {7, 7, 8};
    for (int k = 0; k < 3; k++) {
        make_plan(&p[k]);
        cr_assert_eq(fleet_plan_arrange(&p[k], 30 * CLOCK_SECOND_US, 0.1, seeds[k]), ERR_OK);
    }
    cr_assert_eq(p[0].message_count, p[1].message_count);
    uint32_t differ = 0;
    for (uint32_t i = 0; i < p[0].message_count; i++) {
        cr_expect_eq(p[0].messages[i].row, p[1].messages[i].row);
        differ += i < p[2].message_count && p[0].messages[i].row != p[2].messages[i].row ? 1 : 0;
    }
    cr_expect_gt(differ, ROWS / 2);
    for (int k = 0; k < 3; k++) {
        fleet_plan_fini(&p[k]);
    }
}

Test(plan, doubles_have_the_same_content_and_come_later)
{
    struct fleet_plan p;
    make_plan(&p);
    cr_assert_eq(fleet_plan_arrange(&p, 0, 0.25, 3), ERR_OK);
    cr_expect_eq(p.message_count, ROWS + p.doubles);
    cr_expect(p.doubles > ROWS / 5 && p.doubles < ROWS / 3, "%llu of %d",
              (unsigned long long)p.doubles, ROWS);
    bool original[ROWS] = {false};
    uint32_t doubles = 0;
    for (uint32_t i = 0; i < p.message_count; i++) {
        const struct fleet_message *m = &p.messages[i];
        if (m->is_double) {
            cr_expect(original[m->row], "the copy of row %u comes before it", m->row);
            cr_expect_lt(m->due_us - m->ts_us, 30 * CLOCK_SECOND_US);
            doubles++;
        } else {
            original[m->row] = true;
        }
    }
    cr_expect_eq(doubles, p.doubles);
    fleet_plan_fini(&p);
}

Test(plan, each_device_has_its_messages_as_a_chain_in_sending_order)
{
    struct fleet_plan p;
    make_plan(&p);
    cr_assert_eq(fleet_plan_arrange(&p, 10 * CLOCK_SECOND_US, 0.1, 5), ERR_OK);
    uint32_t total = 0;
    for (uint32_t d = 0; d < p.device_count; d++) {
        int32_t before = FLEET_PLAN_NONE;
        uint32_t length = 0;
        for (int32_t i = p.devices[d].first; i != FLEET_PLAN_NONE; i = p.messages[i].next) {
            cr_expect_gt(i, before);
            cr_expect_eq(p.messages[i].device, d);
            before = i;
            length++;
        }
        cr_expect_eq(length, p.devices[d].messages);
        total += length;
    }
    cr_expect_eq(total, p.message_count);
    fleet_plan_fini(&p);
}

Test(plan, a_file_that_is_out_of_order_is_sent_in_its_own_order)
{
    struct fleet_plan p;
    char why[256] = "";
    fleet_plan_init(&p);
    cr_assert_eq(read_text(&p,
                           "ts,device,x\n2020-01-01T00:00:10Z,a,1\n2020-01-01T00:00:05Z,a,2\n2020-"
                           "01-01T00:00:07Z,b,3\n"
                           "2020-01-01T00:00:20Z,a,4\n",
                           why, sizeof(why)),
                 ERR_OK, "%s", why);
    cr_assert_eq(fleet_plan_arrange(&p, 0, 0, 1), ERR_OK);
    static const uint32_t want[] = {
        2, 0, 1, 3}; /* b at 7 s; a at 10 s with the older row right behind; a at 20 s */
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(p.messages[i].row, want[i], "position %u has row %u", i, p.messages[i].row);
    }
    fleet_plan_fini(&p);
}

Test(plan, gaps_close_and_records_of_other_days_begin_together)
{
    static const char text[] = "ts,device,x\n2020-01-01T00:00:00Z,a,1\n2020-01-01T00:00:01Z,a,"
                               "2\n2020-02-01T00:00:00Z,b,3\n"
                               "2020-02-01T00:00:02Z,b,4\n";
    struct fleet_plan p;
    char why[256] = "";
    fleet_plan_init(&p);
    cr_assert_eq(read_text(&p, text, why, sizeof(why)), ERR_OK, "%s", why);
    cr_assert_eq(fleet_plan_arrange(&p, 0, 0, 1), ERR_OK);
    fleet_plan_close_gaps(&p, 10 * CLOCK_SECOND_US);
    static const int64_t closed_s[] = {0, 1, 11, 13};
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(p.messages[i].due_us - p.messages[0].due_us, closed_s[i] * CLOCK_SECOND_US,
                     "message %u", i);
    }
    fleet_plan_fini(&p);

    fleet_plan_init(&p);
    p.together = true;
    cr_assert_eq(read_text(&p, text, why, sizeof(why)), ERR_OK, "%s", why);
    cr_assert_eq(fleet_plan_arrange(&p, 0, 0, 1), ERR_OK);
    static const int64_t together_s[] = {0, 0, 1, 2};
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(p.messages[i].due_us, together_s[i] * CLOCK_SECOND_US, "message %u", i);
    }
    fleet_plan_fini(&p);
}
