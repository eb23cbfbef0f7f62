/*
 * session/flapping: how often one device may connect and be cut off again. Two with one token that
 * take each other over, or a client that crashes on what it receives, cost a TLS handshake and a
 * row in the history each time. One that leaves with a DISCONNECT is not meant: a script that sends
 * each reading over a connection of its own is no fault.
 *
 * A table of fixed size: what a device has left is forgotten when it has all of it again. When more
 * devices than fit connect at the same moment, the one that is nearest to that gives way; so it
 * errs on the side of letting in.
 *
 * Threads: one; each loop has its own, so a device that moves between loops has a little more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { FLAPPING_BURST_S = 4, FLAPPING_SETS = 512, FLAPPING_WAYS = 8 };

struct flapping_slot {
    int64_t due_us; /* when all is there again: one number is the whole bucket */
    int32_t device_id;
};

struct flapping {
    struct flapping_slot slots[FLAPPING_SETS][FLAPPING_WAYS];
};

/* rate: connects a second, FLAPPING_BURST_S times as many at once; 0: any. False: too often. */
bool flapping_take(struct flapping *f, int32_t device_id, int64_t rate, int64_t now_us);
/* It left as it should: what it took is its own again. */
void flapping_give_back(struct flapping *f, int32_t device_id, int64_t rate);
