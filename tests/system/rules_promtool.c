/*
 * rules_promtool: a test for `promtool test rules` that asks Prometheus for what our functions of
 * windows gave on the same series.
 *
 *     system_rules_promtool >tests.yaml && promtool test rules tests.yaml
 *
 * Series with gaps, falls, steps, repeats and large offsets, one reading each 15 s at most. Each
 * function is asked at many times; where it has a value, promtool must find it within 1e-12 of
 * ours, where it has none, neither may promtool. No reading lies exactly at the start of a window:
 * before Prometheus 3 such a reading was in it. Left out, and counted, are increases whose
 * extrapolation Prometheus 3 changed: towards the zero of a counter, across a gap at the start of
 * the window.
 *
 * The last line of the standard error counts what was asked.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "rules/engine.h"

enum { POINTS = 240, STEP_S = 15, TIMES = 24 };

struct series {
    const char *name;
    double values[POINTS]; /* NaN: a gap */
};

static uint64_t random_state = 20240229;

/* xorshift64*, Vigna 2016: in [0, 1). */
static double chance(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)((random_state * 0x2545F4914F6CDD1DULL) >> 11) / 9007199254740992.0;
}

static double gauge_next(double v)
{
    return v + chance() * 10 - 5;
}

static double counter_next(double v)
{
    return chance() < 0.04 ? chance() * 20 : v + floor(chance() * 30);
}

static double steps_next(double v)
{
    return chance() < 0.2 ? floor(chance() * 5) : v;
}

static double offset_next(double v)
{
    (void)v;
    return 1e9 + chance();
}

static double constant_next(double v)
{
    return v;
}

static void fill(struct series *s, double start, double gaps, double (*next)(double))
{
    double v = start;
    bool gap = false;
    for (int i = 0; i < POINTS; i++) {
        v = i == 0 ? v : next(v);
        gap = chance() < (gap ? 0.7 : gaps); /* gaps come in runs */
        s->values[i] = gap ? (double)NAN : v;
    }
}

struct asked {
    struct intern *metrics;
    struct device *device;
    uint32_t values, absences, left_out;
};

/* Our value of `expr` at time t: a rule that a sample of `probe` makes fire, and what it shows. */
static double ours(struct asked *a, const struct series *s, const char *expr, int t_s)
{
    char json[512];
    (void)snprintf(json, sizeof(json),
                   "{\"name\":\"r\",\"lateness\":\"0s\",\"when\":\"%s != 1e301 and probe == 1\"}",
                   expr);
    struct rule_env env = {.metrics = a->metrics};
    struct rule *rule = NULL;
    struct rule_error error;
    enum err err = rule_compile(view_str(json), &env, &rule, &error);
    CHECK(err == ERR_OK);
    struct engine_rule one = {.rule_id = 1, .version = 1, .rule = rule};
    struct engine *e = engine_new(a->device, &one, 1, 0, CLOCK_NONE);
    CHECK(e != NULL);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    int64_t next_id = 1;
    struct engine_out out = {.arena = &arena, .next_alert_id = &next_id};
    for (int i = 0; i <= POINTS; i++) {
        bool probe = i == POINTS || i * STEP_S > t_s;
        struct sample_value v = {.metric =
                                     intern_add(a->metrics, probe ? VIEW("probe") : VIEW("x")),
                                 .number = probe ? 1 : s->values[i]};
        struct sample sample = {
            .ts_us = (probe ? t_s : i * STEP_S) * CLOCK_SECOND_US, .count = 1, .values = &v};
        if (probe || !isnan(s->values[i])) {
            CHECK(engine_feed(e, &sample, i, &out) == ENGINE_NEW);
            engine_run(e, &out);
        }
        if (probe) {
            break;
        }
    }
    double value = (double)NAN;
    for (const struct engine_event *ev = out.first; ev != NULL; ev = ev->next) {
        value = ev->kind == ENGINE_FIRED ? ev->value : value;
    }
    arena_fini(&arena);
    engine_free(e);
    rule_drop(rule);
    return value;
}

/* Does the zero of the counter lie between half a distance and 1.1 of one before a first reading
 * that is more than 1.1 from the start of the window? */
static bool changed_in_3(const struct series *s, int t_s, int window_s)
{
    int first = -1;
    int last = -1;
    int count = 0;
    double grown = 0;
    for (int i = 0; i < POINTS && i * STEP_S <= t_s; i++) {
        if (i * STEP_S <= t_s - window_s || isnan(s->values[i])) {
            continue;
        }
        if (first < 0) {
            first = i;
        } else {
            double before = s->values[last];
            grown += s->values[i] < before ? s->values[i] : s->values[i] - before;
        }
        last = i;
        count++;
    }
    if (count < 2 || grown <= 0) {
        return false;
    }
    double span_s = (last - first) * STEP_S;
    double distance_s = span_s / (count - 1);
    double head_s = first * STEP_S - (t_s - window_s);
    double zero_s = span_s * s->values[first] / grown;
    return head_s >= 1.1 * distance_s && zero_s > distance_s / 2 && zero_s < 1.1 * distance_s;
}

static void ask(struct asked *a, const struct series *s, const char *format, int t_s, int window_s)
{
    char window[16];
    char expr[128];
    char theirs[128];
    (void)snprintf(window, sizeof(window), "x[%ds]", window_s);
    const char *at = strstr(format, "x[]");
    CHECK(at != NULL);
    (void)snprintf(expr, sizeof(expr), "%.*s%s%s", (int)(at - format), format, window, at + 3);
    (void)snprintf(theirs, sizeof(theirs), "%.*s%s%s%s", (int)(at - format), format, s->name,
                   window + 1, at + 3);
    bool counter = strncmp(format, "rate", 4) == 0 || strncmp(format, "increase", 8) == 0;
    if (counter && changed_in_3(s, t_s, window_s)) {
        a->left_out++;
        return;
    }
    double v = ours(a, s, expr, t_s);
    if (isnan(v)) {
        a->absences++;
        (void)printf("      - {expr: '%s', eval_time: %ds, exp_samples: []}\n", theirs, t_s);
        return;
    }
    a->values++;
    /* Prometheus takes variances and lines around a mean that is rounded as the values are: at 1e9
     * to 1e-7. The differences of ours are exact there. */
    double rounding = strcmp(s->name, "offset") == 0 ? 5e-7 : 0;
    (void)printf("      - {expr: 'abs(%s - (%.17g)) <= bool %.17g', eval_time: %ds, exp_samples: "
                 "[{labels: '{}', value: 1}]}\n",
                 theirs, v, 1e-12 * (fabs(v) > 1e-6 ? fabs(v) : 1) + rounding, t_s);
}

static void ask_all(struct asked *a, const struct series *s)
{
    static const char *const functions[] = {
        "avg_over_time(x[])",
        "min_over_time(x[])",
        "max_over_time(x[])",
        "sum_over_time(x[])",
        "count_over_time(x[])",
        "last_over_time(x[])",
        "stddev_over_time(x[])",
        "stdvar_over_time(x[])",
        "quantile_over_time(0.9, x[])",
        "quantile_over_time(0.5, x[])",
        "quantile_over_time(0, x[])",
        "rate(x[])",
        "irate(x[])",
        "increase(x[])",
        "delta(x[])",
        "idelta(x[])",
        "deriv(x[])",
        "predict_linear(x[], 600)",
        "changes(x[])",
        "resets(x[])",
        "round(last_over_time(x[]), 0.5)",
        "ln(count_over_time(x[]))",
        "clamp(avg_over_time(x[]), 2, 9)",
        "log10(sqrt(exp(sgn(max_over_time(x[])))))",
        "ceil(last_over_time(x[]) / 3) % 7 ^ 2",
        "sin(last_over_time(x[])) / 2",
    };
    static const int windows[] = {47, 302, 1204}; /* no multiples of the step */
    for (size_t f = 0; f < COUNT_OF(functions); f++) {
        for (int i = 0; i < TIMES; i++) {
            int t_s = (i + 1) * (POINTS / TIMES) * STEP_S - (i % 2 == 0 ? STEP_S : 8);
            ask(a, s, functions[f], t_s, windows[(size_t)i % COUNT_OF(windows)]);
        }
    }
}

static void put_series(const struct series *s)
{
    (void)printf("      - series: %s\n        values: '", s->name);
    for (int i = 0; i < POINTS; i++) {
        if (isnan(s->values[i])) {
            (void)printf("_ ");
        } else {
            (void)printf("%.17g ", s->values[i]);
        }
    }
    (void)printf("'\n");
}

int main(void)
{
    static struct series list[] = {{.name = "gauge"},    {.name = "gaps"},  {.name = "counter"},
                                   {.name = "broken"},   {.name = "steps"}, {.name = "offset"},
                                   {.name = "constant"}, {.name = "sparse"}};
    fill(&list[0], 50, 0, gauge_next);
    fill(&list[1], 50, 0.2, gauge_next);
    fill(&list[2], 0, 0, counter_next);
    fill(&list[3], 1000, 0.2, counter_next);
    fill(&list[4], 3, 0.05, steps_next);
    fill(&list[5], 1e9, 0.1, offset_next);
    fill(&list[6], 0.1, 0.1, constant_next);
    fill(&list[7], 7, 0.8, counter_next);
    struct asked a = {.metrics = intern_new(100), .device = device_new()};
    CHECK(a.metrics != NULL && a.device != NULL);
    a.device->name = strdup("d");
    a.device->type = device_type_new();
    (void)printf("rule_files: []\nevaluation_interval: 15s\ntests:\n  - interval: %ds\n"
                 "    input_series:\n",
                 STEP_S);
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        put_series(&list[i]);
    }
    (void)printf("    promql_expr_test:\n");
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        ask_all(&a, &list[i]);
    }
    (void)fprintf(stderr, "%u values and %u absences asked, %u left out\n", a.values, a.absences,
                  a.left_out);
    device_drop(a.device);
    intern_free(a.metrics);
    return 0;
}
