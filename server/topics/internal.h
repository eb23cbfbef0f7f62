/*
 * internal: what the files of this module share. Everything is the home loop's, except where said.
 *
 *     topics.c    life, and the way from other loops to the home loop
 *     route.c     publish -> targets
 *     members.c   sessions: their subscriptions, and what is stored of them
 *     wills.c     wills, at once or later
 *     restore.c   from the database
 *     journal.c   into the database
 *     tree.c retained.c trie.c   pure
 */
#pragma once

#include "base/map.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "topics/budget.h"
#include "topics/journal.h"
#include "topics/retained.h"
#include "topics/topics.h"
#include "topics/tree.h"

/* A QoS 2 publish that was routed and not released. */
struct received {
    uint16_t packet_id;
    bool stored; /* it has a row */
};

/* A session, with or without a connection. */
struct member {
    struct tree_member tree; /* first; waits: it outlives its connection, so messages are stored */
    int64_t number;
    int64_t seq;       /* of the newest message that was stored for it */
    uint64_t noted;    /* the journal's */
    struct will *will; /* waits for its delay */
    struct received *received;
    uint32_t received_count, received_cap;
    bool has_row;
    bool of_device; /* not of the open listener */
};

struct topics {
    const struct conf *conf;
    struct topics_hooks hooks;
    struct sessions *sessions;
    struct loop *home;
    struct loop_timer *tick;
    struct mail stop;
    struct tree tree;
    struct retained retained;
    struct journal *journal;
    struct map members; /* number -> struct member */
    struct list wills;  /* that wait for their delay */
    int64_t retained_expire_at_us;
    struct budget mailed; /* publishes on their way to the home loop */
    bool sending;         /* the targets of a match are being gone through */
    bool stopped;
};

/* A publish on the home loop. */
struct routed {
    struct view topic, payload;
    const struct mqtt_props *props;
    struct message *message;  /* or NULL: to be made of the above; not held */
    struct member *publisher; /* or NULL */
    struct ticket *ticket;    /* or NULL */
    uint16_t packet_id;
    uint8_t qos;
    bool retain;
    bool counts;        /* in the balance; wills do not */
    bool counted;       /* as received, on another loop */
    bool must_be_taken; /* it cannot be offered again */
};

/* route.c */
/* ERR_OK, ERR_NOT_FOUND, ERR_QUOTA, ERR_NOMEM or ERR_FULL; the ticket is held where something is to
 * be waited for. */
NODISCARD enum err route_publish(struct topics *t, const struct routed *p);
/* What is retained, for a new subscription. */
void route_retained(struct topics *t, struct member *m, const struct session_filter *f,
                    bool existed);
/* What the publish said, into the message made of it. */
void route_describe(struct message *m, uint8_t qos, bool retain, const struct mqtt_props *props);
/* Topics that are not for messages between devices. */
bool route_is_forbidden(struct view topic, bool of_device);

/* members.c */
struct member *member_get(const struct topics *t, int64_t number); /* NULL: gone */
NODISCARD enum err member_add(struct topics *t, int64_t number, struct member **ret_member);
void members_free(struct topics *t);
NODISCARD enum err member_subscribe(struct topics *t, struct member *m,
                                    const struct session_filter *f);
bool member_has_received(const struct member *m, uint16_t packet_id);
NODISCARD enum err member_received(struct member *m, uint16_t packet_id, bool stored);

/* On the home loop; what the public functions of these names lead to. */
NODISCARD enum err home_subscribed(struct topics *t, int64_t number, const struct session_filter *f,
                                   struct ticket *ticket);
void home_unsubscribed(struct topics *t, int64_t number, const char *filter, struct ticket *ticket);
void home_released(struct topics *t, int64_t number, uint16_t packet_id, struct ticket *ticket);
void home_received(struct topics *t, int64_t number, int64_t seq, struct ticket *ticket);
void home_target_done(struct topics *t, int64_t number, int64_t seq, struct message *m);

/* wills.c */
/* A will on the home loop; of a session whose row is there it is stored while it waits. */
struct home_will {
    int64_t number;          /* of its session */
    struct message *message; /* the callee takes this hold */
    int32_t device_id;       /* 0: of the open listener */
    int64_t delay_us, expiry_us;
};
void home_will(struct topics *t, const struct home_will *w);
/* One that was stored, under the id of its row. Due at once when its session is gone. */
NODISCARD enum err wills_restore(struct topics *t, const struct home_will *w, int64_t id);
void wills_send(struct topics *t, struct member *m);     /* the session has ended */
void wills_returned(struct topics *t, struct member *m); /* the session is back */
void wills_due(struct topics *t, int64_t now_us);
void wills_free(struct topics *t);

/* restore.c */
NODISCARD enum err restore_all(struct topics *t, struct db *db);
