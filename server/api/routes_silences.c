/*
 * Silences, maintenance windows and inhibitions: one thing, see notify/silence.h. Ending one keeps
 * it: who silenced what, and when, is part of the history.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/clock.h"
#include "notify/silence.h"
#include "store/query_notify.h"

/* A silence matches devices that a token with a selector does not see. */
static bool may_change(struct api_request *r)
{
    if (!api_unlimited(r)) {
        api_fail(r, PROBLEM_FORBIDDEN, "a token with a selector cannot silence; shelve the alert");
        return false;
    }
    return true;
}

static void announced(struct api_op *op)
{
    api_request_finish(op->arg); /* it is stored and audited, whatever became of the event */
}

/* The answer, which is also an event for the streams and the alert log. */
static void answer_and_announce(struct api_request *r, struct db_result *row, unsigned status,
                                const char *event)
{
    api_answer_row(r, row, status);
    if (!r->failed) {
        r->op.kind = API_OP_NOTE;
        r->op.method = event;
        r->op.body = buf_view(&r->out);
        api_submit(r, announced);
    }
}

void api_handle_silences_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct db_result *rows = NULL;
    const char *active = api_param_text(r, "active");
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'q', &start, &at)) {
        return;
    }
    if (active != NULL && strcmp(active, "true") != 0 && strcmp(active, "false") != 0) {
        api_fail(r, PROBLEM_BAD_REQUEST, "active must be true or false");
        return;
    }
    bool only = active != NULL && strcmp(active, "true") == 0;
    enum err e = store_silence_list(db, only, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "silences");
        return;
    }
    api_answer_rows(r, rows, limit, 'q');
}

void api_handle_silences_create(struct api_request *r, struct db *db)
{
    struct silence *s = NULL;
    struct channel_error why;
    struct db_result *row = NULL;
    if (!may_change(r) || api_body(r) == NULL) {
        return;
    }
    enum err e = silence_read(buf_view(&r->body), clock_wall_us(), &s, &why);
    if (e == ERR_NOMEM) {
        api_fail_err(r, e, "");
        return;
    }
    if (e == ERR_OK && s->expires_us <= clock_wall_us()) {
        e = ERR_RANGE;
        why = (struct channel_error){.pointer = "/expires_at", .detail = "lies in the past"};
    }
    if (e != ERR_OK) {
        silence_free(s);
        api_errors_add(r->errors, why.pointer, "%s", why.detail);
        api_refuse(r);
        return;
    }
    const struct store_silence silence = {.definition = (const char *)r->body.data,
                                          .comment = s->comment,
                                          .starts_us = s->starts_us,
                                          .expires_us = s->expires_us};
    e = store_silence_create(db, &silence, r->bearer.name, &row);
    silence_free(s);
    if (e != ERR_OK) {
        api_fail_err(r, e, "silence");
        return;
    }
    api_header(r, "Location", "/v1/silences/%lld", (long long)db_get_int(row, 0, 1));
    answer_and_announce(r, row, MHD_HTTP_CREATED, "silence.created");
}

void api_handle_silence_get(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = NULL;
    if (!api_param_id(r, r->names[0], &id)) {
        return;
    }
    enum err e = store_silence_get(db, id, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such silence");
        return;
    }
    api_answer_row(r, row, MHD_HTTP_OK);
}

void api_handle_silence_end(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = NULL;
    if (!may_change(r) || !api_param_id(r, r->names[0], &id)) {
        return;
    }
    enum err e = store_silence_get(db, id, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such silence");
        return;
    }
    db_result_free(row);
    row = NULL;
    e = store_silence_end(db, id, r->bearer.name, &row);
    if (e == ERR_STATE) {
        api_fail(r, PROBLEM_CONFLICT, "the silence is over already");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, "silence");
    } else {
        answer_and_announce(r, row, MHD_HTTP_OK, "silence.ended");
    }
}
