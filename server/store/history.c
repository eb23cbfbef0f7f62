/*
 * history: COPY … TO STDOUT (FORMAT binary), row by row.
 *
 * A row is device, ts, received_at, shape, value, values, extra and, for a shape that was made
 * since the shapes were read, its metrics. Binary, because printing and reading doubles would cost
 * several times what the rules do. Formats: PostgreSQL's manual, COPY, "Binary Format"; timestamptz
 * is µs since 2000-01-01, an array is ndim, has nulls, type, (size, lower bound) for each
 * dimension, elements with their lengths.
 */
#include "store/history.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/wire.h"
#include "store/query_internal.h"

#define EPOCH_2000_US (946684800LL * CLOCK_SECOND_US)

enum { COPY_HEAD = 19, ROW_FIELDS = 8, ROW_ARENA_LIMIT = 64 << 20, SQL_LIMIT = 1 << 20 };

static const char copy_signature[11] = "PGCOPY\n\377\r\n"; /* its NUL is the eleventh byte */

struct shape {
    int32_t *metrics;
    uint32_t count;
};

struct store_history {
    struct intern *metrics;
    struct shape *shapes; /* by number */
    int32_t shape_count;  /* one more than the highest */
    struct arena arena;   /* of a row */
    /* of a read */
    store_sample_fn sink;
    void *arg;
    bool begun; /* the head of the stream was there */
    bool enough;
    enum err err;
};

struct store_history *store_history_new(struct intern *metrics)
{
    struct store_history *h = calloc(1, sizeof(*h));
    if (h != NULL) {
        h->metrics = metrics;
        arena_init(&h->arena, ROW_ARENA_LIMIT);
    }
    return h;
}

void store_history_free(struct store_history *h)
{
    if (h == NULL) {
        return;
    }
    for (int32_t i = 0; i < h->shape_count; i++) {
        free(h->shapes[i].metrics);
    }
    free(h->shapes);
    arena_fini(&h->arena);
    free(h);
}

/* ---- shapes -----------------------------------------------------------------------------------
 */

static struct shape *shape_place(struct store_history *h, int32_t id)
{
    if (id >= h->shape_count) {
        struct shape *grown = realloc(h->shapes, ((size_t)id + 1) * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        memset(grown + h->shape_count, 0, (size_t)(id + 1 - h->shape_count) * sizeof(*grown));
        h->shapes = grown;
        h->shape_count = id + 1;
    }
    return &h->shapes[id];
}

/* "1,2,3" */
static enum err shape_put(struct store_history *h, int32_t id, struct view text)
{
    uint32_t count = text.len > 0;
    for (size_t i = 0; i < text.len; i++) {
        count += text.data[i] == ',';
    }
    struct shape *s = id <= 0 ? NULL : shape_place(h, id);
    int32_t *metrics = s == NULL ? NULL : malloc(((size_t)count + 1) * sizeof(*metrics));
    if (metrics == NULL) {
        return id <= 0 ? ERR_MALFORMED : ERR_NOMEM;
    }
    uint32_t n = 0;
    int32_t metric = 0;
    for (size_t i = 0; i <= text.len && count > 0; i++) {
        if (i == text.len || text.data[i] == ',') {
            metrics[n++] = metric;
            metric = 0;
        } else {
            metric = metric * 10 + (text.data[i] - '0');
        }
    }
    free(s->metrics);
    *s = (struct shape){.metrics = metrics, .count = n};
    return ERR_OK;
}

static enum err shapes_read(struct store_history *h, struct db *db)
{
    struct db_params p = {0};
    struct db_result *r = NULL;
    db_int(&p, h->shape_count);
    enum err e = db_query(db,
                          "SELECT id, array_to_string(metrics, ',') FROM shapes WHERE id >= $1"
                          " ORDER BY id DESC",
                          &p, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        e = shape_put(h, (int32_t)db_get_int(r, i, 0), db_get_view(r, i, 1));
    }
    if (r != NULL) {
        db_result_free(r);
    }
    return e;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

/* The next field; .data NULL: null. */
static struct view field(struct wire *w)
{
    uint32_t len = wire_u32(w);
    return len == UINT32_MAX ? view_of(NULL, 0) : wire_bytes(w, len);
}

static double real_of(struct view v)
{
    struct wire w = wire_init(v);
    uint64_t bits = wire_u64(&w);
    double d = 0;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static int32_t int_of(struct view v)
{
    struct wire w = wire_init(v);
    return (int32_t)wire_u32(&w);
}

static int64_t time_of(struct view v)
{
    struct wire w = wire_init(v);
    return (int64_t)wire_u64(&w) + EPOCH_2000_US;
}

static void add(struct sample *s, int32_t metric, enum value_kind kind, double number,
                struct view text)
{
    s->values[s->count++] =
        (struct sample_value){.metric = metric, .kind = kind, .number = number, .text = text};
}

static enum err numbers(struct sample *s, const struct shape *shape, struct view array)
{
    struct wire w = wire_init(array);
    uint32_t dimensions = wire_u32(&w);
    (void)wire_u32(&w); /* has nulls */
    (void)wire_u32(&w); /* type */
    uint32_t count = wire_u32(&w);
    (void)wire_u32(&w); /* lower bound */
    if (dimensions != 1 || count != shape->count) {
        return ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct view v = field(&w);
        if (v.len == sizeof(double)) {
            add(s, shape->metrics[i], VALUE_NUMBER, real_of(v), view_of(NULL, 0));
        }
    }
    return wire_err(&w) == ERR_OK ? ERR_OK : ERR_MALFORMED;
}

/* Booleans and texts by name. */
static void extras(struct store_history *h, struct sample *s, json_t *object)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(object, name, value)
    {
        int32_t metric = intern_find(h->metrics, view_str(name));
        if (metric == 0) {
            continue;
        }
        if (json_is_boolean(value)) {
            add(s, metric, VALUE_BOOL, json_is_true(value) ? 1 : 0, view_of(NULL, 0));
        } else if (json_is_string(value)) {
            struct view text =
                arena_view(&h->arena, view_of(json_string_value(value), json_string_length(value)));
            add(s, metric, VALUE_TEXT, 0, text);
        }
    }
}

struct row {
    int32_t device_id;
    int64_t ts_us, received_us;
    int32_t shape;
    struct view value, values, extra, metrics;
};

static enum err row_sample(struct store_history *h, const struct row *row, json_t *extra,
                           struct sample *ret_sample)
{
    static const struct shape none = {0};
    bool known = row->shape > 0 && row->shape < h->shape_count;
    const struct shape *shape = known ? &h->shapes[row->shape] : &none;
    size_t most = shape->count + json_object_size(extra) + 1;
    struct sample s = {.ts_us = row->ts_us,
                       .values = arena_alloc(&h->arena, most * sizeof(*s.values))};
    if (s.values == NULL) {
        return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    if (row->values.data != NULL) {
        e = numbers(&s, shape, row->values);
    } else if (row->value.len == sizeof(double)) {
        if (shape->count != 1) {
            return ERR_MALFORMED;
        }
        add(&s, shape->metrics[0], VALUE_NUMBER, real_of(row->value), view_of(NULL, 0));
    }
    if (e == ERR_OK && extra != NULL) {
        int32_t twice = 0;
        extras(h, &s, extra);
        e = sample_sort(&s, &twice);
    }
    *ret_sample = s;
    return e;
}

static enum err take_row(struct store_history *h, struct wire *w)
{
    struct row row = {0};
    struct view device = field(w);
    struct view ts = field(w);
    struct view received = field(w);
    struct view shape = field(w);
    row.value = field(w);
    row.values = field(w);
    row.extra = field(w);
    row.metrics = field(w);
    if (wire_err(w) != ERR_OK || device.len != sizeof(int32_t) || ts.len != sizeof(int64_t) ||
        received.len != sizeof(int64_t)) {
        return ERR_MALFORMED;
    }
    row.ts_us = time_of(ts);
    row.received_us = time_of(received);
    row.device_id = int_of(device);
    row.shape = shape.data == NULL ? 0 : int_of(shape);
    arena_reset(&h->arena);
    enum err e = row.metrics.data == NULL ? ERR_OK : shape_put(h, row.shape, row.metrics);
    json_t *extra = row.extra.data == NULL
                        ? NULL
                        : json_loadb((const char *)row.extra.data, row.extra.len, 0, NULL);
    struct sample s;
    e = e == ERR_OK ? row_sample(h, &row, extra, &s) : e;
    if (e == ERR_OK && !h->sink(h->arg, row.device_id, &s, row.received_us)) {
        h->enough = true;
    }
    json_decref(extra);
    return e;
}

/* One message of the stream: its head, rows, or both; never a part of a row. */
static bool take_chunk(void *arg, struct view chunk)
{
    struct store_history *h = arg;
    struct wire w = wire_init(chunk);
    if (!h->begun) {
        struct view head = wire_bytes(&w, COPY_HEAD);
        h->begun = true;
        if (head.len != COPY_HEAD ||
            memcmp(head.data, copy_signature, sizeof(copy_signature)) != 0) {
            h->err = ERR_MALFORMED;
        }
    }
    while (h->err == ERR_OK && !h->enough && wire_left(&w) > 0) {
        uint16_t fields = wire_u16(&w);
        if (fields == UINT16_MAX) {
            break; /* the end */
        }
        h->err = fields == ROW_FIELDS ? take_row(h, &w) : ERR_MALFORMED;
    }
    return h->err == ERR_OK && !h->enough;
}

static const char *time_text(int64_t us, const char *open, char text[static CLOCK_TEXT_SIZE])
{
    return us == CLOCK_NONE || us > CLOCK_MAX_US ? open
                                                 : clock_format(us < CLOCK_MIN_US ? 0 : us, text);
}

/* No scan that begins in the middle of a table, as another one passes there, and none by several
 * processes: rows come as they were written. */
static enum err in_order_of_arrival(struct db *db)
{
    return db_script(db, "SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0");
}

enum err store_history_read(struct store_history *h, struct db *db,
                            const struct store_history_query *q, store_sample_fn sink, void *arg)
{
    char from[CLOCK_TEXT_SIZE];
    char to[CLOCK_TEXT_SIZE];
    struct buf sql;
    enum err e = shapes_read(h, db);
    if (e == ERR_OK && q->device_id == 0) {
        e = in_order_of_arrival(db);
    }
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&sql, SQL_LIMIT);
    buf_printf(&sql,
               "COPY (SELECT s.device_id, s.ts, s.received_at, s.shape, s.value, s.values,"
               " s.extra::text, CASE WHEN s.shape >= %d THEN"
               " (SELECT array_to_string(h.metrics, ',') FROM shapes h WHERE h.id = s.shape) END"
               " FROM samples s WHERE s.ts >= '%s' AND s.ts < '%s' AND s.flags & 3 = 0",
               h->shape_count < 1 ? 1 : h->shape_count, time_text(q->from_us, "-infinity", from),
               time_text(q->to_us, "infinity", to));
    if (q->device_id != 0) {
        buf_printf(&sql, " AND s.device_id = %d ORDER BY s.ts, s.received_at", q->device_id);
    } else if (q->device_ids != NULL) {
        buf_printf(&sql, " AND s.device_id = ANY ('%s'::int[])", q->device_ids);
    }
    buf_put_str(&sql, ") TO STDOUT (FORMAT binary)");
    char *text = buf_take_str(&sql);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    h->sink = sink;
    h->arg = arg;
    h->begun = false;
    h->enough = false;
    h->err = ERR_OK;
    e = db_copy_out(db, text, take_chunk, h);
    free(text);
    return h->err != ERR_OK ? h->err : h->enough ? ERR_CANCELLED : e;
}

enum err store_history_first(struct db *db, int32_t device_id, int32_t metric, int64_t count,
                             int64_t through_us, double **ret_values, uint32_t *ret_count)
{
    struct db_params p = {0};
    struct db_result *r = NULL;
    db_int(&p, device_id);
    db_int(&p, metric);
    db_int(&p, count);
    db_time(&p, through_us);
    enum err e = db_query(
        db,
        "SELECT v FROM (SELECT DISTINCT ON (s.ts) s.ts, coalesce(s.value,"
        " s.values[array_position(sh.metrics, $2::int)]) AS v FROM samples s JOIN shapes sh ON"
        " sh.id = s.shape WHERE s.device_id = $1 AND s.flags & 3 = 0 AND s.ts <= $4"
        " AND sh.metrics @> ARRAY[$2::int] ORDER BY s.ts, s.received_at LIMIT $3) firsts"
        " ORDER BY ts",
        &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    uint32_t n = (uint32_t)db_rows(r);
    double *values = calloc((size_t)n + 1, sizeof(*values));
    for (uint32_t i = 0; values != NULL && i < n; i++) {
        values[i] = db_get_real(r, (int)i, 0);
    }
    db_result_free(r);
    if (values == NULL) {
        return ERR_NOMEM;
    }
    *ret_values = values;
    *ret_count = n;
    return ERR_OK;
}

enum err store_history_alerts(struct db *db, const char *rule, int32_t device_id, int64_t from_us,
                              int64_t to_us, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, rule);
    db_int(&p, device_id);
    db_time(&p, from_us);
    db_time(&p, to_us);
    return db_query(db,
                    "SELECT (extract(epoch FROM since) * 1000000)::bigint,"
                    " (extract(epoch FROM fired_at) * 1000000)::bigint,"
                    " (extract(epoch FROM resolved_at) * 1000000)::bigint, value, summary,"
                    " severity"
                    " FROM alerts WHERE rule = $1 AND device_id = $2 AND state <> 'retracted'"
                    " AND ($3::timestamptz IS NULL OR fired_at >= $3::timestamptz)"
                    " AND ($4::timestamptz IS NULL OR fired_at < $4::timestamptz)"
                    " ORDER BY fired_at, id",
                    &p, ret_rows);
}

enum err store_history_alert_at(struct db *db, const char *rule, int32_t device_id, int64_t at_us,
                                struct db_result **ret_row)
{
    struct db_params p = {0};
    struct db_result *r = NULL;
    db_text(&p, rule);
    db_int(&p, device_id);
    db_time(&p, at_us);
    enum err e = db_query(
        db,
        "SELECT json_build_object('id', a.id, 'severity', a.severity, 'state', a.state, "
        "'since', " QUERY_TS("a.since") ", 'fired_at', " QUERY_TS(
            "a.fired_at") ", 'resolved_at', " QUERY_TS("a.resolved_at") ", 'value', a.value, "
                                                                        "'summary', a.summary, "
                                                                        "'explain', a.explain,"
                                                                        " 'events', (SELECT "
                                                                        "coalesce(json_agg(json_"
                                                                        "build_object('kind', "
                                                                        "e.kind, 'ts', " QUERY_TS(
                                                                            "e.ts") ", 'actor', "
                                                                                    "e.actor, "
                                                                                    "'detail', "
                                                                                    "e.detail) "
                                                                                    "ORDER BY "
                                                                                    "e.id), '[]')"
                                                                                    " FROM "
                                                                                    "alert_events "
                                                                                    "e WHERE "
                                                                                    "e.alert_id = "
                                                                                    "a.id))::text,"
                                                                                    " a.resolved_"
                                                                                    "at IS NULL OR "
                                                                                    "a.resolved_at "
                                                                                    "> "
                                                                                    "$3::"
                                                                                    "timestamptz,"
                                                                                    " to_jsonb(a) "
                                                                                    "->> "
                                                                                    "'rule_version'"
                                                                                    " FROM alerts "
                                                                                    "a WHERE "
                                                                                    "a.rule = $1 "
                                                                                    "AND "
                                                                                    "a.device_id = "
                                                                                    "$2 AND "
                                                                                    "a.state <> "
                                                                                    "'retracted'"
                                                                                    " AND "
                                                                                    "a.fired_at <= "
                                                                                    "$3::"
                                                                                    "timestamptz "
                                                                                    "ORDER BY "
                                                                                    "a.fired_at "
                                                                                    "DESC, a.id "
                                                                                    "DESC LIMIT 1",
        &p, &r);
    if (e == ERR_OK && db_rows(r) == 0) {
        db_result_free(r);
        return ERR_NOT_FOUND;
    }
    if (e == ERR_OK) {
        *ret_row = r;
    }
    return e;
}

enum err store_history_next(struct db *db, int32_t device_id, int64_t after_us,
                            int64_t *ret_received_us)
{
    struct db_params p = {0};
    struct db_result *r = NULL;
    db_int(&p, device_id);
    db_time(&p, after_us);
    enum err e = db_query(db,
                          "SELECT (extract(epoch FROM received_at) * 1000000)::bigint FROM samples"
                          " WHERE device_id = $1 AND ts > $2::timestamptz AND flags & 3 = 0"
                          " ORDER BY ts, received_at LIMIT 1",
                          &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    e = db_rows(r) == 0 ? ERR_NOT_FOUND : ERR_OK;
    if (e == ERR_OK) {
        *ret_received_us = db_get_int(r, 0, 0);
    }
    db_result_free(r);
    return e;
}
