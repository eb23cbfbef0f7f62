#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ingest/internal.h"

/*
 * Messages of devices that are not telemetry: answers to commands, what they report of themselves,
 * what they ask for; and what the command book needs of the core.
 */

/* ---- the command book's view of the core ---- */

static struct batch *book_batch(void *arg)
{
    return core_batch(arg);
}

static void book_send_after_commit(void *arg, int64_t id)
{
    core_after(arg, AFTER_SEND)->id = id;
}

static void book_event(void *arg, const char *kind, int32_t device_id, int64_t command_id,
                       bool final, struct view json)
{
    struct ingest *in = arg;
    core_event(in, kind, "info", device_id, clock_wall_us(), json, true);
    struct after *a = CONTAINER_OF(in->open->last, struct after, next);
    a->event.command_id = command_id;
    a->event.command_final = final;
}

static bool session_at(const struct core_device *cd, uint32_t tried, struct session_ref *ret_ref)
{
    if (cd == NULL || tried >= cd->session_count) {
        return false;
    }
    *ret_ref = cd->sessions[cd->session_count - 1 - tried];
    return true;
}

static bool book_route(void *arg, int32_t device_id, uint32_t tried,
                       struct command_route *ret_route)
{
    struct ingest *in = arg;
    struct core_device *own = core_device(in, device_id, false);
    *ret_route = (struct command_route){.child = NULL};
    if (session_at(own, tried, &ret_route->ref)) {
        return true;
    }
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    if (d == NULL) {
        return false;
    }
    uint32_t own_sessions = own == NULL ? 0 : own->session_count;
    bool found = d->gateway != 0 && session_at(core_device(in, d->gateway, false),
                                               tried - own_sessions, &ret_route->ref);
    if (found) {
        (void)snprintf(in->name, sizeof(in->name), "%s", d->name);
        ret_route->child = in->name;
    }
    device_drop(d);
    return found;
}

static int32_t book_gateway(void *arg, int32_t device_id)
{
    struct ingest *in = arg;
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    int32_t gateway = d == NULL ? 0 : d->gateway;
    device_drop(d);
    return gateway;
}

static void book_deliver(void *arg, struct session_ref ref, struct session_delivery *d)
{
    struct ingest *in = arg;
    in->hooks.deliver(in->hooks.arg, ref, d);
}

static const char *book_device_name(void *arg, int32_t device_id)
{
    struct ingest *in = arg;
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    (void)snprintf(in->name, sizeof(in->name), "%s", d == NULL ? "" : d->name);
    device_drop(d);
    return in->name;
}

static void book_dropped(void *arg, int32_t device_id, int64_t id)
{
    struct ingest *in = arg;
    command_policy_dropped(in->policy, device_id, id);
}

struct command_book *core_book_new(struct ingest *in)
{
    return command_book_new(in->conf,
                            &(struct command_hooks){.arg = in,
                                                    .batch = book_batch,
                                                    .send_after_commit = book_send_after_commit,
                                                    .event = book_event,
                                                    .route = book_route,
                                                    .gateway = book_gateway,
                                                    .deliver = book_deliver,
                                                    .device_name = book_device_name,
                                                    .dropped = book_dropped});
}

/* ---- messages that are not telemetry ---- */

void core_answer(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    if (command_book_answer(in->book, cd->id, m->id, m->body) != ERR_OK) {
        core_reject(in, m, ERR_UNKNOWN_NAME, VIEW(""),
                    VIEW("no command of this number waits for an answer: it ended or was never "
                         "sent to this device"));
        return;
    }
    batch_message(core_batch(in), m->ticket, ERR_OK, m->counts);
    core_message_end(in, m);
}

void core_attributes(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    struct batch *b = core_batch(in);
    batch_message(b, m->ticket, ERR_OK, m->counts);
    struct batch_op *op =
        batch_op(b, "UPDATE devices SET reported = reported || $2::jsonb WHERE id = $1");
    batch_op_int(b, op, cd->id);
    batch_op_text(b, op, m->body);
    core_message_end(in, m);
}

struct attribute_job {
    struct store_job job;
    struct ingest *in;
    struct session_ref ref;
    int32_t device_id;
    int64_t id;
    char body[];
};

static void attribute_work(struct store_job *job, struct db *db)
{
    struct attribute_job *a = CONTAINER_OF(job, struct attribute_job, job);
    struct db_params p = {0};
    db_int(&p, a->device_id);
    db_text(&p, a->body);
    struct db_result *r = NULL;
    if (db != NULL &&
        db_query(db,
                 "WITH q AS (SELECT string_to_array($2::jsonb ->> 'clientKeys', ',') AS client,"
                 " string_to_array($2::jsonb ->> 'sharedKeys', ',') AS shared)"
                 " SELECT json_build_object('client', (SELECT coalesce(jsonb_object_agg(key, "
                 "value), '{}') FROM"
                 " jsonb_each(d.reported), q WHERE (client IS NULL AND shared IS NULL) OR key = "
                 "ANY (client)),"
                 " 'shared', (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM "
                 "jsonb_each(d.attributes), q"
                 " WHERE (client IS NULL AND shared IS NULL) OR key = ANY (shared)))::text FROM "
                 "devices d WHERE d.id = $1",
                 &p, &r) == ERR_OK &&
        db_rows(r) == 1) {
        char topic[64];
        (void)snprintf(topic, sizeof(topic), "v1/devices/me/attributes/response/%lld",
                       (long long)a->id);
        struct session_delivery *d = session_delivery_new(view_str(topic), db_get_view(r, 0, 0), 1);
        if (d != NULL) {
            d->expires_at_us = CLOCK_NONE;
            a->in->hooks.deliver(a->in->hooks.arg, a->ref, d);
        }
    }
    db_result_free(r);
    free(a);
}

void core_attribute_request(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    batch_message(core_batch(in), m->ticket, ERR_OK, m->counts);
    struct attribute_job *a = calloc(1, sizeof(*a) + m->body.len + 1);
    if (a != NULL && !in->stopping) {
        a->in = in;
        a->ref = m->from;
        a->device_id = cd->id;
        a->id = m->id;
        (void)view_copy(m->body, a->body, m->body.len + 1);
        store_run(in->store, &a->job, attribute_work);
    } else {
        free(a);
    }
    core_message_end(in, m);
}
