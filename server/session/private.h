/*
 * session/private: what the files of this module share.
 *
 *     sessions.c   start, stop, the way in from net
 *     session.c    one session: made, moved, ended, parked, forgotten
 *     slots.c      session_ref <-> session
 *     packet.c     bytes -> packets -> the function for the packet
 *     connect.c    CONNECT, identity, CONNACK
 *     attach.c     between a good CONNECT and its CONNACK: the claim and the attach hook
 *     book.c       who holds the session of (device, client id): takeover
 *     publish.c    PUBLISH in, QoS 2 in
 *     acks.c       acknowledgements in arrival order, whatever the order of commits
 *     subscribe.c  SUBSCRIBE, UNSUBSCRIBE, filters
 *     access.c     which topics a device may use
 *     deliver.c    PUBLISH out
 *     timer.c      keep alive, stalled, expiry
 *     kept.c       what outlives a connection
 */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "mqtt/frame.h"
#include "mqtt/publish.h"
#include "mqtt/reason.h"
#include "mqtt/subscribe.h"
#include "net/net.h"
#include "net/wheel.h"
#include "session/ids.h"
#include "session/sessions.h"
#include "session/state.h"

enum {
    SESSION_CLIENT_ID_MAX = 128,
    SESSION_TOPIC_LEVELS_MAX = 16,
    SESSION_ALIASES_MAX = 16,
    SESSION_ALIAS_BYTES_MAX = 1024,
    SESSION_FILTERS_MAX = 50,
    SESSION_FILTERS_PER_PACKET = 8,
    SESSION_QUEUE_MAX = 100,           /* deliveries waiting for one session */
    SESSION_OUT_WINDOW = 20,           /* QoS 1 and 2 under way to a 3.1.1 client */
    SESSION_OUT_WINDOW_MAX = 100,      /* the same for MQTT 5, whatever it allows */
    SESSION_OUT_HIGH_BYTES = 65536,    /* deliveries wait while so much is not written */
    SESSION_WINDOW_BYTES = 256 * 1024, /* unacknowledged bytes of one connection */
    SESSION_HOLD_BYTES = 16 * 1024,    /* read on so far behind a held packet, to see PINGREQ */
    SESSION_PER_DEVICE_MAX = 16,
    SESSION_CERTIFICATE_MAX = 16 * 1024,
};

/* What a session needs of its connection. net's functions in the server; tests bring their own. */
struct session_io {
    /* Appending never has to be checked: the error stays in the buffer and ends the connection. */
    struct buf *(*out)(struct net_conn *c);
    size_t (*queued)(const struct net_conn *c);
    void (*read)(struct net_conn *c, bool on);
    void (*again)(struct net_conn *c);
    void (*ready)(struct net_conn *c);
    void (*close)(struct net_conn *c);
    enum err (*certificate)(struct net_conn *c, struct buf *ret_der);
    char *(*peer)(const struct net_conn *c, char ret_words[static NET_PEER_WORDS]);
    void (*post)(struct sessions *all, uint32_t loop, struct mail *m);
    int64_t (*now_us)(void);
};

struct session_loop;

/* An acknowledgement that is owed, from the packet's arrival until it is sent. Pooled per loop. */
struct ack {
    struct ticket ticket;
    struct mail mail; /* carries it home from the thread that dropped the ticket last */
    struct session_loop *home;
    struct session *session; /* NULL: its connection went; the memory waits for the ticket */
    struct ack *next;
    uint8_t *answer; /* a SUBACK or UNSUBACK, encoded; NULL: PUBACK or PUBREC of packet_id */
    uint32_t answer_len;
    uint32_t bytes; /* of the packet it is for */
    enum err status;
    uint16_t packet_id;
    uint8_t qos;
    bool ticketed, done;
};

struct ack_chunk {
    struct ack_chunk *next;
    struct ack acks[64];
};

/* A delivery on its way out. */
struct outgoing {
    struct list link; /* first; in kept.queue or kept.under_way */
    struct session_delivery *delivery;
    uint16_t packet_id;
    uint8_t qos;
    bool released; /* QoS 2: PUBREC has come, PUBREL is sent */
    bool again;    /* to be sent again on the new connection */
};

/* What outlives a connection, and moves to the next one, perhaps on another loop. */
struct kept {
    struct session_filter *filters;
    uint32_t filter_count, filter_cap;
    uint32_t queue_count, under_way_count;
    uint32_t again_count;  /* of those under way */
    struct list queue;     /* struct outgoing, not sent */
    struct list under_way; /* sent, in order, not acknowledged */
    struct ids received;   /* QoS 2: PUBLISH taken, PUBREL not come */
    int64_t expiry_us;     /* 0: ends with its connection */
    int64_t expires_at_us; /* while there is none */
    uint16_t last_packet_id;
    bool announced; /* was ready once: forgotten will be told */
};

struct session {
    struct session_loop *home;
    struct net_conn *conn; /* NULL: parked, or gone while its claim is under way */
    struct device *device; /* held; NULL on the open listener */
    int64_t credential_id;
    char *client_id;
    struct kept *kept;
    struct claim *successor; /* waits for what the session's own claim brings */
    struct session_will *will;
    char **aliases; /* SESSION_ALIASES_MAX topics, or NULL */
    void *user;
    struct list held_link; /* in home->held while the publish hook is full */
    struct wheel_entry timer;
    struct ack *acks_first;
    struct ack **acks_last;
    uint32_t unacked, unacked_qos1, unacked_bytes;
    int64_t packet_at_us;   /* the last packet came */
    int64_t progress_at_us; /* the last acknowledgement left, or the first was owed */
    int64_t wanted_expiry_us;
    uint32_t slot, generation;
    uint32_t keep_alive_ms; /* one and a half times */
    uint32_t client_packet_max;
    uint32_t scanned; /* bytes behind the held packet that were searched for PINGREQ */
    uint16_t client_receive_maximum;
    uint16_t server_keep_alive_s; /* 0: as the client said */
    uint8_t state;
    uint8_t version;
    bool open_listener, clean_start, problem_info, assigned_id, expiry_capped;
    bool granted;  /* the claim has come back */
    bool attached; /* attach was called and detach was not */
    bool asked;    /* attach was called and has not answered: it borrows device and client_id */
    bool present;  /* kept came from an earlier connection */
    bool held;     /* the first packet in the buffer has to wait */
    bool paused;   /* the socket is not read */
};

struct session_slot {
    struct session *session; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct session_loop {
    struct sessions *all;
    uint32_t index;
    uint32_t slot_count, slot_cap, free_slot; /* UINT32_MAX: none free */
    struct session_slot *slots;
    struct wheel wheel;
    struct list held; /* sessions that wait for session_resume_all() */
    struct ack *free_acks;
    struct ack_chunk *ack_chunks;
    int64_t acks_out; /* not in the free list */
    struct map book;  /* of the devices at home on this loop: see book.c */
    struct mail resume_mail, drain_mail;
    atomic_bool resume_posted;
    bool draining;
};

struct sessions {
    const struct conf *conf;
    struct sessions_auth auth;
    struct session_hooks hooks;
    const struct session_io *io;
    struct net *net;
    uint32_t loop_count;
    struct session_loop *loops;
    atomic_int_fast64_t live; /* sessions with a connection */
    atomic_int_fast64_t drains_left;
    atomic_bool stopped, ending;
    atomic_uint_fast64_t closes[SESSION_CLOSE_COUNT];
};

/* What became of the packet at the front. ENDED: do not touch the session, it may be gone. */
enum packet_end { PACKET_TAKEN, PACKET_HELD, PACKET_ENDED };

/* sessions.c */
NODISCARD enum err sessions_init(struct sessions *all, uint32_t loop_count);
void sessions_fini(struct sessions *all);
static inline int64_t session_now_us(const struct session *s)
{
    return s->home->all->io->now_us();
}
static inline void session_post(struct sessions *all, uint32_t loop, struct mail *m)
{
    all->io->post(all, loop, m);
}

/* slots.c */
NODISCARD enum err slots_put(struct session_loop *l, struct session *s);
void slots_remove(struct session *s);
struct session *slots_get(struct session_loop *l, struct session_ref ref); /* NULL: stale */
/* Also one that has ended and only waits for the answer to its attach. */
struct session *slots_get_any(struct session_loop *l, struct session_ref ref);

/* session.c */
struct session *session_open(struct session_loop *l, struct net_conn *c, bool open_listener);
void session_move(struct session *s, enum session_state to);
/* Tells the client, closes the connection, tells the hooks; then the session is parked, gone, or
 * waits for its claim. Not to be touched afterwards. */
void session_end(struct session *s, enum session_close why, const char *detail);
void session_lost(struct session *s, enum net_close why);
/* Frees the session, its book entry and, with the forgotten hook, all that is kept. */
void session_forget(struct session *s);
void session_free(struct session *s); /* memory only; kept too */
/* Ends s for its successor (NULL: for good) and gives what it kept, if that lives on. */
struct kept *session_yield(struct session *s, enum session_close why, bool discard);
void session_drain(struct session *s);
void session_settle(struct session *s); /* the claim has come and the connection has gone */

/* packet.c */
size_t session_data(struct session *s, struct view bytes);
void session_unhold(struct session *s); /* offers the held packet again */
enum session_close packet_close_for(enum err e);

/* connect.c */
enum packet_end connect_received(struct session *s, const struct mqtt_frame *f);
enum packet_end connect_too_large(struct session *s, struct view bytes);
enum packet_end connect_refuse(struct session *s, enum mqtt_version version,
                               enum mqtt_reason reason, const char *detail);
NODISCARD enum err connect_accept(struct session *s); /* sends the CONNACK */

/* attach.c, book.c */
struct claim {
    struct mail mail;
    struct sessions *all;
    struct session_ref to;   /* who claims */
    struct session_ref from; /* who holds */
    struct kept *kept;
    int32_t device_id;
    bool clean_start;
    bool evict; /* nobody claims: the holder is one session too many */
    uint16_t client_id_len;
    uint8_t client_id[];
};
NODISCARD enum err book_claim(struct session *s);
void book_release(struct session *s);
void book_free(struct session_loop *l);
void book_answer(struct claim *c, struct kept *kept); /* the holder has yielded; takes c */
enum session_close book_close(const struct claim *c); /* why the holder of c ends */
void attach_granted(struct session *s, struct kept *kept);

/* publish.c */
enum packet_end publish_received(struct session *s, const struct mqtt_frame *f);
enum packet_end publish_released(struct session *s, const struct mqtt_frame *f); /* PUBREL */
/* Puts the answer to a publish into the output. False: the session ended. */
bool publish_acknowledge(struct session *s, const struct ack *a);
void publish_forget_aliases(struct session *s);

/* acks.c */
struct ack *acks_take(struct session_loop *l); /* NULL: out of memory */
void acks_give_back(struct ack *a);            /* unused */
void acks_push(struct session *s, struct ack *a);
/* Sends what is due. False: the session ended. */
NODISCARD bool acks_flush(struct session *s);
void acks_drop_all(struct session *s); /* the connection is gone */
void acks_free(struct session_loop *l);

/* subscribe.c */
enum packet_end subscribe_received(struct session *s, const struct mqtt_frame *f);
enum packet_end unsubscribe_received(struct session *s, const struct mqtt_frame *f);
/* A copy of what was stored, less what the device may not have any more. */
NODISCARD enum err subscribe_restore(struct session *s, const struct session_filter *filters,
                                     uint32_t count);

/* access.c */
bool access_may_publish(const struct session *s, struct view topic);
bool access_may_subscribe(const struct session *s, struct view filter);

/* deliver.c */
enum packet_end deliver_acknowledged(struct session *s, const struct mqtt_frame *f);
void deliver_pump(struct session *s);   /* sends what may be sent */
void deliver_resume(struct session *s); /* what was under way goes first, again, in order */
/* Ends what has expired; when the next does, or CLOCK_NONE. */
int64_t deliver_expire(struct session *s, int64_t now_us);

/* timer.c */
void timer_update(struct session *s);
void timer_fire(void *arg, struct wheel_entry *e);

/* kept.c */
struct kept *kept_new(void);
void kept_free(struct sessions *all, struct kept *k); /* its deliveries end with ERR_CLOSED */
void kept_clear_filters(struct kept *k);
struct session_filter *kept_filter(struct kept *k, struct view filter); /* or NULL */
NODISCARD enum err kept_set_filter(struct kept *k, struct view filter, uint8_t options,
                                   uint32_t identifier);
bool kept_remove_filter(struct kept *k, struct view filter);
void kept_end_delivery(struct sessions *all, struct outgoing *o, enum err status); /* unlinks */
