/*
 * heap: the server's memory. malloc and its family are wrapped by the linker for everything that is
 * linked statically, so a crash takes all of the server's memory at once, as a kill does.
 *
 * Two regions take turns: what a dead server left stays readable until the next life ends, because
 * a transaction it had handed in may still be committed. New memory is filled with junk, always the
 * same, so that a read of uninitialised memory does not depend on chance. Under the address
 * sanitizer nothing is used twice within a life, and what was freed is poisoned.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <jansson.h>

#include "base/map.h"
#include "sim.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
enum { HEAP_REUSE = 0 };
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
enum { HEAP_REUSE = 1 };
#endif

#define HEAP_BYTES ((size_t)1 << 31) /* of address space, each */

enum { HEAP_HEAD = 32, HEAP_CLASSES = 64, HEAP_SMALL = 512, HEAP_JUNK_MAX = 8192 };

struct heap_block {
    size_t size;
    struct heap_block *next;
};

struct heap_region {
    uint8_t *base, *at, *end;
    uint8_t *high; /* the most that was ever used */
    struct heap_block *spare[HEAP_CLASSES];
};

static struct {
    struct heap_region regions[2];
    int current;
    uint64_t random_calls;
} heap;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
ssize_t __wrap_getrandom(void *data, size_t len, unsigned flags);

void heap_start(void)
{
    for (int i = 0; i < 2; i++) {
        struct heap_region *r = &heap.regions[i];
        void *p = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) {
            abort();
        }
        *r = (struct heap_region){.base = p, .at = p, .high = p, .end = (uint8_t *)p + HEAP_BYTES};
    }
    (void)map_hash(VIEW("seeded"));
    json_set_alloc_funcs(__wrap_malloc, __wrap_free); /* a shared library is not wrapped */
}

void heap_next_life(void)
{
    heap.current = 1 - heap.current;
    struct heap_region *r = &heap.regions[heap.current];
    ASAN_POISON_MEMORY_REGION(r->base, (size_t)(r->at - r->base));
    r->at = r->base;
    memset(r->spare, 0, sizeof(r->spare));
}

static int size_class(size_t *size)
{
    if (*size <= HEAP_SMALL) {
        *size = *size < 16 ? 16 : (*size + 15) & ~(size_t)15;
        return (int)(*size / 16);
    }
    int bits = 64 - __builtin_clzll((unsigned long long)(*size - 1));
    *size = (size_t)1 << bits;
    return HEAP_SMALL / 16 + bits - 9;
}

static struct heap_block *block_of(void *p)
{
    return (struct heap_block *)(void *)((uint8_t *)p - HEAP_HEAD);
}

static bool ours(const void *p)
{
    const uint8_t *at = p;
    return (at >= heap.regions[0].base && at < heap.regions[0].end) ||
           (at >= heap.regions[1].base && at < heap.regions[1].end);
}

static void *heap_take(size_t size, bool junk)
{
    struct heap_region *r = &heap.regions[heap.current];
    size_t room = size;
    int class = size_class(&room);
    struct heap_block *b = HEAP_REUSE ? r->spare[class] : NULL;
    if (b != NULL) {
        r->spare[class] = b->next;
    } else {
        if ((size_t)(r->end - r->at) < room + HEAP_HEAD) {
            sim_violation("memory", "the server uses more than %zu bytes", HEAP_BYTES);
        }
        b = (struct heap_block *)(void *)r->at;
        r->at += room + HEAP_HEAD;
        ASAN_UNPOISON_MEMORY_REGION(b, sizeof(*b));
    }
    b->size = size;
    uint8_t *p = (uint8_t *)b + HEAP_HEAD;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    ASAN_POISON_MEMORY_REGION(p + size, room - size);
    if (junk) {
        memset(p, 0xA5, size < HEAP_JUNK_MAX ? size : HEAP_JUNK_MAX);
    }
    return p;
}

void *__wrap_malloc(size_t size)
{
    return heap_take(size, true);
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *p = heap_take(n * size, false);
    memset(p, 0, n * size);
    return p;
}

void __wrap_free(void *p)
{
    if (p == NULL) {
        return;
    }
    if (!ours(p)) {
        __real_free(p);
        return;
    }
    struct heap_block *b = block_of(p);
    struct heap_region *r = &heap.regions[heap.current];
    if ((uint8_t *)p < r->base || (uint8_t *)p >= r->end) {
        sim_violation("memory", "memory of a life before is freed");
    }
    size_t room = b->size;
    int class = size_class(&room);
    b->next = r->spare[class];
    r->spare[class] = b;
    ASAN_POISON_MEMORY_REGION(p, room);
}

void *__wrap_realloc(void *p, size_t size)
{
    if (p == NULL) {
        return heap_take(size, true);
    }
    if (!ours(p)) {
        return __real_realloc(p, size);
    }
    size_t old = block_of(p)->size;
    void *grown = heap_take(size, false);
    memcpy(grown, p, old < size ? old : size);
    __wrap_free(p);
    return grown;
}

char *__wrap_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = heap_take(len + 1, false);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *__wrap_strdup(const char *s)
{
    return __wrap_strndup(s, SIZE_MAX);
}

/* The first call seeds the hash tables, which live as long as the process: it must not depend on
 * the run. Later ones differ from life to life. */
ssize_t __wrap_getrandom(void *data, size_t len, unsigned flags)
{
    (void)flags;
    uint64_t state = heap.random_calls++ == 0 ? 0x5A : sim_get()->seed * 1000 + sim_get()->lives;
    uint8_t *at = data;
    for (size_t i = 0; i < len; i++) {
        at[i] = (uint8_t)random_mix(&state);
    }
    return (ssize_t)len;
}

/* ---- the world's ---- */

void *world_alloc(size_t size)
{
    void *p = __real_calloc(1, size == 0 ? 1 : size);
    if (p == NULL) {
        abort();
    }
    return p;
}

void *world_grow(void *p, size_t size)
{
    void *grown = __real_realloc(p, size);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

char *world_text(const char *text, size_t len)
{
    char *copy = world_alloc(len + 1);
    memcpy(copy, text, len);
    return copy;
}

void world_free(void *p)
{
    __real_free(p);
}
