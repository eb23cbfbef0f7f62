#include "api/handlers.h"
#include "api/internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/query_alerts.h"

void api_handle_alerts_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = CLOCK_NONE};
    int64_t limit = 0;
    struct api_cursor at;
    struct store_alert_filter f = {.rule = api_param_text(r, "rule")};
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'a', &start, &at) ||
        !api_param_time(r, "from", CLOCK_NONE, &f.from_us) ||
        !api_param_time(r, "to", CLOCK_NONE, &f.to_us) || !api_param_words(r, "state", &f.states) ||
        !api_param_words(r, "severity", &f.severities) || !api_device_ids(r, &f.ids)) {
        return;
    }
    const char *shadow = api_param_text(r, "shadow");
    f.shadow = shadow != NULL && strcmp(shadow, "true") == 0;
    if (shadow != NULL && !f.shadow && strcmp(shadow, "false") != 0) {
        api_fail(r, PROBLEM_BAD_REQUEST, "shadow must be true or false");
        return;
    }
    if (f.from_us != CLOCK_NONE && f.to_us != CLOCK_NONE && f.from_us > f.to_us) {
        api_fail(r, PROBLEM_BAD_REQUEST, "from is after to");
        return;
    }
    if (at.a != CLOCK_NONE && (at.a < CLOCK_MIN_US || at.a > CLOCK_MAX_US)) {
        api_fail(r, PROBLEM_BAD_REQUEST, "cursor is not one that this list gave as next_cursor");
        return;
    }
    f.states = f.states == NULL ? "{firing,resolved}" : f.states;
    struct db_result *rows = NULL;
    enum err e = store_alert_list(db, &f, at.a, at.b, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "alerts");
        return;
    }
    api_answer_rows(r, rows, limit, 'a');
}

struct db_result *api_alert(struct api_request *r, struct db *db, int64_t *ret_id)
{
    int64_t id = 0;
    struct db_result *row = NULL;
    if (!api_param_id(r, r->names[0], &id)) {
        return NULL;
    }
    *ret_id = id;
    enum err e = store_alert_get(db, id, &row);
    if (e == ERR_OK && !api_sees_id(r, (int32_t)db_get_int(row, 0, 1))) {
        db_result_free(row);
        e = ERR_NOT_FOUND;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "such alert");
        return NULL;
    }
    return row;
}

void api_handle_alert_get(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = api_alert(r, db, &id);
    if (row != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

static void life_answer(struct store_job *job, struct db *db)
{
    struct api_request *r = CONTAINER_OF(job, struct api_request, job);
    struct db_result *row = NULL;
    if (db == NULL) {
        /* What was done is committed; only the look at it failed. */
        struct emit_json j = emit_json_init(&r->out);
        emit_json_open(&j, '{');
        emit_json_key(&j, "id");
        emit_json_int(&j, r->op.id);
        emit_json_close(&j, '}');
        api_answer(r, MHD_HTTP_OK);
    } else if ((row = api_alert(r, db, &r->op.id)) != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
    api_request_finish(r);
}

void api_alert_done(struct api_op *op)
{
    struct api_request *r = op->arg;
    if (op->status == ERR_OK) {
        api_request_again(r, life_answer);
        return;
    }
    api_fail_op(r, "such alert");
    api_request_finish(r);
}

void api_handle_alert_ack(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = api_alert(r, db, &id);
    if (row == NULL) {
        return;
    }
    r->op.device_id = (int32_t)db_get_int(row, 0, 1);
    db_result_free(row);
    const char *comment = NULL;
    if (r->body.len > 0) {
        const json_t *body = api_body(r);
        if (body == NULL) {
            return;
        }
        struct api_fields f = api_fields_init(body, "", r->errors);
        api_fields_only(&f, "comment");
        const json_t *text = api_field(&f, "comment", API_STRING | API_NULL, false);
        comment = json_string_value(text);
        if (comment != NULL && strlen(comment) > 2000) {
            api_field_error(&f, "comment", "may have 2000 bytes");
        }
        if (api_invalid(r)) {
            return;
        }
    }
    r->op.kind = API_OP_ALERT_ACK;
    r->op.id = id;
    r->op.comment = comment;
    api_submit(r, api_alert_done);
}
