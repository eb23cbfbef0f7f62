/*
 * blocks: short-lived memory of one size, kept apart from the heap.
 *
 * A large block that is freed after milliseconds leaves a hole among the small ones that were
 * allocated meanwhile and stay for months: the heap splits it, and the next large block needs new
 * memory. Here such blocks lie side by side and are used again at once, the last one given back
 * first; what was needed in a busy moment goes back to the system.
 *
 * Ownership: blocks_init() reserves addresses, not memory; they are never given back.
 * Threads:   take and give from any.
 * Limits:    `count` blocks at once. Pages of BLOCKS_HOT free ones are kept.
 * Errors:    blocks_take() gives NULL when all are in use, or the addresses could not be reserved.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"

enum { BLOCKS_HOT = 32 };

struct blocks {
    struct lock lock;
    uint8_t *from, *to;
    size_t size;
    uint32_t used; /* blocks that were ever taken; those behind have no memory yet */
    uint32_t hot_count, cold_count;
    void *hot[BLOCKS_HOT];
    void **cold; /* free, and their pages are the system's */
};

/* size: a multiple of 4 KiB. */
void blocks_init(struct blocks *b, size_t size, uint32_t count);
void *blocks_take(struct blocks *b); /* not zeroed */
void blocks_give(struct blocks *b, void *block);

static inline bool blocks_has(const struct blocks *b, const void *p)
{
    return (const uint8_t *)p >= b->from && (const uint8_t *)p < b->to;
}
