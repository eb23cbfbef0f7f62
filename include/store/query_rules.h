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
/* One row: JSON, version. ERR_EXISTS. */
NODISCARD enum err store_rule_create(struct db *db, const char *name, const char *definition,
                                     const char *actor, struct db_result **ret_row);
/* ERR_CONFLICT: another version by now, or deleted. */
NODISCARD enum err store_rule_update(struct db *db, const char *name, const char *definition,
                                     int64_t version, const char *actor,
                                     struct db_result **ret_row);
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
