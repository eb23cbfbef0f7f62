#include <criterion/criterion.h>

#include "stream.h"

/* Feeds the whole stream; every sample that is no duplicate must be new. */
static struct help_run *run_stream(struct help_env *h, struct stream *s, uint64_t seed,
                                   int64_t lateness_us)
{
    struct device *d = help_device(NULL, "d");
    struct help_run *run = help_run_new(stream_engine(h, d, seed, lateness_us));
    device_drop(d);
    for (uint32_t i = 0; i < s->count; i++) {
        cr_assert_neq(help_feed_sample(run, &s->items[i].sample), ENGINE_LATE, "seed %llu item %u",
                      (unsigned long long)seed, i);
    }
    help_advance(run, engine_watermark_us(run->engine) + (int64_t)(seed % 5) * 7 * S);
    return run;
}

Test(order, a_shuffled_stream_with_duplicates_gives_the_history_of_the_sorted_one, .timeout = 60)
{
    struct help_env h;
    help_env_init(&h);
    (void)help_metric(&h, "x");
    (void)help_metric(&h, "y");
    struct stream *s = calloc(1, sizeof(*s));
    uint32_t alerts = 0;
    int corrections = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct help_random random = {.state = seed * 7919};
        int64_t lateness_us = (1 + (int64_t)help_random(&random, 120)) * S;
        h.env.lateness_us = lateness_us; /* of the rules, too */
        stream_make(s, &h, &random, 100 + help_random(&random, 900), lateness_us);
        struct help_run *shuffled = run_stream(&h, s, seed, lateness_us);
        stream_sort(s);
        struct help_run *sorted = run_stream(&h, s, seed, lateness_us);
        char *a = help_history(shuffled);
        char *b = help_history(sorted);
        cr_assert_str_eq(a, b, "seed %llu:\n%s---\n%s", (unsigned long long)seed, a, b);
        cr_assert(stream_same_state(shuffled->engine, sorted->engine, true), "seed %llu",
                  (unsigned long long)seed);
        cr_assert_eq(sorted->corrected + sorted->retracted, 0);
        alerts += sorted->count;
        corrections += shuffled->corrected + shuffled->retracted;
        free(a);
        free(b);
        help_run_free(shuffled);
        help_run_free(sorted);
    }
    cr_expect_gt(alerts, 1000, "the streams cross the thresholds: %u", alerts);
    cr_expect_gt(corrections, 100, "and the shuffle matters: %d", corrections);
    free(s);
    help_env_fini(&h);
}
