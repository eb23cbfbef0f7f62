#include <criterion/criterion.h>

#include "help.h"
#include "rules/compiled.h"
#include "rules/explain.h"
#include "rules/explain_text.h"

#define T0 (INT64_C(1600000000) * S)

static char *explained(struct engine *e, int64_t at_us)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    struct emit_json j = emit_json_init(&b);
    emit_json_open(&j, '{');
    cr_assert_eq(engine_explain_rule(e, 7, at_us, &j), ERR_OK);
    emit_json_close(&j, '}');
    return buf_take_str(&b);
}

static void expect(struct engine *e, int64_t at_us, const char *part)
{
    char *text = explained(e, at_us);
    cr_expect(strstr(text, part) != NULL, "expected %s\n in %s", part, text);
    free(text);
}

Test(explain, each_state_says_why)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'hot','when':'temperature > 80','for':'10s',"
                                   "'clear':'temperature < 70','clear_for':'5s'}");
    struct device *d = help_device(h.type, "motor-1");
    struct engine_rule er = {.rule_id = 7, .version = 3, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    int32_t t = help_metric(&h, "temperature");
    expect(run->engine, T0, "\"state\":\"inactive\",\"why\":\"no sample");
    (void)help_feed(run, T0, t, 76);
    expect(run->engine, T0, "\"why\":\"`when` does not hold");
    expect(run->engine, T0,
           "{\"condition\":\"temperature > 80\",\"holds\":false,\"left\":76,\"right\":80}");
    (void)help_feed(run, T0 + S, t, 81);
    expect(run->engine, T0 + 4 * S, "\"state\":\"pending\"");
    expect(run->engine, T0 + 4 * S, "it fires after 10s without a break, in 7s");
    expect(run->engine, T0 + 4 * S, "\"fires_at\":\"2020-09-13T12:26:51Z\"");
    expect(run->engine, T0 + MIN, "it fires with the next sample at which it holds");
    (void)help_feed(run, T0 + 11 * S, t, 90);
    cr_expect_eq(run->count, 1);
    cr_expect(strstr(run->explain, "\"version\":3,\"evaluated_at\":\"2020-09-13T12:26:51Z\"") !=
                  NULL,
              "the transition keeps the version and its sample: %s", run->explain);
    cr_expect(strstr(run->explain,
                     "\"temperature\":{\"value\":90,\"ts\":\"2020-09-13T12:26:51Z\"}") != NULL,
              "%s", run->explain);
    expect(run->engine, T0 + 11 * S, "\"state\":\"firing\"");
    (void)help_feed(run, T0 + 20 * S, t, 60);
    expect(run->engine, T0 + 22 * S,
           "the condition to clear holds since 2020-09-13T12:27:00Z and must for another 3s");
    struct buf b;
    buf_init(&b, 100);
    struct emit_json j = emit_json_init(&b);
    cr_expect_eq(engine_explain_rule(run->engine, 8, T0, &j), ERR_NOT_FOUND);
    cr_expect_eq(b.len, 0);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(explain, looking_changes_nothing)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, "{'name':'r','when':'avg_over_time(temperature[5s]) > "
                                   "baseline(temperature) and rpm > 1','for':'3s'}");
    struct device *d = help_device(h.type, "motor-1");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *watched = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    struct help_run *alone = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    struct help_random random = {.state = 5};
    for (int i = 0; i < 500; i++) {
        int64_t at_us = T0 + i * S - (int64_t)help_random(&random, 3) * S;
        int32_t metric = help_metric(&h, i % 3 == 0 ? "rpm" : "temperature");
        double v = help_random(&random, 100);
        (void)help_feed(watched, at_us, metric, v);
        (void)help_feed(alone, at_us, metric, v);
        free(explained(watched->engine, at_us + MIN));
    }
    struct buf a;
    struct buf b;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    engine_save(watched->engine, &a);
    engine_save(alone->engine, &b);
    cr_expect(view_eq(buf_view(&a), buf_view(&b)));
    char *x = help_history(watched);
    char *y = help_history(alone);
    cr_expect_str_eq(x, y);
    free(x);
    free(y);
    buf_fini(&a);
    buf_fini(&b);
    help_run_free(watched);
    help_run_free(alone);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

static char *text_of(const struct rule *r)
{
    double values[RULE_INPUTS_MAX] = {0};
    struct buf b;
    buf_init(&b, 1 << 20);
    struct emit_json j = emit_json_init(&b);
    rule_explain_program(&j, &r->levels[0].when, &r->inputs, values);
    char *json = buf_take_str(&b);
    char *text = strdup(strstr(json, "\"text\":\"") + 8);
    *strstr(text, "\",\"holds\"") = '\0';
    free(json);
    return text;
}

/* What is read back means the same: compiled again it is the same program. */
Test(explain, the_text_of_a_condition_is_that_condition)
{
    static const char *const conditions[] = {
        "temperature > 80",
        "temperature > 80 and rpm < 3 or vibration == 1",
        "temperature > 80 and (rpm < 3 or vibration == 1)",
        "(temperature + 1) * 2 - -rpm / 3 ^ 2 >= min(rpm, abs(vibration)) % 7",
        "(2 - 3) - (4 - temperature) != 2 ^ 3 ^ rpm",
        "(2 ^ 3) ^ rpm > 1",
        "avg_over_time(temperature[5m]) > 1.5 * baseline(temperature) unless rpm > 1",
        "temperature > 1 unless (rpm > 1 and vibration > 2)",
        "-(temperature + 1) < 0.1",
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        struct rule *r = help_when(&h, conditions[i]);
        char *text = text_of(r);
        struct rule *again = help_when(&h, text);
        cr_assert_eq(again->levels[0].when.count, r->levels[0].when.count, "%s\n as %s",
                     conditions[i], text);
        for (uint32_t k = 0; k < r->levels[0].when.count; k++) {
            cr_expect_eq(again->levels[0].when.steps[k].op, r->levels[0].when.steps[k].op,
                         "%s\n as %s", conditions[i], text);
            cr_expect_eq(again->levels[0].when.steps[k].input, r->levels[0].when.steps[k].input,
                         "%s\n as %s", conditions[i], text);
            cr_expect_eq(again->levels[0].when.steps[k].number, r->levels[0].when.steps[k].number,
                         "%s\n as %s", conditions[i], text);
        }
        free(text);
        rule_drop(again);
        rule_drop(r);
    }
    help_env_fini(&h);
}
