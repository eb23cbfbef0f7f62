/*
 * schedule: virtual time. What is to happen waits in a heap ordered by (time, order of arrival).
 */
#include <stdlib.h>

#include "base/check.h"
#include "sim.h"

static struct sim the_sim; /* the names that are replaced have no room for it in their arguments */

struct sim *sim_get(void)
{
    return &the_sim;
}

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_at(int64_t at_us, uint32_t life, sim_fn fn, void *arg, int64_t n)
{
    struct sim *s = &the_sim;
    if (s->heap_count == s->heap_cap) {
        s->heap_cap = s->heap_cap == 0 ? 256 : s->heap_cap * 2;
        s->heap = world_grow(s->heap, s->heap_cap * sizeof(*s->heap));
    }
    struct sim_event e = {.at_us = at_us < s->now_us ? s->now_us : at_us,
                          .order = s->next_order++,
                          .life = life,
                          .fn = fn,
                          .arg = arg,
                          .n = n};
    size_t at = s->heap_count++;
    while (at > 0 && event_before(&e, &s->heap[(at - 1) / 2])) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = e;
}

void sim_after(int64_t delay_us, uint32_t life, sim_fn fn, void *arg, int64_t n)
{
    sim_at(the_sim.now_us + delay_us, life, fn, arg, n);
}

static struct sim_event heap_pop(struct sim *s)
{
    struct sim_event first = s->heap[0];
    struct sim_event last = s->heap[--s->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->heap_count) {
            break;
        }
        if (child + 1 < s->heap_count && event_before(&s->heap[child + 1], &s->heap[child])) {
            child++;
        }
        if (!event_before(&s->heap[child], &last)) {
            break;
        }
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return first;
}

bool sim_step(void)
{
    struct sim *s = &the_sim;
    if (s->heap_count == 0) {
        return false;
    }
    struct sim_event e = heap_pop(s);
    CHECK(e.at_us >= s->now_us);
    s->now_us = e.at_us;
    if (e.life != 0 && e.life != s->life) {
        return true; /* of a server that has died */
    }
    s->steps++;
    s->actor = ACTOR_WORLD;
    e.fn(e.arg, e.n);
    s->actor = ACTOR_WORLD;
    return true;
}

int sim_as(int actor)
{
    int before = the_sim.actor;
    the_sim.actor = actor;
    return before;
}

int64_t sim_wall_us(void)
{
    return the_sim.epoch_us + the_sim.now_us;
}

int64_t __wrap_clock_wall_us(void)
{
    return sim_wall_us() + the_sim.wall_off_us;
}

int64_t __wrap_clock_mono_us(void)
{
    return the_sim.mono_base_us + the_sim.now_us;
}

/* ---- chance ---- */

int64_t sim_random(int64_t below)
{
    return below <= 1 ? 0 : (int64_t)(random_next(&the_sim.random) % (uint64_t)below);
}

int64_t sim_between(int64_t low, int64_t high)
{
    return low + sim_random(high - low + 1);
}

bool sim_chance(int permille)
{
    return sim_random(1000) < permille;
}

int64_t sim_delay_us(int64_t usual_us)
{
    int64_t us = 1 + sim_random(2 * usual_us);
    return sim_chance(20) ? us * 10 : us;
}
