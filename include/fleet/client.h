/*
 * client: one MQTT device that keeps what it published until the server has acknowledged it.
 *
 * It connects, reconnects after a growing random pause, and then sends every unacknowledged message
 * again, in order and with DUP: a server killed at any moment loses nothing. The DUP flag stays set
 * even when the server answers without a session, because that is what tells it to look for the
 * copy it may have stored.
 *
 * Ownership: the caller's storage; views are borrowed for the client's life, except the payload of
 * a publish, which is copied. fleet_client_stop() and a turn of the loop before
 * fleet_client_fini(). Threads:   the loop's. Errors:    nothing is reported as failed until the
 * server says so: `acked` carries the reason, `refused` ends the client. Everything else is tried
 * again. Limits:    window_max messages in flight, fewer when the server's Receive Maximum asks for
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "fleet/link.h"
#include "fleet/random.h"
#include "mqtt/connect.h"
#include "mqtt/publish.h"

/*        state                words                   may move to */
#define FLEET_CLIENT_STATES(X)                                                          \
    X(FLEET_CLIENT_NEW, "new", TO(FLEET_CLIENT_WAITING) | TO(FLEET_CLIENT_STOPPED))     \
    X(FLEET_CLIENT_WAITING, "waiting to connect",                                       \
      TO(FLEET_CLIENT_DIALING) | TO(FLEET_CLIENT_STOPPED))                              \
    X(FLEET_CLIENT_DIALING, "connecting",                                               \
      TO(FLEET_CLIENT_WAITING) | TO(FLEET_CLIENT_GREETING) | TO(FLEET_CLIENT_STOPPED))  \
    X(FLEET_CLIENT_GREETING, "waiting for connack",                                     \
      TO(FLEET_CLIENT_WAITING) | TO(FLEET_CLIENT_READY) | TO(FLEET_CLIENT_REFUSED) |    \
          TO(FLEET_CLIENT_STOPPED))                                                     \
    X(FLEET_CLIENT_READY, "ready", TO(FLEET_CLIENT_WAITING) | TO(FLEET_CLIENT_STOPPED)) \
    X(FLEET_CLIENT_REFUSED, "refused by the server", TO(FLEET_CLIENT_STOPPED))          \
    X(FLEET_CLIENT_STOPPED, "stopped", 0u)

enum fleet_client_state {
#define FLEET_CLIENT_ENUM(name, words, moves) name,
    FLEET_CLIENT_STATES(FLEET_CLIENT_ENUM)
#undef FLEET_CLIENT_ENUM
        FLEET_CLIENT_STATE_COUNT
};

struct fleet_client;

struct fleet_slot {
    uint64_t tag;      /* the publisher's own */
    int64_t queued_us; /* monotonic; for load tests the time at which it should have been sent */
    int64_t sent_us;   /* the first time */
    uint8_t *packet;   /* encoded PUBLISH, kept for sending again */
    uint32_t len, cap;
    uint16_t packet_id;
    bool sent_before;
    bool done;
};

struct fleet_client_events {
    void (*ready)(struct fleet_client *c, bool session_present); /* may be NULL, as all but acked */
    /* reason 0x80 and above: the server will never store it. The slot is valid during the call. */
    void (*acked)(struct fleet_client *c, const struct fleet_slot *slot, uint8_t reason,
                  int64_t now_us);
    void (*room)(struct fleet_client *c); /* ready, and the window has room */
    void (*received)(struct fleet_client *c, const struct mqtt_publish *message);
    void (*lost)(struct fleet_client *c, const char *why); /* will connect again */
    void (*refused)(struct fleet_client *c,
                    uint8_t reason); /* gives up: the credential, the version, the client id */
};

/* Shared by all clients of a run. */
struct fleet_client_conf {
    struct fleet_net *net;
    const struct fleet_client_events *events;
    uint32_t window_max;
    uint16_t keep_alive_s;
    uint32_t session_expiry_s; /* MQTT 5 */
    bool clean_start;
    bool commands;  /* subscribe to the device's commands */
    bool resume;    /* TLS tickets */
    bool stay_down; /* do not connect again */
    uint32_t backoff_min_ms, backoff_max_ms;
    uint32_t connect_timeout_ms;
};

struct fleet_client_counts {
    uint64_t published, resent, acked, refused, unordered, stray, connects, resumed, losts;
};

struct fleet_client {
    struct fleet_link link;
    const struct fleet_client_conf *conf;
    void *arg;
    enum mqtt_version version;
    enum fleet_client_state state;
    const char *client_id;
    const char *user_name; /* NULL: none */
    const char *cert_file; /* NULL: none */
    const char *key_file;
    struct fleet_random random;
    struct fleet_client_counts counts;
    uv_timer_t
        timer; /* the pause before connecting; then the handshake's deadline; then keep alive */
    bool timer_open;
    uint32_t attempts;
    uint16_t next_id;
    uint16_t quota; /* what the server takes at once */
    bool ping_unanswered;
    int64_t dialed_us, sent_us, heard_us;
    struct fleet_slot *slots; /* a ring */
    uint32_t head, count, on_wire;
};

/* Fields version, client_id, user_name, cert_file, key_file and arg are the caller's to set before
 * the start. */
NODISCARD enum err fleet_client_init(struct fleet_client *c, const struct fleet_client_conf *conf,
                                     uint64_t seed);
void fleet_client_fini(struct fleet_client *c);
void fleet_client_start(struct fleet_client *c, uint32_t after_ms);
/* DISCONNECT, then close. What is unacknowledged stays readable with fleet_client_unacked(). */
void fleet_client_stop(struct fleet_client *c);
bool fleet_client_idle(const struct fleet_client *c); /* after stop: may be freed */
/* The loop has to turn until this is true for all clients. */

/* Messages that could be published now. */
uint32_t fleet_client_room(const struct fleet_client *c);
/* QoS 1. ERR_FULL: no room; a client that is not ready takes messages up to its window and sends
 * them later. */
NODISCARD enum err fleet_client_publish(struct fleet_client *c, struct view topic,
                                        struct view payload, uint64_t tag, int64_t queued_us);
/* QoS 0, for answers to commands. ERR_STATE: not connected. */
NODISCARD enum err fleet_client_answer(struct fleet_client *c, struct view topic,
                                       struct view payload);
/* The i-th unacknowledged message, oldest first, or NULL. */
const struct fleet_slot *fleet_client_unacked(const struct fleet_client *c, uint32_t i);
void fleet_client_kill(
    struct fleet_client *c); /* cuts the connection without a word, for tests; it connects again */
const char *fleet_client_state_words(enum fleet_client_state state);
bool fleet_client_may_move(enum fleet_client_state from, enum fleet_client_state to);
