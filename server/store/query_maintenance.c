#include "store/query_maintenance.h"

#include "base/clock.h"
#include "store/query_internal.h"

static enum err one_row(enum err e, struct db_result *r, enum err none, struct db_result **ret_row)
{
    if (e == ERR_OK && db_rows(r) == 0) {
        db_result_free(r);
        return none;
    }
    if (e == ERR_OK) {
        *ret_row = r;
    }
    return e;
}

/* ---- plans ---- */

#define PLAN_JSON                                                               \
    "(p.definition || jsonb_build_object('name', p.name, 'version', p.version," \
    " 'created_at', " QUERY_TS("p.created_at") ", 'updated_at', " QUERY_TS("p.updated_at") "))"

enum err store_plan_list(struct db *db, const char *after, int64_t limit,
                         struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, after);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " PLAN_JSON "::text, 0, 0, p.name FROM maintenance_plans p"
                    " WHERE p.deleted_at IS NULL AND p.name > $1 ORDER BY p.name LIMIT $2",
                    &p, ret_rows);
}

enum err store_plan_get(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT " PLAN_JSON "::text, p.version, p.definition::text"
                          " FROM maintenance_plans p WHERE p.name = $1 AND p.deleted_at IS NULL",
                          &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

enum err store_plan_create(struct db *db, const char *name, const char *definition,
                           const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    db_text(&p, actor);
    return db_query(
        db,
        "WITH p AS (INSERT INTO maintenance_plans (name, definition) VALUES ($1, $2::jsonb)"
        " RETURNING *),"
        " a AS (INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $3, 'plan.create', p.name, p.definition FROM p)"
        " SELECT " PLAN_JSON "::text, p.version FROM p",
        &p, ret_row);
}

enum err store_plan_update(struct db *db, const char *name, const char *definition, int64_t version,
                           const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    db_text(&p, actor);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH p AS (UPDATE maintenance_plans SET definition = $2::jsonb, version = version + 1,"
        " updated_at = now() WHERE name = $1 AND version = $4 AND deleted_at IS NULL RETURNING *),"
        " a AS (INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $3, 'plan.update', p.name, p.definition FROM p)"
        " SELECT " PLAN_JSON "::text, p.version FROM p",
        &p, &r);
    return one_row(e, r, ERR_CONFLICT, ret_row);
}

enum err store_plan_delete(struct db *db, const char *name, int64_t version, const char *actor)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(db,
                         "WITH p AS (UPDATE maintenance_plans SET deleted_at = now()"
                         " WHERE name = $1 AND version = $2 AND deleted_at IS NULL RETURNING *),"
                         " s AS (DELETE FROM maintenance_state s USING p WHERE s.plan_id = p.id)"
                         " INSERT INTO audit_log (actor, action, object, detail)"
                         " SELECT $3, 'plan.delete', p.name, p.definition FROM p",
                         &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_CONFLICT : e;
}

enum err store_plan_patched(struct db *db, const char *name, const char *patch,
                            struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, patch);
    struct db_result *r = NULL;
    enum err e =
        db_query(db,
                 "SELECT ((p.definition || $2::jsonb) - ARRAY(SELECT key FROM jsonb_each($2::jsonb)"
                 " WHERE value = 'null'::jsonb))::text, p.version FROM maintenance_plans p"
                 " WHERE p.name = $1 AND p.deleted_at IS NULL",
                 &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

/* clang-format off */
static const char sql_devices[] =
    "SELECT json_build_object('device', d.name, 'status', s.status,"
    " 'due_at', " QUERY_TS("s.due_at") ", 'reached', s.reached, 'basis', s.basis,"
    " 'since', " QUERY_TS("s.since") ", 'last_done_at', " QUERY_TS("s.last_done_at") ","
    " 'newest_at', " QUERY_TS("s.newest_at") ", 'work_order_id', s.order_id,"
    " 'counts', (SELECT coalesce(json_agg(json_build_object('trigger', c.trigger, 'value', c.value)"
    " ORDER BY c.trigger), '[]') FROM maintenance_counts c WHERE c.plan_id = s.plan_id"
    " AND c.device_id = s.device_id AND c.since = s.since),"
    " 'updated_at', " QUERY_TS("s.updated_at") ")::text, s.device_id, 0, ''"
    " FROM maintenance_plans p JOIN maintenance_state s ON s.plan_id = p.id"
    " JOIN devices d ON d.id = s.device_id"
    " WHERE p.name = $1 AND p.deleted_at IS NULL"
    " AND ($2::int[] IS NULL OR s.device_id = ANY($2::int[]))"
    " AND ($3::text[] IS NULL OR s.status = ANY($3::text[]))"
    " AND s.device_id > $4::bigint ORDER BY s.device_id LIMIT $5";

static const char sql_services[] =
    "SELECT json_build_object('id', v.id, 'device', d.name, 'work_order_id', v.work_order_id,"
    " 'since', " QUERY_TS("v.since") ", 'done_at', " QUERY_TS("v.done_at") ","
    " 'done_by', v.done_by, 'counts', v.counts, 'reading', v.reading)::text, v.id, 0, ''"
    " FROM maintenance_plans p JOIN maintenance_services v ON v.plan_id = p.id"
    " LEFT JOIN devices d ON d.id = v.device_id"
    " WHERE p.name = $1 AND p.deleted_at IS NULL"
    " AND ($2::int[] IS NULL OR v.device_id = ANY($2::int[]))"
    " AND v.id < $3::bigint ORDER BY v.id DESC LIMIT $4";
/* clang-format on */

enum err store_plan_devices(struct db *db, const char *name, const char *ids, const char *statuses,
                            int64_t after_id, int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, ids);
    db_text(&p, statuses);
    db_int(&p, after_id);
    db_int(&p, limit + 1);
    return db_query(db, sql_devices, &p, ret_rows);
}

enum err store_plan_services(struct db *db, const char *name, const char *ids, int64_t before_id,
                             int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, ids);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(db, sql_services, &p, ret_rows);
}

/* ---- reliability ---- */

/*
 * Ranges of time as multiranges: `raw` are the outages, `service` the times of work in progress.
 * What is down during a service is the service's; an outage that begins in one is no failure.
 */
enum err store_reliability(struct db *db, int32_t device_id, const char *severities,
                           int64_t from_us, int64_t to_us, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, device_id);
    db_text(&p, severities);
    db_time(&p, from_us);
    db_time(&p, to_us);
    return db_query(
        db,
        "WITH period AS (SELECT tstzmultirange(tstzrange($3::timestamptz, $4::timestamptz)) AS r),"
        " raw AS (SELECT coalesce(range_agg(tstzrange(a.fired_at,"
        " greatest(a.fired_at, a.resolved_at))), '{}') AS r FROM alerts a"
        " WHERE a.device_id = $1 AND NOT a.shadow AND a.state IN ('firing', 'resolved')"
        " AND a.severity = ANY($2::text[]) AND a.fired_at < $4::timestamptz"
        " AND coalesce(a.resolved_at > $3::timestamptz, true)),"
        " service AS (SELECT coalesce(range_agg(tstzrange(w.started_at,"
        " greatest(w.started_at, w.closed_at))), '{}') AS r FROM work_orders w"
        " WHERE w.device_id = $1 AND w.started_at < $4::timestamptz"
        " AND coalesce(w.closed_at > $3::timestamptz, true)),"
        " cut AS (SELECT period.r * service.r AS planned, period.r * raw.r - service.r AS down"
        " FROM period, raw, service),"
        " sums AS (SELECT extract(epoch FROM $4::timestamptz - $3::timestamptz) AS period_s,"
        " (SELECT coalesce(sum(extract(epoch FROM upper(o) - lower(o))), 0)"
        "  FROM unnest(cut.planned) o) AS planned_s,"
        " (SELECT coalesce(sum(extract(epoch FROM upper(o) - lower(o))), 0)"
        "  FROM unnest(cut.down) o) AS down_s,"
        " (SELECT count(*) FROM raw, service, unnest(raw.r) o WHERE lower(o) >= $3::timestamptz"
        "  AND NOT service.r @> lower(o)) AS failures FROM cut)"
        " SELECT json_build_object('device', d.name, 'from', " QUERY_TS(
            "$3::timestamptz") ", 'to', " QUERY_TS("$4::timestamptz") ", 'severities', $2::text[], "
                                                                      "'failures', failures, "
                                                                      "'downtime_s', "
                                                                      "down_s::float8,"
                                                                      " 'planned_s', "
                                                                      "planned_s::float8, "
                                                                      "'uptime_s', (period_s - "
                                                                      "planned_s - down_s)::float8,"
                                                                      " 'mtbf_s', ((period_s - "
                                                                      "planned_s - down_s) / "
                                                                      "nullif(failures, "
                                                                      "0))::float8,"
                                                                      " 'mttr_s', (down_s / "
                                                                      "nullif(failures, "
                                                                      "0))::float8,"
                                                                      " 'availability', ((period_s "
                                                                      "- planned_s - down_s)"
                                                                      " / nullif(period_s - "
                                                                      "planned_s, 0))::float8,"
                                                                      " 'operational_availability',"
                                                                      " ((period_s - planned_s - "
                                                                      "down_s)"
                                                                      " / nullif(period_s, "
                                                                      "0))::float8)::text"
                                                                      " FROM sums, devices d WHERE "
                                                                      "d.id = $1",
        &p, ret_row);
}
