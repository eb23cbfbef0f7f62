/*
 * trie: paths of levels ("a/b/c") as nodes that share their beginnings. Subscriptions keep filters
 * in one, retained messages keep topics in one.
 *
 * A node stands for a path and holds up to two pointers of the owner's; a node without them and
 * without children does not exist. Ownership: nodes are the trie's, what hangs on them is not.
 * Threads:   one. Limits: none of its own; a path has at most 65,535 bytes.
 * Errors:    NULL and ERR_NOMEM when memory is used up; then nothing has changed.
 * Cost:      one look-up in a hash table for each level; matching is iterative and needs no memory
 *            for paths of up to 64 levels.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct trie_node {
    struct trie_node *parent; /* NULL: the root, which stands for no path */
    struct trie_node *bucket; /* the next one in the hash table's bucket */
    struct trie_node *children;
    struct trie_node *next, *prev; /* with the same parent, in no order */
    void *users[2];
    uint32_t hash;
    uint16_t len;
    uint8_t wild; /* children "+" and "#" exist: TRIE_PLUS, TRIE_HASH */
    uint8_t level[];
};

enum { TRIE_PLUS = 1, TRIE_HASH = 2 };

struct trie {
    struct trie_node *root;
    struct trie_node **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t node_count;   /* without the root */
};

NODISCARD enum err trie_init(struct trie *t);
void trie_fini(struct trie *t);

/* The node of a path, made if it is not there. The caller sets one of its users, or prunes it. */
struct trie_node *trie_put(struct trie *t, struct view path);
struct trie_node *trie_get(const struct trie *t, struct view path); /* NULL: not there */
/* Takes the node out if nothing needs it any more, and then those above it. */
void trie_prune(struct trie *t, struct trie_node *n);

/* Called for nodes with a user, each once, in no order. It must not change the trie. */
typedef void (*trie_visit_fn)(void *arg, struct trie_node *n);
/* The nodes whose path is a filter that matches the topic. Wildcards in the first level do not
 * match topics that begin with '$' [MQTT-4.7.2-1]. */
NODISCARD enum err trie_match_topic(const struct trie *t, struct view topic, trie_visit_fn visit,
                                    void *arg);
/* The nodes whose path is a topic that the filter matches; the same rule. */
NODISCARD enum err trie_match_filter(const struct trie *t, struct view filter, trie_visit_fn visit,
                                     void *arg);
