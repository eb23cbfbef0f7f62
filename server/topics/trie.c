#include "topics/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"

/*
 * Children are found through one hash table for all nodes, keyed by the parent and the level. The
 * list of a node's children is there for matching filters against topics.
 *
 * Matching walks depth first without a stack: from a node that leads no further the way back is its
 * parent, and whether the node itself is '+' or not says what was not tried yet.
 */
enum { LEVELS_INLINE = 64, BUCKETS_FIRST = 64 };

static const struct view plus = {(const uint8_t *)"+", 1};
static const struct view hash_sign = {(const uint8_t *)"#", 1};

/* ---- a path's levels ---- */

struct levels {
    uint32_t count;
    struct view *at;
    struct view room[LEVELS_INLINE];
};

/* The first level; *rest loses it, and its data is NULL after the last one. */
static struct view level_next(struct view *rest)
{
    struct view level = *rest;
    const uint8_t *slash = rest->len == 0 ? NULL : memchr(rest->data, '/', rest->len);
    if (slash == NULL) {
        *rest = (struct view){NULL, 0};
        return level;
    }
    level.len = (size_t)(slash - rest->data);
    *rest = view_skip(*rest, level.len + 1);
    return level;
}

static uint32_t levels_count(struct view path)
{
    uint32_t n = 1;
    for (size_t i = 0; i < path.len; i++) {
        n += path.data[i] == '/';
    }
    return n;
}

static enum err levels_split(struct levels *l, struct view path)
{
    l->count = levels_count(path);
    l->at = l->count <= LEVELS_INLINE ? l->room : calloc(l->count, sizeof(*l->at));
    if (l->at == NULL) {
        return ERR_NOMEM;
    }
    struct view rest = path;
    for (uint32_t i = 0; i < l->count; i++) {
        l->at[i] = level_next(&rest);
    }
    return ERR_OK;
}

static void levels_free(struct levels *l)
{
    if (l->at != l->room) {
        free(l->at);
    }
}

/* ---- nodes ---- */

static struct view node_level(const struct trie_node *n)
{
    return view_of(n->level, n->len);
}

static bool node_is(const struct trie_node *n, uint8_t wildcard)
{
    return n->len == 1 && n->level[0] == wildcard;
}

static bool node_hides(const struct trie_node *n)
{
    return n->parent->parent == NULL && n->len > 0 && n->level[0] == '$';
}

static bool node_used(const struct trie_node *n)
{
    return n->users[0] != NULL || n->users[1] != NULL;
}

static uint32_t child_hash(const struct trie_node *parent, struct view level)
{
    uint64_t h = map_hash(level) ^ (uint64_t)parent->hash * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(h ^ h >> 32);
}

static struct trie_node *child_get(const struct trie *t, const struct trie_node *parent,
                                   struct view level)
{
    uint32_t hash = child_hash(parent, level);
    struct trie_node *n = t->buckets[hash & (t->bucket_count - 1)];
    while (n != NULL &&
           (n->hash != hash || n->parent != parent || !view_eq(node_level(n), level))) {
        n = n->bucket;
    }
    return n;
}

/* Without memory the chains only grow longer. */
static void buckets_grow(struct trie *t)
{
    uint32_t count = t->bucket_count * 2;
    struct trie_node **buckets = count == 0 ? NULL : calloc(count, sizeof(struct trie_node *));
    if (buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i < t->bucket_count; i++) {
        struct trie_node *n = t->buckets[i];
        while (n != NULL) {
            struct trie_node *next = n->bucket;
            n->bucket = buckets[n->hash & (count - 1)];
            buckets[n->hash & (count - 1)] = n;
            n = next;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = count;
}

static struct trie_node *child_add(struct trie *t, struct trie_node *parent, struct view level)
{
    struct trie_node *n = calloc(1, sizeof(*n) + level.len);
    if (n == NULL) {
        return NULL;
    }
    if (t->node_count >= t->bucket_count) {
        buckets_grow(t);
    }
    n->parent = parent;
    n->hash = child_hash(parent, level);
    n->len = (uint16_t)level.len;
    if (level.len > 0) {
        memcpy(n->level, level.data, level.len);
    }
    struct trie_node **bucket = &t->buckets[n->hash & (t->bucket_count - 1)];
    n->bucket = *bucket;
    *bucket = n;
    n->next = parent->children;
    if (n->next != NULL) {
        n->next->prev = n;
    }
    parent->children = n;
    parent->wild |= node_is(n, '+') ? TRIE_PLUS : node_is(n, '#') ? TRIE_HASH : 0;
    t->node_count++;
    return n;
}

static void node_remove(struct trie *t, struct trie_node *n)
{
    struct trie_node **bucket = &t->buckets[n->hash & (t->bucket_count - 1)];
    while (*bucket != n) {
        bucket = &(*bucket)->bucket;
    }
    *bucket = n->bucket;
    if (n->prev != NULL) {
        n->prev->next = n->next;
    } else {
        n->parent->children = n->next;
    }
    if (n->next != NULL) {
        n->next->prev = n->prev;
    }
    uint8_t wild = node_is(n, '+') ? TRIE_PLUS : node_is(n, '#') ? TRIE_HASH : 0;
    n->parent->wild &= (uint8_t)~wild;
    t->node_count--;
    free(n);
}

enum err trie_init(struct trie *t)
{
    *t = (struct trie){.bucket_count = BUCKETS_FIRST};
    t->root = calloc(1, sizeof(*t->root));
    t->buckets = calloc(BUCKETS_FIRST, sizeof(struct trie_node *));
    if (t->root == NULL || t->buckets == NULL) {
        trie_fini(t);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void trie_fini(struct trie *t)
{
    for (uint32_t i = 0; t->buckets != NULL && i < t->bucket_count; i++) {
        while (t->buckets[i] != NULL) {
            struct trie_node *next = t->buckets[i]->bucket;
            free(t->buckets[i]);
            t->buckets[i] = next;
        }
    }
    free(t->buckets);
    free(t->root);
    *t = (struct trie){0};
}

struct trie_node *trie_get(const struct trie *t, struct view path)
{
    struct trie_node *n = t->root;
    struct view rest = path;
    while (n != NULL && rest.data != NULL) {
        n = child_get(t, n, level_next(&rest));
    }
    return n;
}

struct trie_node *trie_put(struct trie *t, struct view path)
{
    struct trie_node *n = t->root;
    struct view rest = path;
    while (rest.data != NULL) {
        struct view level = level_next(&rest);
        struct trie_node *child = child_get(t, n, level);
        if (child == NULL) {
            child = child_add(t, n, level);
        }
        if (child == NULL) {
            trie_prune(t, n);
            return NULL;
        }
        n = child;
    }
    return n;
}

void trie_prune(struct trie *t, struct trie_node *n)
{
    while (n->parent != NULL && n->children == NULL && !node_used(n)) {
        struct trie_node *parent = n->parent;
        node_remove(t, n);
        n = parent;
    }
}

/* ---- matching ---- */

static void visit_used(struct trie_node *n, trie_visit_fn visit, void *arg)
{
    if (n != NULL && node_used(n)) {
        visit(arg, n);
    }
}

enum err trie_match_topic(const struct trie *t, struct view topic, trie_visit_fn visit, void *arg)
{
    struct levels levels;
    enum err e = levels_split(&levels, topic);
    if (e != ERR_OK) {
        return e;
    }
    bool hidden = topic.len > 0 && topic.data[0] == '$';
    struct trie_node *n = t->root;
    uint32_t depth = 0;
    while (n != NULL) {
        uint8_t wild = hidden && depth == 0 ? 0 : n->wild;
        if ((wild & TRIE_HASH) != 0) {
            visit_used(child_get(t, n, hash_sign), visit, arg);
        }
        struct trie_node *next = NULL;
        if (depth == levels.count) {
            visit_used(n, visit, arg);
        } else {
            next = child_get(t, n, levels.at[depth]);
            if (next == NULL && (wild & TRIE_PLUS) != 0) {
                next = child_get(t, n, plus);
            }
        }
        depth++;
        /* Back to where '+' was not tried yet. */
        while (next == NULL && n != NULL) {
            depth--;
            struct trie_node *parent = n->parent;
            if (parent != NULL && !node_is(n, '+') && (parent->wild & TRIE_PLUS) != 0 &&
                !(hidden && depth == 1)) {
                next = child_get(t, parent, plus);
            }
            n = parent;
        }
        n = next;
    }
    levels_free(&levels);
    return ERR_OK;
}

/* The one after n among all below `top`, parents first. */
static struct trie_node *below_next(const struct trie_node *top, struct trie_node *n)
{
    if (n->children != NULL) {
        return n->children;
    }
    for (; n != NULL && n != top; n = n->parent) {
        if (n->next != NULL) {
            return n->next;
        }
    }
    return NULL;
}

static void visit_all(struct trie_node *top, trie_visit_fn visit, void *arg)
{
    for (struct trie_node *n = top; n != NULL; n = below_next(top, n)) {
        visit_used(n, visit, arg);
    }
}

/* n, or the first after it that a wildcard may stand for. */
static struct trie_node *not_hidden(struct trie_node *n)
{
    while (n != NULL && node_hides(n)) {
        n = n->next;
    }
    return n;
}

/* '#': below the root everything but what hides; elsewhere n and all below it. */
static void visit_rest(struct trie_node *n, trie_visit_fn visit, void *arg)
{
    if (n->parent != NULL) {
        visit_all(n, visit, arg);
        return;
    }
    for (struct trie_node *c = not_hidden(n->children); c != NULL; c = not_hidden(c->next)) {
        visit_all(c, visit, arg);
    }
}

enum err trie_match_filter(const struct trie *t, struct view filter, trie_visit_fn visit, void *arg)
{
    struct levels levels;
    enum err e = levels_split(&levels, filter);
    if (e != ERR_OK) {
        return e;
    }
    struct trie_node *n = t->root;
    uint32_t depth = 0;
    while (n != NULL) {
        struct trie_node *next = NULL;
        if (depth == levels.count) {
            visit_used(n, visit, arg);
        } else if (view_eq(levels.at[depth], hash_sign)) {
            visit_rest(n, visit, arg);
        } else if (view_eq(levels.at[depth], plus)) {
            next = not_hidden(n->children);
        } else {
            next = child_get(t, n, levels.at[depth]);
        }
        depth++;
        /* Back to where a '+' has another child to stand for. */
        while (next == NULL && n != NULL) {
            depth--;
            if (depth > 0 && view_eq(levels.at[depth - 1], plus)) {
                next = not_hidden(n->next);
            }
            n = n->parent;
        }
        n = next;
    }
    levels_free(&levels);
    return ERR_OK;
}
