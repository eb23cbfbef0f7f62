#include <math.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/params.h"
#include "fleet/scenarios.h"

static const struct fleet_scenario *const scenarios[] = {
    &fleet_scenario_pumps, &fleet_scenario_meters, &fleet_scenario_vehicles,
    &fleet_scenario_trackers, &fleet_scenario_home};

const struct fleet_scenario *fleet_scenario_at(uint32_t i)
{
    return i < COUNT_OF(scenarios) ? scenarios[i] : NULL;
}

const struct fleet_scenario *fleet_scenario_find(const char *name)
{
    for (uint32_t i = 0; i < COUNT_OF(scenarios); i++) {
        if (strcmp(scenarios[i]->name, name) == 0) {
            return scenarios[i];
        }
    }
    return NULL;
}

double fleet_lag(double x, double goal, double dt_s, double tau_s)
{
    return goal + (x - goal) * exp(-dt_s / tau_s);
}

double fleet_clamp(double x, double min, double max)
{
    return x < min ? min : x > max ? max : x;
}

void fleet_ring(struct fleet_point centre, double length_km, double at_km,
                struct fleet_point *ret_point, double *ret_heading_deg)
{
    const double km_per_degree = 111.32;
    double radius_km = length_km / (2 * M_PI);
    double angle = 2 * M_PI * fmod(at_km, length_km) / length_km;
    double shrink = cos(centre.latitude * M_PI /
                        180); /* a degree of longitude is shorter away from the equator */
    *ret_point =
        (struct fleet_point){centre.latitude + radius_km * sin(angle) / km_per_degree,
                             centre.longitude + radius_km * cos(angle) / (km_per_degree * shrink)};
    *ret_heading_deg = fmod(360 - angle * 180 / M_PI, 360); /* counter-clockwise from the east */
}

/* In a small fleet every second device fails, so that a demo shows each fault; in a large one every
 * twentieth. */
static int fault_of(const struct fleet_scenario *scenario, uint32_t index)
{
    uint32_t count = 0;
    while (scenario->faults[count] != NULL) {
        count++;
    }
    if (count == 0 || index == 0) {
        return FLEET_NO_FAULT;
    }
    if (index < 2 * count) {
        return index % 2 == 1 ? (int)(index / 2) : FLEET_NO_FAULT;
    }
    return index % 20 == 0 ? (int)(index / 20 % count) : FLEET_NO_FAULT;
}

void fleet_sim_init(struct fleet_sim *s, const struct fleet_scenario *scenario, uint32_t index,
                    uint64_t seed, int64_t start_us, int64_t cycle_us)
{
    *s = (struct fleet_sim){.scenario = scenario,
                            .index = index,
                            .start_us = start_us,
                            .now_us = start_us,
                            .cycle_us = cycle_us,
                            .fault = fault_of(scenario, index)};
    fleet_random_init(&s->random, fleet_random_mix(seed, index));
    scenario->init(s);
}

/* Healthy for 40 % of a cycle, growing for 20 %, full for 35 %, then repaired. */
static double severity_at(const struct fleet_sim *s)
{
    if (s->fault == FLEET_NO_FAULT || s->cycle_us <= 0) {
        return 0;
    }
    double u = (double)((s->now_us - s->start_us) % s->cycle_us) / (double)s->cycle_us;
    if (u < 0.40 || u >= 0.95) {
        return 0;
    }
    return u < 0.60 ? (u - 0.40) / 0.20 : 1;
}

bool fleet_sim_step(struct fleet_sim *s, int64_t now_us, double *ret_values)
{
    double dt_s = fleet_clamp((double)(now_us - s->now_us) / 1e6, 0, 3600);
    double before = s->severity;
    s->now_us = now_us;
    s->severity = severity_at(s);
    s->repaired = before > 0 && s->severity <= 0;
    bool says = s->scenario->step(s, dt_s, ret_values);
    for (uint32_t i = 0; i < s->scenario->metric_count; i++) {
        const struct fleet_metric *m = &s->scenario->metrics[i];
        if (!isnan(ret_values[i])) {
            ret_values[i] = fleet_clamp(ret_values[i], m->min, m->max);
        }
    }
    return says;
}

bool fleet_sim_has(const struct fleet_sim *s, const char *fault)
{
    return s->fault != FLEET_NO_FAULT && strcmp(s->scenario->faults[s->fault], fault) == 0;
}

double fleet_sim_severity(const struct fleet_sim *s, const char *fault)
{
    return fleet_sim_has(s, fault) ? s->severity : 0;
}

double fleet_sim_hour(const struct fleet_sim *s)
{
    return (double)(s->now_us % CLOCK_DAY_US) / (double)CLOCK_HOUR_US;
}

void fleet_sim_name(const struct fleet_sim *s, char *ret_name, size_t size)
{
    /* The table's pattern has one %03u: split there, so that the compiler sees the format. */
    const char *mark = strchr(s->scenario->device_name, '%');
    CHECK(mark != NULL);
    (void)snprintf(ret_name, size, "%.*s%03u", (int)(mark - s->scenario->device_name),
                   s->scenario->device_name, s->index + 1);
}

void fleet_sim_command(struct fleet_sim *s, struct view request, struct buf *answer)
{
    struct view method;
    struct view params = VIEW("{}");
    struct emit_json j = emit_json_init(answer);
    if (!fleet_params_text(request, "method", &method)) {
        buf_put_str(answer, "{\"rejected\":\"the request has no method\"}");
        return;
    }
    struct view given;
    if (fleet_params_find(request, "params", &given)) {
        params = given;
    }
    emit_json_open(&j, '{');
    if (!s->scenario->command(s, method, params, &j)) {
        emit_json_key(&j, "rejected");
        emit_json_str(&j, "unknown method, or a parameter is missing or out of range");
    }
    emit_json_close(&j, '}');
}

void fleet_sim_payload(const struct fleet_sim *s, const double *values, struct buf *out)
{
    uint32_t written = 0;
    size_t start = out->len;
    buf_printf(out, "{\"ts\":%lld,\"values\":{", (long long)(s->now_us / CLOCK_MS_US));
    for (uint32_t i = 0; i < s->scenario->metric_count; i++) {
        const struct fleet_metric *m = &s->scenario->metrics[i];
        if (!isnan(values[i])) {
            buf_printf(out, "%s\"%s\":%.*f", written++ == 0 ? "" : ",", m->name, m->decimals,
                       values[i]);
        }
    }
    buf_put_str(out, "}}");
    if (written == 0) {
        out->len = start;
    }
}
