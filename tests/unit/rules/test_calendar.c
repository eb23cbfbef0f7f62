#include <criterion/criterion.h>

#include "help.h"
#include "rules/compiled.h"

/* A rule with these fields. */
static struct rule *rule_of(struct help_env *h, const char *fields)
{
    char document[512];
    (void)snprintf(document, sizeof(document), "{'name':'r','when':'x > 60',%s}", fields);
    return help_rule(h, document);
}

static int64_t at(const char *text)
{
    int64_t us = 0;
    cr_assert_eq(clock_parse(view_str(text), &us), ERR_OK, "%s", text);
    return us;
}

static const char work[] = "'active':[{'days':'mon-fri','from':'07:00','to':'19:00'}]";
static const char night[] = "'active':[{'days':'fri,sat','from':'22:00','to':'06:00'}]";
static const char vienna[] = "'timezone':'Europe/Vienna','active':[{'from':'02:30','to':'04:00'}]";

Test(calendar, a_window_is_of_the_week_in_the_time_zone_of_the_rule)
{
    static const struct {
        const char *fields, *t;
        bool open;
        const char *why;
    } cases[] = {
        {"'mode':'active'", "2026-11-22T03:00:00Z", true, "no windows: always"},
        {work, "2026-11-23T06:59:59.999999Z", false, "Monday, before it"},
        {work, "2026-11-23T07:00:00Z", true, "its beginning is in it"},
        {work, "2026-11-27T18:59:59Z", true, "Friday"},
        {work, "2026-11-27T19:00:00Z", false, "its end is not"},
        {work, "2026-11-28T12:00:00Z", false, "Saturday"},
        {night, "2026-11-27T22:00:00Z", true, "Friday night"},
        {night, "2026-11-28T05:59:00Z", true, "which ends on Saturday"},
        {night, "2026-11-28T06:00:00Z", false, "in the morning"},
        {night, "2026-11-29T05:00:00Z", true, "Saturday's ends on Sunday"},
        {night, "2026-11-29T23:00:00Z", false, "Sunday has none"},
        {night, "2026-11-27T05:00:00Z", false, "nor has Thursday"},
        {"'active':[{'days':'sat-mon'}]", "2026-11-22T12:00:00Z", true, "days go round the week"},
        {"'active':[{'days':'sat-mon'}]", "2026-11-24T00:00:00Z", false, "Tuesday"},
        {vienna, "2026-01-15T01:30:00Z", true, "an hour before UTC in winter"},
        {vienna, "2026-01-15T03:00:00Z", false, ""},
        {vienna, "2026-07-15T00:30:00Z", true, "two in summer"},
        {vienna, "2026-07-15T02:00:00Z", false, ""},
        {vienna, "2026-03-29T00:59:59Z", false, "01:59:59, the last second before the change"},
        {vienna, "2026-03-29T01:00:00Z", true, "it is 03:00 now"},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule *r = rule_of(&h, cases[i].fields);
        cr_expect_eq(rule_calendar_open(&r->calendar, at(cases[i].t)), cases[i].open, "%s %s: %s",
                     cases[i].fields, cases[i].t, cases[i].why);
        rule_drop(r);
    }
    help_env_fini(&h);
}

/* Whoever asks again at each of them meets every beginning, and soon enough. */
Test(calendar, the_next_beginning_is_never_missed)
{
    static const char *const fields[] = {work, night, vienna};
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct rule *r = rule_of(&h, fields[i]);
        int64_t t = at("2026-03-20T00:00:00Z");
        int64_t end = at("2026-04-03T00:00:00Z");
        uint32_t asked = 0;
        while (t < end) {
            bool open = rule_calendar_open(&r->calendar, t);
            int64_t next = rule_calendar_next(&r->calendar, t);
            cr_assert_gt(next, t);
            for (int64_t m = t + MIN - t % MIN; m < next && !open; m += MIN) {
                cr_assert_not(rule_calendar_open(&r->calendar, m), "%s: missed", fields[i]);
            }
            t = next;
            asked++;
        }
        cr_expect_lt(asked, 14 * 24, "%s: asked %u times in two weeks", fields[i], asked);
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(calendar, outside_nothing_is_raised_and_what_is_open_ends)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = rule_of(&h, "'for':'1m','active':[{'from':'07:00','to':'08:00'}]");
    struct engine_rule rule = {.rule_id = 1, .version = 1, .rule = r};
    struct device *d = help_device(NULL, "d");
    struct help_run *run = help_run_new(engine_new(d, &rule, 1, 2 * MIN, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    static const struct {
        const char *t;
        double v;
        const char *log;
    } steps[] = {
        {"2026-11-23T06:50:00Z", 70, ""},
        {"2026-11-23T06:59:00Z", 70, ""},
        {"2026-11-23T07:00:00Z", 70, "pending"},
        {"2026-11-23T07:00:30Z", 70, "pending"},
        {"2026-11-23T07:01:00Z", 70, "pending fired"},
        {"2026-11-23T09:00:00Z", 50, "pending fired resolved"},
        {"2026-11-24T07:59:30Z", 70, "pending fired resolved pending"},
        {"2026-11-24T08:00:30Z", 70, "pending fired resolved pending reset"},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        cr_assert_eq(help_feed(run, at(steps[i].t), x, steps[i].v), ENGINE_NEW);
        cr_expect_str_eq(run->log, steps[i].log, "%s: %s", steps[i].t, run->log);
    }
    help_advance(run, at("2026-11-24T12:00:00Z"));
    cr_expect_eq(run->count, 1, "nor does the clock raise it");
    help_run_free(run);
    device_drop(d);
    rule_drop(r);
    help_env_fini(&h);
}

/* Nobody reports before the shop opens: absence is raised when it does. */
Test(calendar, absence_is_raised_when_the_window_begins)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'absent_over_time(x[30m])',"
                                   "'active':[{'from':'07:00','to':'08:00'}]}");
    struct engine_rule rule = {.rule_id = 1, .version = 1, .rule = r};
    struct device *d = help_device(NULL, "d");
    struct help_run *run = help_run_new(engine_new(d, &rule, 1, 2 * MIN, CLOCK_NONE));
    cr_assert_eq(help_feed(run, at("2026-11-22T20:00:00Z"), help_metric(&h, "x"), 1), ENGINE_NEW);
    help_advance(run, at("2026-11-23T06:59:59Z"));
    cr_expect_eq(run->count, 0, "%s", run->log);
    help_advance(run, at("2026-11-23T12:00:00Z"));
    cr_assert_eq(run->count, 1);
    cr_expect_eq(run->alerts[0].fired_us, at("2026-11-23T07:00:00Z"));
    help_run_free(run);
    device_drop(d);
    rule_drop(r);
    help_env_fini(&h);
}
