#include <stdint.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "net/wheel.h"

struct probe {
    struct wheel_entry entry;
    int64_t fired_at_us;
    int fired;
    int64_t again_us; /* set itself again so much later */
};

struct rig {
    struct wheel wheel;
    int64_t now_us;
};

static void fire(void *arg, struct wheel_entry *e)
{
    struct rig *r = arg;
    struct probe *p = CONTAINER_OF(e, struct probe, entry);
    p->fired++;
    p->fired_at_us = r->now_us;
    if (p->again_us > 0) {
        wheel_set(&r->wheel, e, r->now_us + p->again_us);
    }
}

static void run_until(struct rig *r, int64_t until_us)
{
    for (; r->now_us <= until_us; r->now_us += WHEEL_TICK_US / 3) {
        wheel_turn(&r->wheel, r->now_us, fire, r);
    }
}

Test(wheel, fires_never_early_and_at_most_a_tick_and_a_turn_late)
{
    static const int64_t delays_us[] = {0,        1,        99999,    100000,   100001,   1500000,
                                        51199999, 51200000, 51200001, 90000000, 600000000};
    struct probe probes[COUNT_OF(delays_us)] = {0};
    struct rig r = {.now_us = 1234567};
    wheel_init(&r.wheel, r.now_us);
    int64_t start = r.now_us;
    for (size_t i = 0; i < COUNT_OF(delays_us); i++) {
        wheel_set(&r.wheel, &probes[i].entry, start + delays_us[i]);
    }
    run_until(&r, start + 700000000);
    for (size_t i = 0; i < COUNT_OF(delays_us); i++) {
        int64_t late = probes[i].fired_at_us - start - delays_us[i];
        cr_expect_eq(probes[i].fired, 1, "delay %ld", (long)delays_us[i]);
        cr_expect(late >= 0 && late <= 2 * WHEEL_TICK_US, "delay %ld was %ld late",
                  (long)delays_us[i], (long)late);
    }
}

Test(wheel, moved_and_cancelled_entries_do_not_fire_at_their_old_time)
{
    struct rig r = {.now_us = 5000000};
    struct probe moved = {0};
    struct probe cancelled = {0};
    wheel_init(&r.wheel, r.now_us);
    wheel_set(&r.wheel, &moved.entry, 6000000);
    wheel_set(&r.wheel, &cancelled.entry, 6000000);
    wheel_set(&r.wheel, &moved.entry, 9000000);
    wheel_cancel(&cancelled.entry);
    wheel_cancel(&cancelled.entry);
    run_until(&r, 8900000);
    cr_expect_eq(moved.fired, 0);
    run_until(&r, 9200000);
    cr_expect_eq(moved.fired, 1);
    cr_expect_eq(cancelled.fired, 0);
    cr_expect(!wheel_is_set(&moved.entry));
}

Test(wheel, an_entry_may_set_itself_again_and_a_long_sleep_loses_nothing)
{
    struct rig r = {.now_us = 0};
    struct probe every = {.again_us = 1000000};
    struct probe far = {0};
    wheel_init(&r.wheel, 0);
    wheel_set(&r.wheel, &every.entry, 1000000);
    wheel_set(&r.wheel, &far.entry, 3600LL * 1000000);
    run_until(&r, 10500000);
    cr_expect(every.fired == 9 || every.fired == 10, "%d", every.fired);
    r.now_us = 7200LL * 1000000; /* the machine was suspended */
    wheel_turn(&r.wheel, r.now_us, fire, &r);
    cr_expect_eq(far.fired, 1);
}
