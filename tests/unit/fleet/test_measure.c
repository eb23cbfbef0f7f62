#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "fleet/client.h"
#include "fleet/histogram.h"
#include "fleet/options.h"
#include "fleet/progress.h"
#include "fleet/random.h"
#include "fleet/token.h"

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

Test(histogram, percentiles_are_within_one_percent_of_the_sorted_truth)
{
    enum { N = 50000 };
    static struct fleet_histogram h;
    int64_t *all = malloc(N * sizeof(*all));
    cr_assert_not_null(all);
    struct fleet_random r;
    fleet_random_init(&r, 5);
    fleet_histogram_init(&h);
    for (int i = 0; i < N; i++) {
        /* From microseconds to minutes, as latencies are: many short, a long tail. */
        all[i] = (int64_t)(50.0 / (1.000001 - fleet_random_unit(&r)));
        fleet_histogram_add(&h, all[i]);
    }
    qsort(all, N, sizeof(*all), ascending);
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        size_t rank = (size_t)(shares[i] * N + 0.999999);
        int64_t want = all[(rank == 0 ? 1 : rank) - 1];
        int64_t got = fleet_histogram_at(&h, shares[i]);
        double off = (double)(got - want) / (double)want;
        cr_expect(off > -0.01 && off < 0.01, "share %g: %lld, truth %lld", shares[i],
                  (long long)got, (long long)want);
    }
    cr_expect_eq(fleet_histogram_at(&h, 1), all[N - 1], "the maximum is exact");
    free(all);
}

Test(histogram, edges)
{
    static struct fleet_histogram h;
    fleet_histogram_init(&h);
    cr_expect_eq(fleet_histogram_at(&h, 0.99), 0, "empty");
    fleet_histogram_add(&h, -5);
    cr_expect_eq(fleet_histogram_at(&h, 0.5), 0, "negative counts as zero");
    fleet_histogram_add(&h, 86400LL * 1000000);
    cr_expect_eq(fleet_histogram_at(&h, 1), 86400LL * 1000000,
                 "a day is kept exactly as the maximum");
    for (int64_t us = 0; us < 128; us++) {
        fleet_histogram_init(&h);
        fleet_histogram_add(&h, us);
        cr_expect_eq(fleet_histogram_at(&h, 0.5), us, "short ones are exact");
    }
}

Test(random, streams_repeat_and_stay_in_their_bounds)
{
    struct fleet_random a;
    struct fleet_random b;
    fleet_random_init(&a, 1);
    fleet_random_init(&b, 1);
    double sum = 0;
    for (int i = 0; i < 20000; i++) {
        cr_assert_eq(fleet_random_u64(&a), fleet_random_u64(&b));
        double u = fleet_random_unit(&a);
        cr_assert(u >= 0 && u < 1);
        cr_assert_lt(fleet_random_below(&a, 7), 7);
        double n = fleet_random_normal(&a, 10, 2);
        cr_assert(n >= 2 && n <= 18, "%g is over four deviations off", n);
        sum += n;
        for (int k = 0; k < 4; k++) {
            (void)fleet_random_u64(&b); /* unit, below and normal took four */
        }
    }
    cr_expect(sum / 20000 > 9.9 && sum / 20000 < 10.1);
    cr_expect_eq(fleet_random_below(&a, 0), 0);
    cr_expect_neq(fleet_random_mix(1, 1), fleet_random_mix(1, 2));
}

Test(token, is_the_hmac_of_the_name)
{
    /* printf %s pump-001 | openssl dgst -sha256 -hmac key */
    char got[FLEET_TOKEN_SIZE];
    cr_assert_eq(fleet_token(VIEW("key"), VIEW("pump-001"), got), ERR_OK);
    cr_expect_str_eq(got, "sbd_deef705f9909033056c449f7e232b76444f028c113f5442d2b41376a4b527d74");
    memset(got, 'x', sizeof(got));
    cr_expect_eq(fleet_token(VIEW(""), VIEW("pump-001"), got), ERR_RANGE);
    cr_expect_eq(got[0], 'x', "output touched on failure");
}

Test(client, moves_only_along_its_table)
{
    for (enum fleet_client_state s = 0; s < FLEET_CLIENT_STATE_COUNT; s++) {
        cr_expect_eq(fleet_client_may_move(s, FLEET_CLIENT_READY), s == FLEET_CLIENT_GREETING,
                     "ready only after CONNACK: %s", fleet_client_state_words(s));
        cr_expect_eq(fleet_client_may_move(s, FLEET_CLIENT_STOPPED), s != FLEET_CLIENT_STOPPED,
                     "may stop: %s", fleet_client_state_words(s));
        cr_expect_not(fleet_client_may_move(FLEET_CLIENT_STOPPED, s), "stopped is the end");
    }
}

Test(progress, a_line_says_how_far_how_fast_and_how_long)
{
    static const struct {
        uint64_t done, total;
        double rate, left;
        const char *want;
    } cases[] = {
        {0, 2000, 0, -1, "[------------------------------]   0 %  0 of 2,000  0/s"},
        {1000, 2000, 500, 2,
         "[###############---------------]  50 %  1,000 of 2,000  500/s  ETA 0:02"},
        {2000, 2000, 1234.5, 0,
         "[##############################] 100 %  2,000 of 2,000  1,234/s  ETA 0:00"},
        {1, 1000000, 1, 3725,
         "[------------------------------]   0 %  1 of 1,000,000  1/s  ETA 1:02:05"},
        {1234567, 0, 89, -1, "1,234,567 acknowledged  89/s"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char got[FLEET_PROGRESS_SIZE];
        (void)fleet_progress_line(cases[i].done, cases[i].total, cases[i].rate, cases[i].left, got);
        cr_expect_str_eq(got, cases[i].want);
    }
}

Test(options, values_are_read_strictly)
{
    uint64_t n = 77;
    double x = 77;
    int64_t us = 77;
    static const char *const wrong[] = {"",   "-1", "+1", "1x", " 1", "99999999999999999999",
                                        "11", "1.5"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        cr_expect_not(fleet_read_count("n", wrong[i], 1, 10, &n), "%s", wrong[i]);
    }
    cr_expect_eq(n, 77, "output touched on failure");
    cr_expect(fleet_read_count("n", "10", 1, 10, &n) && n == 10);
    cr_expect(fleet_read_share("s", "5%", &x) && x == 0.05);
    cr_expect(fleet_read_share("s", "0.25", &x) && x == 0.25);
    cr_expect_not(fleet_read_share("s", "101%", &x));
    cr_expect_not(fleet_read_share("s", "5%%", &x));
    cr_expect(fleet_read_time("t", "90", &us) && us == 90000000, "plain seconds");
    cr_expect(fleet_read_time("t", "1m30s", &us) && us == 90000000);
    cr_expect_not(fleet_read_time("t", "soon", &us));
    cr_expect_not(fleet_read_real("r", "nan", 0, 1, &x));
}
