/*
 * internal: what the files of this module share.
 */
#pragma once

#include "api/guard.h"
#include "api/request.h"
#include "api/route.h"
#include "base/lock.h"

struct api_events;
struct api_waits;
struct api_sockets;
struct api_backtests;
struct worker;

struct api {
    const struct conf *conf;
    struct store *store;
    struct catalog *catalog;
    struct auth *auth;
    struct api_hooks hooks;
    struct MHD_Daemon *daemon;
    char *tls_cert, *tls_key; /* PEM texts, NULL: plain HTTP */
    int port;
    atomic_bool stopping;
    atomic_llong tokens_read_us; /* from the database, because of an unknown token */
    atomic_int busy;             /* requests that are suspended */
    atomic_llong body_bytes;     /* of all requests together */
    atomic_ullong request_seq;   /* for request ids */
    uint64_t boot;               /* random, so that ids differ between runs */
    struct api_events *events;
    struct api_waits *waits;
    struct api_sockets *sockets;
    struct api_backtests *backtests;
    struct worker *ticker;
    struct mail tick;
    struct buf openapi;     /* the document as JSON */
    struct lock guard_lock; /* most wrong tokens are found on libmicrohttpd's thread, not all */
    struct api_guard guard;
};

/* http.c */
NODISCARD enum err api_http_start(struct api *a);
void api_http_stop(struct api *a);
