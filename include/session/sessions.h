/*
 * sessions: all MQTT sessions of the server, with the listeners and loops they live on.
 *
 * Ownership: sessions_new() to sessions_free(). conf and everything behind `auth` and `hooks` stay
 *            until sessions_free().
 * Threads:   the functions here are for the thread that made it; those that say so, for any.
 * Order:     start everything that the hooks use, then sessions_start(). To stop: sessions_stop(),
 *            then whatever holds tickets, then sessions_free().
 */
#pragma once

#include "auth/auth.h"
#include "conf/conf.h"
#include "session/session.h"

/* Why a session's connection ended: name, the DISCONNECT reason that MQTT 5 is told (0: none),
 * whether it counts as a protocol error, words for the log. */
#define SESSION_CLOSE_LIST(X)                                                                   \
    X(SESSION_CLOSE_CLIENT, 0x00, false, "client disconnected")                                 \
    X(SESSION_CLOSE_LOST, 0x00, false, "connection lost")                                       \
    X(SESSION_CLOSE_REFUSED, 0x00, false, "connect refused")                                    \
    X(SESSION_CLOSE_KEEP_ALIVE, 0x8D, false, "keep alive timeout")                              \
    X(SESSION_CLOSE_MALFORMED, 0x81, true, "malformed packet")                                  \
    X(SESSION_CLOSE_PROTOCOL, 0x82, true, "protocol error")                                     \
    X(SESSION_CLOSE_TOO_LARGE, 0x95, true, "packet too large")                                  \
    X(SESSION_CLOSE_RECEIVE_MAXIMUM, 0x93, true, "receive maximum exceeded")                    \
    X(SESSION_CLOSE_TOPIC_ALIAS, 0x94, true, "topic alias invalid")                             \
    X(SESSION_CLOSE_PAYLOAD_FORMAT, 0x99, false, "payload is not the text it says")             \
    X(SESSION_CLOSE_TOPIC_DENIED, 0x87, false, "published to a topic that is not allowed")      \
    X(SESSION_CLOSE_KICKED, 0x87, false, "credential revoked or device changed")                \
    X(SESSION_CLOSE_TAKEN_OVER, 0x8E, false, "taken over by a new connection")                  \
    X(SESSION_CLOSE_SESSIONS_MAX, 0x97, false, "too many sessions of this device")              \
    X(SESSION_CLOSE_NOT_STORED, 0x89, false, "a message could not be stored, to be sent again") \
    X(SESSION_CLOSE_STALLED, 0x89, false, "no message stored for too long, to be sent again")   \
    X(SESSION_CLOSE_MEMORY, 0x97, false, "out of memory")                                       \
    X(SESSION_CLOSE_STOP, 0x8B, false, "server stops")

enum session_close {
#define SESSION_CLOSE_ENUM(name, reason, error, words) name,
    SESSION_CLOSE_LIST(SESSION_CLOSE_ENUM)
#undef SESSION_CLOSE_ENUM
        SESSION_CLOSE_COUNT
};
const char *session_close_words(enum session_close why);

/* Who a credential belongs to; auth_token() and auth_certificate() in the server. Called on the net
 * loops, so they answer from memory. `device` is the device of that id as it is now, held; NULL: it
 * is gone or disabled. Without that function devices never change. */
struct sessions_auth {
    void *arg;
    enum err (*token)(void *arg, struct view token, struct auth_identity *ret_identity);
    enum err (*certificate)(void *arg, struct view der, struct auth_identity *ret_identity);
    struct device *(*device)(void *arg, int32_t id);
};
struct sessions_auth sessions_auth_of(struct auth *a);

/* Any hook may be NULL but attach and publish. Errors as for net_new(). */
NODISCARD enum err sessions_new(const struct conf *conf, const struct sessions_auth *auth,
                                const struct session_hooks *hooks, struct sessions **ret_sessions);
NODISCARD enum err sessions_start(struct sessions *all);
NODISCARD enum err sessions_reload(struct sessions *all); /* certificates: see net_reload() */
/* Stops accepting, waits up to timeout_us for the acknowledgements that are under way, says
 * DISCONNECT 0x8B and ends the loops. detach is called for each session, no hook afterwards. */
void sessions_stop(struct sessions *all, int64_t timeout_us);
void sessions_free(struct sessions *all); /* no ticket is held any more; NULL is fine */

int sessions_port(const struct sessions *all);      /* of the TLS listener, 0: none */
int sessions_open_port(const struct sessions *all); /* of the open listener, 0: none */
uint64_t sessions_close_count(const struct sessions *all, enum session_close why); /* any thread */

/* The net loops, for what else has to run on them; hooks are added before sessions_start(). */
uint32_t sessions_loop_count(const struct sessions *all);
struct loop *sessions_loop(const struct sessions *all, uint32_t loop);
