/*
 * scenario: what a kind of simulated device measures, how it fails, what it obeys. Pure: time and
 * seed go in.
 *
 * A device's state is a struct fleet_sim; a step moves it on by dt and gives one value for each
 * metric of the table, NaN for none. The same seed, index and steps give the same values.
 *
 * Faults: some devices of a fleet have one named fault that comes and goes in cycles: healthy, then
 * `severity` grows from 0 to 1, stays, and is repaired. Device 0 never has one. Ownership: caller's
 * storage. Threads: any, one at a time for each sim. Limits:    every value lies within the
 * metric's min and max; a step is at most an hour.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/emit_json.h"
#include "base/view.h"
#include "fleet/random.h"

enum { FLEET_METRICS_MAX = 12, FLEET_NO_FAULT = -1 };

struct fleet_metric {
    const char *name;
    const char *unit;
    double min, max;
    int decimals;
    int baseline_samples; /* 0: none */
};

struct fleet_sim;

struct fleet_scenario {
    const char *name;
    const char *words;
    const char *type;        /* device type */
    const char *device_name; /* with %03u for the number from 1 */
    uint32_t devices_default;
    int64_t interval_us;
    const struct fleet_metric *metrics;
    uint32_t metric_count;
    const char *const *faults;   /* end with NULL */
    const char *const *commands; /* end with NULL */
    const char *const *rules;    /* JSON documents; end with NULL */
    void (*init)(struct fleet_sim *s);
    /* False: the device says nothing this time. */
    bool (*step)(struct fleet_sim *s, double dt_s, double *ret_values);
    /* Writes the members of the answer. False: no such method or a bad parameter. */
    bool (*command)(struct fleet_sim *s, struct view method, struct view params,
                    struct emit_json *answer);
    const char *const *label_keys;     /* end with NULL; `labels` writes a text for each of them */
    const char *const *attribute_keys; /* the same for `attributes`, numbers */
    void (*labels)(const struct fleet_sim *s, struct emit_json *j);
    void (*attributes)(const struct fleet_sim *s, struct emit_json *j);
};

struct fleet_pump {
    double speed, target, running_speed;
    double bearing_temperature, fluid_temperature;
};
struct fleet_meter {
    double register_kwh, size, daylight_shift;
    bool connected;
};
struct fleet_vehicle {
    double at_km, speed, odometer_km, coolant, fuel, free_flow;
    bool bypass;
};
struct fleet_tracker {
    double at_km, speed, temperature, humidity, battery;
};
struct fleet_home {
    double temperature, setpoint, outside, light;
    double door_left_s, presence_left_s;
    bool heating, heating_allowed, door, present, locked;
};

struct fleet_sim {
    const struct fleet_scenario *scenario;
    uint32_t index;
    struct fleet_random random;
    int64_t start_us, now_us;
    int64_t cycle_us; /* of the fault */
    int fault;        /* index into scenario->faults, or FLEET_NO_FAULT */
    double severity;  /* 0 to 1 */
    bool repaired;    /* in this step */
    union {
        struct fleet_pump pump;
        struct fleet_meter meter;
        struct fleet_vehicle vehicle;
        struct fleet_tracker tracker;
        struct fleet_home home;
    } is;
};

const struct fleet_scenario *fleet_scenario_find(const char *name); /* NULL: unknown */
const struct fleet_scenario *fleet_scenario_at(uint32_t i);         /* NULL: no more */

void fleet_sim_init(struct fleet_sim *s, const struct fleet_scenario *scenario, uint32_t index,
                    uint64_t seed, int64_t start_us, int64_t cycle_us);
/* Moves on to now_us. False: nothing to report. ret_values: scenario->metric_count. */
bool fleet_sim_step(struct fleet_sim *s, int64_t now_us, double *ret_values);
/* {"method":…,"params":…} in, one JSON object out. */
void fleet_sim_command(struct fleet_sim *s, struct view request, struct buf *answer);
/* {"ts":ms,"values":{…}}; nothing when all values are NaN. */
void fleet_sim_payload(const struct fleet_sim *s, const double *values, struct buf *out);
void fleet_sim_name(const struct fleet_sim *s, char *ret_name, size_t size);
/* Whether the device has this fault, whatever its severity. */
bool fleet_sim_has(const struct fleet_sim *s, const char *fault);
double fleet_sim_severity(const struct fleet_sim *s, const char *fault); /* 0 when it has not */
double fleet_sim_hour(const struct fleet_sim *s); /* of the day, UTC, 0 to 24 */
