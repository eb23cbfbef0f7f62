#include "geo/point.h"

#include <math.h>

#include "geo/shape.h"

bool geo_point_valid(struct geo_point p)
{
    return fabs(p.latitude) <= 90 && fabs(p.longitude) <= 180; /* false for NaN */
}

double geo_distance_m(struct geo_point a, struct geo_point b)
{
    double across = sin(GEO_RADIANS(b.latitude - a.latitude) / 2);
    double along = sin(GEO_RADIANS(b.longitude - a.longitude) / 2);
    double h = across * across +
               cos(GEO_RADIANS(a.latitude)) * cos(GEO_RADIANS(b.latitude)) * along * along;
    return 2 * GEO_EARTH_RADIUS_M * asin(sqrt(h < 1 ? h : 1)); /* rounding may pass 1 */
}

double geo_wrap(double longitude, double about)
{
    double off = longitude - about;
    return fabs(off) <= 180 ? longitude : longitude - 360 * round(off / 360);
}

/* From p to the meridian `degrees` of longitude away, at whatever latitude: beyond a quarter turn
 * the way leads over the pole. */
static double meridian_m(double latitude, double degrees)
{
    if (degrees >= 90) {
        return GEO_EARTH_RADIUS_M * GEO_RADIANS(90 - fabs(latitude));
    }
    return GEO_EARTH_RADIUS_M * asin(cos(GEO_RADIANS(latitude)) * sin(GEO_RADIANS(degrees)));
}

bool geo_box_beyond(const struct fence_box *box, struct geo_point p, double reach_m)
{
    double most_m = reach_m * (1 + 1e-9); /* rounding must not reject what is just within reach */
    double past = p.latitude > box->north ? p.latitude - box->north : box->south - p.latitude;
    if (past > 0 && GEO_EARTH_RADIUS_M * GEO_RADIANS(past) > most_m) {
        return true;
    }
    double middle = (box->west + box->east) / 2;
    double beside = fabs(geo_wrap(p.longitude, middle) - middle) - (box->east - box->west) / 2;
    return beside > 0 && meridian_m(p.latitude, beside) > most_m;
}
