/*
 * Maintenance plans. The plan's reader decides whether a document is a plan; what is stored is the
 * document, and the rounds read it again.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/ident.h"
#include "maintenance/plan.h"
#include "store/query_maintenance.h"

void api_handle_plans_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.name = ""};
    int64_t limit = 0;
    struct api_cursor at;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'p', &start, &at)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_plan_list(db, at.name, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "plans");
        return;
    }
    api_answer_rows(r, rows, limit, 'p');
}

/* NULL: answered already. */
static struct db_result *find_plan(struct api_request *r, struct db *db)
{
    struct db_result *row = NULL;
    enum err e = store_plan_get(db, (const char *)r->names[0].data, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such plan");
        return NULL;
    }
    return row;
}

void api_handle_plan_get(struct api_request *r, struct db *db)
{
    struct db_result *row = find_plan(r, db);
    if (row != NULL) {
        api_etag(r, db_get_int(row, 0, 1));
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

/* A plan is about all devices that it selects. */
static bool may_change(struct api_request *r)
{
    if (!api_unlimited(r)) {
        api_fail(r, PROBLEM_FORBIDDEN, "a token with a selector cannot change plans");
        return false;
    }
    return true;
}

/* The body as a document, without what a GET adds to it; NULL: out of memory. name: of the path, or
 * NULL. */
static const char *clean_document(struct api_request *r, json_t *body, const char *name)
{
    static const char *const added[] = {"version", "created_at", "updated_at"};
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        (void)json_object_del(body, added[i]);
    }
    if (name != NULL && json_object_get(body, "name") == NULL) {
        (void)json_object_set_new(body, "name", json_string(name));
    }
    struct buf text;
    buf_init(&text, API_ANSWER_MAX);
    api_json_write(&text, body);
    buf_put_u8(&text, 0);
    r->arena.limit_bytes += text.len + 64;
    const char *kept = (const char *)arena_view(&r->arena, buf_view(&text)).data;
    buf_fini(&text);
    return kept;
}

/* False: it is no plan, and that is answered. */
static bool check_plan(struct api_request *r, const char *document, const char *path_name,
                       char ret_name[static IDENT_MAX + 1])
{
    struct maintenance_plan *plan = NULL;
    struct rule_error error = {.line = 0};
    enum err e = maintenance_plan_read(view_str(document), &plan, &error);
    if (e == ERR_NOMEM) {
        api_fail_err(r, e, "");
        return false;
    }
    if (e != ERR_OK) {
        api_errors_add(r->errors, error.pointer, "%s", error.detail);
        api_refuse(r);
        return false;
    }
    (void)view_copy(view_str(plan->name), ret_name, IDENT_MAX + 1);
    maintenance_plan_free(plan);
    if (path_name != NULL && strcmp(path_name, ret_name) != 0) {
        api_errors_add(r->errors, "/name", "is not the name in the path; a plan cannot be renamed");
        api_refuse(r);
        return false;
    }
    return true;
}

static void answer_plan(struct api_request *r, struct db_result *row, unsigned status)
{
    r->api->hooks.maintenance_changed(r->api->hooks.arg);
    api_etag(r, db_get_int(row, 0, 1));
    api_answer_row(r, row, status);
}

void api_handle_plans_create(struct api_request *r, struct db *db)
{
    char name[IDENT_MAX + 1];
    if (!may_change(r) || api_body(r) == NULL) {
        return;
    }
    const char *document = clean_document(r, r->json, NULL);
    if (document == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    if (!check_plan(r, document, NULL, name)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_plan_create(db, name, document, r->bearer.name, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, name);
        return;
    }
    api_header(r, "Location", "/v1/maintenance/plans/%s", api_path_name(r, view_str(name)));
    answer_plan(r, row, MHD_HTTP_CREATED);
}

/* 404, 428 and 412, in this order. False: answered already. */
static bool match_plan(struct api_request *r, struct db *db, int64_t *ret_version)
{
    struct db_result *row = may_change(r) ? find_plan(r, db) : NULL;
    if (row == NULL) {
        return false;
    }
    *ret_version = db_get_int(row, 0, 1);
    db_result_free(row);
    return api_need_match(r, true, *ret_version);
}

static void change_plan(struct api_request *r, struct db *db, const char *document, int64_t version)
{
    char name[IDENT_MAX + 1];
    if (document == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    if (!check_plan(r, document, (const char *)r->names[0].data, name)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_plan_update(db, name, document, version, r->bearer.name, &row);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, name);
    } else {
        answer_plan(r, row, MHD_HTTP_OK);
    }
}

void api_handle_plan_put(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    if (match_plan(r, db, &version) && api_body(r) != NULL) {
        change_plan(r, db, clean_document(r, r->json, (const char *)r->names[0].data), version);
    }
}

/* Members of the body replace those of the document; null removes one. */
void api_handle_plan_patch(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    if (!match_plan(r, db, &version) || api_body(r) == NULL) {
        return;
    }
    const char *patch = clean_document(r, r->json, NULL);
    struct db_result *row = NULL;
    enum err e = patch == NULL
                     ? ERR_NOMEM
                     : store_plan_patched(db, (const char *)r->names[0].data, patch, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such plan");
        return;
    }
    if (db_get_int(row, 0, 1) != version) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else {
        change_plan(r, db, db_get(row, 0, 0), version);
    }
    db_result_free(row);
}

void api_handle_plan_delete(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    const char *name = (const char *)r->names[0].data;
    if (!match_plan(r, db, &version)) {
        return;
    }
    enum err e = store_plan_delete(db, name, version, r->bearer.name);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
        return;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, name);
        return;
    }
    api_answer(r, MHD_HTTP_NO_CONTENT);
}

void api_handle_plan_devices(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = 0};
    int64_t limit = 0;
    struct api_cursor at;
    const char *ids = NULL;
    const char *statuses = NULL;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'm', &start, &at) || !api_param_words(r, "status", &statuses) ||
        !api_device_ids(r, &ids)) {
        return;
    }
    struct db_result *row = find_plan(r, db);
    if (row == NULL) {
        return;
    }
    db_result_free(row);
    struct db_result *rows = NULL;
    enum err e =
        store_plan_devices(db, (const char *)r->names[0].data, ids, statuses, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "devices");
        return;
    }
    api_answer_rows(r, rows, limit, 'm');
}

void api_handle_plan_services(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    const char *ids = NULL;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 's', &start, &at) || !api_device_ids(r, &ids)) {
        return;
    }
    struct db_result *row = find_plan(r, db);
    if (row == NULL) {
        return;
    }
    db_result_free(row);
    struct db_result *rows = NULL;
    enum err e = store_plan_services(db, (const char *)r->names[0].data, ids, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "services");
        return;
    }
    api_answer_rows(r, rows, limit, 's');
}
