#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 \
    "\xc0\x00\x02\x07\x7f\x00\x00\x01\x9d\x78\x22\xb3" /* 192.0.2.7:40312 -> 127.0.0.1:8883 */
#define V6                                                               \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0" \
    "\0\0\0\x01\x9d\x78\x22\xb3"

/* From a copy of exactly its size. */
static enum err parse(struct view bytes, struct proxy_head *ret_head)
{
    uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    enum err e = proxy_parse(view_of(copy, bytes.len), ret_head);
    free(copy);
    return e;
}

Test(proxy, each_kind_of_head)
{
    static const uint8_t four[16] = {[10] = 0xff, 0xff, 192, 0, 2, 7};
    static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    static const struct {
        const char *words;
        struct view bytes;
        enum err answer;
        size_t len;
        const uint8_t *address;
    } rows[] = {
        {"TCP over IPv4", VIEW(SIGNATURE "\x21\x11\0\x0c" V4), ERR_OK, 28, four},
        {"TCP over IPv6", VIEW(SIGNATURE "\x21\x21\0\x24" V6), ERR_OK, 52, six},
        {"followed by TLS", VIEW(SIGNATURE "\x21\x11\0\x0c" V4 "\x16\x03\x01"), ERR_OK, 28, four},
        {"with TLVs", VIEW(SIGNATURE "\x21\x11\0\x13" V4 "\x01\0\x04mqtt"), ERR_OK, 35, four},
        {"the proxy's own connection", VIEW(SIGNATURE "\x20\0\0\0"), ERR_OK, 16, NULL},
        {"its own, addresses are not looked at", VIEW(SIGNATURE "\x20\x11\0\x0c" V4), ERR_OK, 28,
         NULL},
        {"unknown family", VIEW(SIGNATURE "\x21\0\0\x02xx"), ERR_OK, 18, NULL},
        {"datagrams", VIEW(SIGNATURE "\x21\x12\0\x0c" V4), ERR_OK, 28, NULL},
        {"addresses that do not fit", VIEW(SIGNATURE "\x21\x11\0\x0b" V4), ERR_MALFORMED, 0, NULL},
        {"IPv6 with the length of IPv4", VIEW(SIGNATURE "\x21\x21\0\x0c" V4), ERR_MALFORMED, 0,
         NULL},
        {"another version", VIEW(SIGNATURE "\x11\x11\0\x0c" V4), ERR_MALFORMED, 0, NULL},
        {"another command", VIEW(SIGNATURE "\x22\x11\0\x0c" V4), ERR_MALFORMED, 0, NULL},
        {"version 1", VIEW("PROXY TCP4 192.0.2.7 127.0.0.1 40312 8883\r\n"), ERR_MALFORMED, 0,
         NULL},
        {"no head", VIEW("\x16\x03\x01\x02"), ERR_MALFORMED, 0, NULL},
        {"longer than allowed", VIEW(SIGNATURE "\x21\x11\xff\xff"), ERR_LIMIT, 0, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct proxy_head h = {.len = 77};
        cr_expect_eq(parse(rows[i].bytes, &h), rows[i].answer, "%s", rows[i].words);
        if (rows[i].answer != ERR_OK) {
            cr_expect_eq(h.len, 77, "%s: output touched", rows[i].words);
            continue;
        }
        cr_expect_eq(h.len, rows[i].len, "%s: %zu", rows[i].words, h.len);
        cr_expect_eq(h.has_address, rows[i].address != NULL, "%s", rows[i].words);
        if (rows[i].address != NULL) {
            cr_expect_eq(memcmp(h.address, rows[i].address, 16), 0, "%s", rows[i].words);
            cr_expect_eq(h.port, 40312, "%s", rows[i].words);
        }
    }
}

Test(proxy, every_cut_is_short)
{
    static const struct view whole = VIEW(SIGNATURE "\x21\x21\0\x2b" V6 "\x01\0\x04mqtt");
    for (size_t cut = 0; cut < whole.len; cut++) {
        struct proxy_head h;
        cr_expect_eq(parse(view_of(whole.data, cut), &h), ERR_SHORT, "cut at %zu", cut);
    }
}
