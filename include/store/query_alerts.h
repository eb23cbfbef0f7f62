/*
 * query_alerts: alerts and commands as the API shows them; both are written by the core. See
 * query_types.h for what all queries have in common.
 *
 * `ids` is a PostgreSQL array of device ids; NULL: all devices.
 */
#pragma once

#include "store/db.h"

struct store_alert_filter {
    const char *ids;
    const char *rule;       /* NULL: any, as all of these */
    const char *states;     /* PostgreSQL array of words */
    const char *severities; /* PostgreSQL array of words */
    int64_t from_us, to_us; /* of fired_at; CLOCK_NONE: open */
    bool shadow;            /* those of rules in shadow mode instead of the others */
};
/* Newest first. Rows: JSON, fired_at in µs, id, ''. */
NODISCARD enum err store_alert_list(struct db *db, const struct store_alert_filter *f,
                                    int64_t before_us, int64_t before_id, int64_t limit,
                                    struct db_result **ret_rows);
/* One row: JSON with events and explanation, device id. */
NODISCARD enum err store_alert_get(struct db *db, int64_t id, struct db_result **ret_row);

/* Newest first, by id. states NULL: any. */
NODISCARD enum err store_command_list(struct db *db, int32_t device_id, const char *states,
                                      int64_t before_id, int64_t limit,
                                      struct db_result **ret_rows);
/* One row: JSON with history, device id, state. */
NODISCARD enum err store_command_get(struct db *db, int64_t id, struct db_result **ret_row);
