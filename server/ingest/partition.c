#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * Samples of recent days have a partition a day; those before `partition_boundary` (fixed when the
 * database was set up) a partition a month, so that a device with a wrong clock cannot make tens of
 * thousands of tables. The core remembers which exist and asks the writer for a missing one with
 * the batch that needs it. Partitions of the next days are made ahead, and retention drops whole
 * partitions.
 */
enum { PARTITION_AHEAD_DAYS = 3 };

#define MAINTENANCE_PATIENCE_US CLOCK_HOUR_US

static struct partition_range partition_of(const struct ingest *in, int64_t ts_us, char *ret_name,
                                           size_t size)
{
    int year = 0;
    int month = 0;
    int day = 0;
    clock_civil(ts_us / CLOCK_DAY_US, &year, &month, &day);
    if (ts_us >= in->partition_boundary_us) {
        int64_t from_us = ts_us / CLOCK_DAY_US * CLOCK_DAY_US;
        (void)snprintf(ret_name, size, "samples_%04d%02d%02d", year, month, day);
        return (struct partition_range){from_us, from_us + CLOCK_DAY_US};
    }
    (void)snprintf(ret_name, size, "samples_%04d%02d", year, month);
    int next_year = month == 12 ? year + 1 : year;
    int next_month = month == 12 ? 1 : month + 1;
    return (struct partition_range){clock_days(year, month, 1) * CLOCK_DAY_US,
                                    clock_days(next_year, next_month, 1) * CLOCK_DAY_US};
}

static bool partition_holds(const struct partition_range *p, int64_t ts_us)
{
    return ts_us >= p->from_us && ts_us < p->to_us;
}

/* Where a range that starts at or before ts would be. */
static uint32_t partition_search(const struct ingest *in, int64_t ts_us)
{
    uint32_t low = 0;
    uint32_t high = in->partition_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (in->partitions[mid].to_us <= ts_us) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void partition_known(struct ingest *in, struct partition_range range)
{
    if (in->partition_count == in->partition_cap) {
        uint32_t cap = in->partition_cap == 0 ? 64 : in->partition_cap * 2;
        struct partition_range *grown = realloc(in->partitions, cap * sizeof(*grown));
        CHECK(grown != NULL);
        in->partitions = grown;
        in->partition_cap = cap;
    }
    uint32_t at = partition_search(in, range.from_us);
    memmove(&in->partitions[at + 1], &in->partitions[at],
            (in->partition_count - at) * sizeof(range));
    in->partitions[at] = range;
    in->partition_count++;
    in->partition_hint = at;
}

void core_partition_need(struct ingest *in, int64_t ts_us)
{
    if (in->partition_hint < in->partition_count &&
        partition_holds(&in->partitions[in->partition_hint], ts_us)) {
        return;
    }
    uint32_t at = partition_search(in, ts_us);
    if (at < in->partition_count && partition_holds(&in->partitions[at], ts_us)) {
        in->partition_hint = at;
        return;
    }
    char name[32];
    struct partition_range range = partition_of(in, ts_us, name, sizeof(name));
    batch_partition(core_batch(in), range.from_us, range.to_us, name);
    partition_known(in, range);
}

enum err core_partitions_restore(struct ingest *in, struct db *db)
{
    struct db_result *r = NULL;
    enum err e = db_query(
        db, "SELECT value || 'T00:00:00Z' FROM store_meta WHERE key = 'partition_boundary'", NULL,
        &r);
    if (e != ERR_OK) {
        return e;
    }
    e = db_rows(r) == 1 ? clock_parse(db_get_view(r, 0, 0), &in->partition_boundary_us)
                        : ERR_NOT_FOUND;
    db_result_free(r);
    r = NULL; /* a query that fails leaves it as it is */
    if (e != ERR_OK) {
        return e;
    }
    e = db_query(
        db,
        "SELECT substr(c.relname, 9) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'samples'::regclass AND c.relname ~ '^samples_[0-9]{6,8}$'",
        NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        int64_t digits = db_get_int(r, i, 0);
        bool a_day = db_get_view(r, i, 0).len == 8;
        int64_t date = a_day ? digits : digits * 100 + 1;
        char name[32];
        int64_t day = clock_days((int)(date / 10000), (int)(date / 100 % 100), (int)(date % 100));
        partition_known(in, partition_of(in, day * CLOCK_DAY_US, name, sizeof(name)));
    }
    db_result_free(r);
    return e;
}

/* ---- retention ---- */

struct retention_job {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    int64_t before_us; /* readings; CLOCK_NONE: all are kept */
    int64_t history_days;
    enum err err;
};

static void retention_done(struct mail *m)
{
    struct retention_job *r = CONTAINER_OF(m, struct retention_job, back);
    struct ingest *in = r->in;
    in->maintaining = false;
    if (r->err == ERR_DB_DOWN) {
        in->maintained_day = 0; /* again with the next tick */
    }
    uint32_t kept = 0;
    bool dropped = r->err == ERR_OK && r->before_us != CLOCK_NONE;
    for (uint32_t i = 0; dropped && i < in->partition_count; i++) {
        if (in->partitions[i].to_us > r->before_us) {
            in->partitions[kept++] = in->partitions[i];
        }
    }
    if (dropped) {
        in->partition_count = kept;
        in->partition_hint = 0;
    }
    free(r);
}

static enum err retention_drop(struct db *db, int64_t before_us)
{
    struct db_params p = {0};
    db_time(&p, before_us);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'samples'::regclass AND c.relname ~ '^samples_[0-9]{6,8}$'"
        " AND CASE length(c.relname) WHEN 16 THEN to_date(substr(c.relname, 9), 'YYYYMMDD') + 1"
        " ELSE (to_date(substr(c.relname, 9), 'YYYYMM') + interval '1 month')::date END <= "
        "$1::timestamptz",
        &p, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        char sql[96];
        (void)snprintf(sql, sizeof(sql), "DROP TABLE %s", db_get(r, i, 0));
        e = db_script(db, sql);
        LOG(LOG_INFO, "partition_dropped", LOG_S("name", db_get(r, i, 0)),
            LOG_S("result", err_words(e)));
    }
    db_result_free(r);
    return e;
}

/* Events and rejected messages have served their purpose after a while. The newest event stays: ids
 * go on from it after a restart, and followers of the stream know the last one they saw. */
static enum err history_drop(struct db *db, int64_t days)
{
    struct db_params p = {0};
    db_int(&p, days);
    enum err e = db_exec(db,
                         "DELETE FROM events WHERE ts < now() - $1 * interval '1 day'"
                         " AND id < (SELECT max(id) FROM events)",
                         &p, NULL);
    if (e == ERR_OK) {
        e = db_exec(
            db, "DELETE FROM rejected_messages WHERE received_at < now() - $1 * interval '1 day'",
            &p, NULL);
    }
    return e;
}

/* A request is sent again within minutes; a day is much more than that. */
static enum err keys_drop(struct db *db)
{
    return db_exec(db, "DELETE FROM telemetry_keys WHERE received_at < now() - interval '1 day'",
                   NULL, NULL);
}

/* The index of a day that is over was grown by insertions between others, so its pages are half
 * empty: written anew it takes 40 % less. Each partition once. */
static enum err compact_days(struct db *db)
{
    struct db_result *r = NULL;
    enum err e =
        db_query(db,
                 "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                 " WHERE i.inhparent = 'samples'::regclass AND c.relname ~ '^samples_[0-9]{8}$'"
                 " AND to_date(substr(c.relname, 9), 'YYYYMMDD') < current_date - 1"
                 " AND obj_description(c.oid) IS DISTINCT FROM 'compacted' ORDER BY 1",
                 NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        char sql[128];
        (void)snprintf(sql, sizeof(sql), "REINDEX TABLE CONCURRENTLY %s", db_get(r, i, 0));
        e = db_script(db, sql);
        (void)snprintf(sql, sizeof(sql), "COMMENT ON TABLE %s IS 'compacted'", db_get(r, i, 0));
        e = e == ERR_OK ? db_script(db, sql) : e;
        LOG(LOG_INFO, "partition_compacted", LOG_S("name", db_get(r, i, 0)),
            LOG_S("result", err_words(e)));
    }
    db_result_free(r);
    return e;
}

static void retention_work(struct store_job *job, struct db *db)
{
    struct retention_job *r = CONTAINER_OF(job, struct retention_job, job);
    r->err = db == NULL ? ERR_DB_DOWN : db_patience(db, MAINTENANCE_PATIENCE_US);
    if (r->err == ERR_OK && r->before_us != CLOCK_NONE) {
        r->err = retention_drop(db, r->before_us);
    }
    if (r->err == ERR_OK && r->history_days > 0) {
        r->err = history_drop(db, r->history_days);
    }
    if (r->err == ERR_OK) {
        r->err = keys_drop(db);
    }
    if (r->err == ERR_OK) {
        r->err = compact_days(db);
    }
    if (db_alive(db) && db_patience(db, 0) != ERR_OK) {
        LOG(LOG_DEBUG, "patience_kept", LOG_S("error", db_error(db)));
    }
    r->back.run = retention_done;
    loop_post(r->in->loop, &r->back);
}

void core_maintain(struct ingest *in)
{
    int64_t now_us = clock_wall_us();
    for (int i = 0; i <= PARTITION_AHEAD_DAYS; i++) {
        core_partition_need(in, now_us + i * CLOCK_DAY_US);
    }
    int64_t today = now_us / CLOCK_DAY_US;
    if (in->maintaining || in->stopping || today == in->maintained_day) {
        return;
    }
    struct retention_job *r = calloc(1, sizeof(*r));
    if (r != NULL) {
        r->in = in;
        r->before_us = in->conf->retention_days == 0
                           ? CLOCK_NONE
                           : (today - in->conf->retention_days) * CLOCK_DAY_US;
        r->history_days = in->conf->history_days;
        in->maintaining = true;
        in->maintained_day = today;
        store_run(in->store, &r->job, retention_work);
    }
}
