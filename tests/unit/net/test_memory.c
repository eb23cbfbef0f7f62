#include <string.h>

#include <criterion/criterion.h>

#include "net/private.h"

/* Criterion has used OpenSSL already, which then takes no other memory: the functions alone. */

static void *take(size_t size)
{
    return net_memory_take(size, "", 0);
}

static void *resize(void *p, size_t size)
{
    return net_memory_resize(p, size, "", 0);
}

static void give(void *p)
{
    net_memory_give(p, "", 0);
}

static void fill(uint8_t *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        p[i] = (uint8_t)(i * 7);
    }
}

static bool is_filled(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != (uint8_t)(i * 7)) {
            return false;
        }
    }
    return true;
}

Test(memory, contents_survive_every_change_of_size)
{
    net_memory_init();
    /* Out of the heap, into small blocks, large ones, the heap again, and back; passing or not. */
    static const size_t sizes[] = {1,     4095, 4096,  8192, 8193,   24576, 24577, 100000,
                                   24576, 8192, 20000, 4096, 100000, 5000,  16,    8000};
    for (size_t first = 0; first < COUNT_OF(sizes); first++) {
        for (unsigned mask = 0; mask < 4; mask++) {
            net_memory_passing((mask & 1u) != 0);
            uint8_t *p = take(sizes[first]);
            cr_assert_not_null(p);
            fill(p, 0, sizes[first]);
            for (size_t next = 0; next < COUNT_OF(sizes); next++) {
                net_memory_passing((mask & 2u) != 0 && next % 2 == 0);
                size_t kept = sizes[next == 0 ? first : next - 1];
                kept = kept < sizes[next] ? kept : sizes[next];
                p = resize(p, sizes[next]);
                cr_assert_not_null(p);
                cr_assert(is_filled(p, kept), "to %zu", sizes[next]);
                fill(p, 0, sizes[next]);
            }
            give(p);
        }
    }
    net_memory_passing(false);
}

Test(memory, nothing_and_null_mean_what_openssl_expects)
{
    net_memory_init();
    net_memory_passing(true);
    cr_expect_null(take(0));
    give(NULL);
    uint8_t *p = resize(NULL, 5000);
    cr_assert_not_null(p);
    cr_expect_null(resize(p, 0)); /* freed: the next one gets its block */
    cr_expect_eq(take(5000), p);
}

Test(memory, only_what_is_passing_and_large_is_apart)
{
    net_memory_init();
    net_memory_passing(true);
    uint8_t *passing = take(17000);
    give(passing);
    uint8_t *small = take(500);
    net_memory_passing(false);
    uint8_t *lasting = take(17000);
    cr_expect_neq(lasting, passing);
    net_memory_passing(true);
    cr_expect_eq(take(17000), passing, "the block was still free");
    net_memory_passing(false);
    give(small);
    give(lasting);
    give(passing);
}
