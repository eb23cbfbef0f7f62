#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mqtt/ack.h"
#include "mqtt/publish.h"
#include "mqtt/topic.h"
#include "session/private.h"

/*
 * Happy path: a delivery comes by mail, waits in `queue`, is sent when the client's window and the
 * connection have room, waits in `under_way` (QoS 1 and 2) and ends with PUBACK or PUBCOMP.
 *
 * Whether a filter matches and the device may have the topic is decided when it is sent: both may
 * have changed while it waited. What was under way when a connection ended is sent again in order,
 * with DUP, on the next one [MQTT-4.4.0-1, -4.6.0-1]; what has expired is not, unless the client
 * has confirmed it with PUBREC.
 *
 * Deliberately not done: a second copy per overlapping filter. A message is sent once, with the
 * highest QoS and all subscription identifiers [MQTT-3.3.4-2 to -4].
 */

enum { IDENTIFIERS_BYTES_MAX = SESSION_FILTERS_MAX * 5 };

struct match {
    bool found;
    bool as_published;
    uint8_t qos;
    struct buf identifiers;
};

struct session_delivery *session_delivery_new(struct view topic, struct view payload, uint8_t qos)
{
    struct session_delivery *d = malloc(sizeof(*d) + topic.len + payload.len);
    if (d == NULL || topic.len > UINT16_MAX || payload.len > UINT32_MAX) {
        free(d);
        return NULL;
    }
    *d = (struct session_delivery){.expires_at_us = CLOCK_NONE,
                                   .qos = qos,
                                   .topic_len = (uint16_t)topic.len,
                                   .payload_len = (uint32_t)payload.len};
    memcpy(d->bytes, topic.data, topic.len);
    if (payload.len > 0) {
        memcpy(d->bytes + topic.len, payload.data, payload.len);
    }
    return d;
}

static struct view topic_of(const struct session_delivery *d)
{
    return view_of(d->bytes, d->topic_len);
}

static void end_unlinked(struct sessions *all, struct session_delivery *d, enum err status)
{
    int64_t id = d->delivery_id;
    free(d);
    if (id != 0 && all->hooks.delivered != NULL && !atomic_load(&all->stopped)) {
        all->hooks.delivered(all->hooks.arg, id, status);
    }
}

/* identifiers is NULL when only the answer matters. */
static struct match match_filters(const struct session *s, struct view topic,
                                  struct buf *identifiers)
{
    struct match found = {0};
    if (!access_may_subscribe(s, topic)) {
        return found;
    }
    for (uint32_t i = 0; i < s->kept->filter_count; i++) {
        const struct session_filter *f = &s->kept->filters[i];
        if (!mqtt_filter_matches(view_str(f->filter), topic)) {
            continue;
        }
        found.found = true;
        found.as_published = found.as_published || (f->options & 8u) != 0;
        found.qos = (f->options & 3u) > found.qos ? f->options & 3u : found.qos;
        if (f->identifier != 0 && identifiers != NULL) {
            (void)!mqtt_subscription_id_put(identifiers, f->identifier);
        }
    }
    return found;
}

static bool expired(const struct session_delivery *d, int64_t now_us)
{
    return d->expires_at_us != CLOCK_NONE && d->expires_at_us <= now_us;
}

/* [MQTT-3.3.2-6]: what is left of the life it came with; never 0, which would mean "over". */
static uint32_t seconds_left(const struct session_delivery *d, int64_t now_us)
{
    int64_t left_s = (d->expires_at_us - now_us + CLOCK_SECOND_US - 1) / CLOCK_SECOND_US;
    return left_s > UINT32_MAX ? UINT32_MAX : (uint32_t)left_s;
}

/* ERR_LIMIT: too large for this client [MQTT-3.1.2-24]. */
static enum err send(struct session *s, const struct outgoing *o, const struct match *match,
                     struct view identifiers, bool dup)
{
    const struct session_delivery *d = o->delivery;
    struct mqtt_publish m = {
        .topic = topic_of(d),
        .payload = view_of(d->bytes + d->topic_len, d->payload_len),
        .qos = o->qos,
        .packet_id = o->packet_id,
        .dup = dup,
        .retain = d->retain && match->as_published,
    };
    enum mqtt_version version = (enum mqtt_version)s->version;
    if (version == MQTT_50) {
        if (d->expires_at_us != CLOCK_NONE) {
            MQTT_SET(&m.props, MESSAGE_EXPIRY, message_expiry_s,
                     seconds_left(d, session_now_us(s)));
        }
        if (identifiers.len > 0) {
            MQTT_SET(&m.props, SUBSCRIPTION_ID, subscription_ids, identifiers);
        }
        if (mqtt_publish_size(version, &m) > s->client_packet_max) {
            return ERR_LIMIT;
        }
    }
    return mqtt_publish_encode(s->home->all->io->out(s->conn), version, &m);
}

static uint16_t next_packet_id(struct kept *k)
{
    bool used = true;
    while (used) {
        k->last_packet_id = k->last_packet_id == UINT16_MAX ? 1 : (uint16_t)(k->last_packet_id + 1);
        used = false;
        LIST_FOREACH (at, &k->under_way) {
            used = used || CONTAINER_OF(at, struct outgoing, link)->packet_id == k->last_packet_id;
        }
    }
    return k->last_packet_id;
}

static uint32_t window_of(const struct session *s)
{
    if (s->version == MQTT_311) {
        return SESSION_OUT_WINDOW;
    }
    return s->client_receive_maximum < SESSION_OUT_WINDOW_MAX ? s->client_receive_maximum
                                                              : SESSION_OUT_WINDOW_MAX;
}

static void end_queued(struct session *s, struct outgoing *o, enum err status)
{
    s->kept->queue_count--;
    kept_end_delivery(s->home->all, o, status);
}

/* False: it has to wait, and so have those behind it. */
static bool send_first(struct session *s, struct outgoing *o)
{
    struct kept *k = s->kept;
    if (expired(o->delivery, session_now_us(s))) {
        end_queued(s, o, ERR_EXPIRED);
        return true;
    }
    struct buf identifiers;
    buf_init(&identifiers, IDENTIFIERS_BYTES_MAX);
    struct match match = match_filters(s, topic_of(o->delivery), &identifiers);
    if (!match.found) {
        buf_fini(&identifiers);
        end_queued(s, o, ERR_NOT_FOUND);
        return true;
    }
    o->qos = o->delivery->qos < match.qos ? o->delivery->qos : match.qos;
    bool room = o->qos == 0 || k->under_way_count < window_of(s);
    enum err e = ERR_OK;
    if (room) {
        o->packet_id = o->qos == 0 ? 0 : next_packet_id(k);
        e = send(s, o, &match, buf_view(&identifiers), false);
    }
    buf_fini(&identifiers);
    if (!room) {
        return false;
    }
    if (e != ERR_OK || o->qos == 0) {
        end_queued(s, o, e);
        return true;
    }
    list_remove(&o->link);
    k->queue_count--;
    list_push_back(&k->under_way, &o->link);
    k->under_way_count++;
    return true;
}

static void end_under_way(struct session *s, struct outgoing *o, enum err status)
{
    s->kept->under_way_count--;
    s->kept->again_count -= o->again;
    kept_end_delivery(s->home->all, o, status);
}

static void send_again(struct session *s, struct outgoing *o)
{
    o->again = false;
    s->kept->again_count--;
    if (o->released) {
        (void)!mqtt_ack_encode_plain(s->home->all->io->out(s->conn), MQTT_PUBREL, o->packet_id);
        return;
    }
    enum err e = expired(o->delivery, session_now_us(s)) ? ERR_EXPIRED : ERR_OK;
    if (e == ERR_OK && !access_may_subscribe(s, topic_of(o->delivery))) {
        e = ERR_DENIED;
    }
    if (e == ERR_OK) {
        struct buf identifiers;
        buf_init(&identifiers, IDENTIFIERS_BYTES_MAX);
        struct match match = match_filters(s, topic_of(o->delivery), &identifiers);
        e = send(s, o, &match, buf_view(&identifiers), true);
        buf_fini(&identifiers);
    }
    if (e != ERR_OK) {
        end_under_way(s, o, e);
    }
}

/* The new connection's window may be smaller than the old one's. */
static void pump_again(struct session *s)
{
    struct kept *k = s->kept;
    struct list *next = NULL;
    for (struct list *at = k->under_way.next; at != &k->under_way && k->again_count > 0;
         at = next) {
        struct outgoing *o = CONTAINER_OF(at, struct outgoing, link);
        next = at->next;
        if (o->again && k->under_way_count - k->again_count < window_of(s)) {
            send_again(s, o);
        }
    }
}

void deliver_pump(struct session *s)
{
    const struct session_io *io = s->home->all->io;
    if (s->state != SESSION_READY) {
        return;
    }
    struct kept *k = s->kept;
    if (k->again_count > 0) {
        pump_again(s);
    }
    while (!list_empty(&k->queue) && k->again_count == 0 &&
           io->queued(s->conn) < SESSION_OUT_HIGH_BYTES &&
           send_first(s, CONTAINER_OF(k->queue.next, struct outgoing, link))) {
    }
}

void deliver_resume(struct session *s)
{
    LIST_FOREACH (at, &s->kept->under_way) {
        CONTAINER_OF(at, struct outgoing, link)->again = true;
    }
    s->kept->again_count = s->kept->under_way_count;
}

static struct outgoing *find_under_way(struct kept *k, uint16_t packet_id)
{
    LIST_FOREACH (at, &k->under_way) {
        struct outgoing *o = CONTAINER_OF(at, struct outgoing, link);
        if (o->packet_id == packet_id) {
            return o;
        }
    }
    return NULL;
}

/* Section 4.3.3. A PUBREC for what is not under way is answered all the same: the client waits. */
static void pubrec(struct session *s, const struct mqtt_ack *m, struct outgoing *o)
{
    struct buf *out = s->home->all->io->out(s->conn);
    if (o != NULL && o->qos == 2 && m->reason >= MQTT_UNSPECIFIED_ERROR) {
        end_under_way(s, o, ERR_DENIED);
        return;
    }
    if (m->reason >= MQTT_UNSPECIFIED_ERROR) {
        return;
    }
    if (o != NULL && o->qos == 2) {
        o->released = true;
    }
    if ((o != NULL && o->qos == 2) || s->version == MQTT_311) {
        (void)!mqtt_ack_encode_plain(out, MQTT_PUBREL, m->packet_id);
        return;
    }
    const struct mqtt_ack answer = {.packet_id = m->packet_id, .reason = MQTT_PACKET_ID_NOT_FOUND};
    (void)!mqtt_ack_encode(out, MQTT_PUBREL, MQTT_50, &answer);
}

enum packet_end deliver_acknowledged(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = {(enum mqtt_version)s->version, MQTT_FROM_CLIENT,
                                     mqtt_limits_default};
    struct mqtt_ack m;
    enum err e = mqtt_ack_decode(f->type, f->body, &from, &m);
    if (e != ERR_OK) {
        session_end(s, packet_close_for(e), mqtt_type_words(f->type));
        return PACKET_ENDED;
    }
    struct outgoing *o = find_under_way(s->kept, m.packet_id);
    if (f->type == MQTT_PUBREC) {
        pubrec(s, &m, o);
    } else if (o != NULL && !o->again && o->qos == (f->type == MQTT_PUBACK ? 1 : 2) &&
               (f->type == MQTT_PUBACK || o->released)) {
        end_under_way(s, o, m.reason < MQTT_UNSPECIFIED_ERROR ? ERR_OK : ERR_DENIED);
    }
    deliver_pump(s);
    return PACKET_TAKEN;
}

int64_t deliver_expire(struct session *s, int64_t now_us)
{
    int64_t next_us = CLOCK_NONE;
    struct list *next = NULL;
    for (struct list *at = s->kept->queue.next; at != &s->kept->queue; at = next) {
        struct outgoing *o = CONTAINER_OF(at, struct outgoing, link);
        int64_t at_us = o->delivery->expires_at_us;
        next = at->next;
        if (expired(o->delivery, now_us)) {
            end_queued(s, o, ERR_EXPIRED);
        } else if (at_us != CLOCK_NONE && (next_us == CLOCK_NONE || at_us < next_us)) {
            next_us = at_us;
        }
    }
    return next_us;
}

struct deliver_mail {
    struct mail mail;
    struct sessions *all;
    struct session_ref ref;
    struct session_delivery *delivery;
};

/* Whether it may be queued for s at all. */
static enum err acceptable(const struct session *s, const struct session_delivery *d)
{
    if (s->state == SESSION_WAITING || s->kept == NULL || !s->granted ||
        (s->state == SESSION_PARKED && d->qos == 0)) {
        return ERR_CLOSED;
    }
    /* While the session is being attached its filters are not known: decided when it is sent. */
    if (s->state != SESSION_CHECKING && !match_filters(s, topic_of(d), NULL).found) {
        return ERR_NOT_FOUND;
    }
    return s->kept->queue_count < SESSION_QUEUE_MAX ? ERR_OK : ERR_FULL;
}

static void deliver_here(struct mail *m)
{
    struct deliver_mail *dm = CONTAINER_OF(m, struct deliver_mail, mail);
    struct sessions *all = dm->all;
    struct session *s = slots_get(&all->loops[dm->ref.loop], dm->ref);
    struct session_delivery *d = dm->delivery;
    free(dm);
    enum err e = s == NULL ? ERR_CLOSED : acceptable(s, d);
    struct outgoing *o = e == ERR_OK ? calloc(1, sizeof(*o)) : NULL;
    if (o == NULL) {
        end_unlinked(all, d, e == ERR_OK ? ERR_NOMEM : e);
        return;
    }
    o->delivery = d;
    list_push_back(&s->kept->queue, &o->link);
    s->kept->queue_count++;
    deliver_pump(s);
    timer_update(s);
}

void session_deliver(struct sessions *all, struct session_ref ref, struct session_delivery *d)
{
    struct deliver_mail *m =
        ref.generation == 0 || ref.loop >= all->loop_count ? NULL : malloc(sizeof(*m));
    if (m == NULL) {
        end_unlinked(all, d, ref.generation == 0 ? ERR_CLOSED : ERR_NOMEM);
        return;
    }
    *m =
        (struct deliver_mail){.mail = {.run = deliver_here}, .all = all, .ref = ref, .delivery = d};
    session_post(all, ref.loop, &m->mail);
}
