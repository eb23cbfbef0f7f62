#include <criterion/criterion.h>

#include "help.h"
#include "rules/compiled.h"

struct refusal {
    const char *when;
    enum err err;
    int line, column;
    const char *detail; /* part of it */
};

static void expect_refusals(const char *prefix, const struct refusal *cases, size_t count)
{
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < count; i++) {
        const struct refusal *c = &cases[i];
        char document[8192];
        (void)snprintf(document, sizeof(document), "{'name':'r',%s'when':'%s'}", prefix, c->when);
        struct rule *r = NULL;
        struct rule_error e = {.detail = ""};
        enum err err = help_compile(&h, document, &r, &e);
        cr_expect_eq(err, c->err, "%s: %s (%s)", c->when, err_words(err), e.detail);
        cr_expect_str_eq(e.pointer, "/when", "%s", c->when);
        cr_expect_eq(e.line, c->line, "%s: line %d", c->when, e.line);
        cr_expect_eq(e.column, c->column, "%s: column %d", c->when, e.column);
        cr_expect(strstr(e.detail, c->detail) != NULL, "%s: %s", c->when, e.detail);
        cr_expect_null(r, "output touched on failure");
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(language, errors_name_line_column_and_what_was_expected)
{
    static const struct refusal cases[] = {
        {"", ERR_SYNTAX, 1, 1, "expected a condition"},
        {"   ", ERR_SYNTAX, 1, 4, "expected a condition"},
        {"x >", ERR_SYNTAX, 1, 4, "expected a value, not the end"},
        {"x > > 1", ERR_SYNTAX, 1, 5, "expected a value, not >"},
        {"\\n  x >\\n  )", ERR_SYNTAX, 3, 3, "expected a value, not )"},
        {"x 1", ERR_SYNTAX, 1, 3, "expected an operator or the end, not 1"},
        {"(x > 1", ERR_SYNTAX, 1, 1, "is not closed"},
        {"x > 1)", ERR_SYNTAX, 1, 6, "has no ("},
        {"x, y > 1", ERR_SYNTAX, 1, 2, "comma"},
        {"(x, y) > 1", ERR_SYNTAX, 1, 3, "comma"},
        {"x > 0x10", ERR_SYNTAX, 1, 5, "hexadecimal"},
        {"x > 1.5m", ERR_SYNTAX, 1, 5, "whole numbers"},
        {"x > 5q", ERR_SYNTAX, 1, 5, "5m"},
        {"x > 5m", ERR_SYNTAX, 1, 5, "inside [ ]"},
        {"x > 1e999", ERR_RANGE, 1, 5, "double"},
        {"x = 1", ERR_SYNTAX, 1, 3, "=="},
        {"x > 1 && y > 1", ERR_SYNTAX, 1, 7, "and"},
        {"x > 1 || y > 1", ERR_SYNTAX, 1, 7, "or"},
        {"!x", ERR_SYNTAX, 1, 1, "not"},
        {"x > `", ERR_SYNTAX, 1, 5, "unexpected character"},
        {"temp\xC3\xA9rature > 1", ERR_SYNTAX, 1, 5, "metric("},
        {"x[5m] > 1", ERR_SYNTAX, 1, 2, "inside a function"},
        {"x{a=1} > 1", ERR_SYNTAX, 1, 2, "select"},
        {"avg_over_time(x) > 1", ERR_SYNTAX, 1, 16, "[5m]"},
        {"avg_over_time(x[5]) > 1", ERR_SYNTAX, 1, 17, "a duration"},
        {"avg_over_time(x[5m) > 1", ERR_SYNTAX, 1, 19, "expected ]"},
        {"avg_over_time(x[5m] > 1", ERR_SYNTAX, 1, 21, "expected )"},
        {"avg_over_time((x + y)[5m]) > 1", ERR_SYNTAX, 1, 15, "the name of a metric"},
        {"avg_over_time(abs(x)[5m]) > 1", ERR_SYNTAX, 1, 15, "not a function"},
        {"avg_over_time(x[0s]) > 1", ERR_RANGE, 1, 17, "window of 0"},
        {"avg_over_time(x[32d]) > 1", ERR_RANGE, 1, 17, "31d"},
        {"avg_over_time(x[99999999999999999999d]) > 1", ERR_RANGE, 1, 17, "duration"},
        {"abs() > 1", ERR_SYNTAX, 1, 5, "expected a value"},
        {"abs(x, y) > 1", ERR_SYNTAX, 1, 1, "abs() takes 1 value, not 2"},
        {"min(x) > 1", ERR_SYNTAX, 1, 1, "min() takes 2 values, not 1"},
        {"max(x, y, z) > 1", ERR_SYNTAX, 1, 1, "max() takes 2 values, not 3"},
        {"attr(limit) > 1", ERR_SYNTAX, 1, 6, "a name in quotes"},
        {"metric(\\\"a\\nb\\\") > 1", ERR_SYNTAX, 1, 8, "no line break"},
        {"metric(\\\"\\\") > 1", ERR_SYNTAX, 1, 8, "cannot be a name"},
        {"metric(\\\"x) > 1", ERR_SYNTAX, 1, 8, "no closing"},
        {"x > \\\"a\\\"", ERR_TYPE, 1, 3, "a text is compared by == or !="},
        {"quantile_over_time(x[5m]) > 1", ERR_SYNTAX, 1, 20, "a number from 0 to 1"},
        {"quantile_over_time(1.5, x[5m]) > 1", ERR_RANGE, 1, 20, "from 0 to 1"},
        {"quantile_over_time(0.5 x[5m]) > 1", ERR_SYNTAX, 1, 24, "a comma and a window"},
        {"predict_linear(x[5m]) > 1", ERR_SYNTAX, 1, 21, "how many seconds ahead"},
        {"predict_linear(x[5m], y) > 1", ERR_SYNTAX, 1, 23, "a number of seconds"},
        {"rate(x) > 1", ERR_SYNTAX, 1, 7, "[ and a window"},
        {"attr(\\\"a\\\", x) > 1", ERR_SYNTAX, 1, 11, "without the attribute"},
        {"hour(x) > 1", ERR_SYNTAX, 1, 6, "expected )"},
        {"clamp(x, 1) > 1", ERR_SYNTAX, 1, 1, "clamp() takes 3 values, not 2"},
        {"round(x, 1, 2) > 1", ERR_SYNTAX, 1, 1, "round() takes at most 2 values, not 3"},
        {"for_total(x > 1) and y > 1", ERR_SYNTAX, 1, 1, "at least 2 values, not 1"},
        {"for_total(x > 1, 10)", ERR_SYNTAX, 1, 18, "a duration such as 10h"},
        {"for_total(x > 1, 0s)", ERR_RANGE, 1, 18, "more than 0"},
        {"for_total(x > 1, 367d)", ERR_RANGE, 1, 18, "366d"},
        {"for_total(x > 1, 1h y)", ERR_SYNTAX, 1, 21, "a comma or )"},
        {"for_total(x > 1, 1h, y > 1, z > 1)", ERR_SYNTAX, 1, 1, "at most 3 values, not 4"},
        {"then(x > 1, 1h)", ERR_SYNTAX, 1, 1, "then() takes 3 values, not 2"},
        {"then(x > 1, y > 1, 1h)", ERR_SYNTAX, 1, 13, "a duration such as 10h"},
        {"avg_over_tme(x[5m]) > 1", ERR_UNKNOWN_NAME, 1, 1, "did you mean avg_over_time()?"},
        {"frobnicate(x) > 1", ERR_UNKNOWN_NAME, 1, 1, "unknown function frobnicate()"},
    };
    expect_refusals("", cases, sizeof(cases) / sizeof(cases[0]));
}

Test(language, functions_of_the_full_language_are_refused_by_name)
{
    static const char *const names[] = {"holt_winters", "label_replace", "histogram_quantile"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char when[64];
        char detail[96];
        (void)snprintf(when, sizeof(when), "1 < %s(x[5m])", names[i]);
        (void)snprintf(detail, sizeof(detail), "%s() is not part of this version's language",
                       names[i]);
        struct refusal c = {when, ERR_UNSUPPORTED, 1, 5, detail};
        expect_refusals("", &c, 1);
    }
    static const struct refusal words[] = {
        {"x offset 5m > 1", ERR_UNSUPPORTED, 1, 3, "offset is not part"},
        {"max(x, y) by (site) > 1", ERR_UNSUPPORTED, 1, 11, "by is not part"},
        {"1 < avg(x)", ERR_UNSUPPORTED, 1, 5, "avg over devices is not part"},
        {"1 < avg by (site) (x)", ERR_UNSUPPORTED, 1, 5, "avg over devices is not part"},
        {"1 < topk by (site) (2, x)", ERR_UNSUPPORTED, 1, 5, "topk over devices is not part"},
        {"1 < count(x > 5)", ERR_UNSUPPORTED, 1, 5, "count over devices is not part"},
    };
    expect_refusals("", words, sizeof(words) / sizeof(words[0]));
}

Test(language, numbers_and_conditions_never_mix)
{
    static const struct refusal cases[] = {
        {"x", ERR_TYPE, 1, 1, "condition"},
        {"x + 1", ERR_TYPE, 1, 1, "condition"},
        {"x and y > 1", ERR_TYPE, 1, 3, "left side is a number"},
        {"x > 1 or y", ERR_TYPE, 1, 7, "right side is a number"},
        {"x > 1 unless 0", ERR_TYPE, 1, 7, "right side is a number"},
        {"x > 1 > 0", ERR_TYPE, 1, 7, "the left side"},
        {"x > (y > 1)", ERR_TYPE, 1, 3, "the right side"},
        {"x == true", ERR_TYPE, 1, 3, "1 or 0"},
        {"true < false", ERR_TYPE, 1, 6, "both sides are conditions"},
        {"-(x > 1) > 0", ERR_TYPE, 1, 1, "- takes numbers"},
        {"+(x > 1) > 0", ERR_TYPE, 1, 1, "+ takes numbers"},
        {"abs(x > 1) > 0", ERR_TYPE, 1, 1, "abs takes numbers"},
        {"(x > 1) + 1 > 0", ERR_TYPE, 1, 9, "+ takes numbers"},
        {"present_over_time(x[1m]) > 0", ERR_TYPE, 1, 26, "condition"},
        {"min(x, y > 1) > 0", ERR_TYPE, 1, 1, "its second value is a condition"},
        {"for_total(x, 1h)", ERR_TYPE, 1, 1, "for_total takes conditions, but its inner side is a"},
        {"then(x > 1, 1h, y)", ERR_TYPE, 1, 1, "then takes conditions, but its second value is a"},
        {"for_total(x > 1, 1h) > 5", ERR_TYPE, 1, 22, "the left side"},
        {"\\\"a\\\"", ERR_TYPE, 1, 1, "this is a text"},
        {"\\\"a\\\" == \\\"a\\\"", ERR_TYPE, 1, 5, "a text is compared"},
        {"x == \\\"a\\\" + 1", ERR_TYPE, 1, 10, "its left side is a text"},
        {"x + 1 == \\\"a\\\"", ERR_TYPE, 1, 7, "a text is compared"},
        {"-x == \\\"a\\\"", ERR_TYPE, 1, 4, "a text is compared"},
        {"avg_over_time(x[5m]) == \\\"a\\\"", ERR_TYPE, 1, 22, "a text is compared"},
        {"(x > 1) == \\\"a\\\"", ERR_TYPE, 1, 9, "a text is compared"},
    };
    expect_refusals("", cases, sizeof(cases) / sizeof(cases[0]));
}

Test(language, known_units_do_not_mix)
{
    static const struct refusal cases[] = {
        {"temperature > rpm", ERR_TYPE, 1, 13, "> has \"degC\" on one side and \"1/min\" on the"},
        {"temperature + rpm > 1", ERR_TYPE, 1, 13, "+ has \"degC\""},
        {"max(temperature, rpm) > 1", ERR_TYPE, 1, 1, "max has"},
        {"clamp(1, temperature, rpm) > 1", ERR_TYPE, 1, 1, "clamp has"},
        {"avg_over_time(temperature[5m]) > 2 * baseline(rpm)", ERR_TYPE, 1, 32, "degC"},
        {"quantile_over_time(0.5, temperature[5m]) == -rpm / 2", ERR_TYPE, 1, 42, "degC"},
        {"abs(temperature) - round(increase(rpm[5m]), 5) > 1", ERR_TYPE, 1, 18, "degC"},
    };
    expect_refusals("'select':'type=motor',", cases, sizeof(cases) / sizeof(cases[0]));
    static const char *const accepted[] = {
        "temperature > 80 and rpm > 100",
        "temperature > 1.1 * baseline(temperature)",
        "temperature * rpm > 100 + rpm",
        "temperature / rpm > temperature / 2 * rpm",
        "temperature > attr(\\\"limit\\\") + vibration",
        "rate(temperature[5m]) > rate(rpm[5m])",
        "stdvar_over_time(temperature[5m]) > rpm",
        "count_over_time(temperature[5m]) > rpm",
        "zscore_over_time(temperature[5m]) > rpm",
        "sqrt(temperature) > rpm",
        "timestamp(temperature) > timestamp(rpm)",
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        char document[512];
        (void)snprintf(document, sizeof(document), "{'name':'r','select':'type=motor','when':'%s'}",
                       accepted[i]);
        rule_drop(help_rule(&h, document));
    }
    help_env_fini(&h);
}

Test(language, a_pinned_type_tells_which_metrics_exist)
{
    static const struct refusal cases[] = {
        {"temprature > 80", ERR_UNKNOWN_NAME, 1, 1, "did you mean \"temperature\"?"},
        {"rpm > 1 and avg_over_time(tempeature[5m]) > 1", ERR_UNKNOWN_NAME, 1, 13,
         "\"tempeature\"; did you mean \"temperature\"?"},
        {"pressure > 1", ERR_UNKNOWN_NAME, 1, 1, "type \"motor\" has no metric \"pressure\""},
        {"baseline(humidity) > 1", ERR_UNKNOWN_NAME, 1, 1, "no metric \"humidity\""},
        {"vibration > 1.5 * baseline(vibration)", ERR_TYPE, 1, 19, "baseline_samples"},
    };
    expect_refusals("'select':'type=motor',", cases, sizeof(cases) / sizeof(cases[0]));
    struct help_env h;
    help_env_init(&h);
    static const char *const accepted[] = {
        "{'name':'r','select':'type=motor','when':'temperature > baseline(temperature)'}",
        "{'name':'r','select':'type=motor,site=a','when':'rpm > attr(\\\"any\\\")'}",
        "{'name':'r','select':'type!=motor','when':'pressure > 1'}",
        "{'name':'r','select':'type in (motor,pump)','when':'pressure > 1'}",
        "{'name':'r','select':'type=unheard-of','when':'pressure > baseline(pressure)'}",
        "{'name':'r','when':'pressure > baseline(pressure)'}",
    };
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        rule_drop(help_rule(&h, accepted[i]));
    }
    h.type->any_metric = true; /* a generic type takes every name */
    rule_drop(help_rule(&h, "{'name':'r','select':'type=motor','when':'pressure > 1'}"));
    help_env_fini(&h);
}

/* Compiles {"name":"r","when":head + middle × times + tail}. */
static enum err compile_long(struct help_env *h, const char *const part[3], int times,
                             struct rule_error *e)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b, "{'name':'r','when':'%s", part[0]);
    for (int i = 0; i < times; i++) {
        buf_put_str(&b, part[1]);
        if (strchr(part[1], '[') != NULL) {
            buf_printf(&b, "%dm])", i + 1); /* another window each time */
        }
    }
    buf_printf(&b, "%s'}", part[2]);
    char *document = buf_take_str(&b);
    struct rule *r = NULL;
    enum err err = help_compile(h, document, &r, e);
    rule_drop(r);
    free(document);
    return err;
}

Test(language, limits_hold_for_bytes_operations_nesting_windows_and_values)
{
    static const struct {
        const char *part[3];
        int most;
        const char *detail;
    } cases[] = {
        {{"x > 0", " + 1", ""}, 126, "255 operations"},
        {{"x > 0", " and x > 0", ""}, 63, "255 operations"},
        {{"x > ", "-", "1"}, 252, "255 operations"},
        {{"x > ", "(", "1"}, 0, "not closed"},
        {{"x > 0", " + avg_over_time(x[", ""}, 16, "16 range functions"},
        {{"x > 0", " ", ""}, 4091, "4096 bytes"},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule_error e = {.detail = ""};
        enum err err = compile_long(&h, cases[i].part, cases[i].most, &e);
        cr_expect_eq(err, ERR_OK, "case %zu: %s", i, e.detail);
        err = compile_long(&h, cases[i].part, cases[i].most + 1, &e);
        cr_expect_neq(err, ERR_OK, "case %zu", i);
        cr_expect(strstr(e.detail, cases[i].detail) != NULL, "case %zu: %s", i, e.detail);
    }
    help_env_fini(&h);
}

Test(language, nesting_is_bounded_whatever_it_is_made_of)
{
    static const struct {
        int depth;
        enum err err;
    } cases[] = {{1, ERR_OK}, {64, ERR_OK}, {65, ERR_LIMIT}, {700, ERR_LIMIT}};
    static const char *const open[] = {"(", "abs("};
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        for (int n = 0; n < cases[i / 2].depth; n++) {
            buf_put_str(&b, open[i % 2]);
        }
        buf_put_str(&b, "x");
        for (int n = 0; n < cases[i / 2].depth; n++) {
            buf_put_str(&b, ")");
        }
        char *tail = buf_take_str(&b);
        const char *const part[3] = {"1 < ", "", tail};
        struct rule_error e = {.detail = ""};
        cr_expect_eq(compile_long(&h, part, 0, &e), cases[i / 2].err, "depth %d: %s",
                     cases[i / 2].depth, e.detail);
        free(tail);
    }
    help_env_fini(&h);
}

Test(language, the_same_input_is_read_once)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r =
        help_rule(&h, "{'name':'r','when':'x > 1 and x < 5 and avg_over_time(x[60s]) > 1 and "
                      "avg_over_time(x[1m]) > 2 and max_over_time(x[1m]) > 2','clear':'x < 0 or "
                      "metric(\\\"x\\\") == 1','summary':'{{x}} {{y}}'}");
    cr_assert_eq(r->inputs.count, 4);
    cr_expect_eq(r->trigger_count, 3, "the summary's metrics drive nothing");
    cr_expect_str_eq(r->inputs.items[0].label, "x");
    cr_expect_str_eq(r->inputs.items[1].label, "avg_over_time(x[1m])");
    cr_expect_str_eq(r->inputs.items[2].label, "max_over_time(x[1m])");
    cr_expect_str_eq(r->inputs.items[3].label, "y");
    rule_drop(r);
    help_env_fini(&h);
}

Test(language, a_refused_rule_teaches_the_server_no_names)
{
    struct help_env h;
    help_env_init(&h);
    int32_t before = intern_count(h.metrics);
    struct rule *r = NULL;
    struct rule_error e;
    cr_expect_eq(help_compile(&h, "{'name':'r','when':'new_one > 1 and'}", &r, &e), ERR_SYNTAX);
    cr_expect_eq(intern_count(h.metrics), before);
    help_env_fini(&h);
}
