#include "session/flapping.h"

#include <stddef.h>

#include "base/clock.h"

static struct flapping_slot *set_of(struct flapping *f, int32_t device_id)
{
    return f->slots[(uint32_t)device_id % FLAPPING_SETS];
}

static struct flapping_slot *find(struct flapping *f, int32_t device_id)
{
    struct flapping_slot *set = set_of(f, device_id);
    for (size_t i = 0; i < FLAPPING_WAYS; i++) {
        if (set[i].device_id == device_id) {
            return &set[i];
        }
    }
    return NULL;
}

/* The device's slot, or the one that is to be its own: a free one is due in the past. */
static struct flapping_slot *find_or_make(struct flapping *f, int32_t device_id)
{
    struct flapping_slot *found = find(f, device_id);
    if (found != NULL) {
        return found;
    }
    struct flapping_slot *set = set_of(f, device_id);
    struct flapping_slot *best = &set[0];
    for (size_t i = 1; i < FLAPPING_WAYS; i++) {
        if (set[i].due_us < best->due_us) {
            best = &set[i];
        }
    }
    *best = (struct flapping_slot){.device_id = device_id};
    return best;
}

bool flapping_take(struct flapping *f, int32_t device_id, int64_t rate, int64_t now_us)
{
    if (rate == 0) {
        return true;
    }
    struct flapping_slot *s = find_or_make(f, device_id);
    int64_t each_us = CLOCK_SECOND_US / rate;
    int64_t due_us = s->due_us < now_us ? now_us : s->due_us;
    if (due_us - now_us > (rate * FLAPPING_BURST_S - 1) * each_us) {
        return false;
    }
    s->due_us = due_us + each_us;
    return true;
}

void flapping_give_back(struct flapping *f, int32_t device_id, int64_t rate)
{
    struct flapping_slot *s = rate == 0 ? NULL : find(f, device_id);
    if (s != NULL) {
        s->due_us -= CLOCK_SECOND_US / rate;
    }
}
