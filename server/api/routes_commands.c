/*
 * Commands. The core writes them; here they are checked against what the device's type declares,
 * handed over, and waited for when the client asks (?wait=5s).
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "api/waits.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "store/query_alerts.h"

#define COMMAND_WAIT_MAX_US   (60 * CLOCK_SECOND_US)
#define COMMAND_EXPIRY_MAX_US (30 * CLOCK_DAY_US)
enum { COMMAND_PARAMS_MAX = 64 * 1024 };

void api_handle_commands_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    const char *states = NULL;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'c', &start, &at) || !api_param_words(r, "state", &states)) {
        return;
    }
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_command_list(db, d->id, states, at.a, limit, &rows);
    device_drop(d);
    if (e != ERR_OK) {
        api_fail_err(r, e, "commands");
        return;
    }
    api_answer_rows(r, rows, limit, 'c');
}

/* The command of that id, or NULL after answering. */
static struct db_result *find_command(struct api_request *r, struct db *db, int64_t id)
{
    struct db_result *row = NULL;
    enum err e = store_command_get(db, id, &row);
    if (e == ERR_OK && !api_sees_id(r, (int32_t)db_get_int(row, 0, 1))) {
        db_result_free(row);
        e = ERR_NOT_FOUND;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "such command");
        return NULL;
    }
    return row;
}

void api_handle_command_get(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = api_param_id(r, r->names[0], &id) ? find_command(r, db, id) : NULL;
    if (row != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

/* ---- cancel
 * --------------------------------------------------------------------------------------- */

static void cancel_answer(struct store_job *job, struct db *db)
{
    struct api_request *r = CONTAINER_OF(job, struct api_request, job);
    struct db_result *row = NULL;
    if (db == NULL) {
        api_fail_err(r, ERR_DB_UNKNOWN, "");
    } else if ((row = find_command(r, db, r->op.id)) != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
    api_request_finish(r);
}

static void cancel_done(struct api_op *op)
{
    struct api_request *r = op->arg;
    if (op->status == ERR_OK) {
        api_request_again(r, cancel_answer);
        return;
    }
    if (op->status == ERR_NOT_FOUND) {
        op->status = ERR_STATE; /* it was there a moment ago, so it has ended since */
    }
    api_fail_op(r, "the command");
    api_request_finish(r);
}

static bool state_is_final(struct view text)
{
    enum command_state state = COMMAND_QUEUED;
    return command_state_parse(text, &state) && command_is_final(state);
}

void api_handle_command_cancel(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = api_param_id(r, r->names[0], &id) ? find_command(r, db, id) : NULL;
    if (row == NULL) {
        return;
    }
    r->op.device_id = (int32_t)db_get_int(row, 0, 1);
    bool ended = state_is_final(db_get_view(row, 0, 2));
    db_result_free(row);
    if (ended) {
        api_fail(r, PROBLEM_CONFLICT, "the command has ended already");
        return;
    }
    r->op.kind = API_OP_COMMAND_CANCEL;
    r->op.id = id;
    api_submit(r, cancel_done);
}

/* ---- create
 * --------------------------------------------------------------------------------------- */

static void answer_created(struct api_request *r)
{
    struct emit_json j = emit_json_init(&r->out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "id");
    emit_json_int(&j, r->op.ret_id);
    emit_json_key(&j, "device");
    emit_json_view(&j, r->names[0]);
    emit_json_key(&j, "method");
    emit_json_str(&j, r->op.method);
    emit_json_key(&j, "state");
    emit_json_str(&j, r->op.ret_state == NULL ? "queued" : r->op.ret_state);
    emit_json_close(&j, '}');
    api_answer(r, MHD_HTTP_ACCEPTED);
}

/* The wait is over: what became of it, final or not. */
static void wait_answer(struct store_job *job, struct db *db)
{
    struct api_request *r = CONTAINER_OF(job, struct api_request, job);
    struct db_result *row = NULL;
    if (db != NULL && store_command_get(db, r->op.ret_id, &row) == ERR_OK) {
        api_answer_row(r, row, MHD_HTTP_ACCEPTED);
    } else {
        answer_created(r); /* it is committed; how far it is, a later GET can tell */
    }
    api_request_finish(r);
}

/* The read after the request was entered among the waits. */
static void wait_check(struct store_job *job, struct db *db)
{
    struct api_request *r = CONTAINER_OF(job, struct api_request, job);
    struct api_waits *waits = r->api->waits;
    struct api_wait *wait = r->wait;
    struct db_result *row = NULL;
    bool is_final = true; /* when it cannot be read, there is nothing to wait for */
    if (db != NULL && store_command_get(db, r->op.ret_id, &row) == ERR_OK) {
        is_final = state_is_final(db_get_view(row, 0, 2));
        db_result_free(row);
    }
    if (api_waits_checked(waits, wait, is_final)) {
        wait_answer(job, db);
    }
}

static void create_done(struct api_op *op)
{
    struct api_request *r = op->arg;
    if (op->status == ERR_CONFLICT) {
        api_fail_key(r);
    } else if (op->status != ERR_OK && op->status != ERR_EXISTS) {
        api_fail_op(r, "such device");
    } else {
        api_header(r, "Location", "/v1/commands/%lld", (long long)op->ret_id);
        int64_t wait_us = r->wait_us;
        r->wait = wait_us == 0 ? NULL
                               : api_waits_add(r->api->waits, r, op->ret_id,
                                               clock_mono_us() + wait_us, wait_answer);
        if (r->wait != NULL) {
            api_request_again(r, wait_check);
            return;
        }
        answer_created(r);
    }
    api_request_finish(r);
}

static void check_method(struct api_fields *f, const struct device *d, const char *method)
{
    if (!ident_valid(view_str(method))) {
        api_field_error(f, "method", "is 1 to 128 letters, digits, . _ : -");
        return;
    }
    for (uint32_t i = 0; i < d->type->command_count; i++) {
        if (strcmp(d->type->commands[i], method) == 0) {
            return;
        }
    }
    if (d->type->command_count > 0) {
        api_field_error(f, "method", "is not a command of the type %s", d->type->name);
    }
}

static int64_t read_expiry(struct api_fields *f)
{
    int64_t expires_us = 0;
    const char *text = api_field_text(f, "expires_in", false);
    if (text != NULL && (clock_parse_duration(view_str(text), &expires_us) != ERR_OK ||
                         expires_us < CLOCK_SECOND_US || expires_us > COMMAND_EXPIRY_MAX_US)) {
        api_field_error(f, "expires_in", "must be a duration from 1s to 30d, such as 60s");
    }
    return expires_us;
}

static const char *read_params(struct api_request *r, struct api_fields *f)
{
    const json_t *params = api_field(f, "params", API_OBJECT, false);
    if (params == NULL) {
        return "{}";
    }
    struct buf text;
    buf_init(&text, COMMAND_PARAMS_MAX);
    api_json_write(&text, params);
    buf_put_u8(&text, 0);
    const char *kept = (const char *)arena_view(&r->arena, buf_view(&text)).data;
    if (buf_err(&text) != ERR_OK || kept == NULL) {
        api_field_error(f, "params", "may have %d bytes", COMMAND_PARAMS_MAX);
        kept = "{}";
    }
    buf_fini(&text);
    return kept;
}

static bool read_command(struct api_request *r, const struct device *d, const json_t *body)
{
    struct api_fields f = api_fields_init(body, "", r->errors);
    api_fields_only(&f, "method params expires_in");
    const char *method = api_field_text(&f, "method", true);
    if (method != NULL) {
        check_method(&f, d, method);
    }
    r->op.kind = API_OP_COMMAND_CREATE;
    r->op.device_id = d->id;
    r->op.method = method;
    r->op.params = read_params(r, &f);
    r->op.expires_us = read_expiry(&f);
    return !api_invalid(r);
}

void api_handle_commands_create(struct api_request *r, struct db *db)
{
    (void)db;
    if (!api_param_duration(r, "wait", &r->wait_us)) {
        return;
    }
    if (r->wait_us > COMMAND_WAIT_MAX_US) {
        api_fail(r, PROBLEM_BAD_REQUEST, "wait may be 60s at most");
        return;
    }
    struct device *d = api_device(r, r->names[0]);
    const json_t *body = d == NULL || !api_read_key(r) ? NULL : api_body(r);
    bool good = body != NULL && read_command(r, d, body);
    if (good && !d->enabled) {
        api_fail(r, PROBLEM_CONFLICT, "the device is disabled");
        good = false;
    }
    device_drop(d);
    if (good) {
        api_submit(r, create_done);
    }
}
