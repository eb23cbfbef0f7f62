#include <criterion/criterion.h>

#include "help.h"
#include "rules/compiled.h"

/* x 2, y 3, z 10, n absent. */
static void values_of(const struct rule *r, double *values)
{
    static const struct {
        const char *label;
        double value;
    } known[] = {{"x", 2}, {"y", 3}, {"z", 10}, {"attr(\"limit\")", 80}};
    for (uint32_t i = 0; i < r->inputs.count; i++) {
        values[i] = (double)NAN;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
            if (strcmp(r->inputs.items[i].label, known[k].label) == 0) {
                values[i] = known[k].value;
            }
        }
    }
}

Test(evaluate, arithmetic_binds_as_in_promql_and_is_ieee_double)
{
    static const struct {
        const char *expr;
        double value;
    } cases[] = {
        {"x + y * z", 32},
        {"(x + y) * z", 50},
        {"z - y - x", 5},
        {"z / y / x", 10.0 / 3.0 / 2.0},
        {"z % y * x", 2},
        {"x * z % y", 2},   /* * and % group to the left */
        {"-z % y", -1},     /* the sign of C's fmod, as in Go */
        {"x ^ y ^ x", 512}, /* ^ groups to the right */
        {"-x ^ x", -4},     /* ^ binds tighter than the sign */
        {"x ^ -1", 0.5},
        {"x ^ -1 * z", 5},
        {"2 * -x", -4},
        {"- - x", 2},
        {"-+-x", 2},
        {"1e3 + 1E-3 + .5", 1e3 + 1e-3 + 0.5},
        {"0.1 + 0.2", 0.1 + 0.2},
        {"0.1 + 0.2 - 0.3", 0.1 + 0.2 - 0.3},
        {"abs(-x)", 2},
        {"min(x, y) + max(x, min(y, z))", 5},
        {"max(-x, -y)", -2},
        {"z / 0", (double)INFINITY},
        {"attr(\\\"limit\\\") - x", 78},
        {"x # a comment\\n + y", 5},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char when[256];
        /* The mark is the value left of the comparison; x makes sure that a metric is read. */
        (void)snprintf(when, sizeof(when), "%s\\n >= 0 or x > 0", cases[i].expr);
        struct rule *r = help_when(&h, when);
        double values[RULE_INPUTS_MAX];
        values_of(r, values);
        double mark = 0;
        (void)rule_program_run(&r->levels[0].when, values, &mark);
        cr_expect(mark == cases[i].value, "%s: %.17g, expected %.17g", cases[i].expr, mark,
                  cases[i].value);
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(evaluate, conditions_bind_as_in_promql)
{
    static const struct {
        const char *when;
        bool holds;
    } cases[] = {
        {"x == 2", true},
        {"x != 2", false},
        {"x < 2", false},
        {"x <= 2", true},
        {"x > 2", false},
        {"x >= 2", true},
        {"x == 2 or x == 3 and x == 4", true}, /* and before or */
        {"(x == 2 or x == 3) and x == 4", false},
        {"x == 2 or x == 3 unless x == 2", true}, /* unless binds as and */
        {"(x == 2 or x == 3) unless x == 2", false},
        {"x == 2 unless x == 3", true},
        {"x == 2 AND y == 3 Or y == 4", true},
        {"x + 1 == y and true", true},
        {"x == 1 or false", false},
        {"(x > 1) == (y > 1)", true},
        {"(x > 1) != true", false},
        {"(x > 1) == false", false},
        {"true unless x > 5", true},
        {"z - y < 8.6 and z > 9", true},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule *r = help_when(&h, cases[i].when);
        double values[RULE_INPUTS_MAX];
        values_of(r, values);
        double mark = 0;
        cr_expect_eq(rule_program_run(&r->levels[0].when, values, &mark) != 0, cases[i].holds, "%s",
                     cases[i].when);
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(evaluate, absent_goes_through_arithmetic_and_makes_comparisons_false)
{
    static const struct {
        const char *when;
        bool holds;
    } cases[] = {
        {"n > 0", false},
        {"n <= 0", false},
        {"n != 0", false},
        {"n == n", false},
        {"n * 0 == 0", false},
        {"n ^ 0 == 1", false},
        {"1 ^ n == 1", false},
        {"min(x, n) == 2", false},
        {"max(n, x) == 2", false},
        {"abs(n) >= 0", false},
        {"-n < 0", false},
        {"n > 0 or x > 1", true},
        {"0 / 0 == x", false},
        {"x > 1 unless n > 0", true},
        {"true unless n > 0", true},
        {"x > n", false},
        {"attr(\\\"none\\\") < x", false},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char when[128];
        (void)snprintf(when, sizeof(when), "%s", cases[i].when);
        struct rule *r = help_when(&h, when);
        double values[RULE_INPUTS_MAX];
        values_of(r, values);
        double mark = 0;
        cr_expect_eq(rule_program_run(&r->levels[0].when, values, &mark) != 0, cases[i].holds, "%s",
                     cases[i].when);
        rule_drop(r);
    }
    help_env_fini(&h);
}

/* The sign of what is no number would make two runs differ that say the same. */
Test(evaluate, a_value_that_is_absent_has_one_bit_pattern)
{
    static const char *const whens[] = {"0 / 0 > 1 or x > 1", "n > 1 or x > 1", "-n > 1 or x > 1",
                                        "ln(-1) > 1 or x > 1", "abs(0 / 0) > 1 or x > 1"};
    const double absent = (double)NAN;
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(whens) / sizeof(whens[0]); i++) {
        struct rule *r = help_when(&h, whens[i]);
        double values[RULE_INPUTS_MAX];
        values_of(r, values);
        double mark = 0;
        (void)rule_program_run(&r->levels[0].when, values, &mark);
        cr_expect_eq(memcmp(&mark, &absent, sizeof(mark)), 0, "%s", whens[i]);
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(evaluate, the_value_of_an_alert_is_the_left_side_of_the_first_comparison_of_numbers)
{
    static const struct {
        const char *when;
        double value;
    } cases[] = {
        {"x > 1 and y > 1", 2},
        {"x + y * 2 < 100 or z > 1", 8},
        {"true and (y > 1 or x > 1)", 3},
        {"1 < x", 1},
        {"(x > 1) == (y > 2)", 2},
        {"(true == true) and y > 1", 3},
        {"present_over_time(x[1m]) or false", (double)NAN},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule *r = help_when(&h, cases[i].when);
        double values[RULE_INPUTS_MAX];
        values_of(r, values);
        double mark = 0;
        (void)rule_program_run(&r->levels[0].when, values, &mark);
        cr_expect(mark == cases[i].value || (isnan(mark) && isnan(cases[i].value)), "%s: %g",
                  cases[i].when, mark);
        rule_drop(r);
    }
    help_env_fini(&h);
}
