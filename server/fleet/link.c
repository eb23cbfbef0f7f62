/*
 * Happy path: socket, connect, handshake, `opened`; a readable socket is read until it is empty and
 * each piece goes to `received`; what was appended to `out` is written in the loop's prepare and
 * check phases. Failure:    every error ends the one connection with words; reconnecting is the
 * caller's business. OpenSSL works on the socket itself and libuv only polls it: no byte is copied
 * into a memory BIO.
 */
#include "fleet/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "fleet/openssl.h"

enum { SCRATCH_BYTES = 64 << 10, RECORD_BYTES = 16 << 10 };

/* OpenSSL keeps the link behind an SSL so that a ticket finds its owner. */
static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct fleet_link *l = SSL_get_app_data(ssl);
    if (l == NULL) {
        return 0;
    }
    SSL_SESSION_free(l->ticket);
    l->ticket = session;
    return 1; /* the session is ours now */
}

static SSL_CTX *make_tls(const struct fleet_target *target, char *ret_why, size_t why_size)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL) {
        (void)snprintf(ret_why, why_size, "out of memory");
        return NULL;
    }
    const char *suites =
        target->ciphers != NULL
            ? target->ciphers
            : "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    bool ok = SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(tls, suites) == 1 &&
              SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
    if (!ok) {
        (void)snprintf(ret_why, why_size, "the list of ciphers is not valid: %s", suites);
        SSL_CTX_free(tls);
        return NULL;
    }
    ok = target->ca_file == NULL ? SSL_CTX_set_default_verify_paths(tls) == 1
                                 : SSL_CTX_load_verify_locations(tls, target->ca_file, NULL) == 1;
    if (!ok) {
        (void)snprintf(ret_why, why_size, "cannot read the CA certificates in %s",
                       target->ca_file == NULL ? "the system's store" : target->ca_file);
        SSL_CTX_free(tls);
        return NULL;
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, keep_ticket);
    SSL_CTX_set_read_ahead(tls, 1);
    return tls;
}

static enum err resolve(struct fleet_net *n, const struct fleet_target *target, char *ret_why,
                        size_t why_size)
{
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", target->port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(target->host, port, &hints, &found);
    if (code != 0 || found == NULL) {
        (void)snprintf(ret_why, why_size, "cannot find the host %s: %s", target->host,
                       gai_strerror(code));
        return ERR_NOT_FOUND;
    }
    /* `localhost` gives ::1 first although a server may listen on 127.0.0.1 only: prefer IPv4
     * there. */
    struct addrinfo *use = found;
    for (struct addrinfo *a = found; a != NULL && strcmp(target->host, "localhost") == 0;
         a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            use = a;
            break;
        }
    }
    memcpy(&n->address, use->ai_addr, use->ai_addrlen);
    n->address_len = use->ai_addrlen;
    freeaddrinfo(found);
    (void)snprintf(n->host, sizeof(n->host), "%s", target->host);
    return ERR_OK;
}

static void flush_all(struct fleet_net *n)
{
    /* A link that cannot send all leaves the list as well: its poll handle brings it back. */
    while (!list_empty(&n->dirty)) {
        struct list *first = list_pop_front(&n->dirty);
        fleet_link_flush(CONTAINER_OF(first, struct fleet_link, dirty));
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    flush_all(handle->data);
}

static void on_check(uv_check_t *handle)
{
    flush_all(handle->data);
}

enum err fleet_net_init(struct fleet_net *n, uv_loop_t *uv, const struct fleet_target *target,
                        char *ret_why, size_t why_size)
{
    struct fleet_net made = {.uv = uv};
    enum err e = resolve(&made, target, ret_why, why_size);
    if (e != ERR_OK) {
        return e;
    }
    made.tls = make_tls(target, ret_why, why_size);
    if (made.tls == NULL) {
        return ERR_TLS;
    }
    made.scratch = malloc(SCRATCH_BYTES);
    if (made.scratch == NULL) {
        (void)snprintf(ret_why, why_size, "out of memory");
        SSL_CTX_free(made.tls);
        return ERR_NOMEM;
    }
    *n = made;
    list_init(&n->dirty);
    CHECK(uv_prepare_init(uv, &n->before_poll) == 0 && uv_check_init(uv, &n->after_poll) == 0);
    n->before_poll.data = n;
    n->after_poll.data = n;
    CHECK(uv_prepare_start(&n->before_poll, on_prepare) == 0 &&
          uv_check_start(&n->after_poll, on_check) == 0);
    uv_unref((uv_handle_t *)&n->before_poll);
    uv_unref((uv_handle_t *)&n->after_poll);
    return ERR_OK;
}

void fleet_net_fini(struct fleet_net *n)
{
    uv_close((uv_handle_t *)&n->before_poll, NULL);
    uv_close((uv_handle_t *)&n->after_poll, NULL);
    SSL_CTX_free(n->tls);
    free(n->scratch);
    n->tls = NULL;
    n->scratch = NULL;
}

void fleet_link_init(struct fleet_link *l, struct fleet_net *net,
                     const struct fleet_link_events *events)
{
    *l = (struct fleet_link){.net = net, .events = events, .fd = -1};
    buf_init(&l->out, FLEET_LINK_OUT_MAX);
    buf_init(&l->in, FLEET_LINK_IN_MAX);
}

void fleet_link_forget(struct fleet_link *l)
{
    SSL_SESSION_free(l->ticket);
    l->ticket = NULL;
}

void fleet_link_fini(struct fleet_link *l)
{
    CHECK(l->state == FLEET_LINK_IDLE);
    fleet_link_forget(l);
    X509_free(l->cert);
    EVP_PKEY_free(l->key);
    sk_X509_pop_free(l->chain, X509_free);
    buf_fini(&l->out);
    buf_fini(&l->in);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct fleet_link *l = handle->data;
    (void)close(l->fd);
    l->fd = -1;
    l->state = FLEET_LINK_IDLE;
}

static void drop(struct fleet_link *l)
{
    if (list_linked(&l->dirty)) {
        list_remove(&l->dirty);
    }
    l->state = FLEET_LINK_CLOSING;
    buf_clear(&l->out);
    buf_clear(&l->in);
    SSL_free(l->ssl);
    l->ssl = NULL;
    /* libuv must forget the descriptor before its number is used again: close it in the callback.
     */
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}

static void fail(struct fleet_link *l, const char *why)
{
    drop(l);
    l->events->closed(l, why);
}

/* Words for the error OpenSSL has just reported; `text` is the room for them. */
static const char *tls_words(struct fleet_link *l, int code, char *text, size_t size)
{
    long verify = SSL_get_verify_result(l->ssl);
    unsigned long e = ERR_peek_last_error();
    if (verify != X509_V_OK) {
        (void)snprintf(text, size, "the server's certificate is not trusted: %s",
                       X509_verify_cert_error_string(verify));
    } else if (code == SSL_ERROR_ZERO_RETURN) {
        (void)snprintf(text, size, "the server closed the connection");
    } else if (e != 0 && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        (void)snprintf(text, size, "the connection was cut");
    } else if (e != 0) {
        const char *reason = ERR_reason_error_string(e);
        (void)snprintf(text, size, "TLS: %s", reason == NULL ? "failure" : reason);
    } else {
        (void)snprintf(text, size, "%s", errno == 0 ? "the connection was cut" : strerror(errno));
    }
    return text;
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct fleet_link *l, int events)
{
    if (l->watching != events) {
        l->watching = events;
        CHECK(uv_poll_start(&l->poll, events, on_poll) == 0);
    }
}

static void shake(struct fleet_link *l)
{
    ERR_clear_error();
    errno = 0;
    int done = SSL_do_handshake(l->ssl);
    if (done == 1) {
        l->state = FLEET_LINK_OPEN;
        l->reused = SSL_session_reused(l->ssl) == 1;
        watch(l, UV_READABLE);
        l->events->opened(l);
        return;
    }
    int code = SSL_get_error(l->ssl, done);
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
        watch(l, code == SSL_ERROR_WANT_READ ? UV_READABLE : UV_WRITABLE);
        return;
    }
    char text[200];
    fail(l, tls_words(l, code, text, sizeof(text)));
}

static void dialed(struct fleet_link *l)
{
    int code = 0;
    socklen_t len = sizeof(code);
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0 || code != 0) {
        char text[200];
        (void)snprintf(text, sizeof(text), "cannot connect: %s",
                       strerror(code == 0 ? errno : code));
        fail(l, text);
        return;
    }
    l->state = FLEET_LINK_SHAKING;
    shake(l);
}

/* Offers new bytes behind what was left over. False: the link is gone. */
static bool offer(struct fleet_link *l, size_t len)
{
    if (l->in.len == 0) {
        size_t used = l->events->received(l, view_of(l->net->scratch, len));
        if (l->state != FLEET_LINK_OPEN) {
            return false;
        }
        buf_put(&l->in, l->net->scratch + used, len - used);
    } else {
        buf_put(&l->in, l->net->scratch, len);
        size_t used = l->events->received(l, buf_view(&l->in));
        if (l->state != FLEET_LINK_OPEN) {
            return false;
        }
        buf_cut(&l->in, used);
    }
    if (buf_err(&l->in) != ERR_OK) {
        fail(l, "the server sent a packet that is too large");
        return false;
    }
    return true;
}

static void read_all(struct fleet_link *l)
{
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int got = SSL_read(l->ssl, l->net->scratch, SCRATCH_BYTES);
        if (got <= 0) {
            int code = SSL_get_error(l->ssl, got);
            if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
                return;
            }
            char text[200];
            fail(l, tls_words(l, code, text, sizeof(text)));
            return;
        }
        l->net->bytes_in += (uint64_t)got;
        if (!offer(l, (size_t)got)) {
            return;
        }
        /* The poll is level-triggered: when OpenSSL holds nothing more, another read would only
         * find EAGAIN. */
        if (SSL_has_pending(l->ssl) == 0) {
            return;
        }
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct fleet_link *l = CONTAINER_OF(poll, struct fleet_link, poll);
    if (l->state == FLEET_LINK_DIALING) {
        dialed(l);
        return;
    }
    if (status != 0) {
        /* libuv says EBADF for any EPOLLERR; the reason that matters is the peer's. */
        fail(l, status == UV_EBADF ? "the connection was cut" : uv_strerror(status));
        return;
    }
    if (l->state == FLEET_LINK_SHAKING) {
        shake(l);
        return;
    }
    if (l->state == FLEET_LINK_OPEN && (events & UV_WRITABLE) != 0) {
        fleet_link_flush(l);
    }
    if (l->state == FLEET_LINK_OPEN && (events & UV_READABLE) != 0) {
        read_all(l);
    }
}

/* Parsing the files takes longer than the rest of a handshake, so it is done once. */
static bool use_identity(struct fleet_link *l, SSL *ssl, const char *cert_file,
                         const char *key_file)
{
    if (l->cert != NULL) {
        return SSL_use_cert_and_key(ssl, l->cert, l->key, l->chain, 1) == 1;
    }
    STACK_OF(X509) *chain = NULL;
    if (SSL_use_certificate_chain_file(ssl, cert_file) != 1 ||
        SSL_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_get0_chain_certs(ssl, &chain) != 1) {
        return false;
    }
    l->cert = SSL_get_certificate(ssl);
    l->key = SSL_get_privatekey(ssl);
    l->chain = chain == NULL ? NULL : X509_chain_up_ref(chain);
    return X509_up_ref(l->cert) == 1 && EVP_PKEY_up_ref(l->key) == 1;
}

static enum err make_ssl(struct fleet_link *l, const char *cert_file, const char *key_file)
{
    SSL *ssl = SSL_new(l->net->tls);
    if (ssl == NULL) {
        return ERR_NOMEM;
    }
    struct in6_addr any;
    bool is_address =
        inet_pton(AF_INET, l->net->host, &any) == 1 || inet_pton(AF_INET6, l->net->host, &any) == 1;
    bool ok = SSL_set_fd(ssl, l->fd) == 1 && SSL_set_app_data(ssl, l) == 1;
    if (is_address) {
        ok = ok && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), l->net->host) == 1;
    } else {
        ok = ok && SSL_set1_host(ssl, l->net->host) == 1 &&
             SSL_set_tlsext_host_name(ssl, l->net->host) == 1;
    }
    ok = ok && (cert_file == NULL || use_identity(l, ssl, cert_file, key_file));
    if (ok && l->ticket != NULL) {
        ok = SSL_set_session(ssl, l->ticket) == 1;
    }
    if (!ok) {
        SSL_free(ssl);
        return ERR_TLS;
    }
    SSL_set_connect_state(ssl);
    l->ssl = ssl;
    return ERR_OK;
}

enum err fleet_link_open(struct fleet_link *l, const char *cert_file, const char *key_file)
{
    CHECK(l->state == FLEET_LINK_IDLE);
    const struct sockaddr *address = (const struct sockaddr *)&l->net->address;
    l->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0) {
        return ERR_IO;
    }
    int on = 1;
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    enum err e = make_ssl(l, cert_file, key_file);
    if (e != ERR_OK) {
        goto fail_socket;
    }
    e = ERR_IO;
    if (connect(l->fd, address, l->net->address_len) != 0 && errno != EINPROGRESS) {
        goto fail_ssl;
    }
    if (uv_poll_init(l->net->uv, &l->poll, l->fd) != 0) {
        goto fail_ssl;
    }
    l->poll.data = l;
    l->state = FLEET_LINK_DIALING;
    l->watching = 0;
    watch(l, UV_WRITABLE);
    return ERR_OK;
fail_ssl:
    SSL_free(l->ssl);
    l->ssl = NULL;
fail_socket:
    (void)close(l->fd);
    l->fd = -1;
    return e;
}

struct buf *fleet_link_out(struct fleet_link *l)
{
    if (l->state == FLEET_LINK_OPEN && !list_linked(&l->dirty)) {
        list_push_back(&l->net->dirty, &l->dirty);
    }
    return &l->out;
}

void fleet_link_flush(struct fleet_link *l)
{
    if (l->state != FLEET_LINK_OPEN) {
        return;
    }
    if (buf_err(&l->out) != ERR_OK) {
        fail(l, "too many bytes are waiting to be sent");
        return;
    }
    size_t at = 0;
    while (at < l->out.len) {
        size_t left = l->out.len - at;
        ERR_clear_error();
        errno = 0;
        int sent =
            SSL_write(l->ssl, l->out.data + at, (int)(left < RECORD_BYTES ? left : RECORD_BYTES));
        if (sent <= 0) {
            int code = SSL_get_error(l->ssl, sent);
            if (code == SSL_ERROR_WANT_WRITE || code == SSL_ERROR_WANT_READ) {
                break;
            }
            char text[200];
            fail(l, tls_words(l, code, text, sizeof(text)));
            return;
        }
        at += (size_t)sent;
        l->net->bytes_out += (uint64_t)sent;
    }
    if (at == l->out.len) {
        buf_clear(&l->out);
        watch(l, UV_READABLE);
        return;
    }
    buf_cut(&l->out, at);
    watch(l, UV_READABLE | UV_WRITABLE);
}

void fleet_link_close(struct fleet_link *l)
{
    if (l->state == FLEET_LINK_IDLE || l->state == FLEET_LINK_CLOSING) {
        return;
    }
    if (l->state == FLEET_LINK_OPEN && l->out.len > 0) {
        int sent = SSL_write(l->ssl, l->out.data,
                             (int)(l->out.len < RECORD_BYTES ? l->out.len : RECORD_BYTES));
        (void)sent;
    }
    if (l->state == FLEET_LINK_OPEN) {
        (void)SSL_shutdown(l->ssl);
    }
    drop(l);
}
