/*
 * retained: the last message of each topic that was published with the retain flag, section 3.3.1.3
 * of MQTT 5.
 *
 * Ownership: takes holds of its own on messages. What is to be stored is gathered in a list of
 *            changes, which the owner empties.
 * Threads:   one. Time: monotonic, given by the caller.
 * Limits:    messages and bytes, given when it is made. Errors: ERR_QUOTA, ERR_NOMEM; then nothing
 *            has changed.
 */
#pragma once

#include "base/list.h"
#include "session/message.h"
#include "topics/trie.h"

struct retained {
    struct trie topics;
    struct list changed;
    struct list expiring; /* those with an expiry, in no order */
    uint32_t count, count_max;
    int64_t bytes, bytes_max;
};

NODISCARD enum err retained_init(struct retained *r, uint32_t count_max, int64_t bytes_max);
void retained_fini(struct retained *r);

/* Keeps m as the message of its topic; without a payload the topic has none from now on
 * [MQTT-3.3.1-6]. True in ret_removed: there was one, and its row is to be deleted. changed: the
 * row is to be written, see retained_changed(); false for what came from there. */
NODISCARD enum err retained_put(struct retained *r, struct message *m, bool changed,
                                bool *ret_removed);
/* The next one that changed since it was told, borrowed; NULL: none. */
struct message *retained_changed(struct retained *r);

typedef void (*retained_fn)(void *arg, struct message *m);
/* Those whose topic the filter matches and that have not expired, in no order. fn must not change
 * anything here. */
NODISCARD enum err retained_match(const struct retained *r, struct view filter, int64_t now_us,
                                  retained_fn fn, void *arg);
/* Takes out what has expired; fn is told before. */
void retained_expire(struct retained *r, int64_t now_us, retained_fn fn, void *arg);
