#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "model/sample.h"

static struct sample_value number(int32_t metric, double v)
{
    return (struct sample_value){.metric = metric, .kind = VALUE_NUMBER, .number = v};
}

static struct sample_value boolean(int32_t metric, bool v)
{
    return (struct sample_value){.metric = metric, .kind = VALUE_BOOL, .number = v ? 1 : 0};
}

static struct sample_value text(int32_t metric, const char *v)
{
    return (struct sample_value){.metric = metric, .kind = VALUE_TEXT, .text = view_str(v)};
}

static int32_t digest_of(struct sample_value *values, uint32_t count)
{
    struct sample s = {.values = values, .count = count, .ts_us = 5};
    return sample_digest(&s);
}

Test(sample, sorts_any_order_and_keeps_values_with_their_metric)
{
    uint64_t state = 5;
    for (uint32_t count = 0; count < 400; count += 1 + count / 8) {
        for (int order = 0; order < 4; order++) {
            struct sample_value *values = calloc(count + 1, sizeof(*values));
            cr_assert_not_null(values);
            for (uint32_t i = 0; i < count; i++) {
                uint32_t n = order == 0 ? i : order == 1 ? count - 1 - i : i;
                values[i] = number((int32_t)n + 1, n * 0.5);
            }
            for (uint32_t i = count; order >= 2 && i > 1; i--) {
                state = state * 6364136223846793005ULL + 1442695040888963407ULL;
                uint32_t other = (uint32_t)(state >> 33) % i;
                struct sample_value v = values[i - 1];
                values[i - 1] = values[other];
                values[other] = v;
            }
            struct sample s = {.values = values, .count = count};
            int32_t twice = 77;
            cr_assert_eq(sample_sort(&s, &twice), ERR_OK);
            cr_expect_eq(twice, 77);
            for (uint32_t i = 0; i < count; i++) {
                cr_assert_eq(values[i].metric, (int32_t)i + 1);
                cr_assert_eq(values[i].number, i * 0.5);
            }
            free(values);
        }
    }
}

Test(sample, a_metric_twice_is_found_wherever_it_stands)
{
    for (uint32_t count = 2; count < 200; count += 7) {
        for (uint32_t first = 0; first < count; first += 3) {
            for (uint32_t second = first + 1; second < count; second += 5) {
                struct sample_value *values = calloc(count, sizeof(*values));
                cr_assert_not_null(values);
                for (uint32_t i = 0; i < count; i++) {
                    values[i] = number((int32_t)(count - i), 1);
                }
                values[second].metric = values[first].metric;
                struct sample s = {.values = values, .count = count};
                int32_t twice = 0;
                cr_assert_eq(sample_sort(&s, &twice), ERR_EXISTS);
                cr_assert_eq(twice, (int32_t)(count - first));
                free(values);
            }
        }
    }
}

Test(sample, the_worst_order_of_many_does_not_cost_their_square)
{
    enum { MANY = 200000 };
    struct sample_value *values = calloc(MANY, sizeof(*values));
    cr_assert_not_null(values);
    for (int i = 0; i < MANY; i++) {
        values[i] = number(MANY - i, i);
    }
    struct sample s = {.values = values, .count = MANY};
    int32_t twice = 0;
    int64_t from = clock_mono_us();
    cr_assert_eq(sample_sort(&s, &twice), ERR_OK);
    int64_t took = clock_mono_us() - from;
    cr_expect_lt(took, 2000000, "%lld us", (long long)took); /* the square would take a minute */
    cr_expect_eq(values[0].metric, 1);
    cr_expect_eq(values[MANY - 1].metric, MANY);
    free(values);
}

/* These numbers are in primary keys of databases in the field. If this test fails, the change is
 * wrong, not the test. */
Test(sample, digests_never_change)
{
    struct sample_value one[] = {number(1, 21.5)};
    struct sample_value three[] = {number(1, 21.5), boolean(2, true), text(7, "running")};
    struct sample_value texts[] = {text(3, ""), text(4, "x"),
                                   text(5, "a text longer than sixteen bytes")};
    struct sample_value many[10];
    for (int i = 0; i < 10; i++) {
        many[i] = number(i + 100, i * 1.25 - 3);
    }
    cr_expect_eq(digest_of(NULL, 0), -437294772);
    cr_expect_eq(digest_of(one, 1), 1958129301);
    cr_expect_eq(digest_of(three, 3), -474516598);
    cr_expect_eq(digest_of(texts, 3), 796733118);
    cr_expect_eq(digest_of(many, 10), 85205212);
}

Test(sample, the_digest_is_of_the_content_and_nothing_else)
{
    struct sample_value base[] = {number(1, 1), number(2, 2), text(3, "x")};
    int32_t d = digest_of(base, 3);
    struct sample later = {.values = base, .count = 3, .ts_us = 99};
    cr_expect_eq(sample_digest(&later), d, "the time is in the key by itself");
    char copy[] = "x";
    struct sample_value same[] = {number(1, 1), number(2, 2), text(3, copy)};
    cr_expect_eq(digest_of(same, 3), d);
    struct sample_value other[][3] = {
        {number(1, 1), number(2, 2), text(3, "y")},
        {number(1, 1), number(2, 2), text(4, "x")},
        {number(1, 2), number(2, 1), text(3, "x")},
        {number(1, 1), number(2, 2.5), text(3, "x")},
        {boolean(1, true), number(2, 2), text(3, "x")},
        {number(1, 1), number(2, 2), text(3, "")},
    };
    for (size_t i = 0; i < COUNT_OF(other); i++) {
        cr_expect_neq(digest_of(other[i], 3), d, "row %zu", i);
    }
    cr_expect_neq(digest_of(base, 2), d);
    struct sample_value zero[] = {number(1, 0.0)};
    struct sample_value minus_zero[] = {number(1, -0.0)};
    cr_expect_eq(digest_of(zero, 1), digest_of(minus_zero, 1), "the same reading");
}

static int by_int(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

Test(sample, digests_of_similar_samples_rarely_meet)
{
    enum { MANY = 100000 };
    int32_t *digests = malloc(MANY * sizeof(*digests));
    cr_assert_not_null(digests);
    for (int i = 0; i < MANY; i++) {
        struct sample_value v[] = {number(1, 20 + (i % 1000) * 0.1), number(2, i / 1000)};
        digests[i] = digest_of(v, 2);
    }
    qsort(digests, MANY, sizeof(*digests), by_int);
    int met = 0;
    for (int i = 1; i < MANY; i++) {
        met += digests[i] == digests[i - 1];
    }
    cr_expect_leq(met, 12, "%d pairs met; a perfect 32-bit hash has 1.2 on average", met);
    free(digests);
}

Test(sample, find_gives_the_value_or_null)
{
    struct sample_value values[] = {number(2, 1), number(5, 2), number(9, 3)};
    struct sample s = {.values = values, .count = 3};
    for (int32_t metric = -1; metric < 12; metric++) {
        const struct sample_value *v = sample_find(&s, metric);
        const struct sample_value *want = metric == 2   ? &values[0]
                                          : metric == 5 ? &values[1]
                                          : metric == 9 ? &values[2]
                                                        : NULL;
        cr_expect_eq(v, want, "metric %d", metric);
    }
    s.count = 0;
    cr_expect_null(sample_find(&s, 2));
}
