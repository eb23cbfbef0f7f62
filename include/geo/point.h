/*
 * point: a position on the earth, and how far two of them are apart.
 *
 * The earth is a sphere here, of the mean radius of GRS 80 (Moritz 2000): distances are within 0.6
 * % of those on the ellipsoid. Pure; any thread.
 */
#pragma once

#include <stdbool.h>

#define GEO_EARTH_RADIUS_M 6371008.8

/* Degrees, WGS 84. */
struct geo_point {
    double longitude; /* -180 to 180; both ends are the same meridian */
    double latitude;  /* -90 to 90 */
};

/* What receivers send for "not available" (latitude 91, longitude 181) is none. */
bool geo_point_valid(struct geo_point p);
/* Along the great circle, by the haversine formula. */
double geo_distance_m(struct geo_point a, struct geo_point b);
