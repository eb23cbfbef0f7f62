#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/wire.h"

Test(buf, puts_big_endian_and_grows)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_put_u8(&b, 0x01);
    buf_put_u16(&b, 0x0203);
    buf_put_u32(&b, 0x04050607);
    buf_put_u64(&b, 0x08090A0B0C0D0E0FULL);
    buf_put_f64(&b, 1.0);
    buf_put_str(&b, "ab");
    buf_put_view(&b, VIEW("cd"));
    buf_put(&b, "", 0);
    static const uint8_t want[] = {1,  2,    3,    4, 5, 6, 7, 8, 9, 10,  11,  12,  13, 14,
                                   15, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd'};
    cr_expect(view_eq(buf_view(&b), view_of(want, sizeof(want))));
    for (int i = 0; i < 900; i++) {
        buf_put_u8(&b, (uint8_t)i);
    }
    cr_expect_eq(buf_err(&b), ERR_OK);
    cr_expect_eq(b.len, sizeof(want) + 900);
    cr_expect_eq(b.data[sizeof(want) + 899], (uint8_t)899);
    buf_fini(&b);
    cr_expect_null(b.data);
}

Test(buf, limit_is_exact_and_the_error_sticks)
{
    for (size_t limit = 0; limit < 200; limit++) {
        struct buf b;
        buf_init(&b, limit);
        for (size_t i = 0; i < limit; i++) {
            buf_put_u8(&b, (uint8_t)i);
        }
        cr_expect_eq(buf_err(&b), ERR_OK, "limit %zu", limit);
        cr_expect_leq(b.cap, limit);
        buf_put_u8(&b, 1);
        cr_expect_eq(buf_err(&b), ERR_LIMIT);
        cr_expect_eq(b.len, limit);
        buf_cut(&b, limit / 2);
        buf_put_u8(&b, 1);
        cr_expect_eq(b.len, limit - limit / 2, "after the error nothing is added");
        cr_expect_null(buf_room(&b, 0));
        buf_clear(&b);
        cr_expect_eq(buf_err(&b), ERR_OK);
        cr_expect_eq(b.len, 0u);
        if (limit > 0) {
            buf_put_u8(&b, 9);
            cr_expect_eq(b.len, 1u);
        }
        buf_fini(&b);
    }
}

Test(buf, a_piece_that_does_not_fit_is_left_out_whole)
{
    struct buf b;
    buf_init(&b, 10);
    buf_put_str(&b, "1234567");
    buf_put_str(&b, "abcd");
    buf_put_str(&b, "x");
    cr_expect_eq(buf_err(&b), ERR_LIMIT);
    cr_expect(view_eq(buf_view(&b), VIEW("1234567")));
    buf_clear(&b);
    buf_put(&b, "x", SIZE_MAX);
    cr_expect_eq(buf_err(&b), ERR_LIMIT, "no size wraps around");
    buf_fini(&b);
}

Test(buf, printf_room_patch_cut_take)
{
    struct buf b;
    buf_init(&b, 100);
    buf_put_u32(&b, 0);
    buf_printf(&b, "%s-%d", "x", 42);
    cr_expect_eq(b.len, 8u);
    buf_patch_u32(&b, 0, 0x61626364);
    cr_expect(view_eq(buf_view(&b), VIEW("abcdx-42")));
    uint8_t *room = buf_room(&b, 5);
    cr_assert_not_null(room);
    room[0] = '!';
    buf_grew(&b, 1);
    buf_cut(&b, 4);
    cr_expect(view_eq(buf_view(&b), VIEW("x-42!")));
    char *text = buf_take_str(&b);
    cr_expect_str_eq(text, "x-42!");
    free(text);
    cr_expect_eq(b.len, 0u);
    text = buf_take_str(&b);
    cr_expect_str_eq(text, "");
    free(text);
    buf_printf(&b, "%200d", 1);
    cr_expect_eq(buf_err(&b), ERR_LIMIT);
    cr_expect_null(buf_take_str(&b));
    cr_expect_eq(b.len, 0u);
    cr_expect_eq(buf_err(&b), ERR_OK, "taking starts anew");
    buf_fini(&b);
}

Test(buf, printf_that_fails_is_an_error_too)
{
    struct buf b;
    buf_init(&b, 100);
    buf_printf(&b, "%ls", L"\xDFFF");
    cr_expect_eq(buf_err(&b), ERR_RANGE);
    cr_expect_eq(b.len, 0u);
    buf_fini(&b);
}

Test(wire, reads_what_buf_wrote_and_never_past_the_end)
{
    struct buf b;
    buf_init(&b, 100);
    buf_put_u8(&b, 0xFE);
    buf_put_u16(&b, 0xFFFE);
    buf_put_u32(&b, 0xFFFFFFFE);
    buf_put_u64(&b, 0xFFFFFFFFFFFFFFFEULL);
    buf_put_str(&b, "tail");
    for (size_t cut = 0; cut <= b.len; cut++) {
        uint8_t *exact = malloc(cut > 0 ? cut : 1);
        cr_assert_not_null(exact);
        memcpy(exact, b.data, cut);
        struct wire w = wire_init(view_of(exact, cut));
        uint8_t u8 = wire_u8(&w);
        uint16_t u16 = wire_u16(&w);
        uint32_t u32 = wire_u32(&w);
        uint64_t u64 = wire_u64(&w);
        struct view tail = wire_bytes(&w, 4);
        cr_expect_eq(wire_err(&w), cut == b.len ? ERR_OK : ERR_SHORT, "cut at %zu", cut);
        cr_expect_eq(u8, cut >= 1 ? 0xFE : 0);
        cr_expect_eq(u16, cut >= 3 ? 0xFFFE : 0);
        cr_expect_eq(u32, cut >= 7 ? 0xFFFFFFFE : 0);
        cr_expect(u64 == 0xFFFFFFFFFFFFFFFEULL || cut < 15);
        cr_expect_eq(tail.len, cut == b.len ? 4u : 0u);
        cr_expect_eq(wire_left(&w), 0u);
        free(exact);
    }
    buf_fini(&b);
}

Test(wire, the_first_error_wins_and_stays)
{
    struct wire w = wire_init(VIEW("abcdef"));
    cr_expect_eq(wire_left(&w), 6u);
    cr_expect_eq(wire_bytes(&w, 0).len, 0u);
    cr_expect_eq(wire_err(&w), ERR_OK);
    wire_fail(&w, ERR_UTF8);
    wire_fail(&w, ERR_LIMIT);
    cr_expect_eq(wire_u8(&w), 0);
    cr_expect_eq(wire_err(&w), ERR_UTF8);
    struct wire huge = wire_init(VIEW("abc"));
    cr_expect_eq(wire_bytes(&huge, SIZE_MAX).len, 0u);
    cr_expect_eq(wire_err(&huge), ERR_SHORT);
    struct wire nothing = wire_init(view_of(NULL, 0));
    cr_expect_eq(wire_u16(&nothing), 0);
    cr_expect_eq(wire_err(&nothing), ERR_SHORT);
}

Test(view, compares_cuts_and_copies)
{
    cr_expect(view_eq(VIEW(""), view_of(NULL, 0)));
    cr_expect(view_eq_str(VIEW("abc"), "abc"));
    cr_expect_not(view_eq_str(VIEW("abc"), "abcd"));
    cr_expect_not(view_eq(VIEW("abc"), VIEW("abd")));
    cr_expect_eq(view_str(NULL).len, 0u);
    cr_expect(view_starts(VIEW("abc"), VIEW("ab")));
    cr_expect(view_starts(VIEW("abc"), VIEW("")));
    cr_expect_not(view_starts(VIEW("ab"), VIEW("abc")));
    cr_expect(view_eq(view_skip(VIEW("abc"), 2), VIEW("c")));
    char text[4];
    cr_expect(view_copy(VIEW("abc"), text, sizeof(text)));
    cr_expect_str_eq(text, "abc");
    cr_expect_not(view_copy(VIEW("abcd"), text, sizeof(text)));
    cr_expect_str_eq(text, "abc");
    cr_expect(view_copy(view_of(NULL, 0), text, sizeof(text)));
    cr_expect_str_eq(text, "");
}
