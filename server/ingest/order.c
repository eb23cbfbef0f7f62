#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "ingest/internal.h"

/*
 * The rules of a device see its samples in the order of their time, whatever order they came in.
 *
 * A sample in order costs its rules one step. One that reaches back makes the engine run again all
 * that came since, which may be half a million steps (rules/README.md), and nothing keeps a device
 * from sending nothing else. So a message that reaches back waits in line until the end of the
 * turn, and all that its device sends behind it waits with it, in order. Then everything that waits
 * is taken at once: one run for each device and turn, however many samples and messages came.
 *
 * The line takes at most a part of the core's time: after it used some, it rests for SHARE - 1
 * times as long, and what other devices send is done. So a device that does it all the time costs
 * itself: its messages wait, are not acknowledged until they are done, and fill its own window; and
 * the longer they wait, the more of them are done by one run. In line is first come first served,
 * for LINE_SAMPLES at a time, so that several such devices take turns. QoS 0 has no window: when
 * half of the budget of messages under way is used, all that waits is done at once.
 *
 * Not here: what a run means for alerts (rules, effects.c), and the bound of one run (rules).
 */
enum {
    ORDER_ARENA_LIMIT = 1 << 30, /* a run reports at most a few events for each evaluation */
    ORDER_LINE_US = 500,         /* then it rests, even if others wait in it */
    ORDER_SHARE = 5,
    ORDER_LINE_SAMPLES = 10000,
};

static struct engine_out out_of(struct ingest *in)
{
    return (struct engine_out){.arena = &in->order.arena, .next_alert_id = &in->next_alert_id};
}

static void report(struct ingest *in, struct core_device *cd, struct engine_out *out)
{
    CHECK(out->err == ERR_OK);
    counter_add(COUNTER_RULE_EVALUATIONS, out->evaluations);
    if (out->first != NULL) {
        core_effects(in, cd, out);
        arena_reset(&in->order.arena);
    }
}

bool core_order_take(struct ingest *in, struct core_device *cd, const struct sample *s, int64_t seq)
{
    struct engine_out out = out_of(in);
    enum engine_verdict verdict = engine_feed(cd->engine, s, seq, &out);
    report(in, cd, &out);
    return verdict != ENGINE_LATE;
}

void core_order_run(struct ingest *in, struct core_device *cd)
{
    if (cd->engine != NULL) {
        struct engine_out out = out_of(in);
        engine_run(cd->engine, &out);
        report(in, cd, &out);
    }
}

void core_order_advance(struct ingest *in, struct core_device *cd, int64_t event_time_us)
{
    struct engine_out out = out_of(in);
    engine_advance(cd->engine, event_time_us, &out);
    bool told = out.first != NULL;
    report(in, cd, &out);
    if (told) {
        core_flush_device(in, cd); /* that the clock was here is known from nothing else */
    }
}

static bool reaches_back(const struct core_device *cd, const struct ingest_message *m)
{
    for (const struct sample *s = m->samples.first; cd->engine != NULL && s != NULL; s = s->next) {
        if (s->ts_us != CLOCK_NONE && engine_reaches_back(cd->engine, s)) {
            return true;
        }
    }
    return false;
}

bool core_order_waits(struct ingest *in, struct core_device *cd, const struct ingest_message *m)
{
    if (list_linked(&cd->in_line)) {
        return true;
    }
    if (!reaches_back(cd, m)) {
        return false;
    }
    list_push_back(&in->order.line, &cd->in_line);
    return true;
}

/* The messages of the first in line; with those that are too many for once it goes to the end. */
static void serve(struct ingest *in, uint32_t samples)
{
    struct list *first = list_pop_front(&in->order.line);
    struct core_device *cd = CONTAINER_OF(first, struct core_device, in_line);
    if (!core_parked_serve(in, cd, samples)) {
        list_push_back(&in->order.line, first);
    }
}

static void rested(void *arg)
{
    struct ingest *in = arg;
    loop_timer_stop(in->order.rest);
    in->order.rest = NULL; /* the turn after this goes on with the line */
}

static void finish(struct ingest *in)
{
    while (!list_empty(&in->order.line)) {
        serve(in, UINT32_MAX);
    }
}

void core_order_turn(struct ingest *in)
{
    struct order *o = &in->order;
    if (list_empty(&o->line)) {
        return;
    }
    if (core_in_flight_half(in)) {
        finish(in);
        return;
    }
    int64_t start_us = clock_mono_us();
    int64_t took_us = 0;
    while (o->rest == NULL && !list_empty(&o->line) && took_us < ORDER_LINE_US) {
        serve(in, ORDER_LINE_SAMPLES);
        took_us = clock_mono_us() - start_us;
    }
    if (took_us >= ORDER_LINE_US) {
        o->rest = loop_timer_start(in->loop, (ORDER_SHARE - 1) * took_us / CLOCK_MS_US, rested, in);
        CHECK(o->rest != NULL);
    }
}

void core_order_stop(struct ingest *in)
{
    loop_timer_stop(in->order.rest);
    in->order.rest = NULL;
    finish(in);
}

void core_order_init(struct ingest *in)
{
    list_init(&in->order.line);
    arena_init(&in->order.arena, ORDER_ARENA_LIMIT);
}

void core_order_fini(struct ingest *in)
{
    arena_fini(&in->order.arena);
}
