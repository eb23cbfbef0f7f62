/*
 * The functions of the language, with values computed by hand.
 */
#include <criterion/criterion.h>

#include "help.h"

struct row {
    const char *expr;
    double value; /* NaN: absent */
};

static void expect_values(double modulus, const struct help_point *points, size_t count,
                          const struct row *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++) {
        double is = help_value(rows[i].expr, modulus, points, count);
        double want = rows[i].value;
        bool same = isnan(want) ? isnan(is) : is == want || fabs(is - want) <= 1e-12 * fabs(want);
        cr_expect(same, "%s: %.17g, expected %.17g", rows[i].expr, is, want);
    }
}

#define EXPECT(modulus, points, rows)                                          \
    expect_values(modulus, points, sizeof(points) / sizeof((points)[0]), rows, \
                  sizeof(rows) / sizeof((rows)[0]))

static const struct help_point six[] = {{0, 10}, {10, 20}, {20, 15}, {30, 5}, {40, 25}, {50, 30}};

Test(functions, statistics_of_a_window)
{
    /* Distances from the mean 17.5: 7.5 2.5 2.5 12.5 7.5 12.5; their squares add up to 437.5. From
     * the median, which is 17.5 too: 2.5 2.5 7.5 7.5 12.5 12.5. */
    static const struct row rows[] = {
        {"avg_over_time(x[1m])", 17.5},
        {"stdvar_over_time(x[1m])", 437.5 / 6},
        {"stddev_over_time(x[1m])", 8.539125638299666},
        {"zscore_over_time(x[1m])", 12.5 / 8.539125638299666},
        {"quantile_over_time(0, x[1m])", 5},
        {"quantile_over_time(0.5, x[1m])", 17.5},
        {"quantile_over_time(0.9, x[1m])", 27.5}, /* rank 4.5 of 0 to 5 */
        {"quantile_over_time(1, x[1m])", 30},
        {"mad_over_time(x[1m])", 7.5},
        {"anomaly(x[1m])", 12.5 / (1.482602218505602 * 7.5)},
        {"first_over_time(x[1m])", 10},
        {"last_over_time(x[1m])", 30},
        {"count_over_time(x[1m])", 6},
        {"absent_over_time(x[1m])", 0},
        {"present_over_time(x[1m])", 1},
        {"quantile_over_time(0.5, x[25s])", 25}, /* 5 25 30 */
        {"mad_over_time(x[25s])", 5},            /* 20 0 5 */
        {"first_over_time(x[25s])", 5},
        {"stdvar_over_time(x[20s])", 6.25}, /* (30, 50]: 25 30 */
        {"stddev_over_time(x[10s])", 0},
        {"zscore_over_time(x[10s])", (double)NAN}, /* 0 / 0 */
        {"anomaly(x[10s])", (double)NAN},
    };
    EXPECT(0, six, rows);
}

Test(functions, counters_and_slopes)
{
    /* The window is (-10, 50]: 10 s before the first reading. As a counter x fell twice and grew by
     * 20 + 20 + 15; it was zero 50 s * 10 / 55 before its first reading. The line of least squares
     * has the slope 525 / 1750. */
    static const struct row rows[] = {
        {"increase(x[1m])", 65},
        {"rate(x[1m])", 65.0 / 60},
        {"irate(x[1m])", 0.5},
        {"delta(x[1m])", 24}, /* 20, taken on over the 10 s before */
        {"idelta(x[1m])", 5},
        {"changes(x[1m])", 5},
        {"resets(x[1m])", 2},
        {"deriv(x[1m])", 0.3},
        {"predict_linear(x[1m], 60)", 43}, /* 17.5 + 0.3 * (50 - 25 + 60) */
        {"predict_linear(x[1m], 1m)", 43},
        {"predict_linear(x[1m], -25)", 17.5},
        {"delta(x[25s])", 25 * 25.0 / 20}, /* 5 at 30 s; the window begins at 25 s */
        {"increase(x[15s])", 5 * 15.0 / 10},
        {"rate(x[10s])", (double)NAN}, /* of one reading there is none */
        {"deriv(x[10s])", (double)NAN},
        {"irate(x[10s])", (double)NAN},
        {"idelta(x[10s])", (double)NAN},
        {"delta(x[10s])", (double)NAN},
        {"predict_linear(x[10s], 5)", (double)NAN},
        {"changes(x[10s])", 0},
        {"resets(x[10s])", 0},
        {"resets(x[30s])", 0}, /* 5 25 30: what fell to 5 is outside */
    };
    EXPECT(0, six, rows);
}

Test(functions, an_edge_that_is_far_away_counts_for_half_a_distance)
{
    static const struct help_point late[] = {{0, 10},  {10, 20}, {20, 15},         {30, 5},
                                             {40, 25}, {50, 30}, {65, (double)NAN}};
    static const struct row rows[] = {
        {"delta(x[40s])", 25 * 30.0 / 20}, /* 5 s before, 15 s behind: counts as 5 */
        {"delta(x[50s])", 15 * 40.0 / 30}, /* (15, 65]: 5 s before, 5 behind */
        {"deriv(x[40s])", 1.25},
        {"predict_linear(x[40s], 0)", 20 + 1.25 * 25}, /* 25 s behind the middle of 30, 40, 50 */
        {"absent_over_time(x[15s])", 1},               /* a reading exactly W old has left */
        {"absent_over_time(x[16s])", 0},
        {"count_over_time(x[15s])", (double)NAN},
        {"stddev_over_time(x[15s])", (double)NAN},
        {"quantile_over_time(0.5, x[15s])", (double)NAN},
        {"mad_over_time(x[15s])", (double)NAN},
        {"rate(x[15s])", (double)NAN},
        {"changes(x[15s])", (double)NAN},
        {"first_over_time(x[15s])", (double)NAN},
        {"timestamp(x)", 50},
        {"time() - timestamp(x)", 15},
    };
    EXPECT(0, late, rows);
}

Test(functions, a_declared_modulus_is_gone_round)
{
    static const struct help_point eight_bit[] = {{0, 197}, {10, 11}};
    static const struct row bits[] = {
        {"idelta(x[20s])", 70},    {"irate(x[20s])", 7},
        {"increase(x[20s])", 140}, /* 70 over 10 of 20 s */
        {"rate(x[20s])", 7},       {"delta(x[20s])", 140},
        {"resets(x[20s])", 0},     {"changes(x[20s])", 1},
    };
    EXPECT(256, eight_bit, bits);
    static const struct row plain[] = {
        {"idelta(x[20s])", -186}, {"irate(x[20s])", 1.1}, {"increase(x[20s])", 22},
        {"delta(x[20s])", -372},  {"resets(x[20s])", 1},
    };
    EXPECT(0, eight_bit, plain);
    static const struct help_point meter[] = {{0, 99999.5}, {1800, 0.25}};
    static const struct row round[] = {{"idelta(x[1h])", 0.75}, {"resets(x[1h])", 0}};
    EXPECT(100000, meter, round);
    /* Forward by more than half a round: another meter, that counts from 0. */
    static const struct help_point exchange[] = {{0, 50000.5}, {10, 3}};
    static const struct row other[] = {
        {"irate(x[20s])", 0.3},
        {"increase(x[20s])", 6},
        {"idelta(x[20s])", -49997.5},
        {"resets(x[20s])", 1},
    };
    EXPECT(100000, exchange, other);
}

Test(functions, numbers)
{
    static const struct help_point point[] = {{100, 7.5}};
    static const struct row rows[] = {
        {"ceil(x)", 8},
        {"ceil(-x)", -7},
        {"floor(x)", 7},
        {"floor(-x)", -8},
        {"round(x)", 8}, /* halves go up */
        {"round(-x)", -7},
        {"round(7.3, 0.5)", 7.5},
        {"round(x * 10, 10)", 80},
        {"sqrt(x * 2 + 1)", 4},
        {"sqrt(-x)", (double)NAN},
        {"exp(0)", 1},
        {"ln(exp(x))", 7.5},
        {"ln(-1)", (double)NAN},
        {"ln(x - 7.5)", -(double)INFINITY},
        {"log2(8)", 3},
        {"log10(1000)", 3},
        {"sgn(x)", 1},
        {"sgn(-x)", -1},
        {"sgn(x - x)", 0},
        {"clamp(x, 1, 5)", 5},
        {"clamp(x, 8, 9)", 8},
        {"clamp(x, 1, 9)", 7.5},
        {"clamp(x, 9, 1)", (double)NAN},
        {"clamp_min(x, 8)", 8},
        {"clamp_max(x, 5)", 5},
        {"min(x, 5) + max(x, 5)", 12.5},
        {"sin(pi() / 2)", 1},
        {"cos(0)", 1},
        {"tan(atan(x))", 7.5},
        {"sin(asin(0.5))", 0.5},
        {"cos(acos(0.5))", 0.5},
        {"sinh(asinh(x))", 7.5},
        {"cosh(acosh(x))", 7.5},
        {"tanh(atanh(0.5))", 0.5},
        {"asin(2)", (double)NAN},
        {"deg(pi())", 180},
        {"rad(180)", 3.141592653589793},
        {"abs(-x)", 7.5},
        {"clamp(y, 1, 5)", (double)NAN}, /* y is absent */
        {"round(x, y)", (double)NAN},
        {"attr(\\\"limit\\\")", 80},
        {"attr(\\\"limit\\\", 5)", 80},
        {"attr(\\\"none\\\", 5)", 5},
        {"attr(\\\"none\\\", -5)", -5},
        {"attr(\\\"none\\\")", (double)NAN},
        {"attr(\\\"mode\\\", 5)", 5}, /* a text is no number */
        {"attr(\\\"mode\\\") == \\\"auto\\\"", 1},
        {"\\\"auto\\\" == attr(\\\"mode\\\")", 1},
        {"attr(\\\"mode\\\") != \\\"auto\\\"", 0},
        {"attr(\\\"mode\\\") == \\\"off\\\"", 0},
        {"attr(\\\"mode\\\") != \\\"off\\\"", 1},
        {"attr(\\\"none\\\") == \\\"off\\\"", 0},
        {"attr(\\\"none\\\") != \\\"off\\\"", 0},
    };
    EXPECT(0, point, rows);
}

Test(functions, the_calendar_of_utc)
{
    static const struct help_point leap[] = {{1709251199.5, 1}}; /* 2024-02-29T23:59:59.5Z */
    static const struct row rows[] = {
        {"hour()", 23},           {"minute()", 59},
        {"day_of_week()", 4},     {"day_of_month()", 29},
        {"day_of_year()", 60},    {"days_in_month()", 29},
        {"month()", 2},           {"year()", 2024},
        {"time()", 1709251199.5}, {"timestamp(x)", 1709251199.5},
    };
    EXPECT(0, leap, rows);
}

/* A5 of cold chains: intervals count when the reading at their start is over the limit. */
Test(functions, a_total_adds_the_intervals_that_begin_in_it)
{
    static const struct help_point points[] = {{0, 31}, {60, 31}, {120, 29}, {180, 31}, {240, 29}};
    cr_expect_eq(help_value("for_total(x > 30, 2m)", 0, points, 2), 0);
    cr_expect_eq(help_value("for_total(x > 30, 2m)", 0, points, 3), 1);
    cr_expect_eq(help_value("for_total(x > 30, 2m)", 0, points, 4), 1, "what was stays");
    cr_expect_eq(help_value("for_total(x > 30, 3m)", 0, points, 4), 0);
    cr_expect_eq(help_value("for_total(x > 30, 3m)", 0, points, 5), 1);
    cr_expect_eq(help_value("for_total(x > 30, 1m, x < 30)", 0, points, 2), 1);
    cr_expect_eq(help_value("for_total(x > 30, 1m, x < 30)", 0, points, 3), 0, "reset");
    cr_expect_eq(help_value("for_total(x > 30, 1m, x < 30)", 0, points, 4), 0, "anew from there");
    cr_expect_eq(help_value("for_total(x >= 29, 4m) and for_total(x < 30, 1m)", 0, points, 5), 1);
}

Test(functions, then_wants_an_order_and_a_time)
{
    static const struct help_point points[] = {{0, 11}, {20, 3}, {45, 4}, {50, 12}, {51, 3}};
    cr_expect_eq(help_value("then(x > 10, 30s, x < 5)", 0, points, 1), 0);
    cr_expect_eq(help_value("then(x > 10, 30s, x < 5)", 0, points, 2), 1);
    cr_expect_eq(help_value("then(x > 10, 20s, x < 5)", 0, points, 2), 1,
                 "the limit belongs to it");
    cr_expect_eq(help_value("then(x > 10, 19s, x < 5)", 0, points, 2), 0);
    cr_expect_eq(help_value("then(x > 10, 30s, x < 5)", 0, points, 3), 0, "45 s is too late");
    cr_expect_eq(help_value("then(x > 10, 30s, x < 5)", 0, points, 5), 1);
    cr_expect_eq(help_value("then(x < 5, 30s, x < 5)", 0, points, 2), 0,
                 "the same sample is no order");
    cr_expect_eq(help_value("then(x < 5, 30s, x < 5)", 0, points, 3), 1);
    cr_expect_eq(help_value("then(then(x > 10, 30s, x < 5), 40s, x > 11)", 0, points, 4), 1);
    cr_expect_eq(help_value("then(then(x > 10, 30s, x < 5), 29s, x > 11)", 0, points, 4), 0);
}

/* H2 of homes: the door closes, and nothing moves then or in the next 5 minutes. */
Test(functions, then_none_waits_for_what_does_not_come)
{
    static const struct help_point quiet[] = {
        {0, 1}, {10, 0}, {100, 0}, {309, (double)NAN}, {310, (double)NAN}};
    cr_expect_eq(help_value("then_none(x == 0, 5m, x == 2)", 0, quiet, 3), 0);
    cr_expect_eq(help_value("then_none(x == 0, 5m, x == 2)", 0, quiet, 4), 0);
    cr_expect_eq(help_value("then_none(x == 0, 5m, x == 2)", 0, quiet, 5), 1,
                 "5 min after it closed");
    static const struct help_point moved[] = {
        {0, 1}, {10, 0}, {200, 2}, {210, 0}, {310, (double)NAN}, {510, (double)NAN}};
    cr_expect_eq(help_value("then_none(x == 0, 5m, x == 2)", 0, moved, 5), 0, "something moved");
    cr_expect_eq(help_value("then_none(x == 0, 5m, x == 2)", 0, moved, 6), 1, "it closed again");
    static const struct help_point at_once[] = {{0, 1}, {10, 0}, {320, 0}};
    cr_expect_eq(help_value("then_none(x == 0, 5m, x < 1)", 0, at_once, 3), 0, "then, or after");
}

Test(functions, texts_are_compared)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(
        &h, "{'name':'r','when':'state == \\\"open\\\"','clear':'\\\"shut\\\" == state or state != "
            "\\\"open\\\" and x > 5'}");
    struct device *d = help_device(NULL, "d");
    struct engine_rule one = {.rule_id = 1, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &one, 1, 0, CLOCK_NONE));
    static const struct {
        const char *text; /* NULL: a number */
        const char *log;
    } steps[] = {
        {"shut", ""},      {"opened", ""},  {NULL, ""},        {"open", "fired"},
        {"ajar", "fired"}, {NULL, "fired"}, {"open", "fired"}, {"shut", "fired resolved"},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct sample_value v = {.metric = help_metric(&h, "state"), .number = 1};
        if (steps[i].text != NULL) {
            v.kind = VALUE_TEXT;
            v.text = view_str(steps[i].text);
        }
        struct sample s = {.ts_us = (int64_t)i * S, .count = 1, .values = &v};
        (void)help_feed_sample(run, &s);
        cr_expect_str_eq(run->log, steps[i].log, "step %zu: %s", i, run->log);
    }
    cr_expect(isnan(run->alerts[0].value), "a text is no number to show");
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

/* One metric `door` or `motion` at a time; returns the history. */
static char *history_of(const char *document, const struct help_point *door, size_t count,
                        double motion_s, double until_s)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(&h, document);
    struct device *d = help_device(NULL, "d");
    struct engine_rule one = {.rule_id = 1, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &one, 1, 0, CLOCK_NONE));
    for (size_t i = 0; i < count; i++) {
        bool moved = motion_s >= 0 && (i == 0 || door[i - 1].s < motion_s) && door[i].s >= motion_s;
        if (moved) {
            help_feed(run, (int64_t)(motion_s * 1e6), help_metric(&h, "motion"), 1);
        }
        help_feed(run, (int64_t)(door[i].s * 1e6), help_metric(&h, "door"), door[i].v);
    }
    help_advance(run, (int64_t)(until_s * 1e6));
    char *history = help_history(run);
    help_run_free(run);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
    return history;
}

/* AWAY at close + 300 s although nothing comes then, and the same when a later sample shows it. */
Test(functions, then_none_is_true_at_its_instant_by_time_alone)
{
    static const char document[] =
        "{'name':'away','when':'then_none(door == 0, 5m, motion == 1)','lateness':'0s'}";
    static const struct help_point shut[] = {{0, 1}, {10, 0}};
    char *silent = history_of(document, shut, 2, -1, 309.999);
    cr_expect_str_eq(silent, "", "too early");
    free(silent);
    silent = history_of(document, shut, 2, -1, 4000);
    static const struct help_point later[] = {{0, 1}, {10, 0}, {900, 0}};
    char *shown = history_of(document, later, 3, -1, 4000);
    cr_expect_str_eq(silent, shown, "the clock and a sample say the same");
    cr_expect(strncmp(silent, "1 310000000 310000000 -1 ", 25) == 0, "%s", silent);
    free(silent);
    free(shown);
    char *moved = history_of(document, later, 3, 300, 4000);
    cr_expect_str_eq(moved, "", "%s", moved);
    free(moved);
    /* Who opens the door again, ends it. */
    static const struct help_point back[] = {{0, 1}, {10, 0}, {800, 1}};
    char *home = history_of(document, back, 3, -1, 4000);
    cr_expect(strncmp(home, "1 310000000 310000000 -1 ", 25) == 0, "the door alone is no motion");
    free(home);
}

Test(functions, the_calendar_is_that_of_the_rules_zone)
{
    static const struct {
        const char *zone, *when;
        int64_t utc_s;
        bool holds;
    } rows[] = {
        {"Europe/Vienna", "hour() == 1 and minute() == 59", 1585443599, true},
        {"Europe/Vienna", "hour() == 3 and minute() == 0", 1585443600, true}, /* summer begins */
        {"Europe/Vienna", "hour() == 2 and minute() == 59", 1603587599, true},
        {"Europe/Vienna", "hour() == 2 and minute() == 0", 1603587600, true}, /* once more */
        {"UTC", "hour() == 1 and minute() == 0", 1603587600, true},
        {"Australia/Melbourne", "day_of_week() == 1 and day_of_month() == 1 and month() == 1",
         1609423200, false}, /* 2021-01-01T01:00 there, a Friday */
        {"Australia/Melbourne", "day_of_week() == 5 and year() == 2021 and day_of_year() == 1",
         1609423200, true},
        {"UTC", "year() == 2020 and day_of_year() == 366", 1609423200, true},
        {"Asia/Kathmandu", "minute() == 45", 1609372800, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char document[512];
        (void)snprintf(document, sizeof(document),
                       "{'name':'r','timezone':'%s','when':'x > 0 and %s'}", rows[i].zone,
                       rows[i].when);
        struct help_env h;
        help_env_init(&h);
        struct rule *r = help_rule(&h, document);
        struct device *d = help_device(NULL, "d");
        struct engine_rule one = {.rule_id = 1, .version = 1, .rule = r};
        struct help_run *run = help_run_new(engine_new(d, &one, 1, 0, CLOCK_NONE));
        help_feed(run, rows[i].utc_s * S, help_metric(&h, "x"), 1);
        cr_expect_eq(run->count > 0, rows[i].holds, "%s %s", rows[i].zone, rows[i].when);
        help_run_free(run);
        rule_drop(r);
        device_drop(d);
        help_env_fini(&h);
    }
}
