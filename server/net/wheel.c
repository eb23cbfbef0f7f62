#include "net/wheel.h"

#include <stddef.h>

/*
 * A hashed wheel: an entry sits in the slot of its tick modulo the number of slots, and one that is
 * further away than a revolution (51 s) is passed over until its tick comes. Each entry is looked
 * at once a revolution, which is nothing for the ten thousand entries a loop holds.
 */

void wheel_init(struct wheel *w, int64_t now_us)
{
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    w->tick = now_us / WHEEL_TICK_US;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, int64_t at_us)
{
    wheel_cancel(e);
    e->at_us = at_us;
    int64_t tick = (at_us + WHEEL_TICK_US - 1) / WHEEL_TICK_US; /* never early */
    if (tick < w->tick) {
        tick = w->tick;
    }
    list_push_back(&w->slots[tick % WHEEL_SLOTS], &e->link);
}

void wheel_cancel(struct wheel_entry *e)
{
    if (list_linked(&e->link)) {
        list_remove(&e->link);
    }
}

/* What is due moves to a list of its own first: firing may link entries into this very slot. */
static void wheel_turn_slot(struct wheel *w, int64_t now_us, wheel_fire_fn fire, void *arg)
{
    struct list *slot = &w->slots[w->tick % WHEEL_SLOTS];
    struct list due;
    list_init(&due);
    struct list *next = NULL;
    for (struct list *at = slot->next; at != slot; at = next) {
        next = at->next;
        if (CONTAINER_OF(at, struct wheel_entry, link)->at_us <= now_us) {
            list_remove(at);
            list_push_back(&due, at);
        }
    }
    w->tick++;
    for (struct list *at = list_pop_front(&due); at != NULL; at = list_pop_front(&due)) {
        fire(arg, CONTAINER_OF(at, struct wheel_entry, link));
    }
}

void wheel_turn(struct wheel *w, int64_t now_us, wheel_fire_fn fire, void *arg)
{
    int64_t last = now_us / WHEEL_TICK_US;
    if (last - w->tick >= WHEEL_SLOTS) {
        w->tick =
            last - WHEEL_SLOTS + 1; /* asleep for a revolution: one look at each slot is all */
    }
    while (w->tick <= last) {
        wheel_turn_slot(w, now_us, fire, arg);
    }
}
