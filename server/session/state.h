/*
 * state: where a session is in its life, and where it may go from there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SESSION_TO(state) (1u << (state))

/* name, words for the log, states it may move to */
#define SESSION_STATE_LIST(X)                                                                \
    X(SESSION_WAITING, "waiting for connect",                                                \
      SESSION_TO(SESSION_CHECKING) | SESSION_TO(SESSION_ENDED))                              \
    X(SESSION_CHECKING, "being attached",                                                    \
      SESSION_TO(SESSION_READY) | SESSION_TO(SESSION_PARKED) | SESSION_TO(SESSION_ENDED))    \
    X(SESSION_READY, "ready",                                                                \
      SESSION_TO(SESSION_DRAINING) | SESSION_TO(SESSION_PARKED) | SESSION_TO(SESSION_ENDED)) \
    X(SESSION_DRAINING, "waiting for commits",                                               \
      SESSION_TO(SESSION_PARKED) | SESSION_TO(SESSION_ENDED))                                \
    X(SESSION_PARKED, "without a connection", SESSION_TO(SESSION_ENDED))                     \
    X(SESSION_ENDED, "ended", 0u)

enum session_state {
#define SESSION_STATE_ENUM(name, words, to) name,
    SESSION_STATE_LIST(SESSION_STATE_ENUM)
#undef SESSION_STATE_ENUM
        SESSION_STATE_COUNT
};

const char *session_state_words(enum session_state state);
bool session_may_move(enum session_state from, enum session_state to);
/* May a client send a packet of this type (enum mqtt_type) in this state? Packets that come while
 * the session is being attached wait. */
bool session_accepts(enum session_state state, unsigned mqtt_type);
