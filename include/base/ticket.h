/*
 * ticket: "tell me when everything in this publish is on disk".
 *
 * The ticket is embedded in the object that waits, so that a publish costs no allocation of its
 * own. Ownership: ticket_init() gives its caller one hold; each hold is given back once with
 * ticket_drop(). The memory must stay until `done` has run; `done` may free it. Threads:   hold and
 * drop from any thread; the callback runs on the thread of the last drop. Errors:    the callback
 * sees the first status that was not ERR_OK.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"

struct ticket;
typedef void (*ticket_done_fn)(struct ticket *t, enum err status);

struct ticket {
    ticket_done_fn done;
    atomic_int holds;
    atomic_int status;
};

void ticket_init(struct ticket *t, ticket_done_fn done);
void ticket_hold(struct ticket *t);
void ticket_drop(struct ticket *t, enum err status);
