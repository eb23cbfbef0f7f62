#include "base/blocks.h"

#include <sys/mman.h>

#include "base/check.h"

static void *reserve(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void blocks_init(struct blocks *b, size_t size, uint32_t count)
{
    CHECK(size % 4096 == 0 && count > 0);
    *b = (struct blocks){.size = size};
    lock_init(&b->lock);
    b->cold = reserve(count * sizeof(*b->cold));
    b->from = b->cold == NULL ? NULL : reserve(size * count);
    b->to = b->from == NULL ? NULL : b->from + size * count;
}

void *blocks_take(struct blocks *b)
{
    void *block = NULL;
    lock_take(&b->lock);
    if (b->hot_count > 0) {
        block = b->hot[--b->hot_count];
    } else if (b->cold_count > 0) {
        block = b->cold[--b->cold_count];
    } else if (b->used < (size_t)(b->to - b->from) / b->size) {
        block = b->from + b->size * b->used++;
    }
    lock_give(&b->lock);
    return block;
}

void blocks_give(struct blocks *b, void *block)
{
    CHECK(blocks_has(b, block) && (size_t)((uint8_t *)block - b->from) % b->size == 0);
    lock_take(&b->lock);
    if (b->hot_count < BLOCKS_HOT) {
        b->hot[b->hot_count++] = block;
    } else {
        (void)madvise(block, b->size, MADV_DONTNEED);
        b->cold[b->cold_count++] = block;
    }
    lock_give(&b->lock);
}
