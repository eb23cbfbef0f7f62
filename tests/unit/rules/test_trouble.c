/*
 * Rules that are trouble: what they read is not there, is not a number, is too late, or is
 * everything.
 */
#include <criterion/criterion.h>

#include "help.h"

struct bench {
    struct help_env h;
    struct device *d;
    int32_t x, y;
    struct help_run *run;
};

static struct engine *engine_of(struct bench *b, const char *document, int32_t version)
{
    struct rule *r = help_rule(&b->h, document);
    struct engine_rule rule = {.rule_id = 1, .version = version, .rule = r};
    struct engine *e = engine_new(b->d, &rule, 1, 2 * MIN, CLOCK_NONE);
    rule_drop(r);
    return e;
}

static void begin(struct bench *b, const char *document)
{
    help_env_init(&b->h);
    b->d = help_device(NULL, "d");
    b->x = help_metric(&b->h, "x");
    b->y = help_metric(&b->h, "y");
    b->run = help_run_new(engine_of(b, document, 1));
}

static void end(struct bench *b)
{
    help_run_free(b->run);
    device_drop(b->d);
    help_env_fini(&b->h);
}

Test(trouble, a_rule_that_always_holds_has_one_alert_and_says_nothing_more)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x == x'}");
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(help_feed(b.run, (100 + i) * S, b.x, i), ENGINE_NEW);
    }
    cr_expect_str_eq(b.run->log, "fired", "%s", b.run->log);
    cr_expect_eq(b.run->alerts[0].resolved_us, CLOCK_NONE);
    end(&b);
}

Test(trouble, a_metric_that_is_not_there_yet_costs_nothing)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'not_yet > 1 or absent_over_time(not_yet[1m])','for':'5s'}");
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(help_feed(b.run, (100 + i * 60) * S, b.x, i), ENGINE_NEW);
    }
    cr_expect_eq(b.run->out.evaluations, 0, "nobody asks it");
    cr_expect_eq(engine_next_due(b.run->engine), CLOCK_NONE);
    cr_assert_eq(help_feed(b.run, 100000 * S, help_metric(&b.h, "not_yet"), 2), ENGINE_NEW);
    cr_assert_eq(help_feed(b.run, 100005 * S, help_metric(&b.h, "not_yet"), 2), ENGINE_NEW);
    cr_expect_eq(b.run->count, 1, "from the first reading on it is a rule like any other");
    end(&b);
}

Test(trouble, division_by_zero_and_what_is_no_number)
{
    static const struct {
        const char *when;
        double x, y;
        bool fires;
        const char *why;
    } cases[] = {
        {"x / y > 1000", 1, 0, true, "1/0 is +infinity, more than anything"},
        {"x / y < -1000", -1, 0, true, "-1/0 is -infinity"},
        {"x / y > 0", 0, 0, false, "0/0 is absent: no comparison holds"},
        {"x / y <= 0", 0, 0, false, ""},
        {"x / y == x / y", 0, 0, false, "not even with itself"},
        {"x / y != 1", 0, 0, false, "an absent value compares with nothing"},
        {"x % y > -1", 5, 0, false, "a remainder by zero is absent"},
        {"x ^ y > 1", -8, 0.5, false, "nor has -8 a square root"},
        {"x - x / y > 0 or true", 1, 0, true, "what is left of the condition counts"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char document[128];
        (void)snprintf(document, sizeof(document), "{'name':'r','when':'%s'}", cases[i].when);
        struct bench b;
        begin(&b, document);
        struct sample_value values[2] = {
            {.metric = b.x, .kind = VALUE_NUMBER, .number = cases[i].x},
            {.metric = b.y, .kind = VALUE_NUMBER, .number = cases[i].y}};
        struct sample s = {.ts_us = 100 * S, .count = 2, .values = values};
        cr_assert_eq(help_feed_sample(b.run, &s), ENGINE_NEW);
        cr_expect_eq(b.run->count == 1, cases[i].fires, "%s with %g and %g: %s", cases[i].when,
                     cases[i].x, cases[i].y, cases[i].why);
        end(&b);
    }
}

Test(trouble, a_window_of_a_year_is_refused_where_it_stands)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = NULL;
    struct rule_error error = {.line = 0};
    cr_expect_eq(
        help_compile(&h, "{'name':'r','when':'x > 1 and avg_over_time(y[366d]) > 2'}", &r, &error),
        ERR_RANGE, "%s", error.detail);
    cr_expect_str_eq(error.pointer, "/when");
    cr_expect_eq(error.line, 1);
    cr_expect_eq(error.column, 27, "column %d", error.column);
    cr_expect_not_null(strstr(error.detail, "31d"), "%s", error.detail);
    help_env_fini(&h);
}

Test(trouble, a_rule_that_is_changed_while_it_waits_begins_afresh)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','for':'1m'}");
    cr_assert_eq(help_feed(b.run, 100 * S, b.x, 70), ENGINE_NEW);
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(b.run->engine, &state);
    help_run_free(b.run);
    b.run = help_run_new(engine_of(&b, "{'name':'r','when':'x > 50','for':'1m'}", 2));
    cr_assert_eq(engine_restore(b.run->engine, buf_view(&state)), ERR_OK);
    buf_fini(&state);
    cr_assert_eq(help_feed(b.run, 161 * S, b.x, 70), ENGINE_NEW);
    cr_expect_eq(b.run->count, 0, "the minute of the version before does not count");
    cr_assert_eq(help_feed(b.run, 221 * S, b.x, 70), ENGINE_NEW);
    cr_assert_eq(b.run->count, 1);
    cr_expect_eq(b.run->alerts[0].since_us, 161 * S);
    end(&b);
}

/* ---- late: correct ---- */

static const char *const correcting =
    "{'name':'r','when':'x > 60','lateness':'1m','late':'correct','correct_within':'1h'}";

static bool late_event(struct bench *b, int64_t s, double v, enum engine_event_kind kind)
{
    struct sample_value value = {.metric = b->x, .kind = VALUE_NUMBER, .number = v};
    struct sample sample = {.ts_us = s * S, .count = 1, .values = &value};
    cr_assert_eq(engine_feed(b->run->engine, &sample, ++b->run->seq, &b->run->out), ENGINE_NEW);
    engine_run(b->run->engine, &b->run->out);
    bool late = false;
    for (const struct engine_event *e = b->run->out.first; e != NULL; e = e->next) {
        late = late || (e->kind == kind && e->late);
    }
    help_take(b->run);
    return late;
}

Test(trouble, a_late_sample_corrects_and_nobody_is_told_of_what_is_over)
{
    struct bench b;
    begin(&b, correcting);
    for (int i = 0; i <= 60; i++) {
        cr_assert_eq(help_feed(b.run, (1000 + i * 60) * S, b.x, 50), ENGINE_NEW);
    }
    cr_expect(late_event(&b, 2200 + 30, 70, ENGINE_FIRED),
              "40 minutes late: it fired and was over");
    cr_expect_str_eq(b.run->log, "fired resolved", "%s", b.run->log);
    cr_expect_eq(b.run->alerts[0].fired_us, 2230 * S);
    cr_expect_eq(b.run->alerts[0].resolved_us, 2260 * S);
    cr_expect_not(late_event(&b, 2245, 50, ENGINE_CORRECTED), "a correction is one anyway");
    cr_expect_eq(b.run->alerts[0].resolved_us, 2245 * S);
    cr_expect_not(late_event(&b, 4600 - 30, 70, ENGINE_FIRED), "half a minute is not too late");
    cr_expect_eq(help_feed(b.run, 900 * S, b.x, 70), ENGINE_LATE, "beyond the bound");
    end(&b);
}

Test(trouble, without_it_the_same_sample_is_ignored)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','lateness':'1m'}");
    for (int i = 0; i <= 60; i++) {
        cr_assert_eq(help_feed(b.run, (1000 + i * 60) * S, b.x, 50), ENGINE_NEW);
    }
    cr_expect_eq(help_feed(b.run, 2230 * S, b.x, 70), ENGINE_LATE);
    end(&b);
}
