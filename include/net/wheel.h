/*
 * wheel: one timer wheel per loop instead of one libuv timer per connection.
 *
 * Setting, moving and cancelling an entry is a list operation. An entry fires in the first
 * wheel_turn() at or after its time, so no earlier than asked and at most one tick later.
 *
 * Ownership: entries are embedded in what waits; the wheel only links them. An entry is cancelled
 *            before its memory goes. Firing unlinks it first.
 * Threads:   one. Time is passed in, so that tests run it with a clock of their own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { WHEEL_TICK_US = 100 * 1000, WHEEL_SLOTS = 512 };

struct wheel_entry {
    struct list link; /* first */
    int64_t at_us;
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    int64_t tick; /* the next tick to look at */
};

typedef void (*wheel_fire_fn)(void *arg, struct wheel_entry *e);

void wheel_init(struct wheel *w, int64_t now_us);
/* Sets or moves. A time that is over fires in the next turn. */
void wheel_set(struct wheel *w, struct wheel_entry *e, int64_t at_us);
void wheel_cancel(struct wheel_entry *e); /* also when it is not set */
/* Fires what is due. `fire` may set and cancel any entry, its own included. */
void wheel_turn(struct wheel *w, int64_t now_us, wheel_fire_fn fire, void *arg);

static inline bool wheel_is_set(const struct wheel_entry *e)
{
    return list_linked(&e->link);
}
