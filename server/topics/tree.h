/*
 * tree: who subscribes to what, and who gets a message of a topic.
 *
 * A member is whoever subscribes: one session. A filter may begin with "$share/{group}/"
 * [MQTT-4.8.2]: of the members of such a subscription one gets the message, in turn.
 *
 * Ownership: a member is the caller's and is taken out with tree_remove() before it goes. What
 *            tree_match() found stays until the next call of any function here.
 * Threads:   one. Errors: ERR_NOMEM; then nothing has changed.
 * Limits:    none of its own; filters are valid (mqtt_filter_valid()) and bounded by the caller.
 */
#pragma once

#include "topics/trie.h"

struct tree_sub;
struct tree_member {
    struct tree_sub *subs;
    uint64_t found_in; /* tree_match()'s: the last round that found it, and where */
    uint32_t found_at;
    bool connected; /* the caller's: shared subscriptions prefer such members */
    bool waits;     /* the caller's: while it is not connected messages may wait for it */
};

enum {
    TREE_QOS = 3, /* the bits of the options byte, as in MQTT 5 */
    TREE_NO_LOCAL = 4,
    TREE_AS_PUBLISHED = 8
};

struct tree_target {
    struct tree_member *member;
    const uint32_t *identifiers; /* of all subscriptions that matched */
    uint32_t identifier_count;
    uint32_t identifier; /* the first one */
    uint8_t qos;         /* the highest */
    bool as_published;   /* keep the retain flag */
    bool shared;
};

struct tree {
    struct trie filters;
    uint32_t sub_count;
    uint64_t round;
    const struct tree_member *publisher;
    bool kept_local; /* the last match had a subscription of its publisher with TREE_NO_LOCAL */
    enum err err;    /* of the match that is under way */
    struct tree_target *targets;
    uint32_t target_count, target_cap;
    struct tree_more *more; /* identifiers beside each target's first */
    uint32_t more_count, more_cap;
    uint32_t *identifiers;
    uint32_t identifier_cap;
};

NODISCARD enum err tree_init(struct tree *t);
void tree_fini(struct tree *t); /* no member has a subscription any more */

/* A second subscription of a member with the same filter replaces options and identifier
 * [MQTT-3.8.4-3]. identifier 0: none. */
NODISCARD enum err tree_subscribe(struct tree *t, struct tree_member *m, struct view filter,
                                  uint8_t options, uint32_t identifier);
bool tree_unsubscribe(struct tree *t, struct tree_member *m, struct view filter); /* was there */
void tree_remove(struct tree *t, struct tree_member *m);                          /* all */

/*
 * Who gets a message: one target for each member that has subscriptions of its own that match, with
 * the highest QoS and all identifiers, and one for each shared subscription. publisher: whose
 * message it is, or NULL; subscriptions with TREE_NO_LOCAL do not send it back [MQTT-3.8.3-3].
 *
 * Of a shared subscription it is a connected member, in turn; if there is none, one for which
 * messages may wait, in turn; else nobody.
 */
NODISCARD enum err tree_match(struct tree *t, struct view topic,
                              const struct tree_member *publisher,
                              const struct tree_target **ret_targets, uint32_t *ret_count);
