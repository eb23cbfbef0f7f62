/*
 * functions: the names of the language, those of this version and those that are announced.
 */
#pragma once

#include "base/view.h"

enum rule_function_kind {
    RULE_FUNCTION_NONE,   /* no such name */
    RULE_FUNCTION_LATER,  /* part of the full language, not of this version's */
    RULE_FUNCTION_RANGE,  /* avg_over_time(x[5m]) */
    RULE_FUNCTION_SCALAR, /* abs(v), min(a, b) */
    RULE_FUNCTION_BASELINE,
    RULE_FUNCTION_ATTR,
    RULE_FUNCTION_METRIC,
};

enum rule_range {
    RULE_RANGE_AVG,
    RULE_RANGE_MIN,
    RULE_RANGE_MAX,
    RULE_RANGE_SUM,
    RULE_RANGE_COUNT,
    RULE_RANGE_LAST,
    RULE_RANGE_PRESENT,
};

enum rule_scalar { RULE_SCALAR_ABS, RULE_SCALAR_MIN, RULE_SCALAR_MAX };

struct rule_function {
    const char *name;
    enum rule_function_kind kind;
    int which; /* enum rule_range or enum rule_scalar */
    int arity; /* of a scalar */
};

const struct rule_function *rule_function_find(struct view name); /* NULL: no such name */
const char *rule_range_words(enum rule_range r);
/* Of `count` names the one that `name` was probably meant to be, or NULL. */
const char *rule_suggest(struct view name, const char *const *names, size_t count);
const char *rule_function_suggest(struct view name);
/* How far two names are apart: insertions, deletions, changes, swaps of neighbours count one. */
size_t rule_distance(struct view a, struct view b);
