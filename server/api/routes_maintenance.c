#include "api/handlers.h"
#include "api/internal.h"
#include "store/query_alerts.h"

void api_handle_work_orders_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct store_work_order_filter f = {.rule = api_param_text(r, "rule")};
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'w', &start, &at) || !api_param_words(r, "state", &f.states) ||
        !api_device_ids(r, &f.ids)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_work_order_list(db, &f, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "work orders");
        return;
    }
    api_answer_rows(r, rows, limit, 'w');
}

/* NULL: answered already. */
static struct db_result *find_work_order(struct api_request *r, struct db *db, int64_t id)
{
    struct db_result *row = NULL;
    enum err e = store_work_order_get(db, id, &row);
    if (e == ERR_OK && !api_sees_id(r, (int32_t)db_get_int(row, 0, 1))) {
        db_result_free(row);
        e = ERR_NOT_FOUND;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "such work order");
        return NULL;
    }
    return row;
}

void api_handle_work_order_get(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = api_param_id(r, r->names[0], &id) ? find_work_order(r, db, id) : NULL;
    if (row != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

void api_handle_work_order_close(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = api_param_id(r, r->names[0], &id) ? find_work_order(r, db, id) : NULL;
    if (row == NULL) {
        return;
    }
    db_result_free(row);
    const char *state = "done";
    const json_t *body = r->body.len == 0 ? NULL : api_body(r);
    if (r->failed) {
        return;
    }
    if (body != NULL) {
        struct api_fields f = api_fields_init(body, "", r->errors);
        api_fields_only(&f, "state");
        const char *given = api_field_text(&f, "state", false);
        state = given == NULL ? state : given;
        if (strcmp(state, "done") != 0 && strcmp(state, "cancelled") != 0) {
            api_field_error(&f, "state", "must be done or cancelled");
        }
        if (api_invalid(r)) {
            return;
        }
    }
    enum err e = store_work_order_close(db, id, state, r->bearer.name);
    if (e == ERR_STATE) {
        api_fail(r, PROBLEM_CONFLICT, "the work order is closed already");
        return;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "work order");
        return;
    }
    row = find_work_order(r, db, id);
    if (row != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}
