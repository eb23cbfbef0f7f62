/*
 * Centrifugal pumps on a pipe. The pump's curve is H = H0 n^2 - a q^2 (affinity laws), the pipe's H
 * = Hs + R q^2 / v^2 for a valve open by v; their crossing gives flow and pressure together, so a
 * closing valve lowers the one and raises the other as it does in a plant. Current follows
 * hydraulic power and friction; vibration grows with n^2.
 */
#include <math.h>

#include "fleet/params.h"
#include "fleet/scenarios.h"

#define NOMINAL_RPM   2900.0
#define NOMINAL_FLOW  120.0 /* l/min */
#define SHUT_OFF_BAR  6.0
#define STATIC_BAR    1.5
#define PUMP_LOSS_BAR 1.5 /* at nominal flow */
#define PIPE_LOSS_BAR 3.0 /* the same, valve open */
#define AMBIENT_C     24.0

enum { SPEED, CURRENT, PRESSURE, FLOW, VIBRATION, BEARING, FLUID, METRICS };

static const struct fleet_metric metrics[METRICS] = {
    [SPEED] = {"speed", "rpm", 0, 3600, 0, 0},
    [CURRENT] = {"current", "A", 0, 25, 2, 0},
    [PRESSURE] = {"pressure", "bar", 0, 12, 3, 0},
    [FLOW] = {"flow", "l/min", 0, 250, 2, 60},
    [VIBRATION] = {"vibration", "mm/s", 0, 30, 3, 60},
    [BEARING] = {"bearing_temperature", "degC", -20, 150, 2, 0},
    [FLUID] = {"fluid_temperature", "degC", -5, 110, 2, 0},
};

static const char *const faults[] = {"bearing wear", "valve closing", "rotor imbalance", NULL};
static const char *const commands[] = {"stop", "start", "set_speed", NULL};
static const char *const label_keys[] = {"site", "line", NULL};
static const char *const attribute_keys[] = {"rated_rpm", NULL};
static const char *const rules[] = {
    "{\"name\":\"pump-flow-low\",\"select\":\"type=pump\",\"when\":\"avg_over_time(flow[20s]) < "
    "0.8 * baseline(flow) "
    "and speed > 2000\",\"for\":\"20s\",\"clear\":\"avg_over_time(flow[20s]) > 0.9 * "
    "baseline(flow) or speed < 500\","
    "\"severity\":\"major\",\"summary\":\"{{device}}: flow is down to {{flow}} l/min at "
    "{{pressure}} bar: a valve is "
    "closing or a strainer is blocked\",\"actions\":[{\"work_order\":{\"title\":\"Inspect valve "
    "and strainer\"}}]}",
    "{\"name\":\"pump-vibration-high\",\"select\":\"type=pump\",\"when\":\"avg_over_time(vibration["
    "10s]) > 3 * "
    "baseline(vibration)\",\"for\":\"10s\",\"clear\":\"avg_over_time(vibration[10s]) < 1.5 * "
    "baseline(vibration)\","
    "\"severity\":\"critical\",\"summary\":\"{{device}} vibrates with {{vibration}} mm/s: "
    "stopped\",\"actions\":["
    "{\"command\":{\"to\":\"self\",\"method\":\"stop\"}},{\"work_order\":{\"title\":\"Balance the "
    "rotor\"}}]}",
    "{\"name\":\"pump-bearing-hot\",\"select\":\"type=pump\",\"when\":\"avg_over_time(bearing_"
    "temperature[30s]) > "
    "65\",\"for\":\"20s\",\"clear\":\"bearing_temperature < "
    "58\",\"severity\":\"major\",\"summary\":\"{{device}}: "
    "bearing at {{bearing_temperature}} degC\",\"actions\":[{\"work_order\":{\"title\":\"Replace "
    "the bearing\"}}]}",
    NULL};

static void init(struct fleet_sim *s)
{
    struct fleet_pump *p = &s->is.pump;
    p->running_speed = fleet_random_between(&s->random, 0.95, 1.02) * NOMINAL_RPM;
    p->target = p->running_speed;
    p->speed = p->target;
    p->bearing_temperature = AMBIENT_C + 20;
    p->fluid_temperature = 26;
}

static bool step(struct fleet_sim *s, double dt_s, double *ret_values)
{
    struct fleet_pump *p = &s->is.pump;
    double wear = fleet_sim_severity(s, "bearing wear");
    double closing = fleet_sim_severity(s, "valve closing");
    double imbalance = fleet_sim_severity(s, "rotor imbalance");
    if (s->repaired) {
        p->target = p->running_speed; /* the fitter starts it again */
    }
    p->speed = fleet_lag(p->speed, p->target, dt_s, 3);
    double n = p->speed / NOMINAL_RPM;
    double valve = 1 - 0.7 * closing;
    double head = SHUT_OFF_BAR * n * n - STATIC_BAR;
    double loss = (PUMP_LOSS_BAR + PIPE_LOSS_BAR / (valve * valve)) / (NOMINAL_FLOW * NOMINAL_FLOW);
    double flow = head > 0 ? sqrt(head / loss) : 0; /* a check valve keeps it from flowing back */
    double q = flow / NOMINAL_FLOW;
    double pressure = SHUT_OFF_BAR * n * n - PUMP_LOSS_BAR * q * q;
    double power = q * pressure / (SHUT_OFF_BAR - PUMP_LOSS_BAR);
    double current = n < 0.02 ? 0 : 3 * n * n + 4.2 * power + 1.6 * wear * n;
    double vibration = n * n * (1.2 + 7.5 * imbalance + 1.3 * wear + 0.4 * closing);
    p->bearing_temperature =
        fleet_lag(p->bearing_temperature, AMBIENT_C + n * n * (22 + 45 * wear), dt_s, 40);
    p->fluid_temperature = fleet_lag(p->fluid_temperature, 26 + 9 * (1 - fmin(q, 1)) * n, dt_s, 60);
    ret_values[SPEED] = p->speed < 1 ? 0 : fleet_random_normal(&s->random, p->speed, 2);
    ret_values[CURRENT] = current <= 0 ? 0 : fleet_random_normal(&s->random, current, 0.05);
    ret_values[PRESSURE] = fleet_random_normal(&s->random, pressure, 0.01);
    ret_values[FLOW] = flow <= 0 ? 0 : fleet_random_normal(&s->random, flow, 0.6);
    ret_values[VIBRATION] =
        fleet_random_normal(&s->random, vibration + 0.02, 0.02 + 0.04 * vibration);
    ret_values[BEARING] = fleet_random_normal(&s->random, p->bearing_temperature, 0.1);
    ret_values[FLUID] = fleet_random_normal(&s->random, p->fluid_temperature, 0.05);
    return true;
}

static bool command(struct fleet_sim *s, struct view method, struct view params,
                    struct emit_json *answer)
{
    struct fleet_pump *p = &s->is.pump;
    double rpm = 0;
    if (view_eq_str(method, "stop")) {
        p->target = 0;
    } else if (view_eq_str(method, "start")) {
        p->target = p->running_speed;
    } else if (view_eq_str(method, "set_speed") && fleet_params_number(params, "rpm", &rpm) &&
               rpm >= 0 && rpm <= 3500) {
        p->target = rpm;
        p->running_speed = rpm > 0 ? rpm : p->running_speed;
    } else {
        return false;
    }
    emit_json_key(answer, "state");
    emit_json_str(answer, p->target > 0 ? "running" : "stopping");
    emit_json_key(answer, "target_rpm");
    emit_json_int(answer, (int64_t)p->target);
    return true;
}

static void labels(const struct fleet_sim *s, struct emit_json *j)
{
    emit_json_key(j, "site");
    emit_json_str(j, s->index % 3 == 2 ? "plant-2" : "plant-1");
    emit_json_key(j, "line");
    emit_json_str(j, s->index % 2 == 0 ? "cooling" : "process");
}

static void attributes(const struct fleet_sim *s, struct emit_json *j)
{
    (void)s;
    emit_json_key(j, "rated_rpm");
    emit_json_int(j, (int64_t)NOMINAL_RPM);
}

const struct fleet_scenario fleet_scenario_pumps = {
    .name = "pumps",
    .words = "centrifugal pumps: speed, current, pressure, flow, vibration, temperatures",
    .type = "pump",
    .device_name = "pump-%03u",
    .devices_default = 6,
    .interval_us = 1000000,
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
