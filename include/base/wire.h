/*
 * wire: reads big-endian fields from a view and never past its end.
 *
 * The error is sticky: a read that does not fit sets ERR_SHORT, gives zero or an empty view, and so
 * do all later reads. A decoder reads straight through and checks wire_err() once, before it trusts
 * a value.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct wire {
    const uint8_t *at;
    const uint8_t *end;
    enum err err;
};

static inline struct wire wire_init(struct view v)
{
    return (struct wire){.at = v.data, .end = v.data + v.len, .err = ERR_OK};
}

static inline enum err wire_err(const struct wire *w)
{
    return w->err;
}

static inline size_t wire_left(const struct wire *w)
{
    return (size_t)(w->end - w->at);
}

/* The first error wins. */
static inline void wire_fail(struct wire *w, enum err e)
{
    if (w->err == ERR_OK) {
        w->err = e;
    }
    w->at = w->end;
}

static inline struct view wire_bytes(struct wire *w, size_t len)
{
    if (wire_left(w) < len) {
        wire_fail(w, ERR_SHORT);
        return (struct view){NULL, 0};
    }
    struct view v = view_of(w->at, len);
    w->at += len;
    return v;
}

static inline uint8_t wire_u8(struct wire *w)
{
    struct view v = wire_bytes(w, 1);
    return v.len == 0 ? 0 : v.data[0];
}

static inline uint16_t wire_u16(struct wire *w)
{
    struct view v = wire_bytes(w, 2);
    return v.len == 0 ? (uint16_t)0 : (uint16_t)((unsigned)v.data[0] << 8 | v.data[1]);
}

static inline uint32_t wire_u32(struct wire *w)
{
    struct view v = wire_bytes(w, 4);
    if (v.len == 0) {
        return 0;
    }
    return (uint32_t)v.data[0] << 24 | (uint32_t)v.data[1] << 16 | (uint32_t)v.data[2] << 8 |
           v.data[3];
}

static inline uint64_t wire_u64(struct wire *w)
{
    uint64_t high = wire_u32(w);
    return high << 32 | wire_u32(w);
}
