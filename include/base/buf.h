/*
 * buf: a growing byte buffer with a limit that is fixed when it is made.
 *
 * Ownership: buf_init() to buf_fini(); buf_take() hands the bytes to the caller, who frees them.
 * Errors:    sticky. After one append failed (limit or memory) later appends do nothing and
 * buf_err() says why, so a writer checks once at the end. Threads:   one.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t limit;
    enum err err;
    bool patient; /* memory is waited for: see patience.h. Set after buf_init() */
};

void buf_init(struct buf *b, size_t limit_bytes);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b);         /* keeps the memory, forgets the error */
void buf_cut(struct buf *b, size_t n); /* drops the first n bytes */
void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_view(struct buf *b, struct view v);
void buf_put_str(struct buf *b, const char *s);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v); /* big-endian, as all of these */
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_f64(struct buf *b, double v);
/* The limit must have room for printf's NUL too; it does not count in len. */
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *format, ...);
/* Room for `len` more bytes at the end, or NULL; buf_grew() then says how many were written. */
uint8_t *buf_room(struct buf *b, size_t len);
void buf_grew(struct buf *b, size_t len);
/* Overwrites 4 bytes already written at `at`: for lengths that are known later. */
void buf_patch_u32(struct buf *b, size_t at, uint32_t v);
struct view buf_view(const struct buf *b); /* valid until the next call that changes b */
/* A NUL-terminated string the caller frees; NULL when an append had failed. b is empty afterwards.
 */
char *buf_take_str(struct buf *b);

static inline enum err buf_err(const struct buf *b)
{
    return b->err;
}
