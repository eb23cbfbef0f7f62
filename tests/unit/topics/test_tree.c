#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "mqtt/topic.h"
#include "mqtt_naive.h"
#include "topics/tree.h"

/* Who gets what, compared with going through all subscriptions one by one. */

enum { MEMBERS = 12, SUBS_MAX = 400 };

struct rig {
    struct tree tree;
    struct tree_member members[MEMBERS];
    const struct tree_target *targets;
    uint32_t count;
};

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    cr_assert_eq(tree_init(&r->tree), ERR_OK);
    for (int i = 0; i < MEMBERS; i++) {
        r->members[i].connected = true;
    }
}

static void rig_fini(struct rig *r)
{
    for (int i = 0; i < MEMBERS; i++) {
        tree_remove(&r->tree, &r->members[i]);
    }
    cr_assert_eq(r->tree.filters.node_count, 0, "%u nodes are left", r->tree.filters.node_count);
    tree_fini(&r->tree);
}

static void subscribe(struct rig *r, int member, const char *filter, uint8_t options,
                      uint32_t identifier)
{
    cr_assert_eq(
        tree_subscribe(&r->tree, &r->members[member], view_str(filter), options, identifier),
        ERR_OK);
}

static bool unsubscribe(struct rig *r, int member, const char *filter)
{
    return tree_unsubscribe(&r->tree, &r->members[member], view_str(filter));
}

static void match(struct rig *r, const char *topic, int publisher)
{
    cr_assert_eq(tree_match(&r->tree, view_str(topic),
                            publisher < 0 ? NULL : &r->members[publisher], &r->targets, &r->count),
                 ERR_OK);
}

static const struct tree_target *target(const struct rig *r, int member)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->targets[i].member == &r->members[member]) {
            return &r->targets[i];
        }
    }
    return NULL;
}

/* The member that a message of the topic goes to, when it goes to one; -1: to nobody. */
static int only(struct rig *r, const char *topic)
{
    match(r, topic, -1);
    cr_assert_leq(r->count, 1);
    return r->count == 0 ? -1 : (int)(r->targets[0].member - r->members);
}

Test(tree, filters_match_as_the_standard_says)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
        const char *why;
    } rows[] = {
        {"a/b", "a/b", true, "the same"},
        {"a/b", "a", false, "shorter"},
        {"a", "a/b", false, "longer"},
        {"a/+", "a/b", true, "one level"},
        {"a/+", "a", false, "no level"},
        {"a/+", "a/", true, "an empty level is one"},
        {"a/+", "a/b/c", false, "two levels"},
        {"+", "a", true, "the whole topic"},
        {"+", "/a", false, "two levels, the first is empty"},
        {"+/+", "/a", true, "both"},
        {"/+", "/a", true, "the second"},
        {"a/#", "a", true, "'#' includes its parent"},
        {"a/#", "a/b/c", true, "and all below it"},
        {"a/#", "ab", false, "a level, not a prefix"},
        {"#", "a/b/c", true, "everything"},
        {"#", "$SYS/x", false, "but what begins with $"},
        {"+/x", "$SYS/x", false, "likewise"},
        {"$SYS/#", "$SYS/x", true, "named"},
        {"$SYS/+", "$SYS/x", true, "a wildcard behind it"},
        {"a/+/c", "a/$b/c", true, "$ counts at the start only"},
        {"a/+/#", "a", false, "the level before '#' is missing"},
        {"a/+/#", "a/b", true, "'#' includes its parent"},
        {"+/b/+", "a/b/c", true, "wildcards on both sides"},
        {"+/+/d", "a/b/c", false, "the last level differs"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r);
        subscribe(&r, 0, rows[i].filter, 0, 0);
        match(&r, rows[i].topic, -1);
        cr_expect_eq(r.count, rows[i].matches, "%s on %s: %s", rows[i].filter, rows[i].topic,
                     rows[i].why);
        rig_fini(&r);
    }
}

Test(tree, overlapping_filters_give_one_target_with_the_highest_qos_and_all_identifiers)
{
    struct rig r;
    rig_init(&r);
    subscribe(&r, 0, "a/#", 0, 7);
    subscribe(&r, 0, "a/+", 2 | TREE_AS_PUBLISHED, 9);
    subscribe(&r, 0, "+/b", 1, 0);
    subscribe(&r, 0, "a/b", 1, 8);
    subscribe(&r, 1, "a/b", 1, 3);
    subscribe(&r, 2, "a/b", 0, 0);
    match(&r, "a/b", -1);
    cr_assert_eq(r.count, 3);
    const struct tree_target *t = target(&r, 0);
    cr_assert_not_null(t);
    cr_assert_eq(t->qos, 2);
    cr_assert(t->as_published);
    cr_assert_eq(t->identifier_count, 3);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 3; i++) {
        seen |= 1u << t->identifiers[i];
    }
    cr_assert_eq(seen, 1u << 7 | 1u << 8 | 1u << 9);
    t = target(&r, 1);
    cr_assert(t->identifier_count == 1 && t->identifiers[0] == 3);
    cr_assert_eq(target(&r, 2)->identifier_count, 0);
    rig_fini(&r);
}

Test(tree, the_same_filter_again_replaces_its_options)
{
    struct rig r;
    rig_init(&r);
    subscribe(&r, 0, "a", 2, 5);
    subscribe(&r, 0, "a", 1, 0);
    match(&r, "a", -1);
    cr_assert_eq(r.count, 1);
    cr_assert(r.targets[0].qos == 1 && r.targets[0].identifier_count == 0);
    cr_assert_eq(r.tree.sub_count, 1);
    cr_assert(unsubscribe(&r, 0, "a"));
    cr_assert_not(unsubscribe(&r, 0, "a"));
    match(&r, "a", -1);
    cr_assert_eq(r.count, 0);
    rig_fini(&r);
}

Test(tree, no_local_keeps_a_message_from_its_publisher_by_that_filter_only)
{
    struct rig r;
    rig_init(&r);
    subscribe(&r, 0, "a/#", 2 | TREE_NO_LOCAL, 1);
    subscribe(&r, 1, "a/#", 1 | TREE_NO_LOCAL, 2);
    match(&r, "a/b", 0);
    cr_assert(r.count == 1 && target(&r, 1) != NULL);
    cr_assert(r.tree.kept_local);
    match(&r, "b", 0);
    cr_assert_not(r.tree.kept_local);
    subscribe(&r, 0, "a/b", 0, 3);
    match(&r, "a/b", 0);
    cr_assert_eq(r.count, 2);
    cr_assert(target(&r, 0)->qos == 0 && target(&r, 0)->identifiers[0] == 3);
    match(&r, "a/b", -1);
    cr_assert_eq(target(&r, 0)->qos, 2);
    rig_fini(&r);
}

Test(tree, a_shared_subscription_takes_turns)
{
    struct rig r;
    rig_init(&r);
    for (int i = 0; i < 3; i++) {
        subscribe(&r, i, "$share/g/a/+", 1, 0);
    }
    int got[MEMBERS] = {0};
    for (int i = 0; i < 9; i++) {
        got[only(&r, "a/b")]++;
    }
    cr_assert(got[0] == 3 && got[1] == 3 && got[2] == 3);
    tree_remove(&r.tree, &r.members[1]);
    for (int i = 0; i < 4; i++) {
        got[only(&r, "a/b")]++;
    }
    cr_assert(got[0] == 5 && got[1] == 3 && got[2] == 5, "%d %d %d", got[0], got[1], got[2]);
    rig_fini(&r);
}

Test(tree, a_shared_subscription_prefers_who_is_connected_and_waits_only_where_it_can)
{
    struct rig r;
    rig_init(&r);
    for (int i = 0; i < 4; i++) {
        subscribe(&r, i, "$share/g/a", 1, 0);
        r.members[i].connected = i == 2;
        r.members[i].waits = i < 2;
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(only(&r, "a"), 2);
    }
    r.members[2].connected = false;
    int first = only(&r, "a");
    int second = only(&r, "a");
    cr_assert(first < 2 && second < 2 && first != second);
    r.members[0].waits = false;
    r.members[1].waits = false;
    cr_assert_eq(only(&r, "a"), -1);
    rig_fini(&r);
}

Test(tree, groups_and_filters_and_own_subscriptions_are_independent)
{
    struct rig r;
    rig_init(&r);
    subscribe(&r, 0, "$share/g/a", 1, 1);
    subscribe(&r, 0, "$share/h/a", 1, 2);
    subscribe(&r, 0, "$share/g/#", 1, 3);
    subscribe(&r, 0, "a", 0, 4);
    match(&r, "a", -1);
    cr_assert_eq(r.count, 4);
    uint32_t shared = 0;
    for (uint32_t i = 0; i < r.count; i++) {
        shared += r.targets[i].shared;
        cr_assert_eq(r.targets[i].identifier_count, 1);
        cr_assert_eq(r.targets[i].shared, r.targets[i].identifiers[0] != 4);
    }
    cr_assert_eq(shared, 3);
    cr_assert(unsubscribe(&r, 0, "$share/g/a"));
    cr_assert_not(unsubscribe(&r, 0, "$share/g/a"));
    cr_assert_not(unsubscribe(&r, 0, "$share/none/a"));
    match(&r, "a", -1);
    cr_assert_eq(r.count, 3);
    rig_fini(&r);
}

Test(tree, deep_and_long_paths_are_only_data)
{
    struct rig r;
    rig_init(&r);
    char *deep = malloc(65536);
    memset(deep, '/', 65535);
    deep[65535] = '\0';
    subscribe(&r, 0, deep, 1, 0);
    subscribe(&r, 1, "#", 1, 0);
    subscribe(&r, 2, "+/+/#", 1, 0);
    match(&r, deep, -1);
    cr_assert_eq(r.count, 3);
    memset(deep, 'x', 65535);
    subscribe(&r, 3, deep, 1, 0);
    match(&r, deep, -1);
    cr_assert_eq(r.count, 2);
    for (size_t i = 0; i < 65535; i++) {
        deep[i] = i % 2 == 0 ? '+' : '/';
    }
    subscribe(&r, 4, deep, 1, 0);
    for (size_t i = 0; i < 65535; i++) {
        deep[i] = i % 2 == 0 ? 'x' : '/';
    }
    match(&r, deep, -1);
    cr_assert_eq(r.count, 3);
    free(deep);
    rig_fini(&r);
}

/* ---- against the naive way ---- */

struct naive_sub {
    int member;
    char filter[24];
    uint8_t options;
    uint32_t identifier;
};

struct naive {
    struct naive_sub subs[SUBS_MAX];
    int count;
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 33;
}

static void random_path(uint64_t *state, bool filter, char ret_path[static 24])
{
    static const char *const levels[] = {"a", "b", "", "$x", "+", "#"};
    int count = 1 + (int)(next_random(state) % 4);
    ret_path[0] = '\0';
    for (int i = 0; i < count; i++) {
        uint64_t kind = next_random(state) % (filter ? 6 : 4);
        if (kind == 5 && i + 1 < count) {
            kind = 0;
        }
        size_t len = strlen(ret_path);
        (void)snprintf(ret_path + len, 24 - len, "%s%s", i == 0 ? "" : "/", levels[kind]);
    }
    if (ret_path[0] == '\0') {
        (void)snprintf(ret_path, 24, "a");
    }
}

static int naive_find(const struct naive *n, int member, const char *filter)
{
    for (int i = 0; i < n->count; i++) {
        if (n->subs[i].member == member && strcmp(n->subs[i].filter, filter) == 0) {
            return i;
        }
    }
    return -1;
}

static void naive_subscribe(struct naive *n, const struct naive_sub *s)
{
    int at = naive_find(n, s->member, s->filter);
    n->subs[at < 0 ? n->count++ : at] = *s;
}

static void expect_same(struct rig *r, const struct naive *n, const char *topic, int publisher)
{
    match(r, topic, publisher);
    uint32_t members = 0;
    for (int m = 0; m < MEMBERS; m++) {
        int qos = -1;
        bool as_published = false;
        uint64_t sum = 0;
        uint32_t identifiers = 0;
        for (int i = 0; i < n->count; i++) {
            const struct naive_sub *s = &n->subs[i];
            if (s->member != m || !mqtt_naive_matches(view_str(s->filter), view_str(topic)) ||
                (m == publisher && (s->options & TREE_NO_LOCAL) != 0)) {
                continue;
            }
            qos = (s->options & TREE_QOS) > qos ? s->options & TREE_QOS : qos;
            as_published = as_published || (s->options & TREE_AS_PUBLISHED) != 0;
            identifiers += s->identifier != 0;
            sum += (uint64_t)s->identifier * s->identifier;
        }
        const struct tree_target *t = target(r, m);
        cr_assert_eq(t != NULL, qos >= 0, "member %d of %s", m, topic);
        members += qos >= 0;
        if (t == NULL) {
            continue;
        }
        uint64_t found = 0;
        for (uint32_t i = 0; i < t->identifier_count; i++) {
            found += (uint64_t)t->identifiers[i] * t->identifiers[i];
        }
        cr_assert(t->qos == qos && t->as_published == as_published &&
                      t->identifier_count == identifiers && found == sum,
                  "member %d of %s: qos %d for %d, %u identifiers for %u", m, topic, t->qos, qos,
                  t->identifier_count, identifiers);
    }
    cr_assert_eq(r->count, members);
}

Test(tree, gives_what_going_through_all_subscriptions_gives)
{
    struct naive *n = calloc(1, sizeof(*n));
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t state = seed;
        struct rig r;
        rig_init(&r);
        n->count = 0;
        for (int step = 0; step < 300; step++) {
            struct naive_sub s = {.member = (int)(next_random(&state) % MEMBERS)};
            random_path(&state, true, s.filter);
            uint64_t what = next_random(&state) % 8;
            if (what < 4 && n->count < SUBS_MAX) {
                s.options = (uint8_t)(next_random(&state) % 3 | (next_random(&state) % 4) << 2);
                s.identifier = (uint32_t)(next_random(&state) % 5 * 1000);
                subscribe(&r, s.member, s.filter, s.options, s.identifier);
                naive_subscribe(n, &s);
            } else if (what == 4) {
                int at = naive_find(n, s.member, s.filter);
                cr_assert_eq(unsubscribe(&r, s.member, s.filter), at >= 0);
                if (at >= 0) {
                    n->subs[at] = n->subs[--n->count];
                }
            } else if (what == 5 && next_random(&state) % 8 == 0) {
                tree_remove(&r.tree, &r.members[s.member]);
                for (int i = n->count - 1; i >= 0; i--) {
                    if (n->subs[i].member == s.member) {
                        n->subs[i] = n->subs[--n->count];
                    }
                }
            } else {
                char topic[24];
                random_path(&state, false, topic);
                expect_same(&r, n, topic, (int)(next_random(&state) % (MEMBERS + 1)) - 1);
            }
            cr_assert_eq(r.tree.sub_count, (uint32_t)n->count);
        }
        rig_fini(&r);
    }
    free(n);
}
