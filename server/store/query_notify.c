#include "store/query_notify.h"

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

/* ---- channels -------------------------------------------------------------------------------- */

#define CHANNEL_JSON                                                                     \
    "(c.definition || jsonb_build_object('secret_set', c.secret IS NOT NULL, 'version'," \
    " c.version, 'created_at', " QUERY_TS("c.created_at") ", 'updated_at', " QUERY_TS(   \
        "c.updated_at") "))::text"

enum err store_channel_list(struct db *db, const char *after, int64_t limit,
                            struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, after);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " CHANNEL_JSON ", 0, 0, c.name FROM channels c"
                    " WHERE c.name > $1 ORDER BY c.name LIMIT $2",
                    &p, ret_rows);
}

enum err store_channel_get(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    struct db_result *r = NULL;
    enum err e = db_query(
        db, "SELECT " CHANNEL_JSON ", c.version, c.secret FROM channels c WHERE c.name = $1", &p,
        &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

enum err store_channel_create(struct db *db, const char *name, const char *definition,
                              const char *secret, const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    db_text(&p, secret);
    db_text(&p, actor);
    return db_query(db,
                    "WITH c AS (INSERT INTO channels (name, definition, secret)"
                    " VALUES ($1, $2::jsonb, $3) RETURNING *),"
                    " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                    " SELECT $4, 'channel.create', c.name, c.definition FROM c)"
                    " SELECT " CHANNEL_JSON ", c.version, c.secret FROM c",
                    &p, ret_row);
}

enum err store_channel_update(struct db *db, const char *name, const char *definition,
                              const char *secret, int64_t version, const char *actor,
                              struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    db_text(&p, secret);
    db_text(&p, actor);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "WITH c AS (UPDATE channels SET definition = $2::jsonb, secret = $3,"
                          " version = version + 1, updated_at = now()"
                          " WHERE name = $1 AND version = $5 RETURNING *),"
                          " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                          " SELECT $4, 'channel.update', c.name, c.definition FROM c)"
                          " SELECT " CHANNEL_JSON ", c.version, c.secret FROM c",
                          &p, &r);
    return one_row(e, r, ERR_CONFLICT, ret_row);
}

enum err store_channel_delete(struct db *db, const char *name, int64_t version, const char *actor)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(db,
                         "WITH c AS (DELETE FROM channels WHERE name = $1 AND version = $2"
                         " RETURNING name, definition)"
                         " INSERT INTO audit_log (actor, action, object, detail)"
                         " SELECT $3, 'channel.delete', c.name, c.definition FROM c",
                         &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_CONFLICT : e;
}

#define NOTIFICATION_FIELDS                                                                 \
    "'id', o.id, 'channel', o.channel, 'event', o.event, 'alert_id', o.alert_id, 'device'," \
    " d.name, 'state', o.state, 'reason', o.reason, 'detail', o.detail, 'digest_id',"       \
    " o.digest_id, 'attempts', o.attempts, 'created_at', " QUERY_TS(                        \
        "o.created_at") ","                                                                 \
                        " 'next_at', CASE WHEN o.state = 'queued' THEN " QUERY_TS(          \
                            "o.next_at") " END,"                                            \
                                         " 'ended_at', " QUERY_TS("o.ended_at")

enum err store_channel_test(struct db *db, const char *name, const char *actor,
                            struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, actor);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH o AS (INSERT INTO outbox (key, channel, event, judged_at, body)"
        " SELECT 'test/' || gen_random_uuid(), c.name, 'test', now(),"
        " jsonb_build_object('message', 'test of this channel', 'by', $2::text)"
        " FROM channels c WHERE c.name = $1 RETURNING *),"
        " a AS (INSERT INTO audit_log (actor, action, object) SELECT $2, 'channel.test', o.channel"
        " FROM o)"
        " SELECT json_build_object(" NOTIFICATION_FIELDS ")::text"
        " FROM o LEFT JOIN devices d ON d.id = o.device_id",
        &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

/* ---- silences -------------------------------------------------------------------------------- */

#define SILENCE_JSON                                                                          \
    "(s.definition || jsonb_build_object('id', s.id, 'owner', s.owner, 'comment', s.comment," \
    " 'starts_at', " QUERY_TS("s.starts_at") ", 'expires_at', " QUERY_TS(                     \
        "s.expires_at") ","                                                                   \
                        " 'created_at', " QUERY_TS(                                           \
                            "s.created_at") ", 'ended_by', s.ended_by))::text"

enum err store_silence_list(struct db *db, bool active, int64_t before_id, int64_t limit,
                            struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_bool(&p, active);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " SILENCE_JSON ", s.id, 0, '' FROM silences s"
                    " WHERE (NOT $1::boolean OR s.expires_at > now()) AND s.id < $2::bigint"
                    " ORDER BY s.id DESC LIMIT $3",
                    &p, ret_rows);
}

enum err store_silence_get(struct db *db, int64_t id, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, id);
    struct db_result *r = NULL;
    enum err e = db_query(db, "SELECT " SILENCE_JSON " FROM silences s WHERE s.id = $1", &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

enum err store_silence_create(struct db *db, const struct store_silence *s, const char *owner,
                              struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, s->definition);
    db_text(&p, owner);
    db_text(&p, s->comment);
    db_time(&p, s->starts_us);
    db_time(&p, s->expires_us);
    return db_query(db,
                    "WITH s AS (INSERT INTO silences (definition, owner, comment, starts_at,"
                    " expires_at) VALUES ($1::jsonb - ARRAY['starts_at', 'expires_at',"
                    " 'expires_in', 'comment'], $2, $3, $4, $5) RETURNING *),"
                    " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                    " SELECT $2, 'silence.create', s.id::text, s.definition FROM s)"
                    " SELECT " SILENCE_JSON ", s.id FROM s",
                    &p, ret_row);
}

enum err store_silence_end(struct db *db, int64_t id, const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, id);
    db_text(&p, actor);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "WITH s AS (UPDATE silences SET expires_at = now(),"
                          " starts_at = least(starts_at, now()), ended_by = $2"
                          " WHERE id = $1 AND expires_at > now() RETURNING *),"
                          " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                          " SELECT $2, 'silence.end', s.id::text, s.definition FROM s)"
                          " SELECT " SILENCE_JSON " FROM s",
                          &p, &r);
    return one_row(e, r, ERR_STATE, ret_row);
}

/* ---- the outbox ------------------------------------------------------------------------------ */

enum err store_notification_list(struct db *db, const struct store_notification_filter *f,
                                 int64_t before_id, int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, f->ids);
    db_text(&p, f->states);
    db_text(&p, f->channel);
    db_text(&p, f->reason);
    db_int(&p, f->alert_id);
    db_int(&p, f->digest_id);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT json_build_object(" NOTIFICATION_FIELDS ")::text, o.id, 0, ''"
                    " FROM outbox o LEFT JOIN devices d ON d.id = o.device_id"
                    " WHERE ($1::int[] IS NULL OR o.device_id = ANY($1::int[]))"
                    " AND ($2::text[] IS NULL OR o.state = ANY($2::text[]))"
                    " AND ($3::text IS NULL OR o.channel = $3)"
                    " AND ($4::text IS NULL OR o.reason = $4)"
                    " AND ($5::bigint = 0 OR o.alert_id = $5::bigint)"
                    " AND ($6::bigint = 0 OR o.digest_id = $6::bigint)"
                    " AND o.id < $7::bigint ORDER BY o.id DESC LIMIT $8",
                    &p, ret_rows);
}

enum err store_notification_get(struct db *db, int64_t id, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_int(&p, id);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT json_build_object(" NOTIFICATION_FIELDS ", 'body', o.body, 'digested',"
        " (SELECT count(*) FROM outbox m WHERE m.digest_id = o.id), 'history',"
        " (SELECT coalesce(json_agg(json_build_object('attempt', h.attempt, 'ts', " QUERY_TS(
            "h.ts") ","
                    " 'outcome', h.outcome, 'detail', h.detail) ORDER BY h.attempt), '[]')"
                    " FROM outbox_history h WHERE h.outbox_id = o.id))::text,"
                    " coalesce(o.device_id, 0)"
                    " FROM outbox o LEFT JOIN devices d ON d.id = o.device_id WHERE o.id = $1",
        &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}
