/*
 * sample: all values of one device at one instant; the unit of storage and of rule evaluation.
 *
 * Plain structs. Values are sorted by metric number and no metric appears twice (sample_sort() sees
 * to it). Texts are views into the arena or message the sample was decoded from.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum value_kind {
    VALUE_NUMBER,
    VALUE_BOOL, /* number is 0 or 1 */
    VALUE_TEXT,
};

struct sample_value {
    int32_t metric; /* interned number of the metric's name, from 1 */
    enum value_kind kind;
    double number;
    struct view text;
};

struct sample {
    struct sample *next; /* of the same message */
    int64_t ts_us;       /* CLOCK_NONE: the device gave no time */
    uint32_t count;
    struct sample_value *values;
};

/* Stored in readings.flags. */
enum sample_flag {
    SAMPLE_LATE = 1 << 0,  /* older than watermark - lateness when it came: no rule saw it */
    SAMPLE_CLOCK = 1 << 1, /* from the future beyond the skew limit: never latest, no rule saw it */
    SAMPLE_SERVER_TS = 1 << 2, /* the device gave no time; ts is the time of arrival */
};

/* Sorts the values by metric number. ERR_EXISTS: a metric appears twice; *ret_metric names it. */
NODISCARD enum err sample_sort(struct sample *s, int32_t *ret_metric);
/* The content's hash: same metrics and values give the same digest, for ever (it is part of a
 * primary key). Values must be sorted. */
int32_t sample_digest(const struct sample *s);
/* The value of a metric, or NULL. Values must be sorted. */
const struct sample_value *sample_find(const struct sample *s, int32_t metric);
