/*
 * Loading and refreshing. Each refresh reads under `reading` and publishes under `lock`; the
 * listener hears of it after both were given back, because it may ask the catalog.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "catalog/catalog_internal.h"

static enum err load_metrics(struct catalog *c, struct db *db)
{
    struct db_result *rows = NULL;
    enum err e = db_query(db, "SELECT id, name FROM metrics ORDER BY id", NULL, &rows);
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        e = intern_restore(c->metrics, (int32_t)db_get_int(rows, i, 0), db_get_view(rows, i, 1));
        if (e == ERR_LIMIT) {
            LOG(LOG_ERROR, "metrics_limit", LOG_I("id", db_get_int(rows, i, 0)),
                LOG_I("metrics_max", c->conf->metrics_max),
                LOG_S("remedy",
                      "the database has more metric names than the setting allows; raise it"));
        }
    }
    db_result_free(rows);
    return e;
}

/* Under the lock. Takes the caller's hold when it succeeds; *ret_old is the caller's to drop. */
static enum err put_device(struct map *names, struct map *ids, struct device *d,
                           struct device **ret_old)
{
    void *old = NULL;
    void *ignored = NULL;
    enum err e = map_put(ids, catalog_id_key(&d->id), d, &ignored);
    if (e != ERR_OK) {
        return e;
    }
    e = map_put(names, view_str(d->name), d, &old);
    if (e != ERR_OK) {
        (void)map_remove(ids, catalog_id_key(&d->id));
        return e;
    }
    *ret_old = old;
    return ERR_OK;
}

/* Replaces one device; a former device of the same name with another id is told as gone. */
static enum err publish_device(struct catalog *c, struct device *d, struct catalog_ids *changed)
{
    struct device *old = NULL;
    device_hold(d);
    lock_take(&c->lock);
    enum err e = put_device(&c->devices, &c->device_ids, d, &old);
    bool replaced = e == ERR_OK && old != NULL && old->id != d->id;
    if (replaced) {
        (void)map_remove(&c->device_ids, catalog_id_key(&old->id));
    }
    lock_give(&c->lock);
    if (replaced) {
        e = catalog_ids_add(changed, old->id);
    }
    device_drop(e == ERR_OK || old != NULL ? old : d);
    return e == ERR_OK ? catalog_ids_add(changed, d->id) : e;
}

struct pick {
    struct catalog_devices list;
    int32_t type_id, gateway_id; /* -1: any */
    enum err err;
};

static bool pick_device(void *arg, struct device *d)
{
    struct pick *p = arg;
    if ((p->type_id >= 0 && d->type->id != p->type_id) ||
        (p->gateway_id >= 0 && d->gateway != p->gateway_id)) {
        return true;
    }
    p->err = catalog_devices_add(&p->list, d);
    if (p->err == ERR_OK) {
        device_hold(d);
    }
    return p->err == ERR_OK;
}

/* Gives every device of the type the new snapshot of the type. */
static enum err retype_devices(struct catalog *c, int32_t type_id)
{
    struct device_type *type = catalog_type_by_id(c, type_id);
    struct catalog_ids ignored = {0}; /* listeners are told of the type, not of each device */
    struct pick p = {.type_id = type_id, .gateway_id = -1};
    if (type == NULL) {
        return ERR_OK; /* the type is gone; a type with devices cannot be deleted */
    }
    catalog_visit_devices(c, pick_device, &p);
    enum err e = p.err;
    for (size_t i = 0; e == ERR_OK && i < p.list.count; i++) {
        struct device *copy = NULL;
        e = catalog_device_clone(p.list.items[i], &copy);
        if (e != ERR_OK) {
            break;
        }
        device_type_drop(copy->type);
        copy->type = type;
        device_type_hold(type);
        e = publish_device(c, copy, &ignored);
        device_drop(copy);
    }
    free(ignored.items);
    catalog_devices_fini(&p.list);
    device_type_drop(type);
    return e;
}

/* ON DELETE SET NULL of devices.gateway_id, done in memory too. */
static enum err orphan_children(struct catalog *c, int32_t gateway_id, struct catalog_ids *changed)
{
    struct pick p = {.type_id = -1, .gateway_id = gateway_id};
    catalog_visit_devices(c, pick_device, &p);
    enum err e = p.err;
    for (size_t i = 0; e == ERR_OK && i < p.list.count; i++) {
        struct device *copy = NULL;
        e = catalog_device_clone(p.list.items[i], &copy);
        if (e == ERR_OK) {
            copy->gateway = 0;
            free(copy->gateway_name);
            copy->gateway_name = NULL;
            e = publish_device(c, copy, changed);
            device_drop(copy);
        }
    }
    catalog_devices_fini(&p.list);
    return e;
}

static enum err remove_device(struct catalog *c, const char *name, struct catalog_ids *changed)
{
    lock_take(&c->lock);
    struct device *old = map_remove(&c->devices, view_str(name));
    if (old != NULL) {
        (void)map_remove(&c->device_ids, catalog_id_key(&old->id));
    }
    lock_give(&c->lock);
    if (old == NULL) {
        return ERR_OK;
    }
    enum err e = catalog_ids_add(changed, old->id);
    if (e == ERR_OK) {
        e = orphan_children(c, old->id, changed);
    }
    device_drop(old);
    return e;
}

/* The new maps of a full reload, filled so that an unchanged device keeps its snapshot. */
static enum err fill_maps(struct catalog *c, const struct catalog_devices *read, struct map *names,
                          struct map *ids, struct catalog_ids *changed)
{
    for (size_t i = 0; i < read->count; i++) {
        struct device *d = read->items[i];
        struct device *same = map_get(&c->device_ids, catalog_id_key(&d->id));
        if (same != NULL && catalog_device_same(same, d)) {
            d = same;
        } else {
            enum err e = catalog_ids_add(changed, d->id);
            if (e != ERR_OK) {
                return e;
            }
        }
        struct device *twin = NULL;
        enum err e = put_device(names, ids, d, &twin);
        if (e != ERR_OK) {
            return e;
        }
        device_hold(d);
        device_drop(twin); /* NULL: names are unique in the database */
    }
    return ERR_OK;
}

static enum err swap_devices(struct catalog *c, const struct catalog_devices *read,
                             struct catalog_ids *changed)
{
    struct map names;
    struct map ids;
    map_init(&names);
    map_init(&ids);
    lock_take(&c->lock);
    enum err e = fill_maps(c, read, &names, &ids, changed);
    MAP_FOREACH (at, &c->devices) {
        const struct device *d = at->value;
        if (e == ERR_OK && map_get(&ids, catalog_id_key(&d->id)) == NULL) {
            e = catalog_ids_add(changed, d->id);
        }
    }
    if (e == ERR_OK) {
        struct map old = c->devices;
        c->devices = names;
        names = old;
        old = c->device_ids;
        c->device_ids = ids;
        ids = old;
    }
    lock_give(&c->lock);
    MAP_FOREACH (at, &names) {
        device_drop(at->value);
    }
    map_fini(&names);
    map_fini(&ids);
    return e;
}

static enum err reload_devices(struct catalog *c, struct db *db, struct catalog_ids *changed)
{
    struct catalog_devices read = {0};
    enum err e = catalog_read_devices(c, db, NULL, &read);
    if (e == ERR_OK) {
        e = swap_devices(c, &read, changed);
    }
    catalog_devices_fini(&read);
    return e;
}

enum err catalog_load(struct catalog *c, struct db *db)
{
    struct catalog_ids changed = {0};
    lock_take(&c->reading);
    enum err e = load_metrics(c, db);
    if (e == ERR_OK) {
        e = catalog_read_types(c, db, NULL, &changed);
    }
    if (e == ERR_OK) {
        e = reload_devices(c, db, &changed);
    }
    if (e == ERR_OK) {
        e = catalog_read_fences(c, db, NULL, &changed);
    }
    if (e == ERR_OK) {
        e = catalog_read_rules(c, db, NULL, &changed);
    }
    lock_give(&c->reading);
    free(changed.items);
    return e;
}

enum err catalog_refresh_type(struct catalog *c, struct db *db, const char *name)
{
    struct catalog_ids changed = {0};
    struct catalog_ids rules = {0};
    lock_take(&c->reading);
    enum err e = catalog_read_types(c, db, name, &changed);
    for (size_t i = 0; e == ERR_OK && i < changed.count; i++) {
        e = retype_devices(c, changed.items[i]);
    }
    if (e == ERR_OK) {
        /* A rule may compile now that did not before, or the other way round: a restart must not be
         * what brings that to light. */
        e = catalog_read_rules(c, db, NULL, &rules);
    }
    lock_give(&c->reading);
    catalog_tell(c, CATALOG_TYPE, &changed);
    catalog_tell(c, CATALOG_RULE, &rules);
    free(changed.items);
    free(rules.items);
    return e;
}

/* ERR_NOT_FOUND from reading means that a type is younger than the catalog: read the types, then
 * once more. */
static enum err read_devices(struct catalog *c, struct db *db, const char *name,
                             struct catalog_devices *read, struct catalog_ids *types)
{
    enum err e = catalog_read_devices(c, db, name, read);
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    catalog_devices_fini(read);
    e = catalog_read_types(c, db, NULL, types);
    for (size_t i = 0; e == ERR_OK && i < types->count; i++) {
        e = retype_devices(c, types->items[i]);
    }
    return e == ERR_OK ? catalog_read_devices(c, db, name, read) : e;
}

enum err catalog_refresh_device(struct catalog *c, struct db *db, const char *name)
{
    struct catalog_ids changed = {0};
    struct catalog_ids types = {0};
    struct catalog_devices read = {0};
    lock_take(&c->reading);
    enum err e = read_devices(c, db, name, &read, &types);
    CHECK(read.count <= 1);
    if (e == ERR_OK) {
        e = read.count == 1 ? publish_device(c, read.items[0], &changed)
                            : remove_device(c, name, &changed);
    }
    lock_give(&c->reading);
    catalog_tell(c, CATALOG_TYPE, &types);
    catalog_tell(c, CATALOG_DEVICE, &changed);
    catalog_devices_fini(&read);
    free(types.items);
    free(changed.items);
    return e;
}

enum err catalog_refresh_devices(struct catalog *c, struct db *db)
{
    struct catalog_ids changed = {0};
    struct catalog_ids types = {0};
    struct catalog_devices read = {0};
    lock_take(&c->reading);
    enum err e = read_devices(c, db, NULL, &read, &types);
    if (e == ERR_OK) {
        e = swap_devices(c, &read, &changed);
    }
    lock_give(&c->reading);
    if (e == ERR_OK) {
        catalog_tell(c, CATALOG_TYPE, &types);
        catalog_tell(c, CATALOG_DEVICE, &changed);
    }
    catalog_devices_fini(&read);
    free(types.items);
    free(changed.items);
    return e;
}

enum err catalog_refresh_rule(struct catalog *c, struct db *db, const char *name)
{
    struct catalog_ids changed = {0};
    lock_take(&c->reading);
    enum err e = catalog_read_rules(c, db, name, &changed);
    lock_give(&c->reading);
    catalog_tell(c, CATALOG_RULE, &changed);
    free(changed.items);
    return e;
}

enum err catalog_refresh_geofence(struct catalog *c, struct db *db, const char *name)
{
    struct catalog_ids changed = {0};
    struct catalog_ids rules = {0};
    lock_take(&c->reading);
    enum err e = catalog_read_fences(c, db, name, &changed);
    for (size_t i = 0; e == ERR_OK && i < changed.count; i++) {
        e = catalog_read_rules_of(c, db, changed.items[i], &rules);
    }
    lock_give(&c->reading);
    catalog_tell(c, CATALOG_RULE, &rules);
    free(changed.items);
    free(rules.items);
    return e;
}
