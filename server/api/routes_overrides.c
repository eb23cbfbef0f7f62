/*
 * A person takes over: for a time, rules send no commands of a method, or of any, to a device.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/clock.h"
#include "base/ident.h"
#include "store/query_maintenance.h"

#define OVERRIDE_MAX_US (30 * CLOCK_DAY_US)
enum { REASON_MAX = 1000 };

void api_handle_overrides_list(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_override_list(db, d->id, &rows);
    device_drop(d);
    if (e != ERR_OK) {
        api_fail_err(r, e, "overrides");
        return;
    }
    api_answer_rows(r, rows, API_LIMIT_MAX, 'o');
}

static void set_done(struct api_op *op)
{
    struct api_request *r = op->arg;
    if (op->status != ERR_OK) {
        api_fail_op(r, "such device");
        api_request_finish(r);
        return;
    }
    struct emit_json j = emit_json_init(&r->out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "device");
    emit_json_view(&j, r->names[0]);
    emit_json_key(&j, "method");
    emit_json_str(&j, op->method[0] == '\0' ? NULL : op->method);
    emit_json_key(&j, "until");
    emit_json_time(&j, clock_wall_us() + op->expires_us);
    emit_json_key(&j, "actor");
    emit_json_str(&j, op->actor);
    emit_json_key(&j, "reason");
    emit_json_str(&j, op->comment);
    emit_json_close(&j, '}');
    api_answer(r, MHD_HTTP_OK);
    api_request_finish(r);
}

void api_handle_override_set(struct api_request *r, struct db *db)
{
    (void)db;
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    r->op.kind = API_OP_OVERRIDE;
    r->op.device_id = d->id;
    device_drop(d);
    const json_t *body = api_body(r);
    if (body == NULL) {
        return;
    }
    struct api_fields f = api_fields_init(body, "", r->errors);
    api_fields_only(&f, "method expires_in reason");
    r->op.method = api_field_text(&f, "method", false);
    if (r->op.method != NULL && !ident_valid(view_str(r->op.method))) {
        api_field_error(&f, "method", "is 1 to 128 letters, digits, . _ : -");
    }
    r->op.method = r->op.method == NULL ? "" : r->op.method;
    const char *expires = api_field_text(&f, "expires_in", true);
    if (expires != NULL &&
        (clock_parse_duration(view_str(expires), &r->op.expires_us) != ERR_OK ||
         r->op.expires_us < CLOCK_SECOND_US || r->op.expires_us > OVERRIDE_MAX_US)) {
        api_field_error(&f, "expires_in", "must be a duration from 1s to 30d, such as 2h");
    }
    r->op.comment = api_field_text(&f, "reason", false);
    if (r->op.comment != NULL && strlen(r->op.comment) > REASON_MAX) {
        api_field_error(&f, "reason", "may have %d bytes", REASON_MAX);
    }
    if (!api_invalid(r)) {
        api_submit(r, set_done);
    }
}

static void end_done(struct api_op *op)
{
    struct api_request *r = op->arg;
    if (op->status == ERR_OK) {
        api_answer(r, MHD_HTTP_NO_CONTENT);
    } else {
        api_fail_op(r, "such device");
    }
    api_request_finish(r);
}

void api_handle_override_end(struct api_request *r, struct db *db)
{
    (void)db;
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    const char *method = api_param_text(r, "method");
    r->op.kind = API_OP_OVERRIDE;
    r->op.device_id = d->id;
    r->op.method = method == NULL ? "" : method;
    r->op.expires_us = 0;
    device_drop(d);
    api_submit(r, end_done);
}
