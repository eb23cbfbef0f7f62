/*
 * Devices. A token with a selector can neither see a device outside of it nor make one, nor move
 * one out of it.
 */
#include "api/devices.h"
#include "api/handlers.h"
#include "api/internal.h"
#include "base/ident.h"
#include "store/query_devices.h"

/* What a GET gives beside what can be set; it may come back, and changes nothing. */
#define DEVICE_SHOWN " reported online last_seen_at watermark version created_at updated_at"

/* ---- list --------------------------------------------------------------------------------------
 */

/* Parameters "label.site=plant-1" as a JSON object of texts; NULL: none were given. */
static const char *label_filter(struct api_request *r)
{
    struct buf out;
    buf_init(&out, API_TARGET_MAX * 8);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    bool any = false;
    for (uint32_t i = 0; i < r->query.param_count; i++) {
        const struct api_param *p = &r->query.params[i];
        if (view_starts(p->name, VIEW("label."))) {
            emit_json_key_view(&j, view_skip(p->name, 6));
            emit_json_view(&j, p->value);
            any = true;
        }
    }
    emit_json_close(&j, '}');
    buf_put_u8(&out, 0);
    const char *text = any ? (const char *)arena_view(&r->arena, buf_view(&out)).data : NULL;
    buf_fini(&out);
    return text;
}

void api_handle_devices_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.name = ""};
    int64_t limit = 0;
    struct api_cursor at;
    struct store_device_filter f = {
        .type = api_param_text(r, "type"),
        .gateway = api_param_text(r, "gateway"),
        .prefix = api_param_text(r, "q"),
        .labels = label_filter(r),
    };
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'd', &start, &at) || !api_device_ids(r, &f.ids)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_device_list(db, &f, at.name, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "devices");
        return;
    }
    struct emit_json j = api_list_begin(r);
    int n = db_rows(rows) < (int)limit ? db_rows(rows) : (int)limit;
    for (int i = 0; i < n; i++) {
        api_put_device(r, &j, db_get_view(rows, i, 0), (int32_t)db_get_int(rows, i, 1));
    }
    struct api_cursor next = {.tag = 'd'};
    bool more = db_rows(rows) > n;
    if (more) {
        (void)view_copy(db_get_view(rows, n - 1, 3), next.name, sizeof(next.name));
    }
    db_result_free(rows);
    api_list_end(r, &j, more ? &next : NULL);
}

/* ---- one ---------------------------------------------------------------------------------------
 */

static void answer_device(struct api_request *r, struct db_result *row, unsigned status)
{
    struct emit_json j = emit_json_init(&r->out);
    api_put_device(r, &j, db_get_view(row, 0, 0), (int32_t)db_get_int(row, 0, 2));
    api_etag(r, db_get_int(row, 0, 1));
    db_result_free(row);
    api_answer(r, status);
}

void api_handle_device_get(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_device_get(db, d->name, &row);
    device_drop(d);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such device");
        return;
    }
    answer_device(r, row, MHD_HTTP_OK);
}

/* ---- create and change --------------------------------------------------------------------------
 */

static void check_type(struct api_request *r, struct api_fields *f, const char *type)
{
    struct device_type *t = catalog_type(r->api->catalog, view_str(type));
    if (t == NULL) {
        api_field_error(f, "type", "there is no device type %s", type);
    }
    device_type_drop(t);
}

static void check_gateway(struct api_request *r, struct api_fields *f, const char *name,
                          const char *gateway)
{
    struct device *g = catalog_device(r->api->catalog, view_str(gateway));
    if (g == NULL || !auth_bearer_sees(r->api->auth, &r->bearer, g)) {
        api_field_error(f, "gateway", "there is no device %s", gateway);
    } else if (name != NULL && strcmp(name, gateway) == 0) {
        api_field_error(f, "gateway", "a device is not its own gateway");
    }
    device_drop(g);
}

/* A member as JSON text in the arena; NULL: absent. */
static const char *member_json(struct api_request *r, const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    if (value == NULL) {
        return NULL;
    }
    struct buf text;
    buf_init(&text, API_ANSWER_MAX);
    api_json_write(&text, value);
    buf_put_u8(&text, 0);
    r->arena.limit_bytes += text.len + 64;
    const char *kept = (const char *)arena_view(&r->arena, buf_view(&text)).data;
    buf_fini(&text);
    return kept;
}

/* What POST, PUT and PATCH have in common. `name` is that of the path; NULL for a new device. */
static bool read_device(struct api_request *r, const json_t *body, const char *name,
                        struct store_device *ret_device)
{
    struct api_fields f = api_fields_init(body, "", r->errors);
    api_fields_only(&f, "name type labels attributes gateway enabled" DEVICE_SHOWN);
    const char *given = api_field_text(&f, "name", name == NULL);
    if (given != NULL && !ident_valid(view_str(given))) {
        api_field_error(&f, "name", "is 1 to 128 letters, digits, . _ : -");
    } else if (given != NULL && name != NULL && strcmp(given, name) != 0) {
        api_field_error(&f, "name", "is not the name in the path; a device cannot be renamed");
    }
    const char *type = api_field_text(&f, "type", false);
    if (type != NULL) {
        check_type(r, &f, type);
    }
    api_check_labels(&f, name != NULL);
    api_check_attributes(&f);
    const json_t *gateway = api_field(&f, "gateway", API_STRING | API_NULL, false);
    if (json_is_string(gateway)) {
        check_gateway(r, &f, given != NULL ? given : name, json_string_value(gateway));
    }
    const json_t *enabled = api_field(&f, "enabled", API_BOOL, false);
    if (api_invalid(r)) {
        return false;
    }
    *ret_device = (struct store_device){
        .name = name != NULL ? name : given,
        .type = type,
        .labels = member_json(r, body, "labels"),
        .attributes = member_json(r, body, "attributes"),
        .set_gateway = gateway != NULL,
        .gateway = json_string_value(gateway),
        .enabled = enabled == NULL         ? NULL
                   : json_is_true(enabled) ? "t"
                                           : "f",
    };
    return true;
}

void api_handle_devices_create(struct api_request *r, struct db *db)
{
    struct store_device d;
    const json_t *body = api_body(r);
    if (body == NULL || !read_device(r, body, NULL, &d)) {
        return;
    }
    d.type = d.type == NULL ? "generic" : d.type;
    d.labels = d.labels == NULL ? "{}" : d.labels;
    d.attributes = d.attributes == NULL ? "{}" : d.attributes;
    d.enabled = d.enabled == NULL ? "t" : d.enabled;
    if (!api_sees_preview(r, d.name, d.type, NULL, json_object_get(body, "labels"))) {
        api_fail(r, PROBLEM_FORBIDDEN, "the token's selector does not admit such a device");
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_device_create(db, &d, r->bearer.name, &row);
    if (e == ERR_OK) {
        e = catalog_refresh_device(r->api->catalog, db, d.name);
    }
    if (e != ERR_OK) {
        db_result_free(row);
        api_fail_err(r, e, d.name);
        return;
    }
    api_header(r, "Location", "/v1/devices/%s", api_path_name(r, view_str(d.name)));
    answer_device(r, row, MHD_HTTP_CREATED);
}

/* After a change; `before` is the snapshot from before it. */
static enum err spread_change(struct api_request *r, struct db *db, const struct device *before,
                              bool disabled)
{
    enum err e = catalog_refresh_device(r->api->catalog, db, before->name);
    if (e == ERR_OK && disabled && before->enabled) {
        r->api->hooks.credential_revoked(r->api->hooks.arg, before->id, 0);
    }
    return e;
}

static void change_device(struct api_request *r, struct db *db, const struct device *before,
                          const json_t *body, bool whole)
{
    struct store_device d;
    if (!read_device(r, body, before->name, &d)) {
        return;
    }
    d.merge = !whole;
    if (whole) { /* PUT: what is not said goes back to its default, but for the type */
        d.labels = d.labels == NULL ? "{}" : d.labels;
        d.attributes = d.attributes == NULL ? "{}" : d.attributes;
        d.enabled = d.enabled == NULL ? "t" : d.enabled;
        d.set_gateway = true;
    }
    const char *type = d.type != NULL ? d.type : before->type->name;
    if (!api_sees_preview(r, d.name, type, whole ? NULL : before,
                          json_object_get(body, "labels"))) {
        api_fail(r, PROBLEM_FORBIDDEN, "the token's selector would not admit the changed device");
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_device_get(db, d.name, &row);
    int64_t version = 0;
    if (e == ERR_OK) {
        bool conditional = api_request_header(r, "If-Match") != NULL;
        version = conditional ? db_get_int(row, 0, 1) : 0;
        bool matches = api_need_match(r, false, db_get_int(row, 0, 1));
        db_result_free(row);
        row = NULL;
        if (!matches) {
            return;
        }
        e = store_device_update(db, &d, version, r->bearer.name, &row);
    }
    if (e == ERR_OK) {
        e = spread_change(r, db, before, d.enabled != NULL && d.enabled[0] == 'f');
    }
    if (e != ERR_OK) {
        db_result_free(row);
        if (e == ERR_NOT_FOUND && version != 0) {
            api_fail(r, PROBLEM_PRECONDITION_FAILED, "somebody changed it at the same moment");
        } else {
            api_fail_err(r, e, "such device");
        }
        return;
    }
    answer_device(r, row, MHD_HTTP_OK);
}

void api_handle_device_put(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    const json_t *body = d == NULL ? NULL : api_body(r);
    if (body != NULL) {
        change_device(r, db, d, body, true);
    }
    device_drop(d);
}

void api_handle_device_patch(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    const json_t *body = d == NULL ? NULL : api_body(r);
    if (body != NULL) {
        change_device(r, db, d, body, false);
    }
    device_drop(d);
}

void api_handle_device_delete(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *row = NULL;
    enum err e = store_device_get(db, d->name, &row);
    if (e == ERR_OK) {
        bool conditional = api_request_header(r, "If-Match") != NULL;
        int64_t version = conditional ? db_get_int(row, 0, 1) : 0;
        bool matches = api_need_match(r, false, db_get_int(row, 0, 1));
        db_result_free(row);
        if (!matches) {
            device_drop(d);
            return;
        }
        e = store_device_delete(db, d->name, version, r->bearer.name);
    }
    if (e == ERR_OK) {
        e = catalog_refresh_device(r->api->catalog, db, d->name);
    }
    if (e == ERR_OK) {
        e = auth_refresh_device(r->api->auth, db, d->id);
    }
    if (e == ERR_OK) {
        r->api->hooks.credential_revoked(r->api->hooks.arg, d->id, 0);
        api_answer(r, MHD_HTTP_NO_CONTENT);
    } else {
        api_fail_err(r, e, "such device");
    }
    device_drop(d);
}
