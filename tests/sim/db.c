/*
 * db: parameters and results of the contract, and the store's pool. Jobs run one after another at a
 * later virtual moment; their connection may be gone from the start or break between two queries.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_fake.h"
#include "store/store.h"

struct store {
    struct store_job *waiting[4096];
    uint32_t count;
};

enum { STORE_USUAL_US = 1500 };

/* ---- parameters: times as decimal microseconds ---- */

static void param(struct db_params *p, const char *text)
{
    CHECK(p->count < DB_PARAMS_MAX);
    p->values[p->count++] = text;
}

void db_int(struct db_params *p, int64_t v)
{
    (void)snprintf(p->scratch[p->count], sizeof(p->scratch[0]), "%lld", (long long)v);
    param(p, p->scratch[p->count]);
}

void db_text(struct db_params *p, const char *text)
{
    param(p, text);
}

void db_time(struct db_params *p, int64_t us)
{
    db_int(p, us);
}

/* ---- results ---- */

struct db_result *result_new(int columns)
{
    struct db_result *r = calloc(1, sizeof(*r));
    r->columns = columns;
    return r;
}

void result_bytes(struct db_result *r, const void *data, size_t len)
{
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 64 : r->cap * 2;
        r->cells = realloc(r->cells, r->cap * sizeof(*r->cells));
    }
    struct db_cell *c = &r->cells[r->count++];
    *c = (struct db_cell){.text = data == NULL ? NULL : malloc(len + 1), .len = len};
    if (data != NULL) {
        memcpy(c->text, data, len);
        c->text[len] = '\0';
    }
}

void result_text(struct db_result *r, const char *text)
{
    result_bytes(r, text, text == NULL ? 0 : strlen(text));
}

void result_int(struct db_result *r, int64_t v)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%lld", (long long)v);
    result_text(r, v == CLOCK_NONE ? NULL : text);
}

void result_real(struct db_result *r, double v)
{
    char text[40];
    (void)snprintf(text, sizeof(text), "%.17g", v);
    result_text(r, v != v ? NULL : text);
}

int db_rows(const struct db_result *r)
{
    return (int)(r->count / (uint32_t)r->columns);
}

static const struct db_cell *cell(const struct db_result *r, int row, int column)
{
    CHECK(row >= 0 && row < db_rows(r) && column >= 0 && column < r->columns);
    return &r->cells[row * r->columns + column];
}

bool db_is_null(const struct db_result *r, int row, int column)
{
    return cell(r, row, column)->text == NULL;
}

const char *db_get(const struct db_result *r, int row, int column)
{
    return db_is_null(r, row, column) ? "" : cell(r, row, column)->text;
}

struct view db_get_view(const struct db_result *r, int row, int column)
{
    return view_of(db_get(r, row, column), cell(r, row, column)->len);
}

int64_t db_get_int(const struct db_result *r, int row, int column)
{
    return strtoll(db_get(r, row, column), NULL, 10);
}

double db_get_real(const struct db_result *r, int row, int column)
{
    return db_is_null(r, row, column) ? __builtin_nan("") : strtod(db_get(r, row, column), NULL);
}

bool db_get_bool(const struct db_result *r, int row, int column)
{
    return db_get(r, row, column)[0] == 't';
}

enum err db_get_bytes(const struct db_result *r, int row, int column, struct buf *out)
{
    buf_put_view(out, db_get_view(r, row, column));
    return buf_err(out);
}

void db_result_free(struct db_result *r)
{
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        free(r->cells[i].text);
    }
    free(r->cells);
    free(r);
}

/* ---- queries ---- */

enum err db_query(struct db *db, const char *sql, const struct db_params *params,
                  struct db_result **ret_result)
{
    struct sim *s = sim_get();
    if (db->queries_left == 0) {
        db->broken = true;
    }
    if (db->broken || s->pg->down) {
        return ERR_DB_DOWN;
    }
    db->queries_left--;
    if (s->server.writer != NULL && sim_chance(50)) {
        writer_overtakes(s->server.writer);
    }
    *ret_result = db_select(s->pg, sql, params);
    return ERR_OK;
}

enum err db_exec(struct db *db, const char *sql, const struct db_params *params, int64_t *ret_rows)
{
    (void)params;
    if (db->broken || sim_get()->pg->down) {
        return ERR_DB_DOWN;
    }
    /* Nothing here is older than a day. */
    bool history =
        strncmp(sql, "DELETE FROM events WHERE ts < now()", 35) == 0 ||
        strncmp(sql, "DELETE FROM rejected_messages WHERE received_at < now()", 55) == 0 ||
        strncmp(sql, "DELETE FROM telemetry_keys WHERE received_at < now()", 52) == 0;
    if (!history || ret_rows != NULL) {
        sim_violation("SQL", "the model does not know: %s", sql);
    }
    return ERR_OK;
}

enum err db_script(struct db *db, const char *sql)
{
    (void)db;
    sim_violation("SQL", "the model does not know: %s", sql);
}

/* For retention, which the runs do not have. */
enum err db_patience(struct db *db, int64_t us)
{
    (void)us;
    return db->broken ? ERR_DB_DOWN : ERR_OK;
}

bool db_alive(const struct db *db)
{
    return db != NULL && !db->broken;
}

const char *db_error(const struct db *db)
{
    return db->broken ? "the connection is gone" : "";
}

/* ---- the pool ---- */

enum err store_new(const struct conf *conf, struct store **ret_store)
{
    (void)conf;
    *ret_store = calloc(1, sizeof(**ret_store));
    return ERR_OK;
}

static void job_work(struct store *st, uint32_t at)
{
    struct sim *s = sim_get();
    struct store_job *job = st->waiting[at];
    st->waiting[at] = st->waiting[--st->count];
    struct db db = {.queries_left = s->faults && sim_chance(20) ? (int)sim_random(6) : -1};
    int before = sim_as(ACTOR_STORE + (int)sim_random(SIM_STORE_THREADS));
    job->work(job, s->pg->down ? NULL : &db);
    (void)sim_as(before);
}

static void job_due(void *arg, int64_t n)
{
    struct store_job *job = arg;
    struct store *st = job->store;
    struct sim *s = sim_get();
    if (s->pg->hung_until_us > s->now_us) {
        sim_at(s->pg->hung_until_us + sim_delay_us(STORE_USUAL_US), s->life, job_due, job, n);
        return;
    }
    for (uint32_t i = 0; i < st->count; i++) {
        if (st->waiting[i] == job) {
            job_work(st, i);
            return;
        }
    }
}

void store_run(struct store *s, struct store_job *job, store_work_fn work)
{
    CHECK(s->count < COUNT_OF(s->waiting));
    job->store = s;
    job->work = work;
    s->waiting[s->count++] = job;
    sim_after(sim_delay_us(STORE_USUAL_US), sim_get()->life, job_due, job, 0);
}

void store_stop(struct store *s)
{
    while (s->count > 0) {
        job_work(s, (uint32_t)sim_random(s->count));
    }
}

void store_free(struct store *s)
{
    free(s);
}
