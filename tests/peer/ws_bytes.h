/*
 * ws_bytes: a WebSocket client's frames, written by hand after RFC 6455 section 5.2, and the
 * server's taken apart again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum {
    WS_CONTINUED = 0x00,
    WS_TEXT = 0x01,
    WS_BINARY = 0x02,
    WS_CLOSE = 0x08,
    WS_PING = 0x09,
    WS_PONG = 0x0a,
    WS_FIN = 0x80
};

/* head: FIN, reserved bits and the opcode. Lengths in their shortest form. */
static inline void ws_bytes_frame(struct buf *out, uint8_t head, struct view payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    buf_put_u8(out, head);
    if (payload.len < 126) {
        buf_put_u8(out, (uint8_t)(0x80 | payload.len));
    } else if (payload.len < 65536) {
        buf_put_u8(out, 0x80 | 126);
        buf_put_u16(out, (uint16_t)payload.len);
    } else {
        buf_put_u8(out, 0x80 | 127);
        buf_put_u64(out, payload.len);
    }
    buf_put(out, mask, sizeof(mask));
    for (size_t i = 0; i < payload.len; i++) {
        buf_put_u8(out, payload.data[i] ^ mask[i % 4]);
    }
}

/* The next frame of a server, which masks nothing. False: it is not complete. */
static inline bool ws_bytes_next(struct view *bytes, uint8_t *ret_head, struct view *ret_payload)
{
    struct view b = *bytes;
    if (b.len < 2) {
        return false;
    }
    size_t len = b.data[1];
    size_t at = 2;
    if (len == 126 && b.len >= 4) {
        len = (size_t)b.data[2] << 8 | b.data[3];
        at = 4;
    } else if (len == 127 && b.len >= 10) {
        len = 0;
        for (at = 2; at < 10; at++) {
            len = len << 8 | b.data[at];
        }
    } else if (len >= 126) {
        return false; /* cut, or masked */
    }
    if (b.len - at < len) {
        return false;
    }
    *ret_head = b.data[0];
    *ret_payload = view_of(b.data + at, len);
    *bytes = view_skip(b, at + len);
    return true;
}
