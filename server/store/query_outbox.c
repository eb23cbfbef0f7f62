#include "store/query_outbox.h"

enum err store_outbox_restart(struct db *db, const char *under_way)
{
    struct db_params p = {0};
    db_text(&p, under_way);
    return db_exec(
        db,
        "WITH o AS (UPDATE outbox SET state = 'queued', next_at = now()"
        " WHERE state = 'sending' AND NOT id = ANY ($1::bigint[]) RETURNING id, attempts)"
        " INSERT INTO outbox_history (outbox_id, attempt, outcome, detail)"
        " SELECT id, attempts, 'retry', 'the server stopped meanwhile' FROM o"
        " ON CONFLICT DO NOTHING",
        &p, NULL);
}

enum err store_outbox_due(struct db *db, struct db_result **ret_rows)
{
    return db_query(db,
                    "SELECT channel, count(*) FILTER (WHERE judged_at IS NULL),"
                    " coalesce((extract(epoch FROM now() - min(created_at)"
                    " FILTER (WHERE judged_at IS NULL)) * 1000000)::bigint, 0),"
                    " coalesce((extract(epoch FROM now() - max(created_at)"
                    " FILTER (WHERE judged_at IS NULL)) * 1000000)::bigint, 0),"
                    " count(*) FILTER (WHERE judged_at IS NOT NULL AND next_at <= now())"
                    " FROM outbox WHERE state = 'queued' GROUP BY channel ORDER BY channel",
                    NULL, ret_rows);
}

enum err store_outbox_unjudged(struct db *db, const char *channel, int64_t within_us, int64_t limit,
                               struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, channel);
    db_int(&p, within_us);
    db_int(&p, limit);
    return db_query(
        db,
        "SELECT o.id, o.event, o.alert_id, o.device_id, a.rule, a.severity,"
        " CASE WHEN a.shelved_until > now() THEN a.shelved_by END,"
        " coalesce((SELECT w.id FROM work_orders w WHERE w.device_id = o.device_id"
        " AND w.state = 'in_progress' LIMIT 1), 0),"
        " coalesce((SELECT g.id FROM alerts g WHERE g.rule_id = o.rule_id"
        " AND g.device_id = d.gateway_id AND g.state = 'firing' LIMIT 1), 0),"
        " CASE WHEN $2::bigint = 0 THEN 0 ELSE (SELECT count(*) FROM alerts f"
        " WHERE f.device_id = o.device_id AND f.rule_id = o.rule_id AND f.id <= o.alert_id"
        " AND f.state <> 'retracted'"
        " AND f.recorded_at > now() - $2::bigint * interval '1 microsecond') END,"
        " (SELECT f.reason FROM outbox f WHERE f.alert_id = o.alert_id"
        " AND f.channel = o.channel AND f.event = 'firing' AND f.state = 'suppressed'),"
        " o.body::text"
        " FROM outbox o LEFT JOIN alerts a ON a.id = o.alert_id"
        " LEFT JOIN devices d ON d.id = o.device_id"
        " WHERE o.channel = $1 AND o.state = 'queued' AND o.judged_at IS NULL"
        " ORDER BY o.id LIMIT $3",
        &p, ret_rows);
}

enum err store_outbox_told(struct db *db, const char *channel, int64_t within_us,
                           int64_t *ret_count)
{
    struct db_params p = {0};
    db_text(&p, channel);
    db_int(&p, within_us);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT count(*) FROM outbox WHERE channel = $1 AND event <> 'test'"
                          " AND state IN ('queued', 'sending', 'sent', 'failed')"
                          " AND judged_at > now() - $2::bigint * interval '1 microsecond'",
                          &p, &r);
    if (e == ERR_OK) {
        *ret_count = db_get_int(r, 0, 0);
        db_result_free(r);
    }
    return e;
}

enum err store_outbox_judged(struct db *db, const char *channel, const char *verdicts,
                             const char *digest)
{
    struct db_params p = {0};
    db_text(&p, channel);
    db_text(&p, verdicts);
    db_text(&p, digest);
    return db_exec(
        db,
        "WITH v AS (SELECT * FROM jsonb_to_recordset($2::jsonb)"
        " AS v (id bigint, reason text, detail text)),"
        " dig AS (INSERT INTO outbox (key, channel, event, body, judged_at)"
        " SELECT 'digest/' || $1 || '/' || min(v.id), $1, 'digest', $3::jsonb, now()"
        " FROM v WHERE v.reason IS NULL AND $3::text IS NOT NULL HAVING count(*) > 0"
        " RETURNING id)"
        " UPDATE outbox o SET judged_at = now(), reason = v.reason, detail = v.detail,"
        " digest_id = CASE WHEN v.reason IS NULL THEN (SELECT id FROM dig) END,"
        " state = CASE WHEN v.reason IS NOT NULL THEN 'suppressed'"
        " WHEN EXISTS (SELECT 1 FROM dig) THEN 'digested' ELSE 'queued' END,"
        " ended_at = CASE WHEN v.reason IS NOT NULL OR EXISTS (SELECT 1 FROM dig) THEN now() END,"
        " next_at = now() FROM v WHERE o.id = v.id AND o.judged_at IS NULL",
        &p, NULL);
}

enum err store_outbox_silences(struct db *db, struct db_result **ret_rows)
{
    return db_query(db,
                    "SELECT id, (definition || jsonb_build_object('starts_at', starts_at,"
                    " 'expires_at', expires_at, 'comment', comment))::text FROM silences"
                    " WHERE expires_at > now() AND starts_at <= now() ORDER BY id",
                    NULL, ret_rows);
}

enum err store_outbox_causes(struct db *db, const char *rule, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, rule);
    return db_query(db,
                    "SELECT a.id, a.device_id FROM alerts a WHERE a.state = 'firing'"
                    " AND a.rule = $1 ORDER BY a.id LIMIT 1000",
                    &p, ret_rows);
}

enum err store_outbox_drop(struct db *db, const char *channel, const char *reason)
{
    struct db_params p = {0};
    db_text(&p, channel);
    db_text(&p, reason);
    return db_exec(db,
                   "UPDATE outbox SET state = 'suppressed', reason = $2, ended_at = now(),"
                   " detail = 'the channel was deleted or disabled before it was told'"
                   " WHERE channel = $1 AND state = 'queued' AND judged_at IS NOT NULL",
                   &p, NULL);
}

enum err store_outbox_claim(struct db *db, const char *channel, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, channel);
    return db_query(
        db,
        "UPDATE outbox SET state = 'sending', attempts = attempts + 1"
        " WHERE id = (SELECT o.id FROM outbox o WHERE o.channel = $1 AND o.state = 'queued'"
        " AND o.judged_at IS NOT NULL AND o.next_at <= now()"
        " AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.alert_id = o.alert_id"
        " AND b.channel = $1 AND b.id < o.id AND b.state IN ('queued', 'sending'))"
        " ORDER BY o.id LIMIT 1)"
        " RETURNING id, event, coalesce(device_id, 0), attempts, body::text,"
        " extract(epoch FROM now() - created_at)::bigint",
        &p, ret_row);
}

enum err store_outbox_end(struct db *db, int64_t id, const char *state, int64_t retry_us,
                          const char *detail)
{
    struct db_params p = {0};
    db_int(&p, id);
    db_text(&p, state);
    db_int(&p, retry_us);
    db_text(&p, detail);
    return db_exec(db,
                   "WITH o AS (UPDATE outbox SET state = $2, detail = nullif($4, ''),"
                   " next_at = now() + $3::bigint * interval '1 microsecond',"
                   " ended_at = CASE WHEN $2 <> 'queued' THEN now() END"
                   " WHERE id = $1 AND state = 'sending' RETURNING id, attempts)"
                   " INSERT INTO outbox_history (outbox_id, attempt, outcome, detail)"
                   " SELECT id, attempts, CASE $2 WHEN 'queued' THEN 'retry' ELSE $2 END, $4 FROM o"
                   " ON CONFLICT DO NOTHING",
                   &p, NULL);
}

enum err store_outbox_escalate(struct db *db, const char *channel, const char *to, int64_t after_us)
{
    struct db_params p = {0};
    db_text(&p, channel);
    db_text(&p, to);
    db_int(&p, after_us);
    return db_exec(
        db,
        "INSERT INTO outbox (key, channel, event, alert_id, device_id, rule_id, body)"
        " SELECT 'alert/' || o.alert_id || '/escalated/' || $2, $2, 'escalated', o.alert_id,"
        " o.device_id, o.rule_id, o.body || jsonb_build_object('escalated_from', $1::text)"
        " FROM alerts a JOIN outbox o ON o.alert_id = a.id AND o.channel = $1"
        " WHERE a.state = 'firing' AND a.acknowledged_by IS NULL"
        " AND (a.shelved_until IS NULL OR a.shelved_until <= now())"
        " AND o.event IN ('firing', 'escalated')"
        " AND (o.state <> 'suppressed' OR o.reason = 'rate_cap')"
        " AND o.created_at <= now() - $3::bigint * interval '1 microsecond'"
        " AND NOT EXISTS (SELECT 1 FROM outbox t WHERE t.key ="
        " 'alert/' || o.alert_id || '/escalated/' || $2)"
        " UNION ALL"
        " SELECT 'alert/' || o.alert_id || '/resolved/' || $2, $2, 'resolved', o.alert_id,"
        " o.device_id, o.rule_id, o.body || jsonb_build_object('state', a.state,"
        " 'resolved_at', a.resolved_at)"
        " FROM outbox o JOIN alerts a ON a.id = o.alert_id"
        " WHERE o.channel = $2 AND o.event = 'escalated' AND o.state <> 'suppressed'"
        " AND o.created_at > now() - interval '31 days' AND a.state <> 'firing'"
        " AND NOT EXISTS (SELECT 1 FROM outbox t WHERE t.key ="
        " 'alert/' || o.alert_id || '/resolved/' || $2)"
        " ON CONFLICT (key) DO NOTHING",
        &p, NULL);
}

enum err store_outbox_clean(struct db *db, int64_t days)
{
    struct db_params p = {0};
    db_int(&p, days);
    return db_exec(db,
                   "WITH o AS (DELETE FROM outbox WHERE id IN (SELECT id FROM outbox"
                   " WHERE ended_at < now() - $1::bigint * interval '1 day' LIMIT 10000)"
                   " RETURNING id) DELETE FROM outbox_history h USING o WHERE h.outbox_id = o.id",
                   &p, NULL);
}

enum err store_outbox_channels(struct db *db, struct db_result **ret_rows)
{
    return db_query(db, "SELECT definition::text, secret FROM channels ORDER BY name", NULL,
                    ret_rows);
}
