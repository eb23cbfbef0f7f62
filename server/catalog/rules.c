#include <stdlib.h>

#include "base/log.h"
#include "catalog/catalog_internal.h"

static const char sql_rules[] =
    "SELECT id, version, name, definition::text FROM rules"
    " WHERE deleted_at IS NULL AND ($1::text IS NULL OR name = $1) ORDER BY id";

static const char sql_rules_of[] =
    "SELECT r.id, r.version, r.name, r.definition::text FROM rules r"
    " JOIN rule_geofences l ON l.rule_id = r.id"
    " WHERE r.deleted_at IS NULL AND l.geofence_id = $1 ORDER BY r.id";

/* Borrowed: a replaced type is kept for a minute, see retire() in types.c. */
static const struct device_type *find_type(void *arg, struct view name)
{
    struct catalog *c = arg;
    lock_take(&c->lock);
    const struct device_type *t = map_get(&c->types, name);
    lock_give(&c->lock);
    return t;
}

static struct fence *find_fence(void *arg, struct view name)
{
    return catalog_fence(arg, name);
}

struct rule_env catalog_rule_env(struct catalog *c)
{
    return (struct rule_env){.metrics = c->metrics,
                             .find_type = find_type,
                             .find_fence = find_fence,
                             .arg = c,
                             .lateness_us = c->conf->lateness_us};
}

/* Where the rule is, or where it would go. Under the lock. */
static uint32_t rule_place(const struct catalog *c, int32_t id)
{
    uint32_t low = 0;
    uint32_t high = c->rule_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (c->rules[mid].rule_id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool rule_at(const struct catalog *c, uint32_t place, int32_t id)
{
    return place < c->rule_count && c->rules[place].rule_id == id;
}

static void rule_take_out(struct catalog *c, uint32_t place)
{
    catalog_pins_remove(c, &c->rules[place]);
    rule_drop(c->rules[place].rule);
    c->rule_count--;
    memmove(&c->rules[place], &c->rules[place + 1], (c->rule_count - place) * sizeof(*c->rules));
}

static enum err rule_room(struct catalog *c)
{
    if (c->rule_count < c->rule_cap) {
        return ERR_OK;
    }
    uint32_t cap = c->rule_cap == 0 ? 32 : c->rule_cap * 2;
    struct engine_rule *rules = realloc(c->rules, cap * sizeof(*rules));
    if (rules == NULL) {
        return ERR_NOMEM;
    }
    c->rules = rules;
    c->rule_cap = cap;
    return ERR_OK;
}

/* Fences are snapshots: one that changed is another one. */
static bool same_fences(const struct rule *a, const struct rule *b)
{
    uint32_t at = 0;
    while (rule_fence(a, at) != NULL && rule_fence(a, at) == rule_fence(b, at)) {
        at++;
    }
    return rule_fence(a, at) == rule_fence(b, at);
}

/* Takes a hold of its own. *ret_changed: the catalog did not have this version, or not with these
 * fences. */
static enum err rule_put(struct catalog *c, const struct engine_rule *r, bool *ret_changed)
{
    lock_take(&c->lock);
    uint32_t place = rule_place(c, r->rule_id);
    bool there = rule_at(c, place, r->rule_id);
    *ret_changed = !there || c->rules[place].version != r->version ||
                   !same_fences(c->rules[place].rule, r->rule);
    enum err e = *ret_changed ? rule_room(c) : ERR_OK;
    if (*ret_changed && there) {
        rule_take_out(c, place);
    }
    if (*ret_changed && e == ERR_OK) {
        e = catalog_pins_add(c, r);
    }
    if (*ret_changed && e == ERR_OK) {
        memmove(&c->rules[place + 1], &c->rules[place],
                (c->rule_count - place) * sizeof(*c->rules));
        rule_hold(r->rule);
        c->rules[place] = *r;
        c->rule_count++;
    }
    lock_give(&c->lock);
    return e;
}

/* Takes out the rules (of that name, or all) that are not among `keep`, sorted by id. */
static enum err rules_sweep(struct catalog *c, const char *name, const struct catalog_ids *keep,
                            struct catalog_ids *changed)
{
    enum err e = ERR_OK;
    size_t k = 0;
    lock_take(&c->lock);
    for (uint32_t i = 0; e == ERR_OK && i < c->rule_count;) {
        int32_t id = c->rules[i].rule_id;
        while (k < keep->count && keep->items[k] < id) {
            k++;
        }
        bool kept = k < keep->count && keep->items[k] == id;
        if (kept || (name != NULL && strcmp(rule_name(c->rules[i].rule), name) != 0)) {
            i++;
            continue;
        }
        e = catalog_ids_add(changed, id);
        if (e == ERR_OK) {
            rule_take_out(c, i);
        }
    }
    lock_give(&c->lock);
    return e;
}

static enum err read_rule(struct catalog *c, const struct db_result *rows, int row,
                          struct catalog_ids *keep, struct catalog_ids *changed)
{
    struct rule_env env = catalog_rule_env(c);
    struct rule_error why = {0};
    struct engine_rule r = {.rule_id = (int32_t)db_get_int(rows, row, 0),
                            .version = (int32_t)db_get_int(rows, row, 1)};
    enum err e = rule_compile(db_get_view(rows, row, 3), &env, &r.rule, &why);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK) {
        LOG(LOG_WARN, "rule_left_out", LOG_S("rule", db_get(rows, row, 2)),
            LOG_S("at", why.pointer), LOG_I("column", why.column), LOG_S("why", why.detail));
        return ERR_OK;
    }
    bool is_new = false;
    e = rule_put(c, &r, &is_new);
    rule_drop(r.rule);
    if (e == ERR_OK) {
        e = catalog_ids_add(keep, r.rule_id);
    }
    return e == ERR_OK && is_new ? catalog_ids_add(changed, r.rule_id) : e;
}

enum err catalog_read_rules(struct catalog *c, struct db *db, const char *name,
                            struct catalog_ids *ret_changed)
{
    struct db_result *rows = NULL;
    struct db_params p = {0};
    struct catalog_ids keep = {0};
    db_text(&p, name);
    enum err e = db_query(db, sql_rules, &p, &rows);
    if (e != ERR_OK) {
        return e;
    }
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        e = read_rule(c, rows, i, &keep, ret_changed);
    }
    if (e == ERR_OK) {
        e = rules_sweep(c, name, &keep, ret_changed);
    }
    free(keep.items);
    db_result_free(rows);
    return e;
}

enum err catalog_read_rules_of(struct catalog *c, struct db *db, int32_t fence_id,
                               struct catalog_ids *ret_changed)
{
    struct db_result *rows = NULL;
    struct db_params p = {0};
    struct catalog_ids ignored = {0};
    db_int(&p, fence_id);
    enum err e = db_query(db, sql_rules_of, &p, &rows);
    if (e != ERR_OK) {
        return e;
    }
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        e = read_rule(c, rows, i, &ignored, ret_changed);
    }
    free(ignored.items);
    db_result_free(rows);
    return e;
}

void catalog_rules_fini(struct catalog *c)
{
    catalog_pins_fini(c);
    for (uint32_t i = 0; i < c->rule_count; i++) {
        rule_drop(c->rules[i].rule);
    }
    free(c->rules);
    c->rules = NULL;
    c->rule_count = c->rule_cap = 0;
}

struct rule *catalog_rule_by_id(struct catalog *c, int32_t id)
{
    struct rule *found = NULL;
    lock_take(&c->lock);
    uint32_t place = rule_place(c, id);
    if (rule_at(c, place, id)) {
        found = c->rules[place].rule;
        rule_hold(found);
    }
    lock_give(&c->lock);
    return found;
}
