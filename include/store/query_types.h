/*
 * query_types: device types, as JSON that PostgreSQL writes.
 *
 * Every change writes its audit row in the same statement; `actor` is who asked. List queries give
 * rows of JSON text, and the key of the next page as (integer, integer, name); they ask for one row
 * more than `limit`.
 *
 * Ownership: results are freed with db_result_free(). Threads: that of the connection.
 * Errors:    those of db.h; ERR_NOT_FOUND, ERR_EXISTS (the name is taken), ERR_CONFLICT (the
 * version is another one by now), ERR_STATE (devices use the type).
 */
#pragma once

#include "store/db.h"

struct store_type {
    const char *name;
    const char *definition; /* JSON: the whole document */
    bool any_metric;
    bool auto_register;
};

NODISCARD enum err store_type_list(struct db *db, const char *after, int64_t limit,
                                   struct db_result **ret_rows);
/* One row: JSON, version. ERR_NOT_FOUND. */
NODISCARD enum err store_type_get(struct db *db, const char *name, struct db_result **ret_row);
NODISCARD enum err store_type_create(struct db *db, const struct store_type *t, const char *actor,
                                     struct db_result **ret_row);
NODISCARD enum err store_type_update(struct db *db, const struct store_type *t, int64_t version,
                                     const char *actor, struct db_result **ret_row);
NODISCARD enum err store_type_delete(struct db *db, const char *name, int64_t version,
                                     const char *actor);
