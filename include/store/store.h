/*
 * store: the database side of the server: a pool of threads with one connection each, for queries
 * that may block.
 *
 * Jobs run on a pool thread with a live connection, or with db == NULL when PostgreSQL is not
 * available. Ownership: the job is the caller's; after `work` returned the store does not touch it,
 * so `work` may free it or post it elsewhere.
 */
#pragma once

#include "base/err.h"
#include "conf/conf.h"
#include "loop/loop.h"
#include "store/db.h"

struct store;
struct store_job;
typedef void (*store_work_fn)(struct store_job *job, struct db *db);

struct store_job {
    struct mail mail;
    struct store *store;
    store_work_fn work;
};

NODISCARD enum err store_new(const struct conf *conf, struct store **ret_store);
void store_stop(struct store *s); /* runs what was posted, then ends the threads */
void store_free(struct store *s);
void store_run(struct store *s, struct store_job *job, store_work_fn work); /* any thread */

/* Migrations embedded in the program. Takes an advisory lock, one transaction each, refuses a newer
 * schema. */
struct store_migration_status {
    int have, want;
    char problem[256];
};
NODISCARD enum err store_migrate(struct db *db, struct store_migration_status *ret_status);
NODISCARD enum err store_migration_check(struct db *db, struct store_migration_status *ret_status);
