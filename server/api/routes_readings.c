/*
 * Latest values and readings. JSON answers are one page; CSV and NDJSON answers are streamed page
 * by page, so that a year of readings needs no more memory than an hour.
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/internal.h"
#include "api/reading_rows.h"
#include "api/stream.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/query_readings.h"

enum {
    READINGS_LIMIT = 1000,
    READINGS_LIMIT_MAX = 10000,
    READINGS_EXPORT_MAX = 10000000, /* rows of one streamed answer */
    READINGS_PAGE = 5000,
    READINGS_METRICS_MAX = 64,
};

void api_handle_latest_get(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_latest(db, d->id, api_param_text(r, "metric"), &rows);
    device_drop(d);
    if (e != ERR_OK) {
        api_fail_err(r, e, "latest values");
        return;
    }
    api_answer_rows(r, rows, db_rows(rows), 'l');
}

/* What was asked for, alive as long as the answer. */
struct readings {
    struct api *api;
    struct store_reading_query query;
    struct api_reading_shape shape;
    enum api_reading_form form;
    struct arena arena;
    int64_t left; /* rows still to give */
    bool head_written;
};

static void readings_free(struct readings *q)
{
    arena_fini(&q->arena);
    free(q);
}

/* ---- parameters
 * ---------------------------------------------------------------------------------- */

/* The names in "a,b" go behind those that are there already. */
static bool add_names(struct api_request *r, struct readings *q, struct view *names,
                      struct view text)
{
    while (text.len > 0) {
        const uint8_t *comma = memchr(text.data, ',', text.len);
        size_t n = comma == NULL ? text.len : (size_t)(comma - text.data);
        char *ended = arena_str(&q->arena, view_of(text.data, n));
        text = view_skip(text, comma == NULL ? n : n + 1);
        if (n == 0) {
            continue;
        }
        if (q->shape.name_count == READINGS_METRICS_MAX || ended == NULL) {
            api_fail(r, PROBLEM_BAD_REQUEST, "metric may name %d metrics", READINGS_METRICS_MAX);
            return false;
        }
        names[q->shape.name_count++] = view_of(ended, n);
    }
    return true;
}

/* The metrics as PostgreSQL arrays, by number and by name. */
static bool write_arrays(struct readings *q)
{
    struct buf ids;
    struct buf names;
    buf_init(&ids, API_TARGET_MAX);
    buf_init(&names, API_TARGET_MAX * 4);
    buf_put_u8(&ids, '{');
    buf_put_u8(&names, '{');
    for (uint32_t i = 0; i < q->shape.name_count; i++) {
        struct view name = q->shape.names[i];
        int32_t id = intern_find(q->shape.metrics, name);
        buf_printf(&ids, "%s%d", i == 0 ? "" : ",", id); /* 0: no such number */
        buf_put_str(&names, i == 0 ? "\"" : ",\"");
        for (size_t k = 0; k < name.len; k++) {
            if (name.data[k] == '"' || name.data[k] == '\\') {
                buf_put_u8(&names, '\\');
            }
            buf_put_u8(&names, name.data[k]);
        }
        buf_put_u8(&names, '"');
    }
    buf_put(&ids, "}", 2);
    buf_put(&names, "}", 2);
    q->query.metrics = (const char *)arena_view(&q->arena, buf_view(&ids)).data;
    q->query.names = (const char *)arena_view(&q->arena, buf_view(&names)).data;
    bool good = buf_err(&ids) == ERR_OK && buf_err(&names) == ERR_OK && q->query.metrics != NULL &&
                q->query.names != NULL;
    buf_fini(&ids);
    buf_fini(&names);
    return good;
}

static bool read_metrics(struct api_request *r, struct readings *q)
{
    struct view *names = arena_zalloc(&q->arena, READINGS_METRICS_MAX * sizeof(*names));
    for (uint32_t i = 0; i < r->query.param_count && names != NULL; i++) {
        if (view_eq_str(r->query.params[i].name, "metric") &&
            !add_names(r, q, names, r->query.params[i].value)) {
            return false;
        }
    }
    if (q->shape.name_count == 0) {
        return true;
    }
    q->shape.names = names;
    if (names == NULL || !write_arrays(q)) {
        api_fail_err(r, ERR_NOMEM, "");
        return false;
    }
    return true;
}

static bool read_agg(struct api_request *r, struct readings *q)
{
    static const char *const words[] = {"", "avg", "min", "max", "sum", "count", "last"};
    const char *agg = api_param_text(r, "agg");
    q->query.step_us = 0;
    if (!api_param_duration(r, "step", &q->query.step_us)) {
        return false;
    }
    if (agg != NULL) {
        for (size_t i = 1; i < COUNT_OF(words); i++) {
            q->query.agg = strcmp(agg, words[i]) == 0 ? (enum store_agg)i : q->query.agg;
        }
        if (q->query.agg == STORE_AGG_NONE) {
            api_fail(r, PROBLEM_BAD_REQUEST, "agg must be avg, min, max, sum, count or last");
            return false;
        }
    }
    bool step = api_param_text(r, "step") != NULL;
    if (!step && agg != NULL) {
        api_fail(r, PROBLEM_BAD_REQUEST, "agg needs step, the length of a bucket (step=5m)");
        return false;
    }
    if (step && q->query.step_us < CLOCK_SECOND_US) {
        api_fail(r, PROBLEM_BAD_REQUEST, "step must be at least 1s");
        return false;
    }
    q->query.agg = step && agg == NULL ? STORE_AGG_AVG : q->query.agg;
    return true;
}

static bool read_times(struct api_request *r, struct readings *q)
{
    if (!api_param_time(r, "to", CLOCK_NONE, &q->query.to_us) ||
        !api_param_time(r, "from", CLOCK_NONE, &q->query.from_us)) {
        return false;
    }
    if (q->query.from_us == CLOCK_NONE) {
        q->query.from_us = CLOCK_MIN_US; /* a page at a time, from the first reading on */
    }
    if (q->query.to_us != CLOCK_NONE && q->query.from_us > q->query.to_us) {
        api_fail(r, PROBLEM_BAD_REQUEST, "from is after to");
        return false;
    }
    const char *order = api_param_text(r, "order");
    if (order != NULL && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0) {
        api_fail(r, PROBLEM_BAD_REQUEST, "order must be asc or desc");
        return false;
    }
    q->query.newest_first = order != NULL && order[0] == 'd';
    return true;
}

/* All parameters but the device; false: answered already. */
static bool read_query(struct api_request *r, struct readings *q)
{
    bool json = r->media == API_MEDIA_JSON;
    q->form = json                        ? API_READING_JSON
              : r->media == API_MEDIA_CSV ? API_READING_CSV
                                          : API_READING_NDJSON;
    q->shape.metrics = catalog_metrics(r->api->catalog);
    static const struct api_cursor start = {.a = CLOCK_NONE};
    struct api_cursor at;
    if (!api_param_limit(r, json ? READINGS_LIMIT_MAX : READINGS_EXPORT_MAX,
                         json ? READINGS_LIMIT : READINGS_EXPORT_MAX, &q->left) ||
        !api_param_cursor(r, 'r', &start, &at) || !read_times(r, q) || !read_agg(r, q) ||
        !read_metrics(r, q)) {
        return false;
    }
    bool given = at.a != CLOCK_NONE;
    if (given &&
        (at.a < CLOCK_MIN_US || at.a > CLOCK_MAX_US || at.b < INT32_MIN || at.b > INT32_MAX)) {
        api_fail(r, PROBLEM_BAD_REQUEST, "cursor is not one that this list gave as next_cursor");
        return false;
    }
    q->query.after_us = at.a;
    q->query.after_digest = at.b;
    return true;
}

/* ---- answers
 * ------------------------------------------------------------------------------------- */

static void write_row(struct buf *out, const struct readings *q, const struct db_result *rows,
                      int at)
{
    api_reading_write(out, q->form, &q->shape, db_get_int(rows, at, 0), db_get_view(rows, at, 2),
                      db_get_view(rows, at, 3), db_get_view(rows, at, 4));
}

static void answer_page(struct api_request *r, struct db *db, struct readings *q)
{
    q->query.limit = q->left;
    struct db_result *rows = NULL;
    enum err e = store_readings(db, &q->query, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "readings");
        return;
    }
    struct emit_json j = api_list_begin(r);
    int n = db_rows(rows) < (int)q->left ? db_rows(rows) : (int)q->left;
    for (int i = 0; i < n; i++) {
        buf_put_str(&r->out, i == 0 ? "" : ",");
        write_row(&r->out, q, rows, i);
    }
    struct api_cursor next = {.tag = 'r'};
    bool more = db_rows(rows) > n;
    if (more) {
        next.a = db_get_int(rows, n - 1, 0);
        next.b = db_get_int(rows, n - 1, 1);
    }
    db_result_free(rows);
    api_list_end(r, &j, more ? &next : NULL);
}

/* A page of a streamed answer. */
static enum api_fill readings_fill(void *arg, struct db *db, struct buf *out)
{
    struct readings *q = arg;
    if (q->form == API_READING_CSV && !q->head_written) {
        api_reading_head(out, &q->shape);
        q->head_written = true;
    }
    q->query.limit = q->left < READINGS_PAGE ? q->left : READINGS_PAGE;
    struct db_result *rows = NULL;
    if (store_readings(db, &q->query, &rows) != ERR_OK) {
        return API_FILL_FAILED;
    }
    int found = db_rows(rows);
    int n = found < (int)q->query.limit ? found : (int)q->query.limit;
    for (int i = 0; i < n && out->len < API_STREAM_FILL_MAX / 2; i++) {
        write_row(out, q, rows, i);
        if (q->form == API_READING_NDJSON) {
            buf_put_u8(out, '\n');
        }
        q->query.after_us = db_get_int(rows, i, 0);
        q->query.after_digest = db_get_int(rows, i, 1);
        q->left--;
        found--;
    }
    db_result_free(rows);
    return found > 0 && q->left > 0 ? API_FILL_MORE : API_FILL_END;
}

static void readings_gone(void *arg)
{
    (void)arg; /* nobody pushes */
}

static void readings_release(void *arg)
{
    readings_free(arg);
}

/* Takes q over. */
static void answer_stream(struct api_request *r, const struct device *d, struct readings *q)
{
    static const struct api_stream_calls calls = {readings_fill, readings_gone, readings_release};
    struct api_stream *s = api_stream_new(r->api, r->connection, &calls, q, false);
    if (s == NULL) {
        readings_free(q);
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    bool csv = q->form == API_READING_CSV;
    r->stream = s;
    r->status = MHD_HTTP_OK;
    r->out_type = api_media_type(csv ? API_MEDIA_CSV : API_MEDIA_NDJSON);
    api_header(r, "Content-Disposition", "attachment; filename=\"%s.%s\"", d->name,
               csv ? "csv" : "ndjson");
}

void api_handle_readings_get(struct api_request *r, struct db *db)
{
    struct device *d = api_device(r, r->names[0]);
    if (d == NULL) {
        return;
    }
    struct readings *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        device_drop(d);
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    arena_init(&q->arena, API_REQUEST_ARENA_MAX);
    q->api = r->api;
    q->query.device_id = d->id;
    if (!read_query(r, q)) {
        readings_free(q);
    } else if (q->form == API_READING_JSON) {
        answer_page(r, db, q);
        readings_free(q);
    } else {
        answer_stream(r, d, q);
    }
    device_drop(d);
}
