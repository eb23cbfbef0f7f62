/*
 * arena: memory that is freed all at once. For everything whose life is one packet, request or
 * batch.
 *
 * Ownership: arena_init() to arena_fini(); arena_reset() keeps one chunk for the next round.
 * Errors:    NULL when the limit or the memory is used up.
 * Threads:   one at a time; a whole arena may be handed to another thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/view.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *chunk;
    size_t used_bytes; /* of all chunks */
    size_t limit_bytes;
    bool patient; /* memory is waited for: see patience.h. Set after arena_init() */
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t len); /* 16-byte aligned, not zeroed */
void *arena_zalloc(struct arena *a, size_t len);
char *arena_str(struct arena *a, struct view v); /* NUL-terminated copy */
/* A copy that lives as long as the arena; .data == NULL when memory is used up and v is not empty.
 */
struct view arena_view(struct arena *a, struct view v);
