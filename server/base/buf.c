#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/patience.h"

void buf_init(struct buf *b, size_t limit_bytes)
{
    *b = (struct buf){.limit = limit_bytes};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.limit = b->limit, .patient = b->patient};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->err = ERR_OK;
}

void buf_cut(struct buf *b, size_t n)
{
    CHECK(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0) {
        memmove(b->data, b->data + n, b->len);
    }
}

uint8_t *buf_room(struct buf *b, size_t len)
{
    if (b->err != ERR_OK) {
        return NULL;
    }
    if (len > b->limit - b->len) {
        b->err = ERR_LIMIT;
        return NULL;
    }
    size_t need = b->len + len;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need) {
            cap =
                cap > b->limit - cap / 2 ? b->limit : cap + cap / 2; /* need is within the limit */
        }
        cap = cap > b->limit ? b->limit : cap;
        uint8_t *data = b->patient ? patient_realloc(b->data, cap) : realloc(b->data, cap);
        if (data == NULL) {
            b->err = ERR_NOMEM;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_grew(struct buf *b, size_t len)
{
    CHECK(len <= b->cap - b->len);
    b->len += len;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    uint8_t *room = buf_room(b, len);
    if (room != NULL) {
        memcpy(room, data, len);
        b->len += len;
    }
}

void buf_put_view(struct buf *b, struct view v)
{
    buf_put(b, v.data, v.len);
}

void buf_put_str(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 8), (uint8_t)v};
    buf_put(b, bytes, sizeof(bytes));
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    uint32_t big = __builtin_bswap32(v);
    buf_put(b, &big, sizeof(big));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    uint64_t big = __builtin_bswap64(v);
    buf_put(b, &big, sizeof(big));
}

void buf_put_f64(struct buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    buf_put_u64(b, bits);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 && b->err == ERR_OK) {
        b->err = ERR_RANGE; /* longer than an int can count, or a wide character without UTF-8 */
    }
    uint8_t *room = len < 0 ? NULL : buf_room(b, (size_t)len + 1);
    if (room != NULL) {
        (void)vsnprintf((char *)room, (size_t)len + 1, format, again);
        b->len += (size_t)len;
    }
    va_end(again);
}

void buf_patch_u32(struct buf *b, size_t at, uint32_t v)
{
    if (b->err != ERR_OK) {
        return;
    }
    CHECK(at + 4 <= b->len);
    uint32_t big = __builtin_bswap32(v);
    memcpy(b->data + at, &big, sizeof(big));
}

struct view buf_view(const struct buf *b)
{
    return view_of(b->data, b->len);
}

char *buf_take_str(struct buf *b)
{
    uint8_t *room = buf_room(b, 1);
    if (room == NULL) {
        buf_fini(b);
        return NULL;
    }
    *room = '\0';
    char *s = (char *)b->data;
    *b = (struct buf){.limit = b->limit, .patient = b->patient};
    return s;
}
