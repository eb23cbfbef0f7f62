#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/params.h"
#include "fleet/scenario.h"

#define START_US 1767225600000000LL /* 2026-01-01 */
#define CYCLE_US (5 * CLOCK_MINUTE_US)

static uint32_t metric_at(const struct fleet_scenario *s, const char *name)
{
    for (uint32_t i = 0; i < s->metric_count; i++) {
        if (strcmp(s->metrics[i].name, name) == 0) {
            return i;
        }
    }
    cr_assert_fail("%s has no metric %s", s->name, name);
    return 0;
}

Test(scenario, every_value_stays_within_its_stated_limits)
{
    for (uint32_t k = 0; fleet_scenario_at(k) != NULL; k++) {
        const struct fleet_scenario *scenario = fleet_scenario_at(k);
        cr_assert_leq(scenario->metric_count, FLEET_METRICS_MAX);
        for (uint32_t d = 0; d < 12; d++) {
            struct fleet_sim s;
            fleet_sim_init(&s, scenario, d, 1, START_US, CYCLE_US);
            for (int64_t t = 0; t < 3 * CYCLE_US; t += scenario->interval_us) {
                double v[FLEET_METRICS_MAX];
                (void)fleet_sim_step(&s, START_US + t, v);
                for (uint32_t i = 0; i < scenario->metric_count; i++) {
                    const struct fleet_metric *m = &scenario->metrics[i];
                    cr_assert(isnan(v[i]) || (v[i] >= m->min && v[i] <= m->max), "%s %s %g",
                              scenario->name, m->name, v[i]);
                }
            }
        }
    }
}

/* The whole run as text. */
static char *run_text(const struct fleet_scenario *scenario, uint32_t device, uint64_t seed)
{
    struct fleet_sim s;
    struct buf out;
    buf_init(&out, 1 << 20);
    fleet_sim_init(&s, scenario, device, seed, START_US, CYCLE_US);
    for (int i = 0; i < 200; i++) {
        double v[FLEET_METRICS_MAX];
        (void)fleet_sim_step(&s, START_US + i * scenario->interval_us, v);
        fleet_sim_payload(&s, v, &out);
    }
    char *text = buf_take_str(&out);
    cr_assert_not_null(text);
    return text;
}

Test(scenario, a_seed_fixes_every_digit_and_devices_differ)
{
    for (uint32_t k = 0; fleet_scenario_at(k) != NULL; k++) {
        const struct fleet_scenario *scenario = fleet_scenario_at(k);
        char *a = run_text(scenario, 2, 11);
        char *b = run_text(scenario, 2, 11);
        char *other_seed = run_text(scenario, 2, 12);
        char *other_device = run_text(scenario, 4, 11);
        cr_expect_str_eq(a, b, "%s", scenario->name);
        cr_expect_str_neq(a, other_seed, "%s", scenario->name);
        cr_expect_str_neq(a, other_device, "%s", scenario->name);
        free(a);
        free(b);
        free(other_seed);
        free(other_device);
    }
}

/* The device of a small fleet that has the fault, moved to a share of its cycle; values averaged
 * over 20 steps. */
static void at_share(const char *name, const char *fault, double share, struct fleet_sim *s,
                     double *mean, uint32_t *silent)
{
    const struct fleet_scenario *scenario = fleet_scenario_find(name);
    cr_assert_not_null(scenario);
    uint32_t d = 0;
    do {
        fleet_sim_init(s, scenario, d, 1, START_US, CYCLE_US);
        cr_assert_lt(d++, 40, "no device has the fault %s", fault);
    } while (!fleet_sim_has(s, fault));
    memset(mean, 0, FLEET_METRICS_MAX * sizeof(*mean));
    *silent = 0;
    int64_t end = START_US + (int64_t)(share * (double)CYCLE_US);
    for (int64_t t = START_US; t < end; t += CLOCK_SECOND_US) {
        double v[FLEET_METRICS_MAX];
        bool says = fleet_sim_step(s, t, v);
        if (t >= end - 20 * CLOCK_SECOND_US) {
            *silent += says ? 0 : 1;
            for (uint32_t i = 0; i < scenario->metric_count; i++) {
                mean[i] += v[i] / 20;
            }
        }
    }
}

Test(scenario, faults_show_in_the_metrics_that_they_act_on_and_in_no_healthy_time)
{
    static const struct {
        const char *scenario, *fault, *metric;
        double ratio_min, ratio_max; /* faulty to healthy */
    } cases[] = {
        {"pumps", "bearing wear", "bearing_temperature", 1.6, 3},
        {"pumps", "bearing wear", "vibration", 1.5, 4},
        {"pumps", "bearing wear", "flow", 0.97, 1.03},
        {"pumps", "valve closing", "flow", 0.2, 0.7},
        {"pumps", "valve closing", "pressure", 1.1, 1.5},
        {"pumps", "rotor imbalance", "vibration", 4, 10},
        {"pumps", "rotor imbalance", "pressure", 0.97, 1.03},
        {"meters", "outage", "voltage", 0, 0},
        {"meters", "outage", "power", 0, 0},
        {"meters", "overload", "power", 3, 100},
        {"vehicles", "congestion", "speed", 0.02, 0.35},
        {"vehicles", "engine overheating", "coolant_temperature", 1.2, 1.5},
        {"trackers", "cooler failure", "temperature", 2, 5},
        {"trackers", "battery drain", "battery", 0, 0.5},
        {"home", "window left open", "temperature", 0.2, 0.9},
        {"home", "heater failure", "heating_power", 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fleet_sim s;
        double healthy[FLEET_METRICS_MAX];
        double faulty[FLEET_METRICS_MAX];
        uint32_t silent = 0;
        at_share(cases[i].scenario, cases[i].fault, 0.38, &s, healthy, &silent);
        cr_expect_eq(silent, 0);
        cr_expect_eq(fleet_sim_severity(&s, cases[i].fault), 0);
        at_share(cases[i].scenario, cases[i].fault, 0.93, &s, faulty, &silent);
        cr_expect_eq(fleet_sim_severity(&s, cases[i].fault), 1);
        uint32_t m = metric_at(s.scenario, cases[i].metric);
        double ratio = faulty[m] / healthy[m];
        cr_expect(ratio >= cases[i].ratio_min && ratio <= cases[i].ratio_max,
                  "%s %s: %s %g -> %g (%g)", cases[i].scenario, cases[i].fault, cases[i].metric,
                  healthy[m], faulty[m], ratio);
    }
}

Test(scenario, a_sleeping_tracker_says_nothing_until_it_is_woken)
{
    struct fleet_sim s;
    double v[FLEET_METRICS_MAX];
    uint32_t silent = 0;
    at_share("trackers", "sleeping tracker", 0.93, &s, v, &silent);
    cr_expect_eq(silent, 20);
    struct buf answer;
    buf_init(&answer, 1000);
    fleet_sim_command(&s, VIEW("{\"method\":\"wake\",\"params\":{}}"), &answer);
    cr_expect(view_eq_str(buf_view(&answer), "{\"awake\":true}"));
    buf_fini(&answer);
    cr_expect(fleet_sim_step(&s, s.now_us + CLOCK_SECOND_US, v));
}

Test(scenario, pump_physics_holds_together)
{
    /* Hydraulic power cannot exceed electrical power: 400 V three-phase, power factor 0.85. */
    const struct fleet_scenario *pumps = fleet_scenario_find("pumps");
    uint32_t current = metric_at(pumps, "current");
    uint32_t flow = metric_at(pumps, "flow");
    uint32_t pressure = metric_at(pumps, "pressure");
    for (uint32_t d = 0; d < 6; d++) {
        struct fleet_sim s;
        fleet_sim_init(&s, pumps, d, 3, START_US, CYCLE_US);
        for (int i = 0; i < 600; i++) {
            double v[FLEET_METRICS_MAX];
            (void)fleet_sim_step(&s, START_US + i * CLOCK_SECOND_US, v);
            double hydraulic_w = v[flow] / 60000 * v[pressure] * 1e5;
            double electrical_w = 1.732 * 400 * 0.85 * v[current];
            cr_assert_lt(hydraulic_w, electrical_w, "pump %u at %d s", d, i);
        }
    }
}

Test(scenario, a_register_never_runs_backwards_and_rolls_over_at_its_modulus)
{
    const struct fleet_scenario *meters = fleet_scenario_find("meters");
    uint32_t at = metric_at(meters, "register");
    uint32_t rollovers = 0;
    for (uint32_t d = 0; d < 8; d++) {
        struct fleet_sim s;
        double before = -1;
        fleet_sim_init(&s, meters, d, 1, START_US, CYCLE_US);
        for (int i = 0; i < 48; i++) { /* a day of half hours */
            double v[FLEET_METRICS_MAX];
            (void)fleet_sim_step(&s, START_US + i * 30 * CLOCK_MINUTE_US, v);
            double used = before < 0 ? 0 : v[at] - before;
            if (used < -50000) {
                rollovers++;
                used += 100000;
            }
            cr_assert(used >= 0 && used < 4.7, "meter %u: %g kWh in half an hour", d,
                      used); /* the fuse allows 4.6 */
            before = v[at];
        }
    }
    cr_expect_eq(rollovers, 2, "every fourth meter: %u", rollovers);
}

Test(scenario, a_vehicle_moves_as_fast_as_its_speed_says)
{
    const struct fleet_scenario *vehicles = fleet_scenario_find("vehicles");
    uint32_t speed = metric_at(vehicles, "speed");
    uint32_t latitude = metric_at(vehicles, "latitude");
    uint32_t longitude = metric_at(vehicles, "longitude");
    struct fleet_sim s;
    double before[FLEET_METRICS_MAX];
    double now[FLEET_METRICS_MAX];
    fleet_sim_init(&s, vehicles, 0, 1, START_US, CYCLE_US);
    (void)fleet_sim_step(&s, START_US, before);
    for (int i = 1; i < 40; i++) {
        (void)fleet_sim_step(&s, START_US + i * 10 * CLOCK_SECOND_US, now);
        double north_km = (now[latitude] - before[latitude]) * 111.32;
        double east_km =
            (now[longitude] - before[longitude]) * 111.32 * cos(now[latitude] * M_PI / 180);
        double km_h = hypot(north_km, east_km) * 360;
        double mean = (now[speed] + before[speed]) / 2;
        cr_expect_lt(fabs(km_h - mean), 6, "%g km/h on the map, %g on the dial", km_h, mean);
        memcpy(before, now, sizeof(before));
    }
}

Test(scenario, devices_obey_commands_and_reject_what_they_do_not_know)
{
    static const struct {
        const char *scenario, *request, *answer;
    } cases[] = {
        {"pumps", "{\"method\":\"stop\",\"params\":{}}",
         "{\"state\":\"stopping\",\"target_rpm\":0}"},
        {"pumps", "{\"params\":{\"rpm\":1500},\"method\":\"set_speed\"}",
         "{\"state\":\"running\",\"target_rpm\":1500}"},
        {"pumps", "{\"method\":\"set_speed\",\"params\":{\"rpm\":9000}}", NULL},
        {"pumps", "{\"method\":\"fly\"}", NULL},
        {"pumps", "{\"method\":7}", NULL},
        {"pumps", "", NULL},
        {"pumps", "[]", NULL},
        {"meters", "{\"method\":\"disconnect\"}", NULL},
        {"vehicles", "{\"method\":\"reroute\",\"params\":{\"route\":\"bypass\"}}",
         "{\"route\":\"bypass\"}"},
        {"vehicles", "{\"method\":\"reroute\",\"params\":{\"route\":\"sea\"}}", NULL},
        {"home", "{\"method\":\"set_temperature\",\"params\":{\"value\":19.5}}",
         "{\"setpoint\":19.5}"},
        {"home", "{\"method\":\"set_heating\",\"params\":{\"on\":false}}", "{\"heating\":false}"},
        {"home", "{\"method\":\"set_heating\",\"params\":{\"on\":0}}", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fleet_sim s;
        struct buf answer;
        buf_init(&answer, 1000);
        fleet_sim_init(&s, fleet_scenario_find(cases[i].scenario), 0, 1, START_US, CYCLE_US);
        fleet_sim_command(&s, view_str(cases[i].request), &answer);
        struct view got = buf_view(&answer);
        bool is_meter = strcmp(cases[i].scenario, "meters") == 0; /* its answer has a register */
        if (cases[i].answer != NULL) {
            cr_expect(view_eq_str(got, cases[i].answer), "%s: %.*s", cases[i].request,
                      VIEW_ARG(got));
        } else {
            struct view want =
                is_meter ? VIEW("{\"connected\":false,\"register\":") : VIEW("{\"rejected\":");
            cr_expect(view_starts(got, want), "%s: %.*s", cases[i].request, VIEW_ARG(got));
        }
        buf_fini(&answer);
    }
}

Test(scenario, heating_and_pumps_react_to_what_they_were_told)
{
    struct fleet_sim s;
    struct buf answer;
    double v[FLEET_METRICS_MAX];
    buf_init(&answer, 1000);
    fleet_sim_init(&s, fleet_scenario_find("pumps"), 0, 1, START_US, CYCLE_US);
    fleet_sim_command(&s, VIEW("{\"method\":\"stop\"}"), &answer);
    for (int i = 1; i <= 40; i++) {
        (void)fleet_sim_step(&s, START_US + i * CLOCK_SECOND_US, v);
    }
    cr_expect_eq(v[metric_at(s.scenario, "flow")], 0);
    cr_expect_lt(v[metric_at(s.scenario, "speed")], 5);

    buf_clear(&answer);
    fleet_sim_init(&s, fleet_scenario_find("home"), 0, 1, START_US, CYCLE_US);
    fleet_sim_command(&s, VIEW("{\"method\":\"set_temperature\",\"params\":{\"value\":25}}"),
                      &answer);
    (void)fleet_sim_step(&s, START_US + CLOCK_SECOND_US, v);
    cr_expect_gt(v[metric_at(s.scenario, "heating_power")], 0);
    double before = v[metric_at(s.scenario, "temperature")];
    for (int i = 2; i <= 400; i++) {
        (void)fleet_sim_step(&s, START_US + i * CLOCK_SECOND_US, v);
    }
    cr_expect_gt(v[metric_at(s.scenario, "temperature")], before + 1.5);
    buf_fini(&answer);
}

Test(params, members_are_found_behind_nested_values_and_never_past_the_end)
{
    static const char text[] =
        "{\"a\":{\"x\":[1,\"}\\\"\",{\"key\":9}]} , \"key\" : -2.5e1 ,\"t\":\"w,}\",\"b\":true}";
    for (size_t cut = 0; cut <= sizeof(text) - 1; cut++) {
        char *copy = malloc(cut == 0 ? 1 : cut); /* exact size: one byte too far is seen */
        cr_assert_not_null(copy);
        memcpy(copy, text, cut);
        double x = 77;
        struct view t;
        bool on = false;
        bool found = fleet_params_number(view_of(copy, cut), "key", &x);
        cr_expect(found ? x != 77 : x == 77, "output touched on failure at %zu", cut);
        (void)fleet_params_text(view_of(copy, cut), "t", &t);
        (void)fleet_params_bool(view_of(copy, cut), "b", &on);
        if (cut == sizeof(text) - 1) {
            cr_expect(found && x == -25);
            cr_expect(fleet_params_text(view_of(copy, cut), "t", &t) && view_eq_str(t, "w,}"));
            cr_expect(on);
        }
        free(copy);
    }
}
