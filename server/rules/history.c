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

bool engine_history_full(const struct engine_history *h)
{
    return h->count + h->fresh >= ENGINE_HISTORY_MAX || h->work >= ENGINE_HISTORY_WORK;
}

static enum err entries_room(struct engine_history *h)
{
    uint64_t used = h->count + h->fresh;
    if (h->head + used < h->cap) {
        return ERR_OK;
    }
    if (h->head > 0 && h->head >= used) { /* half is unused: moving is cheaper than growing */
        memmove(h->entries, h->entries + h->head, used * sizeof(*h->entries));
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
    for (uint64_t i = 0; i < h->count + h->fresh; i++) {
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

static int entry_order(const void *a, const void *b)
{
    const struct engine_entry *x = a;
    const struct engine_entry *y = b;
    if (x->ts_us != y->ts_us) {
        return x->ts_us < y->ts_us ? -1 : 1;
    }
    return (x->seq > y->seq) - (x->seq < y->seq);
}

enum err engine_history_add(struct engine_history *h, struct engine_entry entry,
                            const struct engine_reading *readings)
{
    enum err e = entries_room(h);
    if (e == ERR_OK) {
        e = readings_room(h, entry.count);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct engine_entry *slot = h->entries + h->head + h->count + h->fresh;
    entry.first = h->reading_count;
    *slot = entry;
    if (entry.count > 0) {
        memcpy(h->readings + entry.first, readings, entry.count * sizeof(*readings));
    }
    if (h->count + h->fresh > 0 && entry_order(slot - 1, slot) > 0) {
        h->shuffled = true;
    }
    h->reading_count += entry.count;
    h->live_count += entry.count;
    h->work += entry.work;
    h->fresh++;
    return ERR_OK;
}

enum err engine_history_merge(struct engine_history *h, uint64_t *ret_from, uint64_t *ret_newer)
{
    uint64_t fresh = h->fresh;
    uint64_t old = h->count;
    uint64_t newer = old;
    if (h->shuffled) {
        struct engine_entry *sorted = malloc(fresh * sizeof(*sorted));
        if (sorted == NULL) {
            return ERR_NOMEM;
        }
        struct engine_entry *entries = h->entries + h->head;
        memcpy(sorted, entries + old, fresh * sizeof(*sorted));
        qsort(sorted, fresh, sizeof(*sorted), entry_order);
        /* From the back, so that nothing is overwritten before it was moved. */
        while (fresh > 0) {
            bool is_old = old > 0 && entry_order(&entries[old - 1], &sorted[fresh - 1]) > 0;
            newer = is_old && old == h->count ? old + fresh : newer;
            entries[old + fresh - 1] = is_old ? entries[old - 1] : sorted[fresh - 1];
            old -= is_old ? 1 : 0;
            fresh -= is_old ? 0 : 1;
        }
        free(sorted);
    }
    *ret_from = old;
    *ret_newer = newer;
    h->count += h->fresh;
    h->fresh = 0;
    h->shuffled = false;
    return ERR_OK;
}

void engine_history_forget(struct engine_history *h, uint64_t i)
{
    struct engine_entry *e = &h->entries[h->head + i];
    h->live_count -= e->count;
    h->work -= e->work;
    e->count = 0;
    e->work = 0;
    h->gap = h->gaps ? h->gap : i;
    h->gaps = true;
}

void engine_history_close(struct engine_history *h)
{
    if (!h->gaps) {
        return;
    }
    struct engine_entry *entries = h->entries + h->head;
    uint64_t kept = h->gap;
    for (uint64_t i = kept; i < h->count; i++) {
        if (entries[i].work > 0) {
            entries[kept++] = entries[i];
        }
    }
    h->count = kept;
    h->gaps = false;
}

void engine_history_drop(struct engine_history *h, int64_t through_us)
{
    while (h->count > 0 && engine_history_at(h, 0)->ts_us <= through_us) {
        h->live_count -= engine_history_at(h, 0)->count;
        h->work -= engine_history_at(h, 0)->work;
        h->head++;
        h->count--;
    }
    if (h->count + h->fresh == 0) {
        h->head = 0;
        h->reading_count = 0;
    }
}
