/*
 * scenarios: the table's rows, one file each.
 */
#pragma once

#include "fleet/scenario.h"

extern const struct fleet_scenario fleet_scenario_pumps;
extern const struct fleet_scenario fleet_scenario_meters;
extern const struct fleet_scenario fleet_scenario_vehicles;
extern const struct fleet_scenario fleet_scenario_trackers;
extern const struct fleet_scenario fleet_scenario_home;

/* Moves x towards a goal as a first-order lag with time constant tau. */
double fleet_lag(double x, double goal, double dt_s, double tau_s);
double fleet_clamp(double x, double min, double max);

struct fleet_point {
    double latitude, longitude;
};
/* A point on a closed way and the heading there in degrees; the way is a ring of about `length_km`
 * around a centre. */
void fleet_ring(struct fleet_point centre, double length_km, double at_km,
                struct fleet_point *ret_point, double *ret_heading_deg);
