#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "session/flapping.h"

enum { RATE = 5, BURST = RATE * FLAPPING_BURST_S };

static int taken(struct flapping *f, int32_t device, int tries, int64_t now_us)
{
    int n = 0;
    for (int i = 0; i < tries; i++) {
        n += flapping_take(f, device, RATE, now_us) ? 1 : 0;
    }
    return n;
}

Test(flapping, a_device_has_a_burst_and_then_its_rate)
{
    struct flapping *f = calloc(1, sizeof(*f));
    int64_t now_us = 77 * CLOCK_SECOND_US;
    cr_expect_eq(taken(f, 7, 100, now_us), BURST);
    cr_expect_eq(taken(f, 8, 100, now_us), BURST, "another device has its own");
    cr_expect_eq(taken(f, 7, 1, now_us + CLOCK_SECOND_US / RATE - 1), 0);
    cr_expect_eq(taken(f, 7, 2, now_us + CLOCK_SECOND_US / RATE), 1);
    cr_expect_eq(taken(f, 7, 100, now_us + CLOCK_SECOND_US), RATE - 1);
    cr_expect_eq(taken(f, 7, 100, now_us + 60 * CLOCK_SECOND_US), BURST, "no more than a burst");
    int n = 0;
    for (int ms = 0; ms < 60000; ms += 10) {
        n += taken(f, 9, 1, now_us + ms * CLOCK_MS_US);
    }
    cr_expect(n >= 60 * RATE + BURST - 1 && n <= 60 * RATE + BURST, "%d in a minute", n);
    free(f);
}

Test(flapping, one_that_does_not_flap_is_always_let_in)
{
    struct flapping *f = calloc(1, sizeof(*f));
    for (int32_t device = 1; device <= 100000; device++) {
        cr_assert_eq(taken(f, device, 3, CLOCK_SECOND_US), 3, "device %d", device);
    }
    free(f);
}

Test(flapping, who_leaves_as_it_should_may_come_as_often_as_it_likes)
{
    struct flapping *f = calloc(1, sizeof(*f));
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(taken(f, 7, 1, CLOCK_SECOND_US), 1);
        flapping_give_back(f, 7, RATE);
    }
    cr_expect_eq(taken(f, 7, 100, CLOCK_SECOND_US), BURST, "and has no more than before");
    flapping_give_back(f, 8, RATE);
    cr_expect_eq(taken(f, 8, 100, CLOCK_SECOND_US), BURST, "nobody gets what it did not take");
    free(f);
}

Test(flapping, no_rate_is_no_limit)
{
    struct flapping *f = calloc(1, sizeof(*f));
    for (int i = 0; i < 1000; i++) {
        cr_expect(flapping_take(f, 7, 0, 0));
    }
    free(f);
}
