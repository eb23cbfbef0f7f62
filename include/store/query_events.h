/*
 * query_events: the table of what happened, for event streams; the audit log and the rejected
 * messages. See query_types.h for what all queries have in common.
 */
#pragma once

#include "base/buf.h"
#include "store/db.h"

/* 0 and 0: there are none. */
NODISCARD enum err store_event_range(struct db *db, int64_t *ret_oldest, int64_t *ret_newest);

struct store_event {
    int64_t id;
    const char *kind;
    int32_t device_id; /* 0: none */
    struct view body;  /* JSON */
};
/* False: stop after this one. */
typedef bool (*store_event_fn)(void *arg, const struct store_event *event, struct buf *out);
/* Events after an id, in order. *ret_more: there may be more. */
NODISCARD enum err store_event_page(struct db *db, int64_t after, int64_t limit,
                                    store_event_fn take, void *arg, struct buf *out,
                                    bool *ret_more);

struct store_audit_filter {
    const char *actor;  /* NULL: any, as all of these */
    const char *action; /* or the part before a dot: "device" */
    const char *object;
    int64_t from_us, to_us; /* CLOCK_NONE: open */
};
/* Newest first, by id. */
NODISCARD enum err store_audit_list(struct db *db, const struct store_audit_filter *f,
                                    int64_t before_id, int64_t limit, struct db_result **ret_rows);

struct store_rejected_filter {
    const char *device; /* name */
    const char *ids;    /* PostgreSQL array of device ids */
    int64_t from_us, to_us;
};
/* Newest first. Rows: id, received_at in µs, device, topic, reason, pointer, detail, payload as
 * hexadecimal, size. */
NODISCARD enum err store_rejected_list(struct db *db, const struct store_rejected_filter *f,
                                       int64_t before_id, int64_t limit,
                                       struct db_result **ret_rows);
