/*
 * query_rules: rule documents and their versions. See query_types.h for what all queries have in
 * common. Whether a document is a good rule is for its compiler to say, before.
 */
#pragma once

#include "store/db.h"

NODISCARD enum err store_rule_list(struct db *db, const char *after, int64_t limit,
                                   struct db_result **ret_rows);
/* One row: JSON, version, the document alone. */
NODISCARD enum err store_rule_get(struct db *db, const char *name, struct db_result **ret_row);
struct store_rule {
    const char *name;
    const char *definition; /* JSON: the whole document */
    const char *geofences;  /* ids of those that it names, "{1,2}" */
};

/* One row: JSON, version. ERR_EXISTS; ERR_CONFLICT: a geofence was deleted just now. */
NODISCARD enum err store_rule_create(struct db *db, const struct store_rule *rule,
                                     const char *actor, struct db_result **ret_row);
/* ERR_CONFLICT: another version by now, or deleted; or as above. */
NODISCARD enum err store_rule_update(struct db *db, const struct store_rule *rule, int64_t version,
                                     const char *actor, struct db_result **ret_row);
NODISCARD enum err store_rule_delete(struct db *db, const char *name, int64_t version,
                                     const char *actor);
/* The document with members replaced by those of `patch`; null removes one. One row: the document,
 * its version. */
NODISCARD enum err store_rule_patched(struct db *db, const char *name, const char *patch,
                                      struct db_result **ret_row);
/* Versions before `before`, newest first: number, when and by whom, document. */
NODISCARD enum err store_rule_versions(struct db *db, const char *name, int64_t before,
                                       int64_t limit, struct db_result **ret_rows);
/* The version that the rule had at a time; the active one when it had none. */
NODISCARD enum err store_rule_version_at(struct db *db, const char *name, int64_t at_us,
                                         int64_t *ret_version);
/* One row: JSON, version, the document alone. */
NODISCARD enum err store_rule_version(struct db *db, const char *name, int64_t version,
                                      struct db_result **ret_row);
