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

void core_op_end(struct api_op *op, enum err status, const char *detail)
{
    op->status = status;
    (void)snprintf(op->detail, sizeof(op->detail), "%s", detail);
    op->done(op);
}

bool core_op_create(struct ingest *in, struct api_op *op)
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
        core_op_end(op, e,
                    e == ERR_FULL ? "the device has too many commands that have not ended" : "");
        return false;
    }
    op->status = ERR_OK;
    op->ret_state = command_state_words(state);
    core_after(in, AFTER_OP)->op = op;
    return true;
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
        core_op_end(op, ERR_DB_DOWN, "");
        return;
    }
    switch (op->kind) {
    case API_OP_COMMAND_CREATE:
        if (op->idempotency_key != NULL) {
            core_op_keyed(in, op);
        } else {
            (void)core_op_create(in, op);
        }
        break;
    case API_OP_COMMAND_CANCEL: {
        enum err e = command_book_cancel(in->book, op->id, op->actor);
        op->status = e;
        op->ret_id = op->id;
        op->ret_state = "cancelled";
        if (e == ERR_OK) {
            core_after(in, AFTER_OP)->op = op;
        } else {
            core_op_end(op, e, "");
        }
        break;
    }
    case API_OP_OVERRIDE:
        core_op_override(in, op);
        break;
    case API_OP_ALERT_ACK:
        op_acknowledge(in, op);
        break;
    case API_OP_ALERT_LIFE:
        core_alert_life(in, op);
        break;
    case API_OP_NOTE:
        core_note(in, op);
        break;
    case API_OP_TELEMETRY:
        if (op->idempotency_key != NULL) {
            core_op_keyed(in, op);
        } else {
            core_post(in, op);
        }
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
