#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * A device is loaded with its first message: newest values, rule state and the samples since it was
 * saved (load.c). Until then its messages are parked, in order. It is loaded again when its rules,
 * its type or its attributes change: first what is under way is committed, together with its state,
 * so that the database has everything.
 */

struct core_device *core_device(struct ingest *in, int32_t id, bool create)
{
    if (id < in->device_cap && in->devices[id] != NULL) {
        return in->devices[id];
    }
    if (!create || id <= 0) {
        return NULL;
    }
    if (id >= in->device_cap) {
        int32_t cap = in->device_cap == 0 ? 1024 : in->device_cap;
        while (cap <= id) {
            cap *= 2;
        }
        struct core_device **grown =
            realloc(in->devices, (size_t)cap * sizeof(struct core_device *));
        CHECK(grown != NULL);
        memset(grown + in->device_cap, 0,
               (size_t)(cap - in->device_cap) * sizeof(struct core_device *));
        in->devices = grown;
        in->device_cap = cap;
    }
    struct core_device *cd = calloc(1, sizeof(*cd));
    CHECK(cd != NULL);
    cd->id = id;
    cd->watermark_us = CLOCK_NONE;
    cd->timer_watermark_us = CLOCK_NONE;
    cd->clock_us = CLOCK_NONE;
    cd->last_seen_us = CLOCK_NONE;
    cd->parked_last = &cd->parked;
    in->devices[id] = cd;
    return cd;
}

static void device_forget_state(struct core_device *cd)
{
    engine_free(cd->engine);
    cd->engine = NULL;
    for (uint32_t i = 0; i < cd->latest_count; i++) {
        free(cd->latest[i].extra);
    }
    free(cd->latest);
    free(cd->recent);
    free(cd->shape_metrics);
    cd->latest = NULL;
    cd->latest_count = 0;
    cd->latest_cap = 0;
    cd->recent = NULL;
    cd->recent_next = 0;
    cd->shape_metrics = NULL;
    cd->shape_count = 0;
    cd->shape = 0;
    cd->watermark_us = CLOCK_NONE;
    device_drop(cd->device);
    cd->device = NULL;
}

void core_devices_free(struct ingest *in)
{
    for (int32_t i = 0; i < in->device_cap; i++) {
        struct core_device *cd = in->devices[i];
        if (cd == NULL) {
            continue;
        }
        while (cd->parked != NULL) {
            struct ingest_message *m = cd->parked;
            cd->parked = m->next_parked;
            if (m->ticket != NULL) {
                ticket_drop(m->ticket, ERR_CLOSED);
            }
            core_message_end(in, m);
        }
        device_forget_state(cd);
        free(cd);
    }
    free(in->devices);
    in->devices = NULL;
    in->device_cap = 0;
}

void core_device_wake(struct ingest *in, struct core_device *cd)
{
    if (cd->state == CORE_DEVICE_COLD && !in->stopping) {
        cd->state = CORE_DEVICE_LOADING;
        core_load(in, cd);
    }
}

static void device_park(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    *cd->parked_last = m;
    cd->parked_last = &m->next_parked;
    core_device_wake(in, cd);
}

/* The open alerts of a device that was deleted. */
struct gone_job {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    int32_t device_id;
    struct db_result *alerts;
};

static void gone_done(struct mail *m)
{
    struct gone_job *g = CONTAINER_OF(m, struct gone_job, back);
    for (int i = 0; g->alerts != NULL && i < db_rows(g->alerts); i++) {
        core_orphan_alert(g->in, g->device_id, db_get_int(g->alerts, i, 0), g->in->tick_wall_us,
                          "the device was deleted", view_eq_str(db_get_view(g->alerts, i, 1), "t"));
    }
    db_result_free(g->alerts);
    free(g);
}

static void gone_work(struct store_job *job, struct db *db)
{
    struct gone_job *g = CONTAINER_OF(job, struct gone_job, job);
    struct db_params p = {0};
    db_int(&p, g->device_id);
    if (db == NULL ||
        db_query(db, "SELECT id, shadow FROM alerts WHERE device_id = $1 AND state = 'firing'", &p,
                 &g->alerts) != ERR_OK) {
        g->alerts = NULL;
    }
    g->back.run = gone_done;
    loop_post(g->in->loop, &g->back);
}

/* Its session is closed, but what it sent before wants an answer. */
void core_device_gone(struct ingest *in, struct core_device *cd)
{
    core_timer_forget(in, cd);
    struct ingest_message *m = cd->parked;
    cd->parked = NULL;
    cd->parked_last = &cd->parked;
    while (m != NULL) {
        struct ingest_message *next = m->next_parked;
        m->next_parked = NULL;
        core_reject(in, m, ERR_UNKNOWN_NAME, VIEW(""), VIEW("the device was deleted"));
        m = next;
    }
    struct gone_job *g = calloc(1, sizeof(*g));
    if (g != NULL && !in->stopping) {
        g->in = in;
        g->device_id = cd->id;
        store_run(in->store, &g->job, gone_work);
    } else {
        free(g);
    }
}

static void device_message(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    switch (m->kind) {
    case INGEST_TELEMETRY:
        core_telemetry(in, cd, m);
        break;
    case INGEST_ATTRIBUTES:
        core_attributes(in, cd, m);
        break;
    case INGEST_ATTRIBUTE_REQUEST:
        core_attribute_request(in, cd, m);
        break;
    case INGEST_ANSWER:
        core_answer(in, cd, m);
        break;
    case INGEST_CHILD:
        core_child(in, cd, m);
        break;
    case INGEST_REJECTED:
        core_reject(in, m, m->err, m->pointer, m->detail);
        break;
    }
}

void core_message(struct ingest *in, struct ingest_message *m)
{
    if (spooling_take(in, m)) {
        return;
    }
    if (m->kind == INGEST_REJECTED) {
        core_reject(in, m, m->err, m->pointer, m->detail);
        return;
    }
    if (m->device == NULL) {
        core_child(in, NULL, m);
        return;
    }
    if (!core_child_allowed(in, m)) {
        return;
    }
    struct core_device *cd = core_device(in, m->device->id, true);
    if (cd->state != CORE_DEVICE_READY || core_order_waits(in, cd, m)) {
        device_park(in, cd, m);
        return;
    }
    device_message(in, cd, m);
    core_order_run(in, cd);
    core_timer_heard(in, cd);
}

bool core_parked_serve(struct ingest *in, struct core_device *cd, uint32_t samples)
{
    uint32_t taken = 0;
    while (cd->parked != NULL && cd->state == CORE_DEVICE_READY && taken < samples) {
        struct ingest_message *m = cd->parked;
        cd->parked = m->next_parked;
        if (cd->parked == NULL) {
            cd->parked_last = &cd->parked;
        }
        taken += m->samples.count;
        device_message(in, cd, m);
    }
    core_order_run(in, cd);
    core_timer_heard(in, cd);
    return cd->parked == NULL || cd->state != CORE_DEVICE_READY;
}

void core_loaded(struct ingest *in, struct core_device *cd)
{
    cd->state = CORE_DEVICE_READY;
    if (cd->reload) {
        core_device_reload(in, cd); /* something changed while it was loading */
    }
    if (cd->state == CORE_DEVICE_READY) {
        core_timer_loaded(in, cd);
    }
    (void)core_parked_serve(in, cd, UINT32_MAX);
}

void core_parked_take(struct ingest *in, void (*take)(struct ingest *in, struct ingest_message *m))
{
    for (int32_t i = 0; i < in->device_cap; i++) {
        struct core_device *cd = in->devices[i];
        struct ingest_message *m = cd == NULL ? NULL : cd->parked;
        if (m == NULL) {
            continue;
        }
        cd->parked = NULL;
        cd->parked_last = &cd->parked;
        while (m != NULL) {
            struct ingest_message *next = m->next_parked;
            m->next_parked = NULL;
            if (m->spooled) {
                device_park(in, cd, m); /* it is in the spool; nobody waits for it */
            } else {
                take(in, m);
            }
            m = next;
        }
    }
    core_children_take(in, take);
}

/* ---- loading again ---- */

void core_device_reload(struct ingest *in, struct core_device *cd)
{
    if (cd->state != CORE_DEVICE_READY) {
        cd->reload = cd->state != CORE_DEVICE_COLD;
        return;
    }
    cd->reload = false;
    cd->state = CORE_DEVICE_DRAINING;
    list_push_back(&in->draining, &cd->draining);
    core_flush_device(in, cd);
}

void core_device_quiet(struct ingest *in)
{
    struct list *at = in->draining.next;
    while (at != &in->draining) {
        struct core_device *cd = CONTAINER_OF(at, struct core_device, draining);
        at = at->next;
        if (cd->last_batch <= in->committed_batch) {
            list_remove(&cd->draining);
            core_timer_gone(in, cd);
            device_forget_state(cd);
            cd->state = CORE_DEVICE_COLD;
            core_device_wake(in, cd);
        }
    }
}

/* A rule came, changed or went: devices it selects or has an open alert on are loaded again. */
struct rule_job {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    int32_t rule_id;
    int32_t *devices;
    int count;
};

static void rule_job_done(struct mail *m)
{
    struct rule_job *r = CONTAINER_OF(m, struct rule_job, back);
    for (int i = 0; i < r->count; i++) {
        struct core_device *cd = core_device(r->in, r->devices[i], true);
        if (cd->state == CORE_DEVICE_COLD) {
            core_device_wake(r->in, cd);
        } else {
            core_device_reload(r->in, cd);
        }
    }
    free(r->devices);
    free(r);
}

static void rule_job_work(struct store_job *job, struct db *db)
{
    struct rule_job *r = CONTAINER_OF(job, struct rule_job, job);
    struct db_params p = {0};
    db_int(&p, r->rule_id);
    struct db_result *rows = NULL;
    if (db != NULL &&
        db_query(db,
                 "SELECT DISTINCT device_id FROM alerts WHERE rule_id = $1 AND state = 'firing'",
                 &p, &rows) == ERR_OK) {
        r->devices = calloc((size_t)db_rows(rows) + 1, sizeof(*r->devices));
        for (int i = 0; r->devices != NULL && i < db_rows(rows); i++) {
            r->devices[r->count++] = (int32_t)db_get_int(rows, i, 0);
        }
        db_result_free(rows);
    }
    r->back.run = rule_job_done;
    loop_post(r->in->loop, &r->back);
}

void core_reload_for_rule(struct ingest *in, int32_t rule_id)
{
    struct rule *rule = catalog_rule_by_id(in->catalog, rule_id);
    for (int32_t i = 0; i < in->device_cap; i++) {
        struct core_device *cd = in->devices[i];
        if (cd == NULL || cd->state == CORE_DEVICE_COLD) {
            continue;
        }
        /* One that is loading may have taken the rules as they were. */
        bool selected = cd->device == NULL || (rule != NULL && rule_selects(rule, cd->device));
        if (selected || (cd->engine != NULL && engine_has_rule(cd->engine, rule_id))) {
            core_device_reload(in, cd);
        }
    }
    if (rule != NULL) {
        rule_drop(rule);
    }
    struct rule_job *r = calloc(1, sizeof(*r));
    if (r != NULL) {
        r->in = in;
        r->rule_id = rule_id;
        store_run(in->store, &r->job, rule_job_work);
    }
}
