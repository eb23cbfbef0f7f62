/*
 * Import of devices: CSV or NDJSON, each line with its own outcome.
 *
 * Happy path: every line is read and checked here against the catalog; lines that pass go to
 * PostgreSQL in batches of a thousand, one statement each. A line whose gateway comes further down
 * waits until that one was taken. At the end gateways are set, and the catalog and the credentials
 * are read again.
 *
 * Failure modes: a line that is wrong is counted and told, the others go on. When the database
 * fails in the middle, the batches before it stay; the same file can be sent again, since lines
 * that are there already only update.
 */
#include <stdlib.h>

#include "api/csv.h"
#include "api/devices.h"
#include "api/handlers.h"
#include "api/internal.h"
#include "base/check.h"
#include "base/ident.h"
#include "base/map.h"
#include "store/query_devices.h"

enum { IMPORT_BATCH = 1000, IMPORT_ERRORS_MAX = 1000, IMPORT_ARENA_MAX = 4 << 20 };

/* A line that waits for its gateway. */
struct deferred {
    uint32_t line;
    json_t *device;
};

struct import {
    struct api_request *r;
    struct db *db;
    struct buf rows; /* JSON array of the batch */
    struct emit_json rows_json;
    struct buf gateways; /* JSON array of all that name one */
    struct emit_json gateways_json;
    struct map seen;  /* names that have a line */
    struct map names; /* names that were taken, and may be gateways */
    struct map tokens;
    uint32_t *lines; /* of the batch */
    uint32_t batch;
    uint32_t gateway_count;
    int64_t created, updated, failed;
    struct buf errors;
    struct emit_json errors_json;
    uint32_t error_count;
    struct deferred *deferred;
    size_t deferred_count, deferred_cap;
    bool new_tokens;
    enum err err; /* the import cannot go on */
};

__attribute__((format(printf, 3, 4))) static void line_failed(struct import *im, uint32_t line,
                                                              const char *format, ...)
{
    im->failed++;
    if (im->error_count++ >= IMPORT_ERRORS_MAX) {
        return;
    }
    char detail[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    struct emit_json *j = &im->errors_json;
    emit_json_open(j, '{');
    emit_json_key(j, "line");
    emit_json_int(j, line);
    emit_json_key(j, "detail");
    emit_json_str(j, detail);
    emit_json_close(j, '}');
}

/* ---- batches ------------------------------------------------------------------------------------
 */

static void rows_begin(struct import *im)
{
    buf_clear(&im->rows);
    im->rows_json = emit_json_init(&im->rows);
    emit_json_open(&im->rows_json, '[');
    im->batch = 0;
}

/* Lines that are not among the rows were refused by the database for a reason we can name. */
static void count_rows(struct import *im, const struct db_result *rows)
{
    for (int i = 0; i < db_rows(rows); i++) {
        uint32_t line = (uint32_t)db_get_int(rows, i, 0);
        *(db_get_bool(rows, i, 1) ? &im->created : &im->updated) += 1;
        for (uint32_t k = 0; k < im->batch; k++) {
            if (im->lines[k] == line) {
                im->lines[k] = im->lines[--im->batch];
                break;
            }
        }
    }
    for (uint32_t k = 0; k < im->batch; k++) {
        line_failed(im, im->lines[k], "the token belongs to another device");
    }
}

static void rows_flush(struct import *im)
{
    if (im->batch == 0 || im->err != ERR_OK) {
        return;
    }
    emit_json_close(&im->rows_json, ']');
    buf_put_u8(&im->rows, 0);
    struct db_result *rows = NULL;
    im->err = buf_err(&im->rows);
    if (im->err == ERR_OK) {
        im->err = store_device_import(im->db, (const char *)im->rows.data, &rows);
    }
    if (im->err == ERR_OK) {
        count_rows(im, rows);
        db_result_free(rows);
    }
    rows_begin(im);
}

/* ---- one line
 * ------------------------------------------------------------------------------------ */

static enum err token_hash(const char *token, char ret_hex[static 65])
{
    uint8_t hash[32];
    enum err e = auth_hash(view_str(token), hash);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < sizeof(hash); i++) {
        (void)snprintf(ret_hex + 2 * i, 3, "%02x", hash[i]);
    }
    return ERR_OK;
}

/* Enters a text; false: it is there already. */
static bool enter(struct import *im, struct map *map, const char *text)
{
    void *old = NULL;
    if (map_get(map, view_str(text)) != NULL) {
        return false;
    }
    enum err e = map_put(map, view_str(text), im, &old);
    im->err = im->err == ERR_OK ? e : im->err;
    return true;
}

static bool check_names(struct import *im, uint32_t line, const char *name, const char *type)
{
    if (!ident_valid(view_str(name))) {
        line_failed(im, line, "name must be 1 to 128 letters, digits, . _ : -");
        return false;
    }
    if (!enter(im, &im->seen, name)) {
        line_failed(im, line, "the device %s has a line already", name);
        return false;
    }
    struct device_type *t = catalog_type(im->r->api->catalog, view_str(type));
    device_type_drop(t);
    if (t == NULL) {
        line_failed(im, line, "there is no device type %s", type);
        return false;
    }
    return true;
}

static void row_add(struct import *im, uint32_t line, const char *name, const char *type,
                    const json_t *device, const struct device *old, const char *hash)
{
    struct emit_json *j = &im->rows_json;
    const json_t *labels = json_object_get(device, "labels");
    const json_t *attributes = json_object_get(device, "attributes");
    const json_t *enabled = json_object_get(device, "enabled");
    emit_json_open(j, '{');
    emit_json_key(j, "line");
    emit_json_int(j, line);
    emit_json_key(j, "name");
    emit_json_str(j, name);
    emit_json_key(j, "type");
    emit_json_str(j, type);
    emit_json_key(j, "labels");
    if (labels == NULL) {
        emit_json_raw(j, VIEW("{}"));
    } else {
        api_json_write(&im->rows, labels);
        j->comma = true;
    }
    emit_json_key(j, "attributes");
    if (attributes == NULL) {
        emit_json_raw(j, VIEW("{}"));
    } else {
        api_json_write(&im->rows, attributes);
        j->comma = true;
    }
    emit_json_key(j, "enabled");
    emit_json_bool(j, enabled == NULL ? old == NULL || old->enabled : json_is_true(enabled));
    if (hash != NULL) {
        emit_json_key(j, "hash");
        emit_json_str(j, hash);
        im->new_tokens = true;
    }
    emit_json_close(j, '}');
    im->lines[im->batch++] = line;
}

static void gateway_add(struct import *im, const char *name, const char *gateway)
{
    struct emit_json *j = &im->gateways_json;
    emit_json_open(j, '{');
    emit_json_key(j, "name");
    emit_json_str(j, name);
    emit_json_key(j, "gateway");
    emit_json_str(j, gateway);
    emit_json_close(j, '}');
    im->gateway_count++;
}

static bool gateway_known(struct import *im, const char *gateway)
{
    if (map_get(&im->names, view_str(gateway)) != NULL) {
        return true;
    }
    struct device *g = catalog_device(im->r->api->catalog, view_str(gateway));
    bool known = g != NULL && auth_bearer_sees(im->r->api->auth, &im->r->bearer, g);
    device_drop(g);
    return known;
}

static void defer(struct import *im, uint32_t line, json_t *device)
{
    if (im->deferred_count == im->deferred_cap) {
        size_t cap = im->deferred_cap == 0 ? 64 : im->deferred_cap * 2;
        struct deferred *grown = realloc(im->deferred, cap * sizeof(*grown));
        if (grown == NULL) {
            im->err = ERR_NOMEM;
            return;
        }
        im->deferred = grown;
        im->deferred_cap = cap;
    }
    im->deferred[im->deferred_count++] = (struct deferred){line, json_incref(device)};
}

static const char *member_text(const json_t *device, const char *name)
{
    return json_string_value(json_object_get(device, name));
}

/* The type that the line names, or the one that the device has. */
static const char *type_of(const json_t *device, const struct device *old)
{
    const char *type = member_text(device, "type");
    return type != NULL ? type : old != NULL ? old->type->name : "generic";
}

/* What the fields say, but for the gateway; false: the line was told to be wrong. */
static bool check_device(struct import *im, uint32_t line, const json_t *device,
                         const struct device *old)
{
    const char *name = member_text(device, "name");
    const char *token = member_text(device, "token");
    const char *gateway = member_text(device, "gateway");
    if (!check_names(im, line, name, type_of(device, old))) {
        return false;
    }
    bool seen = old == NULL || auth_bearer_sees(im->r->api->auth, &im->r->bearer, old);
    if (!seen || !api_sees_preview(im->r, name, type_of(device, old), old,
                                   json_object_get(device, "labels"))) {
        line_failed(im, line, "the token's selector does not admit this device");
        return false;
    }
    if (gateway != NULL && strcmp(gateway, name) == 0) {
        line_failed(im, line, "a device is not its own gateway");
        return false;
    }
    if (token != NULL && !api_token_fits(view_str(token))) {
        line_failed(im, line, "token must have 20 to 256 printable characters without blanks");
        return false;
    }
    if (token != NULL && !enter(im, &im->tokens, token)) {
        line_failed(im, line, "the token is used by a line before");
        return false;
    }
    return true;
}

static void take_device(struct import *im, uint32_t line, const json_t *device)
{
    char hash[65];
    const char *name = member_text(device, "name");
    const char *token = member_text(device, "token");
    const char *gateway = member_text(device, "gateway");
    struct device *old = catalog_device(im->r->api->catalog, view_str(name));
    if (token != NULL && token_hash(token, hash) != ERR_OK) {
        im->err = ERR_NOMEM;
        device_drop(old);
        return;
    }
    (void)enter(im, &im->names, name);
    row_add(im, line, name, type_of(device, old), device, old, token == NULL ? NULL : hash);
    if (gateway != NULL) {
        gateway_add(im, name, gateway);
    }
    device_drop(old);
    if (im->batch == IMPORT_BATCH) {
        rows_flush(im);
    }
}

/* A device, now or when its gateway was taken. */
static void take_or_defer(struct import *im, uint32_t line, json_t *device)
{
    const char *gateway = member_text(device, "gateway");
    struct device *old = catalog_device(im->r->api->catalog, view_str(member_text(device, "name")));
    bool good = check_device(im, line, device, old);
    device_drop(old);
    if (!good) {
        return;
    }
    if (gateway == NULL || gateway_known(im, gateway)) {
        take_device(im, line, device);
    } else {
        defer(im, line, device);
    }
}

/* Each round takes those whose gateway was taken in the one before; what is left has none. */
static void take_deferred(struct import *im)
{
    bool progress = true;
    while (progress && im->err == ERR_OK) {
        progress = false;
        size_t kept = 0;
        for (size_t i = 0; i < im->deferred_count; i++) {
            struct deferred d = im->deferred[i];
            if (!gateway_known(im, member_text(d.device, "gateway"))) {
                im->deferred[kept++] = d;
                continue;
            }
            progress = true;
            take_device(im, d.line, d.device);
            json_decref(d.device);
        }
        im->deferred_count = kept;
    }
    for (size_t i = 0; i < im->deferred_count; i++) {
        const json_t *device = im->deferred[i].device;
        line_failed(im, im->deferred[i].line, "there is no gateway %s",
                    member_text(device, "gateway"));
        json_decref(im->deferred[i].device);
    }
    im->deferred_count = 0;
}

/* Types of all fields; false: the line was told to be wrong. */
static bool check_fields(struct import *im, uint32_t line, const json_t *device)
{
    struct api_errors errors = {0};
    struct api_fields f = api_fields_init(device, "", &errors);
    api_fields_only(&f, "name type token gateway labels attributes enabled");
    (void)api_field_text(&f, "name", true);
    (void)api_field_text(&f, "type", false);
    (void)api_field_text(&f, "token", false);
    (void)api_field(&f, "gateway", API_STRING | API_NULL, false);
    (void)api_field(&f, "enabled", API_BOOL, false);
    api_check_labels(&f, false);
    api_check_attributes(&f);
    if (errors.count > 0) {
        line_failed(im, line, "%s %s", errors.items[0].pointer, errors.items[0].detail);
        return false;
    }
    return true;
}

/* ---- NDJSON
 * --------------------------------------------------------------------------------------- */

static void import_ndjson(struct import *im, struct view body)
{
    uint32_t line = 0;
    while (body.len > 0 && im->err == ERR_OK) {
        const uint8_t *end = memchr(body.data, '\n', body.len);
        size_t n = end == NULL ? body.len : (size_t)(end - body.data);
        struct view text = view_of(body.data, n);
        body = view_skip(body, end == NULL ? n : n + 1);
        line++;
        while (text.len > 0 &&
               (text.data[text.len - 1] == '\r' || text.data[text.len - 1] == ' ')) {
            text.len--;
        }
        if (text.len == 0) {
            continue;
        }
        json_t *device = NULL;
        char detail[200];
        if (api_json_load(text, &device, detail, sizeof(detail)) != ERR_OK) {
            line_failed(im, line, "%s", detail);
        } else if (check_fields(im, line, device)) {
            take_or_defer(im, line, device);
        }
        json_decref(device);
    }
}

/* ---- CSV
 * ------------------------------------------------------------------------------------------ */

static bool column_known(struct view name)
{
    static const char *const names[] = {"name", "type", "token", "gateway", "enabled"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (view_eq_str(name, names[i])) {
            return true;
        }
    }
    return (name.len > 6 && view_starts(name, VIEW("label."))) ||
           (name.len > 5 && view_starts(name, VIEW("attr.")));
}

/* Attributes are numbers and booleans where they look like one: rules compute with them. */
static json_t *attribute_value(struct view text)
{
    if (view_eq_str(text, "true") || view_eq_str(text, "false")) {
        return json_boolean(text.data[0] == 't');
    }
    json_t *v = json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
    if (json_is_number(v)) {
        return v;
    }
    json_decref(v);
    return json_stringn((const char *)text.data, text.len);
}

static void set_member(json_t *device, const char *group, struct view name, json_t *value)
{
    json_t *object = json_object_get(device, group);
    if (object == NULL) {
        object = json_object();
        (void)json_object_set_new(device, group, object);
    }
    (void)json_object_set_new(object, (const char *)name.data, value);
}

/* A record as the same document that a line of NDJSON is. An empty field is one that is not there.
 */
static json_t *record_device(const struct view *columns, const struct view *fields, uint32_t count)
{
    json_t *device = json_object();
    for (uint32_t i = 0; i < count && device != NULL; i++) {
        struct view text = fields[i];
        json_t *value = NULL;
        if (text.len == 0) {
            continue;
        }
        if (view_starts(columns[i], VIEW("label."))) {
            value = json_stringn((const char *)text.data, text.len);
            set_member(device, "labels", view_skip(columns[i], 6), value);
        } else if (view_starts(columns[i], VIEW("attr."))) {
            set_member(device, "attributes", view_skip(columns[i], 5), attribute_value(text));
        } else {
            value = view_eq_str(columns[i], "enabled")
                        ? attribute_value(text)
                        : json_stringn((const char *)text.data, text.len);
            (void)json_object_set_new(device, (const char *)columns[i].data, value);
        }
    }
    return device;
}

static void take_record(struct import *im, uint32_t line, const struct view *columns,
                        const struct view *fields, uint32_t count)
{
    json_t *device = record_device(columns, fields, count);
    if (device == NULL) {
        im->err = ERR_NOMEM;
    } else if (check_fields(im, line, device)) {
        take_or_defer(im, line, device);
    }
    json_decref(device);
}

/* The head of the table; false: answered already. */
static bool read_columns(struct import *im, struct api_csv *csv, struct arena *a,
                         struct view *columns, uint32_t *ret_count)
{
    enum err e = api_csv_next(csv, a, columns, ret_count);
    if (e != ERR_OK) {
        api_fail(im->r, PROBLEM_BAD_REQUEST, "the first line must name the columns");
        return false;
    }
    bool named = false;
    for (uint32_t i = 0; i < *ret_count; i++) {
        named = named || view_eq_str(columns[i], "name");
        if (!column_known(columns[i])) {
            api_fail(im->r, PROBLEM_BAD_REQUEST,
                     "the column %.*s is not known; columns are name, type, token, gateway, "
                     "enabled, label.KEY and attr.KEY",
                     VIEW_ARG(columns[i]));
            return false;
        }
    }
    if (!named) {
        api_fail(im->r, PROBLEM_BAD_REQUEST, "there is no column name");
    }
    return named;
}

static void import_csv(struct import *im, struct view body)
{
    struct api_csv csv = api_csv_init(body);
    struct arena head;
    struct arena a;
    arena_init(&head, IMPORT_ARENA_MAX);
    arena_init(&a, IMPORT_ARENA_MAX);
    struct view columns[API_CSV_FIELDS_MAX];
    struct view fields[API_CSV_FIELDS_MAX];
    uint32_t column_count = 0;
    bool good = read_columns(im, &csv, &head, columns, &column_count);
    while (good && im->err == ERR_OK) {
        uint32_t n = 0;
        arena_reset(&a);
        enum err e = api_csv_next(&csv, &a, fields, &n);
        if (e == ERR_SKIP) {
            break;
        }
        if (e != ERR_OK) {
            line_failed(im, csv.line, "the line is no CSV record: %s", err_words(e));
        } else if (n == 1 && fields[0].len == 0) {
            continue; /* an empty line */
        } else if (n != column_count) {
            line_failed(im, csv.line, "%u fields where %u columns are named", n, column_count);
        } else {
            take_record(im, csv.line, columns, fields, n);
        }
    }
    arena_fini(&a);
    arena_fini(&head);
}

/* ---- all
 * ------------------------------------------------------------------------------------------ */

static bool import_init(struct import *im, struct api_request *r, struct db *db)
{
    *im = (struct import){.r = r, .db = db};
    buf_init(&im->rows, API_ANSWER_MAX);
    buf_init(&im->gateways, API_ANSWER_MAX);
    buf_init(&im->errors, API_ANSWER_MAX);
    map_init(&im->seen);
    map_init(&im->names);
    map_init(&im->tokens);
    im->lines = calloc(IMPORT_BATCH, sizeof(*im->lines));
    im->gateways_json = emit_json_init(&im->gateways);
    emit_json_open(&im->gateways_json, '[');
    im->errors_json = emit_json_init(&im->errors);
    emit_json_open(&im->errors_json, '[');
    rows_begin(im);
    return im->lines != NULL;
}

static void import_fini(struct import *im)
{
    buf_fini(&im->rows);
    buf_fini(&im->gateways);
    buf_fini(&im->errors);
    map_fini(&im->seen);
    map_fini(&im->names);
    map_fini(&im->tokens);
    free(im->lines);
    free(im->deferred);
}

static void import_gateways(struct import *im)
{
    emit_json_close(&im->gateways_json, ']');
    buf_put_u8(&im->gateways, 0);
    if (im->gateway_count == 0 || im->err != ERR_OK) {
        return;
    }
    im->err = buf_err(&im->gateways);
    if (im->err == ERR_OK) {
        im->err = store_device_import_gateways(im->db, (const char *)im->gateways.data);
    }
}

static enum err import_end(struct import *im)
{
    char detail[120];
    (void)snprintf(detail, sizeof(detail), "{\"created\":%lld,\"updated\":%lld,\"failed\":%lld}",
                   (long long)im->created, (long long)im->updated, (long long)im->failed);
    enum err e = store_audit(im->db, im->r->bearer.name, "device.import", "", detail);
    if (e == ERR_OK) {
        e = catalog_refresh_devices(im->r->api->catalog, im->db);
    }
    if (e == ERR_OK && im->new_tokens) {
        e = auth_load(im->r->api->auth, im->db);
    }
    return e;
}

static void answer_import(struct import *im)
{
    struct emit_json j = emit_json_init(&im->r->out);
    emit_json_close(&im->errors_json, ']');
    emit_json_open(&j, '{');
    emit_json_key(&j, "created");
    emit_json_int(&j, im->created);
    emit_json_key(&j, "updated");
    emit_json_int(&j, im->updated);
    emit_json_key(&j, "failed");
    emit_json_int(&j, im->failed);
    emit_json_key(&j, "errors");
    emit_json_raw(&j, buf_view(&im->errors));
    emit_json_close(&j, '}');
    api_answer(im->r, MHD_HTTP_OK);
}

void api_handle_devices_import(struct api_request *r, struct db *db)
{
    struct import im;
    if (r->body.len == 0) {
        api_fail(r, PROBLEM_BAD_REQUEST, "the body is empty");
        return;
    }
    if (!import_init(&im, r, db)) {
        import_fini(&im);
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    if (r->body_media == API_MEDIA_CSV) {
        import_csv(&im, buf_view(&r->body));
    } else {
        import_ndjson(&im, buf_view(&r->body));
    }
    take_deferred(&im);
    rows_flush(&im);
    import_gateways(&im);
    if (im.created + im.updated > 0) {
        /* Also after a failure: what was stored before it is there. */
        enum err e = import_end(&im);
        im.err = im.err == ERR_OK ? e : im.err;
    }
    if (im.err != ERR_OK) {
        api_fail_err(r, im.err, "import");
    } else if (!r->failed) {
        answer_import(&im);
    }
    import_fini(&im);
}
