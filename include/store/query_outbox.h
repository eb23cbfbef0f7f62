/*
 * query_outbox: the outbox of notifications as its worker sees it. Times are the database's, so
 * that a jump of the server's clock sends nothing early or twice.
 *
 * Threads: the worker's. A row goes queued -> judged -> sending -> sent, failed, or queued again;
 * or suppressed, or digested, when it is judged.
 */
#pragma once

#include "store/db.h"

/* What a crash, or a lost connection, left half sent is queued again under its id. under_way: ids
 * of those that the worker knows of, as a PostgreSQL array. */
NODISCARD enum err store_outbox_restart(struct db *db, const char *under_way);
/* Rows: channel; how many wait to be judged; how long the oldest and the newest of them, in µs; how
 * many judged ones are due. */
NODISCARD enum err store_outbox_due(struct db *db, struct db_result **ret_rows);

/* The oldest rows of a channel that wait to be judged, by id: id, event, alert id, device id, rule,
 * severity, who shelved it (null: nobody), work order in progress (0: none), open alert of the same
 * rule at its gateway (0: none), firings of rule and device within, reason of its suppressed
 * firing (null: it was told), body. */
NODISCARD enum err store_outbox_unjudged(struct db *db, const char *channel, int64_t within_us,
                                         int64_t limit, struct db_result **ret_rows);
/* Messages of the channel since then. */
NODISCARD enum err store_outbox_told(struct db *db, const char *channel, int64_t within_us,
                                     int64_t *ret_count);
/* verdicts: JSON [{"id","reason","detail"}], reason null: it is told. digest: the body of the one
 * message that tells those; NULL: each is a message of its own. */
NODISCARD enum err store_outbox_judged(struct db *db, const char *channel, const char *verdicts,
                                       const char *digest);
/* JSON of the silences that are not over, with their ids: id, JSON. */
NODISCARD enum err store_outbox_silences(struct db *db, struct db_result **ret_rows);
/* Open alerts of a rule: id, device id. */
NODISCARD enum err store_outbox_causes(struct db *db, const char *rule,
                                       struct db_result **ret_rows);

/* What was to be told on a channel that is gone or disabled since. */
NODISCARD enum err store_outbox_drop(struct db *db, const char *channel, const char *reason);
/* The next due row of a channel, now `sending`: id, event, device id, attempt, body, seconds since
 * it was made. Of one alert a row waits for those before it. No row: nothing is due. */
NODISCARD enum err store_outbox_claim(struct db *db, const char *channel,
                                      struct db_result **ret_row);
/* state: sent, failed, or queued again in retry_us. detail: the error. */
NODISCARD enum err store_outbox_end(struct db *db, int64_t id, const char *state, int64_t retry_us,
                                    const char *detail);
/* Open alerts that were told on a channel so long ago and that nobody acknowledged: to another one;
 * and when they end, that one is told. */
NODISCARD enum err store_outbox_escalate(struct db *db, const char *channel, const char *to,
                                         int64_t after_us);
/* What ended more than so many days ago; at most 10,000 rows. */
NODISCARD enum err store_outbox_clean(struct db *db, int64_t days);
/* All channels: definition, secret. */
NODISCARD enum err store_outbox_channels(struct db *db, struct db_result **ret_rows);
