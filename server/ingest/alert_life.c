#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "ingest/internal.h"

/*
 * What people do with an alert beside acknowledging it: comment, assign, shelve, unshelve. Each is
 * one statement for the alert, a row of its history, an audit row and an event, in one batch; and
 * events of others (notify, silences), which get their place in the order of events here.
 */
enum { LIFE_JSON_MAX = 1 << 16 };

static void life_assign(struct batch *b, const struct api_op *op)
{
    struct batch_op *o = batch_op(b, "UPDATE alerts SET assigned_to = $2 WHERE id = $1");
    batch_op_int(b, o, op->id);
    batch_op_str(b, o, op->assignee);
}

static void life_shelve(struct batch *b, const struct api_op *op)
{
    struct batch_op *o =
        batch_op(b, "UPDATE alerts SET shelved_by = $2, shelved_until = $3 WHERE id = $1");
    batch_op_int(b, o, op->id);
    batch_op_str(b, o, op->actor);
    batch_op_time(b, o, op->until_us);
}

static void life_unshelve(struct batch *b, const struct api_op *op)
{
    struct batch_op *o =
        batch_op(b, "UPDATE alerts SET shelved_by = NULL, shelved_until = NULL WHERE id = $1");
    batch_op_int(b, o, op->id);
}

static const struct {
    const char *what; /* the word in the history */
    const char *event;
    void (*change)(struct batch *b, const struct api_op *op); /* NULL: nothing of the alert */
} lives[] = {
    {"comment", "alert.commented", NULL},
    {"assigned", "alert.assigned", life_assign},
    {"shelved", "alert.shelved", life_shelve},
    {"unshelved", "alert.unshelved", life_unshelve},
};

static size_t life_of(const struct api_op *op)
{
    size_t at = 0;
    while (at < COUNT_OF(lives) && strcmp(lives[at].what, op->method) != 0) {
        at++;
    }
    CHECK(at < COUNT_OF(lives));
    return at;
}

static void life_body(const struct api_op *op, struct buf *body)
{
    struct emit_json j = emit_json_init(body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "alert_id");
    emit_json_int(&j, op->id);
    emit_json_key(&j, "by");
    emit_json_str(&j, op->actor);
    if (strcmp(op->method, "assigned") == 0) {
        emit_json_key(&j, "assigned_to");
        emit_json_str(&j, op->assignee);
    }
    if (strcmp(op->method, "shelved") == 0) {
        emit_json_key(&j, "shelved_until");
        emit_json_time(&j, op->until_us);
    }
    emit_json_key(&j, "comment");
    emit_json_str(&j, op->comment);
    emit_json_close(&j, '}');
    CHECK(buf_err(body) == ERR_OK);
}

static void life_history(struct batch *b, const struct api_op *op, int64_t now_us, struct view body)
{
    struct batch_op *o = batch_op(b, "INSERT INTO alert_events (alert_id, kind, ts, actor, detail)"
                                     " VALUES ($1, $5, $2, $3, $4::jsonb)");
    batch_op_int(b, o, op->id);
    batch_op_time(b, o, now_us);
    batch_op_str(b, o, op->actor);
    batch_op_text(b, o, body);
    batch_op_str(b, o, op->method);
    o = batch_op(b, "INSERT INTO audit_log (actor, action, object, detail)"
                    " VALUES ($1, 'alert.' || $2, $3, $4::jsonb)");
    batch_op_str(b, o, op->actor);
    batch_op_str(b, o, op->method);
    batch_op_int(b, o, op->id);
    batch_op_text(b, o, body);
}

void core_alert_life(struct ingest *in, struct api_op *op)
{
    int64_t now_us = clock_wall_us();
    size_t at = life_of(op);
    struct buf body;
    buf_init(&body, LIFE_JSON_MAX);
    life_body(op, &body);
    struct batch *b = core_batch(in);
    if (lives[at].change != NULL) {
        lives[at].change(b, op);
    }
    life_history(b, op, now_us, buf_view(&body));
    core_event(in, lives[at].event, "info", op->device_id, now_us, buf_view(&body), true);
    buf_fini(&body);
    op->status = ERR_OK;
    op->ret_id = op->id;
    core_after(in, AFTER_OP)->op = op;
}

void core_note(struct ingest *in, struct api_op *op)
{
    core_event(in, op->method, "info", op->device_id, clock_wall_us(), op->body, true);
    op->status = ERR_OK;
    core_after(in, AFTER_OP)->op = op;
}
