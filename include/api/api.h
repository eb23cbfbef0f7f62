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
#include "command/op.h"
#include "conf/conf.h"
#include "model/command.h"
#include "store/store.h"

struct api;

struct api_hooks {
    void *arg;
    void (*submit)(void *arg, struct api_op *op);
    /* After the database and the catalog changed. credential_id 0: all of the device, which was
     * deleted or disabled. */
    void (*credential_revoked)(void *arg, int32_t device_id, int64_t credential_id);
    /* Has the device a live session now? NULL: nobody knows, and the API does not say. Short, from
     * any thread. */
    bool (*online)(void *arg, int32_t device_id);
    /* There may be something to tell somebody; or channels changed. NULL: nobody is told. */
    void (*notify)(void *arg, bool channels_changed);
    bool (*ready)(void *arg, char *ret_why, size_t size); /* for /readyz */
    int64_t (*work_order_id)(void *arg);                  /* a new one */
    void (*maintenance_changed)(void *arg); /* plans or work orders: committed, with events */
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
