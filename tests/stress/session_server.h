/*
 * session_server: the session module with TLS on loopback and hooks of its own, for stress and
 * bench programs. A device is "d<number>"; its token is "token-d<number>", its certificate has it
 * as CN.
 *
 * Tickets are dropped at once, or by a second thread that takes them in batches and finishes them
 * in random order. A publish to .../rpc/request/<n> is answered with a delivery to
 * .../rpc/response/<n>.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "net_certs.h"
#include "session/sessions.h"

enum { SERVER_QUEUE = 65536 };

struct server {
    struct conf conf;
    struct certs certs;
    char cert[128], key[128], ca[128], none[1], listen[32], open_listen[32];
    struct sessions *sessions;
    bool deferred;       /* tickets and attaches are answered by the second thread */
    bool hold_all;       /* ... and not before this is false */
    atomic_int numbered; /* not 0: each certificate is another device, counted from here */
    pthread_t thread;
    pthread_mutex_t mutex;
    struct ticket *tickets[SERVER_QUEUE];
    int ticket_count;
    struct session_ref attaches[SERVER_QUEUE];
    int attach_count;
    atomic_bool stopping;
    uint64_t random;
    atomic_llong published, attached, detached, wills, forgotten, delivered, undelivered;
};

static inline uint64_t server_random(struct server *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static inline struct device *server_device(const char *name)
{
    int id = 0;
    CHECK(sscanf(name, "d%d", &id) == 1);
    struct device *d = device_new();
    CHECK(d != NULL);
    d->id = id;
    d->name = strdup(name);
    return d;
}

static inline enum err server_token(void *arg, struct view token, struct auth_identity *ret)
{
    char name[64];
    (void)arg;
    if (!view_starts(token, VIEW("token-d")) ||
        !view_copy(view_skip(token, 6), name, sizeof(name))) {
        return ERR_DENIED;
    }
    *ret = (struct auth_identity){.device = server_device(name), .credential_id = 1};
    return ERR_OK;
}

static inline enum err server_certificate(void *arg, struct view der, struct auth_identity *ret)
{
    const unsigned char *at = der.data;
    char name[64] = "";
    struct server *s = arg;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    CHECK(cert != NULL);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                                    sizeof(name));
    X509_free(cert);
    if (atomic_load(&s->numbered) > 0) {
        (void)snprintf(name, sizeof(name), "d%d", atomic_fetch_add(&s->numbered, 1));
    }
    if (name[0] != 'd') {
        return ERR_DENIED;
    }
    *ret = (struct auth_identity){.device = server_device(name), .credential_id = 2};
    return ERR_OK;
}

static inline void server_attach(void *arg, const struct session_attach *a)
{
    struct server *s = arg;
    atomic_fetch_add(&s->attached, 1);
    if (!s->deferred) {
        session_attach_done(s->sessions, a->ref, ERR_OK);
        return;
    }
    CHECK(pthread_mutex_lock(&s->mutex) == 0);
    CHECK(s->attach_count < SERVER_QUEUE);
    s->attaches[s->attach_count++] = a->ref;
    CHECK(pthread_mutex_unlock(&s->mutex) == 0);
}

static inline enum err server_take(struct server *s, struct ticket *t)
{
    if (t == NULL || !s->deferred) {
        return ERR_OK; /* our caller's own hold is the last one: done at once */
    }
    enum err e = ERR_FULL;
    CHECK(pthread_mutex_lock(&s->mutex) == 0);
    if (s->ticket_count < SERVER_QUEUE) {
        ticket_hold(t);
        s->tickets[s->ticket_count++] = t;
        e = ERR_OK;
    }
    CHECK(pthread_mutex_unlock(&s->mutex) == 0);
    return e;
}

static inline void server_answer(struct server *s, struct session *session,
                                 const struct session_publish *p)
{
    const struct view prefix = VIEW("v1/devices/me/rpc/request/");
    if (!view_starts(p->topic, prefix)) {
        return;
    }
    char topic[128];
    (void)snprintf(topic, sizeof(topic), "v1/devices/me/rpc/response/%.*s",
                   VIEW_ARG(view_skip(p->topic, prefix.len)));
    struct session_delivery *d = session_delivery_new(view_str(topic), p->payload, p->qos);
    CHECK(d != NULL);
    d->delivery_id = 1;
    d->expires_at_us = clock_mono_us() + CLOCK_MINUTE_US;
    session_deliver(s->sessions, session_ref(session), d);
}

static inline enum err server_publish(void *arg, struct session *session,
                                      const struct session_publish *p, struct ticket *t)
{
    struct server *s = arg;
    enum err e = server_take(s, t);
    if (e == ERR_OK) {
        atomic_fetch_add(&s->published, 1);
        server_answer(s, session, p);
    }
    return e;
}

static inline enum err server_filters(void *arg, struct session *session,
                                      const struct session_filter *filters, uint32_t count,
                                      struct ticket *t)
{
    (void)session;
    (void)filters;
    (void)count;
    return server_take(arg, t);
}

static inline void server_detach(void *arg, struct session_ref ref, const struct device *device,
                                 const char *client_id, enum session_end end, bool persistent)
{
    struct server *s = arg;
    (void)ref;
    (void)device;
    (void)client_id;
    (void)persistent;
    atomic_fetch_add(&s->detached, 1);
    atomic_fetch_add(&s->wills, end == SESSION_END_WILL);
}

static inline void server_forgotten(void *arg, const struct device *device, const char *client_id)
{
    struct server *s = arg;
    (void)device;
    (void)client_id;
    atomic_fetch_add(&s->forgotten, 1);
}

static inline void server_delivered(void *arg, int64_t delivery_id, enum err status)
{
    struct server *s = arg;
    (void)delivery_id;
    atomic_fetch_add(status == ERR_OK ? &s->delivered : &s->undelivered, 1);
}

/* Takes all there is, shuffles it, finishes it. */
static inline void server_finish(struct server *s)
{
    static struct ticket *tickets[SERVER_QUEUE];
    static struct session_ref attaches[SERVER_QUEUE];
    CHECK(pthread_mutex_lock(&s->mutex) == 0);
    int ticket_count = s->hold_all ? 0 : s->ticket_count;
    int attach_count = s->attach_count;
    memcpy(tickets, s->tickets, (size_t)ticket_count * sizeof(tickets[0]));
    memcpy(attaches, s->attaches, (size_t)attach_count * sizeof(attaches[0]));
    s->ticket_count -= ticket_count;
    s->attach_count = 0;
    CHECK(pthread_mutex_unlock(&s->mutex) == 0);
    for (int i = 0; i < attach_count; i++) {
        session_attach_done(s->sessions, attaches[i], ERR_OK);
    }
    for (int left = ticket_count; left > 0; left--) {
        int pick = (int)(server_random(s) % (uint64_t)left);
        ticket_drop(tickets[pick], ERR_OK);
        tickets[pick] = tickets[left - 1];
    }
}

static inline void *server_thread(void *arg)
{
    struct server *s = arg;
    while (!atomic_load(&s->stopping)) {
        server_finish(s);
        (void)nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    s->hold_all = false;
    server_finish(s);
    return NULL;
}

static inline void server_init(struct server *s)
{
    memset(s, 0, sizeof(*s));
    s->random = 88172645463325252ULL;
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    certs_init(&s->certs);
    (void)snprintf(s->listen, sizeof(s->listen), "127.0.0.1:0");
    s->conf = (struct conf){
        .device_listen = s->listen,
        .device_tls_cert = certs_path(&s->certs, "server", ".pem", s->cert),
        .device_tls_key = certs_path(&s->certs, "server", ".key", s->key),
        .device_tls_ca = certs_path(&s->certs, "ca", ".pem", s->ca),
        .device_tls_crl = s->none,
        .open_listener = s->none,
        .net_loops = 1,
        .connections_max = 10000,
        .connect_timeout_us = 10 * SEC,
        .keepalive_max_us = 1200 * SEC,
        .packet_max_bytes = 256 * KIB,
        .packet_max_before_auth_bytes = 16 * KIB,
        .receive_maximum = 100,
        .unacked_messages_max = 256,
        .stalled_timeout_us = 60 * SEC,
        .send_queue_max_bytes = 256 * KIB,
        .send_timeout_us = 30 * SEC,
        .buffers_max_bytes = 256 * MIB,
        .session_expiry_max_us = 3600 * SEC,
        .session_queue_max = 1000,
        .session_queue_bytes = 4 * MIB,
        .queues_max_bytes = 1024 * MIB,
    };
}

static inline void server_start(struct server *s)
{
    const struct sessions_auth auth = {
        .arg = s, .token = server_token, .certificate = server_certificate};
    const struct session_hooks hooks = {
        .arg = s,
        .attach = server_attach,
        .publish = server_publish,
        .filters = server_filters,
        .detach = server_detach,
        .forgotten = server_forgotten,
        .delivered = server_delivered,
    };
    CHECK(sessions_new(&s->conf, &auth, &hooks, &s->sessions) == ERR_OK);
    CHECK(sessions_start(s->sessions) == ERR_OK);
    CHECK(pthread_create(&s->thread, NULL, server_thread, s) == 0);
}

static inline void server_stop(struct server *s)
{
    sessions_stop(s->sessions, 2 * SEC);
    atomic_store(&s->stopping, true);
    CHECK(pthread_join(s->thread, NULL) == 0);
    sessions_free(s->sessions);
    certs_fini(&s->certs);
    CHECK(pthread_mutex_destroy(&s->mutex) == 0);
}
