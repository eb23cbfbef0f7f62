/*
 * Work orders, and how reliable a device was. A change is one statement of the store; the core is
 * told of the event it left.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/clock.h"
#include "base/ident.h"
#include "store/query_maintenance.h"

enum { TITLE_MAX = 256, NOTES_MAX = 4000, READING_MAX = 16384 };

void api_handle_work_orders_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct store_work_order_filter f = {.rule = api_param_text(r, "rule"),
                                        .plan = api_param_text(r, "plan"),
                                        .assignee = api_param_text(r, "assigned_to")};
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

static void answer_work_order(struct api_request *r, struct db *db, int64_t id, unsigned status)
{
    r->api->hooks.maintenance_changed(r->api->hooks.arg);
    struct db_result *row = find_work_order(r, db, id);
    if (row != NULL) {
        api_answer_row(r, row, status);
    }
}

/* ---- fields ---- */

static const char *read_text(struct api_fields *f, const char *name, size_t max, bool required)
{
    const char *text = api_field_text(f, name, required);
    if (text != NULL && (text[0] == '\0' || strlen(text) > max)) {
        api_field_error(f, name, "has 1 to %zu bytes", max);
    }
    return text;
}

/* When it happened; not in the future. */
static int64_t read_time(struct api_fields *f, const char *name, int64_t latest_us)
{
    int64_t us = CLOCK_NONE;
    const char *text = api_field_text(f, name, false);
    if (text != NULL && (clock_parse(view_str(text), &us) != ERR_OK || us > latest_us)) {
        api_field_error(f, name, "must be a time such as 2026-01-25T02:00:00Z%s",
                        latest_us == CLOCK_MAX_US ? "" : ", not in the future");
    }
    return us;
}

/* A number, a text or an object of them, as JSON in the arena. */
static const char *read_reading(struct api_request *r, struct api_fields *f)
{
    const json_t *value =
        api_field(f, "reading", API_NUMBER | API_STRING | API_OBJECT | API_NULL, false);
    if (value == NULL || json_is_null(value)) {
        return NULL;
    }
    struct buf text;
    buf_init(&text, READING_MAX);
    api_json_write(&text, value);
    buf_put_u8(&text, 0);
    const char *kept = (const char *)arena_view(&r->arena, buf_view(&text)).data;
    if (buf_err(&text) != ERR_OK || kept == NULL) {
        api_field_error(f, "reading", "may have %d bytes", READING_MAX);
        kept = NULL;
    }
    buf_fini(&text);
    return kept;
}

/* ---- creating ---- */

static bool read_work_order(struct api_request *r, struct store_work_order *w,
                            const char **ret_device)
{
    const json_t *body = api_body(r);
    if (body == NULL) {
        return false;
    }
    struct api_fields f = api_fields_init(body, "", r->errors);
    api_fields_only(&f, "device title plan assigned_to notes due_at");
    *ret_device = api_field_text(&f, "device", true);
    w->title = read_text(&f, "title", TITLE_MAX, true);
    w->plan = read_text(&f, "plan", IDENT_MAX, false);
    w->assignee = read_text(&f, "assigned_to", IDENT_MAX, false);
    w->notes = read_text(&f, "notes", NOTES_MAX, false);
    w->due_us = read_time(&f, "due_at", CLOCK_MAX_US);
    return !api_invalid(r);
}

void api_handle_work_orders_create(struct api_request *r, struct db *db)
{
    struct store_work_order w = {.id = 0};
    const char *name = NULL;
    if (!read_work_order(r, &w, &name)) {
        return;
    }
    struct device *d = catalog_device(r->api->catalog, view_str(name));
    bool seen = d != NULL && api_sees_id(r, d->id);
    w.device_id = d == NULL ? 0 : d->id;
    device_drop(d);
    if (!seen) {
        api_errors_add(r->errors, "/device", "there is no device of this name");
        api_refuse(r);
        return;
    }
    w.id = r->api->hooks.work_order_id(r->api->hooks.arg);
    enum err e = store_work_order_create(db, &w, r->bearer.name);
    if (e == ERR_NOT_FOUND) {
        api_errors_add(r->errors, "/plan", "there is no plan of this name");
        api_refuse(r);
        return;
    }
    if (e == ERR_EXISTS) {
        api_fail(r, PROBLEM_CONFLICT, "the plan has a work order on this device already");
        return;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "work order");
        return;
    }
    api_header(r, "Location", "/v1/maintenance/work-orders/%lld", (long long)w.id);
    answer_work_order(r, db, w.id, MHD_HTTP_CREATED);
}

/* ---- what people do with one ---- */

/* fields: what the action takes; the body may be missing when none is required. */
static void move_work_order(struct api_request *r, struct db *db, const char *to,
                            const char *fields)
{
    int64_t id = 0;
    struct db_result *row = api_param_id(r, r->names[0], &id) ? find_work_order(r, db, id) : NULL;
    if (row == NULL) {
        return;
    }
    db_result_free(row);
    bool assigns = strcmp(to, "assigned") == 0;
    struct store_work_order_move m = {.id = id, .to = to, .at_us = CLOCK_NONE};
    if (r->body.len > 0 || assigns) {
        const json_t *body = api_body(r);
        if (body == NULL) {
            return;
        }
        struct api_fields f = api_fields_init(body, "", r->errors);
        api_fields_only(&f, fields);
        m.assignee = assigns ? read_text(&f, "assigned_to", IDENT_MAX, true) : NULL;
        m.notes = read_text(&f, "notes", NOTES_MAX, false);
        m.at_us = read_time(&f, "at", clock_wall_us());
        m.reading = read_reading(r, &f);
        const char *state = api_field_text(&f, "state", false);
        if (state != NULL && strcmp(state, "done") != 0 && strcmp(state, "cancelled") != 0) {
            api_field_error(&f, "state", "must be done or cancelled");
        }
        m.to = state == NULL ? to : state;
        if (api_invalid(r)) {
            return;
        }
    }
    enum err e = store_work_order_move(db, &m, r->bearer.name);
    if (e == ERR_STATE) {
        api_fail(r, PROBLEM_CONFLICT, "the work order is not in a state for this");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, "work order");
    } else {
        answer_work_order(r, db, id, MHD_HTTP_OK);
    }
}

void api_handle_work_order_assign(struct api_request *r, struct db *db)
{
    move_work_order(r, db, "assigned", "assigned_to notes");
}

void api_handle_work_order_start(struct api_request *r, struct db *db)
{
    move_work_order(r, db, "in_progress", "at notes");
}

void api_handle_work_order_done(struct api_request *r, struct db *db)
{
    move_work_order(r, db, "done", "at reading notes");
}

void api_handle_work_order_cancel(struct api_request *r, struct db *db)
{
    move_work_order(r, db, "cancelled", "notes");
}

/* done and cancel under one address. */
void api_handle_work_order_close(struct api_request *r, struct db *db)
{
    move_work_order(r, db, "done", "state at reading notes");
}

/* ---- reliability ---- */

void api_handle_reliability_get(struct api_request *r, struct db *db)
{
    int64_t now_us = clock_wall_us();
    int64_t from_us = CLOCK_NONE;
    int64_t to_us = CLOCK_NONE;
    const char *severities = NULL;
    if (!api_param_time(r, "from", now_us - 30 * CLOCK_DAY_US, &from_us) ||
        !api_param_time(r, "to", now_us, &to_us) || !api_param_words(r, "severity", &severities)) {
        return;
    }
    to_us = to_us > now_us ? now_us : to_us;
    if (from_us >= to_us) {
        api_fail(r, PROBLEM_BAD_REQUEST, "from is not before to");
        return;
    }
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_reliability(db, d->id, severities == NULL ? "{critical,major}" : severities,
                                   from_us, to_us, &row);
    device_drop(d);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such device");
        return;
    }
    api_answer_row(r, row, MHD_HTTP_OK);
}
