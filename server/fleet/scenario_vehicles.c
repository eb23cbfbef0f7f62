/*
 * Vehicles on a ring road of 42 km with a bypass. Each keeps its own free-flow speed with bounded
 * acceleration, slows down where the road is congested, and warms its engine by load. A vehicle
 * that was sent to the bypass drives on freely.
 */
#include <math.h>

#include "fleet/params.h"
#include "fleet/scenarios.h"

#define RING_KM    42.0
#define AMBIENT_C  15.0
#define ACCELERATE 1.5 /* m/s^2 */
#define BRAKE      3.0

enum { SPEED, LATITUDE, LONGITUDE, HEADING, ODOMETER, COOLANT, FUEL, METRICS };

static const struct fleet_metric metrics[METRICS] = {
    [SPEED] = {"speed", "km/h", 0, 140, 1, 0},
    [LATITUDE] = {"latitude", "deg", -90, 90, 6, 0},
    [LONGITUDE] = {"longitude", "deg", -180, 180, 6, 0},
    [HEADING] = {"heading", "deg", 0, 360, 1, 0},
    [ODOMETER] = {"odometer", "km", 0, 1000000, 3, 0},
    [COOLANT] = {"coolant_temperature", "degC", -40, 130, 1, 0},
    [FUEL] = {"fuel_level", "%", 0, 100, 2, 0},
};

static const char *const faults[] = {"congestion", "engine overheating", NULL};
static const char *const commands[] = {"reroute", "message", NULL};
static const char *const label_keys[] = {"depot", "kind", NULL};
static const char *const attribute_keys[] = {"free_flow", NULL};
static const char *const rules[] = {
    "{\"name\":\"vehicle-congestion\",\"select\":\"type=vehicle\",\"when\":\"avg_over_time(speed["
    "1m]) < 0.4 * "
    "attr(\\\"free_flow\\\")\",\"for\":\"20s\",\"clear\":\"avg_over_time(speed[1m]) > 0.7 * "
    "attr(\\\"free_flow\\\")\",\"severity\":\"minor\",\"summary\":\"{{device}} is down to "
    "{{speed}} km/h: sent to the "
    "bypass\",\"actions\":[{\"command\":{\"to\":\"self\",\"method\":\"reroute\",\"params\":{"
    "\"route\":\"bypass\"}}}]}",
    "{\"name\":\"vehicle-engine-hot\",\"select\":\"type=vehicle\",\"when\":\"avg_over_time(coolant_"
    "temperature[30s]) > "
    "108\",\"for\":\"10s\",\"clear\":\"coolant_temperature < "
    "100\",\"severity\":\"major\",\"summary\":\"{{device}}: "
    "coolant at {{coolant_temperature}} "
    "degC\",\"actions\":[{\"command\":{\"to\":\"self\",\"method\":\"message\","
    "\"params\":{\"text\":\"Stop when safe: the engine is too "
    "hot\"}}},{\"work_order\":{\"title\":\"Check the cooling "
    "system\"}}]}",
    NULL};

static void init(struct fleet_sim *s)
{
    struct fleet_vehicle *v = &s->is.vehicle;
    v->free_flow = fleet_random_between(&s->random, 78, 96);
    v->speed = v->free_flow;
    v->at_km = fleet_random_between(&s->random, 0, RING_KM);
    v->odometer_km = fleet_random_between(&s->random, 5000, 180000);
    v->coolant = 88;
    v->fuel = fleet_random_between(&s->random, 40, 95);
}

static double wanted_speed(const struct fleet_sim *s)
{
    const struct fleet_vehicle *v = &s->is.vehicle;
    double jam = v->bypass ? 0 : fleet_sim_severity(s, "congestion");
    double stop_and_go = 10 + 8 * sin((double)(s->now_us / 1000) / 9000.0);
    return v->free_flow * (1 - jam) + stop_and_go * jam;
}

static bool step(struct fleet_sim *s, double dt_s, double *ret_values)
{
    struct fleet_vehicle *v = &s->is.vehicle;
    v->bypass = v->bypass && !s->repaired;
    double wanted = fleet_random_normal(&s->random, wanted_speed(s), 1.2);
    double before = v->speed;
    v->speed = fleet_clamp(wanted, before - BRAKE * 3.6 * dt_s, before + ACCELERATE * 3.6 * dt_s);
    v->speed = fleet_clamp(v->speed, 0, 140);
    double km = (before + v->speed) / 2 * dt_s / 3600;
    v->at_km = fmod(v->at_km + km, RING_KM);
    v->odometer_km += km;
    v->fuel -= km * 0.012 + dt_s / 3600 * 0.3; /* a tank is 800 km and a long wait */
    if (v->fuel < 8) {
        v->fuel = 95; /* filled up */
    }
    double heat = 88 + 0.03 * v->speed + 34 * fleet_sim_severity(s, "engine overheating");
    v->coolant = fleet_lag(v->coolant, heat, dt_s, 45);
    struct fleet_point at;
    double heading = 0;
    /* The bypass runs a kilometre outside of the ring. */
    fleet_ring((struct fleet_point){51.45, 7.02}, RING_KM + (v->bypass ? 2 * M_PI : 0), v->at_km,
               &at, &heading);
    ret_values[SPEED] = v->speed;
    ret_values[LATITUDE] = fleet_random_normal(&s->random, at.latitude, 0.00002);
    ret_values[LONGITUDE] = fleet_random_normal(&s->random, at.longitude, 0.00003);
    ret_values[HEADING] = heading;
    ret_values[ODOMETER] = v->odometer_km;
    ret_values[COOLANT] = fleet_random_normal(&s->random, v->coolant, 0.3);
    ret_values[FUEL] = v->fuel;
    return true;
}

static bool command(struct fleet_sim *s, struct view method, struct view params,
                    struct emit_json *answer)
{
    struct fleet_vehicle *v = &s->is.vehicle;
    struct view text;
    if (view_eq_str(method, "message") && fleet_params_text(params, "text", &text)) {
        emit_json_key(answer, "shown");
        emit_json_bool(answer, true);
        return true;
    }
    bool known = view_eq_str(method, "reroute") && fleet_params_text(params, "route", &text) &&
                 (view_eq_str(text, "bypass") || view_eq_str(text, "ring"));
    if (!known) {
        return false;
    }
    v->bypass = view_eq_str(text, "bypass");
    emit_json_key(answer, "route");
    emit_json_str(answer, v->bypass ? "bypass" : "ring");
    return true;
}

static void labels(const struct fleet_sim *s, struct emit_json *j)
{
    emit_json_key(j, "depot");
    emit_json_str(j, s->index % 2 == 0 ? "north" : "south");
    emit_json_key(j, "kind");
    emit_json_str(j, s->index % 4 == 3 ? "truck" : "van");
}

static void attributes(const struct fleet_sim *s, struct emit_json *j)
{
    (void)s;
    emit_json_key(j, "free_flow");
    emit_json_int(j, 85);
}

const struct fleet_scenario fleet_scenario_vehicles = {
    .name = "vehicles",
    .words = "vehicles on a ring road: speed, position, engine; congestion and a bypass",
    .type = "vehicle",
    .device_name = "vehicle-%03u",
    .devices_default = 5,
    .interval_us = 2000000,
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
