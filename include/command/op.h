/*
 * op: a request that changes the core's state. The api makes it, the core carries it out with its
 * next batch.
 *
 * Ownership: the api's from `done` on; between submit and `done` the core's. Plain data, so that
 * neither has to know the other.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"
#include "loop/loop.h"

/* What changes the core's state goes through the core, so that it is one transaction with
 * everything else there. */
enum api_op_kind {
    API_OP_COMMAND_CREATE,
    API_OP_COMMAND_CANCEL,
    API_OP_ALERT_ACK,
    API_OP_TELEMETRY,
    API_OP_ALERT_LIFE, /* comment, assign, shelve, unshelve */
    API_OP_NOTE,       /* an event */
    API_OP_OVERRIDE    /* automation leaves a method of a device alone */
};

struct api_op {
    struct mail mail; /* for whoever carries the op */
    enum api_op_kind kind;
    /* in: strings are owned by the api until `done` has run */
    int32_t device_id;  /* COMMAND_CREATE, TELEMETRY, ALERT_LIFE, NOTE, OVERRIDE */
    const char *method; /* OVERRIDE, "": all; ALERT_LIFE: comment, assigned, shelved, unshelved;
                           NOTE: the event */
    const char *params; /* JSON object */
    int64_t expires_us; /* from now; 0: the default; of OVERRIDE: it ends */
    const char *idempotency_key; /* COMMAND_CREATE, TELEMETRY; NULL: none */
    const char *actor;           /* the token's name */
    const char *comment;         /* ALERT_ACK, ALERT_LIFE, OVERRIDE; may be NULL */
    const char *assignee;        /* ALERT_LIFE; NULL: nobody */
    int64_t until_us;            /* ALERT_LIFE, shelved */
    int64_t id;                  /* command or alert */
    struct view body;            /* TELEMETRY; NOTE: JSON object */
    /* out */
    enum err status; /* ERR_NOT_FOUND, ERR_STATE, ERR_FULL (too many open commands), ERR_CONFLICT
                        (same key, other command), ERR_DB_DOWN, ERR_EXISTS (same key, same command:
                        id is the first one's), … */
    int64_t ret_id;
    const char *ret_state; /* static words */
    char detail[200]; /* what is wrong, when status is not ERR_OK; "" if the words of status say it
                       */
    char pointer[160];
    void (*done)(struct api_op *op); /* once, from any thread, after COMMIT */
    void *arg;
};
