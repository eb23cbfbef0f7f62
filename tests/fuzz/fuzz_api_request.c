/*
 * Whole requests through the HTTP interface: target, head and body as a client may send them, to
 * every route, over a libmicrohttpd and a libpq that are not there (fake/mhd.h, fake/pq.h). All is
 * ours from the first byte to the answer; only the rows are made up.
 *
 * Properties: one answer to each request, with a status that this interface has and a body of its
 * type; never 500; a problem says what its status says; names in the path do not change their
 * meaning; PostgreSQL is given only what its casts take: UTF-8, whole JSON, numbers in range; what
 * the core is given is checked; a client that leaves early is no trouble; nothing leaks.
 *
 * Input: the choices that make up a request (see ask()), then faults, then raw bytes. The shapes
 * are in api_shapes.h.
 */
#include <jansson.h>

#include "api/events.h"
#include "api/internal.h"
#include "api/waits.h"
#include "api_shapes.h"
#include "base/clock.h"
#include "base/ident.h"
#include "base/utf8.h"
#include "conf/load.h"
#include "fake/mhd.h"
#include "fake/pq.h"
#include "fake/worker.h"

enum { REQUEST_MAX = 1 << 16, TEXTS = 40 };

static struct conf *conf;
static struct intern *metrics;
static struct catalog *catalog;
static struct auth *auth;
static struct api *api;
static struct db *db;
static int64_t base_us;
static struct script *shape; /* what is left of the input, for choices while a request runs */
static bool plain_failure;   /* a fault was put in, or PostgreSQL said no: 5xx may be right */
static int submitted;

/* ---- the database ---- */

struct pq_session {
    int pid;
};

static struct pq_session *model_open(int pid)
{
    struct pq_session *s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->pid = pid;
    return s;
}

static void model_close(struct pq_session *s)
{
    free(s);
}

static void model_tx(struct pq_session *s)
{
    (void)s;
}

static PGresult *model_copied(struct pq_session *s, const char *sql, struct view bytes)
{
    (void)s;
    (void)sql;
    (void)bytes;
    CHECK(false); /* the interface copies nothing into the database */
}

static bool int32_fits(const char *text)
{
    int64_t v = 0;
    return api_int_parse(view_str(text), &v) == ERR_OK && v >= INT32_MIN && v <= INT32_MAX;
}

static bool array_of_ints(const char *text)
{
    struct view left = view_str(text);
    bool good = left.len >= 2 && left.data[0] == '{' && left.data[left.len - 1] == '}';
    return good && strspn(text + 1, "0123456789,-") == left.len - 2;
}

static bool json_good(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    json_decref(json);
    return json != NULL;
}

/* "$3::jsonb" promises that the third parameter is JSON. */
static void check_params(const struct pq_call *call)
{
    for (int i = 0; i < call->count; i++) {
        const char *value = call->values[i];
        if (value == NULL || call->formats[i] == 1) {
            continue;
        }
        CHECK(utf8_valid(view_str(value)));
        char mark[16];
        int n = snprintf(mark, sizeof(mark), "$%d::", i + 1);
        for (const char *at = strstr(call->sql, mark); at != NULL; at = strstr(at + 1, mark)) {
            const char *type = at + n;
            fuzz_trace("  %s%.8s %s", mark, type, value);
            if (strncmp(type, "jsonb", 5) == 0) {
                CHECK(json_good(value));
            } else if (strncmp(type, "int[]", 5) == 0) {
                CHECK(array_of_ints(value));
            } else if (strncmp(type, "int", 3) == 0 && strncmp(type, "interval", 8) != 0) {
                CHECK(int32_fits(value));
            } else if (strncmp(type, "text[]", 6) == 0) {
                CHECK(value[0] == '{');
            }
        }
    }
}

static bool starts(const char *sql, const char *words)
{
    return strncmp(sql, words, strlen(words)) == 0;
}

#define ROW(...)                              \
    do {                                      \
        const char *row_[] = {__VA_ARGS__};   \
        pq_row(r, (int)COUNT_OF(row_), row_); \
    } while (0)

static const char *hash_of(PGresult *r, const char *secret)
{
    uint8_t hash[32];
    char hex[65];
    CHECK(auth_hash(view_str(secret), hash) == ERR_OK);
    for (size_t i = 0; i < sizeof(hash); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    return pq_text(r, "%s", hex);
}

static bool wants(const struct pq_call *call, const char *name)
{
    return call->count == 0 || call->values[0] == NULL || strcmp(call->values[0], name) == 0 ||
           strstr(call->sql, "name = $1") == NULL;
}

/* Tables that are read into memory. NULL: another one. */
static PGresult *memory_rows(const struct pq_call *call)
{
    const char *sql = call->sql;
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    if (starts(sql, "SELECT id, name FROM metrics")) {
        ROW("1", "temp");
        ROW("2", "on");
    } else if (starts(sql, "SELECT t.id, t.name, t.any_metric")) {
        if (wants(call, "generic")) {
            ROW("1", "generic", "t", "t", NULL);
        }
        if (wants(call, "t1")) {
            ROW("2", "t1", "f", "f", "5");
        }
    } else if (starts(sql, "SELECT t.id, m.key")) {
        if (wants(call, "t1")) {
            ROW("2", "temp", "C", "-40", "125", "10", "511 -1", NULL);
        }
    } else if (starts(sql, "SELECT t.id, l.kind")) {
        if (wants(call, "t1")) {
            ROW("2", "0", "reboot");
            ROW("2", "1", "plant/+/up/#");
        }
    } else if (starts(sql, "SELECT id, name, type_id")) {
        if (wants(call, "d1")) {
            ROW("7", "d1", "2", "8", "t");
        }
        if (wants(call, "gw")) {
            ROW("8", "gw", "1", "0", "t");
        }
        if (wants(call, "d2")) {
            ROW("9", "d2", "1", "0", "f");
        }
    } else if (starts(sql, "SELECT d.id, p.key") && strstr(sql, "d.labels") != NULL) {
        ROW("7", "site", "a", "string");
    } else if (starts(sql, "SELECT d.id, p.key")) {
        ROW("7", "x", "1.5", "number");
    } else if (starts(sql, "SELECT id, version, name, definition")) {
        if (wants(call, "r1")) {
            ROW("1", "3", "r1", "{\"name\":\"r1\",\"when\":\"temp > 5\"}");
        }
    } else if (starts(sql, "SELECT id, name, definition::text FROM geofences")) {
        if (wants(call, "yard")) {
            ROW("3", "yard",
                "{\"name\":\"yard\",\"kind\":\"circle\",\"center\":[1,2],\"radius_m\":30}");
        }
    } else if (starts(sql, "SELECT r.id, r.version, r.name, r.definition::text")) {
        ROW("1", "3", "r1", "{\"name\":\"r1\",\"when\":\"temp > 5\"}");
    } else if (starts(sql, "SELECT id, device_id, kind")) {
        ROW("5", "7", "token", hash_of(r, "sbd_device"), NULL, NULL, "f");
    } else if (starts(sql, "SELECT id, name, encode(hash")) {
        ROW("1", "admin", hash_of(r, "sba_admin"), "admin", NULL, NULL);
        ROW("2", "narrow", hash_of(r, "sba_narrow"), "admin", "site = 'a'", NULL);
        ROW("3", "reader", hash_of(r, "sba_reader"), "devices:read telemetry:read", NULL, NULL);
    } else {
        PQclear(r);
        return NULL;
    }
    return r;
}

static const char *item_of(const char *sql)
{
    if (strstr(sql, "device_types t") != NULL || strstr(sql, "t.definition") != NULL) {
        return "{\"name\":\"t1\",\"metrics\":{},\"commands\":[],\"topics\":{\"publish\":[],"
               "\"subscribe\":[]}}";
    }
    if (strstr(sql, "geofences g") != NULL || strstr(sql, "WITH g AS") != NULL) {
        return "{\"name\":\"yard\",\"kind\":\"circle\",\"center\":[1,2],\"radius_m\":30}";
    }
    if (strstr(sql, "rules r") != NULL || strstr(sql, "WITH r AS") != NULL) {
        return "{\"name\":\"r1\",\"when\":\"temp > 5\"}";
    }
    return "{\"id\":42,\"name\":\"d1\",\"type\":\"t1\",\"labels\":{},\"attributes\":{}}";
}

/* What the store's queries give, as their headers have it. */
static PGresult *other_rows(const struct pq_call *call)
{
    static const char *const states[] = {"queued", "succeeded", "sent", "firing"};
    const char *sql = call->sql;
    uint8_t how = script_byte(shape);
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    bool one = starts(sql, "WITH t AS (INSERT") || starts(sql, "WITH r AS (INSERT") ||
               starts(sql, "WITH g AS (INSERT") ||
               starts(sql, "SELECT coalesce(string_agg(x.name") ||
               starts(sql, "WITH c AS (INSERT") || starts(sql, "WITH s AS (INSERT") ||
               strstr(sql, "coalesce(min(id), 0)") != NULL;
    int rows = one ? 1 : how % 4;
    bool readings = strstr(sql, "h.metrics, coalesce(s.values") != NULL ||
                    strstr(sql, "array_agg(b.metric") != NULL;
    bool rejected = starts(sql, "SELECT m.id, ");
    bool events = starts(sql, "SELECT id, kind, ");
    for (int i = 0; i < rows; i++) {
        const char *id = pq_text(r, "%d", 10 + i);
        if (readings) {
            const char *ts = pq_text(r, "%lld", 1767225600000000LL + i);
            ROW(ts, id, how & 4 ? NULL : "{1,2}",
                how & 4  ? NULL
                : i == 0 ? "{1.5,NULL}"
                         : "{NaN,2}",
                how & 8 ? "{\"on\":true,\"a,\\\"b\":\"x\\ny\"}" : NULL);
        } else if (rejected) {
            ROW(id, "1767225600000000", "d1", "v1/x", "why", "/a", "de\"tail",
                how & 4 ? "00ff" : "", "2");
        } else if (events) {
            ROW(id, "alert.firing", "7", "{\"id\":1}");
        } else if (starts(sql, "SELECT watermark")) {
            ROW("2026-01-01 00:00:00.5+00");
        } else if (strstr(sql, "coalesce(min(id), 0)") != NULL) {
            ROW("10", "12");
        } else if (starts(sql, "WITH c AS (INSERT INTO credentials")) {
            ROW("5");
        } else if (starts(sql, "WITH r AS (SELECT")) {
            ROW(pq_text(r, "%d", i + 1), "t");
        } else {
            ROW(item_of(sql), one || how & 4 ? "3" : "7", states[how / 8 % 4], "name", "7");
        }
    }
    return r;
}

static PGresult *model_execute(const struct pq_call *call)
{
    const char *sql = call->sql;
    check_params(call);
    if (starts(sql, "SET ")) {
        return pq_result(PGRES_COMMAND_OK);
    }
    if (starts(sql, "SHOW ")) {
        PGresult *r = pq_result(PGRES_TUPLES_OK);
        ROW("on");
        return r;
    }
    PGresult *r = memory_rows(call);
    return r != NULL ? r : other_rows(call);
}

static const struct pq_model model = {.open = model_open,
                                      .close = model_close,
                                      .execute = model_execute,
                                      .copied = model_copied,
                                      .begin = model_tx,
                                      .commit = model_tx,
                                      .rollback = model_tx};

/* ---- around the api ---- */

static void job_run(struct mail *m)
{
    struct store_job *job = (struct store_job *)(void *)m;
    bool away = db == NULL || !db_alive(db);
    plain_failure = plain_failure || away;
    job->work(job, away ? NULL : db);
    plain_failure = plain_failure || !db_alive(db);
}

void store_run(struct store *s, struct store_job *job, store_work_fn work)
{
    job->store = s;
    job->work = work;
    job->mail.run = job_run;
    worker_post(NULL, &job->mail);
}

static bool printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= 0x20 || *text >= 0x7F) {
            return false;
        }
    }
    return true;
}

static void submit(void *arg, struct api_op *op)
{
    static const enum err ends[] = {ERR_OK,        ERR_OK,    ERR_EXISTS,   ERR_NOT_FOUND,
                                    ERR_STATE,     ERR_FULL,  ERR_CONFLICT, ERR_DB_DOWN,
                                    ERR_MALFORMED, ERR_RANGE, ERR_TYPE,     ERR_CANCELLED};
    (void)arg;
    submitted++;
    CHECK(op->actor != NULL && op->done != NULL);
    switch (op->kind) {
    case API_OP_COMMAND_CREATE:
        CHECK(op->device_id > 0 && ident_valid(view_str(op->method)) && json_good(op->params));
        CHECK(op->params[0] == '{' && strlen(op->params) <= 65536);
        CHECK(op->expires_us >= 0 && op->expires_us <= 30 * CLOCK_DAY_US);
        CHECK(op->idempotency_key == NULL ||
              (op->idempotency_key[0] != '\0' && strlen(op->idempotency_key) <= 200 &&
               printable(op->idempotency_key)));
        break;
    case API_OP_COMMAND_CANCEL:
        CHECK(op->id > 0);
        break;
    case API_OP_ALERT_ACK:
        CHECK(op->id > 0 && (op->comment == NULL || utf8_valid(view_str(op->comment))));
        break;
    case API_OP_TELEMETRY: {
        CHECK(op->device_id > 0 && op->body.len > 0 && op->body.data[op->body.len] == 0);
        break;
    }
    case API_OP_ALERT_LIFE:
        CHECK(op->id > 0 && (op->comment == NULL || utf8_valid(view_str(op->comment))));
        CHECK(op->assignee == NULL || utf8_valid(view_str(op->assignee)));
        break;
    case API_OP_OVERRIDE:
        CHECK(op->device_id > 0);
        break;
    case API_OP_NOTE: {
        json_t *json = json_loadb((const char *)op->body.data, op->body.len, 0, NULL);
        CHECK(json_is_object(json));
        json_decref(json);
        break;
    }
    }
    uint8_t how = script_byte(shape);
    op->status = ends[how % COUNT_OF(ends)];
    plain_failure = plain_failure || op->status == ERR_DB_DOWN || op->status == ERR_CANCELLED;
    op->ret_id = 42;
    op->ret_state = how & 16 ? "queued" : NULL;
    (void)snprintf(op->detail, sizeof(op->detail), "%s", how & 32 ? "what is wrong" : "");
    (void)snprintf(op->pointer, sizeof(op->pointer), "%s", how & 32 ? "/a" : "");
    op->done(op);
}

static void revoked(void *arg, int32_t device_id, int64_t credential_id)
{
    (void)arg;
    CHECK(device_id > 0 && credential_id >= 0);
}

static bool online(void *arg, int32_t device_id)
{
    (void)arg;
    return device_id == 7;
}

static bool ready(void *arg, char *ret_why, size_t size)
{
    (void)arg;
    (void)snprintf(ret_why, size, "no database");
    return script_byte(shape) % 2 == 0;
}

int64_t __wrap_clock_mono_us(void);
int64_t __wrap_clock_mono_us(void)
{
    return base_us + pq_now_us();
}

int64_t __wrap_clock_wall_us(void);
int64_t __wrap_clock_wall_us(void)
{
    return 1767225600000000 + pq_now_us();
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x5A, len);
    return (ssize_t)len;
}

/* One thing that goes on meanwhile. */
static bool go_on(void)
{
    if (worker_run_one()) {
        return true;
    }
    uint8_t how = script_byte(shape);
    if (how % 8 == 1) {
        api_event(api, &(struct api_event){.id = 20 + how,
                                           .kind = "command.succeeded",
                                           .device_id = 7,
                                           .command_id = 42,
                                           .command_final = how % 16 == 1,
                                           .json = VIEW("{\"id\":1}")});
    }
    pq_sleep_us(70 * CLOCK_SECOND_US); /* longer than any wait */
    api_waits_tick(api->waits, clock_mono_us());
    api_events_tick(api->events, clock_mono_us());
    return worker_run_one();
}

/* ---- requests ---- */

static char *texts[TEXTS];
static int text_count;

/* Of exactly its size; a NUL byte ends it. */
static const char *keep_text(struct view v)
{
    if (text_count == TEXTS) {
        return "";
    }
    char *copy = malloc(v.len + 1);
    CHECK(copy != NULL);
    (void)view_copy(v, copy, v.len + 1);
    copy = realloc(copy, strlen(copy) + 1);
    texts[text_count++] = copy;
    return copy;
}

/* One of the table, or raw bytes where it says NULL. */
#define PICK(table) pick((table), COUNT_OF(table))
static const char *pick(const char *const *table, size_t count)
{
    const char *text = table[script_byte(shape) % count];
    return text != NULL ? text : keep_text(script_take(shape, script_byte(shape)));
}

/* What libmicrohttpd lets through in a field's value. */
static const char *header_value(const char *text)
{
    char *copy = (char *)(uintptr_t)keep_text(view_str(text));
    for (char *at = copy; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            *at = '_';
        }
    }
    return copy;
}

static void add_header(struct mhd_request *q, const char *name, const char *value)
{
    if (q->header_count < MHD_FAKE_HEADERS_MAX) {
        q->headers[q->header_count].name = name;
        q->headers[q->header_count++].value = header_value(value);
    }
}

/* The route's path with names in its places, and some of its parameters. */
static const char *make_target(const struct api_route *route)
{
    static char target[REQUEST_MAX];
    size_t len = 0;
    for (const char *at = route->path; *at != '\0' && len < sizeof(target) / 2; at++) {
        if (*at != '{') {
            target[len++] = *at;
            continue;
        }
        len += (size_t)snprintf(target + len, 300, "%s", PICK(api_names));
        at = strchr(at, '}');
    }
    int params = script_byte(shape) % 4;
    for (int i = 0; i < params && len < sizeof(target) - 1200; i++) {
        struct view names = view_str(route->params);
        uint8_t which = script_byte(shape);
        const char *name = "limit";
        for (int k = 0; k <= which % 8 && names.len > 0; k++) {
            const uint8_t *space = memchr(names.data, ' ', names.len);
            size_t n = space == NULL ? names.len : (size_t)(space - names.data);
            name = keep_text(view_of(names.data, n));
            names = view_skip(names, space == NULL ? n : n + 1);
        }
        len += (size_t)snprintf(target + len, 600, "%c%s=%s", i == 0 ? '?' : '&', name,
                                PICK(api_params));
    }
    return keep_text(view_of(target, len));
}

/* The n-th number, word, text or name of JSON text. */
static struct view token_of(struct view json, unsigned n)
{
    for (size_t i = 0; i < json.len; i++) {
        size_t from = i;
        if (json.data[i] == '"') {
            for (i++; i < json.len && json.data[i] != '"'; i++) {
                i += json.data[i] == '\\';
            }
        } else if (memchr("{}[]:, \n", json.data[i], 8) != NULL) {
            continue;
        } else {
            while (i + 1 < json.len && memchr("{}[]:, \n", json.data[i + 1], 8) == NULL) {
                i++;
            }
        }
        if (n-- == 0) {
            size_t end = i < json.len ? i + 1 : json.len;
            return view_of(json.data + from, end - from);
        }
    }
    return view_of(NULL, 0);
}

static void replace(struct buf *body, struct view part, const char *by)
{
    struct buf made;
    buf_init(&made, REQUEST_MAX);
    size_t at = (size_t)(part.data - body->data);
    buf_put(&made, body->data, at);
    buf_put_str(&made, by);
    buf_put_view(&made, view_skip(buf_view(body), at + part.len));
    buf_fini(body);
    *body = made;
}

static void make_body(struct buf *body)
{
    uint8_t which = script_byte(shape);
    if (which % 16 == 15) {
        buf_put_view(body, script_take(shape, SIZE_MAX));
        return;
    }
    buf_put_str(body, api_bodies[which % COUNT_OF(api_bodies)]);
    for (int edits = script_byte(shape) % 4; edits > 0; edits--) {
        struct view part = token_of(buf_view(body), script_byte(shape) % 32);
        const char *by = PICK(api_values);
        if (part.data != NULL) {
            replace(body, part, by);
        }
    }
}

static void make_head(struct mhd_request *q)
{
    const char *token = api_tokens[script_byte(shape) % 32 % COUNT_OF(api_tokens)];
    if (token != NULL) {
        add_header(q, "Authorization", token);
    }
    uint8_t has = script_byte(shape);
    static const struct {
        const char *name;
        const char *const *values;
        size_t count;
    } heads[] = {
        {"Content-Type", api_types, COUNT_OF(api_types)},
        {"Accept", api_accepts, COUNT_OF(api_accepts)},
        {"If-Match", api_matches, COUNT_OF(api_matches)},
        {"Idempotency-Key", api_names, COUNT_OF(api_names)},
        {"X-Request-Id", api_names, COUNT_OF(api_names)},
        {"Content-Length", api_params, COUNT_OF(api_params)},
    };
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        if ((has >> i & 1) != 0) {
            add_header(q, heads[i].name, pick(heads[i].values, heads[i].count));
            if ((has & 0x80) != 0 && i == script_byte(shape) % 8) {
                add_header(q, heads[i].name, "again");
            }
        }
    }
    if ((has & 0x20) == 0 && q->body.len > 0) {
        char length[24];
        (void)snprintf(length, sizeof(length), "%zu", q->body.len);
        add_header(q, "Content-Length", length);
    }
}

/* ---- answers ---- */

static const unsigned statuses[] = {200, 201, 202, 204, 302, 303, 307, 308, 400, 401, 403, 404,
                                    405, 406, 409, 412, 413, 414, 415, 422, 428, 429, 500, 503};

static void check_problem(const struct mhd_answer *a, const json_t *json)
{
    CHECK(json_integer_value(json_object_get(json, "status")) == (json_int_t)a->status);
    CHECK(json_is_string(json_object_get(json, "type")) &&
          json_is_string(json_object_get(json, "title")) &&
          json_is_string(json_object_get(json, "detail")));
    CHECK(a->status != 503 || plain_failure || a->retry_after > 0);
    CHECK(a->status != 405 || a->allow == 1);
}

static void check_answer(const struct mhd_answer *a, const struct mhd_request *q)
{
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        known = known || statuses[i] == a->status;
    }
    fuzz_trace("%u %s %.*s", a->status, a->type, a->body.len > 400 ? 400 : (int)a->body.len,
               (const char *)a->body.data);
    CHECK(known && (a->status != 500 || plain_failure));
    CHECK(a->status != 503 || plain_failure || strcmp(q->target, "/readyz") == 0 ||
          strncmp(q->target, "/readyz?", 8) == 0);
    if (a->status == 204 || a->status == 302) {
        CHECK(a->body.len == 0);
        return;
    }
    CHECK(a->type[0] != '\0' && (a->streamed || a->body.len > 0 || a->status >= 300 ||
                                 strncmp(a->type, "text/", 5) == 0));
    if (a->streamed || strstr(a->type, "json") == NULL || strstr(a->type, "ndjson") != NULL) {
        return;
    }
    json_t *json = json_loadb((const char *)a->body.data, a->body.len, 0, NULL);
    CHECK(json != NULL);
    if (a->status >= 400 && strstr(a->type, "problem") != NULL) {
        check_problem(a, json);
    }
    json_decref(json);
}

static void ask(void)
{
    static const char *const methods[] = {"GET",    "POST", "PUT",    "PATCH",
                                          "DELETE", "HEAD", "OPTIONS"};
    uint32_t count = 0;
    const struct api_route *routes = api_routes(&count);
    const struct api_route *route = &routes[script_byte(shape) % count];
    uint8_t how = script_byte(shape);
    struct mhd_request q = {.method = (how & 15) == 15 ? methods[how / 16 % COUNT_OF(methods)]
                                                       : route->method,
                            .piece = (how & 16) != 0 ? 7 : 0};
    q.target = (how & 15) == 14 ? keep_text(script_take(shape, 200)) : make_target(route);
    struct buf body;
    buf_init(&body, REQUEST_MAX);
    if ((route->flags & API_ROUTE_BODY) != 0 || (how & 32) != 0) {
        make_body(&body);
    }
    q.body = buf_view(&body);
    make_head(&q);
    fuzz_trace("%s %s, %.*s", q.method, q.target, (int)q.body.len, (const char *)q.body.data);
    for (int i = 0; i < q.header_count; i++) {
        fuzz_trace("  %s: %s", q.headers[i].name, q.headers[i].value);
    }
    struct mhd_answer a;
    mhd_ask(&q, go_on, script_byte(shape) % 4, &a);
    if (a.status != 0) {
        check_answer(&a, &q);
    }
    CHECK(atomic_load(&api->busy) == 0 && atomic_load(&api->body_bytes) == 0 && submitted <= 1);
    buf_fini(&a.body);
    buf_fini(&body);
}

/* ---- the whole ---- */

static void open_all(void)
{
    static const struct api_hooks hooks = {
        .submit = submit, .credential_revoked = revoked, .online = online, .ready = ready};
    struct conf_error error;
    CHECK(conf_load_text(VIEW("database_url: postgresql:///x\nhttp_listen: 127.0.0.1:0\n"), "fuzz",
                         NULL, &conf, &error) == ERR_OK);
    conf->http_body_max_bytes = 8192;
    metrics = intern_new(1000);
    catalog = catalog_new(conf, metrics);
    auth = auth_new(conf, catalog);
    CHECK(catalog_load(catalog, db) == ERR_OK && auth_load(auth, db) == ERR_OK);
    CHECK(api_new(conf, NULL, catalog, auth, &hooks, &api) == ERR_OK);
    CHECK(api_start(api) == ERR_OK);
    worker_forget_all(); /* the ticker's thread: go_on() */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script all = script_of(data, size < 2000 ? size : 2000);
    struct script none = {0};
    shape = &none;
    if (api == NULL) {
        pq_begin(&model, none);
        CHECK(db_open("", "fuzz", &db) == ERR_OK);
        open_all();
        db_close(db);
        db = NULL;
        pq_end();
    }
    base_us += 120 * CLOCK_SECOND_US; /* so that tokens of the last one are forgotten */
    struct script faults = script_part(&all, script_byte(&all) % 16);
    shape = &all;
    plain_failure = !script_over(&faults);
    submitted = 0;
    pq_begin(&model, faults);
    if (db_open("", "fuzz", &db) != ERR_OK) {
        db = NULL;
    }
    ask();
    db_close(db);
    db = NULL;
    pq_end();
    while (text_count > 0) {
        free(texts[--text_count]);
    }
    return 0;
}
