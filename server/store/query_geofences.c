#include "store/query_geofences.h"

#include "store/query_internal.h"

#define GEOFENCE_JSON                                                           \
    "(g.definition || jsonb_build_object('name', g.name, 'version', g.version," \
    " 'created_at', " QUERY_TS("g.created_at") ", 'updated_at', " QUERY_TS("g.updated_at") "))"

enum err store_geofence_list(struct db *db, const char *after, int64_t limit,
                             struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, after);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " GEOFENCE_JSON "::text, 0, 0, g.name FROM geofences g"
                    " WHERE g.name > $1 ORDER BY g.name LIMIT $2",
                    &p, ret_rows);
}

/* The one row of a result, or `none`. */
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

enum err store_geofence_get(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    struct db_result *r = NULL;
    enum err e = db_query(
        db, "SELECT " GEOFENCE_JSON "::text, g.version FROM geofences g WHERE g.name = $1", &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

enum err store_geofence_create(struct db *db, const char *name, const char *definition,
                               int64_t most, const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    db_text(&p, actor);
    db_int(&p, most);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "WITH g AS (INSERT INTO geofences (name, definition) SELECT $1, $2::jsonb"
                          " WHERE (SELECT count(*) FROM geofences) < $4 OR"
                          " EXISTS (SELECT FROM geofences WHERE name = $1) RETURNING *),"
                          " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                          " SELECT $3, 'geofence.create', g.name, g.definition FROM g)"
                          " SELECT " GEOFENCE_JSON "::text, g.version FROM g",
                          &p, &r);
    return one_row(e, r, ERR_FULL, ret_row);
}

enum err store_geofence_update(struct db *db, const char *name, const char *definition,
                               int64_t version, const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    db_text(&p, actor);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e =
        db_query(db,
                 "WITH g AS (UPDATE geofences SET definition = $2::jsonb, version = version + 1,"
                 " updated_at = now() WHERE name = $1 AND version = $4 RETURNING *),"
                 " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                 " SELECT $3, 'geofence.update', g.name, g.definition FROM g)"
                 " SELECT " GEOFENCE_JSON "::text, g.version FROM g",
                 &p, &r);
    return one_row(e, r, ERR_CONFLICT, ret_row);
}

enum err store_geofence_delete(struct db *db, const char *name, int64_t version, const char *actor)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(db,
                         "WITH g AS (DELETE FROM geofences WHERE name = $1 AND version = $2"
                         " RETURNING name, definition)"
                         " INSERT INTO audit_log (actor, action, object, detail)"
                         " SELECT $3, 'geofence.delete', g.name, g.definition FROM g",
                         &p, &rows);
    if (e == ERR_DB_DATA && db_constraint(db)[0] != '\0') {
        return ERR_STATE; /* rule_geofences refers to it */
    }
    return e == ERR_OK && rows == 0 ? ERR_CONFLICT : e;
}

enum err store_geofence_rules(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    return db_query(
        db,
        "SELECT coalesce(string_agg(x.name, ', ' ORDER BY x.name), '') FROM"
        " (SELECT r.name FROM geofences g JOIN rule_geofences l ON l.geofence_id = g.id"
        " JOIN rules r ON r.id = l.rule_id WHERE g.name = $1 ORDER BY r.name LIMIT 3) x",
        &p, ret_row);
}
