/*
 * echo: an owner of connections for these tests. Whole lines are answered, the beginning of one is
 * kept back. Lines: "ready", "cert" (its length), "peer" (its address), "big <n>", "bye" (answers
 * and closes), anything else comes back as it is.
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "../../stress/net_certs.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/net.h"

struct echo {
    struct conf conf;
    struct certs certs;
    char cert[128], key[128], ca[128], crl[128], none[1], listen[32];
    struct net *net;
    atomic_int opened, closed, drained;
    atomic_int last_close;
};

struct echo_user {
    struct echo *echo;
    struct net_conn *conn;
};

static void *echo_opened(void *arg, uint32_t loop, struct net_conn *c, bool open_listener)
{
    struct echo *e = arg;
    struct echo_user *u = malloc(sizeof(*u));
    (void)loop;
    (void)open_listener;
    *u = (struct echo_user){.echo = e, .conn = c};
    atomic_fetch_add(&e->opened, 1);
    return u;
}

/* False: closed. */
static bool echo_line(struct echo_user *u, struct view line)
{
    struct buf *out = net_conn_out(u->conn);
    if (view_eq(line, VIEW("ready"))) {
        net_conn_ready(u->conn);
        buf_put_str(out, "ready\n");
    } else if (view_eq(line, VIEW("cert"))) {
        struct buf der;
        buf_init(&der, 8192);
        bool got = net_conn_certificate(u->conn, &der) == ERR_OK;
        buf_printf(out, "cert %zu\n", got ? der.len : 0);
        buf_fini(&der);
    } else if (view_eq(line, VIEW("peer"))) {
        char peer[NET_PEER_WORDS];
        buf_printf(out, "peer %s\n", net_conn_peer(u->conn, peer));
    } else if (view_starts(line, VIEW("big "))) {
        for (int i = 0; i < (line.data[4] - '0') * 1024; i++) {
            buf_put_str(out, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n");
        }
    } else if (view_eq(line, VIEW("bye"))) {
        buf_put_str(out, "bye\n");
        net_conn_close(u->conn);
        free(u);
        return false;
    } else {
        buf_put_view(out, line);
        buf_put_u8(out, '\n');
    }
    return true;
}

static size_t echo_data(void *user, struct view bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] == '\n') {
            if (!echo_line(user, view_of(bytes.data + used, i - used))) {
                return bytes.len;
            }
            used = i + 1;
        }
    }
    return used;
}

static void echo_drained(void *user)
{
    atomic_fetch_add(&((struct echo_user *)user)->echo->drained, 1);
}

static void echo_closed(void *user, enum net_close why)
{
    struct echo_user *u = user;
    atomic_store(&u->echo->last_close, (int)why);
    atomic_fetch_add(&u->echo->closed, 1);
    free(u);
}

static void echo_turn(void *arg, uint32_t loop)
{
    (void)arg;
    (void)loop;
}

static inline struct net_handlers echo_handlers(struct echo *e)
{
    return (struct net_handlers){.arg = e,
                                 .opened = echo_opened,
                                 .data = echo_data,
                                 .drained = echo_drained,
                                 .closed = echo_closed,
                                 .turn = echo_turn,
                                 .tick = echo_turn};
}

static inline void echo_init(struct echo *e)
{
    *e = (struct echo){0};
    certs_init(&e->certs);
    (void)snprintf(e->listen, sizeof(e->listen), "127.0.0.1:0");
    e->conf = (struct conf){
        .device_listen = e->listen,
        .device_tls_cert = certs_path(&e->certs, "server", ".pem", e->cert),
        .device_tls_key = certs_path(&e->certs, "server", ".key", e->key),
        .device_tls_ca = certs_path(&e->certs, "ca", ".pem", e->ca),
        .device_tls_crl = e->none,
        .open_listener = e->none,
        .net_loops = 1,
        .connections_max = 100,
        .connect_timeout_us = 2 * SEC,
        .packet_max_bytes = 256 * KIB,
        .send_queue_max_bytes = 256 * KIB,
        .send_timeout_us = 30 * SEC,
        .buffers_max_bytes = 64 * MIB,
    };
}

static inline void echo_start(struct echo *e)
{
    struct net_handlers h = echo_handlers(e);
    cr_assert_eq(net_new(&e->conf, &h, &e->net), ERR_OK);
    cr_assert_eq(net_start(e->net), ERR_OK);
}

static inline void echo_stop(struct echo *e)
{
    net_stop(e->net);
    net_free(e->net);
    certs_fini(&e->certs);
}

/* Waits up to five seconds for a count to get there. */
static inline bool echo_reached(atomic_int *count, int at_least)
{
    for (int i = 0; i < 1000 && atomic_load(count) < at_least; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return atomic_load(count) >= at_least;
}

static inline int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 5};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

struct caller {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static inline void caller_init(struct caller *c, struct echo *e, const char *cert_name)
{
    char path[128];
    *c = (struct caller){.ctx = SSL_CTX_new(TLS_client_method()), .fd = -1};
    cr_assert_eq(SSL_CTX_load_verify_file(c->ctx, e->ca), 1);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    if (cert_name != NULL) {
        cr_assert_eq(SSL_CTX_use_certificate_file(
                         c->ctx, certs_path(&e->certs, cert_name, ".pem", path), SSL_FILETYPE_PEM),
                     1);
        cr_assert_eq(SSL_CTX_use_PrivateKey_file(
                         c->ctx, certs_path(&e->certs, cert_name, ".key", path), SSL_FILETYPE_PEM),
                     1);
    }
}

static inline void caller_hang_up(struct caller *c)
{
    if (c->ssl != NULL && SSL_is_init_finished(c->ssl) == 1) {
        (void)SSL_shutdown(c->ssl); /* without it OpenSSL forgets the session */
        ERR_clear_error();
    }
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->fd >= 0) {
        (void)close(c->fd);
        c->fd = -1;
    }
}

static inline void caller_fini(struct caller *c)
{
    caller_hang_up(c);
    SSL_CTX_free(c->ctx);
}

/* In TLS 1.3 a client learns about a refused certificate only when it reads. */
static inline bool caller_says(struct caller *c, const char *line, const char *answer)
{
    char got[256] = "";
    size_t len = 0;
    size_t want = strlen(answer);
    size_t n = 0;
    if (SSL_write_ex(c->ssl, line, strlen(line), &n) != 1) {
        return false;
    }
    while (len < want && SSL_read_ex(c->ssl, got + len, sizeof(got) - 1 - len, &n) == 1) {
        len += n;
    }
    return len == want && memcmp(got, answer, want) == 0;
}

static inline bool caller_dials(struct caller *c, struct echo *e, SSL_SESSION *session)
{
    c->ssl = SSL_new(c->ctx);
    c->fd = dial(net_port(e->net));
    if (session != NULL) {
        cr_assert_eq(SSL_set_session(c->ssl, session), 1);
    }
    cr_assert_eq(SSL_set_fd(c->ssl, c->fd), 1);
    return SSL_connect(c->ssl) == 1;
}
