/*
 * What the tests of payload share: exact-size heap copies, so that the sanitizer sees one byte too
 * far.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/view.h"

/* A copy without a byte to spare; free() its data. */
static inline struct view heap_copy(struct view v)
{
    uint8_t *copy = malloc(v.len > 0 ? v.len : 1);
    if (copy == NULL) {
        abort();
    }
    if (v.len > 0) {
        memcpy(copy, v.data, v.len);
    }
    return view_of(copy, v.len);
}

static inline void heap_free(struct view v)
{
    free((void *)v.data);
}

/* The same numbers in every run: splitmix64. */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}
