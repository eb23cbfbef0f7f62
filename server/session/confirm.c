#include "mqtt/ack.h"
#include "session/private.h"

/*
 * What a client says of messages it was sent: PUBACK, or PUBREC and PUBCOMP (section 4.3). Of a
 * stored message the PUBREC is stored before the PUBREL leaves: after a crash the server must not
 * send the message a second time to a client that has forgotten its packet id by then.
 *
 * PUBRELs leave in the order of their PUBRECs [MQTT-4.6.0-4], in a queue of their own, so that they
 * do not wait for what the same client has published.
 */

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

void confirm_released(struct session *s, uint16_t packet_id)
{
    struct outgoing *o = find_under_way(s->kept, packet_id);
    if (o != NULL) {
        o->released = true;
    }
    (void)!mqtt_ack_encode_plain(session_out(s), MQTT_PUBREL, packet_id);
}

enum err confirm_release(struct session *s, struct outgoing *o)
{
    const struct session_hooks *h = &s->home->all->hooks;
    bool stored = o->seq != 0 && !o->released && h->received != NULL;
    if (!stored && s->releases.first == NULL) {
        confirm_released(s, o->packet_id);
        return ERR_OK;
    }
    struct ack *a = acks_take(s->home);
    if (a == NULL) {
        return ERR_NOMEM;
    }
    a->type = MQTT_PUBREL;
    a->packet_id = o->packet_id;
    a->done = !stored;
    enum err e = stored ? h->received(h->arg, s, o->seq, &a->ticket) : ERR_OK;
    if (e != ERR_OK) {
        acks_give_back(a);
        return e;
    }
    acks_push(s, &s->releases, a);
    if (stored) {
        a->ticketed = true;
        acks_let_go(a); /* by mail: the caller goes on with the session */
    }
    return ERR_OK;
}

/* The first PUBREC for o. */
static enum packet_end received(struct session *s, struct outgoing *o)
{
    enum err e = o->again ? ERR_OK : confirm_release(s, o); /* else deliver.c does it in its turn */
    if (e == ERR_FULL) {
        list_push_back(&s->home->held, &s->held_link);
        return PACKET_HELD;
    }
    if (e != ERR_OK) {
        return packet_refused(s, SESSION_CLOSE_NOT_STORED, err_words(e));
    }
    o->received = true;
    return PACKET_TAKEN;
}

/* Is it what the protocol has next for o [MQTT-4.3.2-4, -4.3.3-8, -4.3.3-11]? A PUBREC may come
 * again. What is about to be sent again may also be answered by what the client said before. */
static bool is_next(const struct outgoing *o, enum mqtt_type type)
{
    return o == NULL || o->again ||
           (o->sent_qos == 1 ? type == MQTT_PUBACK
                             : type == MQTT_PUBREC || (type == MQTT_PUBCOMP && o->received));
}

/* A PUBREC for what is not under way is answered all the same: the client waits. */
static enum packet_end pubrec(struct session *s, const struct mqtt_ack *m, struct outgoing *o)
{
    bool ours = o != NULL && o->sent_qos == 2;
    if (m->reason >= MQTT_UNSPECIFIED_ERROR) {
        if (ours) {
            deliver_end(s, o, ERR_DENIED);
        }
        return PACKET_TAKEN;
    }
    if (ours && !o->received) {
        return received(s, o);
    }
    if ((ours && o->released) || (!ours && s->version == MQTT_311)) {
        (void)!mqtt_ack_encode_plain(session_out(s), MQTT_PUBREL, m->packet_id);
    } else if (!ours) {
        const struct mqtt_ack answer = {.packet_id = m->packet_id,
                                        .reason = MQTT_PACKET_ID_NOT_FOUND};
        (void)!mqtt_ack_encode(session_out(s), MQTT_PUBREL, MQTT_50, &answer);
    }
    return PACKET_TAKEN;
}

enum packet_end confirm_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = session_source(s);
    struct mqtt_ack m;
    enum err e = mqtt_ack_decode(f->type, f->body, &from, &m);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), mqtt_type_words(f->type));
    }
    struct outgoing *o = find_under_way(s->kept, m.packet_id);
    if (!is_next(o, f->type)) {
        return packet_refused(s, SESSION_CLOSE_PROTOCOL, mqtt_type_words(f->type));
    }
    if (f->type == MQTT_PUBREC) {
        enum packet_end end = pubrec(s, &m, o);
        if (end != PACKET_TAKEN) {
            return end;
        }
    } else if (o != NULL && !o->again && o->sent_qos == (f->type == MQTT_PUBACK ? 1 : 2) &&
               (f->type == MQTT_PUBACK || o->released)) {
        deliver_end(s, o, m.reason < MQTT_UNSPECIFIED_ERROR ? ERR_OK : ERR_DENIED);
    }
    deliver_pump(s);
    return PACKET_TAKEN;
}
