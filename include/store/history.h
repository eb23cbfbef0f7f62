/*
 * history: stored samples as a stream, for backtests and explanations: nothing is held in memory
 * but a row. Those of one device come in the order in which rules see them, by (ts, received_at);
 * those of many as they lie in the tables, which is about that of their arrival and many times
 * faster.
 *
 * Left out is what no rule saw live: samples flagged late or clock.
 *
 * Ownership: store_history_new() to store_history_free(); it remembers the sets of metrics
 *            (shapes) from one device to the next. Samples are valid during the call of the sink.
 * Threads:   one, that of the connection.
 * Errors:    those of db_copy_out(); ERR_MALFORMED: an answer of another form; ERR_CANCELLED: the
 *            sink said so, and the connection is given up (the pool makes another).
 */
#pragma once

#include "base/intern.h"
#include "model/sample.h"
#include "store/db.h"

struct store_history;

/* metrics: names of boolean and text values are looked up here. NULL: out of memory. */
NODISCARD struct store_history *store_history_new(struct intern *metrics);
void store_history_free(struct store_history *h);

/* False: enough. */
typedef bool (*store_sample_fn)(void *arg, int32_t device_id, const struct sample *s,
                                int64_t received_us);

struct store_history_query {
    int32_t device_id;      /* 0: of many, as they lie */
    const char *device_ids; /* of those, as PostgreSQL writes an array: "{1,2}"; NULL: all */
    int64_t from_us, to_us; /* from_us <= ts < to_us; CLOCK_NONE: open */
};
NODISCARD enum err store_history_read(struct store_history *h, struct db *db,
                                      const struct store_history_query *q, store_sample_fn sink,
                                      void *arg);

/* The first `count` values of a metric up to through_us, oldest first: what a baseline is made of.
 * *ret_values: freed by the caller. */
NODISCARD enum err store_history_first(struct db *db, int32_t device_id, int32_t metric,
                                       int64_t count, int64_t through_us, double **ret_values,
                                       uint32_t *ret_count);

/* The alert of a rule on a device that was open at an instant, or the newest before. One row: JSON
 * with explain and events, is it open at at_us, version of the rule (null: not known). */
NODISCARD enum err store_history_alert_at(struct db *db, const char *rule, int32_t device_id,
                                          int64_t at_us, struct db_result **ret_row);

/* When the first sample after a time arrived. ERR_NOT_FOUND: there is none. */
NODISCARD enum err store_history_next(struct db *db, int32_t device_id, int64_t after_us,
                                      int64_t *ret_received_us);

/* Alerts of a rule on a device that fired in [from_us, to_us) and were not taken back. Rows: since,
 * fired_at, resolved_at (µs, null: open), value, summary, severity; in order of fired_at. */
NODISCARD enum err store_history_alerts(struct db *db, const char *rule, int32_t device_id,
                                        int64_t from_us, int64_t to_us,
                                        struct db_result **ret_rows);
