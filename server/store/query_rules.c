#include "store/query_rules.h"

#include "store/query_internal.h"

#define RULE_JSON                                                               \
    "(r.definition || jsonb_build_object('name', r.name, 'version', r.version," \
    " 'created_at', " QUERY_TS("r.created_at") ", 'updated_at', " QUERY_TS("r.updated_at") "))"

enum err store_rule_list(struct db *db, const char *after, int64_t limit,
                         struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, after);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " RULE_JSON "::text, 0, 0, r.name FROM rules r"
                    " WHERE r.deleted_at IS NULL AND r.name > $1 ORDER BY r.name LIMIT $2",
                    &p, ret_rows);
}

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

enum err store_rule_get(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT " RULE_JSON "::text, r.version, r.definition::text FROM rules r"
                          " WHERE r.name = $1 AND r.deleted_at IS NULL",
                          &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

static void rule_params(struct db_params *p, const struct store_rule *rule, const char *actor)
{
    db_text(p, rule->name);
    db_text(p, rule->definition);
    db_text(p, actor);
    db_text(p, rule->geofences);
}

/* A geofence that is deleted while a rule comes to name it: one of the two gives way. */
static enum err without_geofence(const struct db *db, enum err e)
{
    return e == ERR_DB_DATA && db_constraint(db)[0] != '\0' ? ERR_CONFLICT : e;
}

enum err store_rule_create(struct db *db, const struct store_rule *rule, const char *actor,
                           struct db_result **ret_row)
{
    struct db_params p = {0};
    rule_params(&p, rule, actor);
    enum err e = db_query(
        db,
        "WITH r AS (INSERT INTO rules (name, definition) VALUES ($1, $2::jsonb) RETURNING *),"
        " v AS (INSERT INTO rule_versions (rule_id, version, definition, created_by)"
        " SELECT r.id, r.version, r.definition, $3 FROM r),"
        " l AS (INSERT INTO rule_geofences (rule_id, geofence_id)"
        " SELECT r.id, f FROM r, unnest($4::int[]) f),"
        " a AS (INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $3, 'rule.create', r.name, r.definition FROM r)"
        " SELECT " RULE_JSON "::text, r.version FROM r",
        &p, ret_row);
    return without_geofence(db, e);
}

enum err store_rule_update(struct db *db, const struct store_rule *rule, int64_t version,
                           const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    rule_params(&p, rule, actor);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH r AS (UPDATE rules SET definition = $2::jsonb, version = version + 1,"
        " updated_at = now() WHERE name = $1 AND version = $5 AND deleted_at IS NULL RETURNING *),"
        " v AS (INSERT INTO rule_versions (rule_id, version, definition, created_by)"
        " SELECT r.id, r.version, r.definition, $3 FROM r),"
        " d AS (DELETE FROM rule_geofences l USING r WHERE l.rule_id = r.id"
        " AND l.geofence_id <> ALL ($4::int[])),"
        " l AS (INSERT INTO rule_geofences (rule_id, geofence_id)"
        " SELECT r.id, f FROM r, unnest($4::int[]) f ON CONFLICT DO NOTHING),"
        " a AS (INSERT INTO audit_log (actor, action, object, detail)"
        " SELECT $3, 'rule.update', r.name, r.definition FROM r)"
        " SELECT " RULE_JSON "::text, r.version FROM r",
        &p, &r);
    return one_row(without_geofence(db, e), r, ERR_CONFLICT, ret_row);
}

enum err store_rule_delete(struct db *db, const char *name, int64_t version, const char *actor)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(db,
                         "WITH r AS (UPDATE rules SET deleted_at = now()"
                         " WHERE name = $1 AND version = $2 AND deleted_at IS NULL"
                         " RETURNING id, name, definition),"
                         " d AS (DELETE FROM rule_geofences l USING r WHERE l.rule_id = r.id)"
                         " INSERT INTO audit_log (actor, action, object, detail)"
                         " SELECT $3, 'rule.delete', r.name, r.definition FROM r",
                         &p, &rows);
    return e == ERR_OK && rows == 0 ? ERR_CONFLICT : e;
}

enum err store_rule_patched(struct db *db, const char *name, const char *patch,
                            struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, patch);
    struct db_result *r = NULL;
    enum err e =
        db_query(db,
                 "SELECT ((r.definition || $2::jsonb) - ARRAY(SELECT key FROM jsonb_each($2::jsonb)"
                 " WHERE value = 'null'::jsonb))::text, r.version FROM rules r"
                 " WHERE r.name = $1 AND r.deleted_at IS NULL",
                 &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

#define VERSION_JSON                                                                     \
    "json_build_object('version', v.version, 'created_at', " QUERY_TS(                   \
        "v.created_at") ","                                                              \
                        " 'created_by', v.created_by, 'active', v.version = r.version, " \
                        "'definition', v.definition)"

enum err store_rule_versions(struct db *db, const char *name, int64_t before, int64_t limit,
                             struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, before);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " VERSION_JSON "::text, v.version, 0, '' FROM rules r"
                    " JOIN rule_versions v ON v.rule_id = r.id"
                    " WHERE r.name = $1 AND r.deleted_at IS NULL AND v.version < $2::bigint"
                    " ORDER BY v.version DESC LIMIT $3",
                    &p, ret_rows);
}

enum err store_rule_version(struct db *db, const char *name, int64_t version,
                            struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT " VERSION_JSON "::text, v.version, v.definition::text"
                          " FROM rules r JOIN rule_versions v ON v.rule_id = r.id"
                          " WHERE r.name = $1 AND r.deleted_at IS NULL AND v.version = $2::bigint",
                          &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

enum err store_rule_version_at(struct db *db, const char *name, int64_t at_us, int64_t *ret_version)
{
    struct db_params p = {0};
    struct db_result *r = NULL;
    db_text(&p, name);
    db_time(&p, at_us);
    enum err e = db_query(db,
                          "SELECT coalesce((SELECT max(v.version) FROM rule_versions v"
                          " WHERE v.rule_id = r.id AND v.created_at <= $2::timestamptz), r.version)"
                          " FROM rules r WHERE r.name = $1 AND r.deleted_at IS NULL",
                          &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    e = db_rows(r) == 0 ? ERR_NOT_FOUND : ERR_OK;
    if (e == ERR_OK) {
        *ret_version = db_get_int(r, 0, 0);
    }
    db_result_free(r);
    return e;
}
