/*
 * Geofences. `geo` decides whether a document is a fence; what is stored is the document, and the
 * catalog reads it again for the rules that name it.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "api/rule_document.h"
#include "base/ident.h"
#include "geo/fence.h"
#include "store/query_geofences.h"

void api_handle_geofences_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.name = ""};
    int64_t limit = 0;
    struct api_cursor at;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'g', &start, &at)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_geofence_list(db, at.name, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "geofences");
        return;
    }
    api_answer_rows(r, rows, limit, 'g');
}

/* NULL: answered already. */
static struct db_result *find_geofence(struct api_request *r, struct db *db)
{
    struct db_result *row = NULL;
    enum err e = store_geofence_get(db, (const char *)r->names[0].data, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such geofence");
        return NULL;
    }
    return row;
}

void api_handle_geofence_get(struct api_request *r, struct db *db)
{
    struct db_result *row = find_geofence(r, db);
    if (row != NULL) {
        api_etag(r, db_get_int(row, 0, 1));
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

/* Rules of all devices judge by it; a token that sees only some must not write one. */
static bool may_change(struct api_request *r)
{
    if (!api_unlimited(r)) {
        api_fail(r, PROBLEM_FORBIDDEN, "a token with a selector cannot change geofences");
        return false;
    }
    return true;
}

/* False: it is no fence, and that is answered. The name goes to ret_name. */
static bool check_geofence(struct api_request *r, const char *document, const char *path_name,
                           char ret_name[static IDENT_MAX + 1])
{
    struct fence *fence = NULL;
    struct fence_error error = {.pointer = ""};
    enum err e = document == NULL ? ERR_NOMEM : fence_new(0, view_str(document), &fence, &error);
    if (e == ERR_NOMEM) {
        api_fail_err(r, e, "");
        return false;
    }
    if (e != ERR_OK) {
        api_errors_add(r->errors, error.pointer, "%s", error.detail);
        api_refuse(r);
        return false;
    }
    (void)view_copy(view_str(fence_name(fence)), ret_name, IDENT_MAX + 1);
    fence_drop(fence);
    if (path_name != NULL && strcmp(path_name, ret_name) != 0) {
        api_errors_add(r->errors, "/name",
                       "is not the name in the path; a geofence cannot be renamed");
        api_refuse(r);
        return false;
    }
    return true;
}

static void answer_geofence(struct api_request *r, struct db *db, struct db_result *row,
                            const char *name, unsigned status)
{
    enum err e = catalog_refresh_geofence(r->api->catalog, db, name);
    if (e != ERR_OK) {
        db_result_free(row);
        api_fail_err(r, e, name);
        return;
    }
    api_etag(r, db_get_int(row, 0, 1));
    api_answer_row(r, row, status);
}

void api_handle_geofences_create(struct api_request *r, struct db *db)
{
    char name[IDENT_MAX + 1];
    if (!may_change(r) || api_body(r) == NULL) {
        return;
    }
    const char *document = api_rule_document(r, r->json, NULL);
    if (!check_geofence(r, document, NULL, name)) {
        return;
    }
    int64_t most = r->api->conf->geofences_max;
    struct db_result *row = NULL;
    enum err e = store_geofence_create(db, name, document, most, r->bearer.name, &row);
    if (e == ERR_FULL) {
        api_fail(r, PROBLEM_CONFLICT, "there are %lld geofences already (setting geofences_max)",
                 (long long)most);
        return;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, name);
        return;
    }
    api_header(r, "Location", "/v1/geofences/%s", api_path_name(r, view_str(name)));
    answer_geofence(r, db, row, name, MHD_HTTP_CREATED);
}

/* 404, 428 and 412, in this order. False: answered already. */
static bool match_geofence(struct api_request *r, struct db *db, int64_t *ret_version)
{
    struct db_result *row = may_change(r) ? find_geofence(r, db) : NULL;
    if (row == NULL) {
        return false;
    }
    *ret_version = db_get_int(row, 0, 1);
    db_result_free(row);
    return api_need_match(r, true, *ret_version);
}

void api_handle_geofence_put(struct api_request *r, struct db *db)
{
    char name[IDENT_MAX + 1];
    int64_t version = 0;
    if (!match_geofence(r, db, &version) || api_body(r) == NULL) {
        return;
    }
    const char *path_name = (const char *)r->names[0].data;
    const char *document = api_rule_document(r, r->json, path_name);
    if (!check_geofence(r, document, path_name, name)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_geofence_update(db, name, document, version, r->bearer.name, &row);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, name);
    } else {
        answer_geofence(r, db, row, name, MHD_HTTP_OK);
    }
}

static void fail_in_use(struct api_request *r, struct db *db, const char *name)
{
    struct db_result *row = NULL;
    if (store_geofence_rules(db, name, &row) != ERR_OK) {
        api_fail(r, PROBLEM_CONFLICT, "rules name it");
        return;
    }
    api_fail(r, PROBLEM_CONFLICT, "rules name it: %s", db_get(row, 0, 0));
    db_result_free(row);
}

void api_handle_geofence_delete(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    const char *name = (const char *)r->names[0].data;
    if (!match_geofence(r, db, &version)) {
        return;
    }
    enum err e = store_geofence_delete(db, name, version, r->bearer.name);
    if (e == ERR_STATE) {
        fail_in_use(r, db, name);
        return;
    }
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
        return;
    }
    if (e == ERR_OK) {
        e = catalog_refresh_geofence(r->api->catalog, db, name);
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, name);
        return;
    }
    api_answer(r, MHD_HTTP_NO_CONTENT);
}
