#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "backtest/backtest.h"
#include "base/clock.h"

#define S CLOCK_SECOND_US

struct rig {
    struct intern *metrics;
    struct device_type *type;
    int32_t x;
};

static void rig_init(struct rig *g)
{
    g->metrics = intern_new(100);
    g->x = intern_add(g->metrics, VIEW("x"));
    g->type = device_type_new();
    g->type->name = strdup("generic");
    g->type->any_metric = true;
}

static void rig_fini(struct rig *g)
{
    device_type_drop(g->type);
    intern_free(g->metrics);
}

static struct rule *rule(const struct rig *g, const char *json)
{
    struct rule_env env = {.metrics = g->metrics};
    struct rule_error why = {0};
    struct rule *r = NULL;
    cr_assert_eq(rule_compile(view_str(json), &env, &r, &why), ERR_OK, "%s %s", why.pointer,
                 why.detail);
    return r;
}

static struct device *device(const struct rig *g, const char *name)
{
    struct device *d = device_new();
    d->name = strdup(name);
    device_type_hold(g->type);
    d->type = g->type;
    d->enabled = true;
    return d;
}

static struct backtest_device *opened; /* the one that RUN left open */

static enum err feed(const struct rig *g, int64_t second, double value)
{
    struct sample_value v = {.metric = g->x, .number = value};
    struct sample s = {.ts_us = second * S, .count = 1, .values = &v};
    return backtest_sample(opened, &s, CLOCK_NONE);
}

/* A device whose x has these values, one a second from `start` on. */
static void run(struct backtest *b, const struct rig *g, const char *name, int64_t start,
                const double *values, size_t count)
{
    struct device *d = device(g, name);
    cr_assert_eq(backtest_open(b, d, CLOCK_NONE, &opened), ERR_OK);
    device_drop(d);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(feed(g, start + (int64_t)i, values[i]), ERR_OK);
    }
}

static char *report(struct backtest *b)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    backtest_report(b, &j);
    emit_json_close(&j, '}');
    return buf_take_str(&out);
}

static const struct backtest_setup open_setup = {
    .from_us = CLOCK_NONE, .to_us = CLOCK_NONE, .flap_us = 3 * S, .items_max = 100};

static struct backtest *start(struct rule *candidate, struct rule *against)
{
    struct backtest_setup setup = open_setup;
    setup.candidate = candidate;
    setup.against = against;
    setup.against_words = against == NULL ? NULL : "version 1";
    struct backtest *b = backtest_new(&setup);
    cr_assert_not_null(b);
    return b;
}

#define RUN(b, g, name, start, ...)                       \
    run(b, g, name, start, (const double[]){__VA_ARGS__}, \
        sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

Test(backtest, alerts_flaps_resets_and_commands_are_counted)
{
    struct rig g;
    rig_init(&g);
    struct rule *r = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 5\",\"for\":\"1s\",\"actions\":[{"
                              "\"command\":{\"to\":\"self\",\"method\":\"stop\"}}]}");
    struct backtest *b = start(r, NULL);
    /*                     since fired resolved   a reset    fires again 5 s later: a flap is 3 s */
    RUN(b, &g, "a", 100, 1, 6, 7, 1, 6, 1, 6, 6, 1, 1, 1, 1, 6, 6);
    cr_assert_eq(backtest_close(opened), ERR_OK);
    RUN(b, &g, "b", 100, 1, 1, 1);
    cr_assert_eq(backtest_close(opened), ERR_OK);
    struct backtest_counts c = backtest_counts(b);
    cr_expect_eq(c.devices, 2);
    cr_expect_eq(c.samples, 17);
    cr_expect_eq(c.alerts, 3);
    cr_expect_eq(c.flaps, 0, "107 - 103 is 4 s, 113 - 108 is 5 s");
    cr_expect_eq(c.pending_resets, 1);
    cr_expect_eq(c.commands, 3);
    char *text = report(b);
    cr_expect_not_null(strstr(text,
                              "\"since\":\"1970-01-01T00:01:41Z\",\"fired_at\":\"1970-01-01T00:"
                              "01:42Z\",\"resolved_at\":\"1970-01-01T00:01:43Z\",\"value\":7"),
                       "%s", text);
    cr_expect_not_null(strstr(text, "\"state\":\"firing\""), "the last one is open: %s", text);
    cr_expect_not_null(strstr(text, "\"method\":\"stop\",\"params\":{}"), "%s", text);
    cr_expect_not_null(
        strstr(text, "\"alerts_per_device\":{\"min\":0,\"p50\":0,\"p90\":0,\"p99\":0,\"max\":3}"),
        "%s", text);
    free(text);
    backtest_free(b);
    rule_drop(r);
    rig_fini(&g);
}

Test(backtest, the_period_decides_what_is_counted_and_what_came_before_warms_up)
{
    struct rig g;
    rig_init(&g);
    struct rule *r = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 5\",\"for\":\"2s\"}");
    struct backtest_setup setup = open_setup;
    setup.candidate = r;
    setup.from_us = 104 * S;
    setup.to_us = 107 * S;
    struct backtest *b = backtest_new(&setup);
    /* fires at 102, before the period; pending since 103, fires at 105 in it; resolves at 107 */
    RUN(b, &g, "a", 100, 6, 6, 6, 1, 6, 6, 6, 1);
    cr_assert_eq(backtest_close(opened), ERR_OK);
    RUN(b, &g, "b", 100, 1, 1, 1, 6, 6, 6, 6, 1);
    cr_assert_eq(backtest_close(opened), ERR_OK);
    cr_expect_eq(backtest_counts(b).alerts, 2);
    char *text = report(b);
    cr_expect_null(strstr(text, "resolved\""), "the end at 107 is not known yet: %s", text);
    cr_expect_not_null(strstr(text,
                              "\"since\":\"1970-01-01T00:01:43Z\",\"fired_at\":\"1970-01-01T00:"
                              "01:45Z\",\"resolved_at\":null"),
                       "%s", text);
    free(text);
    backtest_free(b);
    rule_drop(r);
    rig_fini(&g);
}

Test(backtest, the_difference_to_another_version_is_by_alert)
{
    struct rig g;
    rig_init(&g);
    struct rule *was = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 5\"}");
    struct rule *is = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 4 and x != 7\"}");
    struct backtest *b = start(is, was);
    /*                   same        removed     added       changed: begins earlier */
    RUN(b, &g, "a", 100, 6, 1, 1, 1, 7, 1, 1, 1, 5, 1, 1, 1, 5, 6, 1);
    cr_assert_eq(backtest_close(opened), ERR_OK);
    struct backtest_counts c = backtest_counts(b);
    cr_expect_eq(c.alerts, 3);
    cr_expect_eq(c.added, 1);
    cr_expect_eq(c.removed, 1);
    cr_expect_eq(c.changed, 1);
    char *text = report(b);
    cr_expect_not_null(strstr(text, "\"against\":\"version 1\",\"same_count\":1"), "%s", text);
    free(text);
    backtest_free(b);
    rule_drop(was);
    rule_drop(is);
    rig_fini(&g);
}

Test(backtest, history_is_compared_to_the_last_byte)
{
    struct rig g;
    rig_init(&g);
    struct rule *r = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 5\"}");
    static const struct {
        struct backtest_alert recorded;
        uint64_t changed;
        const char *why;
    } cases[] = {
        {{101 * S, 101 * S, 102 * S, 6, SEVERITY_WARNING, "a: hot"}, 0, "the same"},
        {{101 * S, 101 * S, 102 * S, 6.000000000000001, SEVERITY_WARNING, "a: hot"},
         1,
         "a value, its last bit"},
        {{101 * S, 101 * S, 102 * S, 6, SEVERITY_WARNING, "a: hot!"}, 1, "the summary"},
        {{101 * S, 101 * S, 103 * S, 6, SEVERITY_WARNING, "a: hot"}, 1, "the end"},
        {{101 * S, 101 * S, 102 * S, 6, SEVERITY_MAJOR, "a: hot"}, 1, "the severity"},
        {{101 * S, 101 * S, CLOCK_NONE, 6, SEVERITY_WARNING, "a: hot"}, 1, "no end"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct backtest_setup setup = open_setup;
        setup.candidate = r;
        setup.against_words = "history";
        struct backtest *b = backtest_new(&setup);
        RUN(b, &g, "a", 100, 1, 6, 1);
        cr_assert_eq(backtest_recorded(opened, &cases[i].recorded), ERR_OK);
        cr_assert_eq(backtest_close(opened), ERR_OK);
        struct backtest_counts c = backtest_counts(b);
        cr_expect_eq(c.changed, cases[i].changed, "%s", cases[i].why);
        cr_expect_eq(c.added + c.removed, 0, "%s", cases[i].why);
        backtest_free(b);
    }
    rule_drop(r);
    rig_fini(&g);
}

Test(backtest, lists_are_cut_and_say_so_while_counts_are_whole)
{
    struct rig g;
    rig_init(&g);
    struct rule *r = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 5\"}");
    struct backtest_setup setup = open_setup;
    setup.candidate = r;
    setup.items_max = 2;
    struct backtest *b = backtest_new(&setup);
    RUN(b, &g, "a", 100, 6, 1, 6, 1, 6, 1);
    cr_assert_eq(backtest_close(opened), ERR_OK);
    cr_expect_eq(backtest_counts(b).alerts, 3);
    cr_expect_eq(backtest_counts(b).flaps, 2);
    char *text = report(b);
    cr_expect_not_null(strstr(text, "\"truncated\":true"), "%s", text);
    cr_expect_null(strstr(text, "\"id\":3"), "%s", text);
    free(text);
    backtest_free(b);
    rule_drop(r);
    rig_fini(&g);
}

Test(backtest, samples_that_are_too_late_are_refused_and_that_is_kept)
{
    struct rig g;
    rig_init(&g);
    struct rule *r = rule(&g, "{\"name\":\"hot\",\"when\":\"x > 5\"}");
    struct backtest *b = start(r, NULL);
    RUN(b, &g, "a", 100, 1, 1);
    cr_expect_eq(feed(&g, 100, 1), ERR_STATE);
    cr_expect_eq(feed(&g, 200, 1), ERR_STATE);
    cr_expect_eq(backtest_close(opened), ERR_STATE);
    backtest_free(b);
    rule_drop(r);
    rig_fini(&g);
}

/* Alerts that were told come and go with the samples that are missing still. */
Test(backtest, out_of_order_within_the_lateness_is_the_same)
{
    struct rig g;
    rig_init(&g);
    struct rule *r =
        rule(&g, "{\"name\":\"hot\",\"when\":\"avg_over_time(x[3s]) > 5\",\"for\":\"1s\","
                 "\"summary\":\"{{value}}\"}");
    char *reports[2];
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        struct backtest_setup setup = open_setup;
        setup.candidate = r;
        setup.lateness_us = 20 * S;
        struct backtest *b = backtest_new(&setup);
        RUN(b, &g, "a", 0, 0);
        for (int64_t i = 0; i < 4000; i++) {
            int64_t at = shuffled ? i - i % 16 + (i * 7 + 3) % 16 : i;
            cr_assert_eq(feed(&g, 100 + at, (double)((at * at / 5) % 11)), ERR_OK);
        }
        cr_assert_eq(backtest_close(opened), ERR_OK);
        cr_expect_gt(backtest_counts(b).alerts, 100);
        char *text = report(b);
        char *alerts = strstr(text, "\"alerts\":[");
        *strstr(alerts, "\"by_device\"") = '\0';
        reports[shuffled] = strdup(alerts);
        free(text);
        backtest_free(b);
    }
    cr_expect_str_eq(reports[0], reports[1]);
    free(reports[0]);
    free(reports[1]);
    rule_drop(r);
    rig_fini(&g);
}
