/*
 * fence: an area on the map, and whether a position lies in it.
 *
 * One model for all kinds: a core (a point, an area or a line) and two distances from it. Who was
 * outside comes in at a distance of at most `enter`; who was inside leaves when farther away than
 * `exit`. So every edge belongs to the fence.
 *
 *     kind      core               enter        exit
 *     circle    its center         radius_m     exit_radius_m
 *     polygon   the area           0            exit_margin_m
 *     corridor  the line           width_m / 2  exit_width_m / 2
 *
 * Ownership: counted. Threads: any; nothing changes after fence_new().
 * Standards: RFC 7946 (positions are [longitude, latitude], rings are closed, edges are straight in
 *            these coordinates). Two neighbouring positions are joined the short way round, so a
 *            ring or line may cross the antimeridian; a ring may not go round a pole.
 * Errors:    ERR_SYNTAX, ERR_TYPE, ERR_RANGE, ERR_LIMIT, ERR_UNKNOWN_NAME with pointer and words;
 *            ERR_NOMEM.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"
#include "geo/point.h"

enum { FENCE_BYTES_MAX = 128 * 1024, FENCE_POSITIONS_MAX = 1000, FENCE_RINGS_MAX = 100 };

struct fence;

struct fence_error {
    char pointer[96]; /* "/coordinates/0/3" */
    char detail[240];
};

/* json: the document as server/geo/README.md has it. */
NODISCARD enum err fence_new(int32_t id, struct view json, struct fence **ret_fence,
                             struct fence_error *ret_error);
void fence_hold(struct fence *f);
void fence_drop(struct fence *f); /* NULL is fine */

int32_t fence_id(const struct fence *f);
const char *fence_name(const struct fence *f);

/* p must be valid. was_inside: what the answer was for the position before; false at first. Out of
 * memory it stays what it was. */
bool fence_inside(const struct fence *f, struct geo_point p, bool was_inside);
/* To the edge that one enters by; 0 inside. To polygons and lines the nearest point is sought in
 * the plane at p, see server/geo/README.md. */
double fence_distance_m(const struct fence *f, struct geo_point p);
