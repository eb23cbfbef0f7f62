/*
 * geo: fences in rules: inside("yard") and distance_to("yard").
 *
 * A position is a latitude and a longitude of the same instant. With each new one every fence that
 * the device's rules name is asked once, however many rules name it; what it said is part of the
 * state, because who is inside leaves by another edge. So an answer is a fold over the sorted
 * positions, like all else. Other fences cost nothing: the engine does not know them.
 */
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "geo/fence.h"
#include "rules/expr.h"
#include "rules/inside.h"

/* ---- compiling ------------------------------------------------------------------------------ */

enum err rule_fence_add(const struct rule_ref *ref, const struct rule_scope *scope,
                        struct intern *metrics, struct rule_inputs *in, uint16_t *ret_index)
{
    /* The position is an input of its own: it drives the rule, and an alert shows it. */
    const struct rule_ref latitude = {.kind = RULE_INPUT_METRIC, .name = VIEW(RULE_LATITUDE)};
    const struct rule_ref longitude = {.kind = RULE_INPUT_METRIC, .name = VIEW(RULE_LONGITUDE)};
    uint16_t at[2] = {0};
    const struct rule_env *env = scope->env;
    struct rule_ref fence = *ref;
    fence.fence =
        env == NULL || env->find_fence == NULL ? NULL : env->find_fence(env->arg, ref->name);
    if (fence.fence == NULL) {
        return ERR_UNKNOWN_NAME;
    }
    enum err e = rule_inputs_add(in, &latitude, metrics, &at[0]);
    if (e == ERR_OK) {
        e = rule_inputs_add(in, &longitude, metrics, &at[1]);
    }
    if (e == ERR_OK) {
        e = rule_inputs_add(in, &fence, metrics, ret_index);
    }
    if (e == ERR_OK) {
        in->items[*ret_index].latitude = in->items[at[0]].metric;
        in->items[*ret_index].longitude = in->items[at[1]].metric;
    }
    fence_drop(fence.fence);
    return e;
}

const struct fence *rule_fence(const struct rule *r, uint32_t at)
{
    const struct rule_inputs *in = &r->inputs;
    for (uint32_t i = 0; i < in->count; i++) {
        bool known = in->items[i].fence == NULL;
        for (uint32_t k = 0; k < i && !known; k++) {
            known = in->items[k].fence == in->items[i].fence;
        }
        if (!known && at-- == 0) {
            return in->items[i].fence;
        }
    }
    return NULL;
}

/* ---- binding -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    int32_t x = fence_id(*(const struct fence *const *)a);
    int32_t y = fence_id(*(const struct fence *const *)b);
    return (x > y) - (x < y);
}

/* All that the rules name, some of them several times. */
static uint32_t gather_fences(struct engine *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        const struct rule_inputs *in = &e->machines[i].rule->inputs;
        for (uint32_t k = 0; k < in->count; k++) {
            if (in->items[k].fence == NULL) {
                continue;
            }
            e->fences[n++] = in->items[k].fence;
            CHECK(engine_find_slot(e, in->items[k].latitude, &e->latitude));
            CHECK(engine_find_slot(e, in->items[k].longitude, &e->longitude));
        }
    }
    return n;
}

enum err engine_fences_bind(struct engine *e)
{
    size_t most = 1;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        most += e->machines[i].rule->inputs.count;
    }
    e->fences = calloc(most, sizeof(const struct fence *));
    if (e->fences == NULL) {
        return ERR_NOMEM;
    }
    uint32_t n = gather_fences(e);
    qsort(e->fences, n, sizeof(const struct fence *), by_id);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || fence_id(e->fences[i - 1]) != fence_id(e->fences[i])) {
            e->fences[e->fence_count++] = e->fences[i];
        }
    }
    return ERR_OK;
}

uint32_t engine_fence_find(const struct engine *e, int32_t id)
{
    uint32_t low = 0;
    uint32_t high = e->fence_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (fence_id(e->fences[mid]) < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < e->fence_count && fence_id(e->fences[low]) == id ? low : e->fence_count;
}

/* ---- the fold ------------------------------------------------------------------------------- */

void engine_place_step(struct engine *e, int64_t t_us)
{
    if (e->fence_count == 0) {
        return;
    }
    struct engine_state *now = e->now;
    const struct engine_slot_state *latitude = &now->slots[e->latitude];
    const struct engine_slot_state *longitude = &now->slots[e->longitude];
    if (latitude->last_us != t_us || longitude->last_us != t_us || now->place.us == t_us) {
        return;
    }
    struct geo_point p = {.longitude = longitude->last, .latitude = latitude->last};
    if (!geo_point_valid(p)) {
        return;
    }
    now->place =
        (struct engine_place_state){.us = t_us, .latitude = p.latitude, .longitude = p.longitude};
    for (uint32_t i = 0; i < e->fence_count; i++) {
        struct engine_fence_state *s = &now->fences[i];
        s->inside = fence_inside(e->fences[i], p, s->inside != 0) ? 1 : 0;
    }
}

double engine_fence_value(const struct engine *e, const struct engine_input *in, int64_t t_us)
{
    const struct engine_place_state *place = &e->now->place;
    bool known = place->us != CLOCK_NONE && t_us - place->us <= RULE_LOOKBACK_US;
    if (in->kind == RULE_INPUT_INSIDE) {
        return known && e->now->fences[in->fence].inside != 0 ? 1.0 : 0.0;
    }
    struct geo_point p = {.longitude = place->longitude, .latitude = place->latitude};
    return known ? fence_distance_m(e->fences[in->fence], p) : (double)NAN;
}
