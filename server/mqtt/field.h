/*
 * field: the data types of section 1.5, read from a `wire` and written with a `pen`.
 *
 * A pen writes into room that was asked for once, when the size of the whole packet was known; so
 * an encoder either appends a complete packet or nothing, and checks for space once.
 *
 * Private to the mqtt module.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/utf8.h"
#include "base/wire.h"
#include "mqtt/frame.h"

enum { FIELD_TEXT_MAX = 65535, FIELD_VARINT_BYTES_MAX = 4 };

/* ERR_PROTOCOL: empty; ERR_MALFORMED: wildcard or too long; ERR_UTF8. In topic.c. */
enum err mqtt_topic_check(struct view topic);

/* [MQTT-1.5.5-1]: at most four bytes, and no more than the value needs. */
static inline uint32_t field_varint(struct wire *w)
{
    uint32_t value = 0;
    unsigned n = 0;
    uint8_t byte = 0x80;
    for (; n < FIELD_VARINT_BYTES_MAX && (byte & 0x80u) != 0; n++) {
        byte = wire_u8(w); /* 0 after an error, which ends the loop */
        value |= (uint32_t)(byte & 0x7Fu) << (7 * n);
    }
    if ((byte & 0x80u) != 0 || (byte == 0 && n > 1)) {
        wire_fail(w, ERR_MALFORMED);
        return 0;
    }
    return value;
}

static inline struct view field_bytes(struct wire *w)
{
    return wire_bytes(w, wire_u16(w));
}

static inline struct view field_text(struct wire *w)
{
    struct view text = field_bytes(w);
    if (!utf8_valid_mqtt(text)) {
        wire_fail(w, ERR_UTF8);
        return (struct view){NULL, 0};
    }
    return text;
}

/* A packet identifier is never 0 [MQTT-2.2.1-3]. */
static inline uint16_t field_packet_id(struct wire *w)
{
    uint16_t id = wire_u16(w);
    if (id == 0) {
        wire_fail(w, ERR_PROTOCOL); /* does nothing when the id was missing: the first error wins */
    }
    return id;
}

/* The packet must end here. */
static inline enum err field_end(struct wire *w)
{
    if (wire_left(w) != 0) {
        wire_fail(w, ERR_MALFORMED);
    }
    return wire_err(w);
}

static inline size_t field_varint_size(size_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

struct pen {
    uint8_t *at;
    uint8_t *end;
};

static inline void pen_u8(struct pen *p, uint8_t v)
{
    *p->at++ = v;
}

static inline void pen_u16(struct pen *p, uint16_t v)
{
    *p->at++ = (uint8_t)(v >> 8);
    *p->at++ = (uint8_t)v;
}

static inline void pen_u32(struct pen *p, uint32_t v)
{
    pen_u16(p, (uint16_t)(v >> 16));
    pen_u16(p, (uint16_t)v);
}

static inline void pen_varint(struct pen *p, uint32_t v)
{
    while (v >= 0x80) {
        *p->at++ = (uint8_t)(v | 0x80u);
        v >>= 7;
    }
    *p->at++ = (uint8_t)v;
}

static inline void pen_raw(struct pen *p, struct view v)
{
    if (v.len > 0) {
        memcpy(p->at, v.data, v.len);
        p->at += v.len;
    }
}

/* The caller has checked that it is not over FIELD_TEXT_MAX. */
static inline void pen_bytes(struct pen *p, struct view v)
{
    pen_u16(p, (uint16_t)v.len);
    pen_raw(p, v);
}

/* Room for a whole packet, its head and Remaining Length written. pen_end() makes it part of `out`.
 */
static inline enum err pen_begin(struct buf *out, uint8_t head, size_t remaining,
                                 struct pen *ret_pen)
{
    if (remaining > MQTT_REMAINING_MAX) {
        return ERR_LIMIT;
    }
    size_t total = 1 + field_varint_size(remaining) + remaining;
    uint8_t *room = buf_room(out, total);
    CHECK((room == NULL) == (buf_err(out) != ERR_OK)); /* a buf that has no room says why */
    if (room == NULL) {
        return buf_err(out);
    }
    *ret_pen = (struct pen){.at = room, .end = room + total};
    pen_u8(ret_pen, head);
    pen_varint(ret_pen, (uint32_t)remaining);
    return ERR_OK;
}

static inline enum err pen_end(struct buf *out, const struct pen *p)
{
    CHECK(p->at == p->end); /* the size that was computed is the size that was written */
    buf_grew(out, (size_t)(p->end - (out->data + out->len)));
    return ERR_OK;
}

static inline uint8_t field_head(enum mqtt_type type, unsigned flags)
{
    return (uint8_t)((unsigned)type << 4 | flags);
}
