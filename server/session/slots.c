#include <stdlib.h>

#include "session/private.h"

/* A slot's generation grows each time it is emptied, so that a ref to its last session is stale. */

enum { SLOTS_FIRST = 64 };

static enum err slots_grow(struct session_loop *l)
{
    uint32_t cap = l->slot_cap == 0 ? SLOTS_FIRST : l->slot_cap * 2;
    struct session_slot *slots = realloc(l->slots, cap * sizeof(*slots));
    if (slots == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = l->slot_cap; i < cap; i++) {
        slots[i] = (struct session_slot){.generation = 1};
    }
    l->slots = slots;
    l->slot_cap = cap;
    return ERR_OK;
}

enum err slots_put(struct session_loop *l, struct session *s)
{
    uint32_t slot = l->free_slot;
    if (slot != UINT32_MAX) {
        l->free_slot = l->slots[slot].next_free;
    } else {
        if (l->slot_count == l->slot_cap && slots_grow(l) != ERR_OK) {
            return ERR_NOMEM;
        }
        slot = l->slot_count++;
    }
    l->slots[slot].session = s;
    s->slot = slot;
    s->generation = l->slots[slot].generation;
    return ERR_OK;
}

void slots_remove(struct session *s)
{
    struct session_loop *l = s->home;
    struct session_slot *slot = &l->slots[s->slot];
    CHECK(slot->session == s);
    slot->session = NULL;
    slot->generation++;
    if (slot->generation == 0) {
        slot->generation = 1; /* 0 means "no session" */
    }
    slot->next_free = l->free_slot;
    l->free_slot = s->slot;
}

struct session *slots_get_any(struct session_loop *l, struct session_ref ref)
{
    if (ref.slot >= l->slot_count || l->slots[ref.slot].generation != ref.generation) {
        return NULL;
    }
    return l->slots[ref.slot].session;
}

struct session *slots_get(struct session_loop *l, struct session_ref ref)
{
    struct session *s = slots_get_any(l, ref);
    return s == NULL || s->state == SESSION_ENDED ? NULL : s;
}
