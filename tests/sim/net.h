/*
 * net: connections between devices and server. A connection is the world's; the session at its
 * server end is the server's and dies with it. Packets of one direction keep their order; both
 * directions end when the connection is cut.
 */
#pragma once

#include "sim.h"

enum packet_kind {
    PACKET_CONNECT,
    PACKET_CONNACK, /* ok, present */
    PACKET_SUBSCRIBE,
    PACKET_SUBACK,
    PACKET_PUBLISH,
    PACKET_PUBACK, /* ok: stored; else refused for good */
    PACKET_PUBREC, /* likewise; then PUBREL and PUBCOMP, unless refused */
    PACKET_PUBREL,
    PACKET_PUBCOMP,
    PACKET_CLOSE,
};

struct conn;
struct packet {
    struct packet *next;
    struct conn *conn;
    enum packet_kind kind;
    uint16_t packet_id; /* 0: QoS 0 */
    uint8_t qos;
    bool dup, ok, present;
    bool clean_start, persistent; /* CONNECT */
    char topic[64];
    char *payload;
};

struct session;
struct conn {
    struct conn *next_of_run;
    uint32_t id;
    int device;
    int loop;
    uint32_t life; /* of the server it was made to */
    bool cut;      /* nothing arrives any more, at either end */
    bool server_closed;
    struct packet *first, **last; /* arrived at the server, not yet read */
    struct session *session;
    int64_t up_us, down_us; /* when the last packet of each direction arrives */
};

struct conn *conn_open(int device);
struct packet *packet_new(enum packet_kind kind);
void packet_free(struct packet *p);
void conn_send_up(struct conn *c, struct packet *p);
void conn_cut(struct conn *c); /* the network's doing; the server notices later */
void conns_free(void);         /* at the end of a run */

struct net *net_new_fake(struct ingest *in, const struct conf *conf);
void net_start(struct net *n);
void net_stop(struct net *n);
void net_free_fake(struct net *n);
/* Hooks of the core. */
void net_attach_done(struct net *n, struct session_ref ref, enum err status);
void net_deliver(struct net *n, struct session_ref ref, struct session_delivery *d);
void net_resume(struct net *n);
bool net_is_idle(const struct net *n);
