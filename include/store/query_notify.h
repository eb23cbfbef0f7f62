/*
 * query_notify: channels, silences and the outbox as the API shows them. See query_types.h for what
 * all queries have in common; changes write their audit row.
 *
 * The secret of a channel is written here and read by store_outbox_channels() only.
 */
#pragma once

#include "store/db.h"

/* By name. */
NODISCARD enum err store_channel_list(struct db *db, const char *after, int64_t limit,
                                      struct db_result **ret_rows);
/* One row: JSON, version, secret (null: none). */
NODISCARD enum err store_channel_get(struct db *db, const char *name, struct db_result **ret_row);
/* definition: JSON. One row as above. ERR_EXISTS. */
NODISCARD enum err store_channel_create(struct db *db, const char *name, const char *definition,
                                        const char *secret, const char *actor,
                                        struct db_result **ret_row);
/* ERR_CONFLICT: it has another version now. */
NODISCARD enum err store_channel_update(struct db *db, const char *name, const char *definition,
                                        const char *secret, int64_t version, const char *actor,
                                        struct db_result **ret_row);
NODISCARD enum err store_channel_delete(struct db *db, const char *name, int64_t version,
                                        const char *actor);
/* A message that only this channel is told. One row: JSON of the notification. ERR_NOT_FOUND. */
NODISCARD enum err store_channel_test(struct db *db, const char *name, const char *actor,
                                      struct db_result **ret_row);

/* Newest first, by id. active: only those that are not over. */
NODISCARD enum err store_silence_list(struct db *db, bool active, int64_t before_id, int64_t limit,
                                      struct db_result **ret_rows);
/* One row: JSON. */
NODISCARD enum err store_silence_get(struct db *db, int64_t id, struct db_result **ret_row);
struct store_silence {
    const char *definition; /* JSON */
    const char *comment;
    int64_t starts_us, expires_us;
};
NODISCARD enum err store_silence_create(struct db *db, const struct store_silence *s,
                                        const char *owner, struct db_result **ret_row);
/* ERR_STATE: it is over already. */
NODISCARD enum err store_silence_end(struct db *db, int64_t id, const char *actor,
                                     struct db_result **ret_row);

struct store_notification_filter {
    const char *ids;    /* PostgreSQL array of device ids; NULL: all */
    const char *states; /* PostgreSQL array of words; NULL: any, as all of these */
    const char *channel;
    const char *reason;
    int64_t alert_id;  /* 0: any */
    int64_t digest_id; /* 0: any */
};
/* Newest first, by id. */
NODISCARD enum err store_notification_list(struct db *db, const struct store_notification_filter *f,
                                           int64_t before_id, int64_t limit,
                                           struct db_result **ret_rows);
/* One row: JSON with attempts and body, device id. */
NODISCARD enum err store_notification_get(struct db *db, int64_t id, struct db_result **ret_row);
