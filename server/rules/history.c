#include "rules/history.h"

#include <stdlib.h>
#include <string.h>

void engine_history_fini(struct engine_history *h)
{
    free(h->entries);
    free(h->readings);
    *h = (struct engine_history){.entries = NULL};
}

uint64_t engine_history_after(const struct engine_history *h, int64_t ts_us)
{
    if (h->count == 0 || engine_history_at(h, h->count - 1)->ts_us <= ts_us) {
        return h->count;
    }
    uint64_t low = 0;
    uint64_t high = h->count;
    while (low < high) {
        uint64_t mid = (low + high) / 2;
        if (engine_history_at(h, mid)->ts_us <= ts_us) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

bool engine_history_has(const struct engine_history *h, int64_t ts_us, int32_t digest)
{
    for (uint64_t i = engine_history_after(h, ts_us); i > 0; i--) {
        const struct engine_entry *e = engine_history_at(h, i - 1);
        if (e->ts_us != ts_us) {
            return false;
        }
        if (e->digest == digest) {
            return true;
        }
    }
    return false;
}

static enum err entries_room(struct engine_history *h)
{
    if (h->head + h->count < h->cap) {
        return ERR_OK;
    }
    if (h->head > 0 && h->head >= h->count) { /* half is unused: moving is cheaper than growing */
        memmove(h->entries, h->entries + h->head, h->count * sizeof(*h->entries));
        h->head = 0;
        return ERR_OK;
    }
    uint64_t cap = h->cap == 0 ? 8 : h->cap * 2;
    struct engine_entry *entries = realloc(h->entries, cap * sizeof(*entries));
    if (entries == NULL) {
        return ERR_NOMEM;
    }
    h->entries = entries;
    h->cap = cap;
    return ERR_OK;
}

/* Moves the readings that are still in use to a new block, in the order of their entries. */
static enum err readings_move(struct engine_history *h, uint64_t cap)
{
    struct engine_reading *readings = malloc(cap * sizeof(*readings));
    if (readings == NULL) {
        return ERR_NOMEM;
    }
    uint64_t n = 0;
    for (uint64_t i = 0; i < h->count; i++) {
        struct engine_entry *e = &h->entries[h->head + i];
        if (e->count > 0) {
            memcpy(readings + n, h->readings + e->first, e->count * sizeof(*readings));
        }
        e->first = n;
        n += e->count;
    }
    free(h->readings);
    h->readings = readings;
    h->reading_cap = cap;
    h->reading_count = n;
    return ERR_OK;
}

static enum err readings_room(struct engine_history *h, uint64_t more)
{
    if (h->reading_count + more <= h->reading_cap) {
        return ERR_OK;
    }
    uint64_t cap = h->reading_cap == 0 ? 8 : h->reading_cap;
    while (cap < (h->live_count + more) * 2) {
        cap *= 2;
    }
    return readings_move(h, cap);
}

enum err engine_history_add(struct engine_history *h, struct engine_entry entry,
                            const struct engine_reading *readings, uint64_t *ret_at)
{
    enum err e = entries_room(h);
    if (e == ERR_OK) {
        e = readings_room(h, entry.count);
    }
    if (e != ERR_OK) {
        return e;
    }
    uint64_t at = engine_history_after(h, entry.ts_us);
    while (at > 0 && engine_history_at(h, at - 1)->ts_us == entry.ts_us &&
           engine_history_at(h, at - 1)->seq > entry.seq) {
        at--;
    }
    struct engine_entry *slot = h->entries + h->head + at;
    if (at < h->count) {
        memmove(slot + 1, slot, (h->count - at) * sizeof(*slot));
    }
    entry.first = h->reading_count;
    *slot = entry;
    if (entry.count > 0) {
        memcpy(h->readings + entry.first, readings, entry.count * sizeof(*readings));
    }
    h->reading_count += entry.count;
    h->live_count += entry.count;
    h->count++;
    *ret_at = at;
    return ERR_OK;
}

void engine_history_drop(struct engine_history *h, int64_t through_us)
{
    while (h->count > 0 && engine_history_at(h, 0)->ts_us <= through_us) {
        h->live_count -= engine_history_at(h, 0)->count;
        h->head++;
        h->count--;
    }
    if (h->count == 0) {
        h->head = 0;
        h->reading_count = 0;
    }
}
