#include "store/query_readings.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/query_internal.h"

/*
 * The table `latest` is written at most every few seconds for a device, together with its
 * watermark; samples that are newer than that are merged in here. A device that was never flushed
 * may be sending years of history just now, so only the newest of them are looked at.
 */
enum err store_latest(struct db *db, int32_t device_id, const char *name,
                      struct db_result **ret_rows)
{
    struct db_params first = {0};
    db_int(&first, device_id);
    struct db_result *state = NULL;
    enum err e =
        db_query(db, "SELECT watermark FROM device_state WHERE device_id = $1", &first, &state);
    if (e != ERR_OK) {
        return e;
    }
    int64_t watermark_us = db_rows(state) == 0 ? CLOCK_NONE : db_get_time(state, 0, 0);
    db_result_free(state);
    struct db_params p = {0};
    db_int(&p, device_id);
    db_time(&p, watermark_us);
    db_text(&p, name);
    return db_query(
        db,
        "WITH fresh AS (SELECT s.ts, s.received_at, s.extra, s.value, s.values, h.metrics"
        " FROM samples s LEFT JOIN shapes h ON h.id = s.shape"
        " WHERE s.device_id = $1 AND ($2::timestamptz IS NULL OR s.ts > $2::timestamptz)"
        " AND s.flags & 2 = 0 ORDER BY s.ts DESC LIMIT 2000),"
        " found AS ("
        " SELECT m.name, f.ts, f.received_at, to_jsonb(v.value) AS value FROM fresh f"
        " CROSS JOIN LATERAL unnest(f.metrics, coalesce(f.values, ARRAY[f.value]))"
        " AS v (metric, value) JOIN metrics m ON m.id = v.metric WHERE v.value IS NOT NULL"
        " UNION ALL SELECT x.key, f.ts, f.received_at, x.value FROM fresh f"
        " CROSS JOIN LATERAL jsonb_each(f.extra) x"
        " UNION ALL SELECT m.name, l.ts, NULL, coalesce(l.extra, to_jsonb(l.value)) FROM latest l"
        " JOIN metrics m ON m.id = l.metric WHERE l.device_id = $1)"
        " SELECT DISTINCT ON (name) json_build_object('metric', name, 'ts', " QUERY_TS(
            "ts") ", 'value', value)::text FROM found WHERE $3::text IS NULL OR name = $3"
                  " ORDER BY name, ts DESC, received_at DESC NULLS LAST",
        &p, ret_rows);
}

static const char *const agg_sql[] = {
    [STORE_AGG_NONE] = "",
    [STORE_AGG_AVG] = "avg(v.value)",
    [STORE_AGG_MIN] = "min(v.value)",
    [STORE_AGG_MAX] = "max(v.value)",
    [STORE_AGG_SUM] = "sum(v.value)",
    [STORE_AGG_COUNT] = "count(v.value)::float8",
    [STORE_AGG_LAST] = "(array_agg(v.value ORDER BY s.ts DESC, s.received_at DESC))[1]",
};

/* $1 device, $2 from, $3 to, $4 metrics; the planner sees the times and prunes partitions. */
#define READINGS_WHERE                                          \
    " WHERE s.device_id = $1"                                   \
    " AND ($2::timestamptz IS NULL OR s.ts >= $2::timestamptz)" \
    " AND ($3::timestamptz IS NULL OR s.ts < $3::timestamptz)"

static enum err readings_plain(struct db *db, const struct store_reading_query *q,
                               struct db_params *p, struct db_result **ret_rows)
{
    db_text(p, q->names);
    db_time(p, q->after_us);
    db_int(p, q->after_digest);
    db_int(p, q->limit + 1);
    static const char *const head = "SELECT " QUERY_US(
        "s.ts") ", s.digest, h.metrics, coalesce(s.values, CASE WHEN s.value"
                " IS NOT NULL THEN ARRAY[s.value] END), s.extra"
                " FROM samples s LEFT JOIN shapes h ON h.id = s.shape" READINGS_WHERE
                " AND ($4::int[] IS NULL"
                " OR s.shape = ANY(ARRAY(SELECT w.id FROM shapes w WHERE w.metrics && $4::int[]))"
                " OR s.extra ?| $5::text[])";
    static const char *const ascending = " AND ($6::timestamptz IS NULL OR (s.ts >= $6::timestamptz"
                                         " AND (s.ts, s.digest) > ($6::timestamptz, $7::int)))"
                                         " ORDER BY s.ts, s.digest LIMIT $8";
    static const char *const descending =
        " AND ($6::timestamptz IS NULL OR (s.ts <= $6::timestamptz"
        " AND (s.ts, s.digest) < ($6::timestamptz, $7::int)))"
        " ORDER BY s.ts DESC, s.digest DESC LIMIT $8";
    char sql[2048];
    int len = snprintf(sql, sizeof(sql), "%s%s", head, q->newest_first ? descending : ascending);
    CHECK(len > 0 && (size_t)len < sizeof(sql));
    return db_query(db, sql, p, ret_rows);
}

static enum err readings_buckets(struct db *db, const struct store_reading_query *q,
                                 struct db_params *p, struct db_result **ret_rows)
{
    char step[48];
    (void)snprintf(step, sizeof(step), "%lld microseconds", (long long)q->step_us);
    db_text(p, step);
    db_time(p, q->after_us);
    db_int(p, q->limit + 1);
    char sql[2048];
    int len = snprintf(
        sql, sizeof(sql),
        "SELECT " QUERY_US(
            "b.at") ", 0, array_agg(b.metric ORDER BY b.metric),"
                    " array_agg(b.value ORDER BY b.metric), NULL FROM ("
                    "SELECT date_bin($5::interval, s.ts, '1970-01-01T00:00:00Z'::timestamptz) AS "
                    "at, v.metric,"
                    " %s AS value FROM samples s JOIN shapes h ON h.id = s.shape"
                    " CROSS JOIN LATERAL unnest(h.metrics, coalesce(s.values, ARRAY[s.value]))"
                    " AS v (metric, value)" READINGS_WHERE
                    " AND v.value IS NOT NULL AND ($4::int[] IS NULL OR v.metric = ANY($4::int[]))"
                    " GROUP BY 1, 2) b"
                    " WHERE $6::timestamptz IS NULL OR b.at %c $6::timestamptz"
                    " GROUP BY b.at ORDER BY b.at%s LIMIT $7",
        agg_sql[q->agg], q->newest_first ? '<' : '>', q->newest_first ? " DESC" : "");
    CHECK(len > 0 && (size_t)len < sizeof(sql));
    return db_query(db, sql, p, ret_rows);
}

enum err store_readings(struct db *db, const struct store_reading_query *q,
                        struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_int(&p, q->device_id);
    db_time(&p, q->from_us);
    db_time(&p, q->to_us);
    db_text(&p, q->metrics);
    return q->agg == STORE_AGG_NONE ? readings_plain(db, q, &p, ret_rows)
                                    : readings_buckets(db, q, &p, ret_rows);
}
