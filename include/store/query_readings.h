/*
 * query_readings: latest values and readings of one device.
 *
 * Rows of readings: time in µs, digest, metric numbers ("{1,2}"), values ("{1.5,NULL}"), and texts
 * and booleans by name (a JSON object); the last three may be null.
 */
#pragma once

#include "store/db.h"

/* Rows: JSON {"metric","ts","value"}, in order of the metric's name. name NULL: all metrics. */
NODISCARD enum err store_latest(struct db *db, int32_t device_id, const char *name,
                                struct db_result **ret_rows);

enum store_agg {
    STORE_AGG_NONE,
    STORE_AGG_AVG,
    STORE_AGG_MIN,
    STORE_AGG_MAX,
    STORE_AGG_SUM,
    STORE_AGG_COUNT,
    STORE_AGG_LAST,
};

struct store_reading_query {
    int32_t device_id;
    int64_t from_us;     /* CLOCK_NONE: open, as with to_us */
    int64_t to_us;       /* not included */
    const char *metrics; /* PostgreSQL array of metric numbers; NULL: all */
    const char *names;   /* the same metrics by name; NULL: all */
    bool newest_first;
    enum store_agg agg; /* with a step; numbers only */
    int64_t step_us;    /* buckets counted from 1970-01-01T00:00:00Z */
    int64_t after_us;   /* CLOCK_NONE: from the start */
    int64_t after_digest;
    int64_t limit;
};
/* At most limit + 1 rows. */
NODISCARD enum err store_readings(struct db *db, const struct store_reading_query *q,
                                  struct db_result **ret_rows);
