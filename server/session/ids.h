/*
 * ids: a set of packet identifiers, sorted, as small as what is in it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct ids {
    uint16_t *at;
    uint32_t count, cap;
};

void ids_fini(struct ids *s);
bool ids_has(const struct ids *s, uint16_t id);
NODISCARD enum err ids_add(struct ids *s, uint16_t id); /* an id that it has: no change */
bool ids_remove(struct ids *s, uint16_t id);            /* false: was not there */
