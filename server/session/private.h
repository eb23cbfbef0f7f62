/*
 * session/private: what the files of this module share.
 *
 *     sessions.c   start, stop, the way in from net
 *     session.c    one session: made, moved, ended, parked, forgotten
 *     restore.c    sessions of the server before
 *     slots.c      session_ref <-> session
 *     packet.c     bytes -> packets -> the function for the packet
 *     connect.c    CONNECT, identity, CONNACK
 *     will.c       the will, taken and sent
 *     attach.c     between a good CONNECT and its CONNACK: the claim and the attach hook
 *     book.c       who holds the session of (device, client id): takeover, numbers
 *     home.c       what the home loop is told
 *     publish.c    PUBLISH in, QoS 2 in
 *     alias.c      topic aliases, both ways
 *     acks.c       acknowledgements in arrival order, whatever the order of commits
 *     subscribe.c  SUBSCRIBE, UNSUBSCRIBE
 *     access.c     which topics a device may use
 *     rights.c     a device, its type or its labels have changed
 *     send.c       the ways in for what goes out: targets and commands
 *     deliver.c    PUBLISH out
 *     confirm.c    PUBACK, PUBREC, PUBCOMP in
 *     timer.c      keep alive, stalled, expiry
 *     kept.h       what outlives a connection
 *     limits.h     what a peer may ask for
 */
#pragma once

#include <stdatomic.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "mqtt/connect.h"
#include "mqtt/frame.h"
#include "mqtt/publish.h"
#include "mqtt/reason.h"
#include "mqtt/subscribe.h"
#include "net/net.h"
#include "net/wheel.h"
#include "session/acks.h"
#include "session/book.h"
#include "session/flapping.h"
#include "session/kept.h"
#include "session/limits.h"
#include "session/numbers.h"
#include "session/sessions.h"
#include "session/state.h"
#include "session/target.h"

enum {
    SESSION_COMMANDS_MAX = 100,        /* waiting for one session */
    SESSION_COMMAND_FILTERS_MAX = 50,  /* whose identifiers a command carries */
    SESSION_OUT_HIGH_BYTES = 65536,    /* messages wait while so much is not written */
    SESSION_OUT_ALIASES_MAX = 16,      /* topics of one connection that get an alias */
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
    void (*tell_drained)(struct net_conn *c);
    void (*read)(struct net_conn *c, bool on);
    void (*again)(struct net_conn *c);
    void (*ready)(struct net_conn *c);
    void (*close)(struct net_conn *c);
    enum err (*certificate)(struct net_conn *c, struct buf *ret_der);
    char *(*peer)(const struct net_conn *c, char ret_words[static NET_PEER_WORDS]);
    void (*post)(struct sessions *all, uint32_t loop, struct mail *m);
    int64_t (*now_us)(void);
};

struct will {
    struct message *message;     /* NULL: none */
    int64_t delay_us, expiry_us; /* see struct session_will */
};

struct aliases_in {
    char **topics; /* limits.aliases_max, or NULL */
};

struct aliases_out {
    struct alias_out *at; /* the alias is the place, from 1 */
    uint16_t count, max;
};

struct session {
    struct session_loop *home;
    struct net_conn *conn; /* NULL: parked, or gone while its claim is under way */
    const struct session_limits *limits;
    struct device *device; /* held; NULL on the open listener */
    int64_t credential_id;
    char *client_id;
    struct kept *kept;
    struct claim *successor; /* waits for what the session's own claim brings */
    struct will will;
    struct aliases_in aliases_in;
    struct aliases_out aliases_out;
    void *user;
    struct list held_link; /* in home->held while a hook is full */
    struct wheel_entry timer;
    struct ack_queue acks;     /* for PUBLISH, SUBSCRIBE and UNSUBSCRIBE */
    struct ack_queue releases; /* PUBREL and PUBCOMP, whose packets have an order of their own */
    int64_t packet_at_us;      /* the last packet came */
    int64_t progress_at_us;    /* the last acknowledgement left, or the first was owed */
    int64_t wanted_expiry_us;
    uint32_t slot, generation;
    uint32_t keep_alive_ms; /* one and a half times; 0: off */
    uint32_t client_packet_max;
    uint32_t scanned; /* bytes behind the held packet that were searched for PINGREQ */
    uint16_t client_receive_maximum;
    uint16_t server_keep_alive_s; /* 0: as the client said */
    uint8_t state;
    uint8_t version;
    bool open_listener, clean_start, problem_info, assigned_id, expiry_capped;
    bool granted;  /* the claim has come back */
    bool attached; /* opened and attach were called, and detach was not */
    bool asked;    /* attach was called and has not answered: it borrows device and client_id */
    bool present;  /* kept came from an earlier connection */
    bool routing;  /* its publish is being routed: its own copy follows the answer */
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
    struct flapping flapping;
    struct mail resume_mail, drain_mail;
    atomic_bool resume_posted;
    bool draining;
};

struct sessions {
    const struct conf *conf;
    struct sessions_auth auth;
    struct session_hooks hooks;
    const struct session_io *io;
    struct session_limits device_limits, open_limits;
    struct net *net;
    struct book book; /* of the home loop */
    uint32_t loop_count;
    struct session_loop *loops;
    atomic_int_fast64_t live;        /* sessions with a connection */
    atomic_int_fast64_t queue_bytes; /* of all that is on its way to sessions */
    atomic_bool queues_full_said;
    atomic_int_fast64_t drains_left;
    atomic_bool stopped, ending;
    atomic_uint_fast64_t closes[SESSION_CLOSE_COUNT];
};

/* What became of the packet at the front. ENDED: do not touch the session, it may be gone. */
enum packet_end { PACKET_TAKEN, PACKET_HELD, PACKET_ENDED };

/* sessions.c */
/* Its credential, or all that its device was, is not good any more. Not to be touched afterwards.
 */
void session_expel(struct session *s, bool for_good);
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
static inline struct buf *session_out(struct session *s)
{
    return s->home->all->io->out(s->conn);
}
/* Takes and sends packets. Not while it ends: then there is no connection any more. */
static inline bool session_is_ready(const struct session *s)
{
    return s->state == SESSION_READY && s->conn != NULL;
}
static inline struct mqtt_source session_source(const struct session *s)
{
    return (struct mqtt_source){(enum mqtt_version)s->version, MQTT_FROM_CLIENT, s->limits->mqtt};
}

/* slots.c */
NODISCARD enum err slots_put(struct session_loop *l, struct session *s);
void slots_remove(struct session *s);
struct session *slots_get(struct session_loop *l, struct session_ref ref); /* NULL: stale */
/* Also one that has ended and only waits for the answer to its attach. */
struct session *slots_get_any(struct session_loop *l, struct session_ref ref);

/* session.c */
struct session *session_open(struct session_loop *l, struct net_conn *c, bool open_listener);
struct session *session_new(struct session_loop *l, bool open_listener); /* NULL: memory */
void session_move(struct session *s, enum session_state to);
void session_park(struct session *s, int64_t expires_at_us);
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
enum packet_end packet_refused(struct session *s, enum session_close why, const char *detail);

/* connect.c */
enum packet_end connect_received(struct session *s, const struct mqtt_frame *f);
enum packet_end connect_too_large(struct session *s, struct view bytes);
enum packet_end connect_refuse(struct session *s, enum mqtt_version version,
                               enum mqtt_reason reason, const char *detail);
NODISCARD enum err connect_accept(struct session *s); /* sends the CONNACK */

/* will.c */
/* ERR_DENIED: not this topic; ERR_TYPE: the payload is not the text it says; ERR_NOMEM. */
NODISCARD enum err will_take(struct session *s, const struct mqtt_connect *m);
void will_send(struct session *s, bool persistent); /* the connection ended */
void will_forget(struct session *s);

/* attach.c, home.c */
void attach_granted(struct session *s, struct kept *kept, int64_t number);
NODISCARD enum err home_opened(const struct session *s);
void home_parted(const struct session *s);

/* publish.c */
enum packet_end publish_received(struct session *s, const struct mqtt_frame *f);
enum packet_end publish_released(struct session *s, const struct mqtt_frame *f); /* PUBREL */
/* Puts the answer to a publish into the output. False: the session ended. */
NODISCARD bool publish_acknowledge(struct session *s, const struct ack *a);
void publish_completed(struct session *s, uint16_t packet_id); /* PUBCOMP is due */

/* alias.c */
NODISCARD enum err alias_in_resolve(struct session *s, struct mqtt_publish *m);
struct alias {
    uint16_t number; /* 0: none */
    bool known;      /* the client has seen it: the topic is left out */
};
struct alias alias_out_find(const struct session *s, struct view topic);
void alias_out_add(struct session *s, struct view topic); /* it was sent with the next number */
void alias_forget_all(struct session *s);

/* subscribe.c */
enum packet_end subscribe_received(struct session *s, const struct mqtt_frame *f);
enum packet_end unsubscribe_received(struct session *s, const struct mqtt_frame *f);
void subscribe_acknowledge(struct session *s, const struct ack *a);
/* A copy of what was stored. */
NODISCARD enum err subscribe_restore(struct session *s, const struct session_filter *filters,
                                     uint32_t count);
/* Gives up what the device may not have any more. */
void subscribe_check(struct session *s);

/* rights.c */
/* Has the device as it is now, and only what that may have. False: it has ended with the device. */
NODISCARD bool rights_refresh(struct session *s);

/* access.c */
enum access { ACCESS_DENIED, ACCESS_DEVICE_API, ACCESS_ROUTED };
enum access access_publish(const struct device *device, struct view topic);
enum access access_of_publish(const struct session *s, struct view topic);
bool access_may_subscribe(const struct session *s, struct view filter);
bool access_may_receive(const struct session *s, struct view topic); /* what others publish */

/* deliver.c */
/* One message to a session that may have a connection. Takes no hold of t's. */
enum err deliver_target(struct session *s, int64_t number, const struct session_target *t);
enum err deliver_queued(struct session *s, int64_t number, struct outgoing *o); /* takes o */
void deliver_pump(struct session *s);   /* sends what may be sent */
void deliver_resume(struct session *s); /* what was under way goes first, again, in order */
void deliver_end(struct session *s, struct outgoing *o, enum err status); /* was under way */
/* How a command matches the session's filters; identifiers may be NULL. */
struct match {
    bool found;
    uint8_t qos;
    uint32_t identifier_count;
};
struct match deliver_match(struct session *s, struct view topic,
                           uint32_t ret_identifiers[SESSION_COMMAND_FILTERS_MAX]);

/* confirm.c */
enum packet_end confirm_received(struct session *s, const struct mqtt_frame *f);
/* PUBREL, when it may leave. An error: nothing has happened. */
NODISCARD enum err confirm_release(struct session *s, struct outgoing *o);
void confirm_released(struct session *s, uint16_t packet_id); /* PUBREL is due */

/* timer.c */
void timer_update(struct session *s);
void timer_fire(void *arg, struct wheel_entry *e);
