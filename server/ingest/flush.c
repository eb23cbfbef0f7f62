#include "base/check.h"
#include "base/clock.h"
#include "ingest/internal.h"

/*
 * Newest values and rule state are derived from the samples, so they need not be written with each
 * of them: a device is written once every `state_flush` at most, in the order in which devices
 * changed. After a crash the samples since then are read back and run through the rules again
 * (load.c).
 *
 * All messages of a batch wait for what is flushed with it, and an upsert costs as much as a few
 * samples. So a batch takes as many values along as it has samples, and a small one FLUSH_ROWS_MIN;
 * a device that is due waits for a later batch. Without the bound a slow commit makes more devices
 * due, and they the next commit slower.
 */
enum { FLUSH_ROWS_MIN = 128, FLUSH_STATE_LIMIT = 64 << 20 };

void core_dirty(struct ingest *in, struct core_device *cd)
{
    if (!list_linked(&cd->dirty)) {
        cd->dirty_since_us = clock_mono_us();
        list_push_back(&in->dirty, &cd->dirty);
    }
}

void core_flush_device(struct ingest *in, struct core_device *cd)
{
    core_order_run(in, cd); /* the state is saved with all that was taken */
    struct batch *b = core_batch(in);
    for (uint32_t i = 0; i < cd->latest_count; i++) {
        struct core_latest *l = &cd->latest[i];
        if (l->dirty) {
            l->dirty = false;
            batch_latest(b, cd->id, l->metric, l->ts_us, l->value,
                         l->extra == NULL ? (struct view){NULL, 0} : view_str(l->extra));
        }
    }
    struct buf state;
    buf_init(&state, FLUSH_STATE_LIMIT);
    struct view saved = {NULL, 0};
    if (cd->engine != NULL) {
        engine_save(cd->engine, &state);
        if (buf_err(&state) == ERR_OK) {
            saved = buf_view(&state);
        }
    }
    batch_state(b, cd->id, cd->watermark_us, cd->last_seen_us, saved);
    buf_fini(&state);
    core_batch_touch(in, cd);
    if (list_linked(&cd->dirty)) {
        list_remove(&cd->dirty);
    }
}

void core_flush_due(struct ingest *in, bool all)
{
    int64_t due_us = clock_mono_us() - in->conf->state_flush_us;
    uint32_t rows = in->open == NULL ? 0 : batch_rows(in->open->batch);
    uint32_t left = rows < FLUSH_ROWS_MIN ? FLUSH_ROWS_MIN : rows;
    while (!list_empty(&in->dirty)) {
        struct core_device *cd = CONTAINER_OF(in->dirty.next, struct core_device, dirty);
        if (!all && (left == 0 || cd->dirty_since_us > due_us)) {
            return;
        }
        uint32_t written = cd->latest_count + 1; /* at most, and the state */
        left = left > written ? left - written : 0;
        core_flush_device(in, cd);
    }
}
