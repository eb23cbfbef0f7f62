#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/embedded.h"
#include "base/log.h"
#include "store/store.h"

/*
 * Migrations are the files of migrations/, in the order of their names, compiled into the program.
 * Each runs once, in one transaction together with its row in `migrations`, under an advisory lock,
 * so that an interrupted run continues where it stopped and two runs do not meet. A changed file or
 * a schema newer than the program is refused.
 */
#define MIGRATE_LOCK "7308332181436593517" /* any number, the same for ever */

extern const struct embedded store_migration_files[];

static const char *const migrate_ledger = "CREATE TABLE IF NOT EXISTS migrations (number int "
                                          "PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
                                          " applied_at timestamptz NOT NULL DEFAULT now())";

static int migrate_count(void)
{
    int n = 0;
    while (store_migration_files[n].name != NULL) {
        n++;
    }
    return n;
}

/* What was applied must be what we have, in order. */
static enum err migrate_compare(struct db *db, struct store_migration_status *status)
{
    struct db_result *r = NULL;
    enum err e =
        db_query(db, "SELECT number, name, sha256 FROM migrations ORDER BY number", NULL, &r);
    if (e != ERR_OK) {
        (void)snprintf(status->problem, sizeof(status->problem), "%s", db_error(db));
        return e;
    }
    status->have = db_rows(r);
    for (int i = 0; i < status->have && e == ERR_OK; i++) {
        if (i >= status->want) {
            (void)snprintf(status->problem, sizeof(status->problem),
                           "the database has migration %s, which this program does not know: use a "
                           "newer program",
                           db_get(r, i, 1));
            e = ERR_UNSUPPORTED;
        } else if (strcmp(db_get(r, i, 1), store_migration_files[i].name) != 0) {
            (void)snprintf(status->problem, sizeof(status->problem),
                           "migration %d is %s in the database and %s here", i + 1, db_get(r, i, 1),
                           store_migration_files[i].name);
            e = ERR_CONFLICT;
        }
    }
    db_result_free(r);
    return e;
}

enum err store_migration_check(struct db *db, struct store_migration_status *ret_status)
{
    struct store_migration_status status = {.want = migrate_count()};
    struct db_result *r = NULL;
    enum err e = db_query(db, "SELECT to_regclass('migrations')::text", NULL, &r);
    bool fresh = e == ERR_OK && db_is_null(r, 0, 0);
    db_result_free(r);
    if (e == ERR_OK && !fresh) {
        e = migrate_compare(db, &status);
    } else if (e != ERR_OK) {
        (void)snprintf(status.problem, sizeof(status.problem), "%s", db_error(db));
    }
    *ret_status = status;
    return e;
}

struct migrate_step {
    const struct embedded *file;
    int number;
};

static enum err migrate_apply(struct db *db, void *arg)
{
    const struct migrate_step *step = arg;
    enum err e = db_script(db, (const char *)step->file->data);
    if (e != ERR_OK) {
        return e;
    }
    struct db_params p = {0};
    db_int(&p, step->number);
    db_text(&p, step->file->name);
    db_text(&p, (const char *)step->file->data);
    return db_exec(db,
                   "INSERT INTO migrations (number, name, sha256)"
                   " VALUES ($1, $2, encode(sha256(convert_to($3, 'UTF8')), 'hex'))",
                   &p, NULL);
}

/* The first day that has a partition of its own; older samples share one partition a month. Fixed
 * once, so that ranges can never overlap. */
static enum err migrate_boundary(struct db *db)
{
    return db_script(db, "INSERT INTO store_meta VALUES ('partition_boundary',"
                         " to_char(date_trunc('month', now() - interval '1 month'), 'YYYY-MM-DD'))"
                         " ON CONFLICT DO NOTHING");
}

enum err store_migrate(struct db *db, struct store_migration_status *ret_status)
{
    struct store_migration_status status = {.want = migrate_count()};
    enum err e =
        db_script(db, "SET statement_timeout = 0; SELECT pg_advisory_lock(" MIGRATE_LOCK ")");
    if (e == ERR_OK) {
        e = db_script(db, migrate_ledger);
    }
    if (e == ERR_OK) {
        e = migrate_compare(db, &status);
    }
    for (int i = status.have; e == ERR_OK && i < status.want; i++) {
        struct migrate_step step = {&store_migration_files[i], i + 1};
        e = db_transaction(db, migrate_apply, &step);
        if (e == ERR_OK) {
            status.have = i + 1;
            LOG(LOG_INFO, "migration_applied", LOG_S("name", step.file->name));
        } else {
            (void)snprintf(status.problem, sizeof(status.problem), "%s: %.180s", step.file->name,
                           db_error(db));
        }
    }
    if (e == ERR_OK) {
        e = migrate_boundary(db);
    }
    if (db_alive(db) && db_script(db, "SELECT pg_advisory_unlock(" MIGRATE_LOCK
                                      "); SET statement_timeout = '30s'") != ERR_OK) {
        LOG(LOG_DEBUG, "migration_lock_kept", LOG_S("error", db_error(db)));
    }
    *ret_status = status;
    return e;
}
