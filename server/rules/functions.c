#include "rules/functions.h"

#include "base/check.h"

static const struct rule_function functions[] = {
    {"avg_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_AVG, 0},
    {"min_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_MIN, 0},
    {"max_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_MAX, 0},
    {"sum_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_SUM, 0},
    {"count_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_COUNT, 0},
    {"last_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_LAST, 0},
    {"present_over_time", RULE_FUNCTION_RANGE, RULE_RANGE_PRESENT, 0},
    {"abs", RULE_FUNCTION_SCALAR, RULE_SCALAR_ABS, 1},
    {"min", RULE_FUNCTION_SCALAR, RULE_SCALAR_MIN, 2},
    {"max", RULE_FUNCTION_SCALAR, RULE_SCALAR_MAX, 2},
    {"baseline", RULE_FUNCTION_BASELINE, 0, 0},
    {"attr", RULE_FUNCTION_ATTR, 0, 0},
    {"metric", RULE_FUNCTION_METRIC, 0, 0},
};

/* The full language; a rule that uses one of these is refused by name, never half understood. */
static const char *const later[] = {
    "absent_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "quantile_over_time",
    "mad_over_time",
    "zscore_over_time",
    "for_total",
    "then",
    "rate",
    "irate",
    "increase",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "predict_linear",
    "double_exponential_smoothing",
    "holt_winters",
    "inside",
    "distance_to",
    "hour",
    "minute",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
    "time",
    "timestamp",
    "avg",
    "sum",
    "count",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "group",
    "count_values",
    "limitk",
    "absent",
    "ceil",
    "floor",
    "round",
    "clamp",
    "clamp_min",
    "clamp_max",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "scalar",
    "vector",
    "label_replace",
    "label_join",
    "histogram_quantile",
    "sort",
    "sort_desc",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "pi",
};

const struct rule_function *rule_function_find(struct view name)
{
    static const struct rule_function announced = {.name = "", .kind = RULE_FUNCTION_LATER};
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        if (view_eq_str(name, functions[i].name)) {
            return &functions[i];
        }
    }
    for (size_t i = 0; i < COUNT_OF(later); i++) {
        if (view_eq_str(name, later[i])) {
            return &announced;
        }
    }
    return NULL;
}

const char *rule_range_words(enum rule_range r)
{
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        if (functions[i].kind == RULE_FUNCTION_RANGE && functions[i].which == (int)r) {
            return functions[i].name;
        }
    }
    return "";
}

enum { SUGGEST_MAX = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, three rows; names longer than SUGGEST_MAX are never similar. */
size_t rule_distance(struct view a, struct view b)
{
    if (a.len > SUGGEST_MAX || b.len > SUGGEST_MAX) {
        return SIZE_MAX;
    }
    size_t rows[3][SUGGEST_MAX + 1] = {{0}};
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *higher = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = a.data[i - 1] == b.data[j - 1] ? 0 : 1;
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + change);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                row[j] = least(row[j], higher[j - 2] + 1);
            }
        }
    }
    return rows[a.len % 3][b.len];
}

const char *rule_suggest(struct view name, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = name.len / 3 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = rule_distance(name, view_str(names[i]));
        if (d < name.len && (d < best_distance || (d == best_distance && best == NULL))) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

const char *rule_function_suggest(struct view name)
{
    const char *names[COUNT_OF(functions)];
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        names[i] = functions[i].name;
    }
    return rule_suggest(name, names, COUNT_OF(functions));
}
