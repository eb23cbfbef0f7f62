#include "store/query_types.h"

#include "store/query_internal.h"

#define TYPE_JSON                                                                          \
    "json_build_object('name', t.name,"                                                    \
    " 'metrics', coalesce(t.definition->'metrics', '{}'),"                                 \
    " 'commands', coalesce(t.definition->'commands', '[]'),"                               \
    " 'topics', coalesce(t.definition->'topics', '{\"publish\":[],\"subscribe\":[]}'),"    \
    " 'metrics_max', t.definition->'metrics_max',"                                         \
    " 'any_metric', t.any_metric, 'auto_register', t.auto_register, 'version', t.version," \
    " 'created_at', " QUERY_TS("t.created_at") ", 'updated_at', " QUERY_TS("t.updated_at") ")"

/* Of the document, what the table keeps as such. */
#define TYPE_DEFINITION                                                   \
    "jsonb_build_object('metrics', coalesce($2::jsonb->'metrics', '{}')," \
    " 'commands', coalesce($2::jsonb->'commands', '[]'),"                 \
    " 'topics', coalesce($2::jsonb->'topics', '{}'))"                     \
    " || jsonb_strip_nulls(jsonb_build_object('metrics_max', $2::jsonb->'metrics_max'))"

enum err store_type_list(struct db *db, const char *after, int64_t limit,
                         struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, after);
    db_int(&p, limit + 1);
    return db_query(db,
                    "SELECT " TYPE_JSON "::text, 0, 0, t.name FROM device_types t"
                    " WHERE t.name > $1 ORDER BY t.name LIMIT $2",
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

enum err store_type_get(struct db *db, const char *name, struct db_result **ret_row)
{
    struct db_params p = {0};
    db_text(&p, name);
    struct db_result *r = NULL;
    enum err e = db_query(
        db, "SELECT " TYPE_JSON "::text, t.version FROM device_types t WHERE t.name = $1", &p, &r);
    return one_row(e, r, ERR_NOT_FOUND, ret_row);
}

static void type_params(struct db_params *p, const struct store_type *t, const char *actor)
{
    db_text(p, t->name);
    db_text(p, t->definition);
    db_bool(p, t->any_metric);
    db_bool(p, t->auto_register);
    db_text(p, actor);
}

enum err store_type_create(struct db *db, const struct store_type *t, const char *actor,
                           struct db_result **ret_row)
{
    struct db_params p = {0};
    type_params(&p, t, actor);
    return db_query(db,
                    "WITH t AS (INSERT INTO device_types (name, definition, any_metric,"
                    " auto_register) VALUES ($1, " TYPE_DEFINITION ", $3, $4) RETURNING *),"
                    " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                    " SELECT $5, 'device-type.create', t.name, t.definition FROM t)"
                    " SELECT " TYPE_JSON "::text, t.version FROM t",
                    &p, ret_row);
}

enum err store_type_update(struct db *db, const struct store_type *t, int64_t version,
                           const char *actor, struct db_result **ret_row)
{
    struct db_params p = {0};
    type_params(&p, t, actor);
    db_int(&p, version);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "WITH t AS (UPDATE device_types SET definition = " TYPE_DEFINITION
                          ", any_metric = $3,"
                          " auto_register = $4, version = version + 1, updated_at = now()"
                          " WHERE name = $1 AND version = $6 RETURNING *),"
                          " a AS (INSERT INTO audit_log (actor, action, object, detail)"
                          " SELECT $5, 'device-type.update', t.name, t.definition FROM t)"
                          " SELECT " TYPE_JSON "::text, t.version FROM t",
                          &p, &r);
    return one_row(e, r, ERR_CONFLICT, ret_row);
}

enum err store_type_delete(struct db *db, const char *name, int64_t version, const char *actor)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_int(&p, version);
    db_text(&p, actor);
    int64_t rows = 0;
    enum err e = db_exec(db,
                         "WITH t AS (DELETE FROM device_types WHERE name = $1 AND version = $2"
                         " RETURNING name, definition)"
                         " INSERT INTO audit_log (actor, action, object, detail)"
                         " SELECT $3, 'device-type.delete', t.name, t.definition FROM t",
                         &p, &rows);
    if (e == ERR_DB_DATA && db_constraint(db)[0] != '\0') {
        return ERR_STATE; /* devices refer to it */
    }
    return e == ERR_OK && rows == 0 ? ERR_CONFLICT : e;
}
