/*
 * backtest: rules over recorded samples, from memory: what the runner and the engine cost without a
 * database.
 *
 *     threshold: one rule, one metric of 3 in each sample
 *     window:    a mean over a minute against a baseline, `for` and `clear_for`
 *     two:       a candidate beside the active version
 *
 * Prints samples a second; the same with `perf stat` tells instructions a sample.
 */
#include "backtest/backtest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum { METRICS = 3, DEVICES = 20, SAMPLES = 200000, BLOCK = 1024 };

struct setup {
    const char *name;
    const char *candidate;
    const char *against;
};

static const struct setup setups[] = {
    {"threshold", "{\"name\":\"r\",\"when\":\"a > 59\"}", NULL},
    {"window",
     "{\"name\":\"r\",\"when\":\"avg_over_time(a[1m]) > 1.02 * baseline(a)\",\"for\":\"30s\","
     "\"clear\":\"a < 50\",\"clear_for\":\"10s\",\"max_gap\":\"60s\"}",
     NULL},
    {"two", "{\"name\":\"r\",\"when\":\"a > 59 and b > 41\"}",
     "{\"name\":\"r\",\"when\":\"a > 58\"}"},
};

static void die(const char *why)
{
    (void)fprintf(stderr, "%s\n", why);
    exit(1);
}

static struct rule *compile(const char *document, struct intern *metrics)
{
    struct rule_env env = {.metrics = metrics};
    struct rule *r = NULL;
    struct rule_error why;
    if (rule_compile(view_str(document), &env, &r, &why) != ERR_OK) {
        die(why.detail);
    }
    return r;
}

static struct sample_value values[BLOCK][METRICS];

static void fill(const int32_t *metrics)
{
    uint64_t state = 88172645463325252ULL; /* xorshift64, Marsaglia 2003 */
    for (int i = 0; i < BLOCK; i++) {
        for (int k = 0; k < METRICS; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            values[i][k] = (struct sample_value){.metric = metrics[k],
                                                 .number = 40 + (double)(state % 200) / 10};
        }
    }
}

static struct device *make_device(int number)
{
    struct device *d = device_new();
    struct device_type *t = device_type_new();
    char name[32];
    if (d == NULL || t == NULL) {
        die("out of memory");
    }
    (void)snprintf(name, sizeof(name), "d-%d", number);
    d->name = strdup(name);
    d->type = t;
    t->name = strdup("generic");
    t->any_metric = true;
    return d;
}

static void feed(struct backtest *b)
{
    for (int n = 0; n < DEVICES; n++) {
        struct device *d = make_device(n);
        struct backtest_device *opened = NULL;
        if (backtest_open(b, d, CLOCK_NONE, &opened) != ERR_OK) {
            die("device");
        }
        device_drop(d);
        for (int i = 0; i < SAMPLES; i++) {
            struct sample s = {.ts_us = (1600000000 + (int64_t)i) * CLOCK_SECOND_US,
                               .count = METRICS,
                               .values = values[(i * 7 + n) % BLOCK]};
            if (backtest_sample(opened, &s, CLOCK_NONE) != ERR_OK) {
                die("sample");
            }
        }
        if (backtest_close(opened) != ERR_OK) {
            die("close");
        }
    }
}

static void run(const struct setup *s, struct intern *metrics)
{
    struct backtest_setup setup = {.candidate = compile(s->candidate, metrics),
                                   .from_us = CLOCK_NONE,
                                   .to_us = CLOCK_NONE,

                                   .flap_us = CLOCK_MINUTE_US,
                                   .items_max = 10000};
    if (s->against != NULL) {
        setup.against = compile(s->against, metrics);
        setup.against_words = "the other";
    }
    struct backtest *b = backtest_new(&setup);
    if (b == NULL) {
        die("out of memory");
    }
    int64_t start_us = clock_mono_us();
    feed(b);
    double seconds = (double)(clock_mono_us() - start_us) / 1e6;
    struct backtest_counts c = backtest_counts(b);
    (void)printf("%-10s %6.2f million samples/s, %llu alerts\n", s->name,
                 (double)c.samples / seconds / 1e6, (unsigned long long)c.alerts);
    backtest_free(b);
    rule_drop(setup.candidate);
    if (setup.against != NULL) {
        rule_drop(setup.against);
    }
}

int main(int argc, char **argv)
{
    static const char *const names[METRICS] = {"a", "b", "c"};
    struct intern *metrics = intern_new(10);
    int32_t ids[METRICS];
    for (int i = 0; i < METRICS; i++) {
        ids[i] = intern_add(metrics, view_str(names[i]));
    }
    fill(ids);
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        if (argc < 2 || strcmp(argv[1], setups[i].name) == 0) {
            run(&setups[i], metrics);
        }
    }
    intern_free(metrics);
    return 0;
}
