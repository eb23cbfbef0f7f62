#include "api/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"
#include "api/sockets.h"
#include "api/stream.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "base/log.h"

struct api_request *api_request_new(struct api *a, struct MHD_Connection *c, const char *target)
{
    struct api_request *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->api = a;
    r->connection = c;
    r->socket = api_socket_of(c);
    atomic_init(&r->holds, 1);
    arena_init(&r->arena, API_REQUEST_ARENA_MAX);
    buf_init(&r->body, (size_t)a->conf->http_body_max_bytes + 1);
    buf_init(&r->out, API_ANSWER_MAX);
    (void)snprintf(r->id, sizeof(r->id), "%016llx-%llx", (unsigned long long)a->boot,
                   (unsigned long long)atomic_fetch_add(&a->request_seq, 1) + 1);
    size_t len = strlen(target);
    r->target =
        arena_view(&r->arena, view_of(target, len > API_TARGET_MAX ? API_TARGET_MAX + 1 : len));
    r->errors = arena_zalloc(&r->arena, sizeof(*r->errors));
    if (r->target.data == NULL || r->errors == NULL) {
        api_request_drop(r);
        return NULL;
    }
    return r;
}

void api_request_hold(struct api_request *r)
{
    atomic_fetch_add(&r->holds, 1);
}

void api_request_drop(struct api_request *r)
{
    if (atomic_fetch_sub(&r->holds, 1) != 1) {
        return;
    }
    if (r->counted) {
        atomic_fetch_sub(&r->api->body_bytes, (long long)r->body.len);
    }
    if (r->self != NULL) {
        device_drop(r->self);
    }
    json_decref(r->json);
    buf_fini(&r->body);
    buf_fini(&r->out);
    arena_fini(&r->arena);
    free(r);
}

/* ---- reading --------------------------------------------------------------------------------- */

const char *api_param_text(const struct api_request *r, const char *name)
{
    return (const char *)api_query_get(&r->query, name).data;
}

bool api_param_limit(struct api_request *r, int64_t most, int64_t standard, int64_t *ret_limit)
{
    struct view text = api_query_get(&r->query, "limit");
    if (text.data == NULL) {
        *ret_limit = standard;
        return true;
    }
    int64_t limit = 0;
    if (api_int_parse(text, &limit) != ERR_OK || limit < 1 || limit > most) {
        api_fail(r, PROBLEM_BAD_REQUEST, "limit must be an integer from 1 to %lld",
                 (long long)most);
        return false;
    }
    *ret_limit = limit;
    return true;
}

bool api_param_time(struct api_request *r, const char *name, int64_t standard_us, int64_t *ret_us)
{
    struct view text = api_query_get(&r->query, name);
    if (text.data == NULL) {
        *ret_us = standard_us;
        return true;
    }
    if (api_time_parse(text, clock_wall_us(), ret_us) != ERR_OK) {
        api_fail(
            r, PROBLEM_BAD_REQUEST,
            "%s must be a time: RFC 3339 with zone (2026-03-09T10:46:06Z), epoch milliseconds, "
            "now, or relative to now (-1h)",
            name);
        return false;
    }
    return true;
}

bool api_param_duration(struct api_request *r, const char *name, int64_t *ret_us)
{
    struct view text = api_query_get(&r->query, name);
    if (text.data != NULL && clock_parse_duration(text, ret_us) != ERR_OK) {
        api_fail(r, PROBLEM_BAD_REQUEST, "%s must be a duration such as 30s, 5m, 1h30m or 7d",
                 name);
        return false;
    }
    return true;
}

bool api_param_cursor(struct api_request *r, char tag, const struct api_cursor *start,
                      struct api_cursor *ret_cursor)
{
    struct view text = api_query_get(&r->query, "cursor");
    *ret_cursor = *start;
    if (text.data != NULL && api_cursor_read(text, tag, ret_cursor) != ERR_OK) {
        api_fail(r, PROBLEM_BAD_REQUEST, "cursor is not one that this list gave as next_cursor");
        return false;
    }
    ret_cursor->tag = tag;
    return true;
}

bool api_param_id(struct api_request *r, struct view text, int64_t *ret_id)
{
    int64_t id = 0;
    if (api_int_parse(text, &id) != ERR_OK || id < 1) {
        api_fail(r, PROBLEM_NOT_FOUND, "there is no such id");
        return false;
    }
    *ret_id = id;
    return true;
}

const json_t *api_body(struct api_request *r)
{
    char detail[200];
    enum err e = api_json_load(buf_view(&r->body), &r->json, detail, sizeof(detail));
    if (e != ERR_OK) {
        api_fail(r, PROBLEM_BAD_REQUEST, "%s", detail);
        return NULL;
    }
    if (!json_is_object(r->json)) {
        api_errors_add(r->errors, "", "must be an object");
        api_refuse(r);
        return NULL;
    }
    return r->json;
}

void api_refuse(struct api_request *r)
{
    const char *at = r->errors->items[0].pointer;
    api_fail(r, PROBLEM_INVALID, "%s: %s", at[0] == '\0' ? "the body" : at,
             r->errors->items[0].detail);
}

bool api_invalid(struct api_request *r)
{
    if (r->errors->count == 0) {
        return false;
    }
    api_refuse(r);
    return true;
}

/* ---- who may see what ------------------------------------------------------------------------ */

bool api_unlimited(const struct api_request *r)
{
    return r->bearer.selector == NULL;
}

struct device *api_device(struct api_request *r, struct view name)
{
    struct device *d = catalog_device(r->api->catalog, name);
    if (d != NULL && !auth_bearer_sees(r->api->auth, &r->bearer, d)) {
        device_drop(d);
        d = NULL;
    }
    if (d == NULL) {
        api_fail(r, PROBLEM_NOT_FOUND, "there is no device %.*s", VIEW_ARG(name));
    }
    return d;
}

bool api_sees_id(struct api_request *r, int32_t device_id)
{
    if (api_unlimited(r)) {
        return true;
    }
    struct device *d = catalog_device_by_id(r->api->catalog, device_id);
    bool sees = d != NULL && auth_bearer_sees(r->api->auth, &r->bearer, d);
    device_drop(d);
    return sees;
}

struct device_visit {
    struct device **devices;
    size_t count, cap;
    const struct rule_selector *selector;
    bool failed;
};

static bool visit_device(void *arg, struct device *d)
{
    struct device_visit *v = arg;
    if (v->selector != NULL && !rule_selector_matches(v->selector, d)) {
        return true;
    }
    if (v->count == v->cap) {
        size_t cap = v->cap == 0 ? 256 : v->cap * 2;
        struct device **grown = realloc(v->devices, cap * sizeof(struct device *));
        if (grown == NULL) {
            v->failed = true;
            return false;
        }
        v->devices = grown;
        v->cap = cap;
    }
    device_hold(d);
    v->devices[v->count++] = d;
    return true;
}

/* The catalog's lock is not held while auth is asked. */
static enum err collect_ids(struct api_request *r, const struct rule_selector *selector,
                            struct buf *out)
{
    struct device_visit v = {.selector = selector};
    catalog_visit_devices(r->api->catalog, visit_device, &v);
    buf_put_u8(out, '{');
    for (size_t i = 0; i < v.count; i++) {
        if (auth_bearer_sees(r->api->auth, &r->bearer, v.devices[i])) {
            buf_printf(out, "%s%d", out->len > 1 ? "," : "", v.devices[i]->id);
        }
        device_drop(v.devices[i]);
    }
    buf_put(out, "}", 2); /* with the NUL byte */
    free(v.devices);
    return v.failed ? ERR_NOMEM : buf_err(out);
}

static bool one_device_ids(struct api_request *r, struct view name, const char **ret_ids)
{
    struct device *d = catalog_device(r->api->catalog, name);
    bool sees = d != NULL && auth_bearer_sees(r->api->auth, &r->bearer, d);
    char *text = arena_alloc(&r->arena, 24);
    if (text != NULL) {
        (void)snprintf(text, 24, sees ? "{%d}" : "{}", sees ? d->id : 0);
    }
    device_drop(d);
    *ret_ids = text;
    return text != NULL;
}

bool api_device_ids(struct api_request *r, const char **ret_ids)
{
    struct view name = api_query_get(&r->query, "device");
    struct view select = api_query_get(&r->query, "select");
    *ret_ids = NULL;
    if (name.data != NULL && select.data != NULL) {
        api_fail(r, PROBLEM_BAD_REQUEST, "give either device or select");
        return false;
    }
    if (name.data != NULL) {
        return one_device_ids(r, name, ret_ids);
    }
    struct rule_selector *selector = NULL;
    struct rule_error error = {0};
    if (select.len > 0 && rule_selector_parse(select, &selector, &error) != ERR_OK) {
        api_fail(r, PROBLEM_BAD_REQUEST, "select, column %d: %s", error.column, error.detail);
        return false;
    }
    if (selector == NULL && api_unlimited(r)) {
        return true;
    }
    struct buf ids;
    buf_init(&ids, API_ANSWER_MAX);
    enum err e = collect_ids(r, selector, &ids);
    rule_selector_free(selector);
    if (e == ERR_OK) {
        r->arena.limit_bytes += ids.len + 64;
        *ret_ids = (const char *)arena_view(&r->arena, buf_view(&ids)).data;
    }
    buf_fini(&ids);
    if (*ret_ids == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return false;
    }
    return true;
}

/* ---- answering ------------------------------------------------------------------------------- */

void api_answer(struct api_request *r, unsigned status)
{
    r->status = status;
    if (buf_err(&r->out) != ERR_OK) {
        api_fail(r, PROBLEM_INTERNAL, "the answer is too large; ask for less with limit");
    }
}

void api_fail(struct api_request *r, enum problem p, const char *format, ...)
{
    char detail[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    const uint8_t *mark = r->target.len == 0 ? NULL : memchr(r->target.data, '?', r->target.len);
    struct view path =
        view_of(r->target.data, mark == NULL ? r->target.len : (size_t)(mark - r->target.data));
    path.len = path.len > 512 ? 512 : path.len;
    r->failed = true;
    r->status = problem_status(p);
    r->out_type = "application/problem+json";
    buf_clear(&r->out);
    problem_write(&r->out, p, detail, path, r->id, r->errors);
    if (p == PROBLEM_UNAVAILABLE) {
        api_header(r, "Retry-After", "2");
    }
}

void api_fail_err(struct api_request *r, enum err e, const char *what)
{
    static const struct {
        enum err err;
        enum problem problem;
        const char *format;
    } answers[] = {
        {ERR_NOT_FOUND, PROBLEM_NOT_FOUND, "there is no %s"},
        {ERR_EXISTS, PROBLEM_CONFLICT, "%s exists already"},
        {ERR_CONFLICT, PROBLEM_CONFLICT, "%s was changed by somebody else just now; try again"},
        {ERR_STATE, PROBLEM_CONFLICT, "%s is not in a state that allows this"},
        {ERR_DB_DATA, PROBLEM_INVALID, "%s: the database refused the data"},
        {ERR_DB_DOWN, PROBLEM_UNAVAILABLE, "the database is not available"},
        {ERR_DB_UNKNOWN, PROBLEM_UNAVAILABLE, "the database did not answer; it may have happened"},
        {ERR_TIMEOUT, PROBLEM_UNAVAILABLE, "the database took too long; ask for less"},
        {ERR_CANCELLED, PROBLEM_UNAVAILABLE, "the server is stopping"},
        {ERR_FULL, PROBLEM_UNAVAILABLE, "the server is full"},
        {ERR_NOMEM, PROBLEM_UNAVAILABLE, "the server is out of memory"},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        if (answers[i].err == e) {
            char detail[300];
            const char *mark = strstr(answers[i].format, "%s");
            int before =
                mark == NULL ? (int)strlen(answers[i].format) : (int)(mark - answers[i].format);
            (void)snprintf(detail, sizeof(detail), "%.*s%s%s", before, answers[i].format,
                           mark == NULL ? "" : what, mark == NULL ? "" : mark + 2);
            api_fail(r, answers[i].problem, "%s", detail);
            return;
        }
    }
    LOG(LOG_ERROR, "http_request_failed", LOG_S("request_id", r->id), LOG_S("what", what),
        LOG_S("error", err_words(e)));
    api_fail(r, PROBLEM_INTERNAL, "the server failed; its log has more under this request_id");
}

void api_header(struct api_request *r, const char *name, const char *format, ...)
{
    char value[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    char *kept = arena_str(&r->arena, view_str(value));
    if (kept != NULL && r->header_count < API_HEADERS_MAX) {
        r->headers[r->header_count].name = name;
        r->headers[r->header_count].value = kept;
        r->header_count++;
    }
}

void api_etag(struct api_request *r, int64_t version)
{
    api_header(r, "ETag", "\"%lld\"", (long long)version);
}

const char *api_request_header(const struct api_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool api_read_key(struct api_request *r)
{
    const char *key = api_request_header(r, "Idempotency-Key");
    if (key == NULL) {
        return true;
    }
    struct view text = view_str(key);
    bool good = text.len > 0 && text.len <= API_KEY_MAX;
    for (size_t i = 0; i < text.len; i++) {
        good = good && text.data[i] > 0x20 && text.data[i] < 0x7F;
    }
    if (!good) {
        api_fail(r, PROBLEM_BAD_REQUEST,
                 "Idempotency-Key must have 1 to %d printable characters without blanks",
                 API_KEY_MAX);
        return false;
    }
    r->op.idempotency_key = arena_str(&r->arena, text);
    return true;
}

void api_fail_key(struct api_request *r)
{
    api_errors_add(r->errors, "", "the Idempotency-Key was used for another request");
    api_refuse(r);
}

bool api_need_match(struct api_request *r, bool required, int64_t version)
{
    const char *if_match = api_request_header(r, "If-Match");
    if (if_match == NULL && required) {
        api_fail(r, PROBLEM_PRECONDITION_REQUIRED, "send If-Match with the ETag that was read");
        return false;
    }
    if (if_match != NULL && !api_if_match(if_match, version)) {
        api_fail(r, PROBLEM_PRECONDITION_FAILED,
                 "it has changed since that ETag was read; its version is now %lld",
                 (long long)version);
        return false;
    }
    return true;
}

struct emit_json api_list_begin(struct api_request *r)
{
    struct emit_json j = emit_json_init(&r->out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "items");
    emit_json_open(&j, '[');
    return j;
}

void api_list_end(struct api_request *r, struct emit_json *j, const struct api_cursor *next)
{
    emit_json_close(j, ']');
    emit_json_key(j, "next_cursor");
    if (next == NULL) {
        emit_json_null(j);
    } else {
        char text[API_CURSOR_TEXT_SIZE];
        emit_json_str(j, api_cursor_write(next, text));
    }
    emit_json_close(j, '}');
    api_answer(r, MHD_HTTP_OK);
}

void api_answer_rows(struct api_request *r, struct db_result *rows, int64_t limit, char tag)
{
    struct emit_json j = api_list_begin(r);
    int n = db_rows(rows) < (int)limit ? db_rows(rows) : (int)limit;
    for (int i = 0; i < n; i++) {
        emit_json_raw(&j, db_get_view(rows, i, 0));
    }
    struct api_cursor next = {.tag = tag};
    bool more = db_rows(rows) > n;
    if (more) {
        next.a = db_get_int(rows, n - 1, 1);
        next.b = db_get_int(rows, n - 1, 2);
        (void)view_copy(db_get_view(rows, n - 1, 3), next.name, sizeof(next.name));
    }
    db_result_free(rows);
    api_list_end(r, &j, more ? &next : NULL);
}

void api_answer_row(struct api_request *r, struct db_result *row, unsigned status)
{
    buf_put_view(&r->out, db_get_view(row, 0, 0));
    db_result_free(row);
    api_answer(r, status);
}

/* Words are plain, so that none needs quotes inside an array. */
static bool put_words(struct buf *out, struct view words)
{
    for (size_t i = 0; i < words.len; i++) {
        uint8_t c = words.data[i];
        if (c != ',' && c != '_' && c != '-' && (c < 'a' || c > 'z')) {
            return false;
        }
    }
    buf_put_str(out, out->len > 1 ? "," : "");
    buf_put_view(out, words);
    return words.len > 0 && words.data[0] != ',' && words.data[words.len - 1] != ',';
}

bool api_param_words(struct api_request *r, const char *name, const char **ret_array)
{
    struct buf array;
    buf_init(&array, API_TARGET_MAX + 16);
    buf_put_str(&array, "{");
    bool good = true;
    for (uint32_t i = 0; i < r->query.param_count; i++) {
        if (view_eq_str(r->query.params[i].name, name)) {
            good = good && put_words(&array, r->query.params[i].value);
        }
    }
    *ret_array = NULL;
    if (!good) {
        api_fail(r, PROBLEM_BAD_REQUEST, "%s must be words separated by commas", name);
    } else if (array.len > 1) {
        buf_put(&array, "}", 2);
        *ret_array = (const char *)arena_view(&r->arena, buf_view(&array)).data;
    }
    buf_fini(&array);
    return good;
}

const char *api_path_name(struct api_request *r, struct view name)
{
    char *out = arena_alloc(&r->arena, name.len * 3 + 1);
    if (out == NULL) {
        return "";
    }
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out[n++] = (char)c;
        } else {
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
        }
    }
    out[n] = '\0';
    return out;
}

/* ---- waiting --------------------------------------------------------------------------------- */

bool api_request_suspend(struct api_request *r)
{
    /* In this order, see api_stop(): it waits for those who are busy after it said so. */
    atomic_fetch_add(&r->api->busy, 1);
    if (atomic_load(&r->api->stopping)) {
        atomic_fetch_sub(&r->api->busy, 1);
        api_fail_err(r, ERR_CANCELLED, "");
        return false;
    }
    r->phase = API_PHASE_WORK;
    api_request_hold(r);
    api_socket_step(r->api->sockets, r->socket, API_STEP_WORK);
    MHD_suspend_connection(r->connection);
    return true;
}

void api_request_finish(struct api_request *r)
{
    struct api *a = r->api;
    r->phase = API_PHASE_DONE;
    MHD_resume_connection(r->connection);
    api_request_drop(r);
    atomic_fetch_sub(&a->busy, 1);
}

void api_request_again(struct api_request *r, store_work_fn work)
{
    store_run(r->api->store, &r->job, work);
}

void api_submit(struct api_request *r, void (*done)(struct api_op *op))
{
    if (r->phase != API_PHASE_WORK && !api_request_suspend(r)) {
        return;
    }
    r->waiting = true;
    r->op.actor = r->bearer.name;
    r->op.done = done;
    r->op.arg = r;
    r->api->hooks.submit(r->api->hooks.arg, &r->op);
}

void api_fail_op(struct api_request *r, const char *what)
{
    const struct api_op *op = &r->op;
    const char *detail = op->detail[0] == '\0' ? err_words(op->status) : op->detail;
    switch ((int)op->status) {
    case ERR_FULL:
        api_header(r, "Retry-After", "5");
        api_fail(r, PROBLEM_TOO_MANY, "%s", detail);
        return;
    case ERR_STATE:
    case ERR_CONFLICT:
    case ERR_EXISTS:
        api_fail(r, PROBLEM_CONFLICT, "%s: %s", what, detail);
        return;
    case ERR_SHORT:
    case ERR_SYNTAX:
    case ERR_MALFORMED:
    case ERR_UTF8:
        api_fail(r, PROBLEM_BAD_REQUEST, "%s", detail);
        return;
    case ERR_TYPE:
    case ERR_RANGE:
    case ERR_LIMIT:
    case ERR_UNKNOWN_NAME:
    case ERR_UNSUPPORTED:
        api_errors_add(r->errors, op->pointer, "%s", detail);
        api_refuse(r);
        return;
    default:
        api_fail_err(r, op->status, what);
    }
}
