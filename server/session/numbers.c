#include "session/numbers.h"

#include <stdlib.h>

#include "base/check.h"

enum { NUMBERS_FIRST = 64 };

static uint32_t place_of(const struct numbers *n, int64_t number)
{
    uint64_t spread = (uint64_t)number * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(spread >> 32) & (n->cap - 1);
}

static void put(struct numbers *n, int64_t number, void *value)
{
    uint32_t i = place_of(n, number);
    while (n->slots[i].number != 0) {
        i = (i + 1) & (n->cap - 1);
    }
    n->slots[i] = (struct number_slot){number, value};
}

static enum err grow(struct numbers *n)
{
    struct numbers larger = {.cap = n->cap == 0 ? NUMBERS_FIRST : n->cap * 2, .count = n->count};
    larger.slots = calloc(larger.cap, sizeof(*larger.slots));
    if (larger.slots == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < n->cap; i++) {
        if (n->slots[i].number != 0) {
            put(&larger, n->slots[i].number, n->slots[i].value);
        }
    }
    free(n->slots);
    *n = larger;
    return ERR_OK;
}

enum err numbers_put(struct numbers *n, int64_t number, void *value)
{
    CHECK(number != 0 && numbers_get(n, number) == NULL);
    if (n->count * 2 >= n->cap && grow(n) != ERR_OK) {
        return ERR_NOMEM;
    }
    put(n, number, value);
    n->count++;
    return ERR_OK;
}

/* Its slot; n->cap: not there. */
static uint32_t find(const struct numbers *n, int64_t number)
{
    if (n->cap == 0 || number == 0) {
        return n->cap;
    }
    for (uint32_t i = place_of(n, number); n->slots[i].number != 0; i = (i + 1) & (n->cap - 1)) {
        if (n->slots[i].number == number) {
            return i;
        }
    }
    return n->cap;
}

void *numbers_get(const struct numbers *n, int64_t number)
{
    uint32_t i = find(n, number);
    return i == n->cap ? NULL : n->slots[i].value;
}

/* What follows without a gap moves up, so that no search ends too early. */
void numbers_remove(struct numbers *n, int64_t number)
{
    uint32_t hole = find(n, number);
    if (hole == n->cap) {
        return;
    }
    n->count--;
    uint32_t mask = n->cap - 1;
    for (uint32_t i = (hole + 1) & mask; n->slots[i].number != 0; i = (i + 1) & mask) {
        uint32_t wanted = place_of(n, n->slots[i].number);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            n->slots[hole] = n->slots[i];
            hole = i;
        }
    }
    n->slots[hole] = (struct number_slot){0};
}

void numbers_fini(struct numbers *n)
{
    free(n->slots);
    *n = (struct numbers){0};
}
