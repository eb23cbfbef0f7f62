#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * Children of gateways. A child that the server does not know is created on first sight when its
 * type allows it; its messages wait until then. A device that exists belongs to its own gateway:
 * another one may not speak for it.
 */
enum { CHILDREN_MAX = 10000, CHILD_RETRY_MS = 500 };

struct child {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    int32_t gateway_id;
    struct ingest_message *parked, **parked_last;
    enum err err;
    struct loop_timer *retry;
    char type[IDENT_MAX + 1];
    char name[IDENT_MAX + 1];
};

static void child_refuse(struct ingest *in, struct ingest_message *m, const char *why)
{
    char detail[256];
    (void)snprintf(detail, sizeof(detail), "device %.*s: %s", VIEW_ARG(m->name), why);
    core_reject(in, m, ERR_UNKNOWN_NAME, VIEW(""), view_str(detail));
}

/* At the end of the core: not stored, so not acknowledged; what came from the spool stays there. */
static void child_drop(struct ingest *in, struct ingest_message *m)
{
    if (m->ticket != NULL) {
        ticket_drop(m->ticket, ERR_CLOSED);
    }
    core_message_end(in, m);
}

static void child_work(struct store_job *job, struct db *db);

static void child_again(void *arg)
{
    struct child *c = arg;
    loop_timer_stop(c->retry);
    c->retry = NULL;
    store_run(c->in->store, &c->job, child_work);
}

/* The database's fault, not the message's: the messages wait, since what was read back from the
 * spool is acknowledged already. */
static bool child_fault_passes(enum err e)
{
    return e == ERR_DB_DOWN || e == ERR_TIMEOUT || e == ERR_CONFLICT || e == ERR_NOMEM ||
           e == ERR_IO;
}

static void child_created(struct mail *mail)
{
    struct child *c = CONTAINER_OF(mail, struct child, back);
    struct ingest *in = c->in;
    if (child_fault_passes(c->err) && !in->stopping) {
        c->retry = loop_timer_start(in->loop, CHILD_RETRY_MS, child_again, c);
        CHECK(c->retry != NULL);
        return;
    }
    (void)map_remove(&in->children, view_str(c->name));
    struct device *d = catalog_device(in->catalog, view_str(c->name));
    while (c->parked != NULL) {
        struct ingest_message *m = c->parked;
        c->parked = m->next_parked;
        m->next_parked = NULL;
        if (in->stopping) {
            child_drop(in, m);
        } else if (d == NULL) {
            child_refuse(in, m, "unknown, and its type does not allow a gateway to register it");
        } else {
            device_hold(d);
            m->device = d;
            core_message(in, m);
        }
    }
    device_drop(d);
    free(c);
}

static enum err child_create(struct child *c, struct db *db)
{
    struct db_params p = {0};
    db_text(&p, c->name);
    db_text(&p, c->type);
    db_int(&p, c->gateway_id);
    db_int(&p, CHILDREN_MAX);
    enum err e = db_exec(
        db,
        "INSERT INTO devices (name, type_id, gateway_id) SELECT $1, t.id, $3 FROM device_types t"
        " WHERE t.name = $2 AND t.auto_register"
        " AND (SELECT count(*) FROM devices WHERE gateway_id = $3) < $4 ON CONFLICT DO NOTHING",
        &p, NULL);
    return e == ERR_OK ? catalog_refresh_device(c->in->catalog, db, c->name) : e;
}

static void child_work(struct store_job *job, struct db *db)
{
    struct child *c = CONTAINER_OF(job, struct child, job);
    c->err = db == NULL ? ERR_DB_DOWN : child_create(c, db);
    c->back.run = child_created;
    loop_post(c->in->loop, &c->back);
}

static void child_park(struct ingest *in, struct ingest_message *m)
{
    struct child *c = map_get(&in->children, m->name);
    if (c == NULL) {
        c = calloc(1, sizeof(*c));
        void *old = NULL;
        CHECK(c != NULL && map_put(&in->children, m->name, c, &old) == ERR_OK);
        c->in = in;
        c->gateway_id = m->gateway->id;
        c->parked_last = &c->parked;
        (void)view_copy(m->name, c->name, sizeof(c->name));
        (void)view_copy(m->child_type.len > 0 ? m->child_type : VIEW("generic"), c->type,
                        sizeof(c->type));
        store_run(in->store, &c->job, child_work);
    }
    *c->parked_last = m;
    c->parked_last = &m->next_parked;
}

void core_children_take(struct ingest *in,
                        void (*take)(struct ingest *in, struct ingest_message *m))
{
    MAP_FOREACH (at, &in->children) {
        struct child *c = at->value;
        struct ingest_message *m = c->parked;
        c->parked = NULL;
        c->parked_last = &c->parked;
        while (m != NULL) {
            struct ingest_message *next = m->next_parked;
            m->next_parked = NULL;
            if (m->spooled) {
                *c->parked_last = m;
                c->parked_last = &m->next_parked;
            } else {
                take(in, m);
            }
            m = next;
        }
    }
}

bool core_child_allowed(struct ingest *in, struct ingest_message *m)
{
    if (m->gateway == NULL || m->device == NULL || m->device->gateway == m->gateway->id ||
        m->device->id == m->gateway->id) {
        return true;
    }
    child_refuse(in, m, "is not a child of this gateway");
    return false;
}

void core_child(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    if (m->device == NULL) {
        if (in->stopping) {
            child_drop(in, m);
            return;
        }
        child_park(in, m);
        return;
    }
    batch_message(core_batch(in), m->ticket, ERR_OK, m->counts);
    char body[320];
    int len = snprintf(body, sizeof(body), "{\"device\":\"%s\",\"online\":%s,\"gateway\":\"%s\"}",
                       cd->device->name, m->connected ? "true" : "false", m->gateway->name);
    if (m->connected) {
        command_book_device_ready(in->book, cd->id);
    }
    core_event(in, m->connected ? "device.online" : "device.offline", "info", cd->id,
               clock_wall_us(), view_of(body, (size_t)len), true);
    core_message_end(in, m);
}
