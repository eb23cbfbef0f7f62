/*
 * Electricity meters of homes: a daily load profile with a morning and an evening peak, a register
 * that counts kWh and rolls over at 100000 like a five-digit counter, and a supply voltage that
 * sags a little under load.
 */
#include <math.h>

#include "fleet/scenarios.h"

#define REGISTER_MODULUS 100000.0
#define FUSE_W           9200.0 /* 40 A at 230 V */

enum { REGISTER, POWER, VOLTAGE, CURRENT, FREQUENCY, METRICS };

static const struct fleet_metric metrics[METRICS] = {
    [REGISTER] = {"register", "kWh", 0, REGISTER_MODULUS, 3, 0},
    [POWER] = {"power", "W", 0, FUSE_W, 1, 0},
    [VOLTAGE] = {"voltage", "V", 0, 260, 1, 0},
    [CURRENT] = {"current", "A", 0, 45, 3, 0},
    [FREQUENCY] = {"frequency", "Hz", 0, 51, 2, 0},
};

static const char *const faults[] = {"outage", "overload", NULL};
static const char *const commands[] = {"connect", "disconnect", "read", NULL};
static const char *const label_keys[] = {"feeder", "tariff", NULL};
static const char *const attribute_keys[] = {"contract_power", NULL};
static const char *const rules[] = {
    "{\"name\":\"meter-outage\",\"select\":\"type=meter\",\"when\":\"voltage < "
    "100\",\"for\":\"10s\",\"clear\":"
    "\"voltage > 200\",\"severity\":\"major\",\"summary\":\"{{device}} has no supply: {{voltage}} "
    "V\",\"actions\":[{\"work_order\":{\"title\":\"Check the service fuse\"}}]}",
    "{\"name\":\"meter-overload\",\"select\":\"type=meter\",\"when\":\"avg_over_time(power[30s]) > "
    "attr(\\\"contract_power\\\")\",\"for\":\"20s\",\"clear\":\"avg_over_time(power[30s]) < 0.9 * "
    "attr(\\\"contract_power\\\")\",\"severity\":\"warning\",\"summary\":\"{{device}} draws "
    "{{power}} W, contracted "
    "are {{attr.contract_power}} W\"}",
    NULL};

static void init(struct fleet_sim *s)
{
    struct fleet_meter *m = &s->is.meter;
    m->size = fleet_random_between(&s->random, 0.6, 1.5);
    m->daylight_shift = fleet_random_between(&s->random, -0.7, 0.7);
    m->connected = true;
    /* Every fourth meter is about to roll over. */
    m->register_kwh = s->index % 4 == 3
                          ? REGISTER_MODULUS - fleet_random_between(&s->random, 0.001, 0.02)
                          : fleet_random_between(&s->random, 1000, 90000);
    m->register_kwh = floor(m->register_kwh * 1000) / 1000;
}

static double bump(double hour, double at, double width)
{
    double d = fabs(hour - at);
    d = d > 12 ? 24 - d : d;
    return exp(-d * d / (2 * width * width));
}

static bool step(struct fleet_sim *s, double dt_s, double *ret_values)
{
    struct fleet_meter *m = &s->is.meter;
    double hour = fleet_sim_hour(s) - m->daylight_shift;
    double profile = 180 + 900 * bump(hour, 7.3, 1.0) + 1600 * bump(hour, 19.0, 1.9) +
                     300 * bump(hour, 12.5, 1.2);
    double load = fleet_random_normal(&s->random, profile * m->size, profile * m->size * 0.06);
    /* An oven, an electric shower and a car on top of it. */
    load += 6500 * fleet_sim_severity(s, "overload");
    /* Protection opens within a step: there is no half outage. */
    bool supplied = fleet_sim_severity(s, "outage") < 0.5;
    double power = m->connected && supplied ? fleet_clamp(load, 20, FUSE_W) : 0;
    double voltage = supplied ? fleet_random_normal(&s->random, 232 - power * 0.0006, 0.8) : 0;
    m->register_kwh = fmod(m->register_kwh + power * dt_s / 3.6e6, REGISTER_MODULUS);
    double shown = floor(m->register_kwh * 1000) / 1000;
    ret_values[REGISTER] = shown;
    ret_values[POWER] = power;
    ret_values[VOLTAGE] = voltage;
    ret_values[CURRENT] = voltage > 1 ? power / voltage : 0;
    ret_values[FREQUENCY] = supplied ? fleet_random_normal(&s->random, 50, 0.012) : (double)NAN;
    return true;
}

static bool command(struct fleet_sim *s, struct view method, struct view params,
                    struct emit_json *answer)
{
    (void)params;
    struct fleet_meter *m = &s->is.meter;
    if (view_eq_str(method, "connect") || view_eq_str(method, "disconnect")) {
        m->connected = view_eq_str(method, "connect");
    } else if (!view_eq_str(method, "read")) {
        return false;
    }
    emit_json_key(answer, "connected");
    emit_json_bool(answer, m->connected);
    emit_json_key(answer, "register");
    emit_json_real(answer, floor(m->register_kwh * 1000) / 1000);
    return true;
}

static void labels(const struct fleet_sim *s, struct emit_json *j)
{
    emit_json_key(j, "feeder");
    emit_json_str(j, s->index % 2 == 0 ? "feeder-a" : "feeder-b");
    emit_json_key(j, "tariff");
    emit_json_str(j, s->index % 3 == 0 ? "time-of-use" : "flat");
}

static void attributes(const struct fleet_sim *s, struct emit_json *j)
{
    (void)s;
    emit_json_key(j, "contract_power");
    emit_json_int(j, 5750);
}

const struct fleet_scenario fleet_scenario_meters = {
    .name = "meters",
    .words =
        "electricity meters: register with rollover, power by the time of day, voltage, outages",
    .type = "meter",
    .device_name = "meter-%03u",
    .devices_default = 8,
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
