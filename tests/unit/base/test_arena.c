#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/arena.h"

Test(arena, every_piece_is_aligned_and_its_own)
{
    struct arena a;
    uint8_t *pieces[500];
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < 500; i++) {
        pieces[i] = arena_alloc(&a, i);
        cr_assert_not_null(pieces[i]);
        cr_expect_eq((uintptr_t)pieces[i] % 16, 0u);
        memset(pieces[i], (int)(i & 0xFF), i);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t at = 0; at < i; at++) {
            cr_assert_eq(pieces[i][at], (uint8_t)(i & 0xFF));
        }
    }
    arena_fini(&a);
    cr_expect_eq(a.used_bytes, 0u);
    cr_expect_not_null(arena_alloc(&a, 8), "a finished arena is an empty one");
    arena_fini(&a);
}

Test(arena, the_limit_holds)
{
    for (size_t limit = 0; limit < 20000; limit += 1237) {
        struct arena a;
        size_t got = 0;
        arena_init(&a, limit);
        while (arena_alloc(&a, 48) != NULL) {
            got += 48;
            cr_assert_leq(got, limit);
        }
        cr_expect_leq(a.used_bytes, limit);
        cr_expect_gt(got + 4096, limit, "a limit of %zu gave only %zu", limit, got);
        arena_fini(&a);
    }
    struct arena a;
    arena_init(&a, 100000);
    cr_expect_null(arena_alloc(&a, 100001));
    cr_expect_not_null(arena_alloc(&a, 99984));
    cr_expect_null(arena_alloc(&a, 32));
    arena_fini(&a);
}

Test(arena, no_size_wraps_around)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 48,
                                   SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct arena a;
        arena_init(&a, SIZE_MAX);
        cr_expect_null(arena_alloc(&a, sizes[i]));
        cr_expect_null(arena_zalloc(&a, sizes[i]));
        cr_expect_not_null(arena_alloc(&a, 1), "still usable");
        arena_fini(&a);
    }
}

Test(arena, reset_keeps_one_chunk_and_gives_it_again)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    arena_reset(&a);
    for (int i = 0; i < 100; i++) {
        cr_assert_not_null(arena_alloc(&a, 1000));
    }
    size_t before = a.used_bytes;
    arena_reset(&a);
    cr_expect_lt(a.used_bytes, before);
    cr_expect_gt(a.used_bytes, 0u);
    size_t kept = a.used_bytes;
    for (int round = 0; round < 100; round++) {
        void *p = arena_alloc(&a, 1000);
        cr_assert_not_null(p);
        arena_reset(&a);
        cr_expect_eq(a.used_bytes, kept, "no growth from round to round");
    }
    arena_fini(&a);
}

Test(arena, strings_and_views_are_copies)
{
    struct arena a;
    arena_init(&a, 4096);
    char source[] = "text";
    char *s = arena_str(&a, view_str(source));
    struct view v = arena_view(&a, view_str(source));
    source[0] = 'n';
    cr_expect_str_eq(s, "text");
    cr_expect(view_eq(v, VIEW("text")));
    cr_expect_str_eq(arena_str(&a, view_of(NULL, 0)), "");
    cr_expect_eq(arena_view(&a, view_of(NULL, 0)).len, 0u);
    const uint8_t *zero = arena_zalloc(&a, 100);
    cr_assert_not_null(zero);
    for (size_t i = 0; i < 100; i++) {
        cr_expect_eq(zero[i], 0);
    }
    arena_fini(&a);
    struct arena none;
    arena_init(&none, 0);
    cr_expect_null(arena_str(&none, VIEW("x")));
    cr_expect_null(arena_view(&none, VIEW("x")).data);
    arena_fini(&none);
}
