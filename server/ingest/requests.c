#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "ingest/internal.h"

/*
 * Requests of the API that change the core's state, and changes of the catalog. Each is mail to the
 * core's thread, and is answered after the commit of the batch it went into.
 */

/* ---- requests of the API ---- */

static void op_end(struct api_op *op, enum err status, const char *detail)
{
    op->status = status;
    (void)snprintf(op->detail, sizeof(op->detail), "%s", detail);
    op->done(op);
}

/* False: it is answered already, and gone. */
static bool op_create(struct ingest *in, struct api_op *op)
{
    char origin[160];
    (void)snprintf(origin, sizeof(origin), "api:%s", op->actor);
    enum command_state state = COMMAND_QUEUED;
    enum err e = command_book_create(in->book,
                                     &(struct command_new){.device_id = op->device_id,
                                                           .method = op->method,
                                                           .params = op->params,
                                                           .expires_us = op->expires_us,
                                                           .origin = origin,
                                                           .idempotency_key = op->idempotency_key},
                                     &op->ret_id, &state);
    if (e != ERR_OK) {
        op_end(op, e, e == ERR_FULL ? "the device has too many commands that have not ended" : "");
        return false;
    }
    op->status = ERR_OK;
    op->ret_state = command_state_words(state);
    core_after(in, AFTER_OP)->op = op;
    return true;
}

/* The same Idempotency-Key again: the database knows the keys of committed commands, `keys` those
 * of the last minute. One that only `keys` knows is not committed yet: it is looked up again when
 * it is, since an answer before that would name a command which a crash can take back. */
struct key_job {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    struct api_op *op;
    enum err err;
    bool found;
};

static struct view op_key(const struct api_op *op, struct buf *scratch)
{
    buf_put(scratch, &op->device_id, sizeof(op->device_id));
    buf_put_str(scratch, op->idempotency_key);
    return buf_view(scratch);
}

static void key_looked_up(struct mail *mail)
{
    struct key_job *k = CONTAINER_OF(mail, struct key_job, back);
    struct ingest *in = k->in;
    struct api_op *op = k->op;
    enum err e = k->err;
    bool found = k->found;
    free(k);
    if (e != ERR_OK || found) {
        op_end(op, e != ERR_OK ? e : op->status, "");
        return;
    }
    struct buf key;
    buf_init(&key, 1 << 16);
    (void)op_key(op, &key);
    if (map_get(&in->keys, buf_view(&key)) != NULL) {
        core_after(in, AFTER_OP_AGAIN)->op = op;
        buf_fini(&key);
        return;
    }
    int64_t *since_us = op_create(in, op) ? malloc(sizeof(*since_us)) : NULL;
    if (since_us != NULL) {
        void *old = NULL;
        *since_us = clock_mono_us();
        if (map_put(&in->keys, buf_view(&key), since_us, &old) != ERR_OK) {
            free(since_us);
        }
    }
    buf_fini(&key);
}

void core_keys_expire(struct ingest *in)
{
    int64_t before_us = clock_mono_us() - CLOCK_MINUTE_US;
    bool again = true;
    while (again) {
        again = false;
        MAP_FOREACH (at, &in->keys) {
            int64_t *since_us = at->value;
            if (*since_us < before_us || in->stopping) {
                (void)map_remove(&in->keys, view_of(at->key, at->key_len));
                free(since_us);
                again = true;
                break;
            }
        }
    }
}

static void key_work(struct store_job *job, struct db *db)
{
    struct key_job *k = CONTAINER_OF(job, struct key_job, job);
    struct api_op *op = k->op;
    struct db_params p = {0};
    db_int(&p, op->device_id);
    db_text(&p, op->idempotency_key);
    db_text(&p, op->method);
    db_text(&p, op->params);
    struct db_result *r = NULL;
    k->err = db == NULL
                 ? ERR_DB_DOWN
                 : db_query(db,
                            "SELECT id, method = $3 AND params = $4::jsonb, state FROM commands"
                            " WHERE device_id = $1 AND idempotency_key = $2",
                            &p, &r);
    if (k->err == ERR_OK && db_rows(r) == 1) {
        enum command_state state = COMMAND_QUEUED;
        (void)command_state_parse(db_get_view(r, 0, 2), &state);
        k->found = true;
        op->ret_id = db_get_int(r, 0, 0);
        op->ret_state = command_state_words(state);
        op->status = db_get_bool(r, 0, 1) ? ERR_EXISTS : ERR_CONFLICT;
    }
    db_result_free(r);
    k->back.run = key_looked_up;
    loop_post(k->in->loop, &k->back);
}

static void op_command(struct ingest *in, struct api_op *op)
{
    struct key_job *k = op->idempotency_key == NULL ? NULL : calloc(1, sizeof(*k));
    if (k == NULL) {
        (void)op_create(in, op);
        return;
    }
    k->in = in;
    k->op = op;
    store_run(in->store, &k->job, key_work);
}

void core_op_again(struct ingest *in, struct api_op *op)
{
    op_command(in, op);
}

static void op_acknowledge(struct ingest *in, struct api_op *op)
{
    int64_t now_us = clock_wall_us();
    struct batch *b = core_batch(in);
    struct batch_op *o =
        batch_op(b, "UPDATE alerts SET acknowledged_by = $2, acknowledged_at = $3 WHERE id = $1"
                    " AND acknowledged_by IS NULL");
    batch_op_int(b, o, op->id);
    batch_op_str(b, o, op->actor);
    batch_op_time(b, o, now_us);
    struct buf body;
    buf_init(&body, 1 << 16);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "alert_id");
    emit_json_int(&j, op->id);
    emit_json_key(&j, "acknowledged_by");
    emit_json_str(&j, op->actor);
    emit_json_key(&j, "comment");
    emit_json_str(&j, op->comment);
    emit_json_close(&j, '}');
    o = batch_op(b, "INSERT INTO alert_events (alert_id, kind, ts, actor, detail)"
                    " VALUES ($1, 'acknowledged', $2, $3, $4::jsonb)");
    batch_op_int(b, o, op->id);
    batch_op_time(b, o, now_us);
    batch_op_str(b, o, op->actor);
    batch_op_text(b, o, buf_view(&body));
    core_event(in, "alert.acknowledged", "info", op->device_id, now_us, buf_view(&body), true);
    buf_fini(&body);
    op->status = ERR_OK;
    op->ret_id = op->id;
    core_after(in, AFTER_OP)->op = op;
}

/* Readings by HTTP: the same road as a publish, with a ticket that answers the request. */
struct op_ticket {
    struct ticket ticket;
    struct api_op *op;
};

static void op_telemetry_done(struct ticket *t, enum err status)
{
    struct op_ticket *ot = CONTAINER_OF(t, struct op_ticket, ticket);
    struct api_op *op = ot->op;
    free(ot);
    op->status = status;
    op->done(op);
}

static void op_telemetry(struct ingest *in, struct api_op *op)
{
    struct device *d = catalog_device_by_id(in->catalog, op->device_id);
    struct ingest_block *b = calloc(1, sizeof(*b));
    struct op_ticket *t = calloc(1, sizeof(*t));
    CHECK(b != NULL && t != NULL);
    arena_init(&b->arena, 256 << 20);
    b->in = in;
    struct ingest_message *m = arena_zalloc(&b->arena, sizeof(*m));
    CHECK(m != NULL);
    struct payload_limits limits = payload_limits_default;
    limits.values_max = (uint32_t)in->conf->values_per_message_max;
    limits.samples_max = limits.values_max;
    struct payload_ctx ctx = {.arena = &b->arena, .metrics = in->metrics, .limits = &limits};
    struct payload_error why = {.err = ERR_NOT_FOUND};
    m->body = arena_view(&b->arena, op->body);
    enum err e = d == NULL ? ERR_NOT_FOUND : payload_telemetry(&ctx, m->body, &m->samples, &why);
    if (e != ERR_OK) {
        (void)snprintf(op->pointer, sizeof(op->pointer), "%s", why.pointer);
        device_drop(d);
        arena_fini(&b->arena);
        free(b);
        free(t);
        op_end(op, e, why.detail);
        return;
    }
    t->op = op;
    ticket_init(&t->ticket, op_telemetry_done);
    m->block = b;
    m->kind = INGEST_TELEMETRY;
    m->device = d;
    m->name = view_str(d->name);
    m->topic = VIEW("v1/devices/me/telemetry"); /* as the device itself would have sent it */
    m->payload = m->body;
    m->first = true;
    m->publish = 1 + atomic_fetch_add(&in->publishes, 1);
    m->ticket = &t->ticket;
    m->op = op;
    m->counts = true;
    /* A time of its own, as the gates give it. */
    m->received_at_us = in->tick_wall_us > in->op_last_us ? in->tick_wall_us : in->op_last_us + 1;
    in->op_last_us = m->received_at_us + (m->samples.count > 1 ? m->samples.count - 1 : 0);
    b->first = m;
    b->count = 1;
    b->holds = 1;
    m->bytes = b->arena.used_bytes; /* with what was decoded */
    counter_message_received(1);
    core_in_flight_add(in, m);
    core_message(in, m);
}

struct op_mail {
    struct mail mail;
    struct ingest *in;
    struct api_op *op;
};

static void op_run(struct mail *mail)
{
    struct op_mail *m = CONTAINER_OF(mail, struct op_mail, mail);
    struct ingest *in = m->in;
    struct api_op *op = m->op;
    free(m);
    if (in->stopping || !writer_is_up(in->writer)) {
        op_end(op, ERR_DB_DOWN, "");
        return;
    }
    switch (op->kind) {
    case API_OP_COMMAND_CREATE:
        op_command(in, op);
        break;
    case API_OP_COMMAND_CANCEL: {
        enum err e = command_book_cancel(in->book, op->id, op->actor);
        op->status = e;
        op->ret_id = op->id;
        op->ret_state = "cancelled";
        if (e == ERR_OK) {
            core_after(in, AFTER_OP)->op = op;
        } else {
            op_end(op, e, "");
        }
        break;
    }
    case API_OP_ALERT_ACK:
        op_acknowledge(in, op);
        break;
    case API_OP_TELEMETRY:
        op_telemetry(in, op);
        break;
    }
}

void ingest_submit(struct ingest *in, struct api_op *op)
{
    struct op_mail *m = calloc(1, sizeof(*m));
    CHECK(m != NULL);
    *m = (struct op_mail){.mail = {.run = op_run}, .in = in, .op = op};
    loop_post(in->loop, &m->mail);
}

/* ---- the catalog changed ---- */

struct changed_mail {
    struct mail mail;
    struct ingest *in;
    enum catalog_kind kind;
    int32_t id;
};

/* A device that the core has not loaded: nothing else would notice that it was deleted. */
static void changed_unloaded(struct ingest *in, int32_t id)
{
    struct device *d = catalog_device_by_id(in->catalog, id);
    struct core_device *cd = d == NULL ? core_device(in, id, true) : NULL;
    device_drop(d);
    if (cd != NULL && cd->state == CORE_DEVICE_COLD) {
        core_device_gone(in, cd);
    }
}

static void changed_run(struct mail *mail)
{
    struct changed_mail *m = CONTAINER_OF(mail, struct changed_mail, mail);
    struct ingest *in = m->in;
    if (m->kind == CATALOG_RULE && !in->stopping) {
        core_reload_for_rule(in, m->id);
    }
    for (int32_t i = 0; m->kind != CATALOG_RULE && !in->stopping && i < in->device_cap; i++) {
        struct core_device *cd = in->devices[i];
        bool hit = cd != NULL && (m->kind == CATALOG_DEVICE
                                      ? cd->id == m->id
                                      : cd->device == NULL || cd->device->type->id == m->id);
        if (hit) {
            core_device_reload(in, cd);
        }
    }
    if (m->kind == CATALOG_DEVICE && !in->stopping) {
        changed_unloaded(in, m->id);
    }
    free(m);
}

void ingest_catalog_changed(struct ingest *in, enum catalog_kind kind, int32_t id)
{
    struct changed_mail *m = calloc(1, sizeof(*m));
    CHECK(m != NULL);
    *m = (struct changed_mail){.mail = {.run = changed_run}, .in = in, .kind = kind, .id = id};
    loop_post(in->loop, &m->mail);
}
