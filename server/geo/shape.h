/*
 * shape: the positions of a fence, for this module.
 *
 * Longitudes run on without a jump: what crosses the antimeridian goes beyond 180. So a position is
 * brought near the shape (geo_wrap()) before it is compared.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "geo/fence.h"

#define GEO_RADIANS(degrees) ((degrees) * (3.14159265358979323846 / 180.0))

enum fence_kind { FENCE_CIRCLE, FENCE_POLYGON, FENCE_CORRIDOR };

struct fence_box {
    double west, south, east, north;
};

/* The positions of all rings, or of the line, or the center. */
struct fence_shape {
    enum fence_kind kind;
    double enter_m, exit_m;
    struct geo_point *points;
    uint32_t point_count;
    uint32_t ring_ends[FENCE_RINGS_MAX]; /* after the last point of each ring */
    uint32_t ring_count;
    struct fence_box box;
};

/* document.c. The caller frees ret_shape->points and *ret_name. */
NODISCARD enum err fence_document_read(struct view json, struct fence_shape *ret_shape,
                                       char **ret_name, struct fence_error *error);
__attribute__((format(printf, 4, 5))) enum err
fence_fail(struct fence_error *error, enum err code, const char *pointer, const char *format, ...);

/* point.c: the longitude that is `longitude` by whole turns and nearest to `about`; the very same
 * number when that lies within half a turn. */
double geo_wrap(double longitude, double about);
/* True: every point of the box is farther from p than `reach_m`. False says nothing. */
bool geo_box_beyond(const struct fence_box *box, struct geo_point p, double reach_m);

/* nearest.c: from p to the lines between the points [first, end). */
double geo_lines_distance_m(const struct geo_point *points, uint32_t first, uint32_t end,
                            struct geo_point p);

/* area.c: the rings of a polygon, prepared for many questions. */
struct fence_area;
/* ERR_RANGE: the rings make no area, as the words say; ERR_NOMEM. */
NODISCARD enum err fence_area_new(const struct fence_shape *s, struct fence_area **ret_area,
                                  struct fence_error *error);
void fence_area_free(struct fence_area *a);
/* The edges belong to it, those of its holes too. ERR_NOMEM. */
NODISCARD enum err fence_area_covers(struct fence_area *a, double longitude, double latitude,
                                     bool *ret_covers);
