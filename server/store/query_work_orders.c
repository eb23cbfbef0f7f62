#include "base/clock.h"
#include "store/query_internal.h"
#include "store/query_maintenance.h"

/*
 * A change is one statement with all that follows from it; what an earlier part of it wrote the
 * later ones take from its RETURNING, since all see the tables as they were before.
 */

#define WORK_ORDER_FIELDS                                                                       \
    "'id', w.id, 'rule', w.rule, 'plan', w.plan, 'created_by', w.created_by, 'device', d.name," \
    " 'alert_id', w.alert_id, 'title', w.title, 'state', w.state, 'raises', w.raises,"          \
    " 'opened_at', " QUERY_TS("w.opened_at") ", 'due_at', " QUERY_TS(                           \
        "w.due_at") ", "                                                                        \
                    "'assigned_to', "                                                           \
                    "w.assigned_to, "                                                           \
                    "'started_at',"                                                             \
                    " " QUERY_TS("w."                                                           \
                                 "st"                                                           \
                                 "ar"                                                           \
                                 "te"                                                           \
                                 "d_"                                                           \
                                 "a"                                                            \
                                 "t") ", 'closed_at', " QUERY_TS("w.closed_"                    \
                                                                 "at") ", "                     \
                                                                       "'clos"                  \
                                                                       "ed_"                    \
                                                                       "by', "                  \
                                                                       "w."                     \
                                                                       "close"                  \
                                                                       "d_by,"                  \
                                                                       " '"                     \
                                                                       "readi"                  \
                                                                       "ng', "                  \
                                                                       "w."                     \
                                                                       "readi"                  \
                                                                       "ng, "                   \
                                                                       "'note"                  \
                                                                       "s', "                   \
                                                                       "w."                     \
                                                                       "notes"

/* The event's body, of an order `w` and its device `d`. */
#define WORK_ORDER_BODY                                                                      \
    "jsonb_strip_nulls(jsonb_build_object('work_order_id', w.id, 'device', d.name, 'title'," \
    " w.title, 'plan', w.plan, 'rule', w.rule, 'state', w.state, 'assigned_to',"             \
    " w.assigned_to, 'reading', w.reading, 'notes', w.notes))"

enum err store_work_order_list(struct db *db, const struct store_work_order_filter *f,
                               int64_t before_id, int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, f->ids);
    db_text(&p, f->rule);
    db_text(&p, f->states);
    db_text(&p, f->plan);
    db_text(&p, f->assignee);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT json_build_object(" WORK_ORDER_FIELDS ")::text, w.id, 0, ''"
                    " FROM work_orders w LEFT JOIN devices d ON d.id = w.device_id"
                    " WHERE ($1::int[] IS NULL OR w.device_id = ANY($1::int[]))"
                    " AND ($2::text IS NULL OR w.rule = $2)"
                    " AND ($3::text[] IS NULL OR w.state = ANY($3::text[]))"
                    " AND ($4::text IS NULL OR w.plan = $4)"
                    " AND ($5::text IS NULL OR w.assigned_to = $5)"
                    " AND w.id < $6::bigint ORDER BY w.id DESC LIMIT $7",
                    &p, ret_rows);
}

enum err store_work_order_get(struct db *db, int64_t id, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, id);
    struct db_result *r = NULL;
    /* How it was opened stands in the order itself. */
    enum err e = db_query(
        db,
        "SELECT json_build_object(" WORK_ORDER_FIELDS
        ", 'history', (SELECT json_agg(json_build_object('state', h.state, 'ts', " QUERY_TS(
            "h.ts") ", 'actor', h.actor, 'detail', h.detail) ORDER BY h.id) FROM (SELECT 0 AS id,"
                    " 'open' AS state, w.opened_at AS ts, coalesce(w.created_by, 'plan:' || w.plan,"
                    " 'rule:' || w.rule) AS actor, NULL::jsonb AS detail UNION ALL"
                    " SELECT id, state, ts, actor, detail FROM work_order_history"
                    " WHERE work_order_id = w.id) h))::text, w.device_id, w.state"
                    " FROM work_orders w LEFT JOIN devices d ON d.id = w.device_id"
                    " WHERE w.id = $1",
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

enum err store_override_list(struct db *db, int32_t device_id, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_int(&p, device_id);
    return db_query(db,
                    "SELECT json_build_object('method', nullif(o.method, ''), 'until', " QUERY_TS(
                        "o.until") ", 'actor', o.actor, 'reason', nullif(o.reason, ''),"
                                   " 'created_at', " QUERY_TS(
                                       "o.created_at") ")::text, 0, 0, o.method"
                                                       " FROM automation_overrides o WHERE "
                                                       "o.device_id = $1 AND o.until > now()"
                                                       " ORDER BY o.method LIMIT 1000",
                    &p, ret_rows);
}

enum err store_work_order_create(struct db *db, const struct store_work_order *w, const char *actor)
{
    struct db_params p = {0};
    db_int(&p, w->id);
    db_int(&p, w->device_id);
    db_text(&p, w->title);
    db_text(&p, w->plan);
    db_text(&p, w->assignee);
    db_text(&p, w->notes);
    db_time(&p, w->due_us);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(
        db,
        "WITH w AS (INSERT INTO work_orders (id, device_id, title, plan_id, plan, assigned_to,"
        " notes, due_at, created_by, state, opened_at)"
        " SELECT $1, $2, $3, p.id, $4, $5, $6, $7::timestamptz, $8,"
        " CASE WHEN $5::text IS NULL THEN 'open' ELSE 'assigned' END, now()"
        " FROM (SELECT 1) one LEFT JOIN maintenance_plans p"
        " ON p.name = $4::text AND p.deleted_at IS NULL"
        " WHERE $4::text IS NULL OR p.id IS NOT NULL RETURNING *),"
        " s AS (UPDATE maintenance_state s SET order_id = w.id, version = s.version + 1 FROM w"
        " WHERE s.plan_id = w.plan_id AND s.device_id = w.device_id),"
        " h AS (INSERT INTO work_order_history (work_order_id, state, ts, actor, detail)"
        " SELECT w.id, w.state, w.opened_at, $8, jsonb_build_object('assigned_to', w.assigned_to)"
        " FROM w WHERE w.state = 'assigned'),"
        " e AS (INSERT INTO pending_events (ts, kind, device_id, body)"
        " SELECT w.opened_at, 'work_order.opened', w.device_id, " WORK_ORDER_BODY
        " || jsonb_build_object('actor', $8::text) FROM w JOIN devices d ON d.id = w.device_id)"
        " INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $8, 'work-order.create', w.id::text, jsonb_build_object('title', w.title) FROM w",
        &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_NOT_FOUND : e;
}

enum err store_work_order_move(struct db *db, const struct store_work_order_move *m,
                               const char *actor)
{
    struct db_params p = {0};
    db_int(&p, m->id);
    db_text(&p, m->to);
    db_text(&p, m->assignee);
    db_text(&p, m->notes);
    db_text(&p, m->reading);
    db_time(&p, m->at_us);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(
        db,
        "WITH w AS (UPDATE work_orders w SET state = $2, assigned_to = CASE"
        "  WHEN $2 = 'assigned' THEN $3::text"
        "  WHEN $2 = 'in_progress' THEN coalesce(assigned_to, $7) ELSE assigned_to END,"
        " started_at = CASE WHEN $2 = 'in_progress' THEN coalesce($6::timestamptz, now())"
        "  ELSE started_at END,"
        " closed_at = CASE WHEN $2 IN ('done', 'cancelled')"
        "  THEN coalesce($6::timestamptz, now()) END,"
        " closed_by = CASE WHEN $2 IN ('done', 'cancelled') THEN $7 END,"
        " reading = coalesce($5::jsonb, reading), notes = coalesce($4::text, notes)"
        " WHERE id = $1 AND (state IN ('open', 'assigned')"
        "  OR (state = 'in_progress' AND $2 IN ('done', 'cancelled'))) RETURNING *),"
        " old AS (SELECT w.id AS order_id, w.plan_id, w.device_id, w.closed_at AS done_at,"
        "  coalesce(s.since, w.opened_at) AS since, s.status, s.due_at FROM w"
        "  JOIN maintenance_plans p ON p.id = w.plan_id AND p.deleted_at IS NULL"
        "  JOIN devices d ON d.id = w.device_id"
        "  LEFT JOIN maintenance_state s ON s.plan_id = w.plan_id AND s.device_id = w.device_id"
        "  WHERE w.state = 'done'),"
        " s AS (INSERT INTO maintenance_state AS s (plan_id, device_id, since, after_at,"
        "  last_done_at) SELECT plan_id, device_id, greatest(done_at, old.since),"
        "  greatest(done_at, CASE WHEN status <> 'ok' THEN due_at END), done_at FROM old"
        "  ON CONFLICT (plan_id, device_id) DO UPDATE SET since = excluded.since,"
        "  after_at = excluded.after_at, last_done_at = excluded.last_done_at, status = 'ok',"
        "  due_at = NULL, reached = false, basis = NULL, order_id = NULL, plan_version = 0,"
        "  version = s.version + 1, updated_at = now()),"
        " v AS (INSERT INTO maintenance_services (plan_id, device_id, work_order_id, since,"
        "  done_at, done_by, counts, reading) SELECT old.plan_id, old.device_id, old.order_id,"
        "  old.since, old.done_at, $7, coalesce((SELECT jsonb_object_agg(c.trigger, c.value)"
        "  FROM maintenance_counts c WHERE c.plan_id = old.plan_id"
        "  AND c.device_id = old.device_id AND c.since = old.since), '{}'), $5::jsonb FROM old),"
        " h AS (INSERT INTO work_order_history (work_order_id, state, ts, actor, detail)"
        "  SELECT w.id, w.state, coalesce($6::timestamptz, now()), $7,"
        "  nullif(jsonb_strip_nulls(jsonb_build_object('assigned_to', CASE WHEN $2 = 'assigned'"
        "  THEN w.assigned_to END, 'reading', $5::jsonb, 'notes', $4::text)), '{}') FROM w),"
        " e AS (INSERT INTO pending_events (ts, kind, device_id, body)"
        "  SELECT coalesce($6::timestamptz, now()), 'work_order.' || CASE w.state"
        "  WHEN 'in_progress' THEN 'started' ELSE w.state END, w.device_id, " WORK_ORDER_BODY
        "  || jsonb_build_object('actor', $7::text) FROM w JOIN devices d ON d.id = w.device_id)"
        " INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $7, 'work-order.' || $2, w.id::text, jsonb_build_object('title', w.title) FROM w",
        &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_STATE : e;
}
