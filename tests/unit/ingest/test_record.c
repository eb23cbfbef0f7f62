#include <stdlib.h>

#include <criterion/criterion.h>

#include "ingest/record.h"

static struct buf encoded(void)
{
    struct buf b;
    buf_init(&b, 4096);
    record_encode(&b, &(struct record){.run = 0x0102030405060708,
                                       .received_at_us = 1700000000000001,
                                       .packet_id = 65535,
                                       .dup = true,
                                       .device = VIEW("gw-1"),
                                       .topic = VIEW("v1/gateway/telemetry"),
                                       .payload = VIEW("{\"a\":[{\"t\":1}]}")});
    return b;
}

/* An exact-size copy, so that a read past the end is seen. */
static enum err decode(struct view v, struct record *ret)
{
    uint8_t *copy = malloc(v.len + 1);
    cr_assert_not_null(copy);
    uint8_t *exact = realloc(copy, v.len == 0 ? 1 : v.len);
    memcpy(exact, v.data, v.len);
    enum err e = record_decode(view_of(exact, v.len), ret);
    free(exact);
    return e;
}

Test(record, what_was_written_is_read)
{
    struct buf b = encoded();
    struct record r;
    cr_assert_eq(record_decode(buf_view(&b), &r), ERR_OK);
    cr_expect_eq(r.run, 0x0102030405060708);
    cr_expect_eq(r.received_at_us, 1700000000000001);
    cr_expect_eq(r.packet_id, 65535);
    cr_expect(r.dup && !r.counted);
    cr_expect(view_eq_str(r.device, "gw-1") && view_eq_str(r.topic, "v1/gateway/telemetry"));
    cr_expect(view_eq_str(r.payload, "{\"a\":[{\"t\":1}]}"));
    buf_fini(&b);
}

Test(record, every_cut_is_short_never_a_crash)
{
    struct buf b = encoded();
    for (size_t cut = 0; cut < b.len; cut++) {
        struct record r = {.packet_id = 77};
        cr_expect_eq(decode(view_of(b.data, cut), &r), ERR_SHORT, "cut at %zu", cut);
        cr_expect_eq(r.packet_id, 77, "output touched on failure");
    }
    buf_put_u8(&b, 0);
    struct record r;
    cr_expect_eq(decode(buf_view(&b), &r), ERR_MALFORMED, "a byte too many");
    buf_fini(&b);
}

Test(record, a_later_version_is_refused_by_name)
{
    struct buf b = encoded();
    b.data[0] = 2;
    struct record r;
    cr_expect_eq(decode(buf_view(&b), &r), ERR_UNSUPPORTED);
    buf_fini(&b);
}
