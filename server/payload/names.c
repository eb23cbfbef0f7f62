#include "payload/names.h"

#include "base/map.h"

enum { NAMES_FIRST_CAP = 32 };

static uint32_t names_slot(const struct names *n, struct view name)
{
    /* The seeded hash: a peer cannot choose names that collide. */
    uint32_t at = (uint32_t)map_hash(name) & (n->cap - 1);
    while (n->slots[at] != 0 && !view_eq(n->list[n->slots[at] - 1], name)) {
        at = (at + 1) & (n->cap - 1);
    }
    return at;
}

static enum err names_grow(struct names *n, struct arena *arena)
{
    struct names bigger = {.cap = n->cap == 0 ? NAMES_FIRST_CAP : n->cap * 2, .count = n->count};
    bigger.list = arena_alloc(arena, sizeof(*bigger.list) * (bigger.cap / 2));
    bigger.slots = arena_zalloc(arena, sizeof(*bigger.slots) * bigger.cap);
    if (bigger.list == NULL || bigger.slots == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        bigger.list[i] = n->list[i];
        bigger.slots[names_slot(&bigger, n->list[i])] = i + 1;
    }
    *n = bigger;
    return ERR_OK;
}

enum err names_add(struct names *n, struct arena *arena, struct view name, uint32_t *ret_number)
{
    if (n->count * 2 >= n->cap && names_grow(n, arena) != ERR_OK) {
        return ERR_NOMEM;
    }
    uint32_t at = names_slot(n, name);
    if (n->slots[at] != 0) {
        *ret_number = n->slots[at] - 1;
        return ERR_EXISTS;
    }
    *ret_number = n->count;
    n->list[n->count++] = name;
    n->slots[at] = n->count;
    return ERR_OK;
}
