/*
 * kept: what outlives a connection: filters, packet ids, and messages on their way to the client.
 *
 *     kept.c      made, freed
 *     filters.c   the subscriptions
 *     queue.c     messages that wait, and their bounds
 *     deliver.c   sends them
 *
 * Ownership: of one session, or of the claim that carries it to the next one. Threads: the owner's
 * loop.
 */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "session/ids.h"
#include "session/target.h"

/* A message on its way out. */
struct outgoing {
    struct list link;        /* first; in one list of kept */
    struct message *message; /* held */
    int64_t seq;             /* see struct session_target; 0: not stored */
    int64_t delivery_id;     /* of a command, or 0 */
    uint16_t packet_id;      /* 0: not sent */
    uint8_t qos;             /* as to be sent; of a command as its sender says, at most */
    uint8_t sent_qos;
    bool retain;
    bool command;  /* its filters are looked for when it is sent */
    bool burst;    /* see session_target */
    bool squeezed; /* all queues were full when it came: see queue.c */
    bool dup;      /* it may have been sent before */
    bool again;    /* to be sent again on the new connection */
    bool received; /* QoS 2: PUBREC has come */
    bool released; /* and, if it must be stored, was: PUBREL is sent */
    uint32_t identifier_count;
    uint32_t identifiers[];
};

struct filters {
    struct session_filter *at;
    uint32_t count, cap;
    struct map places; /* filter -> place + 1, once there are many; else empty */
};

struct kept {
    int64_t number; /* see session_number() */
    struct filters filters;
    struct list queue;      /* QoS 1 and 2, not sent, in order */
    struct list live;       /* QoS 0 that found the connection full */
    struct list under_way;  /* sent, in order, not acknowledged */
    uint32_t waiting_count; /* in queue and live, but for commands */
    uint32_t command_count; /* in both */
    uint32_t burst_count;   /* likewise */
    int64_t waiting_bytes;  /* likewise */
    int64_t next_expiry_us; /* none that waits expires before; CLOCK_NONE: none does */
    uint32_t under_way_count;
    uint32_t again_count;    /* of those under way */
    struct ids used;         /* packet ids of those under way */
    struct ids received;     /* QoS 2: PUBLISH taken, PUBREL not come */
    struct ids routed;       /* of those: by the route hook */
    int64_t expiry_us;       /* 0: ends with its connection */
    int64_t expires_at_us;   /* while there is none */
    int64_t drop_said_at_us; /* 0: never */
    uint32_t dropped;        /* since then */
    uint16_t last_packet_id;
    bool announced; /* was ready once: forgotten will be told */
};

struct kept *kept_new(void); /* NULL: out of memory */
/* What was on its way ends with ERR_CLOSED. */
void kept_free(struct sessions *all, struct kept *k);

/* filters.c */
struct session_filter *filters_find(struct filters *f, struct view filter); /* or NULL */
/* Adds or changes; *ret_filter is valid until the next change. ERR_FULL: it has `max` already. */
NODISCARD enum err filters_set(struct filters *f, struct view filter, uint8_t options,
                               uint32_t identifier, uint32_t max,
                               struct session_filter **ret_filter);
void filters_remove(struct filters *f, struct session_filter *filter);
void filters_fini(struct filters *f);

/* queue.c */
struct outgoing *outgoing_new(struct sessions *all, struct message *m,
                              const struct session_target *t); /* NULL: memory */
void outgoing_free(struct sessions *all, struct outgoing *o);  /* without telling anybody */
/* Tells who has to know how it ended, and frees it. Linked it must not be. */
void outgoing_end(struct sessions *all, int64_t number, struct outgoing *o, enum err status);
/* Adds it at the end. ERR_FULL: what waited longest gave way. */
enum err queue_push(struct sessions *all, struct kept *k, struct outgoing *o);
void queue_take(struct kept *k,
                struct outgoing *o); /* out of its list: it is to be sent or ended */
/* What waits in `from` is appended. */
void queue_splice(struct sessions *all, struct kept *k, struct kept *from);
void queue_end(struct sessions *all, struct kept *k, enum err status); /* all that waits */
void queue_expire(struct sessions *all, struct kept *k, int64_t now_us);
static inline bool outgoing_expired(const struct outgoing *o, int64_t now_us)
{
    int64_t at_us = o->message->expires_at_us;
    return at_us != CLOCK_NONE && at_us <= now_us;
}
