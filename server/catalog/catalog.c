#include "catalog/catalog.h"

#include <stdlib.h>

#include "catalog/catalog_internal.h"

struct catalog *catalog_new(const struct conf *conf, struct intern *metrics)
{
    struct catalog *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->conf = conf;
    c->metrics = metrics;
    lock_init(&c->reading);
    lock_init(&c->lock);
    map_init(&c->devices);
    map_init(&c->device_ids);
    map_init(&c->types);
    map_init(&c->type_ids);
    map_init(&c->pins);
    map_init(&c->fences);
    return c;
}

void catalog_free(struct catalog *c)
{
    if (c == NULL) {
        return;
    }
    catalog_rules_fini(c);
    catalog_fences_fini(c);
    MAP_FOREACH (at, &c->devices) {
        device_drop(at->value);
    }
    MAP_FOREACH (at, &c->types) {
        device_type_drop(at->value);
    }
    catalog_retired_free(c);
    map_fini(&c->devices);
    map_fini(&c->device_ids);
    map_fini(&c->types);
    map_fini(&c->type_ids);
    lock_fini(&c->reading);
    lock_fini(&c->lock);
    free(c);
}

void catalog_listen(struct catalog *c, catalog_changed_fn changed, void *arg)
{
    c->changed = changed;
    c->changed_arg = arg;
}

struct view catalog_id_key(const int32_t *id)
{
    return view_of(id, sizeof(*id));
}

enum err catalog_ids_add(struct catalog_ids *ids, int32_t id)
{
    if (ids->count == ids->cap) {
        size_t cap = ids->cap == 0 ? 16 : ids->cap * 2;
        int32_t *items = realloc(ids->items, cap * sizeof(*items));
        if (items == NULL) {
            return ERR_NOMEM;
        }
        ids->items = items;
        ids->cap = cap;
    }
    ids->items[ids->count++] = id;
    return ERR_OK;
}

void catalog_tell(struct catalog *c, enum catalog_kind kind, const struct catalog_ids *ids)
{
    for (size_t i = 0; c->changed != NULL && i < ids->count; i++) {
        c->changed(c->changed_arg, kind, ids->items[i]);
    }
}

static struct device *get_device(struct catalog *c, const struct map *map, struct view key)
{
    lock_take(&c->lock);
    struct device *d = map_get(map, key);
    if (d != NULL) {
        device_hold(d);
    }
    lock_give(&c->lock);
    return d;
}

struct device *catalog_device(struct catalog *c, struct view name)
{
    return get_device(c, &c->devices, name);
}

struct device *catalog_device_by_id(struct catalog *c, int32_t id)
{
    return get_device(c, &c->device_ids, catalog_id_key(&id));
}

static struct device_type *get_type(struct catalog *c, const struct map *map, struct view key)
{
    lock_take(&c->lock);
    struct device_type *t = map_get(map, key);
    if (t != NULL) {
        device_type_hold(t);
    }
    lock_give(&c->lock);
    return t;
}

struct device_type *catalog_type(struct catalog *c, struct view name)
{
    return get_type(c, &c->types, name);
}

struct device_type *catalog_type_by_id(struct catalog *c, int32_t id)
{
    return get_type(c, &c->type_ids, catalog_id_key(&id));
}

struct intern *catalog_metrics(struct catalog *c)
{
    return c->metrics;
}

size_t catalog_device_count(struct catalog *c)
{
    lock_take(&c->lock);
    size_t n = c->devices.used;
    lock_give(&c->lock);
    return n;
}

void catalog_visit_devices(struct catalog *c, catalog_visit_fn visit, void *arg)
{
    lock_take(&c->lock);
    MAP_FOREACH (at, &c->devices) {
        if (!visit(arg, at->value)) {
            break;
        }
    }
    lock_give(&c->lock);
}
