#include "rules/functions.h"

#include "base/check.h"

#define RANGE(name, which, needs, unit)                                               \
    {                                                                                 \
        name, RULE_FUNCTION_RANGE, RULE_RANGE_##which, 0, 0, needs, RULE_UNIT_##unit, \
            RULE_PARAM_NONE                                                           \
    }
#define RANGE_WITH(name, which, needs, unit, param)                                   \
    {                                                                                 \
        name, RULE_FUNCTION_RANGE, RULE_RANGE_##which, 0, 0, needs, RULE_UNIT_##unit, \
            RULE_PARAM_##param                                                        \
    }
#define SCALAR(name, which, least, most, unit)                                             \
    {                                                                                      \
        name, RULE_FUNCTION_SCALAR, RULE_SCALAR_##which, least, most, 0, RULE_UNIT_##unit, \
            RULE_PARAM_NONE                                                                \
    }
#define CLOCK(word, id)                                                     \
    {                                                                       \
        .name = word, .kind = RULE_FUNCTION_CLOCK, .which = RULE_CLOCK_##id \
    }
#define MEMORY(name, which, least, most)                                                  \
    {                                                                                     \
        name, RULE_FUNCTION_MEMORY, RULE_MEMORY_##which, least, most, 0, RULE_UNIT_OTHER, \
            RULE_PARAM_NONE                                                               \
    }
#define FENCE(word, id)                                                     \
    {                                                                       \
        .name = word, .kind = RULE_FUNCTION_FENCE, .which = RULE_FENCE_##id \
    }
#define OTHER(word, id)                          \
    {                                            \
        .name = word, .kind = RULE_FUNCTION_##id \
    }

static const struct rule_function functions[] = {
    RANGE("avg_over_time", AVG, RULE_NEEDS_SUM, SAME),
    RANGE("min_over_time", MIN, 0, SAME),
    RANGE("max_over_time", MAX, 0, SAME),
    RANGE("sum_over_time", SUM, RULE_NEEDS_SUM, SAME),
    RANGE("count_over_time", COUNT, 0, OTHER),
    RANGE("first_over_time", FIRST, 0, SAME),
    RANGE("last_over_time", LAST, 0, SAME),
    RANGE("present_over_time", PRESENT, 0, OTHER),
    RANGE("absent_over_time", ABSENT, 0, OTHER),
    RANGE("stddev_over_time", STDDEV, RULE_NEEDS_MOMENTS, SAME),
    RANGE("stdvar_over_time", STDVAR, RULE_NEEDS_MOMENTS, OTHER),
    RANGE("zscore_over_time", ZSCORE, RULE_NEEDS_MOMENTS, OTHER),
    RANGE_WITH("quantile_over_time", QUANTILE, RULE_NEEDS_ORDER, SAME, BEFORE),
    RANGE("mad_over_time", MAD, RULE_NEEDS_ORDER, SAME),
    RANGE("anomaly", ANOMALY, RULE_NEEDS_ORDER, OTHER),
    RANGE("rate", RATE, RULE_NEEDS_TURNS, OTHER),
    RANGE("irate", IRATE, 0, OTHER),
    RANGE("increase", INCREASE, RULE_NEEDS_TURNS, SAME),
    RANGE("delta", DELTA, RULE_NEEDS_TURNS, SAME),
    RANGE("idelta", IDELTA, 0, SAME),
    RANGE("deriv", DERIV, RULE_NEEDS_MOMENTS, OTHER),
    RANGE_WITH("predict_linear", PREDICT, RULE_NEEDS_MOMENTS, SAME, BEHIND),
    RANGE("changes", CHANGES, RULE_NEEDS_TURNS, OTHER),
    RANGE("resets", RESETS, RULE_NEEDS_TURNS, OTHER),
    SCALAR("abs", ABS, 1, 1, SAME),
    SCALAR("ceil", CEIL, 1, 1, SAME),
    SCALAR("floor", FLOOR, 1, 1, SAME),
    SCALAR("round", ROUND, 1, 2, SAME),
    SCALAR("sqrt", SQRT, 1, 1, OTHER),
    SCALAR("exp", EXP, 1, 1, OTHER),
    SCALAR("ln", LN, 1, 1, OTHER),
    SCALAR("log2", LOG2, 1, 1, OTHER),
    SCALAR("log10", LOG10, 1, 1, OTHER),
    SCALAR("sgn", SGN, 1, 1, OTHER),
    SCALAR("sin", SIN, 1, 1, OTHER),
    SCALAR("cos", COS, 1, 1, OTHER),
    SCALAR("tan", TAN, 1, 1, OTHER),
    SCALAR("asin", ASIN, 1, 1, OTHER),
    SCALAR("acos", ACOS, 1, 1, OTHER),
    SCALAR("atan", ATAN, 1, 1, OTHER),
    SCALAR("sinh", SINH, 1, 1, OTHER),
    SCALAR("cosh", COSH, 1, 1, OTHER),
    SCALAR("tanh", TANH, 1, 1, OTHER),
    SCALAR("asinh", ASINH, 1, 1, OTHER),
    SCALAR("acosh", ACOSH, 1, 1, OTHER),
    SCALAR("atanh", ATANH, 1, 1, OTHER),
    SCALAR("deg", DEG, 1, 1, OTHER),
    SCALAR("rad", RAD, 1, 1, OTHER),
    SCALAR("min", MIN, 2, 2, SAME),
    SCALAR("max", MAX, 2, 2, SAME),
    SCALAR("clamp", CLAMP, 3, 3, SAME),
    SCALAR("clamp_min", CLAMP_MIN, 2, 2, SAME),
    SCALAR("clamp_max", CLAMP_MAX, 2, 2, SAME),
    CLOCK("time", TIME),
    CLOCK("minute", MINUTE),
    CLOCK("hour", HOUR),
    CLOCK("day_of_week", DAY_OF_WEEK),
    CLOCK("day_of_month", DAY_OF_MONTH),
    CLOCK("day_of_year", DAY_OF_YEAR),
    CLOCK("days_in_month", DAYS_IN_MONTH),
    CLOCK("month", MONTH),
    CLOCK("year", YEAR),
    MEMORY("for_total", TOTAL, 2, 3),
    MEMORY("then", THEN, 3, 3),
    MEMORY("then_none", NONE, 3, 3),
    OTHER("pi", PI),
    OTHER("timestamp", TIMESTAMP),
    OTHER("baseline", BASELINE),
    OTHER("attr", ATTR),
    OTHER("metric", METRIC),
    FENCE("inside", INSIDE),
    FENCE("distance_to", DISTANCE),
};

/* Refused by name, never half understood: of devices together, and others of PromQL. */
static const char *const groups[] = {"avg",    "sum",      "count",       "stddev",
                                     "stdvar", "topk",     "bottomk",     "group",
                                     "limitk", "quantile", "count_values"};
static const char *const later[] = {
    "double_exponential_smoothing",
    "holt_winters",
    "absent",
    "scalar",
    "vector",
    "label_replace",
    "label_join",
    "sort",
    "sort_desc",
    "histogram_quantile",
};

static bool is_among(struct view name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (view_eq_str(name, names[i])) {
            return true;
        }
    }
    return false;
}

const struct rule_function *rule_function_find(struct view name)
{
    static const struct rule_function group = {.name = "", .kind = RULE_FUNCTION_GROUP};
    static const struct rule_function announced = {.name = "", .kind = RULE_FUNCTION_LATER};
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        if (view_eq_str(name, functions[i].name)) {
            return &functions[i];
        }
    }
    if (is_among(name, groups, COUNT_OF(groups))) {
        return &group;
    }
    return is_among(name, later, COUNT_OF(later)) ? &announced : NULL;
}

static const struct rule_function *find_which(enum rule_function_kind kind, int which)
{
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        if (functions[i].kind == kind && functions[i].which == which) {
            return &functions[i];
        }
    }
    CHECK(false); /* every one of the enums has its row */
    return NULL;
}

const struct rule_function *rule_range_function(enum rule_range r)
{
    return find_which(RULE_FUNCTION_RANGE, (int)r);
}

const struct rule_function *rule_scalar_function(enum rule_scalar s)
{
    return find_which(RULE_FUNCTION_SCALAR, (int)s);
}

const char *rule_clock_words(enum rule_clock c)
{
    return find_which(RULE_FUNCTION_CLOCK, (int)c)->name;
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
