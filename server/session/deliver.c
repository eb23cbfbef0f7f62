#include <stdlib.h>

#include "mqtt/forward.h"
#include "mqtt/topic.h"
#include "session/private.h"

/*
 * Happy path: a QoS 0 message for a connection that has room is encoded straight into its output,
 * without an allocation. Others wait in `queue`, are sent when the client's window and the
 * connection have room, stay in `under_way` and end with PUBACK or PUBCOMP.
 *
 * A message is not encoded once for all its receivers: its properties are encoded already, topic
 * and payload are copied anyway, and the rest is ten bytes.
 *
 * Whether the device may have the topic is decided when it is sent, and for a command also whether
 * a filter matches: both may have changed while it waited. What was under way when a connection
 * ended is sent again in order, with DUP, on the next one [MQTT-4.4.0-1, -4.6.0-1]; what has
 * expired is not, unless the client has confirmed it with PUBREC.
 *
 * Packet ids: what is stored has one that follows from its seq, so that it is the same after a
 * crash. Beside such, the rest counts down from 65535; in sessions that end with their connection
 * all count up. An id that is under way is never given again.
 */

enum { PACKET_IDS = UINT16_MAX };

/* What differs from one receiver to another. */
struct sending {
    const uint32_t *identifiers;
    uint32_t identifier_count;
    uint16_t packet_id;
    uint8_t qos;
    bool retain, dup;
};

/* No less than the packet has. */
static size_t size_at_most(const struct message *m, uint32_t identifiers)
{
    enum { HEADS = 5 + 2 + 2 + 4 + 5 + 3, IDENTIFIER = 5 };
    return HEADS + m->topic_len + m->props_len + m->payload_len + (size_t)identifiers * IDENTIFIER;
}

/* False: there will be a pump when there is. A message that fits on no connection has room where
 * nothing waits: there it is refused. */
static bool has_room(const struct session *s, const struct message *m, uint32_t identifiers)
{
    const struct session_io *io = s->home->all->io;
    size_t queued = io->queued(s->conn);
    if (queued == 0 || (queued < SESSION_OUT_HIGH_BYTES &&
                        queued + size_at_most(m, identifiers) <= s->limits->send_max)) {
        return true;
    }
    io->tell_drained(s->conn);
    return false;
}

/* [MQTT-3.3.2-6]: what is left of the life it came with; never 0, which would mean "over". */
static uint32_t seconds_left(const struct message *m, int64_t now_us)
{
    int64_t left_s = (m->expires_at_us - now_us + CLOCK_SECOND_US - 1) / CLOCK_SECOND_US;
    return left_s > UINT32_MAX ? UINT32_MAX : left_s < 1 ? 1 : (uint32_t)left_s;
}

/* ERR_LIMIT: too large for this client [MQTT-3.1.2-24] or its connection. */
static enum err send(struct session *s, const struct message *m, const struct sending *how)
{
    struct view topic = message_topic(m);
    struct mqtt_forward f = {
        .topic = topic,
        .payload = message_payload(m),
        .qos = how->qos,
        .packet_id = how->packet_id,
        .dup = how->dup,
        .retain = how->retain,
    };
    uint32_t limit =
        s->limits->send_max < s->client_packet_max ? s->limits->send_max : s->client_packet_max;
    if (s->version == MQTT_311) {
        return mqtt_forward_encode(session_out(s), MQTT_311, &f, limit);
    }
    struct alias alias = alias_out_find(s, topic);
    f.topic = alias.known ? view_of(NULL, 0) : topic;
    f.topic_alias = alias.number;
    f.props = message_props(m);
    f.subscription_ids = how->identifiers;
    f.subscription_id_count = how->identifier_count;
    if (m->expires_at_us != CLOCK_NONE) {
        f.expires = true;
        f.expiry_s = seconds_left(m, session_now_us(s));
    }
    enum err e = mqtt_forward_encode(session_out(s), MQTT_50, &f, limit);
    if (e == ERR_OK && alias.number != 0 && !alias.known) {
        alias_out_add(s, topic);
    }
    return e;
}

/* Overlapping filters give one copy, with the highest QoS and all identifiers [MQTT-3.3.4-2 to -4].
 */
struct match deliver_match(struct session *s, struct view topic,
                           uint32_t ret_identifiers[SESSION_COMMAND_FILTERS_MAX])
{
    struct match found = {0};
    if (!access_may_subscribe(s, topic)) {
        return found;
    }
    for (uint32_t i = 0; i < s->kept->filters.count; i++) {
        const struct session_filter *f = &s->kept->filters.at[i];
        if (!mqtt_filter_matches(view_str(f->filter), topic)) {
            continue;
        }
        found.found = true;
        found.qos = (f->options & 3u) > found.qos ? f->options & 3u : found.qos;
        if (f->identifier != 0 && found.identifier_count < SESSION_COMMAND_FILTERS_MAX) {
            ret_identifiers[found.identifier_count++] = f->identifier;
        }
    }
    return found;
}

/* How o goes to this client; room is for the identifiers of a command. */
static enum err address(struct session *s, const struct outgoing *o,
                        uint32_t room[SESSION_COMMAND_FILTERS_MAX], struct sending *ret_how)
{
    struct sending how = {.identifiers = o->identifiers,
                          .identifier_count = o->identifier_count,
                          .packet_id = o->packet_id,
                          .qos = o->qos,
                          .retain = o->retain,
                          .dup = o->dup};
    struct view topic = message_topic(o->message);
    if (o->command) {
        struct match match = deliver_match(s, topic, room);
        if (!match.found) {
            return ERR_NOT_FOUND;
        }
        how.identifiers = room;
        how.identifier_count = match.identifier_count;
        how.qos = o->qos < match.qos ? o->qos : match.qos;
        how.dup = how.dup && how.qos > 0;
    } else if (!access_may_receive(s, topic)) {
        return ERR_DENIED;
    }
    *ret_how = how;
    return ERR_OK;
}

static void end_waiting(struct session *s, struct outgoing *o, enum err status)
{
    queue_take(s->kept, o);
    outgoing_end(s->home->all, s->kept->number, o, status);
}

static uint32_t window_of(const struct session *s)
{
    if (s->version == MQTT_311) {
        return s->limits->window_311;
    }
    return s->client_receive_maximum < s->limits->window_5 ? s->client_receive_maximum
                                                           : s->limits->window_5;
}

static uint16_t stored_packet_id(int64_t seq)
{
    return (uint16_t)((seq - 1) % PACKET_IDS + 1);
}

static uint16_t packet_id_down(const struct kept *k)
{
    uint16_t id = PACKET_IDS;
    while (ids_has(&k->used, id)) {
        id--;
    }
    return id;
}

static uint16_t packet_id_up(struct kept *k)
{
    do {
        k->last_packet_id = k->last_packet_id == PACKET_IDS ? 1 : (uint16_t)(k->last_packet_id + 1);
    } while (ids_has(&k->used, k->last_packet_id));
    return k->last_packet_id;
}

/* For o, into `used`; 0: not now. */
static uint16_t packet_id_take(struct kept *k, const struct outgoing *o)
{
    uint16_t id = 0;
    if (o->seq != 0) {
        id = stored_packet_id(o->seq); /* the same id once round: the old one has to end first */
        id = ids_has(&k->used, id) ? 0 : id;
    } else {
        id = k->expiry_us > 0 ? packet_id_down(k) : packet_id_up(k);
    }
    return id != 0 && ids_add(&k->used, id) == ERR_OK ? id : 0;
}

/* For its window, or for a commit. */
static bool has_to_wait(const struct session *s, const struct outgoing *o)
{
    return (o->qos > 0 && s->kept->under_way_count >= window_of(s)) ||
           (o->seq != 0 && !atomic_load(&o->message->stored));
}

/* Addressed and with room. False: it has to wait, and so have those behind it. */
static bool begin(struct session *s, struct outgoing *o, struct sending *how)
{
    struct kept *k = s->kept;
    how->packet_id = how->qos == 0 ? 0 : packet_id_take(k, o);
    if (how->qos > 0 && how->packet_id == 0) {
        return false;
    }
    enum err e = send(s, o->message, how);
    if (e != ERR_OK || how->qos == 0) {
        (void)ids_remove(&k->used, how->packet_id);
        end_waiting(s, o, e);
        return true;
    }
    o->packet_id = how->packet_id;
    o->sent_qos = how->qos;
    queue_take(k, o);
    list_push_back(&k->under_way, &o->link);
    k->under_way_count++;
    return true;
}

/* False: it has to wait, and so have those behind it. */
static bool send_first(struct session *s, struct outgoing *o)
{
    uint32_t room[SESSION_COMMAND_FILTERS_MAX];
    struct sending how = {0};
    if (outgoing_expired(o, session_now_us(s))) {
        end_waiting(s, o, ERR_EXPIRED);
        return true;
    }
    if (has_to_wait(s, o)) {
        return false;
    }
    enum err e = address(s, o, room, &how);
    if (e != ERR_OK) {
        end_waiting(s, o, e);
        return true;
    }
    return has_room(s, o->message, how.identifier_count) && begin(s, o, &how);
}

void deliver_end(struct session *s, struct outgoing *o, enum err status)
{
    struct kept *k = s->kept;
    list_remove(&o->link);
    k->under_way_count--;
    k->again_count -= o->again;
    (void)ids_remove(&k->used, o->packet_id);
    outgoing_end(s->home->all, k->number, o, status);
}

/* False: not now. */
static bool release_again(struct session *s, struct outgoing *o)
{
    enum err e = confirm_release(s, o);
    if (e == ERR_FULL && !list_linked(&s->held_link)) {
        list_push_back(&s->home->held, &s->held_link); /* for a pump when there is room */
    }
    return e == ERR_OK;
}

/* False: not now. */
static bool send_again(struct session *s, struct outgoing *o)
{
    struct kept *k = s->kept;
    enum err e = ERR_OK;
    if (!o->received) {
        uint32_t room[SESSION_COMMAND_FILTERS_MAX];
        struct sending how = {0};
        e = outgoing_expired(o, session_now_us(s)) ? ERR_EXPIRED : address(s, o, room, &how);
        if (e == ERR_OK) {
            if (!has_room(s, o->message, how.identifier_count)) {
                return false;
            }
            how.qos = o->sent_qos;
            how.dup = true;
            e = send(s, o->message, &how);
        }
    } else if (!release_again(s, o)) {
        return false;
    }
    if (e != ERR_OK) {
        deliver_end(s, o, e);
        return true;
    }
    o->again = false;
    k->again_count--;
    return true;
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
        if (o->again &&
            (k->under_way_count - k->again_count >= window_of(s) || !send_again(s, o))) {
            return;
        }
    }
}

static struct outgoing *first_of(struct list *l)
{
    return list_empty(l) ? NULL : CONTAINER_OF(l->next, struct outgoing, link);
}

void deliver_pump(struct session *s)
{
    struct kept *k = s->kept;
    if (!session_is_ready(s) || s->routing) {
        return;
    }
    if (k->again_count > 0) {
        pump_again(s);
    }
    struct outgoing *o = NULL;
    for (o = first_of(&k->queue); o != NULL && k->again_count == 0 && send_first(s, o);
         o = first_of(&k->queue)) {
    }
    for (o = first_of(&k->live); o != NULL && send_first(s, o); o = first_of(&k->live)) {
    }
}

void deliver_resume(struct session *s)
{
    LIST_FOREACH (at, &s->kept->under_way) {
        CONTAINER_OF(at, struct outgoing, link)->again = true;
    }
    s->kept->again_count = s->kept->under_way_count;
}

/* Restored after its PUBREC: only PUBREL is left. */
static enum err take_released(struct kept *k, struct outgoing *o)
{
    o->packet_id = stored_packet_id(o->seq);
    o->sent_qos = 2;
    if (ids_has(&k->used, o->packet_id) || ids_add(&k->used, o->packet_id) != ERR_OK) {
        return ERR_NOMEM;
    }
    list_push_back(&k->under_way, &o->link);
    k->under_way_count++;
    return ERR_OK;
}

enum err deliver_queued(struct session *s, int64_t number, struct outgoing *o)
{
    struct kept *k = s->kept;
    if (!s->granted) {
        k->number = number; /* until the grant: see attach.c */
    }
    enum err e = o->released ? take_released(k, o) : queue_push(s->home->all, k, o);
    if (e == ERR_NOMEM) {
        outgoing_end(s->home->all, number, o, e);
        return ERR_OK; /* it was taken, and has ended */
    }
    deliver_pump(s);
    if (k->next_expiry_us != CLOCK_NONE) {
        timer_update(s);
    }
    return e;
}

/* QoS 0: now, or when the connection has room; never for one that is absent. */
static enum err deliver_live(struct session *s, int64_t number, const struct session_target *t)
{
    const struct message *m = t->message;
    bool ready = session_is_ready(s);
    if (!ready && s->state != SESSION_CHECKING) {
        return ERR_OK;
    }
    if (ready && list_empty(&s->kept->live) && has_room(s, m, t->identifier_count)) {
        const struct sending how = {.identifiers = t->identifiers,
                                    .identifier_count = t->identifier_count,
                                    .retain = t->retain};
        bool dead = m->expires_at_us != CLOCK_NONE && m->expires_at_us <= session_now_us(s);
        if (!dead && access_may_receive(s, message_topic(m))) {
            (void)!send(s, m, &how); /* too large: dropped [MQTT-3.1.2-25] */
        }
        return ERR_OK;
    }
    struct outgoing *o = outgoing_new(s->home->all, t->message, t);
    return o == NULL ? ERR_NOMEM : deliver_queued(s, number, o);
}

enum err deliver_target(struct session *s, int64_t number, const struct session_target *t)
{
    CHECK(t->qos <= 2 && (t->seq == 0 || t->qos > 0));
    if (t->qos == 0) {
        return deliver_live(s, number, t);
    }
    struct outgoing *o = outgoing_new(s->home->all, t->message, t);
    return o == NULL ? ERR_NOMEM : deliver_queued(s, number, o);
}
