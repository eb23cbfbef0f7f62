/*
 * budget: how much may be under way. Whoever finds it full marks it, and is called when a fifth of
 * it is free again.
 *
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget {
    int64_t messages_max, bytes_max;
    atomic_int_fast64_t messages, bytes;
    atomic_bool starved;
};

static inline void budget_take(struct budget *b, int64_t messages, int64_t bytes)
{
    atomic_fetch_add_explicit(&b->messages, messages, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->bytes, bytes, memory_order_relaxed);
}

static inline bool budget_is_used_up(const struct budget *b)
{
    return atomic_load(&b->messages) >= b->messages_max || atomic_load(&b->bytes) >= b->bytes_max;
}

static inline bool budget_full(struct budget *b)
{
    if (!budget_is_used_up(b)) {
        return false;
    }
    atomic_store(&b->starved, true);
    return budget_is_used_up(b); /* room made just before the mark was set called nobody */
}

/* True: whoever found it full is to be called. */
static inline bool budget_give_back(struct budget *b, int64_t messages, int64_t bytes)
{
    int64_t left = atomic_fetch_sub(&b->messages, messages) - messages;
    int64_t left_bytes = atomic_fetch_sub(&b->bytes, bytes) - bytes;
    bool room = left <= b->messages_max * 4 / 5 && left_bytes <= b->bytes_max * 4 / 5;
    return room && atomic_exchange(&b->starved, false);
}
