#include "store/query_alerts.h"

#include "store/query_internal.h"

#define ALERT_LIFE                                                                                \
    " 'shadow', a.shadow, 'assigned_to', a.assigned_to, 'shelved_by', CASE WHEN a.shelved_until " \
    "> now()"                                                                                     \
    " THEN a.shelved_by END, 'shelved_until', CASE WHEN a.shelved_until > now() THEN " QUERY_TS(  \
        "a.shelved_until") " END"

#define ALERT_FIELDS                                                                               \
    "'id', a.id, 'rule', a.rule, 'device', d.name, 'group', NULL, 'severity', a.severity,"         \
    " 'state', a.state, 'since', " QUERY_TS("a.since") ", 'fired_at', " QUERY_TS(                  \
        "a.fired_at") ","                                                                          \
                      " 'resolved_at', " QUERY_TS(                                                 \
                          "a.resolved_at") ", 'value', a.value, 'summary', a.summary,"             \
                                           " 'acknowledged_by', a.acknowledged_by,"                \
                                           " 'acknowledged_at', " QUERY_TS(                        \
                                               "a.acknowledged_at") "," ALERT_LIFE                 \
                                                                    ", 'severity_at', " QUERY_TS(  \
                                                                        "coalesce(a.severity_at, " \
                                                                        "a.fired_at)") ", "        \
                                                                                       "'worst', " \
                                                                                       "coalesce(" \
                                                                                       "a.worst, " \
                                                                                       "a."        \
                                                                                       "severity)" \
                                                                                       ", "        \
                                                                                       "'rule_"    \
                                                                                       "version'," \
                                                                                       " a.rule_"  \
                                                                                       "version"

static enum err one_row(enum err e, struct db_result *r, struct db_result **ret_row)
{
    if (e == ERR_OK && db_rows(r) == 0) {
        db_result_free(r);
        return ERR_NOT_FOUND;
    }
    if (e == ERR_OK) {
        *ret_row = r;
    }
    return e;
}

enum err store_alert_list(struct db *db, const struct store_alert_filter *f, int64_t before_us,
                          int64_t before_id, int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, f->ids);
    db_text(&p, f->rule);
    db_text(&p, f->states);
    db_text(&p, f->severities);
    db_time(&p, f->from_us);
    db_time(&p, f->to_us);
    db_time(&p, before_us);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    db_bool(&p, f->shadow);
    return db_query(
        db,
        "SELECT json_build_object(" ALERT_FIELDS ")::text, " QUERY_US(
            "a.fired_at") ", a.id, ''"
                          " FROM alerts a LEFT JOIN devices d ON d.id = a.device_id"
                          " WHERE a.shadow = $10::boolean AND ($1::int[] IS NULL OR a.device_id = "
                          "ANY($1::int[]))"
                          " AND ($2::text IS NULL OR a.rule = $2)"
                          " AND ($3::text[] IS NULL OR a.state = ANY($3::text[]))"
                          " AND ($4::text[] IS NULL OR a.severity = ANY($4::text[]))"
                          " AND ($5::timestamptz IS NULL OR a.fired_at >= $5::timestamptz)"
                          " AND ($6::timestamptz IS NULL OR a.fired_at < $6::timestamptz)"
                          " AND ($7::timestamptz IS NULL OR (a.fired_at <= $7::timestamptz"
                          " AND (a.fired_at, a.id) < ($7::timestamptz, $8::bigint)))"
                          " ORDER BY a.fired_at DESC, a.id DESC LIMIT $9",
        &p, ret_rows);
}

enum err store_alert_get(struct db *db, int64_t id, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, id);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT json_build_object(" ALERT_FIELDS ", 'recorded_at', " QUERY_TS(
            "a.recorded_at") ","
                             " 'explain', a.explain, 'events', (SELECT "
                             "coalesce(json_agg(json_build_object("
                             "'kind', e.kind, 'ts', " QUERY_TS(
                                 "e.ts") ", 'actor', e.actor, 'detail', e.detail,"
                                         " 'recorded_at', " QUERY_TS(
                                             "e.recorded_at") ") ORDER BY e.id), '[]')"
                                                              " FROM alert_events e WHERE "
                                                              "e.alert_id = a.id))::text, "
                                                              "a.device_id"
                                                              " FROM alerts a LEFT JOIN devices d "
                                                              "ON d.id = a.device_id WHERE a.id = "
                                                              "$1",
        &p, &r);
    return one_row(e, r, ret_row);
}

/* ---- commands ---------------------------------------------------------------------------------
 */

#define COMMAND_FIELDS                                                                        \
    "'id', c.id, 'device', d.name, 'method', c.method, 'params', c.params, 'state', c.state," \
    " 'result', c.result, 'origin', c.origin, 'alert_id', c.alert_id, 'attempt', c.attempt,"  \
    " 'created_at', " QUERY_TS("c.created_at") ", 'expires_at', " QUERY_TS("c.expires_at")

enum err store_command_list(struct db *db, int32_t device_id, const char *states, int64_t before_id,
                            int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_int(&p, device_id);
    db_text(&p, states);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT json_build_object(" COMMAND_FIELDS ")::text, c.id, 0, ''"
                    " FROM commands c LEFT JOIN devices d ON d.id = c.device_id"
                    " WHERE c.device_id = $1"
                    " AND ($2::text[] IS NULL OR c.state = ANY($2::text[]))"
                    " AND c.id < $3::bigint ORDER BY c.id DESC LIMIT $4",
                    &p, ret_rows);
}

enum err store_command_get(struct db *db, int64_t id, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, id);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT json_build_object(" COMMAND_FIELDS ", 'history', (SELECT coalesce(json_agg("
        "json_build_object('state', h.state, 'ts', " QUERY_TS(
            "h.ts") ", 'cause', h.cause)"
                    " ORDER BY h.seq), '[]') FROM command_history h WHERE h.command_id = "
                    "c.id))::text,"
                    " c.device_id, c.state"
                    " FROM commands c LEFT JOIN devices d ON d.id = c.device_id WHERE c.id = $1",
        &p, &r);
    return one_row(e, r, ret_row);
}
