/*
 * query_alerts: alerts, work orders and commands as the API shows them; all three are written by
 * the core. See query_types.h for what all queries have in common.
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
};
/* Newest first. Rows: JSON, fired_at in µs, id, ''. */
NODISCARD enum err store_alert_list(struct db *db, const struct store_alert_filter *f,
                                    int64_t before_us, int64_t before_id, int64_t limit,
                                    struct db_result **ret_rows);
/* One row: JSON with events and explanation, device id. */
NODISCARD enum err store_alert_get(struct db *db, int64_t id, struct db_result **ret_row);

struct store_work_order_filter {
    const char *ids;
    const char *rule;
    const char *states;
};
/* Newest first, by id. */
NODISCARD enum err store_work_order_list(struct db *db, const struct store_work_order_filter *f,
                                         int64_t before_id, int64_t limit,
                                         struct db_result **ret_rows);
/* One row: JSON, device id. */
NODISCARD enum err store_work_order_get(struct db *db, int64_t id, struct db_result **ret_row);
/* state: done or cancelled. ERR_STATE: it is not open. */
NODISCARD enum err store_work_order_close(struct db *db, int64_t id, const char *state,
                                          const char *actor);

/* Newest first, by id. states NULL: any. */
NODISCARD enum err store_command_list(struct db *db, int32_t device_id, const char *states,
                                      int64_t before_id, int64_t limit,
                                      struct db_result **ret_rows);
/* One row: JSON with history, device id, state. */
NODISCARD enum err store_command_get(struct db *db, int64_t id, struct db_result **ret_row);
