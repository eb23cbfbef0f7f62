/*
 * numbers: session number -> book entry. Open addressing with linear probing; the keys are given
 * out one after another, so a multiplication spreads them well enough and nobody can choose them.
 *
 * Threads: one.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct number_slot {
    int64_t number; /* 0: empty */
    void *value;
};

struct numbers {
    struct number_slot *slots;
    uint32_t count, cap; /* cap: a power of two, or 0 */
};

NODISCARD enum err numbers_put(struct numbers *n, int64_t number, void *value); /* not there yet */
void *numbers_get(const struct numbers *n, int64_t number); /* NULL: not there */
void numbers_remove(struct numbers *n, int64_t number);
void numbers_fini(struct numbers *n);
