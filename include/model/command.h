/*
 * command: the life of a command as one table: state, words, states it may move to.
 *
 * queued -> sent -> delivered (PUBACK) -> succeeded | failed | rejected, or expired | cancelled |
 * timed_out. One that a rule wanted and was not to send is suppressed from the start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

#define COMMAND_TO(state) (1u << (state))

#define COMMAND_STATE_LIST(X)                                                                     \
    X(COMMAND_QUEUED, "queued",                                                                   \
      COMMAND_TO(COMMAND_SENT) | COMMAND_TO(COMMAND_EXPIRED) | COMMAND_TO(COMMAND_CANCELLED))     \
    X(COMMAND_SENT, "sent",                                                                       \
      COMMAND_TO(COMMAND_SENT) | COMMAND_TO(COMMAND_DELIVERED) | COMMAND_TO(COMMAND_SUCCEEDED) |  \
          COMMAND_TO(COMMAND_FAILED) | COMMAND_TO(COMMAND_REJECTED) |                             \
          COMMAND_TO(COMMAND_EXPIRED) | COMMAND_TO(COMMAND_CANCELLED))                            \
    X(COMMAND_DELIVERED, "delivered",                                                             \
      COMMAND_TO(COMMAND_SUCCEEDED) | COMMAND_TO(COMMAND_FAILED) | COMMAND_TO(COMMAND_REJECTED) | \
          COMMAND_TO(COMMAND_TIMED_OUT) | COMMAND_TO(COMMAND_CANCELLED))                          \
    X(COMMAND_SUCCEEDED, "succeeded", 0u)                                                         \
    X(COMMAND_FAILED, "failed", 0u)                                                               \
    X(COMMAND_REJECTED, "rejected", 0u)                                                           \
    X(COMMAND_EXPIRED, "expired", 0u)                                                             \
    X(COMMAND_CANCELLED, "cancelled", 0u)                                                         \
    X(COMMAND_TIMED_OUT, "timed_out", 0u)                                                         \
    X(COMMAND_SUPPRESSED, "suppressed", 0u)

enum command_state {
#define COMMAND_STATE_ENUM(name, words, to) name,
    COMMAND_STATE_LIST(COMMAND_STATE_ENUM)
#undef COMMAND_STATE_ENUM
        COMMAND_STATE_COUNT
};

const char *command_state_words(enum command_state s);
bool command_state_parse(struct view text, enum command_state *ret_state);
bool command_may_move(enum command_state from, enum command_state to);
bool command_is_final(enum command_state s);
