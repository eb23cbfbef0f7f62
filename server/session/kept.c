#include <stdlib.h>

#include "session/private.h"

struct kept *kept_new(void)
{
    struct kept *k = calloc(1, sizeof(*k));
    if (k != NULL) {
        list_init(&k->queue);
        list_init(&k->live);
        list_init(&k->under_way);
        k->next_expiry_us = CLOCK_NONE;
    }
    return k;
}

void kept_free(struct sessions *all, struct kept *k)
{
    if (k == NULL) {
        return;
    }
    struct list *const lists[] = {&k->under_way, &k->queue, &k->live};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        for (struct list *at = list_pop_front(lists[i]); at != NULL;
             at = list_pop_front(lists[i])) {
            outgoing_end(all, k->number, CONTAINER_OF(at, struct outgoing, link), ERR_CLOSED);
        }
    }
    filters_fini(&k->filters);
    ids_fini(&k->used);
    ids_fini(&k->received);
    ids_fini(&k->routed);
    free(k);
}
