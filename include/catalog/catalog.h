/*
 * catalog: devices, device types, geofences and rules in memory, as immutable counted snapshots of
 * what the database holds.
 *
 * The server is the only writer of these tables: whoever changed a row in the database calls the
 * matching refresh afterwards, which replaces the snapshot and tells the listener.
 *
 * Ownership: getters hold for the caller, who drops. Threads: any, except catalog_load() (before
 * others start).
 */
#pragma once

#include "base/intern.h"
#include "conf/conf.h"
#include "model/device.h"
#include "rules/engine.h"
#include "rules/rule.h"
#include "store/db.h"

struct catalog;

enum catalog_kind { CATALOG_DEVICE, CATALOG_TYPE, CATALOG_RULE };
/* On the thread that refreshed. `id` of the device, type or rule; a deleted one is told too. */
typedef void (*catalog_changed_fn)(void *arg, enum catalog_kind kind, int32_t id);

NODISCARD struct catalog *catalog_new(const struct conf *conf, struct intern *metrics);
void catalog_free(struct catalog *c);
void catalog_listen(struct catalog *c, catalog_changed_fn changed, void *arg);
/* Metrics into the intern, then types, devices, geofences and rules. A rule that no longer compiles
 * is logged and left out. */
NODISCARD enum err catalog_load(struct catalog *c, struct db *db);
NODISCARD enum err catalog_refresh_type(struct catalog *c, struct db *db, const char *name);
NODISCARD enum err catalog_refresh_device(struct catalog *c, struct db *db, const char *name);
NODISCARD enum err catalog_refresh_devices(struct catalog *c,
                                           struct db *db); /* all, after an import */
NODISCARD enum err catalog_refresh_rule(struct catalog *c, struct db *db, const char *name);
/* The listener is told of the rules that name it, as of rules that changed. */
NODISCARD enum err catalog_refresh_geofence(struct catalog *c, struct db *db, const char *name);

struct device *catalog_device(struct catalog *c, struct view name); /* NULL: unknown */
struct device *catalog_device_by_id(struct catalog *c, int32_t id);
struct device_type *catalog_type(struct catalog *c, struct view name);
struct intern *catalog_metrics(struct catalog *c);
size_t catalog_device_count(struct catalog *c);

/* The active rules that select the device, in order of rule id; rules held. The caller drops each
 * and frees the array. *ret_rules is NULL when there are none. */
NODISCARD enum err catalog_rules_for(struct catalog *c, const struct device *d,
                                     struct engine_rule **ret_rules, uint32_t *ret_count);
/* The rule of that id, held; NULL: unknown or deleted. */
struct rule *catalog_rule_by_id(struct catalog *c, int32_t id);
/* The environment for rule_compile(), for checking a document before it is saved. Valid as long as
 * the catalog. */
struct rule_env catalog_rule_env(struct catalog *c);
/* Visits all devices under the catalog's lock: be short. False stops. */
typedef bool (*catalog_visit_fn)(void *arg, struct device *d);
void catalog_visit_devices(struct catalog *c, catalog_visit_fn visit, void *arg);
