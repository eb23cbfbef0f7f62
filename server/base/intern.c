#include "base/intern.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/lock.h"
#include "base/map.h"

/*
 * Readers walk an open-addressing table of name pointers that only ever gains entries. Growing
 * builds a new table and swaps the pointer; the old one is kept until the end, so a reader never
 * holds freed memory. The sum of all old tables is smaller than the newest one.
 */
struct intern_name {
    uint64_t hash;
    int32_t id;
    uint32_t len;
    uint8_t bytes[];
};

struct intern_table {
    struct intern_table *older;
    size_t cap;
    struct intern_name *_Atomic slots[];
};

struct intern {
    struct lock lock;
    int32_t limit;
    int32_t used; /* names in the table; count is the highest number, which intern_restore() may set
                     far ahead */
    atomic_int count;
    struct intern_table *_Atomic table;
    struct intern_name *_Atomic *names; /* by id, limit + 1 of them */
};

enum { INTERN_FIRST_CAP = 256 };

static struct intern_table *intern_table_new(size_t cap)
{
    struct intern_table *t = calloc(1, sizeof(*t) + cap * sizeof(struct intern_name *));
    if (t != NULL) {
        t->cap = cap;
    }
    return t;
}

struct intern *intern_new(int32_t limit)
{
    struct intern *in = calloc(1, sizeof(*in));
    if (in == NULL) {
        return NULL;
    }
    struct intern_table *t = intern_table_new(INTERN_FIRST_CAP);
    in->names = calloc((size_t)limit + 1, sizeof(*in->names));
    if (t == NULL || in->names == NULL) {
        free(t);
        free(in->names);
        free(in);
        return NULL;
    }
    lock_init(&in->lock);
    in->limit = limit;
    in->table = t;
    return in;
}

void intern_free(struct intern *in)
{
    if (in == NULL) {
        return;
    }
    for (int32_t i = 1; i <= in->limit; i++) {
        free(in->names[i]);
    }
    struct intern_table *t = in->table;
    while (t != NULL) {
        struct intern_table *older = t->older;
        free(t);
        t = older;
    }
    free(in->names);
    lock_fini(&in->lock);
    free(in);
}

static int32_t intern_look(const struct intern *in, uint64_t hash, struct view name)
{
    struct intern_table *t = atomic_load_explicit(&in->table, memory_order_acquire);
    size_t mask = t->cap - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        const struct intern_name *n = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (n == NULL) {
            return 0;
        }
        if (n->hash == hash && view_eq(view_of(n->bytes, n->len), name)) {
            return n->id;
        }
    }
}

int32_t intern_find(const struct intern *in, struct view name)
{
    return intern_look(in, map_hash(name), name);
}

static void intern_place(struct intern_table *t, struct intern_name *n)
{
    size_t mask = t->cap - 1;
    size_t i = (size_t)n->hash & mask;
    while (atomic_load_explicit(&t->slots[i], memory_order_relaxed) != NULL) {
        i = (i + 1) & mask;
    }
    atomic_store_explicit(&t->slots[i], n, memory_order_release);
}

/* Under the lock: room for one more. */
static bool intern_grow(struct intern *in)
{
    struct intern_table *old = in->table;
    if (((size_t)in->used + 1) * 2 <= old->cap) {
        return true;
    }
    struct intern_table *t = intern_table_new(old->cap * 2);
    if (t == NULL) {
        return false;
    }
    for (size_t i = 0; i < old->cap; i++) {
        if (old->slots[i] != NULL) {
            intern_place(t, old->slots[i]);
        }
    }
    t->older = old;
    atomic_store_explicit(&in->table, t, memory_order_release);
    return true;
}

/* Under the lock. id is free and within the limit. */
static bool intern_insert(struct intern *in, int32_t id, uint64_t hash, struct view name)
{
    struct intern_name *n = malloc(sizeof(*n) + name.len);
    if (n == NULL || !intern_grow(in)) {
        free(n);
        return false;
    }
    n->hash = hash;
    n->id = id;
    n->len = (uint32_t)name.len;
    if (name.len > 0) {
        memcpy(n->bytes, name.data, name.len);
    }
    atomic_store_explicit(&in->names[id], n, memory_order_release);
    intern_place(in->table, n);
    in->used++;
    if (id > in->count) {
        atomic_store_explicit(&in->count, id, memory_order_release);
    }
    return true;
}

int32_t intern_add(struct intern *in, struct view name)
{
    uint64_t hash = map_hash(name);
    int32_t id = intern_look(in, hash, name);
    if (id != 0) {
        return id;
    }
    lock_take(&in->lock);
    id = intern_look(in, hash, name);
    if (id == 0 && in->count < in->limit) {
        int32_t next = in->count + 1;
        id = intern_insert(in, next, hash, name) ? next : 0;
    }
    lock_give(&in->lock);
    return id;
}

struct view intern_name(const struct intern *in, int32_t id)
{
    if (id < 1 || id > in->limit) {
        return (struct view){NULL, 0};
    }
    const struct intern_name *n = atomic_load_explicit(&in->names[id], memory_order_acquire);
    return n == NULL ? (struct view){NULL, 0} : view_of(n->bytes, n->len);
}

int32_t intern_count(const struct intern *in)
{
    return atomic_load_explicit(&in->count, memory_order_acquire);
}

enum err intern_restore(struct intern *in, int32_t id, struct view name)
{
    if (id < 1 || id > in->limit) {
        return ERR_LIMIT;
    }
    uint64_t hash = map_hash(name);
    lock_take(&in->lock);
    bool taken = in->names[id] != NULL || intern_look(in, hash, name) != 0;
    bool done = !taken && intern_insert(in, id, hash, name);
    lock_give(&in->lock);
    return taken ? ERR_EXISTS : done ? ERR_OK : ERR_NOMEM;
}
