#include <stdlib.h>
#include <string.h>

#include "session/private.h"

/*
 * A device has a handful of filters, which are looked through one by one. A client of the open
 * listener may have any number: from FILTERS_MAPPED on a map knows their places.
 */

enum { FILTERS_MAPPED = 16 };

static void *place_value(uint32_t place)
{
    return (void *)(uintptr_t)(place + 1);
}

static enum err place_put(struct filters *f, uint32_t place)
{
    void *old = NULL;
    return map_put(&f->places, view_str(f->at[place].filter), place_value(place), &old);
}

struct session_filter *filters_find(struct filters *f, struct view filter)
{
    if (f->places.used > 0) {
        uintptr_t place = (uintptr_t)map_get(&f->places, filter);
        return place == 0 ? NULL : &f->at[place - 1];
    }
    for (uint32_t i = 0; i < f->count; i++) {
        if (view_eq_str(filter, f->at[i].filter)) {
            return &f->at[i];
        }
    }
    return NULL;
}

static enum err filters_room(struct filters *f)
{
    if (f->count < f->cap) {
        return ERR_OK;
    }
    uint32_t cap = f->cap == 0 ? 2 : f->cap * 2;
    struct session_filter *at = realloc(f->at, cap * sizeof(*at));
    if (at == NULL) {
        return ERR_NOMEM;
    }
    f->at = at;
    f->cap = cap;
    return ERR_OK;
}

/* The last one is new. */
static enum err filters_index(struct filters *f)
{
    if (f->places.used > 0) {
        return place_put(f, f->count - 1);
    }
    for (uint32_t i = 0; f->count >= FILTERS_MAPPED && i < f->count; i++) {
        if (place_put(f, i) != ERR_OK) {
            map_fini(&f->places);
            return ERR_NOMEM;
        }
    }
    return ERR_OK;
}

enum err filters_set(struct filters *f, struct view filter, uint8_t options, uint32_t identifier,
                     uint32_t max, struct session_filter **ret_filter)
{
    struct session_filter *old = filters_find(f, filter);
    if (old != NULL) {
        old->options = options;
        old->identifier = identifier;
        *ret_filter = old;
        return ERR_OK;
    }
    if (f->count >= max) {
        return ERR_FULL;
    }
    char *copy = filters_room(f) == ERR_OK ? malloc(filter.len + 1) : NULL;
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    (void)view_copy(filter, copy, filter.len + 1);
    f->at[f->count++] =
        (struct session_filter){.filter = copy, .options = options, .identifier = identifier};
    if (filters_index(f) != ERR_OK) {
        f->count--;
        free(copy);
        return ERR_NOMEM;
    }
    *ret_filter = &f->at[f->count - 1];
    return ERR_OK;
}

void filters_remove(struct filters *f, struct session_filter *filter)
{
    uint32_t place = (uint32_t)(filter - f->at);
    bool mapped = f->places.used > 0;
    if (mapped) {
        (void)map_remove(&f->places, view_str(filter->filter));
    }
    free(filter->filter);
    f->count--;
    *filter = f->at[f->count];
    if (mapped && place < f->count) {
        CHECK(place_put(f, place) == ERR_OK); /* it was there: nothing is allocated */
    }
    if (f->count == 0) {
        filters_fini(f);
    }
}

void filters_fini(struct filters *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        free(f->at[i].filter);
    }
    free(f->at);
    map_fini(&f->places);
    *f = (struct filters){0};
}
