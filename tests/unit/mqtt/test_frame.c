#include "support.h"

Test(frame, heads_are_judged_by_the_first_byte)
{
    /* Tables 2-1 and 2-2 of the standard, one row a type: the flags that may appear. */
    static const char *const allowed[16] = {
        "", "0", "0", "012345abcd", "0", "0", "2", "0", "2", "0", "2", "0", "0", "0", "0", "0",
    };
    for (unsigned head = 0; head < 256; head++) {
        char flag = "0123456789abcdef"[head & 15];
        bool ok = strchr(allowed[head >> 4], flag) != NULL;
        uint8_t bytes[2] = {(uint8_t)head, 0};
        struct mqtt_frame f = {.total = 77};
        enum err alone = mqtt_frame(view_of(bytes, 1), 100, &f);
        cr_expect_eq(alone, ok ? ERR_SHORT : ERR_MALFORMED, "head %02x", head);
        cr_expect_eq(f.total, 77, "output touched");
        enum err whole = mqtt_frame(view_of(bytes, 2), 100, &f);
        cr_expect_eq(whole, ok ? ERR_OK : ERR_MALFORMED, "head %02x", head);
        if (ok) {
            cr_expect_eq(f.head, head);
            cr_expect_eq(f.type, head >> 4);
            cr_expect_eq(f.total, 2);
            cr_expect_eq(f.body.len, 0);
        }
    }
}

Test(frame, remaining_length_edges)
{
    static const struct {
        const char *why;
        const char *text;
        uint32_t limit;
        enum err err;
    } rows[] = {
        {"nothing", "", 100, ERR_SHORT},
        {"no length", "30", 100, ERR_SHORT},
        {"length goes on", "30 80", 100, ERR_SHORT},
        {"length goes on", "30 ff ff ff", 100, ERR_SHORT},
        {"127 needs its body", "30 7f", 129, ERR_SHORT},
        {"127 and the limit one short", "30 7f", 128, ERR_LIMIT},
        {"128 in two bytes", "30 80 01", 131, ERR_SHORT},
        {"128 over the limit", "30 80 01", 130, ERR_LIMIT},
        {"16383 in two bytes", "30 ff 7f", 16386, ERR_SHORT},
        {"16384 in three bytes", "30 80 80 01", 16388, ERR_SHORT},
        {"2097151 in three bytes", "30 ff ff 7f", 2097155, ERR_SHORT},
        {"2097152 in four bytes", "30 80 80 80 01", 2097157, ERR_SHORT},
        {"the largest", "30 ff ff ff 7f", 268435460, ERR_SHORT},
        {"the largest over the limit", "30 ff ff ff 7f", 268435459, ERR_LIMIT},
        {"a fifth byte is announced", "30 ff ff ff ff", UINT32_MAX, ERR_MALFORMED},
        {"a fifth byte is there", "30 80 80 80 80 01", UINT32_MAX, ERR_MALFORMED},
        {"0 in two bytes", "30 80 00", 100, ERR_MALFORMED},
        {"1 in two bytes", "30 81 00", 100, ERR_MALFORMED},
        {"0 in four bytes", "30 80 80 80 00", 100, ERR_MALFORMED},
        {"127 in three bytes", "30 ff 80 00", 100, ERR_MALFORMED},
        {"limit 0", "c0 00", 0, ERR_LIMIT},
        {"limit 1", "c0 00", 1, ERR_LIMIT},
        {"limit 2", "c0 00", 2, ERR_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mqtt_bytes b = mqtt_bytes_of(rows[i].text);
        uint8_t *copy = support_copy(b.at, b.len);
        struct mqtt_frame f = {.total = 77};
        enum err e = mqtt_frame(view_of(copy, b.len), rows[i].limit, &f);
        cr_expect_eq(e, rows[i].err, "%s: %s", rows[i].why, err_words(e));
        cr_expect(e == ERR_OK || f.total == 77, "%s: output touched", rows[i].why);
        free(copy);
    }
}

Test(frame, a_stream_is_cut_into_its_packets_wherever_the_reads_end)
{
    struct mqtt_bytes b =
        mqtt_bytes_of("c0 00 30 { <a/b> 'hello' } 40 { 0001 } 32 { <t> 0007 'x' } e0 00");
    static const size_t totals[] = {2, 12, 4, 8, 2};
    for (size_t first = 0; first <= b.len; first++) {
        size_t have = first;
        size_t at = 0;
        size_t packets = 0;
        while (at < b.len) {
            uint8_t *copy = support_copy(b.at + at, have - at);
            struct mqtt_frame f;
            enum err e = mqtt_frame(view_of(copy, have - at), 1000, &f);
            if (e == ERR_SHORT) {
                cr_assert_lt(have, b.len, "asks for more than there is");
                have++;
            } else {
                cr_assert_eq(e, ERR_OK);
                cr_assert_lt(packets, 5);
                cr_expect_eq(f.total, totals[packets]);
                at += f.total;
                packets++;
            }
            free(copy);
        }
        cr_expect_eq(packets, 5, "first read of %zu bytes", first);
    }
}

Test(frame, types_have_words)
{
    cr_expect_str_eq(mqtt_type_words(MQTT_PUBLISH), "PUBLISH");
    cr_expect_str_eq(mqtt_type_words(MQTT_AUTH), "AUTH");
    cr_expect_str_eq(mqtt_type_words(MQTT_WILL), "?");
}
