#include <criterion/criterion.h>

#include "stream.h"

/*
 * What samples out of order cost, counted in evaluations: a device that sends them in reverse order
 * must not make the rules of all others wait. And what is gathered gives the same alerts.
 */
enum { REVERSED = 23600 };

#define T0 (1000000 * S)

static struct help_run *run_of_one_rule(struct help_env *h, const char *document)
{
    struct rule *r = help_rule(h, document);
    struct device *d = help_device(NULL, "d");
    struct engine_rule er = {.rule_id = 7, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
    rule_drop(r);
    device_drop(d);
    return run;
}

static void gather(struct help_run *run, int64_t ts_us, int32_t metric, double v)
{
    struct sample_value value = {.metric = metric, .number = v};
    struct sample s = {.ts_us = ts_us, .count = 1, .values = &value};
    cr_assert_eq(engine_feed(run->engine, &s, ++run->seq, &run->out), ENGINE_NEW);
}

static void take(struct help_run *run)
{
    engine_run(run->engine, &run->out);
    help_take(run);
}

/* In milliseconds; every other thousand fires. */
static double wave(int at)
{
    return at / 1000 % 2 == 0 ? 1 : 9;
}

Test(gather, samples_in_reverse_order_cost_one_run_for_each_turn_not_for_each_sample)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct help_run *sorted = run_of_one_rule(&h, "{'name':'r','when':'x > 5'}");
    for (int i = 0; i < REVERSED; i++) {
        (void)help_feed(sorted, T0 + i * 1000, x, wave(i));
    }
    cr_expect_eq(sorted->out.evaluations, REVERSED);
    char *expected = help_history(sorted);
    static const int turns[] = {1, 4, 118};
    for (size_t n = 0; n < 3; n++) {
        struct help_run *run = run_of_one_rule(&h, "{'name':'r','when':'x > 5'}");
        for (int i = REVERSED - 1; i >= 0; i--) {
            gather(run, T0 + i * 1000, x, wave(i));
            if (i % (REVERSED / turns[n]) == 0) {
                take(run);
            }
        }
        /* Turn k runs again what came in the k before it. */
        int64_t most = (int64_t)REVERSED * (turns[n] + 1) / 2;
        cr_expect_leq(run->out.evaluations, most, "%d turns: %u evaluations", turns[n],
                      run->out.evaluations);
        char *history = help_history(run);
        cr_expect_str_eq(history, expected, "%d turns:\n%s---\n%s", turns[n], history, expected);
        free(history);
        help_run_free(run);
    }
    free(expected);
    help_run_free(sorted);
    help_env_fini(&h);
}

Test(gather, what_is_gathered_and_newer_is_in_order_and_is_reported_as_such)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct help_run *run = run_of_one_rule(&h, "{'name':'r','when':'x > 5','for':'2s'}");
    (void)help_feed(run, T0, x, 1);
    gather(run, T0 + 3 * S, x, 9); /* in reverse, but nothing ran after the first of them */
    gather(run, T0 + 4 * S, x, 1);
    gather(run, T0 + 1 * S, x, 9);
    struct sample_value v = {.metric = x, .number = 1};
    struct sample old = {.ts_us = T0 - S, .count = 1, .values = &v};
    cr_expect(engine_reaches_back(run->engine, &old));
    old.ts_us = T0;
    cr_expect_not(engine_reaches_back(run->engine, &old), "the same instant comes after it");
    old.ts_us = T0 - 121 * S;
    cr_expect_not(engine_reaches_back(run->engine, &old), "too late to matter");
    v.metric = help_metric(&h, "other");
    old.ts_us = T0 - S;
    cr_expect_not(engine_reaches_back(run->engine, &old), "no rule reads it");
    take(run);
    cr_expect_str_eq(run->log, "pending fired resolved");
    cr_expect_eq(run->out.evaluations, 4, "no roll-back");
    gather(run, T0 + 2 * S, x, 1); /* reaches back: what was told never was */
    gather(run, T0 + 5 * S, x, 9); /* newer: is run after the corrections, as ever */
    take(run);
    cr_expect_str_eq(run->log, "pending fired resolved retracted pending");
    help_run_free(run);
    help_env_fini(&h);
}

Test(gather, a_shuffled_stream_gathered_at_random_gives_the_history_of_the_sorted_one,
     .timeout = 60)
{
    struct help_env h;
    help_env_init(&h);
    (void)help_metric(&h, "x");
    (void)help_metric(&h, "y");
    struct device *d = help_device(NULL, "d");
    struct stream *s = calloc(1, sizeof(*s));
    uint32_t alerts = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct help_random random = {.state = seed * 15485863};
        int64_t lateness_us = (1 + (int64_t)help_random(&random, 120)) * S;
        h.env.lateness_us = lateness_us;
        stream_make(s, &h, &random, 100 + help_random(&random, 900), lateness_us);
        struct help_run *run = help_run_new(stream_engine(&h, d, seed, lateness_us));
        uint32_t most = 1 + help_random(&random, 60);
        for (uint32_t i = 0; i < s->count; i++) {
            struct sample *sample = &s->items[i].sample;
            cr_assert_eq(engine_feed(run->engine, sample, ++run->seq, &run->out), ENGINE_NEW);
            if (help_random(&random, most) == 0) {
                take(run);
            }
        }
        take(run);
        stream_sort(s);
        struct help_run *sorted = help_run_new(stream_engine(&h, d, seed, lateness_us));
        for (uint32_t i = 0; i < s->count; i++) {
            (void)help_feed_sample(sorted, &s->items[i].sample);
        }
        char *a = help_history(run);
        char *b = help_history(sorted);
        cr_assert_str_eq(a, b, "seed %llu:\n%s---\n%s", (unsigned long long)seed, a, b);
        cr_assert(stream_same_state(run->engine, sorted->engine, true), "seed %llu",
                  (unsigned long long)seed);
        alerts += sorted->count;
        free(a);
        free(b);
        help_run_free(run);
        help_run_free(sorted);
    }
    cr_expect_gt(alerts, 500, "the streams cross the thresholds: %u", alerts);
    free(s);
    device_drop(d);
    help_env_fini(&h);
}

Test(gather, more_than_can_be_kept_is_run_in_between)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct help_run *run = run_of_one_rule(&h, "{'name':'r','when':'x > 5','lateness':'10m'}");
    for (int i = 0; i < 200000; i++) {
        gather(run, T0 + i * 1000, x, wave(i));
    }
    take(run);
    cr_expect_eq(run->count, 100);
    cr_expect_eq(run->out.evaluations, 200000);
    help_run_free(run);
    help_env_fini(&h);
}

Test(gather, firings_that_were_told_are_found_again_without_looking_at_all_of_them)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct help_run *run = run_of_one_rule(&h, "{'name':'r','when':'x > 5'}");
    for (int i = 0; i < 8000; i++) { /* 4,000 alerts */
        (void)help_feed(run, T0 + i * 1000, x, i % 2 == 0 ? 1 : 9);
    }
    cr_assert_eq(run->count, 4000);
    for (int i = 0; i < 10; i++) { /* each runs all of it again, and nothing is otherwise */
        (void)help_feed(run, T0 - i * 1000 - 1, x, 1);
    }
    cr_expect_eq(run->count, 4000);
    cr_expect_eq(run->corrected + run->retracted, 0);
    help_run_free(run);
    help_env_fini(&h);
}
