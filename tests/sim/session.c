/*
 * session: what session/session.h promises to ingest and asks of it. Acknowledgements leave in the
 * order of their publishes; a publish that finds no room is offered again; deliveries of a session
 * that outlives its connection are sent again with DUP; a client that comes back takes its session
 * over.
 */
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/counter.h"
#include "checks.h"
#include "session_fake.h"

enum { STALLED_CHECK_MS = 1000, RECEIVED_MAX = 64 };

struct outgoing {
    struct outgoing *next;
    struct session_delivery *delivery;
    uint16_t packet_id; /* 0: not sent */
};

/* What outlives a connection. */
struct kept {
    bool subscribed;
    bool persistent;
    uint16_t received[RECEIVED_MAX]; /* QoS 2: handed on, PUBREL has not come */
    int received_count;
    struct outgoing *first, **last;
    uint16_t last_id;
};

struct ack {
    struct ack *next;
    struct ticket ticket;
    struct mail mail;
    struct net *net;
    struct session *session; /* NULL: its connection went */
    int loop;
    enum packet_kind kind; /* PUBACK, PUBREC or SUBACK */
    uint16_t packet_id;
    enum err status;
    bool done;
};

struct session {
    struct session_ref ref;
    struct conn *conn;
    struct device *device; /* held */
    char client_id[32];
    void *user;
    bool ready, held, persistent;
    struct kept *kept;
    struct ack *first, **last;
    int64_t progress_us;
};

struct net {
    struct ingest *in;
    const struct conf *conf;
    struct loop *loops[SIM_LOOPS_MAX];
    struct gate *gates[SIM_LOOPS_MAX];
    struct loop_timer *timers[SIM_LOOPS_MAX];
    struct session *slots[SIM_SLOTS];
    uint32_t generation;
    struct kept *kept[SIM_DEVICES_MAX + 1]; /* without a connection */
    int acks_out;
    bool stopping;
};

/* ---- the contract, as far as ingest uses it ---- */

const struct device *session_device(const struct session *s)
{
    return s->device;
}

const char *session_client_id(const struct session *s)
{
    return s->client_id;
}

struct session_ref session_ref(const struct session *s)
{
    return s->ref;
}

void **session_user(struct session *s)
{
    return &s->user;
}

struct session_delivery *session_delivery_new(struct view topic, struct view payload, uint8_t qos)
{
    struct session_delivery *d = malloc(sizeof(*d) + topic.len + payload.len);
    *d = (struct session_delivery){.expires_at_us = CLOCK_NONE,
                                   .qos = qos,
                                   .topic_len = (uint16_t)topic.len,
                                   .payload_len = (uint32_t)payload.len};
    memcpy(d->bytes, topic.data, topic.len);
    memcpy(d->bytes + topic.len, payload.data, payload.len);
    return d;
}

/* ---- deliveries ---- */

static struct kept *kept_new(void)
{
    struct kept *k = calloc(1, sizeof(*k));
    k->last = &k->first;
    return k;
}

static void delivery_end(struct net *n, struct session_delivery *d, enum err status)
{
    int64_t id = d->delivery_id;
    free(d);
    if (id != 0 && !n->stopping &&
        !(sim_get()->options.mutant == MUTANT_LOSE_DELIVERED && sim_chance(100))) {
        ingest_delivered(n->in, id, status);
    }
}

static void outgoing_end(struct net *n, struct kept *k, struct outgoing **at, enum err status)
{
    struct outgoing *o = *at;
    *at = o->next;
    if (o->next == NULL) {
        k->last = at;
    }
    delivery_end(n, o->delivery, status);
    free(o);
}

static void kept_free(struct net *n, struct kept *k)
{
    while (k != NULL && k->first != NULL) {
        outgoing_end(n, k, &k->first, ERR_CLOSED);
    }
    free(k);
}

static void send_publish(struct session *s, struct outgoing *o, bool dup)
{
    const struct session_delivery *d = o->delivery;
    struct packet *p = packet_new(PACKET_PUBLISH);
    p->packet_id = o->packet_id;
    p->dup = dup;
    (void)view_copy(view_of(d->bytes, d->topic_len), p->topic, sizeof(p->topic));
    p->payload = world_text((const char *)d->bytes + d->topic_len, d->payload_len);
    if (d->delivery_id != 0) {
        check_sent(d->delivery_id, s->device->id);
    }
    conn_send_down(s->conn, p);
}

/* Attribute answers need no filter here: the devices subscribe to everything of theirs at once. */
static void pump(struct net *n, struct session *s, bool again)
{
    struct kept *k = s->kept;
    struct outgoing **at = &k->first;
    while (s->ready && *at != NULL) {
        struct outgoing *o = *at;
        bool expired = o->delivery->expires_at_us != CLOCK_NONE &&
                       o->delivery->expires_at_us <= clock_mono_us();
        if (expired && (o->packet_id == 0 || again)) {
            outgoing_end(n, k, at, ERR_EXPIRED);
            continue;
        }
        if (o->packet_id == 0 && !k->subscribed) {
            outgoing_end(n, k, at, ERR_NOT_FOUND);
            continue;
        }
        if (o->packet_id == 0) {
            k->last_id = (uint16_t)(k->last_id == UINT16_MAX ? 1 : k->last_id + 1);
            o->packet_id = k->last_id;
            send_publish(s, o, false);
        } else if (again) {
            send_publish(s, o, true);
        }
        at = &o->next;
    }
}

struct deliver_mail {
    struct mail mail;
    struct net *net;
    struct session_ref ref;
    struct session_delivery *delivery;
};

static struct session *session_at(const struct net *n, struct session_ref ref)
{
    struct session *s = ref.slot < SIM_SLOTS ? n->slots[ref.slot] : NULL;
    return s != NULL && s->ref.generation == ref.generation ? s : NULL;
}

static void deliver_here(struct mail *m)
{
    struct deliver_mail *dm = CONTAINER_OF(m, struct deliver_mail, mail);
    struct net *n = dm->net;
    struct session_delivery *d = dm->delivery;
    struct session *s = session_at(n, dm->ref);
    free(dm);
    if (s == NULL || (s->ready && !s->kept->subscribed)) {
        delivery_end(n, d, s == NULL ? ERR_CLOSED : ERR_NOT_FOUND);
        return;
    }
    struct outgoing *o = calloc(1, sizeof(*o));
    o->delivery = d;
    *s->kept->last = o;
    s->kept->last = &o->next;
    pump(n, s, false);
}

void net_deliver(struct net *n, struct session_ref ref, struct session_delivery *d)
{
    struct deliver_mail *m = malloc(sizeof(*m));
    *m = (struct deliver_mail){.mail = {.run = deliver_here}, .net = n, .ref = ref, .delivery = d};
    loop_post(n->loops[ref.loop], &m->mail);
}

static void delivery_acknowledged(struct net *n, struct session *s, uint16_t packet_id)
{
    for (struct outgoing **at = &s->kept->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->packet_id == packet_id) {
            outgoing_end(n, s->kept, at, ERR_OK);
            return;
        }
    }
}

/* ---- the end of a session's connection ---- */

static bool received_has(const struct kept *k, uint16_t id)
{
    for (int i = 0; i < k->received_count; i++) {
        if (k->received[i] == id) {
            return true;
        }
    }
    return false;
}

static void received_remove(struct kept *k, uint16_t id)
{
    for (int i = 0; i < k->received_count; i++) {
        if (k->received[i] == id) {
            k->received[i] = k->received[--k->received_count];
            return;
        }
    }
}

/* What was not committed is taken again when it comes again. */
static void acks_orphan(struct session *s)
{
    while (s->first != NULL) {
        struct ack *a = s->first;
        if (a->kind == PACKET_PUBREC && !a->done) {
            received_remove(s->kept, a->packet_id);
        }
        s->first = a->next;
        a->session = NULL;
        if (a->done) {
            free(a);
        }
    }
    s->last = &s->first;
}

static void forget_stored(struct net *n, const struct session *s)
{
    struct ops *o = ops_new();
    ops_add(o, "DELETE FROM sessions WHERE device_id = $1 AND client_id = $2");
    ops_int(o, s->device->id);
    ops_text(o, view_str(s->client_id));
    ingest_commit(n->in, o);
}

static void session_close(struct net *n, struct session *s, bool tell)
{
    struct conn *c = s->conn;
    int device = c->device;
    sim_log("session %u of d%d ends", s->ref.generation, device);
    c->server_closed = true;
    c->session = NULL;
    if (tell) {
        conn_send_down(c, packet_new(PACKET_CLOSE));
    }
    n->slots[s->ref.slot] = NULL;
    acks_orphan(s);
    ingest_detach(n->in, s->ref, s->device, s->client_id);
    if (s->persistent) {
        kept_free(n, n->kept[device]);
        n->kept[device] = s->kept;
    } else {
        kept_free(n, s->kept);
        forget_stored(n, s);
    }
    device_drop(s->device);
    free(s->user);
    free(s);
}

void session_conn_lost(struct net *n, struct conn *c)
{
    int before = sim_as(ACTOR_NET + c->loop);
    if (c->session != NULL) {
        session_close(n, c->session, false);
    }
    c->server_closed = true;
    (void)sim_as(before);
}

/* ---- connecting ---- */

static void session_open(struct net *n, struct conn *c, const struct packet *p)
{
    for (uint32_t i = 0; i < SIM_SLOTS; i++) {
        if (n->slots[i] != NULL && n->slots[i]->conn->device == c->device) {
            session_close(n, n->slots[i], true); /* taken over */
        }
    }
    struct session *s = calloc(1, sizeof(*s));
    uint32_t slot = 0;
    while (n->slots[slot] != NULL) {
        slot++;
    }
    CHECK(slot < SIM_SLOTS);
    n->slots[slot] = s;
    s->ref = (struct session_ref){.loop = (uint32_t)c->loop, .slot = slot, ++n->generation};
    s->conn = c;
    s->device = catalog_device_by_id(sim_get()->server.catalog, c->device);
    (void)snprintf(s->client_id, sizeof(s->client_id), "c%d", c->device);
    s->persistent = p->persistent;
    s->last = &s->first;
    c->session = s;
    bool present = n->kept[c->device] != NULL && !p->clean_start;
    if (present) {
        s->kept = n->kept[c->device];
    } else {
        kept_free(n, n->kept[c->device]);
        s->kept = kept_new();
    }
    n->kept[c->device] = NULL;
    if (p->clean_start && p->persistent) {
        forget_stored(n, s);
    }
    sim_log("session %u of d%d%s", s->ref.generation, c->device, present ? ", present" : "");
    const struct session_attach a = {.ref = s->ref,
                                     .device = s->device,
                                     .client_id = s->client_id,
                                     .clean_start = p->clean_start,
                                     .persistent = p->persistent,
                                     .present = present,
                                     .expiry_us = CLOCK_HOUR_US};
    ingest_attach(n->in, &a);
}

struct attach_mail {
    struct mail mail;
    struct net *net;
    struct session_ref ref;
    enum err status;
};

static void attach_here(struct mail *m)
{
    struct attach_mail *am = CONTAINER_OF(m, struct attach_mail, mail);
    struct net *n = am->net;
    struct session *s = session_at(n, am->ref);
    if (s != NULL) {
        struct packet *p = packet_new(PACKET_CONNACK);
        p->ok = am->status == ERR_OK;
        p->present = s->kept->subscribed;
        conn_send_down(s->conn, p);
        if (p->ok) {
            s->ready = true;
            s->progress_us = clock_mono_us();
            pump(n, s, true);
            loop_wake(n->loops[s->ref.loop]);
        } else {
            session_close(n, s, true);
        }
    }
    free(am);
}

void net_attach_done(struct net *n, struct session_ref ref, enum err status)
{
    struct attach_mail *m = malloc(sizeof(*m));
    *m = (struct attach_mail){.mail = {.run = attach_here}, .net = n, .ref = ref, .status = status};
    loop_post(n->loops[ref.loop], &m->mail);
}

/* ---- acknowledgements ---- */

/* The kinds of refusal that are the message's own fault; anything else is worth another try. */
static bool refused_for_good(enum err e)
{
    static const enum err own_fault[] = {ERR_EXISTS, ERR_MALFORMED, ERR_TYPE,         ERR_RANGE,
                                         ERR_LIMIT,  ERR_UTF8,      ERR_UNKNOWN_NAME, ERR_SYNTAX};
    for (size_t i = 0; i < COUNT_OF(own_fault); i++) {
        if (own_fault[i] == e) {
            return true;
        }
    }
    return false;
}

static void acks_flush(struct net *n, struct session *s)
{
    while (s->first != NULL && s->first->done) {
        struct ack *a = s->first;
        if (a->status != ERR_OK && !refused_for_good(a->status)) {
            sim_log("d%d: not stored: %s", s->conn->device, err_words(a->status));
            session_close(n, s, true);
            return;
        }
        struct packet *p = packet_new(a->kind);
        p->packet_id = a->packet_id;
        p->ok = a->status == ERR_OK;
        if (a->kind == PACKET_PUBREC && !p->ok) {
            received_remove(s->kept, a->packet_id); /* a refusal ends the exchange */
        }
        conn_send_down(s->conn, p);
        s->first = a->next;
        if (s->first == NULL) {
            s->last = &s->first;
        }
        s->progress_us = clock_mono_us();
        free(a);
    }
}

/* The mutant lets the one that is done overtake the others. */
static void ack_overtake(struct session *s, struct ack *a)
{
    struct ack **at = &s->first;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    if (*at == NULL) {
        s->last = at == &s->first ? &a->next : at;
    }
    a->next = s->first;
    s->first = a;
}

static void ack_at_home(struct mail *m)
{
    struct ack *a = CONTAINER_OF(m, struct ack, mail);
    a->net->acks_out--;
    a->done = true;
    if (a->session == NULL) {
        free(a);
        return;
    }
    if (sim_get()->options.mutant == MUTANT_UNORDERED_ACKS) {
        ack_overtake(a->session, a);
    }
    acks_flush(a->net, a->session);
}

static void ack_ticket_done(struct ticket *t, enum err status)
{
    struct ack *a = CONTAINER_OF(t, struct ack, ticket);
    a->status = status;
    a->mail.run = ack_at_home;
    loop_post(a->net->loops[a->loop], &a->mail);
}

static struct ack *ack_new(struct net *n, struct session *s, enum packet_kind kind, uint16_t id)
{
    struct ack *a = calloc(1, sizeof(*a));
    *a = (struct ack){.net = n, .session = s, .loop = (int)s->ref.loop, .kind = kind};
    a->packet_id = id;
    ticket_init(&a->ticket, ack_ticket_done);
    return a;
}

static void ack_push(struct net *n, struct session *s, struct ack *a)
{
    if (s->first == NULL) {
        s->progress_us = clock_mono_us();
    }
    *s->last = a;
    s->last = &a->next;
    n->acks_out++;
    ticket_drop(&a->ticket, ERR_OK); /* our own hold */
}

/* ---- packets ---- */

static bool take_publish(struct net *n, struct session *s, const struct packet *p)
{
    struct ack *a = p->qos == 0
                        ? NULL
                        : ack_new(n, s, p->qos == 2 ? PACKET_PUBREC : PACKET_PUBACK, p->packet_id);
    if (p->qos == 2 && received_has(s->kept, p->packet_id)) {
        ack_push(n, s, a); /* its turn is behind the first one's */
        return true;
    }
    const struct session_publish publish = {.topic = view_str(p->topic),
                                            .payload = view_str(p->payload),
                                            .qos = p->qos,
                                            .dup = p->dup,
                                            .packet_id = p->packet_id,
                                            .received_at_us = clock_wall_us()};
    counter_message_received(1);
    enum err e = gate_publish(n->gates[s->ref.loop], s, &publish, a == NULL ? NULL : &a->ticket);
    if (e == ERR_FULL) {
        counter_message_received(-1);
        free(a);
        s->held = true;
        return false;
    }
    CHECK(e == ERR_OK || a == NULL);
    if (p->qos == 2) {
        CHECK(s->kept->received_count < RECEIVED_MAX);
        s->kept->received[s->kept->received_count++] = p->packet_id;
    }
    if (a != NULL) {
        ack_push(n, s, a);
    } else if (e != ERR_OK) {
        counter_message_received(-1);
    }
    return true;
}

static void take_pubrel(struct session *s, const struct packet *p)
{
    received_remove(s->kept, p->packet_id);
    struct packet *done = packet_new(PACKET_PUBCOMP);
    done->packet_id = p->packet_id;
    conn_send_down(s->conn, done);
}

static void take_subscribe(struct net *n, struct session *s, const struct packet *p)
{
    s->kept->subscribed = true;
    struct ack *a = ack_new(n, s, PACKET_SUBACK, p->packet_id);
    if (s->persistent) {
        struct ops *o = ops_new();
        ops_add(o, "INSERT INTO sessions (device_id, client_id, filters, expiry_s) of the model");
        ops_int(o, s->device->id);
        ops_text(o, view_str(s->client_id));
        ops_text(o, VIEW("[\"v1/devices/me/rpc/request/+\"]"));
        ops_int(o, CLOCK_HOUR_US / CLOCK_SECOND_US);
        ticket_hold(&a->ticket);
        ops_ticket(o, &a->ticket, OPS_IMPATIENT);
        ingest_commit(n->in, o);
    }
    ingest_filters(n->in, s);
    ack_push(n, s, a);
}

/* False: it has to wait. */
static bool take_packet(struct net *n, struct conn *c, const struct packet *p)
{
    struct session *s = c->session;
    if (p->kind == PACKET_CONNECT) {
        session_open(n, c, p);
        return true;
    }
    if (s == NULL) {
        return true;
    }
    if (!s->ready || s->held) {
        return false;
    }
    switch (p->kind) {
    case PACKET_PUBLISH:
        return take_publish(n, s, p);
    case PACKET_SUBSCRIBE:
        take_subscribe(n, s, p);
        break;
    case PACKET_PUBACK:
        delivery_acknowledged(n, s, p->packet_id);
        break;
    case PACKET_PUBREL:
        take_pubrel(s, p);
        break;
    case PACKET_CLOSE:
        session_close(n, s, false);
        break;
    case PACKET_CONNECT:
    case PACKET_CONNACK:
    case PACKET_SUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
        break;
    }
    return true;
}

/* At the beginning of the loop's turn. */
static void read_conn(struct net *n, struct conn *c)
{
    while (c->first != NULL && !c->server_closed) {
        struct packet *p = c->first;
        if (!take_packet(n, c, p)) {
            return;
        }
        c->first = p->next;
        if (c->first == NULL) {
            c->last = &c->first;
        }
        packet_free(p);
    }
}

/* Connections that have not said CONNECT yet have no slot; they wait here. */
static struct conn *strangers[SIM_SLOTS];

static void read_loop(void *arg, int loop)
{
    struct net *n = arg;
    for (uint32_t i = 0; i < SIM_SLOTS; i++) {
        struct conn *c = strangers[i];
        if (c != NULL && (c->life != sim_get()->life || c->server_closed)) {
            strangers[i] = NULL;
        } else if (c != NULL && c->loop == loop) {
            strangers[i] = NULL;
            read_conn(n, c);
        }
    }
    int64_t skip = sim_random(SIM_SLOTS);
    for (uint32_t i = 0; i < SIM_SLOTS; i++) {
        struct session *s = n->slots[(i + (uint32_t)skip) % SIM_SLOTS];
        if (s != NULL && s->ref.loop == (uint32_t)loop) {
            read_conn(n, s->conn);
        }
    }
}

void session_input(struct net *n, struct conn *c)
{
    for (uint32_t i = 0; c->session == NULL && i < SIM_SLOTS; i++) {
        if (strangers[i] == c) {
            break;
        }
        if (strangers[i] == NULL || strangers[i]->life != sim_get()->life) {
            strangers[i] = c;
            break;
        }
    }
    loop_wake(n->loops[c->loop]);
}

/* ---- room again ---- */

struct resume_mail {
    struct mail mail;
    struct net *net;
    int loop;
};

static void resume_here(struct mail *m)
{
    struct resume_mail *r = CONTAINER_OF(m, struct resume_mail, mail);
    for (uint32_t i = 0; i < SIM_SLOTS; i++) {
        struct session *s = r->net->slots[i];
        if (s != NULL && s->ref.loop == (uint32_t)r->loop) {
            s->held = false;
        }
    }
    loop_wake(r->net->loops[r->loop]);
    free(r);
}

void net_resume(struct net *n)
{
    for (int i = 0; i < sim_get()->loop_count; i++) {
        struct resume_mail *r = malloc(sizeof(*r));
        *r = (struct resume_mail){.mail = {.run = resume_here}, .net = n, .loop = i};
        loop_post(n->loops[i], &r->mail);
    }
}

/* A device whose messages cannot be stored for so long is closed, to send them again. */
static void check_stalled(void *arg)
{
    struct net *n = arg;
    for (uint32_t i = 0; i < SIM_SLOTS; i++) {
        struct session *s = n->slots[i];
        if (s != NULL && (int)s->ref.loop + ACTOR_NET == sim_get()->actor && s->first != NULL &&
            clock_mono_us() - s->progress_us > n->conf->stalled_timeout_us) {
            sim_log("d%d: stalled", s->conn->device);
            session_close(n, s, true);
        }
    }
}

/* ---- life ---- */

/* Sessions that were stored are there before the first client is. */
static void restore_kept(struct net *n)
{
    const struct pg *pg = sim_get()->pg;
    for (uint32_t i = 0; i < pg->sessions.count; i++) {
        const struct pg_session *s = &pg->sessions.items[i];
        if (s->updated_us + s->expiry_s * CLOCK_SECOND_US > sim_wall_us()) {
            kept_free(n, n->kept[s->device_id]);
            n->kept[s->device_id] = kept_new();
            n->kept[s->device_id]->subscribed = true;
        }
    }
}

struct net *net_new_fake(struct ingest *in, const struct conf *conf)
{
    struct net *n = calloc(1, sizeof(*n));
    n->in = in;
    n->conf = conf;
    for (int i = 0; i < sim_get()->loop_count; i++) {
        n->loops[i] = loop_make("sb-net", ACTOR_NET + i);
        loop_input(n->loops[i], read_loop, n, i);
        n->gates[i] = gate_new(in, n->loops[i]);
    }
    restore_kept(n);
    return n;
}

void net_start(struct net *n)
{
    memset(strangers, 0, sizeof(strangers));
    for (int i = 0; i < sim_get()->loop_count; i++) {
        n->timers[i] = loop_timer_start(n->loops[i], STALLED_CHECK_MS, check_stalled, n);
        CHECK(n->timers[i] != NULL && loop_start(n->loops[i]) == ERR_OK);
    }
}

/* Connections are closed; what is acknowledged from now on nobody hears. */
void net_stop(struct net *n)
{
    for (int i = 0; i < sim_get()->loop_count; i++) {
        int before = sim_as(ACTOR_NET + i);
        for (uint32_t k = 0; k < SIM_SLOTS; k++) {
            if (n->slots[k] != NULL && n->slots[k]->ref.loop == (uint32_t)i) {
                session_close(n, n->slots[k], true);
            }
        }
        loop_join(n->loops[i]);
        (void)sim_as(before);
    }
    n->stopping = true;
}

void net_free_fake(struct net *n)
{
    for (int i = 0; i < sim_get()->loop_count; i++) {
        loop_free(n->loops[i]);
        gate_free(n->gates[i]);
    }
    if (n->acks_out != 0) {
        sim_violation("a stop gives every ticket back", "%d are missing", n->acks_out);
    }
    for (int i = 0; i <= SIM_DEVICES_MAX; i++) {
        kept_free(n, n->kept[i]);
    }
    free(n);
}

bool net_is_idle(const struct net *n)
{
    return n->acks_out == 0;
}
