/*
 * Device types: checked here field by field, because the catalog passes over what does not fit.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "auth/pattern.h"
#include "base/ident.h"
#include "store/query_types.h"

enum {
    TYPE_METRICS_MAX = 10000,
    TYPE_COMMANDS_MAX = 1000,
    TYPE_TOPICS_MAX = 100,
    TOPIC_MAX = 1024,
    TEXT_MAX = 256,
    BASELINE_MAX = 1000000,
    UNDECLARED_MAX = 1000000,
};

static void check_count(struct api_fields *f, const char *name, int64_t most)
{
    const json_t *v = api_field(f, name, API_INTEGER | API_NULL, false);
    if (json_is_integer(v) && (json_integer_value(v) < 0 || json_integer_value(v) > most)) {
        api_field_error(f, name, "must be from 0 to %lld", (long long)most);
    }
}

static void check_missing(struct api_fields *f)
{
    const json_t *list = api_field(f, "missing", API_ARRAY, false);
    for (size_t i = 0; list != NULL && i < json_array_size(list); i++) {
        if (!json_is_number(json_array_get(list, i))) {
            api_field_error(f, "missing", "must be numbers; item %zu is none", i);
        }
    }
    if (list != NULL && json_array_size(list) > 100) {
        api_field_error(f, "missing", "may have 100 values");
    }
}

static void check_metric(struct api_fields *metrics, const char *name, const json_t *spec)
{
    if (!ident_metric_valid(view_str(name))) {
        api_field_error(metrics, name, "is no valid metric name");
    }
    char pointer[192];
    api_field_pointer(metrics->pointer, name, pointer, sizeof(pointer));
    struct api_fields f = api_fields_init(spec, pointer, metrics->errors);
    api_fields_only(&f, "unit min max baseline_samples missing modulus description");
    const char *unit = api_field_text(&f, "unit", false);
    if (unit != NULL && strlen(unit) > TEXT_MAX) {
        api_field_error(&f, "unit", "may have %d bytes", TEXT_MAX);
    }
    (void)api_field_text(&f, "description", false);
    const json_t *least = api_field(&f, "min", API_NUMBER | API_NULL, false);
    const json_t *most = api_field(&f, "max", API_NUMBER | API_NULL, false);
    if (json_is_number(least) && json_is_number(most) &&
        json_number_value(least) > json_number_value(most)) {
        api_field_error(&f, "min", "is larger than max");
    }
    check_count(&f, "baseline_samples", BASELINE_MAX);
    check_missing(&f);
    const json_t *modulus = api_field(&f, "modulus", API_NUMBER | API_NULL, false);
    if (json_is_number(modulus) && !(json_number_value(modulus) > 0)) {
        api_field_error(&f, "modulus", "must be more than 0");
    }
}

static void check_metrics(struct api_fields *type)
{
    const json_t *metrics = api_field(type, "metrics", API_OBJECT, false);
    if (metrics == NULL) {
        return;
    }
    struct api_fields f = api_fields_init(metrics, "/metrics", type->errors);
    if (json_object_size(metrics) > TYPE_METRICS_MAX) {
        api_field_error(type, "metrics", "may have %d metrics", TYPE_METRICS_MAX);
        return;
    }
    json_t *object = (json_t *)(uintptr_t)metrics; /* only read */
    const char *name = NULL;
    json_t *spec = NULL;
    json_object_foreach(object, name, spec)
    {
        check_metric(&f, name, spec);
    }
}

/* A method name, or an object with one. */
static void check_command(struct api_fields *type, size_t at, const json_t *item)
{
    char pointer[64];
    (void)snprintf(pointer, sizeof(pointer), "/commands/%zu", at);
    const char *name = json_string_value(item);
    if (json_is_object(item)) {
        struct api_fields f = api_fields_init(item, pointer, type->errors);
        api_fields_only(&f, "name description params");
        name = api_field_text(&f, "name", true);
        (void)api_field_text(&f, "description", false);
        (void)api_field(&f, "params", API_OBJECT, false);
        if (name == NULL) {
            return;
        }
    }
    if (name == NULL) {
        api_errors_add(type->errors, pointer, "must be a text or an object with a name");
    } else if (!ident_valid(view_str(name))) {
        api_errors_add(type->errors, pointer,
                       "a command's name is 1 to 128 letters, digits, . _ : -");
    }
}

static void check_commands(struct api_fields *type)
{
    const json_t *list = api_field(type, "commands", API_ARRAY, false);
    size_t n = list == NULL ? 0 : json_array_size(list);
    if (n > TYPE_COMMANDS_MAX) {
        api_field_error(type, "commands", "may have %d commands", TYPE_COMMANDS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        check_command(type, i, json_array_get(list, i));
    }
}

static void check_topic_list(struct api_fields *topics, const char *name)
{
    const json_t *list = api_field(topics, name, API_ARRAY, false);
    size_t n = list == NULL ? 0 : json_array_size(list);
    if (n > TYPE_TOPICS_MAX) {
        api_field_error(topics, name, "may have %d topics", TYPE_TOPICS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *topic = json_string_value(json_array_get(list, i));
        if (topic == NULL || topic[0] == '\0' || strlen(topic) > TOPIC_MAX) {
            api_field_error(topics, name, "item %zu must be a text of 1 to %d bytes", i, TOPIC_MAX);
        } else if (!auth_pattern_valid(view_str(topic))) {
            api_field_error(topics, name,
                            "item %zu is no topic filter; {device}, {gateway} and {label.NAME} may "
                            "stand in it, + and # for a whole level",
                            i);
        }
    }
}

static void check_topics(struct api_fields *type)
{
    const json_t *topics = api_field(type, "topics", API_OBJECT, false);
    if (topics == NULL) {
        return;
    }
    struct api_fields f = api_fields_init(topics, "/topics", type->errors);
    api_fields_only(&f, "publish subscribe");
    check_topic_list(&f, "publish");
    check_topic_list(&f, "subscribe");
}

/* The body as a type. name: of the path, NULL for a new one. False: answered already. */
static bool read_type(struct api_request *r, const json_t *body, const char *name,
                      struct store_type *ret_type)
{
    struct api_fields f = api_fields_init(body, "", r->errors);
    /* The last three are what a GET gives too: they may come back, and change nothing. */
    api_fields_only(&f, "name metrics commands topics auto_register any_metric metrics_max version "
                        "created_at updated_at");
    const char *given = api_field_text(&f, "name", name == NULL);
    if (given != NULL && !ident_valid(view_str(given))) {
        api_field_error(&f, "name", "is 1 to 128 letters, digits, . _ : -");
    } else if (given != NULL && name != NULL && strcmp(given, name) != 0) {
        api_field_error(&f, "name", "is not the name in the path; a type cannot be renamed");
    }
    check_metrics(&f);
    check_commands(&f);
    check_topics(&f);
    check_count(&f, "metrics_max", UNDECLARED_MAX);
    const json_t *any_metric = api_field(&f, "any_metric", API_BOOL, false);
    const json_t *auto_register = api_field(&f, "auto_register", API_BOOL, false);
    if (api_invalid(r)) {
        return false;
    }
    *ret_type = (struct store_type){
        .name = name != NULL ? name : given,
        .any_metric = json_is_true(any_metric),
        .auto_register = json_is_true(auto_register),
    };
    return true;
}

/* Types are everybody's: a token that sees only some devices must not change them. */
static bool may_change(struct api_request *r)
{
    if (!api_unlimited(r)) {
        api_fail(r, PROBLEM_FORBIDDEN, "a token with a selector cannot change device types");
        return false;
    }
    return true;
}

static void answer_type(struct api_request *r, struct db *db, struct db_result *row,
                        const char *name, unsigned status)
{
    enum err e = catalog_refresh_type(r->api->catalog, db, name);
    if (e != ERR_OK) {
        db_result_free(row);
        api_fail_err(r, e, name);
        return;
    }
    api_etag(r, db_get_int(row, 0, 1));
    api_answer_row(r, row, status);
}

void api_handle_types_list(struct api_request *r, struct db *db)
{
    int64_t limit = 0;
    struct api_cursor at;
    static const struct api_cursor start = {.name = ""};
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 't', &start, &at)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_type_list(db, at.name, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "device types");
        return;
    }
    api_answer_rows(r, rows, limit, 't');
}

void api_handle_types_create(struct api_request *r, struct db *db)
{
    struct store_type t;
    const json_t *body = may_change(r) ? api_body(r) : NULL;
    if (body == NULL || !read_type(r, body, NULL, &t)) {
        return;
    }
    t.definition = (const char *)r->body.data;
    struct db_result *row = NULL;
    enum err e = store_type_create(db, &t, r->bearer.name, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, t.name);
        return;
    }
    api_header(r, "Location", "/v1/device-types/%s", api_path_name(r, view_str(t.name)));
    answer_type(r, db, row, t.name, MHD_HTTP_CREATED);
}

/* The row as it is; NULL: answered already. */
static struct db_result *find_type(struct api_request *r, struct db *db, const char *name)
{
    struct db_result *row = NULL;
    enum err e = store_type_get(db, name, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such device type");
        return NULL;
    }
    return row;
}

void api_handle_type_get(struct api_request *r, struct db *db)
{
    struct db_result *row = find_type(r, db, (const char *)r->names[0].data);
    if (row != NULL) {
        api_etag(r, db_get_int(row, 0, 1));
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

/* 404, 428 and 412 before the body is looked at. *ret_version: what the change is based on. */
static struct db_result *find_for_change(struct api_request *r, struct db *db, int64_t *ret_version)
{
    struct db_result *row = may_change(r) ? find_type(r, db, (const char *)r->names[0].data) : NULL;
    if (row == NULL) {
        return NULL;
    }
    *ret_version = db_get_int(row, 0, 1);
    if (!api_need_match(r, true, *ret_version)) {
        db_result_free(row);
        return NULL;
    }
    return row;
}

static void change_type(struct api_request *r, struct db *db, const json_t *body,
                        const char *definition, int64_t version)
{
    struct store_type t;
    const char *name = (const char *)r->names[0].data;
    if (!read_type(r, body, name, &t)) {
        return;
    }
    t.definition = definition;
    struct db_result *row = NULL;
    enum err e = store_type_update(db, &t, version, r->bearer.name, &row);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, name);
    } else {
        answer_type(r, db, row, name, MHD_HTTP_OK);
    }
}

void api_handle_type_put(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    struct db_result *row = find_for_change(r, db, &version);
    db_result_free(row);
    const json_t *body = row == NULL ? NULL : api_body(r);
    if (body != NULL) {
        change_type(r, db, body, (const char *)r->body.data, version);
    }
}

/* Members of the body replace those of the type; null puts one back to its default. */
void api_handle_type_patch(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    struct db_result *row = find_for_change(r, db, &version);
    const json_t *patch = row == NULL ? NULL : api_body(r);
    if (patch == NULL) {
        db_result_free(row);
        return;
    }
    json_t *merged = json_loads(db_get(row, 0, 0), 0, NULL);
    db_result_free(row);
    const char *key = NULL;
    json_t *value = NULL;
    json_t *given = (json_t *)(uintptr_t)patch;
    json_object_foreach(given, key, value)
    {
        (void)(json_is_null(value) ? json_object_del(merged, key)
                                   : json_object_set(merged, key, value));
    }
    struct buf text;
    buf_init(&text, API_ANSWER_MAX);
    api_json_write(&text, merged);
    buf_put_u8(&text, 0);
    if (merged == NULL || buf_err(&text) != ERR_OK) {
        api_fail_err(r, ERR_NOMEM, "");
    } else {
        change_type(r, db, merged, (const char *)text.data, version);
    }
    buf_fini(&text);
    json_decref(merged);
}

void api_handle_type_delete(struct api_request *r, struct db *db)
{
    int64_t version = 0;
    const char *name = (const char *)r->names[0].data;
    struct db_result *row = find_for_change(r, db, &version);
    if (row == NULL) {
        return;
    }
    db_result_free(row);
    if (strcmp(name, "generic") == 0) {
        api_fail(r, PROBLEM_CONFLICT, "the type generic is always there");
        return;
    }
    enum err e = store_type_delete(db, name, version, r->bearer.name);
    if (e == ERR_STATE) {
        api_fail(r, PROBLEM_CONFLICT, "there are devices of the type %s", name);
    } else if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else if (e == ERR_OK) {
        e = catalog_refresh_type(r->api->catalog, db, name);
    }
    if (e == ERR_OK) {
        api_answer(r, MHD_HTTP_NO_CONTENT);
    } else if (!r->failed) {
        api_fail_err(r, e, name);
    }
}
