/*
 * reading_rows: rows of readings as the database gives them -> JSON, CSV or NDJSON. Pure but for
 * the names of metrics.
 *
 * One metric gives {"ts","value"}, several or all give {"ts","values":{…}}. As CSV: ts,value - or
 * ts and a column for each metric - or, for all metrics, ts,metric,value with a line for each
 * value.
 */
#pragma once

#include "base/buf.h"
#include "base/intern.h"
#include "store/db.h"

enum api_reading_form { API_READING_JSON, API_READING_NDJSON, API_READING_CSV };

struct api_reading_shape {
    const struct intern *metrics;
    const struct view *names; /* asked for; NULL: all */
    uint32_t name_count;
};

/* The line of column names, for CSV. */
void api_reading_head(struct buf *out, const struct api_reading_shape *shape);
/* One sample: its time, metric numbers "{1,2}", values "{1.5,NULL}", and texts and booleans as a
 * JSON object; each of the last three may be empty. JSON comes without comma or line end. */
void api_reading_write(struct buf *out, enum api_reading_form form,
                       const struct api_reading_shape *shape, int64_t ts_us, struct view metrics,
                       struct view values, struct view extra);
/* "{1.5,NULL}" -> its items in turn; .data == NULL at the end. */
struct view api_array_next(struct view *array);
