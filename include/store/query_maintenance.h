/*
 * query_maintenance: plans, their state on devices, work orders, and how reliable a device was, as
 * the API shows them. See query_types.h for what all queries have in common.
 *
 * A change of a work order, its history, the reset of its plan's counts and the event that tells of
 * it are one statement: all of it happened or nothing.
 */
#pragma once

#include "store/db.h"

/* ---- plans ---- */

NODISCARD enum err store_plan_list(struct db *db, const char *after, int64_t limit,
                                   struct db_result **ret_rows);
/* One row: JSON, version, definition. */
NODISCARD enum err store_plan_get(struct db *db, const char *name, struct db_result **ret_row);
/* One row: JSON, version. ERR_EXISTS. */
NODISCARD enum err store_plan_create(struct db *db, const char *name, const char *definition,
                                     const char *actor, struct db_result **ret_row);
/* ERR_CONFLICT: it has another version. */
NODISCARD enum err store_plan_update(struct db *db, const char *name, const char *definition,
                                     int64_t version, const char *actor,
                                     struct db_result **ret_row);
/* Its state goes with it; services and work orders stay. */
NODISCARD enum err store_plan_delete(struct db *db, const char *name, int64_t version,
                                     const char *actor);
/* One row: definition with the patch merged in, version. */
NODISCARD enum err store_plan_patched(struct db *db, const char *name, const char *patch,
                                      struct db_result **ret_row);
/* By device id. ids, statuses: PostgreSQL arrays; NULL: all. */
NODISCARD enum err store_plan_devices(struct db *db, const char *name, const char *ids,
                                      const char *statuses, int64_t after_id, int64_t limit,
                                      struct db_result **ret_rows);
/* Services done, newest first. */
NODISCARD enum err store_plan_services(struct db *db, const char *name, const char *ids,
                                       int64_t before_id, int64_t limit,
                                       struct db_result **ret_rows);

/* ---- work orders ---- */

struct store_work_order_filter {
    const char *ids;
    const char *rule, *plan, *assignee; /* NULL: any, as all of these */
    const char *states;
};
/* Newest first, by id. */
NODISCARD enum err store_work_order_list(struct db *db, const struct store_work_order_filter *f,
                                         int64_t before_id, int64_t limit,
                                         struct db_result **ret_rows);
/* One row: JSON with history, device id, state. */
NODISCARD enum err store_work_order_get(struct db *db, int64_t id, struct db_result **ret_row);

struct store_work_order {
    int64_t id; /* given by the core, which makes orders too */
    int32_t device_id;
    const char *title;
    const char *plan;     /* name; NULL: none. Done, it resets that plan's counts */
    const char *assignee; /* NULL: nobody yet */
    const char *notes;    /* or NULL */
    int64_t due_us;       /* CLOCK_NONE: any time */
};
/* ERR_NOT_FOUND: no such plan; ERR_EXISTS: it has an order on this device that is not closed. */
NODISCARD enum err store_work_order_create(struct db *db, const struct store_work_order *w,
                                           const char *actor);

struct store_work_order_move {
    int64_t id;
    const char *to;       /* assigned, in_progress, done, cancelled */
    const char *assignee; /* of assigned */
    const char *notes;    /* or NULL */
    const char *reading;  /* of done: JSON, or NULL */
    int64_t at_us;        /* of done and in_progress: when; CLOCK_NONE: now */
};
/* ERR_STATE: not from the state it is in. */
NODISCARD enum err store_work_order_move(struct db *db, const struct store_work_order_move *m,
                                         const char *actor);

/* Overrides of automation that hold; at most 1000. */
NODISCARD enum err store_override_list(struct db *db, int32_t device_id,
                                       struct db_result **ret_rows);

/* ---- reliability ---- */

/* One row of JSON: outages are the times in which alerts of these severities were firing. */
NODISCARD enum err store_reliability(struct db *db, int32_t device_id, const char *severities,
                                     int64_t from_us, int64_t to_us, struct db_result **ret_row);
