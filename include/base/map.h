/*
 * map: bytes -> pointer, open addressing, XXH3 with a random seed so that a peer cannot choose
 * collisions.
 *
 * Ownership: the map copies keys and never touches values.
 * Threads:   one, or under the owner's lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct map_slot {
    uint64_t hash; /* 0: empty, 1: deleted */
    uint8_t *key;
    size_t key_len;
    void *value;
};
struct map {
    struct map_slot *slots;
    size_t cap;
    size_t used;    /* live */
    size_t touched; /* live and deleted */
};

#define MAP_FOREACH(at, m) \
    for (struct map_slot *at = map_next((m), NULL); at != NULL; at = map_next((m), at))

void map_init(struct map *m);
void map_fini(struct map *m);
void *map_get(const struct map *m, struct view key); /* NULL: absent */
/* Sets or replaces; the old value goes to *ret_old (NULL when it was absent). value is not NULL. */
NODISCARD enum err map_put(struct map *m, struct view key, void *value, void **ret_old);
void *map_remove(struct map *m, struct view key); /* the removed value or NULL */
struct map_slot *map_next(const struct map *m,
                          struct map_slot *after); /* no changes while walking */
uint64_t map_hash(struct view key);                /* the seeded hash, never 0 or 1 */
