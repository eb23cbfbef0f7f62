/*
 * Trackers on refrigerated shipments: position along a road, temperature of the load (2 to 8 degC),
 * humidity, battery. A failed cooler lets the load drift to the outside temperature with the slow
 * time constant of a full trailer.
 */
#include <math.h>

#include "fleet/scenarios.h"

#define WAY_KM    310.0
#define OUTSIDE_C 21.0

enum { TEMPERATURE, HUMIDITY, LATITUDE, LONGITUDE, SPEED, BATTERY, METRICS };

static const struct fleet_metric metrics[METRICS] = {
    [TEMPERATURE] = {"temperature", "degC", -30, 60, 2, 0},
    [HUMIDITY] = {"humidity", "%", 0, 100, 1, 0},
    [LATITUDE] = {"latitude", "deg", -90, 90, 6, 0},
    [LONGITUDE] = {"longitude", "deg", -180, 180, 6, 0},
    [SPEED] = {"speed", "km/h", 0, 110, 1, 0},
    [BATTERY] = {"battery", "%", 0, 100, 2, 0},
};

static const char *const faults[] = {"cooler failure", "sleeping tracker", "battery drain", NULL};
static const char *const commands[] = {"locate", "wake", NULL};
static const char *const label_keys[] = {"cargo", "carrier", NULL};
static const char *const attribute_keys[] = {"temperature_min", "temperature_max", NULL};
static const char *const rules[] = {
    "{\"name\":\"tracker-too-warm\",\"select\":\"type=tracker\",\"when\":\"avg_over_time("
    "temperature[20s]) > "
    "attr(\\\"temperature_max\\\")\",\"for\":\"20s\",\"clear\":\"avg_over_time(temperature[20s]) < "
    "attr(\\\"temperature_max\\\") - 0.5\",\"severity\":\"critical\",\"summary\":\"{{device}}: the "
    "load is at "
    "{{temperature}} "
    "degC\",\"actions\":[{\"command\":{\"to\":\"self\",\"method\":\"locate\"}},{\"work_order\":"
    "{\"title\":\"Inspect cooler and load\"}}]}",
    "{\"name\":\"tracker-battery-low\",\"select\":\"type=tracker\",\"when\":\"battery < "
    "20\",\"for\":\"10s\","
    "\"clear\":\"battery > 30\",\"severity\":\"warning\",\"summary\":\"{{device}}: battery at "
    "{{battery}} %\"}",
    NULL};

static void init(struct fleet_sim *s)
{
    struct fleet_tracker *t = &s->is.tracker;
    t->at_km = fleet_random_between(&s->random, 0, WAY_KM);
    t->speed = 75;
    t->temperature = 4.5;
    t->humidity = 70;
    t->battery = fleet_random_between(&s->random, 75, 100);
}

static bool step(struct fleet_sim *s, double dt_s, double *ret_values)
{
    struct fleet_tracker *t = &s->is.tracker;
    double failure = fleet_sim_severity(s, "cooler failure");
    double cycle_s = (double)s->cycle_us / 1e6;
    /* The defrost cycle of a healthy cooler: a slow wave of less than a degree. */
    double kept = 4.5 + 0.7 * sin((double)(s->now_us / 1000000) / 400.0);
    double goal = kept + (OUTSIDE_C - kept) * failure;
    /* Slow, as a full trailer is, but quick enough that an excursion fits into the fault's cycle.
     */
    double tau_s =
        failure > 0 ? fleet_clamp(cycle_s / 3, 20, 3600) : fleet_clamp(cycle_s / 20, 10, 600);
    t->temperature = fleet_lag(t->temperature, goal, dt_s, tau_s);
    t->humidity = fleet_lag(t->humidity, 70 + 18 * failure, dt_s, 120);
    double before = t->speed;
    t->speed =
        fleet_clamp(fleet_random_normal(&s->random, fleet_lag(before, 78, dt_s, 60), 1.5), 0, 110);
    t->at_km = fmod(t->at_km + (before + t->speed) / 2 * dt_s / 3600, WAY_KM);
    double drain = fleet_sim_severity(s, "battery drain");
    t->battery -= dt_s * (0.0005 + (cycle_s > 0 ? drain * 300 / cycle_s : 0));
    if (s->repaired || (t->battery < 15 && drain <= 0)) {
        t->battery = 100; /* exchanged */
    }
    t->battery = fleet_clamp(t->battery, 3, 100);
    struct fleet_point at;
    double heading = 0;
    fleet_ring((struct fleet_point){47.2, 11.4}, WAY_KM, t->at_km, &at, &heading);
    ret_values[TEMPERATURE] = fleet_random_normal(&s->random, t->temperature, 0.05);
    ret_values[HUMIDITY] = fleet_random_normal(&s->random, t->humidity, 0.4);
    ret_values[LATITUDE] = fleet_random_normal(&s->random, at.latitude, 0.00003);
    ret_values[LONGITUDE] = fleet_random_normal(&s->random, at.longitude, 0.00004);
    ret_values[SPEED] = t->speed;
    ret_values[BATTERY] = t->battery;
    return fleet_sim_severity(s, "sleeping tracker") <= 0;
}

static bool command(struct fleet_sim *s, struct view method, struct view params,
                    struct emit_json *answer)
{
    (void)params;
    const struct fleet_tracker *t = &s->is.tracker;
    if (view_eq_str(method, "locate")) {
        struct fleet_point at;
        double heading = 0;
        fleet_ring((struct fleet_point){47.2, 11.4}, WAY_KM, t->at_km, &at, &heading);
        emit_json_key(answer, "latitude");
        emit_json_real(answer, round(at.latitude * 1e6) / 1e6);
        emit_json_key(answer, "longitude");
        emit_json_real(answer, round(at.longitude * 1e6) / 1e6);
        return true;
    }
    if (view_eq_str(method, "wake")) {
        if (fleet_sim_has(s, "sleeping tracker")) {
            s->fault = FLEET_NO_FAULT; /* it stays awake from now on */
        }
        emit_json_key(answer, "awake");
        emit_json_bool(answer, true);
        return true;
    }
    return false;
}

static void labels(const struct fleet_sim *s, struct emit_json *j)
{
    emit_json_key(j, "cargo");
    emit_json_str(j, s->index % 2 == 0 ? "vaccines" : "dairy");
    emit_json_key(j, "carrier");
    emit_json_str(j, s->index % 3 == 0 ? "alpine" : "transit");
}

static void attributes(const struct fleet_sim *s, struct emit_json *j)
{
    (void)s;
    emit_json_key(j, "temperature_min");
    emit_json_int(j, 2);
    emit_json_key(j, "temperature_max");
    emit_json_int(j, 8);
}

const struct fleet_scenario fleet_scenario_trackers = {
    .name = "trackers",
    .words = "cold-chain trackers: position, temperature of the load, battery; trackers that fall "
             "asleep",
    .type = "tracker",
    .device_name = "tracker-%03u",
    .devices_default = 6,
    .interval_us = 5000000,
    .metrics = metrics,
    .metric_count = METRICS,
    .faults = faults,
    .commands = commands,
    .rules = rules,
    .init = init,
    .step = step,
    .command = command,
    .label_keys = label_keys,
    .attribute_keys = attribute_keys,
    .labels = labels,
    .attributes = attributes,
};
