#include "api/waits.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/lock.h"

struct api_wait {
    struct list node;
    struct api_request *request;
    int64_t command_id;
    int64_t deadline_us;
    store_work_fn ended;
    bool checking; /* the read is under way */
    bool over;     /* the event came during the read */
};

struct api_waits {
    struct lock lock;
    struct list all;
    bool stopping;
};

struct api_waits *api_waits_new(void)
{
    struct api_waits *w = calloc(1, sizeof(*w));
    if (w != NULL) {
        lock_init(&w->lock);
        list_init(&w->all);
    }
    return w;
}

void api_waits_free(struct api_waits *w)
{
    if (w != NULL) {
        lock_fini(&w->lock);
        free(w);
    }
}

struct api_wait *api_waits_add(struct api_waits *w, struct api_request *r, int64_t command_id,
                               int64_t deadline_us, store_work_fn ended)
{
    struct api_wait *wait = arena_zalloc(&r->arena, sizeof(*wait));
    if (wait == NULL) {
        return NULL;
    }
    wait->request = r;
    wait->command_id = command_id;
    wait->deadline_us = deadline_us;
    wait->ended = ended;
    wait->checking = true;
    lock_take(&w->lock);
    bool refused = w->stopping;
    if (!refused) {
        list_push_back(&w->all, &wait->node);
    }
    lock_give(&w->lock);
    return refused ? NULL : wait;
}

bool api_waits_checked(struct api_waits *w, struct api_wait *wait, bool is_final)
{
    lock_take(&w->lock);
    bool over = is_final || wait->over || w->stopping || clock_mono_us() >= wait->deadline_us;
    if (over) {
        list_remove(&wait->node);
    } else {
        wait->checking = false;
    }
    lock_give(&w->lock);
    return over;
}

/* Ends the waits of one command (0: of all), or those whose time is up. */
static void waits_end(struct api_waits *w, int64_t command_id, int64_t now_us)
{
    struct list ended;
    list_init(&ended);
    lock_take(&w->lock);
    for (struct list *at = w->all.next; at != &w->all;) {
        struct api_wait *wait = CONTAINER_OF(at, struct api_wait, node);
        at = at->next;
        if (command_id != 0 ? wait->command_id != command_id : now_us < wait->deadline_us) {
            continue;
        }
        wait->over = true;
        if (!wait->checking) {
            list_remove(&wait->node);
            list_push_back(&ended, &wait->node);
        }
    }
    lock_give(&w->lock);
    while (!list_empty(&ended)) {
        struct api_wait *wait = CONTAINER_OF(list_pop_front(&ended), struct api_wait, node);
        api_request_again(wait->request, wait->ended);
    }
}

void api_waits_event(struct api_waits *w, int64_t command_id)
{
    waits_end(w, command_id, 0);
}

void api_waits_tick(struct api_waits *w, int64_t now_us)
{
    waits_end(w, 0, now_us);
}

void api_waits_stop(struct api_waits *w)
{
    lock_take(&w->lock);
    w->stopping = true;
    lock_give(&w->lock);
    waits_end(w, 0, INT64_MAX);
}
