/*
 * Rules. The compiler decides whether a document is a rule; what is stored is the document, and the
 * catalog compiles it again for the core.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/handlers.h"
#include "api/internal.h"
#include "api/rule_document.h"
#include "base/diff.h"
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
    const char *document = api_rule_document(r, r->json, NULL);
    if (document == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    struct store_rule rule;
    if (!api_rule_check(r, document, NULL, name, &rule)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_rule_create(db, &rule, r->bearer.name, &row);
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
    struct store_rule rule;
    if (!api_rule_check(r, document, (const char *)r->names[0].data, name, &rule)) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_rule_update(db, &rule, version, r->bearer.name, &row);
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
        change_rule(r, db, api_rule_document(r, r->json, (const char *)r->names[0].data), version);
    }
}

/* Members of the body replace those of the document; null removes one. */
void api_handle_rule_patch(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    if (!match_rule(r, db, &version) || api_body(r) == NULL) {
        return;
    }
    const char *patch = api_rule_document(r, r->json, NULL);
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

/* ---- versions ---------------------------------------------------------------------------------
 */

void api_handle_rule_versions(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct db_result *row = NULL;
    struct db_result *rows = NULL;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'v', &start, &at) || (row = find_rule(r, db)) == NULL) {
        return;
    }
    db_result_free(row);
    enum err e = store_rule_versions(db, (const char *)r->names[0].data, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "versions");
        return;
    }
    api_answer_rows(r, rows, limit, 'v');
}

/* That version of the rule in the path; NULL: answered already. */
static struct db_result *find_version(struct api_request *r, struct db *db, int64_t version)
{
    struct db_result *row = NULL;
    enum err e = store_rule_version(db, (const char *)r->names[0].data, version, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such version of the rule");
        return NULL;
    }
    return row;
}

void api_handle_rule_version_get(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    struct db_result *row =
        api_param_id(r, r->names[1], &version) ? find_version(r, db, version) : NULL;
    if (row != NULL) {
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

static void answer_diff(struct api_request *r, const struct db_result *from,
                        const struct db_result *to)
{
    char from_name[200];
    char to_name[200];
    char *before = api_rule_canonical(db_get_view(from, 0, 2));
    char *after = api_rule_canonical(db_get_view(to, 0, 2));
    const char *name = (const char *)r->names[0].data;
    (void)snprintf(from_name, sizeof(from_name), "%s version %s", name, db_get(from, 0, 1));
    (void)snprintf(to_name, sizeof(to_name), "%s version %s", name, db_get(to, 0, 1));
    struct buf text;
    buf_init(&text, API_ANSWER_MAX);
    if (before == NULL || after == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
    } else {
        diff_unified(from_name, view_str(before), to_name, view_str(after), &text);
        struct emit_json j = emit_json_init(&r->out);
        emit_json_open(&j, '{');
        emit_json_key(&j, "from");
        emit_json_int(&j, db_get_int(from, 0, 1));
        emit_json_key(&j, "to");
        emit_json_int(&j, db_get_int(to, 0, 1));
        emit_json_key(&j, "diff");
        emit_json_view(&j, buf_view(&text));
        emit_json_close(&j, '}');
        api_answer(r, MHD_HTTP_OK);
    }
    buf_fini(&text);
    free(before);
    free(after);
}

/* From the version before, or from `against`, to the one in the path. */
void api_handle_rule_version_diff(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    int64_t against = 0;
    struct view given = api_query_get(&r->query, "against");
    if (!api_param_id(r, r->names[1], &version)) {
        return;
    }
    against = version - 1;
    if (given.data != NULL && (api_int_parse(given, &against) != ERR_OK || against < 1)) {
        api_fail(r, PROBLEM_BAD_REQUEST, "against must be the number of a version");
        return;
    }
    struct db_result *to = find_version(r, db, version);
    struct db_result *from = to == NULL ? NULL : find_version(r, db, against);
    if (from != NULL) {
        answer_diff(r, from, to);
    }
    db_result_free(from);
    db_result_free(to);
}

/* {"version":n}: that document becomes a new version, so nothing of the history is lost. */
void api_handle_rule_rollback(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    if (!match_rule(r, db, &version) || api_body(r) == NULL) {
        return;
    }
    struct api_fields f = api_fields_init(r->json, "", r->errors);
    api_fields_only(&f, "version");
    int64_t wanted = json_integer_value(api_field(&f, "version", API_INTEGER, true));
    if (r->errors->count == 0 && (wanted < 1 || wanted >= version)) {
        api_field_error(&f, "version", "must be an earlier version than %lld", (long long)version);
    }
    if (api_invalid(r)) {
        return;
    }
    struct db_result *row = find_version(r, db, wanted);
    if (row != NULL) {
        change_rule(r, db, db_get(row, 0, 2), version);
        db_result_free(row);
    }
}
