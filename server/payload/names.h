/*
 * names: a set of names that numbers them from 0 in the order they came. For one message.
 *
 * Ownership: its memory is the arena's; names are views that must stay as long.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/view.h"

struct names {
    struct view *list; /* by number */
    uint32_t *slots;   /* number + 1; 0: free */
    uint32_t count;
    uint32_t cap; /* of slots; the list has half as many */
};

/* ERR_EXISTS when the name was there; the number is set in both cases. ERR_NOMEM: the arena is used
 * up. */
NODISCARD enum err names_add(struct names *n, struct arena *arena, struct view name,
                             uint32_t *ret_number);
