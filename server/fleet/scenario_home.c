/*
 * Homes: a room with one heat capacity and one thermal resistance, a heater behind a thermostat, a
 * door, a window, people who come and go. Heating reacts to commands: a new setpoint switches the
 * heater at the next step, and the room follows with its own time constant.
 */
#include <math.h>

#include "fleet/params.h"
#include "fleet/scenarios.h"

#define HEATER_W     2500.0
#define LOSS_W_PER_K 70.0  /* closed window */
#define OPEN_W_PER_K 350.0 /* more, with the window open */
#define CAPACITY     2.2e5 /* J/K: small, so that a demo shows the heating work */
#define HYSTERESIS_K 0.3

enum {
    TEMPERATURE,
    SETPOINT,
    HEATING,
    OUTSIDE,
    WINDOW,
    DOOR,
    PRESENCE,
    ILLUMINANCE,
    LIGHT,
    METRICS
};

static const struct fleet_metric metrics[METRICS] = {
    [TEMPERATURE] = {"temperature", "degC", -30, 60, 2, 0},
    [SETPOINT] = {"setpoint", "degC", 5, 30, 1, 0},
    [HEATING] = {"heating_power", "W", 0, HEATER_W, 0, 0},
    [OUTSIDE] = {"outside_temperature", "degC", -40, 50, 1, 0},
    [WINDOW] = {"window_open", "", 0, 1, 0, 0},
    [DOOR] = {"door_open", "", 0, 1, 0, 0},
    [PRESENCE] = {"presence", "", 0, 1, 0, 0},
    [ILLUMINANCE] = {"illuminance", "lx", 0, 2000, 0, 0},
    [LIGHT] = {"light", "%", 0, 100, 0, 0},
};

static const char *const faults[] = {"window left open", "heater failure", NULL};
static const char *const commands[] = {"set_temperature", "set_heating", "set_light", "lock",
                                       "unlock",          NULL};
static const char *const label_keys[] = {"street", "room", NULL};
static const char *const attribute_keys[] = {"heater_power", NULL};
static const char *const rules[] = {
    "{\"name\":\"home-heating-the-street\",\"select\":\"type=home\",\"when\":\"window_open > 0 and "
    "heating_power > "
    "0\",\"for\":\"20s\",\"clear\":\"window_open < "
    "1\",\"severity\":\"minor\",\"summary\":\"{{device}}: window open "
    "while heating; heating is switched "
    "off\",\"actions\":[{\"command\":{\"to\":\"self\",\"method\":\"set_heating\","
    "\"params\":{\"on\":false}}}]}",
    "{\"name\":\"home-away-setback\",\"select\":\"type=home\",\"when\":\"max_over_time(presence[1m]"
    ") < 1 and setpoint > "
    "18\",\"for\":\"10s\",\"clear\":\"presence > "
    "0\",\"severity\":\"info\",\"summary\":\"{{device}}: nobody at home, "
    "set back to 17 "
    "degC\",\"actions\":[{\"command\":{\"to\":\"self\",\"method\":\"set_temperature\",\"params\":"
    "{\"value\":17}}}]}",
    "{\"name\":\"home-welcome\",\"select\":\"type=home\",\"when\":\"presence > 0 and setpoint < "
    "19\",\"for\":\"5s\","
    "\"clear\":\"presence < 1\",\"severity\":\"info\",\"summary\":\"{{device}}: somebody is back, "
    "set to 21 "
    "degC\",\"actions\":[{\"command\":{\"to\":\"self\",\"method\":\"set_temperature\",\"params\":{"
    "\"value\":21}}},"
    "{\"command\":{\"to\":\"self\",\"method\":\"set_light\",\"params\":{\"level\":60}}}]}",
    "{\"name\":\"home-too-cold\",\"select\":\"type=home\",\"when\":\"avg_over_time(temperature[30s]"
    ") < "
    "14\",\"for\":\"20s\",\"clear\":\"temperature > "
    "16\",\"severity\":\"major\",\"summary\":\"{{device}} is at "
    "{{temperature}} degC\",\"actions\":[{\"work_order\":{\"title\":\"Check the heater\"}}]}",
    NULL};

static void init(struct fleet_sim *s)
{
    struct fleet_home *h = &s->is.home;
    h->setpoint = 21;
    h->temperature = 20.5;
    h->outside = 4;
    h->heating_allowed = true;
    h->present = s->index % 2 == 0;
    h->locked = true;
    h->presence_left_s = fleet_random_between(&s->random, 60, 300);
}

/* People come and go through the door; nobody passes a closed one. */
static void people(struct fleet_sim *s, double dt_s)
{
    struct fleet_home *h = &s->is.home;
    h->presence_left_s -= dt_s;
    h->door_left_s -= dt_s;
    if (h->presence_left_s <= 0) {
        h->present = !h->present;
        h->presence_left_s = fleet_random_between(&s->random, 120, 420);
        h->door_left_s = 8;
        h->light = h->present ? h->light : 0;
    }
    h->door = h->door_left_s > 0;
}

static void heat(struct fleet_sim *s, double dt_s, bool window)
{
    struct fleet_home *h = &s->is.home;
    double loss = LOSS_W_PER_K + (window ? OPEN_W_PER_K : 0);
    double working = fleet_sim_severity(s, "heater failure") < 0.5 ? HEATER_W : 0;
    if (h->temperature < h->setpoint - HYSTERESIS_K) {
        h->heating = true;
    } else if (h->temperature > h->setpoint + HYSTERESIS_K) {
        h->heating = false;
    }
    double power = h->heating && h->heating_allowed ? working : 0;
    /* The exact solution over the step, so that a long step is as stable as a short one. */
    double goal = h->outside + (power + 120 * (h->present ? 1 : 0)) / loss;
    h->temperature = fleet_lag(h->temperature, goal, dt_s, CAPACITY / loss);
}

static bool step(struct fleet_sim *s, double dt_s, double *ret_values)
{
    struct fleet_home *h = &s->is.home;
    bool window = fleet_sim_severity(s, "window left open") > 0;
    h->heating_allowed = h->heating_allowed || s->repaired;
    double hour = fleet_sim_hour(s);
    h->outside = 4 + 3.5 * sin((hour - 9) * M_PI / 12);
    people(s, dt_s);
    heat(s, dt_s, window);
    double working = fleet_sim_severity(s, "heater failure") < 0.5 ? HEATER_W : 0;
    double day = fmax(0, sin((hour - 6) * M_PI / 12));
    ret_values[TEMPERATURE] = fleet_random_normal(&s->random, h->temperature, 0.03);
    ret_values[SETPOINT] = h->setpoint;
    ret_values[HEATING] = h->heating && h->heating_allowed ? working : 0;
    ret_values[OUTSIDE] = fleet_random_normal(&s->random, h->outside, 0.1);
    ret_values[WINDOW] = window ? 1 : 0;
    ret_values[DOOR] = h->door ? 1 : 0;
    ret_values[PRESENCE] = h->present ? 1 : 0;
    ret_values[ILLUMINANCE] = fmax(0, fleet_random_normal(&s->random, 900 * day + 4 * h->light, 5));
    ret_values[LIGHT] = h->light;
    return true;
}

static bool command(struct fleet_sim *s, struct view method, struct view params,
                    struct emit_json *answer)
{
    struct fleet_home *h = &s->is.home;
    double x = 0;
    bool on = false;
    if (view_eq_str(method, "set_temperature") && fleet_params_number(params, "value", &x) &&
        x >= 5 && x <= 30) {
        h->setpoint = round(x * 2) / 2; /* half degrees, as thermostats have them */
        h->heating_allowed = true;
        emit_json_key(answer, "setpoint");
        emit_json_real(answer, h->setpoint);
    } else if (view_eq_str(method, "set_heating") && fleet_params_bool(params, "on", &on)) {
        h->heating_allowed = on;
        emit_json_key(answer, "heating");
        emit_json_bool(answer, on);
    } else if (view_eq_str(method, "set_light") && fleet_params_number(params, "level", &x) &&
               x >= 0 && x <= 100) {
        h->light = x;
        emit_json_key(answer, "level");
        emit_json_real(answer, x);
    } else if (view_eq_str(method, "lock") || view_eq_str(method, "unlock")) {
        h->locked = view_eq_str(method, "lock");
        emit_json_key(answer, "locked");
        emit_json_bool(answer, h->locked);
    } else {
        return false;
    }
    return true;
}

static void labels(const struct fleet_sim *s, struct emit_json *j)
{
    emit_json_key(j, "street");
    emit_json_str(j, s->index % 2 == 0 ? "garden" : "mill");
    emit_json_key(j, "room");
    emit_json_str(j, "living");
}

static void attributes(const struct fleet_sim *s, struct emit_json *j)
{
    (void)s;
    emit_json_key(j, "heater_power");
    emit_json_int(j, (int64_t)HEATER_W);
}

const struct fleet_scenario fleet_scenario_home = {
    .name = "home",
    .words =
        "homes: thermostat and heating, window, door, presence, light; the heating obeys commands",
    .type = "home",
    .device_name = "home-%03u",
    .devices_default = 4,
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
