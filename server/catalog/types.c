/*
 * Device types. PostgreSQL unpacks the JSON definition into rows; what does not have the declared
 * shape (the API refuses it, an SQL user may not) is passed over instead of failing the whole load.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/ident.h"
#include "base/log.h"
#include "catalog/catalog_internal.h"

enum { METRICS_MAX_DEFAULT = 1000 }; /* undeclared metrics in one message */
static const int64_t retired_for_us = CLOCK_MINUTE_US;

struct catalog_retired {
    struct catalog_retired *next;
    struct device_type *type;
    int64_t at_us;
};

/* The types read in one go, sorted by id. */
struct type_list {
    struct device_type **items;
    size_t count;
};

#define ONE_OR_ALL " WHERE $1::text IS NULL OR t.name = $1"

static const char sql_types[] =
    "SELECT t.id, t.name, t.any_metric, t.auto_register,"
    " CASE WHEN jsonb_typeof(t.definition->'metrics_max') = 'number'"
    " THEN least(greatest((t.definition->>'metrics_max')::numeric, 0), 1000000)::int END"
    " FROM device_types t" ONE_OR_ALL " ORDER BY t.id";

static const char sql_metrics[] =
    "SELECT t.id, m.key, m.value->>'unit',"
    " CASE WHEN jsonb_typeof(m.value->'min') = 'number' THEN m.value->>'min' END,"
    " CASE WHEN jsonb_typeof(m.value->'max') = 'number' THEN m.value->>'max' END,"
    " CASE WHEN jsonb_typeof(m.value->'baseline_samples') = 'number'"
    " THEN least(greatest((m.value->>'baseline_samples')::numeric, 0), 1000000)::bigint END,"
    " (SELECT string_agg(x #>> '{}', ' ') FROM jsonb_array_elements("
    "  CASE WHEN jsonb_typeof(m.value->'missing') = 'array' THEN m.value->'missing' ELSE '[]' END) "
    "x"
    "  WHERE jsonb_typeof(x) = 'number'),"
    " CASE WHEN jsonb_typeof(m.value->'modulus') = 'number' THEN m.value->>'modulus' END"
    " FROM device_types t, jsonb_each("
    "  CASE WHEN jsonb_typeof(t.definition->'metrics') = 'object' THEN t.definition->'metrics'"
    "  ELSE '{}' END) m" ONE_OR_ALL " ORDER BY t.id";

/* Names in definition->commands, topics->publish, topics->subscribe; an object stands for its
 * "name". */
static const char sql_names[] =
    "SELECT t.id, l.kind, CASE jsonb_typeof(e.value) WHEN 'string' THEN e.value #>> '{}'"
    "  WHEN 'object' THEN e.value->>'name' END"
    " FROM device_types t, LATERAL (VALUES (0, t.definition->'commands'),"
    "  (1, t.definition#>'{topics,publish}'), (2, t.definition#>'{topics,subscribe}')) l (kind, "
    "list),"
    " jsonb_array_elements(CASE WHEN jsonb_typeof(l.list) = 'array' THEN l.list ELSE '[]' END)"
    "  WITH ORDINALITY e (value, nr)" ONE_OR_ALL " ORDER BY t.id, l.kind, e.nr";

static void list_fini(struct type_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        device_type_drop(list->items[i]);
    }
    free(list->items);
}

static struct device_type *list_find(const struct type_list *list, int32_t id)
{
    for (size_t low = 0, high = list->count; low < high;) {
        size_t mid = (low + high) / 2;
        if (list->items[mid]->id == id) {
            return list->items[mid];
        }
        if (list->items[mid]->id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

static enum err query(struct db *db, const char *sql, const char *name, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, name);
    return db_query(db, sql, &p, ret_rows);
}

static enum err read_heads(const struct catalog *c, struct db *db, const char *name,
                           struct type_list *list)
{
    struct db_result *rows = NULL;
    enum err e = query(db, sql_types, name, &rows);
    if (e != ERR_OK) {
        return e;
    }
    list->items = calloc((size_t)db_rows(rows) + 1, sizeof(struct device_type *));
    e = list->items == NULL ? ERR_NOMEM : ERR_OK;
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        struct device_type *t = device_type_new();
        if (t == NULL) {
            e = ERR_NOMEM;
            break;
        }
        list->items[list->count++] = t;
        t->id = (int32_t)db_get_int(rows, i, 0);
        t->name = strdup(db_get(rows, i, 1));
        t->any_metric = db_get_bool(rows, i, 2);
        t->auto_register = db_get_bool(rows, i, 3);
        int64_t most = db_is_null(rows, i, 4) ? METRICS_MAX_DEFAULT : db_get_int(rows, i, 4);
        int64_t limit = c->conf->values_per_message_max;
        t->metrics_max = (int32_t)(most < limit ? most : limit);
        e = t->name == NULL ? ERR_NOMEM : ERR_OK;
    }
    db_result_free(rows);
    return e;
}

/* How many rows from `row` on belong to the same type. */
static int run_length(const struct db_result *rows, int row)
{
    int n = 0;
    int64_t id = db_get_int(rows, row, 0);
    while (row + n < db_rows(rows) && db_get_int(rows, row + n, 0) == id) {
        n++;
    }
    return n;
}

/* "511 -1 999.9" */
static enum err parse_missing(const char *text, struct metric_spec *spec)
{
    size_t words = 1;
    for (const char *at = text; *at != '\0'; at++) {
        words += *at == ' ';
    }
    if (text[0] == '\0') {
        return ERR_OK;
    }
    spec->missing = calloc(words, sizeof(double));
    if (spec->missing == NULL) {
        return ERR_NOMEM;
    }
    const char *at = text;
    for (size_t i = 0; i < words; i++) {
        char *end = NULL;
        spec->missing[i] = strtod(at, &end);
        if (end == at) {
            break;
        }
        spec->missing_count++;
        at = end;
    }
    return ERR_OK;
}

static enum err make_metric(struct catalog *c, const struct db_result *rows, int row,
                            struct metric_spec *spec)
{
    struct view name = db_get_view(rows, row, 1);
    spec->metric = intern_add(c->metrics, name);
    if (spec->metric == 0) {
        return ERR_LIMIT; /* metrics_max names are in use */
    }
    spec->name = strdup(db_get(rows, row, 1));
    spec->unit = strdup(db_get(rows, row, 2));
    spec->has_min = !db_is_null(rows, row, 3);
    spec->has_max = !db_is_null(rows, row, 4);
    spec->min = spec->has_min ? db_get_real(rows, row, 3) : 0;
    spec->max = spec->has_max ? db_get_real(rows, row, 4) : 0;
    spec->baseline_samples = db_get_int(rows, row, 5);
    double modulus = db_is_null(rows, row, 7) ? 0 : db_get_real(rows, row, 7);
    spec->modulus = modulus > 0 ? modulus : 0;
    if (spec->name == NULL || spec->unit == NULL) {
        return ERR_NOMEM;
    }
    return parse_missing(db_get(rows, row, 6), spec);
}

static int by_metric(const void *a, const void *b)
{
    const struct metric_spec *x = a;
    const struct metric_spec *y = b;
    return (x->metric > y->metric) - (x->metric < y->metric);
}

static enum err make_metrics(struct catalog *c, const struct db_result *rows, int row, int count,
                             struct device_type *t)
{
    t->metrics = calloc((size_t)count, sizeof(*t->metrics));
    if (t->metrics == NULL) {
        return ERR_NOMEM;
    }
    for (int i = row; i < row + count; i++) {
        if (!ident_metric_valid(db_get_view(rows, i, 1))) {
            LOG(LOG_WARN, "type_metric_left_out", LOG_S("type", t->name),
                LOG_V("metric", db_get_view(rows, i, 1)), LOG_S("why", "not a valid metric name"));
            continue;
        }
        struct metric_spec *spec = &t->metrics[t->metric_count];
        enum err e = make_metric(c, rows, i, spec);
        if (e == ERR_LIMIT) {
            LOG(LOG_WARN, "type_metric_left_out", LOG_S("type", t->name),
                LOG_V("metric", db_get_view(rows, i, 1)),
                LOG_S("why", "metrics_max names are in use; raise the setting"));
            continue;
        }
        t->metric_count++;
        if (e != ERR_OK) {
            return e;
        }
    }
    qsort(t->metrics, t->metric_count, sizeof(*t->metrics), by_metric);
    return ERR_OK;
}

static enum err read_metrics(struct catalog *c, struct db *db, const char *name,
                             const struct type_list *list)
{
    struct db_result *rows = NULL;
    enum err e = query(db, sql_metrics, name, &rows);
    for (int i = 0; e == ERR_OK && i < db_rows(rows);) {
        int n = run_length(rows, i);
        struct device_type *t = list_find(list, (int32_t)db_get_int(rows, i, 0));
        if (t != NULL) {
            e = make_metrics(c, rows, i, n, t);
        }
        i += n;
    }
    db_result_free(rows);
    return e;
}

static enum err add_name(char ***names, uint32_t *count, const char *name)
{
    char **bigger = realloc(*names, (*count + 1) * sizeof(*bigger));
    if (bigger == NULL) {
        return ERR_NOMEM;
    }
    *names = bigger;
    bigger[*count] = strdup(name);
    if (bigger[*count] == NULL) {
        return ERR_NOMEM;
    }
    (*count)++;
    return ERR_OK;
}

static enum err read_names(struct db *db, const char *name, const struct type_list *list)
{
    struct db_result *rows = NULL;
    enum err e = query(db, sql_names, name, &rows);
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        struct device_type *t = list_find(list, (int32_t)db_get_int(rows, i, 0));
        if (t == NULL || db_is_null(rows, i, 2)) {
            continue;
        }
        int64_t kind = db_get_int(rows, i, 1);
        const char *word = db_get(rows, i, 2);
        if (kind == 0) {
            e = add_name(&t->commands, &t->command_count, word);
        } else if (kind == 1) {
            e = add_name(&t->publish_topics, &t->publish_topic_count, word);
        } else {
            e = add_name(&t->subscribe_topics, &t->subscribe_topic_count, word);
        }
    }
    db_result_free(rows);
    return e;
}

/* Under the lock: takes the type's hold and drops it once no rule_compile() can be reading it any
 * more. */
static void retire(struct catalog *c, struct device_type *t)
{
    int64_t now = clock_mono_us();
    struct catalog_retired *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return; /* kept for ever: better than freed under a reader */
    }
    *r = (struct catalog_retired){.next = c->retired, .type = t, .at_us = now};
    c->retired = r;
    for (struct catalog_retired **at = &c->retired; *at != NULL;) {
        struct catalog_retired *old = *at;
        if (now - old->at_us < retired_for_us) {
            at = &old->next;
            continue;
        }
        *at = old->next;
        device_type_drop(old->type);
        free(old);
    }
}

void catalog_retired_free(struct catalog *c)
{
    while (c->retired != NULL) {
        struct catalog_retired *next = c->retired->next;
        device_type_drop(c->retired->type);
        free(c->retired);
        c->retired = next;
    }
}

static void unpublish(struct catalog *c, struct view name)
{
    struct device_type *old = map_remove(&c->types, name);
    if (old != NULL) {
        (void)map_remove(&c->type_ids, catalog_id_key(&old->id));
        retire(c, old);
    }
}

static enum err publish(struct catalog *c, struct device_type *t)
{
    void *old = NULL;
    void *ignored = NULL;
    lock_take(&c->lock);
    struct device_type *before = map_get(&c->types, view_str(t->name));
    if (before != NULL && before->id != t->id) {
        unpublish(c, view_str(t->name));
    }
    enum err e = map_put(&c->type_ids, catalog_id_key(&t->id), t, &ignored);
    if (e == ERR_OK) {
        e = map_put(&c->types, view_str(t->name), t, &old);
        if (e != ERR_OK) {
            (void)map_remove(&c->type_ids, catalog_id_key(&t->id));
        }
    }
    if (e == ERR_OK) {
        device_type_hold(t);
    }
    if (old != NULL) {
        retire(c, old);
    }
    lock_give(&c->lock);
    return e;
}

enum err catalog_read_types(struct catalog *c, struct db *db, const char *name,
                            struct catalog_ids *ret_changed)
{
    struct type_list list = {0};
    enum err e = read_heads(c, db, name, &list);
    if (e == ERR_OK) {
        e = read_metrics(c, db, name, &list);
    }
    if (e == ERR_OK) {
        e = read_names(db, name, &list);
    }
    for (size_t i = 0; e == ERR_OK && i < list.count; i++) {
        e = publish(c, list.items[i]);
        if (e == ERR_OK) {
            e = catalog_ids_add(ret_changed, list.items[i]->id);
        }
    }
    if (e == ERR_OK && name != NULL && list.count == 0) {
        struct device_type *gone = catalog_type(c, view_str(name));
        if (gone != NULL) {
            e = catalog_ids_add(ret_changed, gone->id);
            lock_take(&c->lock);
            unpublish(c, view_str(name));
            lock_give(&c->lock);
            device_type_drop(gone);
        }
    }
    list_fini(&list);
    return e;
}
