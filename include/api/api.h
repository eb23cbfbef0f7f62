/*
 * api: HTTP. Routes, authorisation, problem answers, event streams, pages; no business rules.
 *
 * Threads: libmicrohttpd's own epoll thread takes requests; each request that needs the database is
 * suspended, handled on a store thread by a plain blocking function, and resumed. api_event() from
 * any thread.
 */
#pragma once

#include "auth/auth.h"
#include "catalog/catalog.h"
#include "conf/conf.h"
#include "model/command.h"
#include "store/store.h"

struct api;

/* What changes the core's state goes through the core, so that it is one transaction with
 * everything else there. */
enum api_op_kind {
    API_OP_COMMAND_CREATE,
    API_OP_COMMAND_CANCEL,
    API_OP_ALERT_ACK,
    API_OP_TELEMETRY
};

struct api_op {
    struct mail mail; /* for whoever carries the op */
    enum api_op_kind kind;
    /* in: strings are owned by the api until `done` has run */
    int32_t device_id; /* COMMAND_CREATE, TELEMETRY */
    const char *method;
    const char *params;          /* JSON object */
    int64_t expires_us;          /* from now; 0: the default */
    const char *idempotency_key; /* NULL: none */
    const char *actor;           /* the token's name */
    const char *comment;         /* ALERT_ACK; may be NULL */
    int64_t id;                  /* command or alert */
    struct view body;            /* TELEMETRY */
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

struct api_hooks {
    void *arg;
    void (*submit)(void *arg, struct api_op *op);
    /* After the database and the catalog changed. */
    void (*credential_revoked)(void *arg, int32_t device_id, int64_t credential_id);
    bool (*ready)(void *arg, char *ret_why, size_t size); /* for /readyz */
};

/* One committed event, for streams and for requests that wait. Texts are borrowed during the call.
 */
struct api_event {
    int64_t id;
    const char *kind;   /* "alert.firing", "command.succeeded", … */
    int32_t device_id;  /* 0: none */
    int64_t command_id; /* 0: none */
    bool command_final;
    struct view json; /* the body of the event */
};

NODISCARD enum err api_new(const struct conf *conf, struct store *store, struct catalog *catalog,
                           struct auth *auth, const struct api_hooks *hooks, struct api **ret_api);
NODISCARD enum err api_start(struct api *a);
int api_port(const struct api *a);
void api_event(struct api *a, const struct api_event *event); /* in order of id */
void api_stop(struct api *a); /* ends streams and running requests */
void api_free(struct api *a);
