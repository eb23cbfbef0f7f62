/*
 * target: how the router gives sessions what others have published.
 *
 * Threads: the home loop, or before sessions_start() the thread that makes the server.
 * Ownership: everything is the caller's and borrowed for the call; a message gets a hold of its
 * own.
 */
#pragma once

#include "session/session.h"

/* How one session gets a message. */
struct session_target {
    struct message *message; /* borrowed; session_send() takes a hold of its own */
    int64_t seq; /* its place among what is stored for the session, from 1; 0: not stored. A stored
                    one waits until message->stored, and keeps its packet id over a restart */
    uint8_t qos; /* as to be sent */
    bool retain; /* likewise */
    bool again;  /* restored: it may have been sent before, and says so with DUP */
    bool released; /* restored after PUBREC */
    bool burst;    /* one of many that a subscription asked for: bounded apart from what is sent */
    uint32_t identifier_count;
    const uint32_t *identifiers; /* copied */
};

/* A session as it was stored, to be parked before the server listens. */
struct session_stored {
    int64_t number;
    struct device *device; /* held by the callee; NULL: of the open listener */
    const char *client_id;
    int64_t expiry_us, expires_at_us; /* monotonic */
    const struct session_filter *filters;
    uint32_t filter_count;
    const uint16_t *received; /* QoS 2 publishes taken and not released */
    uint32_t received_count;
};

/* ERR_NOT_FOUND: nobody has the number now, and nothing is told. ERR_FULL: the queue was full and
 * what waited longest gave way, which target_done was told of if it was stored. QoS 0 is for those
 * who are connected. ERR_NOMEM: not taken. A stored target that is taken ends with one target_done.
 */
enum err session_send(struct sessions *all, int64_t number, const struct session_target *t);
/* Any thread. What waits for all sessions has reached queues_max: absent ones get nothing more.
 * Said in the log once, until an eighth is free again. */
bool session_queues_full(struct sessions *all);
/* message->stored was set: sends what waited for it. */
void session_stored_now(struct sessions *all, int64_t number);
/* Before sessions_start(). Numbers given out later are greater than any restored one. Filters that
 * the device may not have any more are given up at once: `unsubscribed` is told. */
NODISCARD enum err sessions_restore(struct sessions *all, const struct session_stored *stored);
