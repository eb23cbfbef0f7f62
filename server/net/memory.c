#include <stdlib.h>
#include <string.h>

#include "base/blocks.h"
#include "net/private.h"

/*
 * Where OpenSSL's memory comes from. The buffers of a record (17 KiB) live for one call, those of a
 * handshake (22 and twice 4 KiB) until the peer's next flight: they come from blocks of their own.
 * In the heap they would lie between objects that stay as long as their connection, and a thousand
 * handshakes at once would leave it at twice its size. Measured: 28 KiB a connection without, 15
 * with.
 *
 * Only what OpenSSL asks for while it works on records is taken for passing; a block that stays all
 * the same, or was taken elsewhere, does no harm.
 */

enum {
    SMALL_MIN = 4096,
    SMALL_SIZE = 8192,
    SMALL_COUNT = 4096,
    LARGE_SIZE = 24576,
    LARGE_COUNT = 4096
};

static struct blocks small, large;
static _Thread_local bool passing;

void *net_memory_take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size == 0) {
        return NULL; /* as OpenSSL's own */
    }
    void *p = NULL;
    if (passing && size >= SMALL_MIN && size <= LARGE_SIZE) {
        p = blocks_take(size <= SMALL_SIZE ? &small : &large);
    }
    return p != NULL ? p : malloc(size);
}

static struct blocks *home_of(const void *p)
{
    return blocks_has(&small, p) ? &small : blocks_has(&large, p) ? &large : NULL;
}

void net_memory_give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    struct blocks *home = home_of(p);
    if (home == NULL) {
        free(p);
    } else {
        blocks_give(home, p);
    }
}

void *net_memory_resize(void *p, size_t size, const char *file, int line)
{
    if (p == NULL) {
        return net_memory_take(size, file, line);
    }
    if (size == 0) {
        net_memory_give(p, file, line);
        return NULL;
    }
    struct blocks *home = home_of(p);
    if (home == NULL) {
        return realloc(p, size);
    }
    if (size <= home->size) {
        return p;
    }
    void *larger = net_memory_take(size, file, line);
    if (larger != NULL) {
        memcpy(larger, p, home->size);
        blocks_give(home, p);
    }
    return larger;
}

void net_memory_passing(bool on)
{
    passing = on;
}

void net_memory_init(void)
{
    blocks_init(&small, SMALL_SIZE, SMALL_COUNT);
    blocks_init(&large, LARGE_SIZE, LARGE_COUNT);
}

void net_use_blocks(void)
{
    if (CRYPTO_set_mem_functions(net_memory_take, net_memory_resize, net_memory_give) == 1) {
        net_memory_init();
    }
}
