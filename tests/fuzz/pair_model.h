/*
 * pair_model: what fuzz_session_pair knows of two clients and of what their server owes them. It
 * reads the server's packets by itself.
 *
 * A side is a client; a life is what its present connection was opened with; what lives longer (the
 * session) belongs to the key, of which there are two.
 */
#pragma once

#include "../unit/session/rig.h"
#include "fuzz.h"
#include "mqtt/connect.h"

enum {
    PAIR_SENT = 256,
    PAIR_OWED = 256,
    PAIR_DELIVERIES = 128,
    PAIR_TICKETS = 256,
    PAIR_REFS = 512
};

struct life {
    bool v5, clean, has_will, bye;
    bool accepted; /* CONNACK 0x00 was heard */
    bool attached; /* ref is valid */
    bool closed;   /* by either side */
    int key;
    int64_t expiry_us;
    uint16_t receive_maximum;
    struct session_ref ref;
};

/* A publish of the client. */
struct sent {
    int number, side, key;
    uint8_t qos;
    uint16_t packet_id;
    bool acked;           /* PUBACK or PUBCOMP, or a refusal */
    bool received;        /* PUBREC was heard */
    bool lost;            /* its session is gone */
    int sends, handed_on; /* how often it was sent, and given to the hook */
    bool stored;          /* a ticket of it said so */
    bool refused;         /* a ticket, or the hook, did */
};

/* An acknowledgement that the server owes, in order. */
struct owed {
    enum mqtt_type type;
    uint16_t packet_id;
    int number; /* of the publish; -1: none */
};

/* A delivery as the client hears it. */
struct heard {
    int number;
    uint8_t qos;
    uint16_t packet_id;
    bool released, over;
};

struct delivery {
    int number;
    bool used;
    uint8_t qos;
    int told;       /* how often its end was told */
    bool confirmed; /* the client has sent the last acknowledgement */
    bool given;     /* was heard on some connection */
    uint16_t packet_id;
};

struct side {
    struct rig_conn *conn;
    struct life life;
    uint16_t last_packet_id;
    int pings;
    struct owed owed[PAIR_OWED];
    int owed_first, owed_count;
    struct heard heard[PAIR_DELIVERIES];
    int heard_count;
    int last_new, last_again, last_loose; /* numbers of deliveries, in order on a connection */
    uint16_t releases[64];
    int release_count;
};

struct key_state {
    bool exists; /* a session was accepted and not forgotten since */
    int may_go;  /* clean starts that were not accepted so far, and kicks */
    int64_t expiry_us, ended_at_us;
    int holder; /* the side whose connection was accepted last */
};

struct pair_ticket {
    struct ticket *ticket;
    int number; /* -1: of a subscription */
};

struct pair {
    struct rig *rig;
    struct side sides[2];
    struct key_state keys[2];
    struct sent sent[PAIR_SENT];
    int sent_count;
    struct delivery deliveries[PAIR_DELIVERIES];
    int delivery_count;
    struct pair_ticket tickets[PAIR_TICKETS];
    int ticket_count;
    struct {
        struct session_ref ref;
        bool open, has_will;
        int side;
    } attaches[PAIR_REFS];
    int attach_count;
    int waiting[PAIR_REFS]; /* attaches without an answer */
    int waiting_count;
    enum err answer; /* of the publish hook */
    bool attach_waits;
    bool will_told; /* and the end of its connection was not, so far */
    size_t step;    /* bytes at a time; 0: all */
};

/* ---- hooks ---- */

static inline struct sent *pair_sent_of(struct pair *p, struct view payload)
{
    int number = -1;
    char text[16];
    CHECK(view_copy(payload, text, sizeof(text)) && sscanf(text, "%d", &number) == 1);
    CHECK(number >= 0 && number < p->sent_count);
    return &p->sent[number];
}

static inline bool pair_keep_ticket(struct pair *p, struct ticket *t, int number)
{
    if (p->ticket_count == PAIR_TICKETS) {
        return false;
    }
    ticket_hold(t);
    p->tickets[p->ticket_count++] = (struct pair_ticket){t, number};
    return true;
}

static inline enum err pair_on_publish(void *arg, struct session *s,
                                       const struct session_publish *m, struct ticket *t)
{
    struct pair *p = arg;
    if (m->qos == 0 && view_eq(m->payload, VIEW("will"))) {
        CHECK(!p->will_told); /* its detach follows at once */
        p->will_told = true;
        return ERR_OK;
    }
    struct sent *sent = pair_sent_of(p, m->payload);
    (void)s;
    CHECK(view_eq(m->topic, VIEW("v1/devices/me/telemetry")) && m->qos == sent->qos);
    CHECK((t == NULL) == (m->qos == 0) && m->packet_id == sent->packet_id);
    if (p->answer == ERR_FULL) {
        return ERR_FULL;
    }
    /* QoS 2 again only when its connection went before the PUBREC. */
    CHECK(++sent->handed_on <= sent->sends && (m->qos != 2 || !sent->received));
    if (p->answer != ERR_OK) {
        sent->refused = true;
        return p->answer;
    }
    if (t != NULL && !pair_keep_ticket(p, t, sent->number)) {
        return ERR_FULL;
    }
    return ERR_OK;
}

static inline enum err pair_on_filters(void *arg, struct session *s,
                                       const struct session_filter *filters, uint32_t count,
                                       struct ticket *t)
{
    (void)s;
    CHECK(count <= 1 && (count == 0 || filters[0].filter[0] == 'v'));
    if (t != NULL) {
        (void)pair_keep_ticket(arg, t, -1);
    }
    return ERR_OK;
}

static inline bool pair_same_ref(struct session_ref a, struct session_ref b)
{
    return a.loop == b.loop && a.slot == b.slot && a.generation == b.generation;
}

static inline void pair_on_attach(void *arg, const struct session_attach *a)
{
    struct pair *p = arg;
    CHECK(p->attach_count < PAIR_REFS && a->client_id[0] == 'c');
    int at = p->attach_count++;
    p->attaches[at].ref = a->ref;
    p->attaches[at].open = true;
    for (int i = 0; i < 2; i++) {
        struct side *c = &p->sides[i];
        if (c->conn != NULL && c->conn->session != NULL &&
            pair_same_ref(session_ref(c->conn->session), a->ref)) {
            CHECK(c->life.clean == a->clean_start && c->life.key == a->client_id[1] - '0');
            CHECK(!c->life.attached && a->persistent == (a->expiry_us > 0));
            c->life.attached = true;
            c->life.ref = a->ref;
            p->attaches[at].has_will = c->life.has_will;
            p->attaches[at].side = i;
        }
    }
    if (p->attach_waits) {
        p->waiting[p->waiting_count++] = at;
        return;
    }
    session_attach_done(&p->rig->all, a->ref, ERR_OK);
}

static inline void pair_attach_answers(struct pair *p, enum err status)
{
    for (int i = 0; i < p->waiting_count; i++) {
        session_attach_done(&p->rig->all, p->attaches[p->waiting[i]].ref, status);
    }
    p->waiting_count = 0;
}

static inline void pair_on_detach(void *arg, struct session_ref ref, const struct device *device,
                                  const char *client_id, enum session_end end, bool persistent)
{
    struct pair *p = arg;
    (void)device;
    (void)persistent;
    int at = 0;
    while (at < p->attach_count &&
           !(p->attaches[at].open && pair_same_ref(p->attaches[at].ref, ref))) {
        at++;
    }
    CHECK(at < p->attach_count); /* once for each attach */
    p->attaches[at].open = false;
    fuzz_trace("%d: detached, %d", p->attaches[at].side, (int)end);
    const struct life *life = &p->sides[p->attaches[at].side].life;
    bool this_life = pair_same_ref(life->ref, ref) && life->attached;
    bool due = p->attaches[at].has_will && this_life && life->accepted && !life->bye;
    CHECK((end == SESSION_END_WILL) == p->will_told);
    CHECK(p->will_told ? p->attaches[at].has_will : !due);
    p->will_told = false;
    struct key_state *k = &p->keys[client_id[1] - '0'];
    k->ended_at_us = rig_now_us;
}

static inline void pair_on_forgotten(void *arg, const struct device *device, const char *client_id)
{
    struct pair *p = arg;
    int key = client_id[1] - '0';
    struct key_state *k = &p->keys[key];
    fuzz_trace("forgotten c%d", key);
    CHECK(device != NULL && device->id == 1 && k->exists);
    CHECK(k->may_go > 0 || k->expiry_us == 0 || rig_now_us >= k->ended_at_us + k->expiry_us - SEC);
    k->exists = false;
    for (int i = 0; i < p->sent_count; i++) {
        p->sent[i].lost = p->sent[i].lost || p->sent[i].key == key;
    }
}

static inline void pair_on_delivered(void *arg, int64_t id, enum err status)
{
    struct pair *p = arg;
    struct delivery *d = &p->deliveries[id - 1];
    CHECK(d->used && d->told++ == 0);
    CHECK(status != ERR_OK || d->confirmed || d->packet_id == 0);
}

/* ---- the client's side ---- */

static inline bool pair_may_speak(const struct side *c)
{
    return c->conn != NULL && c->conn->session != NULL && c->life.accepted && !c->life.closed &&
           !c->life.bye;
}

static inline bool pair_id_used(const struct pair *p, const struct side *c, uint16_t id)
{
    for (int i = 0; i < p->sent_count; i++) {
        const struct sent *s = &p->sent[i];
        if (s->key == c->life.key && s->packet_id == id && !s->acked && !s->lost) {
            return true;
        }
    }
    return false;
}

static inline uint16_t pair_packet_id(const struct pair *p, struct side *c)
{
    do {
        c->last_packet_id++;
    } while (c->last_packet_id == 0 || pair_id_used(p, c, c->last_packet_id));
    return c->last_packet_id;
}

static inline void pair_owed(struct pair *p, struct side *c, enum mqtt_type type, uint16_t id,
                             int number)
{
    (void)p;
    if (c->owed_count < PAIR_OWED) {
        c->owed[c->owed_count++] = (struct owed){type, id, number};
    }
}

static inline struct sent *pair_publish(struct pair *p, struct side *c, uint8_t qos)
{
    if (!pair_may_speak(c) || p->sent_count == PAIR_SENT || c->owed_count >= PAIR_OWED - 2) {
        return NULL;
    }
    struct sent *s = &p->sent[p->sent_count];
    *s = (struct sent){.number = p->sent_count,
                       .side = c == &p->sides[1],
                       .key = c->life.key,
                       .qos = qos,
                       .sends = 1,
                       .packet_id = qos == 0 ? 0 : pair_packet_id(p, c)};
    p->sent_count++;
    if (qos > 0) {
        pair_owed(p, c, qos == 2 ? MQTT_PUBREC : MQTT_PUBACK, s->packet_id, s->number);
    }
    return s;
}

static inline int64_t pair_quota_used(const struct pair *p, const struct side *c)
{
    int64_t used = 0;
    for (int i = 0; i < p->sent_count; i++) {
        const struct sent *s = &p->sent[i];
        used += s->qos > 0 && s->key == c->life.key && !s->acked && !s->lost;
    }
    return c->life.v5 ? used : 0;
}

static inline struct sent *pair_pick_received(struct pair *p, struct side *c, uint8_t which)
{
    struct sent *s = p->sent_count == 0 ? NULL : &p->sent[which % p->sent_count];
    bool good = s != NULL && s->received && !s->acked && !s->lost && s->key == c->life.key &&
                pair_may_speak(c) && c->release_count < (int)COUNT_OF(c->releases);
    return good ? s : NULL;
}

static inline struct sent *pair_next_unacked(struct pair *p, struct side *c, struct sent *s)
{
    for (int i = s == NULL ? 0 : s->number + 1; i < p->sent_count; i++) {
        struct sent *n = &p->sent[i];
        if (n->qos > 0 && n->key == c->life.key && !n->acked && !n->lost && pair_may_speak(c) &&
            c->owed_count < PAIR_OWED) {
            return n;
        }
    }
    return NULL;
}

/* Only a client that has not said anything yet on this connection. */
static inline struct sent *pair_first_unacked(struct pair *p, struct side *c)
{
    return c->owed_count > 0 || c->release_count > 0 || p->keys[c->life.key].holder != c - p->sides
               ? NULL
               : pair_next_unacked(p, c, NULL);
}

static inline void pair_released(struct pair *p, struct side *c, uint16_t id)
{
    (void)p;
    if (c->release_count < (int)COUNT_OF(c->releases)) {
        c->releases[c->release_count++] = id;
    }
}

static inline struct heard *pair_pick_heard(struct side *c, uint8_t which)
{
    return c->heard_count == 0 || c->heard[which % c->heard_count].over
               ? NULL
               : &c->heard[which % c->heard_count];
}

static inline struct delivery *pair_delivery(struct pair *p)
{
    if (p->delivery_count == PAIR_DELIVERIES) {
        return NULL;
    }
    struct delivery *d = &p->deliveries[p->delivery_count];
    d->number = p->delivery_count++;
    return d;
}

static inline void pair_new_life(struct pair *p, struct side *c, const struct life *life)
{
    c->life = *life;
    c->owed_first = c->owed_count = c->pings = c->heard_count = c->release_count = 0;
    c->last_new = c->last_again = c->last_loose = -1;
    p->keys[life->key].may_go += life->clean;
}

static inline void pair_finish_ticket(struct pair *p, uint8_t which)
{
    static const enum err statuses[] = {ERR_OK, ERR_OK, ERR_OK, ERR_MALFORMED};
    if (p->ticket_count == 0) {
        return;
    }
    int at = which % p->ticket_count;
    struct pair_ticket t = p->tickets[at];
    p->tickets[at] = p->tickets[--p->ticket_count];
    enum err status = t.number < 0 ? ERR_OK : statuses[which / 64];
    if (t.number >= 0) {
        struct sent *s = &p->sent[t.number];
        s->stored = s->stored || status == ERR_OK;
        s->refused = s->refused || status != ERR_OK;
    }
    ticket_drop(t.ticket, status);
}

/* ---- what the client hears ---- */

static inline void pair_hear_connack(struct pair *p, struct side *c, struct view body)
{
    CHECK(!c->life.accepted && body.len >= 2 && body.data[0] <= 1);
    if (body.data[1] != 0) {
        CHECK(body.data[0] == 0);
        return;
    }
    struct key_state *k = &p->keys[c->life.key];
    CHECK(c->life.attached);
    CHECK(body.data[0] == (k->exists ? 1 : 0));
    CHECK(!k->exists || !c->life.clean);
    *k = (struct key_state){.exists = true,
                            .may_go = k->may_go - c->life.clean,
                            .expiry_us = c->life.expiry_us,
                            .holder = (int)(c - p->sides)};
    c->life.accepted = true;
}

/* PUBACK, PUBREC, SUBACK and UNSUBACK, each at its turn. */
static inline void pair_hear_owed(struct pair *p, struct side *c, enum mqtt_type type,
                                  struct view body)
{
    CHECK(c->owed_first < c->owed_count && body.len >= 2);
    struct owed o = c->owed[c->owed_first++];
    CHECK(o.type == type && o.packet_id == (body.data[0] << 8 | body.data[1]));
    if (o.number < 0) {
        return;
    }
    struct sent *s = &p->sent[o.number];
    bool refused = c->life.v5 && body.len > 2 && body.data[2] >= 0x80;
    CHECK(s->handed_on > 0 && (refused ? s->refused : s->stored || (s->refused && !c->life.v5)));
    s->acked = s->acked || refused || type == MQTT_PUBACK;
    s->received = s->received || (type == MQTT_PUBREC && !refused);
}

static inline void pair_hear_pubcomp(struct pair *p, struct side *c, struct view body)
{
    CHECK(c->release_count > 0 && body.len >= 2);
    uint16_t id = c->releases[0];
    CHECK(id == (body.data[0] << 8 | body.data[1]));
    memmove(c->releases, c->releases + 1, sizeof(c->releases) - sizeof(c->releases[0]));
    c->release_count--;
    for (int i = 0; i < p->sent_count; i++) {
        struct sent *s = &p->sent[i];
        s->acked =
            s->acked || (s->key == c->life.key && s->qos == 2 && s->packet_id == id && s->received);
    }
}

static inline int pair_window_used(const struct side *c)
{
    int used = 0;
    for (int i = 0; i < c->heard_count; i++) {
        used += c->heard[i].qos > 0 && !c->heard[i].over;
    }
    return used;
}

static inline void pair_hear_publish(struct pair *p, struct side *c, uint8_t head, struct view body)
{
    uint8_t qos = head >> 1 & 3;
    bool dup = (head & 8) != 0;
    size_t topic = (size_t)(body.data[0] << 8 | body.data[1]);
    CHECK(view_eq(view_of(body.data + 2, topic), VIEW("v1/devices/me/rpc/request/1")));
    struct view left = view_skip(body, 2 + topic);
    uint16_t id = qos == 0 ? 0 : (uint16_t)(left.data[0] << 8 | left.data[1]);
    left = view_skip(left, qos == 0 ? 0 : 2);
    left = c->life.v5 ? view_skip(left, 1 + left.data[0]) : left;
    char text[16];
    int number = -1;
    CHECK(view_copy(left, text, sizeof(text)) && sscanf(text, "%d", &number) == 1);
    struct delivery *d = &p->deliveries[number];
    CHECK(d->used && qos <= d->qos && (qos == 0) == (id == 0));
    CHECK(dup == (qos > 0 && d->given) && (!dup || id == d->packet_id));
    /* In order, each for itself: what is sent again, what was QoS 0, and the rest. */
    int *last = dup ? &c->last_again : d->qos == 0 ? &c->last_loose : &c->last_new;
    CHECK(number > *last && (!dup || c->last_new < 0));
    *last = number;
    d->given = true;
    d->packet_id = id;
    if (qos > 0) {
        c->heard[c->heard_count++] = (struct heard){.number = number, .qos = qos, .packet_id = id};
        CHECK(pair_window_used(c) <= c->life.receive_maximum);
    }
}

static inline void pair_hear_pubrel(struct pair *p, struct side *c, struct view body)
{
    uint16_t id = (uint16_t)(body.data[0] << 8 | body.data[1]);
    for (int i = 0; i < c->heard_count; i++) {
        struct heard *h = &c->heard[i];
        if (h->packet_id == id && !h->over) {
            h->released = true;
            return;
        }
    }
    for (int i = p->delivery_count - 1; i >= 0; i--) { /* of the connection before */
        if (p->deliveries[i].packet_id == id && p->deliveries[i].given &&
            c->heard_count < PAIR_DELIVERIES) {
            c->heard[c->heard_count++] =
                (struct heard){.number = i, .qos = 2, .packet_id = id, .released = true};
            return;
        }
    }
    CHECK(body.len > 2 || !c->life.v5); /* or an answer to a PUBREC that was too late */
}

static inline void pair_hear_packet(struct pair *p, struct side *c, uint8_t head, struct view body)
{
    enum mqtt_type type = (enum mqtt_type)(head >> 4);
    fuzz_trace("%d: hears %02x, %zu bytes, %02x%02x", (int)(c - p->sides), head, body.len,
               body.len < 2 ? 0 : body.data[0], body.len < 2 ? 0 : body.data[1]);
    CHECK(c->life.accepted || type == MQTT_CONNACK);
    switch ((int)type) {
    case MQTT_CONNACK:
        pair_hear_connack(p, c, body);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        pair_hear_owed(p, c, type, body);
        break;
    case MQTT_PUBCOMP:
        pair_hear_pubcomp(p, c, body);
        break;
    case MQTT_PUBLISH:
        pair_hear_publish(p, c, head, body);
        break;
    case MQTT_PUBREL:
        pair_hear_pubrel(p, c, body);
        break;
    case MQTT_PINGRESP:
        CHECK(c->pings-- > 0);
        break;
    case MQTT_DISCONNECT:
        CHECK(c->life.v5 && c->conn->session == NULL);
        break;
    default:
        CHECK(false); /* nothing a server says */
    }
}

static inline void pair_hear(struct pair *p, struct side *c)
{
    struct buf *out = &c->conn->out;
    while (out->len > 0) {
        size_t len = 0;
        size_t at = 1;
        for (unsigned shift = 0; at == 1 || (out->data[at - 1] & 0x80) != 0; shift += 7, at++) {
            CHECK(at < out->len && shift <= 21);
            len |= (size_t)(out->data[at] & 0x7F) << shift;
        }
        CHECK(at + len <= out->len); /* whole packets only */
        uint8_t *body = malloc(len + 1);
        uint8_t head = out->data[0];
        CHECK(body != NULL);
        memcpy(body, out->data + at, len);
        buf_cut(out, at + len);
        pair_hear_packet(p, c, head, view_of(body, len));
        free(body);
    }
}

static inline void pair_hear_all(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        struct side *c = &p->sides[i];
        if (c->conn != NULL) {
            pair_hear(p, c);
            c->life.closed = c->life.closed || c->conn->session == NULL;
        }
    }
}

/* ---- the whole ---- */

static inline struct pair *pair_of_rig(struct net_conn *c)
{
    return ((struct rig_conn *)(void *)c)->rig->all.hooks.arg;
}

/* The CONNACK was written a moment ago: the model changes with it, not later. */
static inline void pair_on_ready(struct net_conn *c)
{
    rig_ready(c);
    pair_hear_all(pair_of_rig(c));
}

static inline void pair_init(struct pair *p)
{
    static struct session_io io;
    memset(p, 0, sizeof(*p));
    p->rig = rig_new();
    io = rig_io;
    io.ready = pair_on_ready;
    p->rig->all.io = &io;
    p->rig->all.hooks = (struct session_hooks){
        .arg = p,
        .attach = pair_on_attach,
        .publish = pair_on_publish,
        .filters = pair_on_filters,
        .detach = pair_on_detach,
        .forgotten = pair_on_forgotten,
        .delivered = pair_on_delivered,
    };
}

static inline void pair_check_one_ready(const struct pair *p)
{
    int ready[2] = {0};
    for (int i = 0; i < 2; i++) {
        const struct side *c = &p->sides[i];
        if (c->conn != NULL && c->conn->session != NULL) {
            ready[c->life.key] += c->conn->session->state == SESSION_READY;
        }
    }
    CHECK(ready[0] <= 1 && ready[1] <= 1);
}

static inline void pair_check_all_acknowledged(const struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        const struct side *c = &p->sides[i];
        if (pair_may_speak(c)) {
            CHECK(c->owed_first == c->owed_count && c->release_count == 0 && c->pings == 0);
        }
    }
}

static inline void pair_check_end(const struct pair *p)
{
    for (int i = 0; i < p->delivery_count; i++) {
        CHECK(!p->deliveries[i].used || p->deliveries[i].told == 1);
    }
    for (int i = 0; i < p->attach_count; i++) {
        CHECK(!p->attaches[i].open);
    }
    CHECK(!p->keys[0].exists && !p->keys[1].exists);
}
