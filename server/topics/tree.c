#include "topics/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "mqtt/topic.h"

/*
 * A node of the trie has the subscriptions of its filter in users[0] and the shared ones, by
 * group, in users[1]. A match marks each member it finds with the number of its round, so that
 * overlapping filters find the same target again without a search.
 */
enum { USER_SUBS, USER_SHARES };

struct tree_sub {
    struct tree_sub *next, *prev; /* of the node; in a ring if it is shared */
    struct tree_sub *member_next, *member_prev;
    struct tree_member *member;
    struct trie_node *node;
    struct share *share; /* NULL: not shared */
    uint32_t identifier;
    uint8_t options;
};

struct share {
    struct share *next;    /* of the node */
    struct tree_sub *turn; /* whose turn it is; all members in a ring */
    size_t group_len;
    uint8_t group[];
};

struct tree_more {
    uint32_t target;
    uint32_t identifier;
};

enum err tree_init(struct tree *t)
{
    *t = (struct tree){0};
    return trie_init(&t->filters);
}

void tree_fini(struct tree *t)
{
    CHECK(t->sub_count == 0);
    trie_fini(&t->filters);
    free(t->targets);
    free(t->more);
    free(t->identifiers);
    *t = (struct tree){0};
}

/* ---- subscriptions ---- */

static struct share *share_find(const struct trie_node *n, struct view group)
{
    struct share *s = n->users[USER_SHARES];
    while (s != NULL && !view_eq(view_of(s->group, s->group_len), group)) {
        s = s->next;
    }
    return s;
}

static struct share *share_add(struct trie_node *n, struct view group)
{
    struct share *s = calloc(1, sizeof(*s) + group.len);
    if (s == NULL) {
        return NULL;
    }
    s->group_len = group.len;
    memcpy(s->group, group.data, group.len);
    s->next = n->users[USER_SHARES];
    n->users[USER_SHARES] = s;
    return s;
}

static void share_remove(struct trie_node *n, struct share *s)
{
    if (n->users[USER_SHARES] == s) {
        n->users[USER_SHARES] = s->next;
        free(s);
        return;
    }
    struct share *before = n->users[USER_SHARES];
    while (before->next != s) {
        before = before->next;
    }
    before->next = s->next;
    free(s);
}

static struct tree_sub *sub_find(const struct tree_member *m, const struct trie_node *n,
                                 const struct share *share)
{
    struct tree_sub *s = m->subs;
    while (s != NULL && (s->node != n || s->share != share)) {
        s = s->member_next;
    }
    return s;
}

static void sub_link(struct tree_sub *s)
{
    struct tree_member *m = s->member;
    s->member_next = m->subs;
    if (m->subs != NULL) {
        m->subs->member_prev = s;
    }
    m->subs = s;
    if (s->share == NULL) {
        s->next = s->node->users[USER_SUBS];
        if (s->next != NULL) {
            s->next->prev = s;
        }
        s->node->users[USER_SUBS] = s;
        return;
    }
    struct tree_sub *turn = s->share->turn;
    if (turn == NULL) {
        s->next = s;
        s->prev = s;
        s->share->turn = s;
        return;
    }
    s->next = turn; /* the last one in turn */
    s->prev = turn->prev;
    turn->prev->next = s;
    turn->prev = s;
}

static void sub_unlink_shared(struct tree_sub *s)
{
    struct share *share = s->share;
    if (s->next == s) {
        share_remove(s->node, share);
        return;
    }
    s->prev->next = s->next;
    s->next->prev = s->prev;
    if (share->turn == s) {
        share->turn = s->next;
    }
}

static void sub_remove(struct tree *t, struct tree_sub *s)
{
    if (s->member_prev != NULL) {
        s->member_prev->member_next = s->member_next;
    } else {
        s->member->subs = s->member_next;
    }
    if (s->member_next != NULL) {
        s->member_next->member_prev = s->member_prev;
    }
    if (s->share != NULL) {
        sub_unlink_shared(s);
    } else {
        if (s->prev != NULL) {
            s->prev->next = s->next;
        } else {
            s->node->users[USER_SUBS] = s->next;
        }
        if (s->next != NULL) {
            s->next->prev = s->prev;
        }
    }
    trie_prune(&t->filters, s->node);
    t->sub_count--;
    free(s);
}

enum err tree_subscribe(struct tree *t, struct tree_member *m, struct view filter, uint8_t options,
                        uint32_t identifier)
{
    struct mqtt_share split = mqtt_filter_split(filter);
    struct trie_node *n = trie_put(&t->filters, split.filter);
    if (n == NULL) {
        return ERR_NOMEM;
    }
    bool shared = split.group.len > 0;
    struct share *share = shared ? share_find(n, split.group) : NULL;
    struct tree_sub *s = shared && share == NULL ? NULL : sub_find(m, n, share);
    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        if (s != NULL && shared && share == NULL) {
            share = share_add(n, split.group);
        }
        if (s == NULL || (shared && share == NULL)) {
            free(s);
            trie_prune(&t->filters, n);
            return ERR_NOMEM;
        }
        s->member = m;
        s->node = n;
        s->share = share;
        sub_link(s);
        t->sub_count++;
    }
    s->options = options;
    s->identifier = identifier;
    return ERR_OK;
}

bool tree_unsubscribe(struct tree *t, struct tree_member *m, struct view filter)
{
    struct mqtt_share split = mqtt_filter_split(filter);
    struct trie_node *n = trie_get(&t->filters, split.filter);
    bool shared = split.group.len > 0;
    struct share *share = n != NULL && shared ? share_find(n, split.group) : NULL;
    if (n == NULL || (shared && share == NULL)) {
        return false;
    }
    struct tree_sub *s = sub_find(m, n, share);
    if (s != NULL) {
        sub_remove(t, s);
    }
    return s != NULL;
}

void tree_remove(struct tree *t, struct tree_member *m)
{
    while (m->subs != NULL) {
        sub_remove(t, m->subs);
    }
}

/* ---- matching ---- */

static bool grow(void **items, uint32_t *cap, uint32_t count, size_t size)
{
    if (count < *cap) {
        return true;
    }
    uint32_t more = *cap == 0 ? 16 : *cap * 2;
    void *grown = realloc(*items, more * size);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *cap = more;
    return true;
}

static struct tree_target *target_add(struct tree *t, struct tree_member *m)
{
    void *items = t->targets;
    if (!grow(&items, &t->target_cap, t->target_count, sizeof(*t->targets))) {
        t->err = ERR_NOMEM;
        return NULL;
    }
    t->targets = items;
    t->targets[t->target_count] = (struct tree_target){.member = m};
    return &t->targets[t->target_count++];
}

static void target_identify(struct tree *t, struct tree_target *to, uint32_t identifier)
{
    if (to->identifier_count++ == 0) {
        to->identifier = identifier;
        return;
    }
    void *items = t->more;
    if (!grow(&items, &t->more_cap, t->more_count, sizeof(*t->more))) {
        t->err = ERR_NOMEM;
        return;
    }
    t->more = items;
    t->more[t->more_count++] =
        (struct tree_more){.target = (uint32_t)(to - t->targets), .identifier = identifier};
}

static void target_merge(struct tree *t, struct tree_target *to, const struct tree_sub *s)
{
    uint8_t qos = s->options & TREE_QOS;
    to->qos = qos > to->qos ? qos : to->qos;
    to->as_published = to->as_published || (s->options & TREE_AS_PUBLISHED) != 0;
    if (s->identifier != 0) {
        target_identify(t, to, s->identifier);
    }
}

static void match_sub(struct tree *t, const struct tree_sub *s)
{
    struct tree_member *m = s->member;
    if ((s->options & TREE_NO_LOCAL) != 0 && m == t->publisher) {
        t->kept_local = true;
        return;
    }
    struct tree_target *to = NULL;
    if (m->found_in == t->round) {
        to = &t->targets[m->found_at];
    } else {
        to = target_add(t, m);
        if (to == NULL) {
            return;
        }
        m->found_in = t->round;
        m->found_at = t->target_count - 1;
    }
    target_merge(t, to, s);
}

/* Whose turn it is among those that qualify; NULL: none does. */
static struct tree_sub *share_next(struct share *share, bool connected)
{
    struct tree_sub *s = share->turn;
    do {
        if (connected ? s->member->connected : s->member->waits) {
            share->turn = s->next;
            return s;
        }
        s = s->next;
    } while (s != share->turn);
    return NULL;
}

static void match_share(struct tree *t, struct share *share)
{
    const struct tree_sub *s = share_next(share, true);
    if (s == NULL) {
        s = share_next(share, false);
    }
    struct tree_target *to = s == NULL ? NULL : target_add(t, s->member);
    if (to != NULL) {
        to->shared = true;
        target_merge(t, to, s);
    }
}

static void match_node(void *arg, struct trie_node *n)
{
    struct tree *t = arg;
    for (const struct tree_sub *s = n->users[USER_SUBS]; s != NULL; s = s->next) {
        match_sub(t, s);
    }
    for (struct share *share = n->users[USER_SHARES]; share != NULL; share = share->next) {
        match_share(t, share);
    }
}

/* Puts the identifiers of targets that have several side by side. */
static enum err gather_identifiers(struct tree *t)
{
    uint32_t wanted = t->more_count * 2;
    if (wanted > t->identifier_cap) {
        uint32_t *grown = realloc(t->identifiers, wanted * sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        t->identifiers = grown;
        t->identifier_cap = wanted;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < t->target_count; i++) {
        struct tree_target *to = &t->targets[i];
        to->identifiers = &to->identifier;
        if (to->identifier_count > 1) {
            to->identifiers = &t->identifiers[used];
            t->identifiers[used] = to->identifier;
            used += to->identifier_count;
            to->identifier_count = 1; /* counted again as they are put in */
        }
    }
    for (uint32_t i = 0; i < t->more_count; i++) {
        struct tree_target *to = &t->targets[t->more[i].target];
        t->identifiers[to->identifiers - t->identifiers + to->identifier_count++] =
            t->more[i].identifier;
    }
    return ERR_OK;
}

static void next_round(struct tree *t, const struct tree_member *publisher)
{
    t->round++;
    t->publisher = publisher;
    t->kept_local = false;
    t->err = ERR_OK;
    t->target_count = 0;
    t->more_count = 0;
}

enum err tree_match(struct tree *t, struct view topic, const struct tree_member *publisher,
                    const struct tree_target **ret_targets, uint32_t *ret_count)
{
    next_round(t, publisher);
    enum err e = trie_match_topic(&t->filters, topic, match_node, t);
    e = e == ERR_OK ? t->err : e;
    if (e == ERR_OK) {
        e = gather_identifiers(t);
    }
    if (e != ERR_OK) {
        return e;
    }
    *ret_targets = t->targets;
    *ret_count = t->target_count;
    return ERR_OK;
}
