#include "base/arena.h"

#include <stdlib.h>

#include "base/patience.h"

enum { ARENA_ALIGN = 16, ARENA_FIRST = 4096, ARENA_LARGEST = 1 << 20 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t len;
    size_t used;
    size_t pad; /* keeps data 16-byte aligned */
    uint8_t data[];
};

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes};
}

void arena_fini(struct arena *a)
{
    struct arena_chunk *c = a->chunk;
    while (c != NULL) {
        struct arena_chunk *older = c->older;
        free(c);
        c = older;
    }
    *a = (struct arena){.limit_bytes = a->limit_bytes};
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = a->chunk;
    if (keep == NULL) {
        return;
    }
    struct arena_chunk *c = keep->older;
    while (c != NULL) {
        struct arena_chunk *older = c->older;
        free(c);
        c = older;
    }
    keep->older = NULL;
    keep->used = 0;
    a->used_bytes = keep->len;
}

static struct arena_chunk *arena_grow(struct arena *a, size_t len)
{
    size_t want = a->chunk == NULL ? ARENA_FIRST : a->chunk->len * 2;
    want = want > ARENA_LARGEST ? ARENA_LARGEST : want;
    want = want < len ? len : want;
    if (want > a->limit_bytes - a->used_bytes) {
        want = len;
    }
    if (a->used_bytes > a->limit_bytes || want > a->limit_bytes - a->used_bytes) {
        return NULL;
    }
    struct arena_chunk *c =
        a->patient ? patient_realloc(NULL, sizeof(*c) + want) : malloc(sizeof(*c) + want);
    if (c == NULL) {
        return NULL;
    }
    c->older = a->chunk;
    c->len = want;
    c->used = 0;
    a->chunk = c;
    a->used_bytes += want;
    return c;
}

void *arena_alloc(struct arena *a, size_t len)
{
    if (len > SIZE_MAX / 2) {
        return NULL; /* so that no sum below wraps, whatever the limit is */
    }
    len = (len + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_chunk *c = a->chunk;
    if (c == NULL || c->len - c->used < len) {
        c = arena_grow(a, len);
        if (c == NULL) {
            return NULL;
        }
    }
    void *at = c->data + c->used;
    c->used += len;
    return at;
}

void *arena_zalloc(struct arena *a, size_t len)
{
    void *at = arena_alloc(a, len);
    if (at != NULL) {
        memset(at, 0, len);
    }
    return at;
}

char *arena_str(struct arena *a, struct view v)
{
    char *s = arena_alloc(a, v.len + 1);
    if (s != NULL) {
        if (v.len > 0) {
            memcpy(s, v.data, v.len);
        }
        s[v.len] = '\0';
    }
    return s;
}

struct view arena_view(struct arena *a, struct view v)
{
    if (v.len == 0) {
        return v;
    }
    uint8_t *copy = arena_alloc(a, v.len);
    if (copy == NULL) {
        return (struct view){NULL, 0};
    }
    memcpy(copy, v.data, v.len);
    return view_of(copy, v.len);
}
