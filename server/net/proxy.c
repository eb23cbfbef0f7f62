#include "net/proxy.h"

#include <string.h>

#include "base/wire.h"

enum { PROXY_LOCAL = 0x20, PROXY_PROXY = 0x21, PROXY_TCP4 = 0x11, PROXY_TCP6 = 0x21 };

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Source address, destination address, source port, destination port. */
static void take_address(struct wire *w, size_t address_len, struct proxy_head *h)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct view from = wire_bytes(w, address_len);
    (void)wire_bytes(w, address_len);
    uint16_t port = wire_u16(w);
    (void)wire_u16(w);
    if (wire_err(w) != ERR_OK) {
        return;
    }
    memcpy(h->address, mapped, sizeof(mapped));
    memcpy(h->address + 16 - address_len, from.data, address_len);
    h->port = port;
    h->has_address = true;
}

enum err proxy_parse(struct view bytes, struct proxy_head *ret_head)
{
    struct proxy_head h = {0};
    size_t known = bytes.len < sizeof(signature) ? bytes.len : sizeof(signature);
    if (known > 0 && memcmp(bytes.data, signature, known) != 0) {
        return ERR_MALFORMED;
    }
    struct wire w = wire_init(bytes);
    (void)wire_bytes(&w, sizeof(signature));
    uint8_t command = wire_u8(&w);
    uint8_t family = wire_u8(&w);
    uint16_t len = wire_u16(&w);
    if (wire_err(&w) != ERR_OK) {
        return ERR_SHORT;
    }
    if (command != PROXY_LOCAL && command != PROXY_PROXY) {
        return ERR_MALFORMED;
    }
    h.len = sizeof(signature) + 4 + len;
    if (h.len > PROXY_HEAD_MAX) {
        return ERR_LIMIT;
    }
    struct view rest = wire_bytes(&w, len);
    if (wire_err(&w) != ERR_OK) {
        return ERR_SHORT;
    }
    struct wire addresses = wire_init(rest);
    if (command == PROXY_PROXY && (family == PROXY_TCP4 || family == PROXY_TCP6)) {
        take_address(&addresses, family == PROXY_TCP4 ? 4 : 16, &h);
    }
    if (wire_err(&addresses) != ERR_OK) {
        return ERR_MALFORMED;
    }
    *ret_head = h;
    return ERR_OK;
}
