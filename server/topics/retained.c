#include "topics/retained.h"

#include <stdlib.h>

#include "base/clock.h"

/* An entry hangs in users[0] of its topic's node. */
struct entry {
    struct list changed;  /* first */
    struct list expiring; /* linked if the message expires */
    struct trie_node *node;
    struct message *message;
};

static int64_t bytes_of(const struct message *m)
{
    return (int64_t)sizeof(*m) + m->topic_len + m->props_len + m->payload_len;
}

enum err retained_init(struct retained *r, uint32_t count_max, int64_t bytes_max)
{
    *r = (struct retained){.count_max = count_max, .bytes_max = bytes_max};
    list_init(&r->changed);
    list_init(&r->expiring);
    return trie_init(&r->topics);
}

static void entry_remove(struct retained *r, struct entry *e)
{
    r->count--;
    r->bytes -= bytes_of(e->message);
    if (list_linked(&e->changed)) {
        list_remove(&e->changed);
    }
    if (list_linked(&e->expiring)) {
        list_remove(&e->expiring);
    }
    e->node->users[0] = NULL;
    trie_prune(&r->topics, e->node);
    message_drop(e->message);
    free(e);
}

void retained_fini(struct retained *r)
{
    for (uint32_t i = 0; i < r->topics.bucket_count; i++) {
        for (struct trie_node *n = r->topics.buckets[i]; n != NULL; n = n->bucket) {
            struct entry *e = n->users[0];
            if (e != NULL) {
                message_drop(e->message);
                free(e);
            }
        }
    }
    trie_fini(&r->topics);
}

static struct entry *entry_new(struct retained *r, struct view topic)
{
    struct entry *e = calloc(1, sizeof(*e));
    struct trie_node *n = e == NULL ? NULL : trie_put(&r->topics, topic);
    if (n == NULL) {
        free(e);
        return NULL;
    }
    e->node = n;
    n->users[0] = e;
    r->count++;
    return e;
}

static bool has_room(const struct retained *r, const struct entry *old, const struct message *m)
{
    uint32_t count = r->count + (old == NULL);
    int64_t bytes = r->bytes + bytes_of(m) - (old == NULL ? 0 : bytes_of(old->message));
    return count <= r->count_max && bytes <= r->bytes_max;
}

enum err retained_put(struct retained *r, struct message *m, bool changed, bool *ret_removed)
{
    struct trie_node *n = trie_get(&r->topics, message_topic(m));
    struct entry *e = n == NULL ? NULL : n->users[0];
    if (m->payload_len == 0) {
        *ret_removed = e != NULL;
        if (e != NULL) {
            entry_remove(r, e);
        }
        return ERR_OK;
    }
    if (!has_room(r, e, m)) {
        return ERR_QUOTA;
    }
    if (e == NULL) {
        e = entry_new(r, message_topic(m));
        if (e == NULL) {
            return ERR_NOMEM;
        }
    } else {
        r->bytes -= bytes_of(e->message);
        message_drop(e->message);
    }
    e->message = message_hold(m);
    r->bytes += bytes_of(m);
    if (changed && !list_linked(&e->changed)) {
        list_push_back(&r->changed, &e->changed);
    }
    bool expires = m->expires_at_us != CLOCK_NONE;
    if (expires && !list_linked(&e->expiring)) {
        list_push_back(&r->expiring, &e->expiring);
    } else if (!expires && list_linked(&e->expiring)) {
        list_remove(&e->expiring);
    }
    *ret_removed = false;
    return ERR_OK;
}

struct message *retained_changed(struct retained *r)
{
    struct list *first = list_pop_front(&r->changed);
    return first == NULL ? NULL : CONTAINER_OF(first, struct entry, changed)->message;
}

static bool expired(const struct message *m, int64_t now_us)
{
    return m->expires_at_us != CLOCK_NONE && m->expires_at_us <= now_us;
}

struct search {
    int64_t now_us;
    retained_fn fn;
    void *arg;
};

static void match_node(void *arg, struct trie_node *n)
{
    const struct search *s = arg;
    const struct entry *e = n->users[0];
    if (!expired(e->message, s->now_us)) {
        s->fn(s->arg, e->message);
    }
}

enum err retained_match(const struct retained *r, struct view filter, int64_t now_us,
                        retained_fn fn, void *arg)
{
    struct search s = {.now_us = now_us, .fn = fn, .arg = arg};
    return trie_match_filter(&r->topics, filter, match_node, &s);
}

void retained_expire(struct retained *r, int64_t now_us, retained_fn fn, void *arg)
{
    struct list *next = NULL;
    for (struct list *at = r->expiring.next; at != &r->expiring; at = next) {
        struct entry *e = CONTAINER_OF(at, struct entry, expiring);
        next = at->next;
        if (expired(e->message, now_us)) {
            fn(arg, e->message);
            entry_remove(r, e);
        }
    }
}
