/*
 * functions: the names of the language, those of this version and those that are announced.
 */
#pragma once

#include "base/view.h"

enum rule_function_kind {
    RULE_FUNCTION_NONE,   /* no such name */
    RULE_FUNCTION_LATER,  /* part of the full language, not of this version's */
    RULE_FUNCTION_GROUP,  /* over devices: avg by (site) (…), not of this version's */
    RULE_FUNCTION_RANGE,  /* avg_over_time(x[5m]) */
    RULE_FUNCTION_SCALAR, /* abs(v), min(a, b) */
    RULE_FUNCTION_CLOCK,  /* hour() */
    RULE_FUNCTION_PI,
    RULE_FUNCTION_MEMORY, /* for_total(c, 10h), then(a, 5m, b), then_none(a, 5m, b) */
    RULE_FUNCTION_TIMESTAMP,
    RULE_FUNCTION_BASELINE,
    RULE_FUNCTION_ATTR,
    RULE_FUNCTION_METRIC,
    RULE_FUNCTION_FENCE, /* inside("yard"), distance_to("yard") */
};

enum rule_range {
    RULE_RANGE_AVG,
    RULE_RANGE_MIN,
    RULE_RANGE_MAX,
    RULE_RANGE_SUM,
    RULE_RANGE_COUNT,
    RULE_RANGE_FIRST,
    RULE_RANGE_LAST,
    RULE_RANGE_PRESENT,
    RULE_RANGE_ABSENT,
    RULE_RANGE_STDDEV,
    RULE_RANGE_STDVAR,
    RULE_RANGE_ZSCORE,
    RULE_RANGE_QUANTILE,
    RULE_RANGE_MAD,
    RULE_RANGE_ANOMALY,
    RULE_RANGE_RATE,
    RULE_RANGE_IRATE,
    RULE_RANGE_INCREASE,
    RULE_RANGE_DELTA,
    RULE_RANGE_IDELTA,
    RULE_RANGE_DERIV,
    RULE_RANGE_PREDICT,
    RULE_RANGE_CHANGES,
    RULE_RANGE_RESETS,
};

/* What a function over a window needs of its series. */
enum rule_needs {
    RULE_NEEDS_SUM = 1 << 0,     /* a running sum */
    RULE_NEEDS_MOMENTS = 1 << 1, /* sums of squares, of blocks */
    RULE_NEEDS_TURNS = 1 << 2,   /* how often it changed and fell */
    RULE_NEEDS_ORDER = 1 << 3,   /* the readings in order of size */
};

/* What becomes of the unit of what a function is given. */
enum rule_unit { RULE_UNIT_SAME, RULE_UNIT_OTHER };

/* The number beside a window: quantile_over_time(0.9, x[5m]), predict_linear(x[1h], 600). */
enum rule_param { RULE_PARAM_NONE, RULE_PARAM_BEFORE, RULE_PARAM_BEHIND };

enum rule_scalar {
    RULE_SCALAR_ABS,
    RULE_SCALAR_CEIL,
    RULE_SCALAR_FLOOR,
    RULE_SCALAR_ROUND,
    RULE_SCALAR_SQRT,
    RULE_SCALAR_EXP,
    RULE_SCALAR_LN,
    RULE_SCALAR_LOG2,
    RULE_SCALAR_LOG10,
    RULE_SCALAR_SGN,
    RULE_SCALAR_SIN,
    RULE_SCALAR_COS,
    RULE_SCALAR_TAN,
    RULE_SCALAR_ASIN,
    RULE_SCALAR_ACOS,
    RULE_SCALAR_ATAN,
    RULE_SCALAR_SINH,
    RULE_SCALAR_COSH,
    RULE_SCALAR_TANH,
    RULE_SCALAR_ASINH,
    RULE_SCALAR_ACOSH,
    RULE_SCALAR_ATANH,
    RULE_SCALAR_DEG,
    RULE_SCALAR_RAD,
    RULE_SCALAR_MIN,
    RULE_SCALAR_MAX,
    RULE_SCALAR_CLAMP,
    RULE_SCALAR_CLAMP_MIN,
    RULE_SCALAR_CLAMP_MAX,
};

enum rule_clock {
    RULE_CLOCK_TIME,
    RULE_CLOCK_MINUTE,
    RULE_CLOCK_HOUR,
    RULE_CLOCK_DAY_OF_WEEK,
    RULE_CLOCK_DAY_OF_MONTH,
    RULE_CLOCK_DAY_OF_YEAR,
    RULE_CLOCK_DAYS_IN_MONTH,
    RULE_CLOCK_MONTH,
    RULE_CLOCK_YEAR,
};

enum rule_memory { RULE_MEMORY_TOTAL, RULE_MEMORY_THEN, RULE_MEMORY_NONE };

enum rule_fence { RULE_FENCE_INSIDE, RULE_FENCE_DISTANCE };

struct rule_function {
    const char *name;
    enum rule_function_kind kind;
    int which;           /* enum rule_range, rule_scalar, rule_clock, rule_memory or rule_fence */
    int least, most;     /* values of a scalar, or of a memory with its duration */
    unsigned needs;      /* of a range: enum rule_needs */
    enum rule_unit unit; /* of its value */
    enum rule_param param;
};

enum { RULE_ARGS_MAX = 3 };

const struct rule_function *rule_function_find(struct view name); /* NULL: no such name */
const struct rule_function *rule_range_function(enum rule_range r);
const struct rule_function *rule_scalar_function(enum rule_scalar s);
const char *rule_clock_words(enum rule_clock c);
/* The value of a function of numbers, all of them present; NaN: none. */
double rule_scalar_apply(enum rule_scalar s, const double *args);
/* Of `count` names the one that `name` was probably meant to be, or NULL. */
const char *rule_suggest(struct view name, const char *const *names, size_t count);
const char *rule_function_suggest(struct view name);
/* How far two names are apart: insertions, deletions, changes, swaps of neighbours count one. */
size_t rule_distance(struct view a, struct view b);
