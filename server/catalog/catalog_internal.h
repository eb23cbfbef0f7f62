/*
 * catalog_internal: what the files of catalog share.
 *
 * Two locks. `reading` is held while a refresh reads the database and publishes what it read, so
 * that of two refreshes the later one wins; it is held across queries and therefore only taken on
 * database threads. `lock` guards the maps and is held for moments. Order: reading, then lock. The
 * listener is called with neither.
 */
#pragma once

#include "base/lock.h"
#include "base/map.h"
#include "catalog/catalog.h"

struct catalog_retired; /* a type that was replaced and that a running rule_compile() may still read
                         */

struct catalog {
    const struct conf *conf;
    struct intern *metrics;
    catalog_changed_fn changed;
    void *changed_arg;

    struct lock reading;
    struct lock lock;
    struct map devices;    /* name -> struct device, one hold each */
    struct map device_ids; /* id (4 bytes) -> the same, without a hold of its own */
    struct map types;      /* name -> struct device_type */
    struct map type_ids;
    struct engine_rule *rules; /* sorted by id, one hold each */
    uint32_t rule_count, rule_cap;
    struct map pins;   /* see pins.c */
    struct map fences; /* name -> struct fence, one hold each */
    struct catalog_retired *retired;
};

struct catalog_devices {
    struct device **items; /* one hold each, sorted by id */
    size_t count, cap;
};

struct catalog_ids {
    int32_t *items;
    size_t count, cap;
};

struct view catalog_id_key(const int32_t *id);
void catalog_tell(struct catalog *c, enum catalog_kind kind, const struct catalog_ids *ids);
NODISCARD enum err catalog_ids_add(struct catalog_ids *ids, int32_t id);

/* types.c: name NULL: all. Publishes what it reads; the ids that changed are added. */
NODISCARD enum err catalog_read_types(struct catalog *c, struct db *db, const char *name,
                                      struct catalog_ids *ret_changed);
void catalog_retired_free(struct catalog *c);
struct device_type *catalog_type_by_id(struct catalog *c, int32_t id); /* held */

/* devices.c: appends devices from the database; name NULL: all. Types must have been read. */
NODISCARD enum err catalog_read_devices(struct catalog *c, struct db *db, const char *name,
                                        struct catalog_devices *ret_devices);
void catalog_devices_fini(struct catalog_devices *list);
NODISCARD enum err catalog_devices_add(struct catalog_devices *list, struct device *d);
NODISCARD enum err catalog_device_clone(const struct device *d, struct device **ret_device);
bool catalog_device_same(const struct device *a, const struct device *b);

/* fences.c: reads and publishes; name NULL: all. The ids that changed are added. */
NODISCARD enum err catalog_read_fences(struct catalog *c, struct db *db, const char *name,
                                       struct catalog_ids *ret_changed);
struct fence *catalog_fence(struct catalog *c, struct view name); /* held; NULL: unknown */
void catalog_fences_fini(struct catalog *c);

/* rules.c: reads and publishes; name NULL: all. */
NODISCARD enum err catalog_read_rules(struct catalog *c, struct db *db, const char *name,
                                      struct catalog_ids *ret_changed);
/* Only the rules that name the fence; those that still have the old one are replaced. */
NODISCARD enum err catalog_read_rules_of(struct catalog *c, struct db *db, int32_t fence_id,
                                         struct catalog_ids *ret_changed);
void catalog_rules_fini(struct catalog *c);

/* pins.c: under the lock, with every rule that comes and, before it is dropped, that goes. */
NODISCARD enum err catalog_pins_add(struct catalog *c, const struct engine_rule *r);
void catalog_pins_remove(struct catalog *c, const struct engine_rule *r);
void catalog_pins_fini(struct catalog *c);
