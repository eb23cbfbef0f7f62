/*
 * view: bytes somebody else owns. Who hands one out says until when it is valid.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const uint8_t *data;
    size_t len;
};

#define VIEW(literal) ((struct view){(const uint8_t *)(literal), sizeof(literal) - 1})
/* For printf("%.*s", VIEW_ARG(v)). */
#define VIEW_ARG(v) ((int)(v).len), ((const char *)(v).data)

static inline struct view view_of(const void *data, size_t len)
{
    return (struct view){(const uint8_t *)data, len};
}

static inline struct view view_str(const char *s)
{
    return view_of(s, s == NULL ? 0 : strlen(s));
}

static inline bool view_eq(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool view_eq_str(struct view a, const char *s)
{
    return view_eq(a, view_str(s));
}

static inline bool view_starts(struct view v, struct view prefix)
{
    return v.len >= prefix.len && view_eq(view_of(v.data, prefix.len), prefix);
}

/* The rest after the first n bytes; n is at most v.len. */
static inline struct view view_skip(struct view v, size_t n)
{
    return view_of(v.data + n, v.len - n);
}

/* Copies at most size-1 bytes and a terminating NUL. False: it was cut. */
static inline bool view_copy(struct view v, char *ret_str, size_t size)
{
    size_t n = v.len < size - 1 ? v.len : size - 1;
    if (n > 0) {
        memcpy(ret_str, v.data, n);
    }
    ret_str[n] = '\0';
    return n == v.len;
}
