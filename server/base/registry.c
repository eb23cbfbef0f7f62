#include "base/registry.h"

#include <stdlib.h>

#include "base/lock.h"
#include "base/map.h"

struct registry {
    struct lock lock;
    struct map map;
    registry_ref_fn hold;
    registry_ref_fn drop;
};

struct registry *registry_new(registry_ref_fn hold, registry_ref_fn drop)
{
    struct registry *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    lock_init(&r->lock);
    map_init(&r->map);
    r->hold = hold;
    r->drop = drop;
    return r;
}

void registry_free(struct registry *r)
{
    if (r == NULL) {
        return;
    }
    MAP_FOREACH (at, &r->map) {
        r->drop(at->value);
    }
    map_fini(&r->map);
    lock_fini(&r->lock);
    free(r);
}

void *registry_get(struct registry *r, struct view key)
{
    lock_take(&r->lock);
    void *value = map_get(&r->map, key);
    if (value != NULL) {
        r->hold(value);
    }
    lock_give(&r->lock);
    return value;
}

enum err registry_put(struct registry *r, struct view key, void *value)
{
    void *old = NULL;
    lock_take(&r->lock);
    enum err e = map_put(&r->map, key, value, &old);
    if (e == ERR_OK) {
        r->hold(value);
    }
    if (old != NULL) {
        r->drop(old);
    }
    lock_give(&r->lock);
    return e;
}

bool registry_remove(struct registry *r, struct view key)
{
    lock_take(&r->lock);
    void *old = map_remove(&r->map, key);
    if (old != NULL) {
        r->drop(old);
    }
    lock_give(&r->lock);
    return old != NULL;
}

size_t registry_count(struct registry *r)
{
    lock_take(&r->lock);
    size_t n = r->map.used;
    lock_give(&r->lock);
    return n;
}

void registry_visit(struct registry *r, registry_visit_fn visit, void *arg)
{
    lock_take(&r->lock);
    MAP_FOREACH (at, &r->map) {
        if (!visit(arg, view_of(at->key, at->key_len), at->value)) {
            break;
        }
    }
    lock_give(&r->lock);
}
