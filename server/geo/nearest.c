/*
 * nearest: the distance from a position to lines.
 *
 * Degrees around the position are taken for a plane, with longitudes shortened by the cosine of its
 * latitude. In it the nearest point of each line is found; the distance to the nearest of all is
 * then that of the great circle. So what is near is exact, and what is far is a little too far: the
 * point found is one of the line, but not quite the nearest.
 */
#include <math.h>

#include "geo/shape.h"

struct plane {
    struct geo_point p;
    double shrink; /* of longitudes */
    double best;   /* square of the shortest distance so far, in degrees of latitude */
    struct geo_point nearest;
};

static void look_at(struct plane *in, struct geo_point a, struct geo_point b)
{
    double ax = (geo_wrap(a.longitude, in->p.longitude) - in->p.longitude) * in->shrink;
    double ay = a.latitude - in->p.latitude;
    double dx = (b.longitude - a.longitude) * in->shrink;
    double dy = b.latitude - a.latitude;
    double length = dx * dx + dy * dy;
    double part = length > 0 ? -(ax * dx + ay * dy) / length : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    double x = ax + part * dx;
    double y = ay + part * dy;
    if (x * x + y * y < in->best) {
        in->best = x * x + y * y;
        in->nearest =
            (struct geo_point){.longitude = a.longitude + part * (b.longitude - a.longitude),
                               .latitude = a.latitude + part * dy};
    }
}

double geo_lines_distance_m(const struct geo_point *points, uint32_t first, uint32_t end,
                            struct geo_point p)
{
    struct plane in = {.p = p, .shrink = cos(GEO_RADIANS(p.latitude)), .best = (double)INFINITY};
    for (uint32_t i = first; i + 1 < end; i++) {
        look_at(&in, points[i], points[i + 1]);
    }
    return geo_distance_m(p, in.nearest);
}
