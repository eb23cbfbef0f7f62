#include <string.h>

#include <criterion/criterion.h>

#include "base/blocks.h"

enum { SIZE = 8192, COUNT = 100 };

Test(blocks, each_is_there_once_and_writable_to_its_end)
{
    struct blocks b;
    blocks_init(&b, SIZE, COUNT);
    uint8_t *taken[COUNT];
    for (int i = 0; i < COUNT; i++) {
        taken[i] = blocks_take(&b);
        cr_assert_not_null(taken[i], "block %d", i);
        cr_assert(blocks_has(&b, taken[i]));
        memset(taken[i], i, SIZE);
    }
    cr_expect_null(blocks_take(&b), "one too many");
    for (int i = 0; i < COUNT; i++) {
        cr_expect(taken[i][0] == i && taken[i][SIZE - 1] == i, "block %d was written by another",
                  i);
    }
    int elsewhere;
    cr_expect(!blocks_has(&b, &elsewhere) && !blocks_has(&b, NULL));
}

Test(blocks, the_last_one_given_back_is_used_first)
{
    struct blocks b;
    blocks_init(&b, SIZE, COUNT);
    void *first = blocks_take(&b);
    void *second = blocks_take(&b);
    blocks_give(&b, second);
    blocks_give(&b, first);
    cr_expect_eq(blocks_take(&b), first);
    cr_expect_eq(blocks_take(&b), second);
}

Test(blocks, after_a_busy_moment_the_memory_is_the_systems_again)
{
    struct blocks b;
    blocks_init(&b, SIZE, COUNT);
    uint8_t *taken[COUNT];
    for (int i = 0; i < COUNT; i++) {
        taken[i] = blocks_take(&b);
        memset(taken[i], 0xEE, SIZE);
    }
    for (int i = 0; i < COUNT; i++) {
        blocks_give(&b, taken[i]);
    }
    int kept = 0;
    for (int i = 0; i < COUNT; i++) {
        uint8_t *again = blocks_take(&b);
        cr_assert_not_null(again);
        kept += again[0] == 0xEE; /* pages of the system come back as zeros */
    }
    cr_expect_eq(kept, BLOCKS_HOT);
    cr_expect_null(blocks_take(&b));
}
