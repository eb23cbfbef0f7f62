#include <stdlib.h>
#include <string.h>

#include "session/private.h"

struct kept *kept_new(void)
{
    struct kept *k = calloc(1, sizeof(*k));
    if (k != NULL) {
        list_init(&k->queue);
        list_init(&k->under_way);
    }
    return k;
}

void kept_end_delivery(struct sessions *all, struct outgoing *o, enum err status)
{
    int64_t id = o->delivery->delivery_id;
    if (list_linked(&o->link)) {
        list_remove(&o->link);
    }
    free(o->delivery);
    free(o);
    if (id != 0 && all->hooks.delivered != NULL && !atomic_load(&all->stopped)) {
        all->hooks.delivered(all->hooks.arg, id, status);
    }
}

void kept_clear_filters(struct kept *k)
{
    for (uint32_t i = 0; i < k->filter_count; i++) {
        free(k->filters[i].filter);
    }
    free(k->filters);
    k->filters = NULL;
    k->filter_count = 0;
    k->filter_cap = 0;
}

void kept_free(struct sessions *all, struct kept *k)
{
    if (k == NULL) {
        return;
    }
    struct list *const lists[] = {&k->under_way, &k->queue};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        for (struct list *at = list_pop_front(lists[i]); at != NULL;
             at = list_pop_front(lists[i])) {
            kept_end_delivery(all, CONTAINER_OF(at, struct outgoing, link), ERR_CLOSED);
        }
    }
    kept_clear_filters(k);
    ids_fini(&k->received);
    free(k);
}

struct session_filter *kept_filter(struct kept *k, struct view filter)
{
    for (uint32_t i = 0; i < k->filter_count; i++) {
        if (view_eq_str(filter, k->filters[i].filter)) {
            return &k->filters[i];
        }
    }
    return NULL;
}

enum err kept_set_filter(struct kept *k, struct view filter, uint8_t options, uint32_t identifier)
{
    struct session_filter *old = kept_filter(k, filter);
    if (old != NULL) {
        old->options = options;
        old->identifier = identifier;
        return ERR_OK;
    }
    if (k->filter_count == SESSION_FILTERS_MAX) {
        return ERR_FULL;
    }
    if (k->filter_count == k->filter_cap) {
        uint32_t cap = k->filter_cap == 0 ? 2 : k->filter_cap * 2;
        struct session_filter *filters = realloc(k->filters, cap * sizeof(*filters));
        if (filters == NULL) {
            return ERR_NOMEM;
        }
        k->filters = filters;
        k->filter_cap = cap;
    }
    char *copy = malloc(filter.len + 1);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    (void)view_copy(filter, copy, filter.len + 1);
    k->filters[k->filter_count++] =
        (struct session_filter){.filter = copy, .options = options, .identifier = identifier};
    return ERR_OK;
}

bool kept_remove_filter(struct kept *k, struct view filter)
{
    struct session_filter *found = kept_filter(k, filter);
    if (found == NULL) {
        return false;
    }
    free(found->filter);
    k->filter_count--;
    struct session_filter *last = &k->filters[k->filter_count];
    memmove(found, found + 1, (size_t)((char *)last - (char *)found));
    if (k->filter_count == 0) {
        kept_clear_filters(k);
    }
    return true;
}
