/*
 * net: device connections. TCP, TLS and WebSocket below, bytes above; what the bytes mean is the
 * session's.
 *
 * There are `net_loops` loops, each with its own listener on the same address (SO_REUSEPORT), its
 * own SSL_CTX, timer wheel and shared buffers. A connection lives on the loop that accepted it.
 *
 * Output is plaintext appended to net_conn_out(); it is encrypted and written once per loop turn,
 * so that all answers of a turn leave as one TLS record and one system call.
 *
 * Ownership: net owns the connections. From opened() to closed() or net_conn_close() the handlers'
 *            owner may use its net_conn; afterwards never again. closed() is never called from
 *            inside a net_conn function, and not at all after net_conn_close().
 * Threads:   handlers run on the connection's loop; net_conn functions are called there only. The
 *            others from the thread that made the net, net_close_count() and net_post() from any.
 * Limits:    connections_max, connections_per_source_max, handshakes_per_second, connect_timeout,
 *            send_queue_max, buffers_max of conf; 64 KiB decrypted per connection and turn. On
 *            the open listener the largest packet of MQTT is added to the limits of bytes, except
 *            for buffers_max.
 * Errors:    ERR_TLS for keys and certificates, ERR_IO for sockets, ERR_DENIED for an open listener
 *            that is not on a loopback address, ERR_LIMIT for too few file descriptors. Logged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"
#include "conf/conf.h"
#include "loop/loop.h"

/*        name              words for the log */
#define NET_CLOSE_LIST(X)                                                  \
    X(NET_CLOSE_OWNER, "closed by its session")                            \
    X(NET_CLOSE_PEER, "closed by the peer")                                \
    X(NET_CLOSE_IO, "connection failed")                                   \
    X(NET_CLOSE_HANDSHAKE, "tls handshake failed")                         \
    X(NET_CLOSE_TLS, "tls failure")                                        \
    X(NET_CLOSE_PROXY, "no head of the proxy protocol, version 2")         \
    X(NET_CLOSE_HTTP, "not a request for a websocket")                     \
    X(NET_CLOSE_WEBSOCKET, "websocket closed, or one of its rules broken") \
    X(NET_CLOSE_CONNECT_TIMEOUT, "no accepted connect in time")            \
    X(NET_CLOSE_SEND_QUEUE, "peer does not read: send queue full")         \
    X(NET_CLOSE_SEND_STALLED, "peer does not read: nothing went out")      \
    X(NET_CLOSE_BUFFERS, "among the fullest when all buffers were full")   \
    X(NET_CLOSE_CONNECTIONS_MAX, "too many connections")                   \
    X(NET_CLOSE_SOURCE_MAX, "too many unauthenticated from this address")  \
    X(NET_CLOSE_DESCRIPTORS, "out of file descriptors")                    \
    X(NET_CLOSE_MEMORY, "out of memory")                                   \
    X(NET_CLOSE_STOP, "server stops")

enum net_close {
#define NET_CLOSE_ENUM(name, words) name,
    NET_CLOSE_LIST(NET_CLOSE_ENUM)
#undef NET_CLOSE_ENUM
        NET_CLOSE_COUNT
};
const char *net_close_words(enum net_close why);

struct net;
struct net_conn;

struct net_handlers {
    void *arg;
    /* The first bytes are here, after the TLS handshake and the request for a WebSocket, if there
     * are those. Gives the owner's object, which the other handlers get; NULL refuses.
     * open_listener: no credential will be asked for. */
    void *(*opened)(void *arg, uint32_t loop, struct net_conn *c, bool open_listener);
    /* Bytes of the peer. Returns how many are dealt with; the rest is offered again together with
     * what follows, or after net_conn_again(). Keeping back a whole buffer for long is what
     * net_conn_read(c, false) is for. */
    size_t (*data)(void *user, struct view bytes);
    void (*drained)(void *user); /* everything written has gone to the kernel after it had not */
    void (*closed)(void *user, enum net_close why);
    void (*turn)(void *arg, uint32_t loop); /* in each turn, before output is written; or NULL */
    void (*tick)(void *arg, uint32_t loop); /* ten times a second, while the loop runs */
};

/* Gives OpenSSL's short-lived buffers memory apart from the heap, which stays half as large under
 * many connections. Before anything in this process uses OpenSSL; later it changes nothing. */
void net_use_blocks(void);
/* Opens the sockets and loads the certificates; nothing runs yet. conf is borrowed for life.
 * device_tls_cert may be empty when an open listener is set: then there is no TLS listener. */
NODISCARD enum err net_new(const struct conf *conf, const struct net_handlers *handlers,
                           struct net **ret_net);
NODISCARD enum err net_start(struct net *n); /* starts the loops and accepts */
/* New handshakes use the certificates, CAs and revocation lists as they are in the files now; all
 * or nothing. Old connections stay; tickets of before are worth nothing. */
NODISCARD enum err net_reload(struct net *n);
void net_stop_accepting(struct net *n); /* returns when no listener is open */
/* Closes what is still open without waiting for it, ends the loops and joins them. */
void net_stop(struct net *n);
void net_free(struct net *n); /* runs mail that came after net_stop(); NULL is fine */

uint32_t net_loop_count(const struct net *n);
struct loop *net_loop(const struct net *n, uint32_t loop);
void net_post(struct net *n, uint32_t loop, struct mail *m);
int net_port(const struct net *n);      /* of the TLS listener, 0: none */
int net_open_port(const struct net *n); /* of the open listener, 0: none */
int64_t net_open_count(const struct net *n);
uint64_t net_close_count(const struct net *n, enum net_close why);

/* Append here; written at the end of the turn. Going over send_queue_max closes the connection. */
struct buf *net_conn_out(struct net_conn *c);
size_t net_conn_queued(const struct net_conn *c); /* bytes not yet given to the kernel */
/* drained() is called when what is queued now is written, also when the kernel takes it at once. */
void net_conn_tell_drained(struct net_conn *c);
void net_conn_read(struct net_conn *c, bool on); /* reading the socket, on at first */
void net_conn_again(struct net_conn *c);         /* offer kept bytes again in the next turn */
void net_conn_ready(struct net_conn *c); /* authenticated: connect_timeout no longer counts */
/* Writes what is queued, for up to five seconds, and closes. The owner's use of c ends here. */
void net_conn_close(struct net_conn *c);
/* The verified client certificate as DER; ERR_NOT_FOUND: none. Valid until the owner's use of c
 * ends. */
NODISCARD enum err net_conn_certificate(struct net_conn *c, struct buf *ret_der);
enum { NET_PEER_WORDS = 64 };
/* "192.0.2.7:40312", "[2001:db8::7]:40312". Returns ret_words. */
char *net_conn_peer(const struct net_conn *c, char ret_words[static NET_PEER_WORDS]);
