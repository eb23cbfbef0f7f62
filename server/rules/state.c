/*
 * state: the flat state of the fold and its snapshots.
 *
 * Event time is cut into cells a quarter of the lateness wide. When the first sample of a new cell
 * comes, the state is kept as it was: everything up to the newest sample before is in it. So the
 * snapshots depend on the sorted samples only, not on the order they came in. The base is the
 * newest one that no acceptable sample can precede; what lies before it is forgotten.
 */
#include <stdlib.h>

#include "base/check.h"
#include "rules/inside.h"

static size_t state_bytes(const struct engine *e)
{
    return e->slot_count * sizeof(struct engine_slot_state) +
           e->range_count * sizeof(struct engine_range_state) +
           e->machine_count * sizeof(struct engine_machine_state) +
           e->level_count * sizeof(struct engine_level_state) +
           e->memory_count * sizeof(struct engine_memory_state) +
           e->fence_count * sizeof(struct engine_fence_state);
}

struct engine_state *engine_state_new(const struct engine *e)
{
    struct engine_state *s = calloc(1, sizeof(*s) + state_bytes(e));
    if (s == NULL) {
        return NULL;
    }
    s->newest_us = CLOCK_NONE;
    s->timer_us = CLOCK_NONE;
    s->slots = (void *)(s + 1);
    s->ranges = (void *)(s->slots + e->slot_count);
    s->machines = (void *)(s->ranges + e->range_count);
    s->levels = (void *)(s->machines + e->machine_count);
    s->memories = (void *)(s->levels + e->level_count);
    s->fences = (void *)(s->memories + e->memory_count);
    s->place.us = CLOCK_NONE;
    for (uint32_t i = 0; i < e->slot_count; i++) {
        s->slots[i].last_us = CLOCK_NONE;
    }
    for (uint32_t i = 0; i < e->machine_count; i++) {
        s->machines[i] = (struct engine_machine_state){.prev_us = CLOCK_NONE,
                                                       .timer_us = CLOCK_NONE,
                                                       .since_us = CLOCK_NONE,
                                                       .fired_us = CLOCK_NONE,
                                                       .ended_us = CLOCK_NONE,
                                                       .degree = {.changed_us = CLOCK_NONE}};
    }
    for (uint32_t i = 0; i < e->level_count; i++) {
        s->levels[i] = (struct engine_level_state){.since_us = CLOCK_NONE, .clear_us = CLOCK_NONE};
    }
    for (uint32_t i = 0; i < e->memory_count; i++) {
        s->memories[i].prev_us = CLOCK_NONE;
        s->memories[i].since_us = CLOCK_NONE;
    }
    return s;
}

void engine_state_copy(const struct engine *e, struct engine_state *to,
                       const struct engine_state *from)
{
    to->newest_us = from->newest_us;
    to->timer_us = from->timer_us;
    to->place = from->place;
    size_t bytes = state_bytes(e);
    if (bytes > 0) {
        memcpy(to->slots, from->slots, bytes); /* the arrays are one block */
    }
}

static int64_t cell_of(const struct engine *e, int64_t ts_us)
{
    return ts_us < 0 ? -1 : ts_us / e->spacing_us;
}

/* The oldest goes; its memory moves behind those in use. */
static void drop_oldest(struct engine *e)
{
    struct engine_state *oldest = e->snapshots[0];
    for (uint32_t i = 0; i + 1 < ENGINE_SNAPSHOTS_MAX; i++) {
        e->snapshots[i] = e->snapshots[i + 1];
    }
    e->snapshots[ENGINE_SNAPSHOTS_MAX - 1] = oldest;
    e->snapshot_count--;
}

/* Room for one more at snapshots[snapshot_count]: memory of one that was dropped, or new. */
static bool snapshot_room(struct engine *e)
{
    uint32_t at = e->snapshot_count;
    for (uint32_t i = at; i < ENGINE_SNAPSHOTS_MAX; i++) {
        struct engine_state *spare = e->snapshots[i];
        if (spare != NULL) {
            e->snapshots[i] = e->snapshots[at];
            e->snapshots[at] = spare;
            return true;
        }
    }
    e->snapshots[at] = engine_state_new(e);
    return e->snapshots[at] != NULL;
}

static void snapshot_push(struct engine *e)
{
    if (e->snapshot_count == ENGINE_SNAPSHOTS_MAX) {
        drop_oldest(e);
    }
    if (!snapshot_room(e)) {
        e->failed = ERR_NOMEM;
        return;
    }
    engine_state_copy(e, e->snapshots[e->snapshot_count], e->now);
    e->snapshot_count++;
}

void engine_snapshot_before(struct engine *e, int64_t next_us)
{
    int64_t newest_us = e->now->newest_us;
    if (newest_us == CLOCK_NONE || cell_of(e, newest_us) == cell_of(e, next_us)) {
        return;
    }
    struct engine_state *last = e->snapshots[e->snapshot_count - 1];
    if (last->newest_us == newest_us) {
        return;
    }
    /* A late sample may have made the cell longer: its snapshot moves, unless it is the base. */
    if (e->snapshot_count > 1 && cell_of(e, last->newest_us) == cell_of(e, newest_us)) {
        engine_state_copy(e, last, e->now);
        return;
    }
    snapshot_push(e);
}

/* The oldest point of the slot that a window of the base, or a later one, can still ask for. */
static uint64_t oldest_needed(const struct engine *e, uint32_t slot)
{
    const struct engine_state *base = e->snapshots[0];
    const struct engine_series *s = &e->slots[slot].series;
    uint64_t most = base->slots[slot].end;
    for (uint32_t i = 0; i < e->range_count; i++) {
        const struct engine_range_state *r = &base->ranges[i];
        if (e->ranges[i].slot == slot && r->tail < r->end && r->tail < most) {
            most = r->tail;
        }
    }
    int64_t edge_us = base->newest_us - e->slots[slot].window_us;
    uint64_t n = s->first;
    while (n < most && engine_series_at(s, n).ts_us <= edge_us) {
        n++;
    }
    return n;
}

static void base_moved(struct engine *e)
{
    engine_history_drop(&e->history, e->snapshots[0]->newest_us);
    for (uint32_t i = 0; i < e->slot_count; i++) {
        if (e->slots[i].has_series) {
            engine_series_trim(&e->slots[i].series, oldest_needed(e, i));
        }
    }
    if (e->mode == ENGINE_LIVE) {
        engine_episodes_trim(e);
    }
}

void engine_base_advance(struct engine *e)
{
    bool moved = false;
    while (e->snapshot_count > 1 && e->snapshots[1]->newest_us < e->watermark_us - e->lateness_us) {
        drop_oldest(e);
        moved = true;
    }
    if (moved) {
        base_moved(e);
    }
}

void engine_base_force(struct engine *e)
{
    if (e->snapshot_count == 1) {
        snapshot_push(e);
    }
    if (e->snapshot_count > 1) {
        drop_oldest(e);
        base_moved(e);
    }
}

void engine_roll_back(struct engine *e, int64_t ts_us)
{
    while (e->snapshot_count > 1 && e->snapshots[e->snapshot_count - 1]->newest_us >= ts_us) {
        e->snapshot_count--;
    }
    const struct engine_state *s = e->snapshots[e->snapshot_count - 1];
    CHECK(s->newest_us < ts_us); /* an older sample is late and does not come this far */
    engine_state_copy(e, e->now, s);
    engine_orders_cut(e);
    for (uint32_t i = 0; i < e->slot_count; i++) {
        engine_series_cut(&e->slots[i].series, e->now->slots[i].end);
    }
    engine_timers_reset(e);
}
