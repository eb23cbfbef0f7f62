/*
 * Rules. The compiler decides whether a document is a rule; what is stored is the document, and the
 * catalog compiles it again for the core.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/ident.h"
#include "store/query_rules.h"

void api_handle_rules_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.name = ""};
    int64_t limit = 0;
    struct api_cursor at;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'u', &start, &at)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_rule_list(db, at.name, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "rules");
        return;
    }
    api_answer_rows(r, rows, limit, 'u');
}

/* NULL: answered already. */
static struct db_result *find_rule(struct api_request *r, struct db *db)
{
    struct db_result *row = NULL;
    enum err e = store_rule_get(db, (const char *)r->names[0].data, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such rule");
        return NULL;
    }
    return row;
}

void api_handle_rule_get(struct api_request *r, struct db *db)
{
    struct db_result *row = find_rule(r, db);
    if (row != NULL) {
        api_etag(r, db_get_int(row, 0, 1));
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

/* A rule acts on all devices that it selects; a token that sees only some must not write one. */
static bool may_change(struct api_request *r)
{
    if (!api_unlimited(r)) {
        api_fail(r, PROBLEM_FORBIDDEN, "a token with a selector cannot change rules");
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

/* Compiles the document. False: it is no rule, and that is answered. The name goes to ret_name. */
static bool check_rule(struct api_request *r, const char *document, const char *path_name,
                       char ret_name[static IDENT_MAX + 1])
{
    struct rule *rule = NULL;
    struct rule_error error = {0};
    struct rule_env env = catalog_rule_env(r->api->catalog);
    enum err e = rule_compile(view_str(document), &env, &rule, &error);
    if (e == ERR_NOMEM) {
        api_fail_err(r, e, "");
        return false;
    }
    if (e != ERR_OK) {
        if (error.line > 0) {
            api_errors_add(r->errors, error.pointer, "line %d, column %d: %s", error.line,
                           error.column, error.detail);
        } else {
            api_errors_add(r->errors, error.pointer, "%s", error.detail);
        }
        api_refuse(r);
        return false;
    }
    (void)view_copy(view_str(rule_name(rule)), ret_name, IDENT_MAX + 1);
    rule_drop(rule);
    if (path_name != NULL && strcmp(path_name, ret_name) != 0) {
        api_errors_add(r->errors, "/name", "is not the name in the path; a rule cannot be renamed");
        api_refuse(r);
        return false;
    }
    return true;
}

static void answer_rule(struct api_request *r, struct db *db, struct db_result *row,
                        const char *name, unsigned status)
{
    enum err e = catalog_refresh_rule(r->api->catalog, db, name);
    if (e != ERR_OK) {
        db_result_free(row);
        api_fail_err(r, e, name);
        return;
    }
    api_etag(r, db_get_int(row, 0, 1));
    api_answer_row(r, row, status);
}

void api_handle_rules_create(struct api_request *r, struct db *db)
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
    if (!check_rule(r, document, NULL, name)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_rule_create(db, name, document, r->bearer.name, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, name);
        return;
    }
    api_header(r, "Location", "/v1/rules/%s", api_path_name(r, view_str(name)));
    answer_rule(r, db, row, name, MHD_HTTP_CREATED);
}

/* 404, 428 and 412, in this order. False: answered already. */
static bool match_rule(struct api_request *r, struct db *db, int64_t *ret_version)
{
    struct db_result *row = may_change(r) ? find_rule(r, db) : NULL;
    if (row == NULL) {
        return false;
    }
    *ret_version = db_get_int(row, 0, 1);
    db_result_free(row);
    return api_need_match(r, true, *ret_version);
}

static void change_rule(struct api_request *r, struct db *db, const char *document, int64_t version)
{
    char name[IDENT_MAX + 1];
    if (document == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    if (!check_rule(r, document, (const char *)r->names[0].data, name)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_rule_update(db, name, document, version, r->bearer.name, &row);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, name);
    } else {
        answer_rule(r, db, row, name, MHD_HTTP_OK);
    }
}

void api_handle_rule_put(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    if (match_rule(r, db, &version) && api_body(r) != NULL) {
        change_rule(r, db, clean_document(r, r->json, (const char *)r->names[0].data), version);
    }
}

/* Members of the body replace those of the document; null removes one. */
void api_handle_rule_patch(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    if (!match_rule(r, db, &version) || api_body(r) == NULL) {
        return;
    }
    const char *patch = clean_document(r, r->json, NULL);
    struct db_result *row = NULL;
    enum err e = patch == NULL
                     ? ERR_NOMEM
                     : store_rule_patched(db, (const char *)r->names[0].data, patch, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such rule");
        return;
    }
    if (db_get_int(row, 0, 1) != version) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else {
        change_rule(r, db, db_get(row, 0, 0), version);
    }
    db_result_free(row);
}

void api_handle_rule_delete(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    const char *name = (const char *)r->names[0].data;
    if (!match_rule(r, db, &version)) {
        return;
    }
    enum err e = store_rule_delete(db, name, version, r->bearer.name);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
        return;
    }
    if (e == ERR_OK) {
        e = catalog_refresh_rule(r->api->catalog, db, name);
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, name);
        return;
    }
    api_answer(r, MHD_HTTP_NO_CONTENT);
}
