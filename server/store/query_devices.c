#include "store/query_devices.h"

#include "store/query_internal.h"

#define DEVICE_JSON                                                                                \
    "json_build_object('name', d.name, 'type', t.name, 'labels', d.labels,"                        \
    " 'attributes', d.attributes, 'gateway', g.name, 'reported', d.reported,"                      \
    " 'enabled', d.enabled, 'last_seen_at', " QUERY_TS(                                            \
        "s.last_seen_at") ","                                                                      \
                          " 'watermark', " QUERY_TS(                                               \
                              "s.watermark") ", 'version', d.version,"                             \
                                             " 'created_at', " QUERY_TS(                           \
                                                 "d.created_at") ", 'updated_at', " QUERY_TS("d."  \
                                                                                             "upd" \
                                                                                             "ate" \
                                                                                             "d_"  \
                                                                                             "at") ")"
#define DEVICE_JOINS                                                                      \
    " JOIN device_types t ON t.id = d.type_id LEFT JOIN devices g ON g.id = d.gateway_id" \
    " LEFT JOIN device_state s ON s.device_id = d.id"
/* `given` over `old`: its nulls remove members. */
#define MERGED(old, given)                                                  \
    "((" old " || " given ") - ARRAY(SELECT key FROM jsonb_each(" given ")" \
    " WHERE value = 'null'::jsonb))"

enum err store_device_list(struct db *db, const struct store_device_filter *f, const char *after,
                           int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, after);
    db_int(&p, limit + 1);
    db_text(&p, f->type);
    db_text(&p, f->labels);
    db_text(&p, f->gateway);
    db_text(&p, f->prefix);
    db_text(&p, f->ids);
    return db_query(db,
                    "SELECT " DEVICE_JSON "::text, d.id, 0, d.name FROM devices d" DEVICE_JOINS
                    " WHERE d.name > $1"
                    " AND ($3::text IS NULL OR t.name = $3)"
                    " AND ($4::jsonb IS NULL OR NOT EXISTS (SELECT FROM jsonb_each_text($4::jsonb)"
                    " w WHERE d.labels->>w.key IS DISTINCT FROM w.value))"
                    " AND ($5::text IS NULL OR g.name = $5)"
                    " AND ($6::text IS NULL OR starts_with(d.name, $6))"
                    " AND ($7::int[] IS NULL OR d.id = ANY($7::int[]))"
                    " ORDER BY d.name LIMIT $2",
                    &p, ret_rows);
}

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

enum err store_device_get(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    struct db_result *r = NULL;
    enum err e =
        db_query(db,
                 "SELECT " DEVICE_JSON "::text, d.version, d.id FROM devices d" DEVICE_JOINS
                 " WHERE d.name = $1",
                 &p, &r);
    return one_row(e, r, ret_row);
}

enum err store_device_create(struct db *db, const struct store_device *d, const char *actor,
                             struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, d->name);
    db_text(&p, d->type);
    db_text(&p, d->labels);
    db_text(&p, d->attributes);
    db_text(&p, d->gateway);
    db_text(&p, d->enabled);
    db_text(&p, actor);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH d AS (INSERT INTO devices (name, type_id, labels, attributes, gateway_id, enabled)"
        " SELECT $1, y.id, $3::jsonb, $4::jsonb, (SELECT id FROM devices WHERE name = $5),"
        " $6::boolean FROM device_types y WHERE y.name = $2 RETURNING *),"
        " a AS (INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $7, 'device.create', d.name, jsonb_build_object('type', $2::text,"
        " 'labels', d.labels) FROM d)"
        " SELECT " DEVICE_JSON "::text, d.version, d.id FROM d" DEVICE_JOINS,
        &p, &r);
    return one_row(e, r, ret_row);
}

enum err store_device_update(struct db *db, const struct store_device *d, int64_t version,
                             const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, d->name);
    db_text(&p, d->type);
    db_text(&p, d->labels);
    db_text(&p, d->attributes);
    db_text(&p, d->gateway);
    db_text(&p, d->enabled);
    db_text(&p, actor);
    db_bool(&p, d->set_gateway);
    db_bool(&p, d->merge);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH d AS (UPDATE devices u SET"
        " type_id = coalesce((SELECT y.id FROM device_types y WHERE y.name = $2), u.type_id),"
        " labels = CASE WHEN $3::jsonb IS NULL THEN u.labels"
        " WHEN $9::boolean THEN " MERGED(
            "u.labels", "$3::jsonb") " ELSE $3::jsonb END,"
                                     " attributes = CASE WHEN $4::jsonb IS NULL THEN u.attributes"
                                     " WHEN $9::boolean THEN " MERGED(
                                         "u.attributes",
                                         "$4::jsonb") " ELSE $4::jsonb END,"
                                                      " gateway_id = CASE WHEN $8::boolean THEN "
                                                      "(SELECT id FROM devices WHERE name = $5)"
                                                      " ELSE u.gateway_id END,"
                                                      " enabled = coalesce($6::boolean, u.enabled),"
                                                      " version = u.version + 1, updated_at = now()"
                                                      " WHERE u.name = $1 AND ($10::int = 0 OR "
                                                      "u.version = $10::int) RETURNING *),"
                                                      " a AS (INSERT INTO audit_log (actor, "
                                                      "action, object, detail)"
                                                      " SELECT $7, 'device.update', d.name, "
                                                      "jsonb_build_object('labels', d.labels,"
                                                      " 'attributes', d.attributes, 'enabled', "
                                                      "d.enabled) FROM d)"
                                                      " SELECT " DEVICE_JSON
                                                      "::text, d.version, d.id FROM d" DEVICE_JOINS,
        &p, &r);
    return one_row(e, r, ret_row);
}

enum err store_device_delete(struct db *db, const char *name, int64_t version, const char *actor)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(
        db,
        "WITH d AS (DELETE FROM devices WHERE name = $1 AND ($2::int = 0 OR version = $2::int)"
        " RETURNING id, name, labels),"
        " l AS (DELETE FROM latest WHERE device_id IN (SELECT id FROM d)),"
        " s AS (DELETE FROM device_state WHERE device_id IN (SELECT id FROM d))"
        " INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $3, 'device.delete', d.name, jsonb_build_object('id', d.id, 'labels', d.labels)"
        " FROM d",
        &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_NOT_FOUND : e;
}

/* ---- import -----------------------------------------------------------------------------------
 */

enum err store_device_import(struct db *db, const char *rows, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, rows);
    return db_query(
        db,
        "WITH r AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS x (line int, name text,"
        " type text, labels jsonb, attributes jsonb, enabled boolean, hash text)),"
        " fit AS (SELECT r.*, decode(r.hash, 'hex') AS secret FROM r WHERE NOT EXISTS"
        " (SELECT FROM credentials k JOIN devices o ON o.id = k.device_id"
        " WHERE k.hash = decode(r.hash, 'hex') AND o.name <> r.name)),"
        " d AS (INSERT INTO devices AS u (name, type_id, labels, attributes, enabled)"
        " SELECT f.name, t.id, f.labels, f.attributes, f.enabled"
        " FROM fit f JOIN device_types t ON t.name = f.type"
        " ON CONFLICT (name) DO UPDATE SET type_id = excluded.type_id,"
        " labels = u.labels || excluded.labels,"
        " attributes = u.attributes || excluded.attributes, enabled = excluded.enabled,"
        " version = u.version + 1, updated_at = now()"
        " RETURNING id, name, xmax = 0 AS created),"
        " c AS (INSERT INTO credentials (device_id, kind, hash)"
        " SELECT d.id, 'token', f.secret FROM fit f JOIN d ON d.name = f.name"
        " WHERE f.secret IS NOT NULL ON CONFLICT (hash) DO NOTHING)"
        " SELECT f.line, d.created FROM fit f JOIN d ON d.name = f.name",
        &p, ret_rows);
}

enum err store_device_import_gateways(struct db *db, const char *rows)
{
    struct db_params p = {0};
    db_text(&p, rows);
    return db_exec(db,
                   "UPDATE devices d SET gateway_id = g.id"
                   " FROM jsonb_to_recordset($1::jsonb) AS x (name text, gateway text)"
                   " JOIN devices g ON g.name = x.gateway"
                   " WHERE d.name = x.name AND d.gateway_id IS DISTINCT FROM g.id",
                   &p, NULL);
}

enum err store_audit(struct db *db, const char *actor, const char *action, const char *object,
                     const char *detail)
{
    struct db_params p = {0};
    db_text(&p, actor);
    db_text(&p, action);
    db_text(&p, object);
    db_text(&p, detail);
    return db_exec(db,
                   "INSERT INTO audit_log (actor, action, object, detail)"
                   " VALUES ($1, $2, $3, $4::jsonb)",
                   &p, NULL);
}

/* ---- credentials ------------------------------------------------------------------------------
 */

enum err store_credential_list(struct db *db, int32_t device_id, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_int(&p, device_id);
    return db_query(
        db,
        "SELECT json_build_object('id', c.id, 'kind', c.kind, 'serial', c.serial,"
        " 'not_before', " QUERY_TS("c.not_before") ", 'not_after', " QUERY_TS(
            "c.not_after") ","
                           " 'revoked_at', " QUERY_TS("c.revoked_at") ", 'created_at', " QUERY_TS(
                               "c.created_at") ")"
                                               "::text, c.id, 0, '' FROM credentials c WHERE "
                                               "c.device_id = $1 ORDER BY c.id LIMIT 1000",
        &p, ret_rows);
}

enum err store_credential_create(struct db *db, const struct store_credential *c, const char *actor,
                                 int64_t *ret_id)
{
    struct db_params p = {0};
    db_int(&p, c->device_id);
    db_text(&p, c->kind);
    db_bytes(&p, c->hash);
    db_text(&p, c->serial);
    db_time(&p, c->not_before_us);
    db_time(&p, c->not_after_us);
    db_text(&p, actor);
    db_text(&p, c->device);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH c AS (INSERT INTO credentials (device_id, kind, hash, serial, not_before, not_after)"
        " VALUES ($1, $2, $3::bytea, $4, coalesce($5::timestamptz, now()), $6::timestamptz)"
        " RETURNING id, kind, serial),"
        " a AS (INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $7, 'credential.create', $8, jsonb_build_object('id', c.id, 'kind', c.kind,"
        " 'serial', c.serial) FROM c)"
        " SELECT c.id FROM c",
        &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    *ret_id = db_get_int(r, 0, 0);
    db_result_free(r);
    return ERR_OK;
}

enum err store_credential_revoke(struct db *db, int32_t device_id, const char *device, int64_t id,
                                 const char *actor)
{
    struct db_params p = {0};
    db_int(&p, device_id);
    db_int(&p, id);
    db_text(&p, actor);
    db_text(&p, device);
    int64_t rows = 0;
    enum err e = db_exec(db,
                         "WITH c AS (UPDATE credentials SET revoked_at = now()"
                         " WHERE device_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING id)"
                         " INSERT INTO audit_log (actor, action, object, detail)"
                         " SELECT $3, 'credential.revoke', $4, jsonb_build_object('id', c.id)"
                         " FROM c",
                         &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_NOT_FOUND : e;
}
