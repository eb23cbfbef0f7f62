/*
 * Geofences. A fence is a snapshot: a changed one is read anew, and the rules that name it are
 * compiled against it (refresh.c).
 */
#include <stdlib.h>

#include "base/log.h"
#include "catalog/catalog_internal.h"
#include "geo/fence.h"

static const char sql_fences[] = "SELECT id, name, definition::text FROM geofences"
                                 " WHERE $1::text IS NULL OR name = $1 ORDER BY id";

/* Takes the caller's hold. */
static enum err publish(struct catalog *c, struct fence *f)
{
    void *old = NULL;
    lock_take(&c->lock);
    enum err e = map_put(&c->fences, view_str(fence_name(f)), f, &old);
    lock_give(&c->lock);
    fence_drop(e == ERR_OK ? old : f);
    return e;
}

static enum err read_fence(struct catalog *c, const struct db_result *rows, int row,
                           struct catalog_ids *changed)
{
    struct fence *f = NULL;
    struct fence_error why = {.pointer = ""};
    int32_t id = (int32_t)db_get_int(rows, row, 0);
    enum err e = fence_new(id, db_get_view(rows, row, 2), &f, &why);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK) { /* not as the API writes it: rules that name it will say so */
        LOG(LOG_WARN, "geofence_left_out", LOG_S("geofence", db_get(rows, row, 1)),
            LOG_S("at", why.pointer), LOG_S("why", why.detail));
        return ERR_OK;
    }
    e = publish(c, f);
    return e == ERR_OK ? catalog_ids_add(changed, id) : e;
}

enum err catalog_read_fences(struct catalog *c, struct db *db, const char *name,
                             struct catalog_ids *ret_changed)
{
    struct db_result *rows = NULL;
    struct db_params p = {0};
    db_text(&p, name);
    enum err e = db_query(db, sql_fences, &p, &rows);
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        e = read_fence(c, rows, i, ret_changed);
    }
    if (e == ERR_OK && name != NULL && db_rows(rows) == 0) {
        lock_take(&c->lock);
        struct fence *gone = map_remove(&c->fences, view_str(name));
        lock_give(&c->lock);
        fence_drop(gone);
    }
    db_result_free(rows);
    return e;
}

struct fence *catalog_fence(struct catalog *c, struct view name)
{
    lock_take(&c->lock);
    struct fence *f = map_get(&c->fences, name);
    if (f != NULL) {
        fence_hold(f);
    }
    lock_give(&c->lock);
    return f;
}

void catalog_fences_fini(struct catalog *c)
{
    MAP_FOREACH (at, &c->fences) {
        fence_drop(at->value);
    }
    map_fini(&c->fences);
}
