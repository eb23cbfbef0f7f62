/*
 * net/private: what the files of this module share.
 *
 *     accept.c   listening sockets, who is let in
 *     tls.c      SSL_CTX: certificates, verification, tickets, ALPN
 *     memory.c   where OpenSSL's memory comes from
 *     bio.c      the pipe between OpenSSL and the loop's buffers
 *     conn.c     one connection's life: opened, ready, closing, gone
 *     read.c     bytes from the socket to the owner
 *     upgrade.c  MQTT as it is, or HTTP that becomes a WebSocket
 *     write.c    bytes from the owner to the socket
 *     shed.c     what all connections keep together is bounded
 *     net.c      the loops, start and stop
 *     proxy.c, http.c, ws.c  bytes only: whose connection it is, the request, the frames
 */
#pragma once

#include <stdatomic.h>

#include <uv.h>

#include "base/clock.h"
#include "base/list.h"
#include "net/http.h"
#include "net/net.h"
#include "net/openssl.h"
#include "net/proxy.h"
#include "net/wheel.h"
#include "net/ws.h"

enum {
    NET_READ_BYTES = 64 * 1024,  /* one read, and so what is decrypted of one connection per turn */
    NET_RECORD_MAX = 5 + 16640,  /* RFC 8446 section 5.2: header, 2^14 and 256 */
    NET_WRITE_CHUNK = 64 * 1024, /* plaintext that is encrypted at once */
    NET_DESCRIPTOR_RESERVE = 64, /* for the database, files and HTTP when all connections are up */
    NET_SOURCE_SLOTS = 1 << 16,
    NET_FLUSH_US = 5 * 1000000, /* to get the last bytes out */
    NET_LINGER_US = 1000000,    /* for the peer to close after us, so that no RST eats them */
    NET_PAUSE_US = 100 * 1000,
    NET_ACCEPTS_PER_TURN = 64,
    NET_SHAKING_US = 10 * 1000, /* of a turn for handshakes: what is left waits for the next */
    NET_FREE_WORK_MAX = 256,
    NET_OPEN_BYTES = 256 * 1024 * 1024 + 64 * 1024, /* of a packet on the open listener */
    NET_OPEN_WARN_US = 60 * 1000000,
    NET_SHED_SAY_US = 10 * 1000000,
};

/* What OpenSSL reads and writes during one call. Shared by all connections of a loop: it is empty
 * between calls, because only whole records go in and all that comes out is sent at once. */
struct net_pipe {
    const BIO_METHOD *method;
    struct view in;
    struct buf out;
};

struct net_listener {
    uv_poll_t poll;
    struct net_loop *loop;
    int fd;               /* -1: none */
    bool open;            /* without TLS and credentials */
    int64_t resume_at_us; /* 0: accepting */
};

struct net_loop {
    struct net *net;
    uint32_t index;
    struct loop *loop;
    SSL_CTX *tls;
    SSL_CTX *tls_next; /* what a reload has made; taken by its mail */
    struct net_listener listener;
    struct net_listener open_listener;
    int spare_fd; /* given up to close a connection that cannot be accepted */
    uv_timer_t tick;
    uv_idle_t awake; /* active while `again` has work, so that the loop does not sleep */
    bool ticking;
    int64_t now_us;
    int64_t handshake_due_us; /* of the token bucket: when the last token taken would have come */
    int64_t shaking_us;       /* spent on handshakes in this turn */
    bool shaking;             /* it is their turn */
    uint32_t shaking_later;   /* connections in `again` with a handshake's next step */
    struct wheel wheel;
    struct list dirty, again;
    struct net_pipe pipe;
    BIO *bio; /* the pipe as OpenSSL sees it, shared by all connections */
    struct net_work *free_work;
    uint32_t free_work_count;
    struct buf sink;             /* takes nothing: for a connection that is out of memory */
    struct buf message;          /* what the frames of one read carry */
    struct buf frames;           /* of one flush */
    int64_t open_warn_at_us;     /* when the log is told again that there is an open listener */
    int64_t bytes_in, bytes_out; /* of this turn */
    int64_t buffered;            /* of its connections */
    int64_t shed_said_at_us, shed_unsaid;
    uint8_t *cipher; /* NET_READ_BYTES */
    uint8_t *plain;  /* NET_READ_BYTES and a record */
    struct mail mail;
};

struct net {
    const struct conf *conf;
    struct net_handlers handlers;
    uint32_t loop_count;
    struct net_loop *loops;
    BIO_METHOD *bio_method;
    int port, open_port;
    bool started;
    atomic_int_fast64_t open_count;
    atomic_int_fast64_t buffered; /* bytes in the buffers of all connections */
    struct conf_network *proxies;
    uint32_t proxy_count;
    atomic_uint_fast16_t *sources; /* unauthenticated connections by hash of address, or NULL */
    atomic_uint_fast64_t closes[NET_CLOSE_COUNT];
    atomic_uint_fast32_t mails_left; /* of net_on_loops() */
};

enum net_conn_state {
    CONN_HANDSHAKE, /* or, plain, not yet opened */
    CONN_OPEN,
    CONN_FLUSHING,  /* no owner; the last bytes go out */
    CONN_LINGERING, /* FIN sent, waiting for the peer's */
    CONN_GONE,      /* uv_close() under way */
};

enum net_speaks { SPEAKS_UNKNOWN, SPEAKS_MQTT, SPEAKS_HTTP };

/* What a connection needs only while something is going on: before it is ready, while bytes wait,
 * at its end. An idle connection has none. Kept in a list of the loop for the next one. */
struct net_work {
    struct net_conn *conn;
    struct net_work *next_free;
    struct wheel_entry timer;
    struct list dirty_link, again_link;
    struct buf held;  /* ciphertext: the beginning of a record */
    struct buf plain; /* plaintext that the owner has not dealt with, without frames */
    struct buf out;   /* plaintext of the owner, not yet framed and encrypted */
    size_t writing_bytes;
    size_t weight;      /* of the buffers, as it was counted */
    size_t stall_bytes; /* write queue when the stall timer was set */
    uint32_t writes;
    bool was_full;
};

struct net_conn {
    uv_tcp_t tcp; /* first */
    struct net_loop *loop;
    SSL *ssl;              /* made when the first whole record is here; NULL on the open listener */
    struct ws *ws;         /* NULL: MQTT without frames, or not known yet */
    void *user;            /* NULL: not known yet that it speaks MQTT, or no owner any more */
    struct net_work *work; /* or NULL */
    uint16_t port;
    uint16_t source_slot;
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t state;
    uint8_t speaks;
    bool proxied; /* the proxy's head has not come yet */
    bool open_listener, ready, reading_off, again_read, again_offer, again_shake, counted_source;
    bool peer_done; /* close_notify has come */
    bool said_goodbye;
};

/* tls.c */
NODISCARD enum err net_tls_new(const struct conf *conf, SSL_CTX *same_tickets, SSL_CTX **ret_tls);
NODISCARD SSL *net_tls_accept(SSL_CTX *tls, BIO *bio); /* NULL: out of memory */
enum net_speaks net_tls_speaks(const SSL *ssl);        /* as ALPN has it */
const char *net_tls_words(void);                       /* of OpenSSL's last error on this thread */
void net_tls_slim(SSL *ssl);                           /* after the handshake */
bool net_tls_session_current(const SSL *ssl); /* the client certificate is still in its validity */

/* memory.c: what net_use_blocks() gives to OpenSSL */
void net_memory_init(void);
void *net_memory_take(size_t size, const char *file, int line);
void *net_memory_resize(void *p, size_t size, const char *file, int line);
void net_memory_give(void *p, const char *file, int line);
void net_memory_passing(bool on); /* what OpenSSL asks for on this thread is soon given back */

/* bio.c */
NODISCARD BIO_METHOD *net_bio_method_new(void); /* NULL: out of memory */
NODISCARD BIO *net_bio_new(struct net_pipe *pipe);

/* accept.c */
NODISCARD enum err net_listen(struct net *n);
void net_listener_close(struct net_listener *l);
void net_listener_tick(struct net_listener *l);
/* Counts a connection that has not authenticated. False: there are too many from its address. */
NODISCARD bool net_source_enter(struct net *n, const uint8_t address[static 16],
                                uint16_t *ret_slot);
NODISCARD enum err net_check_descriptors(const struct conf *conf);

/* conn.c */
/* Who was accepted. */
struct net_peer {
    int fd;
    uint8_t address[16];
    uint16_t port, source_slot;
    bool open_listener;
    bool proxied;
    bool counted; /* in sources[source_slot] */
};
void net_conn_open(struct net_loop *l, const struct net_peer *peer);
/* Tells the owner, counts and logs. polite: what is queued still goes out. */
void net_conn_end(struct net_conn *c, enum net_close why, bool polite, const char *detail);
void net_conn_destroy(struct net_conn *c);
/* Of an open connection; made when there is none. NULL: out of memory. */
struct net_work *net_conn_work(struct net_conn *c);
size_t net_conn_queue_max(const struct net_conn *c); /* bytes that may wait for the peer */
void net_conn_rest(struct net_conn *c); /* gives the work back if nothing is going on */
void net_work_free_all(struct net_loop *l);
void net_conn_fire(void *arg, struct wheel_entry *e);
void net_conn_introduce(struct net_conn *c); /* to its owner */
void net_count_close(struct net *n, enum net_close why);

/* shed.c */
void net_conn_weigh(struct net_conn *c); /* has work, which may have changed */
void net_work_lighten(struct net_loop *l, struct net_work *w); /* its buffers are gone */
bool net_is_full(const struct net *n);
void net_shed(struct net_loop *l); /* in each tick */

/* upgrade.c */
/* Plaintext without frames; how many bytes are dealt with. Afterwards the connection may be gone.
 */
size_t net_conn_hear(struct net_conn *c, struct view bytes);
void net_conn_unframe(struct net_conn *c, struct view bytes);

/* read.c */
void net_conn_start_reading(struct net_conn *c);
void net_conn_take_plain(struct net_conn *c, struct view in);
void net_conn_run_again(struct net_conn *c);
bool net_conn_shake_taken(struct net_conn *c); /* it was waiting for that, and does no more */

/* write.c */
void net_conn_dirty(struct net_conn *c); /* has work */
void net_conn_abandon(struct net_conn *c);
void net_conn_watch_writes(struct net_conn *c); /* ready, and a write is under way */
void net_conn_flush(struct net_conn *c);
void net_conn_send_pipe(struct net_conn *c); /* what OpenSSL has put into the pipe */
