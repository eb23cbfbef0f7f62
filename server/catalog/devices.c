/*
 * Devices, read in pages by id so that a large fleet does not need a large result in memory. Labels
 * and attributes of a page come as rows (device, key, value) in the same order and are merged in.
 */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "catalog/catalog_internal.h"

enum { DEVICES_PER_PAGE = 20000 };

#define DEVICE_COLUMNS                                                                  \
    "SELECT d.id, d.name, d.type_id, coalesce(d.gateway_id, 0), d.enabled, g.name FROM" \
    " devices d LEFT JOIN devices g ON g.id = d.gateway_id"

static const char sql_page[] = DEVICE_COLUMNS " WHERE d.id > $1 ORDER BY d.id LIMIT $2";
static const char sql_one[] = DEVICE_COLUMNS " WHERE d.name = $1";

#define PAIRS(column)                                                             \
    "SELECT d.id, p.key, p.value #>> '{}', jsonb_typeof(p.value) FROM devices d," \
    " jsonb_each(CASE WHEN jsonb_typeof(d." column ") = 'object' THEN d." column  \
    " ELSE '{}' END) p WHERE d.id BETWEEN $1 AND $2"                              \
    " AND jsonb_typeof(p.value) IN ('string', 'number', 'boolean')"               \
    " ORDER BY d.id, p.key COLLATE \"C\""

static const char sql_labels[] = PAIRS("labels");
static const char sql_attributes[] = PAIRS("attributes");

enum err catalog_devices_add(struct catalog_devices *list, struct device *d)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 64 : list->cap * 2;
        struct device **items = realloc(list->items, cap * sizeof(struct device *));
        if (items == NULL) {
            return ERR_NOMEM;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = d;
    return ERR_OK;
}

void catalog_devices_fini(struct catalog_devices *list)
{
    for (size_t i = 0; i < list->count; i++) {
        device_drop(list->items[i]);
    }
    free(list->items);
    *list = (struct catalog_devices){0};
}

/* ERR_NOT_FOUND: its type is not in the catalog. */
static enum err make_device(struct catalog *c, const struct db_result *rows, int row,
                            struct device **ret_device)
{
    struct device_type *type = catalog_type_by_id(c, (int32_t)db_get_int(rows, row, 2));
    if (type == NULL) {
        return ERR_NOT_FOUND;
    }
    struct device *d = device_new();
    if (d == NULL) {
        device_type_drop(type);
        return ERR_NOMEM;
    }
    d->type = type;
    d->id = (int32_t)db_get_int(rows, row, 0);
    d->name = strdup(db_get(rows, row, 1));
    d->gateway = (int32_t)db_get_int(rows, row, 3);
    d->enabled = db_get_bool(rows, row, 4);
    d->gateway_name = d->gateway == 0 ? NULL : strdup(db_get(rows, row, 5));
    if (d->name == NULL || (d->gateway != 0 && d->gateway_name == NULL)) {
        device_drop(d);
        return ERR_NOMEM;
    }
    *ret_device = d;
    return ERR_OK;
}

static enum err make_pair(const struct db_result *rows, int row, struct device_pair *ret_pair)
{
    const char *kind = db_get(rows, row, 3);
    struct device_pair p = {.key = strdup(db_get(rows, row, 1)),
                            .text = strdup(db_get(rows, row, 2)),
                            .number = (double)NAN};
    if (p.key == NULL || p.text == NULL) {
        free(p.key);
        free(p.text);
        return ERR_NOMEM;
    }
    if (kind[0] == 'n') {
        p.number = db_get_real(rows, row, 2);
    } else if (kind[0] == 'b') {
        p.number = p.text[0] == 't' ? 1 : 0;
    }
    *ret_pair = p;
    return ERR_OK;
}

/* The rows of one device, from `row` on. */
static enum err make_pairs(const struct db_result *rows, int row, int count,
                           struct device_pair **ret_pairs, uint32_t *ret_count)
{
    struct device_pair *pairs = calloc((size_t)count, sizeof(*pairs));
    if (pairs == NULL) {
        return ERR_NOMEM;
    }
    *ret_pairs = pairs; /* the device frees them from here on */
    for (int i = 0; i < count; i++) {
        enum err e = make_pair(rows, row + i, &pairs[i]);
        if (e != ERR_OK) {
            return e;
        }
        (*ret_count)++;
    }
    return ERR_OK;
}

static enum err read_pairs(struct db *db, const char *sql, bool labels,
                           struct device *const *devices, size_t count)
{
    struct db_result *rows = NULL;
    struct db_params p = {0};
    db_int(&p, devices[0]->id);
    db_int(&p, devices[count - 1]->id);
    enum err e = db_query(db, sql, &p, &rows);
    if (e != ERR_OK) {
        return e;
    }
    size_t at = 0;
    for (int i = 0; e == ERR_OK && i < db_rows(rows);) {
        int64_t id = db_get_int(rows, i, 0);
        int n = 1;
        while (i + n < db_rows(rows) && db_get_int(rows, i + n, 0) == id) {
            n++;
        }
        while (at < count && devices[at]->id < id) {
            at++;
        }
        if (at < count && devices[at]->id == id) {
            struct device *d = devices[at];
            e = labels ? make_pairs(rows, i, n, &d->labels, &d->label_count)
                       : make_pairs(rows, i, n, &d->attributes, &d->attribute_count);
        }
        i += n;
    }
    db_result_free(rows);
    return e;
}

/* One page; *ret_last is the id to go on behind, 0 when this was the last page. */
static enum err read_page(struct catalog *c, struct db *db, const char *sql,
                          const struct db_params *params, struct catalog_devices *list,
                          int32_t *ret_last)
{
    struct db_result *rows = NULL;
    size_t first = list->count;
    enum err e = db_query(db, sql, params, &rows);
    if (e != ERR_OK) {
        return e;
    }
    int count = db_rows(rows);
    for (int i = 0; e == ERR_OK && i < count; i++) {
        struct device *d = NULL;
        e = make_device(c, rows, i, &d);
        if (e == ERR_OK) {
            e = catalog_devices_add(list, d);
            if (e != ERR_OK) {
                device_drop(d);
            }
        }
    }
    *ret_last = count == DEVICES_PER_PAGE ? (int32_t)db_get_int(rows, count - 1, 0) : 0;
    db_result_free(rows);
    if (e == ERR_OK && list->count > first) {
        e = read_pairs(db, sql_labels, true, list->items + first, list->count - first);
    }
    if (e == ERR_OK && list->count > first) {
        e = read_pairs(db, sql_attributes, false, list->items + first, list->count - first);
    }
    return e;
}

enum err catalog_read_devices(struct catalog *c, struct db *db, const char *name,
                              struct catalog_devices *ret_devices)
{
    int32_t last = 0;
    if (name != NULL) {
        struct db_params p = {0};
        db_text(&p, name);
        return read_page(c, db, sql_one, &p, ret_devices, &last);
    }
    do {
        struct db_params p = {0};
        db_int(&p, last);
        db_int(&p, DEVICES_PER_PAGE);
        enum err e = read_page(c, db, sql_page, &p, ret_devices, &last);
        if (e != ERR_OK) {
            return e;
        }
    } while (last != 0);
    return ERR_OK;
}

static enum err clone_pairs(const struct device_pair *from, uint32_t count,
                            struct device_pair **ret_pairs, uint32_t *ret_count)
{
    *ret_pairs = count == 0 ? NULL : calloc(count, sizeof(*from));
    if (count > 0 && *ret_pairs == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct device_pair *p = &(*ret_pairs)[i];
        (*ret_count)++;
        *p = (struct device_pair){
            .key = strdup(from[i].key), .text = strdup(from[i].text), .number = from[i].number};
        if (p->key == NULL || p->text == NULL) {
            return ERR_NOMEM;
        }
    }
    return ERR_OK;
}

enum err catalog_device_clone(const struct device *d, struct device **ret_device)
{
    struct device *copy = device_new();
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    copy->id = d->id;
    copy->gateway = d->gateway;
    copy->enabled = d->enabled;
    copy->name = strdup(d->name);
    copy->gateway_name = d->gateway_name == NULL ? NULL : strdup(d->gateway_name);
    copy->type = d->type;
    device_type_hold(copy->type);
    bool complete = copy->name != NULL && (copy->gateway_name == NULL) == (d->gateway_name == NULL);
    enum err e = complete ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK) {
        e = clone_pairs(d->labels, d->label_count, &copy->labels, &copy->label_count);
    }
    if (e == ERR_OK) {
        e = clone_pairs(d->attributes, d->attribute_count, &copy->attributes,
                        &copy->attribute_count);
    }
    if (e != ERR_OK) {
        device_drop(copy);
        return e;
    }
    *ret_device = copy;
    return ERR_OK;
}

static bool same_pairs(const struct device_pair *a, uint32_t a_count, const struct device_pair *b,
                       uint32_t b_count)
{
    if (a_count != b_count) {
        return false;
    }
    for (uint32_t i = 0; i < a_count; i++) {
        /* "1" and 1 have the same text and are not the same value. */
        bool same_number = a[i].number == b[i].number || (isnan(a[i].number) && isnan(b[i].number));
        if (!same_number || strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].text, b[i].text) != 0) {
            return false;
        }
    }
    return true;
}

bool catalog_device_same(const struct device *a, const struct device *b)
{
    return a->id == b->id && a->type == b->type && a->gateway == b->gateway &&
           a->enabled == b->enabled && strcmp(a->name, b->name) == 0 &&
           same_pairs(a->labels, a->label_count, b->labels, b->label_count) &&
           same_pairs(a->attributes, a->attribute_count, b->attributes, b->attribute_count);
}
