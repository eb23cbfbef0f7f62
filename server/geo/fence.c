#include "geo/fence.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "geo/shape.h"

struct fence {
    atomic_int holds;
    int32_t id;
    char *name;
    struct fence_shape shape;
    struct fence_area *area; /* of a polygon */
};

static void fence_free(struct fence *f)
{
    fence_area_free(f->area);
    free(f->shape.points);
    free(f->name);
    free(f);
}

enum err fence_new(int32_t id, struct view json, struct fence **ret_fence,
                   struct fence_error *ret_error)
{
    struct fence *f = calloc(1, sizeof(*f));
    struct fence_error error = {.pointer = ""};
    if (f == NULL) {
        return ERR_NOMEM;
    }
    atomic_init(&f->holds, 1);
    f->id = id;
    enum err e = fence_document_read(json, &f->shape, &f->name, &error);
    if (e == ERR_OK && f->shape.kind == FENCE_POLYGON) {
        e = fence_area_new(&f->shape, &f->area, &error);
    }
    if (e != ERR_OK) {
        fence_free(f);
        *ret_error = error;
        return e;
    }
    *ret_fence = f;
    return ERR_OK;
}

void fence_hold(struct fence *f)
{
    CHECK(atomic_fetch_add_explicit(&f->holds, 1, memory_order_relaxed) > 0);
}

void fence_drop(struct fence *f)
{
    if (f != NULL && atomic_fetch_sub_explicit(&f->holds, 1, memory_order_acq_rel) == 1) {
        fence_free(f);
    }
}

int32_t fence_id(const struct fence *f)
{
    return f->id;
}

const char *fence_name(const struct fence *f)
{
    return f->name;
}

static enum err covers(const struct fence *f, struct geo_point p, bool *ret_covers)
{
    const struct fence_box *box = &f->shape.box;
    double longitude = geo_wrap(p.longitude, (box->west + box->east) / 2);
    if (longitude < box->west || longitude > box->east || p.latitude < box->south ||
        p.latitude > box->north) {
        *ret_covers = false;
        return ERR_OK;
    }
    return fence_area_covers(f->area, longitude, p.latitude, ret_covers);
}

/* From p to the core, when it lies outside of it. */
static double core_distance_m(const struct fence_shape *s, struct geo_point p)
{
    if (s->kind == FENCE_CIRCLE) {
        return geo_distance_m(s->points[0], p);
    }
    double least = (double)INFINITY;
    uint32_t first = 0;
    for (uint32_t i = 0; i < s->ring_count; i++) {
        least = fmin(least, geo_lines_distance_m(s->points, first, s->ring_ends[i], p));
        first = s->ring_ends[i];
    }
    return least;
}

bool fence_inside(const struct fence *f, struct geo_point p, bool was_inside)
{
    const struct fence_shape *s = &f->shape;
    double reach_m = was_inside ? s->exit_m : s->enter_m;
    if (s->kind == FENCE_POLYGON) {
        bool covered = was_inside;
        if (covers(f, p, &covered) != ERR_OK || covered || reach_m == 0) {
            return covered;
        }
    }
    return !geo_box_beyond(&s->box, p, reach_m) && core_distance_m(s, p) <= reach_m;
}

double fence_distance_m(const struct fence *f, struct geo_point p)
{
    bool covered = false;
    if (f->shape.kind == FENCE_POLYGON && covers(f, p, &covered) == ERR_OK && covered) {
        return 0;
    }
    double past_m = core_distance_m(&f->shape, p) - f->shape.enter_m;
    return past_m > 0 ? past_m : 0;
}
