/*
 * rules_engine: what one sample costs the rule engine. One device, in order.
 *
 *     simple: 3 rules with thresholds on 3 metrics, one value of 8 in each sample per rule
 *     window: the same with avg_over_time(x[30s]) against a baseline
 *     minmax: max - min over 5 minutes
 *     late:   1 of 100 samples 10 s late: a roll-back each
 *     …:      functions over 300 readings (anomaly: 3,600), of the calendar, of what was before
 *
 *     bench_rules_engine [NAME [SAMPLES]]
 *
 * Prints ns per sample and per evaluation, and the ratio to a bare loop over the same samples.
 * Instructions are counted under callgrind, as the difference of a run with more and one with fewer
 * samples.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "rules/engine.h"

enum { METRICS = 8 };

static int samples_wanted = 1000000;

#define SECOND CLOCK_SECOND_US

struct setup {
    const char *name;
    const char *when[3];
    int late_every; /* 0: all in order */
};

static const struct setup setups[] = {
    {"simple", {"a > 90", "b > 90 and a > 10", "c < 5"}, 0},
    {"window",
     {"avg_over_time(a[30s]) < 0.5 * baseline(a)", "avg_over_time(b[30s]) > 1.5 * baseline(b)",
      "avg_over_time(c[30s]) > baseline(c) + 40"},
     0},
    {"minmax",
     {"max_over_time(a[5m]) - min_over_time(a[5m]) > 101",
      "max_over_time(b[5m]) - min_over_time(b[5m]) > 101",
      "max_over_time(c[5m]) - min_over_time(c[5m]) > 101"},
     0},
    {"stddev",
     {"stddev_over_time(a[5m]) > 90", "zscore_over_time(b[5m]) > 90", "deriv(c[5m]) > 90"},
     0},
    {"counter", {"increase(a[5m]) < 0", "rate(b[5m]) < 0", "changes(c[5m]) < 0"}, 0},
    {"median",
     {"quantile_over_time(0.5, a[5m]) > 90", "quantile_over_time(0.9, b[5m]) > 90",
      "quantile_over_time(0.1, c[5m]) > 90"},
     0},
    {"mad",
     {"mad_over_time(a[5m]) > 90", "mad_over_time(b[5m]) > 90", "mad_over_time(c[5m]) > 90"},
     0},
    {"anomaly", {"anomaly(a[1h]) > 90", "anomaly(b[1h]) > 90", "anomaly(c[1h]) > 90"}, 0},
    {"memory",
     {"for_total(a > 90, 1h, b > 90)", "then(a > 90, 1m, b > 90)", "then_none(a > 90, 1m, b > 90)"},
     0},
    {"hour", {"a > 90 and hour() > 5", "b > 90 and minute() > 5", "c > 90 and month() > 5"}, 0},
    {"late", {"a > 90", "b > 90 and a > 10", "avg_over_time(c[30s]) > 1.5 * baseline(c)"}, 100},
};

static void die(const char *why)
{
    (void)fprintf(stderr, "%s\n", why);
    exit(1);
}

static struct rule *compile(const char *when, struct intern *metrics)
{
    char document[512];
    (void)snprintf(document, sizeof(document),
                   "{\"name\":\"r\",\"when\":\"%s\",\"for\":\"30s\",\"clear_for\":\"30s\","
                   "\"max_gap\":\"60s\"}",
                   when);
    struct rule_env env = {.metrics = metrics, .lateness_us = 120 * SECOND};
    struct rule *r = NULL;
    struct rule_error error;
    if (rule_compile(view_str(document), &env, &r, &error) != ERR_OK) {
        die(error.detail);
    }
    return r;
}

static struct device *make_device(void)
{
    struct device *d = device_new();
    struct device_type *t = device_type_new();
    if (d == NULL || t == NULL) {
        die("out of memory");
    }
    d->name = strdup("d");
    d->type = t;
    t->name = strdup("generic");
    t->any_metric = true;
    return d;
}

struct stream {
    struct sample samples[1024];
    struct sample_value values[1024][METRICS];
};

/* A block of samples that is used again and again with other times. */
static void fill(struct stream *st, const int32_t *metrics)
{
    uint64_t state = 88172645463325252ULL;
    for (int i = 0; i < 1024; i++) {
        for (int k = 0; k < METRICS; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            st->values[i][k] = (struct sample_value){.metric = metrics[k],
                                                     .number = 40 + (double)(state % 200) / 10};
        }
        st->samples[i] = (struct sample){.count = METRICS, .values = st->values[i]};
    }
}

static int64_t time_of(const struct setup *s, int i)
{
    int64_t ts_us = (int64_t)(1600000000 + i) * SECOND;
    return s->late_every > 0 && i % s->late_every == 99 ? ts_us - 10 * SECOND - SECOND / 2 : ts_us;
}

static double bare_loop_ns(const struct setup *s, struct stream *st)
{
    int64_t start_us = clock_mono_us();
    int64_t sum = 0;
    for (int i = 0; i < samples_wanted; i++) {
        struct sample *sample = &st->samples[i % 1024];
        sample->ts_us = time_of(s, i);
        sum += sample_digest(sample);
    }
    __asm__ volatile("" : : "r"(sum)); /* the compiler must not drop the loop */
    return (double)(clock_mono_us() - start_us) * 1000 / samples_wanted;
}

static void run(const struct setup *s)
{
    static const char *const names[METRICS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct intern *metrics = intern_new(100);
    int32_t numbers[METRICS];
    for (int i = 0; i < METRICS; i++) {
        numbers[i] = intern_add(metrics, view_str(names[i]));
    }
    struct engine_rule rules[3];
    for (int i = 0; i < 3; i++) {
        rules[i] = (struct engine_rule){i + 1, 1, compile(s->when[i], metrics)};
    }
    struct device *d = make_device();
    struct engine *e = engine_new(d, rules, 3, 120 * SECOND, CLOCK_NONE);
    struct stream *st = calloc(1, sizeof(*st));
    struct arena arena;
    arena_init(&arena, 1 << 20);
    if (e == NULL || st == NULL) {
        die("out of memory");
    }
    fill(st, numbers);
    double bare_ns = bare_loop_ns(s, st);
    int64_t next_id = 1;
    struct engine_out out = {.arena = &arena, .next_alert_id = &next_id};
    int64_t start_us = clock_mono_us();
    for (int i = 0; i < samples_wanted; i++) {
        struct sample *sample = &st->samples[i % 1024];
        sample->ts_us = time_of(s, i);
        if (engine_feed(e, sample, i, &out) != ENGINE_NEW) {
            die("a sample was refused");
        }
        engine_run(e, &out);
        if (out.err != ERR_OK) {
            die("out of memory");
        }
        if (out.first != NULL) {
            out.first = NULL;
            out.last = NULL;
            arena_reset(&arena);
        }
    }
    double ns = (double)(clock_mono_us() - start_us) * 1000 / samples_wanted;
    (void)printf("%-7s %7.1f ns/sample of 8 values, 3 rules  %6.1f ns/evaluation  bare %5.1f ns  "
                 "ratio %5.1f  alerts %lld\n",
                 s->name, ns - bare_ns, (ns - bare_ns) * samples_wanted / out.evaluations, bare_ns,
                 ns / bare_ns, (long long)(next_id - 1));
    arena_fini(&arena);
    free(st);
    engine_free(e);
    device_drop(d);
    for (int i = 0; i < 3; i++) {
        rule_drop(rules[i].rule);
    }
    intern_free(metrics);
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        samples_wanted = (int)strtod(argv[2], NULL);
    }
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        if (argc < 2 || strcmp(argv[1], setups[i].name) == 0) {
            run(&setups[i]);
        }
    }
    return 0;
}
