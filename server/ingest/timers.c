#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "ingest/internal.h"

/*
 * What rules say when a device says nothing.
 *
 * The event clock of a device is its newest event time and what has passed since that reading
 * arrived. What passes is listening time: it stands still while the server could not have heard the
 * device, because it was down, its database was, or its messages waited in the spool. So no outage
 * of ours looks like silence of a device. After a restart it goes on from where it was saved.
 *
 * A device is in the heap when its rules wait for something (engine_next_due()), by the listening
 * time of that moment. A reading only makes the moment later, so it leaves the heap alone: when the
 * moment comes and the device's clock is not there yet, it goes back with a later one. A device
 * without such rules costs one comparison for each message.
 *
 * Devices in the heap are in the table device_timers, so that they are loaded after a restart: a
 * silent one would not come by itself. What a timer changed is saved in the same transaction. Their
 * clocks are saved when the server stops; after a crash, silence counts from where the state was
 * saved last, which is later than it was, never sooner.
 */
enum {
    TIMERS_US = 20000, /* of one tick; who is left waits for the next */
    TIMERS_WAKE = 64,  /* devices loaded in one tick after a restart */
    TIMERS_AGAIN_MS = 200,
};

/* A device that said something so lately may be about to say more. */
#define TIMERS_QUIET_US CLOCK_SECOND_US

static bool is_listening(const struct ingest *in)
{
    return writer_is_up(in->writer) && !spooling_is_on(in) && !in->stopping;
}

/* Listening time now: the clock may go on for as long as a tick may be late, not for as long as the
 * process may have been stopped. */
static int64_t listened_us(const struct ingest *in)
{
    const struct timers *t = &in->timers;
    int64_t since_us = clock_mono_us() - t->tick_us;
    since_us = since_us < CLOCK_SECOND_US ? since_us : CLOCK_SECOND_US;
    return t->listening ? t->listened_us + since_us : t->listened_us;
}

static int64_t device_clock_us(const struct ingest *in, const struct core_device *cd)
{
    return cd->clock_us + (listened_us(in) - cd->heard_us);
}

/* ---- the heap ---- */

static void place(struct timers *t, uint32_t at, struct core_device *cd)
{
    t->heap[at] = cd;
    cd->timer = at + 1;
}

static void rise(struct timers *t, uint32_t at)
{
    struct core_device *cd = t->heap[at];
    while (at > 0 && t->heap[(at - 1) / 2]->timer_us > cd->timer_us) {
        place(t, at, t->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(t, at, cd);
}

static void sink(struct timers *t, uint32_t at)
{
    struct core_device *cd = t->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= t->count) {
            break;
        }
        if (child + 1 < t->count && t->heap[child + 1]->timer_us < t->heap[child]->timer_us) {
            child++;
        }
        if (t->heap[child]->timer_us >= cd->timer_us) {
            break;
        }
        place(t, at, t->heap[child]);
        at = child;
    }
    place(t, at, cd);
}

static void heap_put(struct timers *t, struct core_device *cd, int64_t at_us)
{
    if (t->count == t->cap) {
        uint32_t cap = t->cap == 0 ? 64 : t->cap * 2;
        struct core_device **heap = realloc(t->heap, cap * sizeof(struct core_device *));
        CHECK(heap != NULL);
        t->heap = heap;
        t->cap = cap;
    }
    cd->timer_us = at_us;
    t->heap[t->count] = cd;
    rise(t, t->count++);
}

static void heap_take(struct timers *t, struct core_device *cd)
{
    uint32_t at = cd->timer - 1;
    struct core_device *last = t->heap[--t->count];
    cd->timer = 0;
    if (last != cd) {
        place(t, at, last);
        rise(t, at);
        sink(t, last->timer - 1);
    }
}

/* ---- devices ---- */

static void remember(struct ingest *in, struct core_device *cd, bool waits)
{
    if (cd->timer_stored == waits) {
        return;
    }
    cd->timer_stored = waits;
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(
        b, waits ? "INSERT INTO device_timers (device_id) VALUES ($1) ON CONFLICT DO NOTHING"
                 : "DELETE FROM device_timers WHERE device_id = $1");
    batch_op_int(b, op, cd->id);
    if (waits) {
        core_flush_device(in, cd);
    }
}

/* When the device's clock is there and it has been quiet for a moment. */
static int64_t due_at(const struct core_device *cd, int64_t due_us)
{
    int64_t wait_us = due_us - cd->clock_us;
    return cd->heard_us + (wait_us > TIMERS_QUIET_US ? wait_us : TIMERS_QUIET_US);
}

/* Into the heap, at the moment when its rules have something to do, or out of it. */
static void arm(struct ingest *in, struct core_device *cd)
{
    int64_t due_us = engine_next_due(cd->engine);
    if (due_us == CLOCK_NONE || cd->clock_us == CLOCK_NONE) {
        if (cd->timer == 0) {
            remember(in, cd, false);
        }
        return;
    }
    int64_t at_us = due_at(cd, due_us);
    if (cd->timer != 0 && cd->timer_us <= at_us) {
        return;
    }
    if (cd->timer != 0) {
        heap_take(&in->timers, cd);
    }
    heap_put(&in->timers, cd, at_us);
    remember(in, cd, true);
}

void core_timer_heard(struct ingest *in, struct core_device *cd)
{
    if (cd->engine == NULL || cd->state != CORE_DEVICE_READY) {
        return;
    }
    if (cd->watermark_us != CLOCK_NONE && cd->watermark_us > cd->timer_watermark_us) {
        cd->timer_watermark_us = cd->watermark_us;
        cd->clock_us = cd->watermark_us;
        cd->heard_us = listened_us(in);
    }
    if (engine_next_due(cd->engine) != CLOCK_NONE || cd->timer_stored) {
        arm(in, cd);
    }
}

void core_timer_loaded(struct ingest *in, struct core_device *cd)
{
    if (cd->engine == NULL) {
        remember(in, cd, false);
        return;
    }
    if (cd->timer_watermark_us == CLOCK_NONE) { /* the first time in this life of the server */
        int64_t saved_us = engine_clock_us(cd->engine);
        cd->timer_watermark_us = cd->watermark_us;
        cd->clock_us = saved_us > cd->watermark_us ? saved_us : cd->watermark_us;
        cd->heard_us = listened_us(in);
    }
    if (cd->clock_us != CLOCK_NONE) {
        arm(in, cd);
    }
}

void core_timer_gone(struct ingest *in, struct core_device *cd)
{
    if (cd->timer != 0) {
        heap_take(&in->timers, cd);
    }
}

void core_timer_forget(struct ingest *in, struct core_device *cd)
{
    core_timer_gone(in, cd);
    remember(in, cd, false);
}

static void ring(struct ingest *in, struct core_device *cd)
{
    int64_t now_us = device_clock_us(in, cd);
    int64_t due_us = engine_next_due(cd->engine); /* none when a roll-back took it back */
    if (cd->parked == NULL && due_us != CLOCK_NONE && listened_us(in) >= due_at(cd, due_us)) {
        core_order_advance(in, cd, now_us);
        due_us = engine_next_due(cd->engine);
    }
    if (cd->parked != NULL) { /* it was heard; what it said comes first */
        heap_put(&in->timers, cd, listened_us(in) + TIMERS_AGAIN_MS * CLOCK_MS_US);
    } else if (due_us != CLOCK_NONE) {
        heap_put(&in->timers, cd, due_at(cd, due_us));
    } else {
        remember(in, cd, false);
    }
}

/* Devices that waited for something when the server stopped. */
static void wake(struct ingest *in)
{
    struct timers *t = &in->timers;
    for (uint32_t n = 0; n < TIMERS_WAKE && t->wake_next < t->wake_count; n++) {
        struct core_device *cd = core_device(in, t->wake[t->wake_next++], true);
        cd->timer_stored = true;
        core_device_wake(in, cd);
    }
}

void core_timers_tick(struct ingest *in)
{
    struct timers *t = &in->timers;
    t->listened_us = listened_us(in);
    t->tick_us = clock_mono_us();
    t->listening = is_listening(in);
    if (!t->listening) {
        return;
    }
    wake(in);
    while (t->count > 0 && t->heap[0]->timer_us <= t->listened_us &&
           clock_mono_us() - t->tick_us < TIMERS_US) {
        struct core_device *cd = t->heap[0];
        heap_take(t, cd);
        if (cd->state == CORE_DEVICE_READY && cd->engine != NULL) { /* else when it is loaded */
            ring(in, cd);
        }
    }
}

void core_timers_stop(struct ingest *in)
{
    for (uint32_t i = 0; i < in->timers.count; i++) {
        struct core_device *cd = in->timers.heap[i];
        if (cd->state == CORE_DEVICE_READY && cd->engine != NULL && cd->parked == NULL) {
            core_order_advance(in, cd, device_clock_us(in, cd));
            core_dirty(in, cd);
        }
    }
}

enum err core_timers_restore(struct ingest *in, struct db *db)
{
    struct timers *t = &in->timers;
    struct db_result *r = NULL;
    enum err e = db_query(db, "SELECT device_id FROM device_timers", NULL, &r);
    if (e != ERR_OK) {
        return e;
    }
    t->wake = calloc((size_t)db_rows(r) + 1, sizeof(*t->wake));
    for (int i = 0; t->wake != NULL && i < db_rows(r); i++) {
        t->wake[t->wake_count++] = (int32_t)db_get_int(r, i, 0);
    }
    db_result_free(r);
    return t->wake != NULL ? ERR_OK : ERR_NOMEM;
}

void core_timers_fini(struct ingest *in)
{
    free(in->timers.heap);
    free(in->timers.wake);
}
