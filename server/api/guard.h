/*
 * guard: how many wrong tokens an address has sent in the last minute. Pure; time is passed in.
 *
 * A fixed table: an address whose place is taken by another one is not counted until that one's
 * minute is over. IPv6 addresses count by their /64, because one
 * host has all of it.
 *
 * Threads: one, or under the owner's lock. Limits: 4096 addresses.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

enum { API_GUARD_SLOTS = 4096, API_GUARD_LIMIT = 10 };

struct api_guard {
    struct {
        uint64_t source;
        int64_t since_us;
        int32_t wrong;
    } slots[API_GUARD_SLOTS];
};

uint64_t api_guard_source(const struct sockaddr *address);
/* Counts one wrong token. 0: under the limit. Else how many seconds to wait; *ret_first: this one
 * went over it. */
int api_guard_wrong(struct api_guard *g, uint64_t source, int64_t now_us, bool *ret_first);
