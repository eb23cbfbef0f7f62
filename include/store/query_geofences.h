/*
 * query_geofences: geofences as documents. See query_types.h for what all queries have in common.
 * Whether a document is a good fence is for fence_new() to say, before.
 */
#pragma once

#include "store/db.h"

NODISCARD enum err store_geofence_list(struct db *db, const char *after, int64_t limit,
                                       struct db_result **ret_rows);
/* One row: JSON, version. ERR_NOT_FOUND. */
NODISCARD enum err store_geofence_get(struct db *db, const char *name, struct db_result **ret_row);
/* One row: JSON, version. ERR_EXISTS; ERR_FULL: there are `most` already. */
NODISCARD enum err store_geofence_create(struct db *db, const char *name, const char *definition,
                                         int64_t most, const char *actor,
                                         struct db_result **ret_row);
/* ERR_CONFLICT: another version by now, or deleted. */
NODISCARD enum err store_geofence_update(struct db *db, const char *name, const char *definition,
                                         int64_t version, const char *actor,
                                         struct db_result **ret_row);
/* ERR_STATE: rules name it. */
NODISCARD enum err store_geofence_delete(struct db *db, const char *name, int64_t version,
                                         const char *actor);
/* One row: the names of the first rules that name it, separated by ", ". */
NODISCARD enum err store_geofence_rules(struct db *db, const char *name,
                                        struct db_result **ret_row);
