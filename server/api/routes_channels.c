/*
 * Channels: ways to tell somebody of alerts. What a document may say is the notify module's
 * (channel_read()). The secret goes in and never comes out.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/ident.h"
#include "notify/channel.h"
#include "store/query_notify.h"

/* Channels are everybody's: a token that sees only some devices must not change them. */
static bool may_change(struct api_request *r)
{
    if (!api_unlimited(r)) {
        api_fail(r, PROBLEM_FORBIDDEN, "a token with a selector cannot change channels");
        return false;
    }
    return true;
}

struct channel_body {
    struct buf definition; /* NUL-terminated */
    const char *secret;
    const char *name;
};

/* old_secret: stays when the body has none; null in the body takes it away. False: answered
 * already, and there is nothing to free. */
static bool read_channel(struct api_request *r, const char *name, const char *old_secret,
                         struct channel_body *ret_body)
{
    static const char *const not_kept[] = {"secret", "secret_set", "version", "created_at",
                                           "updated_at"};
    const json_t *body = api_body(r);
    if (body == NULL) {
        return false;
    }
    struct api_fields f = api_fields_init(body, "", r->errors);
    const json_t *secret = api_field(&f, "secret", API_STRING | API_NULL, false);
    *ret_body = (struct channel_body){
        .secret = json_object_get(body, "secret") == NULL ? old_secret : json_string_value(secret),
        .name = json_string_value(json_object_get(body, "name"))};
    if (name != NULL && ret_body->name != NULL && strcmp(name, ret_body->name) != 0) {
        api_field_error(&f, "name", "is not the name in the path; a channel cannot be renamed");
    }
    if (api_invalid(r)) {
        return false;
    }
    json_t *kept = json_copy((json_t *)(uintptr_t)body); /* shallow; only read */
    for (size_t i = 0; i < sizeof(not_kept) / sizeof(not_kept[0]); i++) {
        (void)json_object_del(kept, not_kept[i]);
    }
    if (name != NULL && ret_body->name == NULL) {
        (void)json_object_set_new(kept, "name", json_string(name));
    }
    buf_init(&ret_body->definition, API_ANSWER_MAX);
    api_json_write(&ret_body->definition, kept);
    size_t len = ret_body->definition.len;
    buf_put_u8(&ret_body->definition, 0);
    json_decref(kept);
    struct channel *c = NULL;
    struct channel_error why;
    enum err e = buf_err(&ret_body->definition);
    if (e == ERR_OK) {
        e = channel_read(view_of(ret_body->definition.data, len), ret_body->secret, &c, &why);
    }
    if (e == ERR_NOMEM) {
        api_fail_err(r, e, "");
    } else if (e != ERR_OK) {
        api_errors_add(r->errors, why.pointer, "%s", why.detail);
        api_refuse(r);
    }
    channel_free(c);
    if (e != ERR_OK) {
        buf_fini(&ret_body->definition);
    }
    return e == ERR_OK;
}

static void told(struct api_request *r)
{
    if (r->api->hooks.notify != NULL) {
        r->api->hooks.notify(r->api->hooks.arg, true);
    }
}

static void answer_channel(struct api_request *r, struct db_result *row, unsigned status)
{
    told(r);
    api_etag(r, db_get_int(row, 0, 1));
    api_answer_row(r, row, status);
}

void api_handle_channels_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.name = ""};
    int64_t limit = 0;
    struct api_cursor at;
    struct db_result *rows = NULL;
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'c', &start, &at)) {
        return;
    }
    enum err e = store_channel_list(db, at.name, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "channels");
        return;
    }
    api_answer_rows(r, rows, limit, 'c');
}

void api_handle_channels_create(struct api_request *r, struct db *db)
{
    struct channel_body body;
    struct db_result *row = NULL;
    if (!may_change(r) || !read_channel(r, NULL, NULL, &body)) {
        return;
    }
    enum err e = store_channel_create(db, body.name, (const char *)body.definition.data,
                                      body.secret, r->bearer.name, &row);
    buf_fini(&body.definition);
    if (e != ERR_OK) {
        api_fail_err(r, e, body.name);
        return;
    }
    api_header(r, "Location", "/v1/channels/%s", api_path_name(r, view_str(body.name)));
    answer_channel(r, row, MHD_HTTP_CREATED);
}

/* NULL: answered already. */
static struct db_result *find_channel(struct api_request *r, struct db *db)
{
    struct db_result *row = NULL;
    enum err e = store_channel_get(db, (const char *)r->names[0].data, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such channel");
        return NULL;
    }
    return row;
}

/* 404, 428 and 412 before the body is looked at. */
static struct db_result *find_for_change(struct api_request *r, struct db *db)
{
    struct db_result *row = may_change(r) ? find_channel(r, db) : NULL;
    if (row != NULL && !api_need_match(r, true, db_get_int(row, 0, 1))) {
        db_result_free(row);
        return NULL;
    }
    return row;
}

void api_handle_channel_get(struct api_request *r, struct db *db)
{
    struct db_result *row = find_channel(r, db);
    if (row != NULL) {
        api_etag(r, db_get_int(row, 0, 1));
        api_answer_row(r, row, MHD_HTTP_OK);
    }
}

void api_handle_channel_put(struct api_request *r, struct db *db)
{
    const char *name = (const char *)r->names[0].data;
    struct channel_body body;
    struct db_result *old = find_for_change(r, db);
    if (old == NULL) {
        return;
    }
    struct db_result *row = NULL;
    if (read_channel(r, name, db_is_null(old, 0, 2) ? NULL : db_get(old, 0, 2), &body)) {
        enum err e = store_channel_update(db, name, (const char *)body.definition.data, body.secret,
                                          db_get_int(old, 0, 1), r->bearer.name, &row);
        buf_fini(&body.definition);
        if (e == ERR_CONFLICT) {
            api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
        } else if (e != ERR_OK) {
            api_fail_err(r, e, name);
        } else {
            answer_channel(r, row, MHD_HTTP_OK);
        }
    }
    db_result_free(old);
}

void api_handle_channel_delete(struct api_request *r, struct db *db)
{
    const char *name = (const char *)r->names[0].data;
    struct db_result *row = find_for_change(r, db);
    if (row == NULL) {
        return;
    }
    enum err e = store_channel_delete(db, name, db_get_int(row, 0, 1), r->bearer.name);
    db_result_free(row);
    if (e == ERR_CONFLICT) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
    } else if (e != ERR_OK) {
        api_fail_err(r, e, name);
    } else {
        told(r);
        api_answer(r, MHD_HTTP_NO_CONTENT);
    }
}

/* Sent as any other, without a verdict: the notification says what became of it. */
void api_handle_channel_test(struct api_request *r, struct db *db)
{
    struct db_result *row = NULL;
    if (!may_change(r)) {
        return;
    }
    enum err e = store_channel_test(db, (const char *)r->names[0].data, r->bearer.name, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such channel");
        return;
    }
    told(r);
    api_answer_row(r, row, MHD_HTTP_ACCEPTED);
}
