/*
 * link: TLS connections of a client program, thousands on one libuv loop.
 *
 * What a turn of the loop appends to fleet_link_out() leaves in one go at the end of the turn: many
 * messages share a TLS record and a system call.
 *
 * Ownership: the caller's storage, embedded. After fleet_link_close() the memory must stay until
 * fleet_link_idle(). Threads:   all on the thread that runs the loop. Errors:    `closed` says in
 * words why a connection ended; it is called once per fleet_link_open() that gave ERR_OK, unless
 * the caller closed it himself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

struct fleet_link;
struct ssl_st; /* OpenSSL's SSL_CTX, SSL and SSL_SESSION */
struct ssl_ctx_st;
struct ssl_session_st;
struct x509_st; /* X509, EVP_PKEY, STACK_OF(X509) */
struct evp_pkey_st;
struct stack_st_X509;

struct fleet_net {
    uv_loop_t *uv;
    struct ssl_ctx_st *tls;
    struct sockaddr_storage address;
    socklen_t address_len;
    char host[256];
    struct list dirty; /* links with bytes to send */
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uint64_t bytes_in, bytes_out; /* of plain text */
    uint8_t *scratch;
};

struct fleet_target {
    const char *host;
    int port;
    const char *ca_file; /* the only CAs that are trusted; NULL: the system's */
    const char *ciphers; /* TLS 1.3 suites; NULL: AES-128-GCM first */
};

/* Resolves the host (blocks) and reads the CA file. ret_why gets a sentence for the user on
 * failure. */
NODISCARD enum err fleet_net_init(struct fleet_net *n, uv_loop_t *uv,
                                  const struct fleet_target *target, char *ret_why,
                                  size_t why_size);
void fleet_net_fini(
    struct fleet_net *n); /* closes its handles; run the loop once more before freeing it */

enum fleet_link_state {
    FLEET_LINK_IDLE,
    FLEET_LINK_DIALING,
    FLEET_LINK_SHAKING,
    FLEET_LINK_OPEN,
    FLEET_LINK_CLOSING
};

/* `received` drops from the view what it could use: it returns the number of bytes; the rest is
 * offered again with more behind. It must return at once after closing the link. */
struct fleet_link_events {
    void (*opened)(struct fleet_link *l);
    size_t (*received)(struct fleet_link *l, struct view bytes);
    void (*closed)(struct fleet_link *l, const char *why);
};

struct fleet_link {
    struct fleet_net *net;
    const struct fleet_link_events *events;
    enum fleet_link_state state;
    int fd;
    int watching; /* UV_READABLE | UV_WRITABLE */
    bool reused;  /* the TLS session was resumed */
    struct ssl_st *ssl;
    struct ssl_session_st *ticket; /* of the last connection; NULL: a full handshake next time */
    struct x509_st *cert;          /* the device's identity, once its files were read */
    struct evp_pkey_st *key;
    struct stack_st_X509 *chain;
    uv_poll_t poll;
    struct list dirty;
    struct buf out;
    struct buf in;
};

enum { FLEET_LINK_OUT_MAX = 64 << 20, FLEET_LINK_IN_MAX = 4 << 20 };

void fleet_link_init(struct fleet_link *l, struct fleet_net *net,
                     const struct fleet_link_events *events);
void fleet_link_fini(struct fleet_link *l); /* idle */
/* cert_file and key_file may be NULL; they are read for the first connection. ERR_IO: no socket
 * (then nothing is called back); ERR_TLS: the certificate. */
NODISCARD enum err fleet_link_open(struct fleet_link *l, const char *cert_file,
                                   const char *key_file);
struct buf *fleet_link_out(struct fleet_link *l); /* append here; sent at the end of the turn */
void fleet_link_flush(struct fleet_link *l);      /* now */
void fleet_link_close(struct fleet_link *l);  /* sends what the socket takes, then close_notify */
void fleet_link_forget(struct fleet_link *l); /* the ticket */
static inline bool fleet_link_idle(const struct fleet_link *l)
{
    return l->state == FLEET_LINK_IDLE;
}
