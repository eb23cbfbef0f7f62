/*
 * intern: names <-> small dense numbers, for metric names on the hot path.
 *
 * A number is given once and never reused; 1 is the first. Look-ups are lock-free; adding takes a
 * lock. Ownership: names live as long as the intern. Threads:   any. Limits:    `limit` names in
 * all; after that intern_add() gives 0.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct intern;

NODISCARD struct intern *intern_new(int32_t limit); /* NULL: out of memory */
void intern_free(struct intern *in);
int32_t intern_find(const struct intern *in, struct view name); /* 0: unknown */
int32_t intern_add(struct intern *in, struct view name); /* finds or adds; 0: full or no memory */
struct view intern_name(const struct intern *in, int32_t id); /* empty: no such id */
int32_t intern_count(const struct intern *in);                /* ids 1..count exist */
/* At start only: gives `name` the number it has in the database. ERR_EXISTS when either is taken.
 */
NODISCARD enum err intern_restore(struct intern *in, int32_t id, struct view name);
