#include <criterion/criterion.h>

#include "help.h"

#define T0 (1000 * S)

struct step {
    int at_s; /* seconds since T0 */
    double x;
    const char *log; /* events up to here */
};

/* A rule over metric x, its samples, and the events after each. */
static struct help_run *run_rule(struct help_env *h, const char *document, const struct step *steps,
                                 size_t count)
{
    struct rule *r = help_rule(h, document);
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    rule_drop(r);
    device_drop(d);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(help_feed(run, T0 + steps[i].at_s * S, help_metric(h, "x"), steps[i].x),
                     ENGINE_NEW);
        if (steps[i].log != NULL) {
            cr_expect_str_eq(run->log, steps[i].log, "%s at %d: \"%s\", expected \"%s\"", document,
                             steps[i].at_s, run->log, steps[i].log);
        }
    }
    return run;
}

static void expect_events(const char *document, const struct step *steps, size_t count)
{
    struct help_env h;
    help_env_init(&h);
    help_run_free(run_rule(&h, document, steps, count));
    help_env_fini(&h);
}

#define EXPECT_EVENTS(document, ...)                                           \
    do {                                                                       \
        static const struct step steps_[] = {__VA_ARGS__};                     \
        expect_events((document), steps_, sizeof(steps_) / sizeof(steps_[0])); \
    } while (0)

Test(engine, fires_at_the_first_sample_at_least_for_after_the_run_began)
{
    EXPECT_EVENTS("{'name':'r','when':'x > 5','for':'30s'}", {0, 1, ""}, {10, 6, "pending"},
                  {39, 6, "pending"}, {40, 6, "pending fired"}, {41, 6, "pending fired"},
                  {42, 5, "pending fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5'}", {0, 6, "fired"}, {1, 6, "fired"},
                  {2, 5, "fired resolved"}, {3, 6, "fired resolved fired"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5','for':'0s'}", {0, 6, "fired"});
}

Test(engine, one_false_sample_resets_a_pending_rule)
{
    EXPECT_EVENTS("{'name':'r','when':'x > 5','for':'30s'}", {0, 6, "pending"}, {29, 6, "pending"},
                  {30, 5, "pending reset"}, {31, 6, "pending reset pending"},
                  {60, 6, "pending reset pending"}, {61, 6, "pending reset pending fired"});
}

Test(engine, clear_has_its_own_limit_and_its_own_unbroken_run)
{
    EXPECT_EVENTS("{'name':'r','when':'x > 5','clear':'x < 3','clear_for':'20s'}", {0, 6, "fired"},
                  {1, 4, "fired"}, /* between the limits */
                  {2, 2, "fired"}, /* the run of clear begins */
                  {21, 2, "fired"}, {22, 2, "fired resolved"}, {23, 4, "fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5','clear':'x < 3','clear_for':'20s'}", {0, 6, "fired"},
                  {2, 2, NULL}, {10, 4, NULL}, /* breaks it */
                  {11, 2, NULL}, {22, 2, "fired"}, {31, 2, "fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5','clear_for':'20s'}", {0, 6, "fired"}, {2, 5, "fired"},
                  {21, 5, "fired"}, {22, 5, "fired resolved"});
}

Test(engine, clear_is_asked_at_the_very_sample_that_fired)
{
    EXPECT_EVENTS("{'name':'r','when':'x > 5','clear':'x > 7'}", {0, 8, "fired resolved"},
                  {1, 8, "fired resolved fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5','clear':'x > 7','clear_for':'10s'}", {0, 8, "fired"},
                  {9, 8, "fired"}, {10, 8, "fired resolved"});
}

Test(engine, silence_longer_than_max_gap_resets_pending_and_the_run_of_clear_but_never_an_alert)
{
    EXPECT_EVENTS("{'name':'r','when':'x > 5','for':'30s','max_gap':'60s'}", {0, 6, "pending"},
                  {61, 6, "pending reset pending"}, {91, 6, "pending reset pending fired"},
                  {1000, 6, "pending reset pending fired"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5','for':'30s','max_gap':'60s'}", {0, 6, "pending"},
                  {60, 6, "pending fired"}); /* not longer */
    EXPECT_EVENTS("{'name':'r','when':'x > 5','clear_for':'90s','max_gap':'60s'}", {0, 6, "fired"},
                  {10, 1, "fired"}, {71, 1, "fired"}, {131, 1, "fired"},
                  {161, 1, "fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'x > 5','for':'30s'}", {0, 6, "pending"},
                  {100000, 6, "pending fired"}); /* without max_gap silence is no matter */
}

Test(engine, a_window_is_open_on_the_left_and_averages_what_is_in_it)
{
    EXPECT_EVENTS("{'name':'r','when':'avg_over_time(x[10s]) > 5'}", {0, 6, "fired"},
                  {5, 4, "fired resolved"},                 /* 5 is not > 5 */
                  {9, 6, "fired resolved fired"},           /* 16/3 */
                  {10, 5, "fired resolved fired resolved"}, /* 0 has left: 15/3 */
                  {30, 6, "fired resolved fired resolved fired"});
    EXPECT_EVENTS("{'name':'r','when':'sum_over_time(x[10s]) >= 10'}", {0, 5, ""}, {9, 5, "fired"},
                  {10, 4, "fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'count_over_time(x[10s]) == 3'}", {0, 5, ""}, {4, 5, ""},
                  {9, 5, "fired"}, {10, 5, "fired"}, {11, 5, "fired resolved"});
    EXPECT_EVENTS("{'name':'r','when':'min_over_time(x[10s]) > 3'}", {0, 2, ""}, {9, 5, ""},
                  {10, 5, "fired"});
    EXPECT_EVENTS("{'name':'r','when':'max_over_time(x[10s]) < 3'}", {0, 4, ""}, {9, 2, ""},
                  {10, 1, "fired"});
    EXPECT_EVENTS("{'name':'r','when':'last_over_time(x[10s]) > 3'}", {0, 4, "fired"},
                  {9, 2, "fired resolved"});
}

Test(engine, a_baseline_is_the_mean_of_the_first_readings_and_absent_before)
{
    struct help_env h;
    help_env_init(&h);
    static const char document[] =
        "{'name':'r','when':'temperature > 1.5 * baseline(temperature)'}";
    struct rule *r = help_rule(&h, document);
    int32_t x = help_metric(&h, "temperature");
    for (int fixed = 0; fixed < 2; fixed++) {
        struct device *d = help_device(h.type, "d"); /* 3 readings, says the type */
        if (fixed) {
            help_attribute(d, "baseline.temperature", "1", 1);
        }
        struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
        struct help_run *run = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
        device_drop(d);
        (void)help_feed(run, T0, x, 1);
        (void)help_feed(run, T0 + S, x, 100); /* no baseline yet: no alert */
        (void)help_feed(run, T0 + S, x, 7);   /* the first of an instant wins */
        cr_expect_str_eq(run->log, fixed ? "fired" : "");
        (void)help_feed(run, T0 + 2 * S, x, 1); /* 102 / 3 = 34 */
        (void)help_feed(run, T0 + 3 * S, x, 51);
        cr_expect_str_eq(run->log, fixed ? "fired resolved fired" : "");
        (void)help_feed(run, T0 + 4 * S, x, 51.1);
        cr_expect_str_eq(run->log, fixed ? "fired resolved fired" : "fired");
        help_run_free(run);
    }
    rule_drop(r);
    help_env_fini(&h);
}

Test(engine, the_first_value_of_an_instant_wins_and_nothing_new_evaluates_nothing)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5 and y > 5'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    int32_t y = help_metric(&h, "y");
    int32_t other = help_metric(&h, "other");
    cr_expect_eq(help_feed(run, T0, x, 6), ENGINE_NEW);
    cr_expect_eq(run->out.evaluations, 1);
    cr_expect_eq(help_feed(run, T0, x, 6), ENGINE_NEW);
    cr_expect_eq(run->out.evaluations, 1, "it is known");
    cr_expect_eq(help_feed(run, T0, x, 1), ENGINE_NEW, "another content is another sample");
    cr_expect_eq(run->out.evaluations, 1, "but it adds nothing");
    cr_expect_eq(help_feed(run, T0, other, 1), ENGINE_NEW);
    cr_expect_eq(run->out.evaluations, 1, "a metric that no rule reads");
    struct sample_value both[] = {{.metric = x, .number = 1}, {.metric = y, .number = 7}};
    struct sample s = {.ts_us = T0, .count = 2, .values = both};
    cr_expect_eq(help_feed_sample(run, &s), ENGINE_NEW);
    cr_expect_eq(run->out.evaluations, 2, "y is new at this instant");
    cr_expect_str_eq(run->log, "fired", "and x is still 6");
    cr_expect(engine_wants(run->engine, x) && engine_wants(run->engine, y));
    cr_expect_not(engine_wants(run->engine, other));
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, another_metric_counts_with_its_newest_value_for_five_minutes)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5 and y > 5'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    int32_t y = help_metric(&h, "y");
    (void)help_feed(run, T0, y, 6);
    (void)help_feed(run, T0 + 4 * MIN, x, 6);
    cr_expect_str_eq(run->log, "fired");
    (void)help_feed(run, T0 + 5 * MIN, x, 6);
    cr_expect_str_eq(run->log, "fired", "exactly five minutes old");
    (void)help_feed(run, T0 + 5 * MIN + 1, x, 6);
    cr_expect_str_eq(run->log, "fired resolved", "absent: the condition is false");
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, sentinels_texts_and_absurd_numbers_are_no_readings)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'heading > 400'}");
    struct device *d = help_device(h.type, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    int32_t heading = help_metric(&h, "heading");
    static const double bad[] = {511, 1e300, (double)INFINITY, (double)NAN};
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(help_feed(run, T0 + i * S, heading, bad[i]), ENGINE_NEW);
    }
    struct sample_value text = {
        .metric = heading, .kind = VALUE_TEXT, .number = 450, .text = VIEW("450")};
    struct sample s = {.ts_us = T0 + 5 * S, .count = 1, .values = &text};
    cr_expect_eq(help_feed_sample(run, &s), ENGINE_NEW);
    cr_expect_eq(run->out.evaluations, 0);
    (void)help_feed(run, T0 + 5 * S, heading, 410); /* the text took no place at this instant */
    cr_expect_str_eq(run->log, "fired");
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, an_alert_tells_since_value_summary_and_what_it_saw)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(
        &h, "{'name':'hot','when':'avg_over_time(temperature[1m]) > attr(\\\"limit\\\")',"
            "'for':'10s','severity':'major','summary':'{{device}} {{ severity }} {{rule}} at "
            "{{temperature}} ({{value}}), {{rpm}}, {{label.site}}/{{label.none}}, "
            "{{attr.limit}}'}");
    struct device *d = help_device(h.type, "motor-1");
    help_attribute(d, "limit", "80", 80);
    help_label(d, "site", "plant-1");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    run->next_id = 40;
    int32_t t = help_metric(&h, "temperature");
    (void)help_feed(run, T0, t, 90);
    (void)help_feed(run, T0 + 10 * S, t, 91.0 + 1.0 / 3);
    cr_assert_eq(run->count, 1);
    cr_expect_eq(run->alerts[0].id, 40);
    cr_expect_eq(run->next_id, 41);
    cr_expect_eq(run->alerts[0].rule_id, 7);
    cr_expect_eq(run->alerts[0].since_us, T0);
    cr_expect_eq(run->alerts[0].fired_us, T0 + 10 * S);
    cr_expect_eq(run->alerts[0].resolved_us, CLOCK_NONE);
    cr_expect_float_eq(run->alerts[0].value, 90.66666, 1e-4);
    cr_expect_str_eq(run->summary, "motor-1 major hot at 91.3333 (90.6667), n/a, plant-1/n/a, 80");
    cr_expect(strstr(run->explain, "\"avg_over_time(temperature[1m])\":{\"value\":90.6666") != NULL,
              "%s", run->explain);
    cr_expect(strstr(run->explain, "\"attr(\\\"limit\\\")\":{\"value\":80}") != NULL, "%s",
              run->explain);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, late_samples_change_nothing_and_the_rest_is_put_in_order)
{
    struct help_env h;
    help_env_init(&h);
    static const struct step steps[] = {{0, 1, ""}, {100, 6, "pending"}, {110, 6, "pending"}};
    struct help_run *run =
        run_rule(&h, "{'name':'r','when':'x > 5','for':'20s','lateness':'60s'}", steps, 3);
    int32_t x = help_metric(&h, "x");
    cr_expect_eq(engine_lateness_us(run->engine), 120 * S, "the default is longer");
    cr_expect_eq(engine_watermark_us(run->engine), T0 + 110 * S);
    cr_expect_eq(help_feed(run, T0 - 11 * S, x, 6), ENGINE_LATE);
    cr_expect_eq(help_feed(run, T0 - 10 * S, x, 6), ENGINE_NEW, "just inside");
    cr_expect_eq(help_feed(run, T0 - 10 * S, x, 6), ENGINE_NEW);
    cr_expect_eq(help_feed(run, T0, x, 1), ENGINE_NEW);
    cr_expect_str_eq(run->log, "pending");
    (void)help_feed(run, T0 + 90 * S, x, 7); /* the run began earlier: it fired at 110 */
    cr_expect_str_eq(run->log, "pending fired");
    cr_expect_eq(run->alerts[0].since_us, T0 + 90 * S);
    cr_expect_eq(run->alerts[0].fired_us, T0 + 110 * S);
    (void)help_feed(run, T0 + 85 * S, x, 7); /* earlier still: the same alert, corrected */
    cr_expect_str_eq(run->log, "pending fired corrected");
    cr_expect_eq(run->alerts[0].since_us, T0 + 85 * S);
    (void)help_feed(run, T0 + 105 * S, x, 8); /* 20 s after 85: it fired at 105 */
    cr_expect_str_eq(run->log, "pending fired corrected corrected");
    cr_expect_eq(run->alerts[0].fired_us, T0 + 105 * S);
    cr_expect_eq(run->alerts[0].value, 8);
    help_run_free(run);
    help_env_fini(&h);
}

Test(engine, an_alert_that_never_was_is_retracted)
{
    struct help_env h;
    help_env_init(&h);
    static const struct step steps[] = {{0, 6, "pending"}, {20, 6, "pending fired"}};
    struct help_run *run = run_rule(&h, "{'name':'r','when':'x > 5','for':'20s'}", steps, 2);
    int32_t x = help_metric(&h, "x");
    (void)help_feed(run, T0 + 10 * S, x, 1);
    cr_expect_str_eq(run->log, "pending fired retracted");
    (void)help_feed(run, T0 + 40 * S, x, 6);
    cr_expect_str_eq(run->log, "pending fired retracted fired");
    cr_expect_eq(run->alerts[1].since_us, T0 + 20 * S);
    cr_expect_eq(run->alerts[1].id, 2);
    help_run_free(run);
    help_env_fini(&h);
}

Test(engine, an_alert_that_ended_earlier_or_not_at_all_keeps_its_id)
{
    struct help_env h;
    help_env_init(&h);
    static const struct step steps[] = {
        {0, 6, "fired"}, {20, 1, "fired resolved"}, {30, 6, "fired resolved fired"}};
    struct help_run *run = run_rule(&h, "{'name':'r','when':'x > 5'}", steps, 3);
    int32_t x = help_metric(&h, "x");
    (void)help_feed(run, T0 + 10 * S, x, 1);
    cr_expect_str_eq(run->log, "fired resolved fired corrected");
    cr_expect_eq(run->alerts[0].resolved_us, T0 + 10 * S);
    (void)help_feed(run, T0 + 25 * S, x, 7); /* the second one fired earlier */
    cr_expect_str_eq(run->log, "fired resolved fired corrected corrected");
    cr_expect_eq(run->alerts[1].id, 2);
    cr_expect_eq(run->alerts[1].fired_us, T0 + 25 * S);
    cr_expect_eq(run->alerts[1].resolved_us, CLOCK_NONE);
    (void)help_feed(run, T0 + 15 * S, x, 8); /* one more between them */
    cr_expect_str_eq(run->log, "fired resolved fired corrected corrected fired resolved");
    cr_expect_eq(run->count, 3);
    help_run_free(run);
    help_env_fini(&h);
}

Test(engine, samples_before_the_rules_fill_windows_and_drive_nothing)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'count_over_time(x[1h]) >= 3'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, T0));
    int32_t x = help_metric(&h, "x");
    cr_expect_eq(engine_history_from(run->engine), 0, "an hour before T0 there was no time yet");
    cr_expect_eq(engine_watermark_us(run->engine), T0);
    for (int i = 0; i < 5; i++) {
        struct sample_value v = {.metric = x, .number = 1};
        struct sample s = {.ts_us = T0 - 400 * S + i * 100 * S, .count = 1, .values = &v};
        cr_expect_eq(engine_replay(run->engine, &s, ++run->seq, &run->out), ERR_OK);
        help_take(run);
    }
    cr_expect_str_eq(run->log, "");
    cr_expect_eq(run->out.evaluations, 0);
    (void)help_feed(run, T0 + S, x, 1);
    cr_expect_str_eq(run->log, "fired");
    struct sample_value v = {.metric = x, .number = 1};
    struct sample s = {.ts_us = T0 + 2 * S, .count = 1, .values = &v};
    cr_expect_eq(engine_replay(run->engine, &s, ++run->seq, &run->out), ERR_STATE, "live now");
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, without_rules_only_the_watermark_is_known)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 1','mode':'disabled','lateness':'1h'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    for (uint32_t count = 0; count < 2; count++) { /* a disabled rule is no rule */
        struct help_run *run = help_run_new(engine_new(d, &er, count, 2 * MIN, CLOCK_NONE));
        int32_t x = help_metric(&h, "x");
        cr_expect_eq(engine_watermark_us(run->engine), CLOCK_NONE);
        cr_expect_eq(engine_lateness_us(run->engine), 2 * MIN);
        cr_expect_eq(help_feed(run, T0, x, 5), ENGINE_NEW);
        cr_expect_eq(help_feed(run, T0 - 121 * S, x, 5), ENGINE_LATE);
        cr_expect_eq(help_feed(run, T0 - 120 * S, x, 5), ENGINE_NEW);
        cr_expect_eq(engine_watermark_us(run->engine), T0);
        cr_expect_eq(engine_history_from(run->engine), CLOCK_NONE);
        cr_expect_not(engine_wants(run->engine, x));
        help_run_free(run);
    }
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, knows_which_rules_it_runs)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *on = help_rule(&h, "{'name':'on','when':'x > 1'}");
    struct rule *off = help_rule(&h, "{'name':'off','when':'x > 1','mode':'disabled'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule rules[] = {{7, 1, on}, {8, 1, off}};
    struct engine *e = engine_new(d, rules, 2, 2 * MIN, CLOCK_NONE);
    cr_expect(engine_has_rule(e, 7));
    cr_expect_not(engine_has_rule(e, 8), "disabled");
    cr_expect_not(engine_has_rule(e, 9));
    engine_free(e);
    rule_drop(on);
    rule_drop(off);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, lateness_zero_takes_equal_times_and_nothing_older)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5','lateness':'0s'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(help_feed(run, T0 + i * 100 * S, x, i % 2 == 0 ? 6 : 1), ENGINE_NEW);
        cr_expect_eq(help_feed(run, T0 + i * 100 * S, x, 3), ENGINE_NEW);
        cr_expect_eq(help_feed(run, T0 + i * 100 * S, x, 3), ENGINE_NEW);
        cr_expect_eq(help_feed(run, T0 + i * 100 * S - 1, x, 6), ENGINE_LATE);
    }
    cr_expect_eq(run->count, 50);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, a_full_history_moves_the_base_instead_of_growing)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'sum_over_time(x[1h]) > 5e8'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 60 * MIN, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    for (int i = 0; i < 200000; i++) { /* 2.7 hours of lateness would be 200,000 samples */
        cr_assert_eq(help_feed(run, T0 + i * 1000, x, i), ENGINE_NEW);
    }
    cr_expect_eq(help_feed(run, T0 + 100 * 1000 + 1, x, 1), ENGINE_LATE, "before the forced base");
    cr_expect_eq(help_feed(run, T0 + 199990 * 1000 + 1, x, 1), ENGINE_NEW);
    cr_expect_str_eq(run->log, "fired", "the sum still has all 200,000 readings");
    cr_expect_eq(run->alerts[0].fired_us, T0 + 31623 * 1000);
    /* The first value of an instant wins; the others are not kept, so they fill nothing. */
    int64_t t = T0 + 300 * S;
    for (int i = 0; i < 70000; i++) {
        cr_assert_eq(help_feed(run, t, x, i), ENGINE_NEW);
    }
    cr_expect_eq(help_feed(run, t - 50 * S, x, 1), ENGINE_NEW, "the base has not moved");
    cr_expect_eq(help_feed(run, t + 1, x, 1), ENGINE_NEW);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, no_memory_in_the_arena_is_said_and_the_engine_is_done)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
    arena_fini(&run->arena);
    arena_init(&run->arena, 8);
    struct sample_value v = {.metric = help_metric(&h, "x"), .number = 6};
    struct sample s = {.ts_us = T0, .count = 1, .values = &v};
    cr_expect_eq(engine_feed(run->engine, &s, 1, &run->out), ENGINE_NEW);
    engine_run(run->engine, &run->out);
    cr_expect_eq(run->out.err, ERR_NOMEM);
    run->out.err = ERR_OK;
    s.ts_us += S;
    cr_expect_eq(engine_feed(run->engine, &s, 2, &run->out), ENGINE_NEW);
    cr_expect_eq(run->out.err, ERR_NOMEM);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, two_firings_at_one_instant_are_two_alerts)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(
        &h, "{'name':'r','when':'sum_over_time(y[4s]) > 300 or count_over_time(x[4s]) > 5',"
            "'clear':'last_over_time(y[2s]) < 10','lateness':'4s'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    int32_t y = help_metric(&h, "y");
    const struct {
        int64_t ms;
        int32_t metric;
        double v;
    } in[] = {{0, y, 182},    {750, y, 181},  {1000, x, 3}, {1000, y, 3},
              {2000, y, 206}, {3000, x, 173}, {1500, x, 4}, {1500, y, 120}};
    for (size_t i = 0; i < 8; i++) {
        cr_expect_eq(help_feed(run, T0 + in[i].ms * 1000, in[i].metric, in[i].v), ENGINE_NEW);
    }
    char *history = help_history(run);
    char expected[256];
    (void)snprintf(
        expected, sizeof(expected), "7 %lld %lld %lld %a\n7 %lld %lld %lld %a\n7 %lld %lld -1 %a\n",
        (long long)(T0 + 750000), (long long)(T0 + 750000), (long long)(T0 + 1000000), 363.0,
        (long long)(T0 + 1500000), (long long)(T0 + 1500000), (long long)(T0 + 1500000), 366.0,
        (long long)(T0 + 1500000), (long long)(T0 + 1500000), 486.0);
    cr_expect_str_eq(history, expected, "%s", history);
    free(history);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, a_window_is_its_newest_million_readings)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'count_over_time(x[31d]) >= 1000000 and "
                                   "avg_over_time(x[31d]) > 500008','lateness':'1s'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, S, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    for (int i = 0; i < 1000020; i++) {
        (void)help_feed(run, T0 + i * S, x, i);
    }
    cr_assert_eq(run->count, 1);
    cr_expect_eq(run->alerts[0].fired_us, T0 + 1000008 * S, "9 to 1,000,008: the rest has left");
    cr_expect_eq(run->alerts[0].value, 1000000);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(engine, a_sample_exactly_as_late_as_allowed_counts_even_where_a_snapshot_is)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5 and y > 5','lateness':'60s'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
    int32_t x = help_metric(&h, "x");
    (void)help_feed(run, T0, x, 6);
    (void)help_feed(run, T0 + 30 * S, x, 6); /* another cell: what was up to T0 is kept */
    (void)help_feed(run, T0 + 60 * S, x, 6); /* T0 is now as late as allowed */
    cr_expect_eq(help_feed(run, T0, help_metric(&h, "y"), 6), ENGINE_NEW);
    cr_expect_str_eq(run->log, "fired");
    cr_expect_eq(run->alerts[0].fired_us, T0);
    cr_expect_eq(help_feed(run, T0 - 1, x, 6), ENGINE_LATE);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}
