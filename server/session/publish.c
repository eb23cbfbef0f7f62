#include "base/counter.h"
#include "base/log.h"
#include "mqtt/ack.h"
#include "session/private.h"

/*
 * Happy path: PUBLISH -> allowed -> a hook takes the ticket -> commit -> PUBACK. The hook is
 * publish for the topics of the device API, and route for what goes to others.
 *
 * QoS 2: the packet id is remembered from the PUBLISH to its PUBREL ("method A" without the
 * message: it was handed on at once), so that a repeated PUBLISH is answered and not handed on.
 *
 * What an error means for the client is the table `answers`. A fault that may pass is never
 * answered with a reason code: MQTT 5 would take that for an acknowledgement [MQTT-4.4.0-2]. The
 * connection is closed instead, which is the only way to ask for the message again.
 */

enum verdict { VERDICT_STORED, VERDICT_ANSWERED, VERDICT_DENIED, VERDICT_AGAIN };

struct answer {
    enum verdict verdict;
    enum mqtt_reason reason; /* for MQTT 5; 3.1.1 knows success only */
};

static struct answer answer_to(enum err e)
{
    static const struct {
        enum err err;
        struct answer answer;
    } answers[] = {
        {ERR_OK, {VERDICT_STORED, MQTT_SUCCESS}},
        {ERR_NOT_FOUND, {VERDICT_ANSWERED, MQTT_NO_MATCHING_SUBSCRIBERS}},
        {ERR_QUOTA, {VERDICT_ANSWERED, MQTT_QUOTA_EXCEEDED}},
        {ERR_EXISTS, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_MALFORMED, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_TYPE, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_RANGE, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_LIMIT, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_UTF8, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_UNKNOWN_NAME, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_SYNTAX, {VERDICT_ANSWERED, MQTT_PAYLOAD_FORMAT_INVALID}},
        {ERR_DENIED, {VERDICT_DENIED, MQTT_NOT_AUTHORIZED}},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        if (answers[i].err == e) {
            return answers[i].answer;
        }
    }
    return (struct answer){.verdict = VERDICT_AGAIN};
}

static enum err remember(struct kept *k, uint16_t packet_id, bool routed)
{
    enum err e = routed ? ids_add(&k->routed, packet_id) : ERR_OK;
    return e == ERR_OK ? ids_add(&k->received, packet_id) : e;
}

static void forget(struct kept *k, uint16_t packet_id)
{
    (void)ids_remove(&k->received, packet_id);
    (void)ids_remove(&k->routed, packet_id);
}

/* With the words for the error if the client wants them and they fit. */
static void say_reason(struct session *s, const struct ack *a, enum mqtt_reason reason)
{
    struct buf *out = session_out(s);
    struct mqtt_ack m = {.packet_id = a->packet_id, .reason = reason};
    bool refused = reason >= MQTT_UNSPECIFIED_ERROR;
    if (s->problem_info && refused) {
        MQTT_SET(&m.props, REASON_STRING, reason_string, view_str(err_words(a->status)));
    }
    size_t start = out->len;
    enum err e = mqtt_ack_encode(out, (enum mqtt_type)a->type, MQTT_50, &m);
    if (e == ERR_OK && out->len - start > s->client_packet_max) {
        out->len = start; /* [MQTT-3.4.2-2] */
        m.props.present = 0;
        (void)!mqtt_ack_encode(out, (enum mqtt_type)a->type, MQTT_50, &m);
    }
    if (a->type == MQTT_PUBREC && refused) {
        forget(s->kept, a->packet_id); /* which ends the exchange */
    }
}

bool publish_acknowledge(struct session *s, const struct ack *a)
{
    struct answer answer = answer_to(a->status);
    bool v5 = s->version == MQTT_50;
    if (answer.verdict == VERDICT_AGAIN) {
        session_end(s, SESSION_CLOSE_NOT_STORED, err_words(a->status));
        return false;
    }
    if (answer.verdict == VERDICT_DENIED && !v5) {
        session_end(s, SESSION_CLOSE_TOPIC_DENIED, NULL); /* [MQTT-3.3.5-2] of 3.1.1 */
        return false;
    }
    /* That nobody subscribed may be said (0x10); a PUBREC is not the end yet, and says it not. */
    bool last = a->type == MQTT_PUBACK || answer.reason >= MQTT_UNSPECIFIED_ERROR;
    if (answer.verdict == VERDICT_STORED || !v5 || !last) {
        (void)!mqtt_ack_encode_plain(session_out(s), (enum mqtt_type)a->type, a->packet_id);
    } else {
        say_reason(s, a, answer.reason);
    }
    return true;
}

/* Owed from now on, and perhaps answered at once. */
static enum packet_end owe(struct session *s, struct ack *a)
{
    acks_push(s, &s->acks, a);
    return acks_flush(s, &s->acks) ? PACKET_TAKEN : PACKET_ENDED;
}

static enum packet_end answered(struct session *s, struct ack *a, enum err status)
{
    a->status = status;
    a->done = true;
    return owe(s, a);
}

static enum packet_end publish_denied(struct session *s, const struct mqtt_publish *m,
                                      struct ack *a)
{
    counter_add(COUNTER_PUBLISHES_DENIED, 1);
    LOG(LOG_DEBUG, "publish_denied", LOG_S("client_id", s->client_id), LOG_V("topic", m->topic));
    return m->qos == 0 ? PACKET_TAKEN : answered(s, a, ERR_DENIED);
}

/* To the hook it is for. */
static enum err offer(struct session *s, const struct mqtt_publish *m, bool routed, struct ack *a)
{
    const struct session_hooks *h = &s->home->all->hooks;
    const struct session_publish p = {
        .topic = m->topic,
        .payload = m->payload,
        .qos = m->qos,
        .dup = m->dup,
        .retain = m->retain,
        .packet_id = m->packet_id,
        .received_at_us = clock_wall_us(),
        .props = &m->props,
    };
    struct ticket *t = a == NULL ? NULL : &a->ticket;
    if (routed && h->route != NULL) {
        s->routing = p.qos > 0;
        enum err e = h->route(h->arg, s, &p, t);
        s->routing = false;
        return e;
    }
    /* Before the hook: a commit on another thread may be counted as soon as it returns. */
    counter_message_received(1);
    enum err e = h->publish(h->arg, s, &p, t);
    if (e != ERR_OK) {
        counter_message_received(-1);
    }
    return e;
}

static enum packet_end hand_on(struct session *s, const struct mqtt_publish *m, bool routed,
                               struct ack *a)
{
    if (m->qos == 2 && remember(s->kept, m->packet_id, routed) != ERR_OK) {
        acks_give_back(a);
        return packet_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    enum err e = offer(s, m, routed, a);
    if (e == ERR_FULL) {
        if (m->qos == 2) {
            forget(s->kept, m->packet_id);
        }
        if (a != NULL) {
            acks_give_back(a);
        }
        list_push_back(&s->home->held, &s->held_link);
        return PACKET_HELD;
    }
    if (a == NULL) {
        return PACKET_TAKEN;
    }
    if (e != ERR_OK) {
        return answered(s, a, e);
    }
    a->ticketed = true;
    acks_push(s, &s->acks, a);
    acks_let_go_now(a, ERR_OK);
    if (!acks_flush(s, &s->acks)) {
        return PACKET_ENDED;
    }
    if (routed) {
        deliver_pump(s);
    }
    return PACKET_TAKEN;
}

static bool window_full(const struct session *s)
{
    return s->acks.count >= s->home->all->conf->unacked_messages_max ||
           s->acks.bytes >= SESSION_WINDOW_BYTES;
}

static bool quota_exceeded(const struct session *s)
{
    return s->version == MQTT_50 &&
           s->acks.publishes + s->kept->received.count >= s->limits->receive_maximum;
}

static enum packet_end publish_acked(struct session *s, const struct mqtt_publish *m,
                                     uint32_t bytes)
{
    bool repeated = m->qos == 2 && ids_has(&s->kept->received, m->packet_id);
    if (!repeated && quota_exceeded(s)) {
        return packet_refused(s, SESSION_CLOSE_RECEIVE_MAXIMUM, NULL); /* section 4.9 */
    }
    if (window_full(s)) {
        return PACKET_HELD;
    }
    struct ack *a = acks_take(s->home);
    if (a == NULL) {
        return packet_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    a->packet_id = m->packet_id;
    a->type = m->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK;
    a->bytes = bytes;
    if (repeated) {
        /* It has its turn behind the first one: PUBREC never leaves before the commit. */
        return answered(s, a, ERR_OK);
    }
    if (mqtt_publish_check_payload(m) != ERR_OK) {
        return answered(s, a, ERR_TYPE);
    }
    enum access access = access_of_publish(s, m->topic);
    return access == ACCESS_DENIED ? publish_denied(s, m, a)
                                   : hand_on(s, m, access == ACCESS_ROUTED, a);
}

static enum packet_end publish_plain(struct session *s, const struct mqtt_publish *m)
{
    if (mqtt_publish_check_payload(m) != ERR_OK) {
        return packet_refused(s, SESSION_CLOSE_PAYLOAD_FORMAT, NULL); /* section 3.3.2.3.2 */
    }
    enum access access = access_of_publish(s, m->topic);
    return access == ACCESS_DENIED ? publish_denied(s, m, NULL)
                                   : hand_on(s, m, access == ACCESS_ROUTED, NULL);
}

enum packet_end publish_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = session_source(s);
    struct mqtt_publish m;
    enum err e = mqtt_publish_decode(f->head, f->body, &from, &m);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), "PUBLISH");
    }
    e = mqtt_has(&m.props, MQTT_PROP_TOPIC_ALIAS) ? alias_in_resolve(s, &m) : ERR_OK;
    if (e != ERR_OK) { /* section 3.3.2.3.4: 0x94 is for one that is too large */
        return packet_refused(
            s, e == ERR_NOT_FOUND ? SESSION_CLOSE_PROTOCOL : SESSION_CLOSE_TOPIC_ALIAS, "alias");
    }
    return m.qos > 0 ? publish_acked(s, &m, (uint32_t)f->total) : publish_plain(s, &m);
}

void publish_completed(struct session *s, uint16_t packet_id)
{
    forget(s->kept, packet_id);
    (void)!mqtt_ack_encode_plain(session_out(s), MQTT_PUBCOMP, packet_id);
}

/* Of a publish that route took: PUBCOMP follows when the router has forgotten the packet id. */
static enum packet_end release_routed(struct session *s, uint16_t packet_id)
{
    const struct session_hooks *h = &s->home->all->hooks;
    if (s->releases.count >= s->home->all->conf->unacked_messages_max) {
        return PACKET_HELD;
    }
    struct ack *a = acks_take(s->home);
    if (a == NULL) {
        return packet_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    a->packet_id = packet_id;
    a->type = MQTT_PUBCOMP;
    enum err e = h->released(h->arg, s, packet_id, &a->ticket);
    if (e != ERR_OK) {
        acks_give_back(a);
    }
    if (e == ERR_FULL) {
        list_push_back(&s->home->held, &s->held_link);
        return PACKET_HELD;
    }
    if (e != ERR_OK) {
        return packet_refused(s, SESSION_CLOSE_NOT_STORED, err_words(e));
    }
    a->ticketed = true;
    acks_push(s, &s->releases, a);
    acks_let_go_now(a, ERR_OK);
    return acks_flush(s, &s->releases) ? PACKET_TAKEN : PACKET_ENDED;
}

enum packet_end publish_released(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = session_source(s);
    struct mqtt_ack m;
    enum err e = mqtt_ack_decode(MQTT_PUBREL, f->body, &from, &m);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), "PUBREL");
    }
    if (ids_has(&s->kept->routed, m.packet_id) && s->home->all->hooks.released != NULL) {
        return release_routed(s, m.packet_id);
    }
    if (ids_has(&s->kept->received, m.packet_id) || s->version == MQTT_311) {
        publish_completed(s, m.packet_id);
        return PACKET_TAKEN;
    }
    const struct mqtt_ack answer = {.packet_id = m.packet_id, .reason = MQTT_PACKET_ID_NOT_FOUND};
    (void)!mqtt_ack_encode(session_out(s), MQTT_PUBCOMP, MQTT_50, &answer);
    return PACKET_TAKEN;
}
