#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "ingest/internal.h"
#include "store/batch_internal.h"

enum { DEVICES = 2000, METRICS = 10 };

struct fixture {
    struct conf conf;
    struct ingest in;
    struct core_device *devices;
};

/* All devices have new values and are due. */
static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    cr_assert_not_null(f);
    f->in.conf = &f->conf;
    list_init(&f->in.dirty);
    f->devices = calloc(DEVICES, sizeof(*f->devices));
    for (int i = 0; i < DEVICES; i++) {
        struct core_device *cd = &f->devices[i];
        cd->id = i + 1;
        cd->latest = calloc(METRICS, sizeof(*cd->latest));
        cd->latest_count = METRICS;
        for (int m = 0; m < METRICS; m++) {
            cd->latest[m] = (struct core_latest){.metric = m + 1, .dirty = true, .ts_us = 1};
        }
        core_dirty(&f->in, cd);
    }
    return f;
}

static void fixture_free(struct fixture *f)
{
    batch_free(f->in.open->batch);
    arena_fini(&f->in.open->arena);
    buf_fini(&f->in.open->raw);
    free(f->in.open);
    for (int i = 0; i < DEVICES; i++) {
        free(f->devices[i].latest);
    }
    free(f->devices);
    free(f);
}

static void add_rows(struct ingest *in, int count)
{
    const struct sample none = {0};
    for (int i = 0; i < count; i++) {
        batch_row_add(core_batch(in), &(struct batch_row){.sample = &none}, false);
    }
}

Test(flush, what_goes_with_a_small_batch_is_little)
{
    struct fixture *f = fixture_new();
    add_rows(&f->in, 1);
    core_flush_due(&f->in, false);
    const struct batch *b = core_batch(&f->in);
    cr_expect_gt(b->state_count, 0);
    cr_expect_leq(b->latest_count, 200, "a message waited for %u values", b->latest_count);
    fixture_free(f);
}

Test(flush, what_goes_with_a_large_batch_is_no_more_than_its_samples)
{
    struct fixture *f = fixture_new();
    add_rows(&f->in, 5000);
    core_flush_due(&f->in, false);
    const struct batch *b = core_batch(&f->in);
    cr_expect_geq(b->latest_count, 4000, "capacity is used");
    cr_expect_leq(b->latest_count, 5000);
    fixture_free(f);
}

Test(flush, every_device_has_its_turn_in_the_order_in_which_it_changed)
{
    struct fixture *f = fixture_new();
    uint32_t rounds = 0;
    while (!list_empty(&f->in.dirty)) {
        cr_assert_lt(rounds++, DEVICES);
        core_flush_due(&f->in, false);
        uint32_t done = core_batch(&f->in)->state_count;
        cr_expect(done == DEVICES || list_linked(&f->devices[done].dirty));
        cr_expect(!list_linked(&f->devices[done - 1].dirty));
    }
    cr_expect_eq(core_batch(&f->in)->latest_count, DEVICES * METRICS);
    fixture_free(f);
}

Test(flush, a_stop_writes_everything_at_once)
{
    struct fixture *f = fixture_new();
    f->conf.state_flush_us = CLOCK_SECOND_US * 3600; /* nobody is due */
    core_flush_due(&f->in, false);
    cr_expect_null(f->in.open);
    core_flush_due(&f->in, true);
    cr_expect_eq(core_batch(&f->in)->state_count, DEVICES);
    cr_expect(list_empty(&f->in.dirty));
    fixture_free(f);
}
