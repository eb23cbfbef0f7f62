/*
 * pins: which rules may select a device, without asking all of them.
 *
 * Most selectors name a label, the type or the name (site=plant-1, type=motor). Such a rule is
 * listed under the values it names, "site=plant-1", and the others under "any". A device looks
 * under its own values and under "any": with ten thousand rules it asks the few that may be meant.
 *
 * The lists borrow the rules from the catalog and change with it, under its lock.
 */
#include <stdlib.h>

#include "catalog/catalog_internal.h"

struct pin_list {
    struct engine_rule *items;
    uint32_t count, cap;
};

enum { PIN_KEY_LIMIT = 1 << 20, PIN_LIST_FIRST = 4 };

/* What the rule is listed under: "=" is any. */
static struct rule_pin pin_of(const struct rule *r)
{
    static const char *const none[] = {""};
    struct rule_pin pin;
    return rule_pinned(r, &pin) ? pin : (struct rule_pin){.key = "", .values = none, .count = 1};
}

static enum err key_make(struct buf *out, const char *key, const char *value)
{
    buf_clear(out);
    buf_printf(out, "%s=%s", key, value);
    return buf_err(out);
}

static struct pin_list *list_of(struct catalog *c, struct view key)
{
    struct pin_list *list = map_get(&c->pins, key);
    if (list != NULL) {
        return list;
    }
    list = calloc(1, sizeof(*list));
    void *old = NULL;
    if (list == NULL || map_put(&c->pins, key, list, &old) != ERR_OK) {
        free(list);
        return NULL;
    }
    return list;
}

static enum err list_add(struct pin_list *list, const struct engine_rule *r)
{
    if (list->count > 0 && list->items[list->count - 1].rule_id == r->rule_id) {
        return ERR_OK; /* the selector names a value twice */
    }
    if (list->count == list->cap) {
        uint32_t cap = list->cap == 0 ? PIN_LIST_FIRST : list->cap * 2;
        struct engine_rule *items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL) {
            return ERR_NOMEM;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = *r;
    return ERR_OK;
}

static void list_remove_rule(struct pin_list *list, int32_t rule_id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        list->items[kept] = list->items[i];
        kept += list->items[i].rule_id != rule_id;
    }
    list->count = kept;
}

void catalog_pins_remove(struct catalog *c, const struct engine_rule *r)
{
    struct rule_pin pin = pin_of(r->rule);
    struct buf key;
    buf_init(&key, PIN_KEY_LIMIT);
    for (uint32_t i = 0; i < pin.count; i++) {
        struct pin_list *list = key_make(&key, pin.key, pin.values[i]) == ERR_OK
                                    ? map_get(&c->pins, buf_view(&key))
                                    : NULL;
        if (list == NULL) {
            continue; /* it was not added: no memory */
        }
        list_remove_rule(list, r->rule_id);
        if (list->count == 0) {
            (void)map_remove(&c->pins, buf_view(&key));
            free(list->items);
            free(list);
        }
    }
    buf_fini(&key);
}

enum err catalog_pins_add(struct catalog *c, const struct engine_rule *r)
{
    struct rule_pin pin = pin_of(r->rule);
    struct buf key;
    buf_init(&key, PIN_KEY_LIMIT);
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < pin.count; i++) {
        e = key_make(&key, pin.key, pin.values[i]);
        struct pin_list *list = e == ERR_OK ? list_of(c, buf_view(&key)) : NULL;
        e = list == NULL ? ERR_NOMEM : list_add(list, r);
    }
    buf_fini(&key);
    if (e != ERR_OK) {
        catalog_pins_remove(c, r);
    }
    return e;
}

/* The rules found for a device. */
struct found {
    struct engine_rule *rules; /* held */
    uint32_t count, cap;
};

static enum err found_add(struct found *f, const struct engine_rule *r)
{
    if (f->count == f->cap) {
        uint32_t cap = f->cap == 0 ? PIN_LIST_FIRST : f->cap * 2;
        struct engine_rule *rules = realloc(f->rules, cap * sizeof(*rules));
        if (rules == NULL) {
            return ERR_NOMEM;
        }
        f->rules = rules;
        f->cap = cap;
    }
    rule_hold(r->rule);
    f->rules[f->count++] = *r;
    return ERR_OK;
}

static enum err look_under(const struct catalog *c, struct view key, const struct device *d,
                           struct found *f)
{
    const struct pin_list *list = map_get(&c->pins, key);
    enum err e = ERR_OK;
    for (uint32_t i = 0; list != NULL && e == ERR_OK && i < list->count; i++) {
        const struct engine_rule *r = &list->items[i];
        if (rule_mode(r->rule) != RULE_DISABLED && rule_selects(r->rule, d)) {
            e = found_add(f, r);
        }
    }
    return e;
}

static enum err look_everywhere(const struct catalog *c, const struct device *d, struct found *f)
{
    struct buf key;
    buf_init(&key, PIN_KEY_LIMIT);
    enum err e = look_under(c, VIEW("="), d, f);
    if (e == ERR_OK && d->type != NULL) {
        e = key_make(&key, "type", d->type->name);
        e = e == ERR_OK ? look_under(c, buf_view(&key), d, f) : e;
    }
    if (e == ERR_OK) {
        e = key_make(&key, "name", d->name);
        e = e == ERR_OK ? look_under(c, buf_view(&key), d, f) : e;
    }
    for (uint32_t i = 0; e == ERR_OK && i < d->label_count; i++) {
        e = key_make(&key, d->labels[i].key, d->labels[i].text);
        e = e == ERR_OK ? look_under(c, buf_view(&key), d, f) : e;
    }
    buf_fini(&key);
    return e;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = ((const struct engine_rule *)a)->rule_id;
    int32_t y = ((const struct engine_rule *)b)->rule_id;
    return (x > y) - (x < y);
}

/* In order of id, and once each: a label may be called as the type is. */
static void found_sort(struct found *f)
{
    uint32_t kept = 0;
    if (f->count > 0) {
        qsort(f->rules, f->count, sizeof(*f->rules), by_id);
    }
    for (uint32_t i = 0; i < f->count; i++) {
        if (kept > 0 && f->rules[kept - 1].rule_id == f->rules[i].rule_id) {
            rule_drop(f->rules[i].rule);
        } else {
            f->rules[kept++] = f->rules[i];
        }
    }
    f->count = kept;
}

enum err catalog_rules_for(struct catalog *c, const struct device *d,
                           struct engine_rule **ret_rules, uint32_t *ret_count)
{
    struct found f = {0};
    lock_take(&c->lock);
    enum err e = look_everywhere(c, d, &f);
    lock_give(&c->lock);
    if (e != ERR_OK) {
        for (uint32_t i = 0; i < f.count; i++) {
            rule_drop(f.rules[i].rule);
        }
        free(f.rules);
        return e;
    }
    found_sort(&f);
    *ret_rules = f.rules;
    *ret_count = f.count;
    return ERR_OK;
}

void catalog_pins_fini(struct catalog *c)
{
    MAP_FOREACH (at, &c->pins) {
        struct pin_list *list = at->value;
        free(list->items);
        free(list);
    }
    map_fini(&c->pins);
}
