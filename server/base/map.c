#include "base/map.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include <xxhash.h>

#include "base/check.h"

enum { MAP_EMPTY = 0, MAP_DELETED = 1, MAP_FIRST_CAP = 16 };

static uint64_t map_seed(void)
{
    /* One seed for the process; written once with the same meaning by whoever comes first. */
    static _Atomic uint64_t seed;
    uint64_t s = seed;
    if (s == 0) {
        uint64_t fresh = 0;
        while (fresh == 0) {
            CHECK(getrandom(&fresh, sizeof(fresh), 0) == (ssize_t)sizeof(fresh));
        }
        uint64_t expected = 0;
        s = atomic_compare_exchange_strong(&seed, &expected, fresh) ? fresh : expected;
    }
    return s;
}

uint64_t map_hash(struct view key)
{
    uint64_t h = XXH3_64bits_withSeed(key.data, key.len, map_seed());
    return h < 2 ? h + 2 : h;
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        free(m->slots[i].key);
    }
    free(m->slots);
    *m = (struct map){0};
}

static struct map_slot *map_find(const struct map *m, uint64_t hash, struct view key)
{
    if (m->cap == 0) {
        return NULL;
    }
    size_t mask = m->cap - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct map_slot *s = &m->slots[i];
        if (s->hash == MAP_EMPTY) {
            return NULL;
        }
        if (s->hash == hash && view_eq(view_of(s->key, s->key_len), key)) {
            return s;
        }
    }
}

void *map_get(const struct map *m, struct view key)
{
    const struct map_slot *s = m->used == 0 ? NULL : map_find(m, map_hash(key), key);
    return s == NULL ? NULL : s->value;
}

static struct map_slot *map_free_slot(struct map *m, uint64_t hash)
{
    size_t mask = m->cap - 1;
    size_t i = (size_t)hash & mask;
    while (m->slots[i].hash > MAP_DELETED) {
        i = (i + 1) & mask;
    }
    return &m->slots[i];
}

static enum err map_resize(struct map *m)
{
    size_t cap = MAP_FIRST_CAP;
    while (cap < (m->used + 1) * 2) {
        cap *= 2;
    }
    struct map_slot *slots = calloc(cap, sizeof(*slots));
    if (slots == NULL) {
        return ERR_NOMEM;
    }
    struct map old = *m;
    *m = (struct map){.slots = slots, .cap = cap, .used = old.used, .touched = old.used};
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].hash > MAP_DELETED) {
            *map_free_slot(m, old.slots[i].hash) = old.slots[i];
        }
    }
    free(old.slots);
    return ERR_OK;
}

enum err map_put(struct map *m, struct view key, void *value, void **ret_old)
{
    CHECK(value != NULL);
    uint64_t hash = map_hash(key);
    struct map_slot *s = map_find(m, hash, key);
    if (s != NULL) {
        *ret_old = s->value;
        s->value = value;
        return ERR_OK;
    }
    if ((m->touched + 1) * 4 > m->cap * 3 && map_resize(m) != ERR_OK) {
        return ERR_NOMEM;
    }
    uint8_t *copy = malloc(key.len + 1);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    if (key.len > 0) {
        memcpy(copy, key.data, key.len);
    }
    copy[key.len] = 0;
    s = map_free_slot(m, hash);
    m->touched += s->hash == MAP_EMPTY;
    m->used++;
    *s = (struct map_slot){.hash = hash, .key = copy, .key_len = key.len, .value = value};
    *ret_old = NULL;
    return ERR_OK;
}

void *map_remove(struct map *m, struct view key)
{
    struct map_slot *s = m->used == 0 ? NULL : map_find(m, map_hash(key), key);
    if (s == NULL) {
        return NULL;
    }
    void *value = s->value;
    free(s->key);
    *s = (struct map_slot){.hash = MAP_DELETED};
    m->used--;
    return value;
}

struct map_slot *map_next(const struct map *m, struct map_slot *after)
{
    size_t i = after == NULL ? 0 : (size_t)(after - m->slots) + 1;
    for (; i < m->cap; i++) {
        if (m->slots[i].hash > MAP_DELETED) {
            return &m->slots[i];
        }
    }
    return NULL;
}
