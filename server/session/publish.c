#include "mqtt/publish.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "mqtt/ack.h"
#include "mqtt/topic.h"
#include "session/private.h"

/*
 * Happy path: PUBLISH -> allowed -> publish hook takes the ticket -> commit -> PUBACK.
 *
 * QoS 2: the packet id is remembered from the PUBLISH to its PUBREL ("method A" without the
 * message: it was handed on at once), so that a repeated PUBLISH is answered and not handed on.
 *
 * What an error means for the client is the table `verdicts`. A fault that may pass is never
 * answered with a reason code: MQTT 5 would take that for an acknowledgement [MQTT-4.4.0-2]. The
 * connection is closed instead, which is the only way to ask for the message again.
 */

enum verdict { VERDICT_STORED, VERDICT_REJECTED, VERDICT_DENIED, VERDICT_AGAIN };

static enum verdict verdict_of(enum err e)
{
    static const struct {
        enum err err;
        enum verdict verdict;
    } verdicts[] = {
        {ERR_OK, VERDICT_STORED},          {ERR_EXISTS, VERDICT_REJECTED},
        {ERR_MALFORMED, VERDICT_REJECTED}, {ERR_TYPE, VERDICT_REJECTED},
        {ERR_RANGE, VERDICT_REJECTED},     {ERR_LIMIT, VERDICT_REJECTED},
        {ERR_UTF8, VERDICT_REJECTED},      {ERR_UNKNOWN_NAME, VERDICT_REJECTED},
        {ERR_SYNTAX, VERDICT_REJECTED},    {ERR_DENIED, VERDICT_DENIED},
    };
    for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
        if (verdicts[i].err == e) {
            return verdicts[i].verdict;
        }
    }
    return VERDICT_AGAIN;
}

/* With the words for the error if the client wants them and they fit. */
static void say_reason(struct session *s, enum mqtt_type type, uint16_t packet_id,
                       enum mqtt_reason reason, enum err why)
{
    struct buf *out = s->home->all->io->out(s->conn);
    struct mqtt_ack m = {.packet_id = packet_id, .reason = reason};
    if (s->problem_info) {
        MQTT_SET(&m.props, REASON_STRING, reason_string, view_str(err_words(why)));
    }
    size_t start = out->len;
    enum err e = mqtt_ack_encode(out, type, MQTT_50, &m);
    if (e == ERR_OK && out->len - start > s->client_packet_max) {
        out->len = start; /* [MQTT-3.4.2-2] */
        m.props.present = 0;
        (void)!mqtt_ack_encode(out, type, MQTT_50, &m);
    }
}

static bool acknowledge(struct session *s, const struct ack *a)
{
    enum mqtt_type type = a->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK;
    enum verdict verdict = verdict_of(a->status);
    bool v5 = s->version == MQTT_50;
    if (verdict == VERDICT_AGAIN) {
        session_end(s, SESSION_CLOSE_NOT_STORED, err_words(a->status));
        return false;
    }
    if (verdict == VERDICT_DENIED && !v5) {
        session_end(s, SESSION_CLOSE_TOPIC_DENIED, NULL); /* [MQTT-3.3.5-2] of 3.1.1 */
        return false;
    }
    if (verdict == VERDICT_STORED || !v5) {
        (void)!mqtt_ack_encode_plain(s->home->all->io->out(s->conn), type, a->packet_id);
        return true;
    }
    if (a->qos == 2) {
        (void)ids_remove(&s->kept->received, a->packet_id); /* a refusal ends the exchange */
    }
    say_reason(s, type, a->packet_id,
               verdict == VERDICT_DENIED ? MQTT_NOT_AUTHORIZED : MQTT_PAYLOAD_FORMAT_INVALID,
               a->status);
    return true;
}

bool publish_acknowledge(struct session *s, const struct ack *a)
{
    if (a->answer == NULL) {
        return acknowledge(s, a);
    }
    if (a->status != ERR_OK) {
        session_end(s, SESSION_CLOSE_NOT_STORED, err_words(a->status));
        return false;
    }
    buf_put(s->home->all->io->out(s->conn), a->answer, a->answer_len);
    return true;
}

void publish_forget_aliases(struct session *s)
{
    for (int i = 0; s->aliases != NULL && i < SESSION_ALIASES_MAX; i++) {
        free(s->aliases[i]);
    }
    free(s->aliases);
    s->aliases = NULL;
}

/* Section 3.3.2.3.4. The table costs nothing until a client uses it. */
static enum err resolve_alias(struct session *s, struct mqtt_publish *m)
{
    uint16_t alias = m->props.topic_alias;
    if (alias > SESSION_ALIASES_MAX) {
        return ERR_RANGE;
    }
    if (m->topic.len == 0) {
        if (s->aliases == NULL || s->aliases[alias - 1] == NULL) {
            return ERR_NOT_FOUND;
        }
        m->topic = view_str(s->aliases[alias - 1]);
        return ERR_OK;
    }
    if (m->topic.len > SESSION_ALIAS_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (s->aliases == NULL) {
        s->aliases = calloc(SESSION_ALIASES_MAX, sizeof(*s->aliases));
    }
    char *copy = s->aliases == NULL ? NULL : strndup((const char *)m->topic.data, m->topic.len);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    free(s->aliases[alias - 1]);
    s->aliases[alias - 1] = copy;
    return ERR_OK;
}

static enum packet_end publish_refused(struct session *s, enum session_close why,
                                       const char *detail)
{
    session_end(s, why, detail);
    return PACKET_ENDED;
}

/* Owed from now on, and perhaps answered at once. */
static enum packet_end owe(struct session *s, struct ack *a)
{
    acks_push(s, a);
    return acks_flush(s) ? PACKET_TAKEN : PACKET_ENDED;
}

static enum packet_end publish_denied(struct session *s, const struct mqtt_publish *m,
                                      struct ack *a)
{
    counter_add(COUNTER_PUBLISHES_DENIED, 1);
    LOG(LOG_DEBUG, "publish_denied", LOG_S("client_id", s->client_id), LOG_V("topic", m->topic));
    if (m->qos == 0) {
        return PACKET_TAKEN;
    }
    a->status = ERR_DENIED;
    a->done = true;
    return owe(s, a);
}

static enum packet_end hand_on(struct session *s, const struct mqtt_publish *m, struct ack *a)
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
    if (m->qos == 2 && ids_add(&s->kept->received, m->packet_id) != ERR_OK) {
        acks_give_back(a);
        return publish_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    /* Before the hook: a commit on another thread may be counted as soon as it returns. */
    counter_message_received(1);
    enum err e = h->publish(h->arg, s, &p, a == NULL ? NULL : &a->ticket);
    if (e != ERR_OK) {
        counter_message_received(-1);
    }
    if (e == ERR_FULL) {
        if (m->qos == 2) {
            (void)ids_remove(&s->kept->received, m->packet_id);
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
        a->status = e;
        a->done = true;
        return owe(s, a);
    }
    a->ticketed = true;
    acks_push(s, a);
    ticket_drop(&a->ticket, ERR_OK); /* our own hold */
#ifdef MUTANT_ACK_BEFORE_COMMIT
    return acks_flush(s) ? PACKET_TAKEN : PACKET_ENDED;
#else
    return PACKET_TAKEN;
#endif
}

static bool window_full(const struct session *s)
{
    return s->unacked >= s->home->all->conf->unacked_messages_max ||
           s->unacked_bytes >= SESSION_WINDOW_BYTES;
}

static bool quota_exceeded(const struct session *s)
{
    return s->version == MQTT_50 &&
           s->unacked_qos1 + s->kept->received.count >= s->home->all->conf->receive_maximum;
}

static enum packet_end publish_acked(struct session *s, const struct mqtt_publish *m,
                                     uint32_t bytes)
{
    bool repeated = m->qos == 2 && ids_has(&s->kept->received, m->packet_id);
    if (!repeated && quota_exceeded(s)) {
        return publish_refused(s, SESSION_CLOSE_RECEIVE_MAXIMUM, NULL); /* section 4.9 */
    }
    if (window_full(s)) {
        return PACKET_HELD;
    }
    struct ack *a = acks_take(s->home);
    if (a == NULL) {
        return publish_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    a->packet_id = m->packet_id;
    a->qos = m->qos;
    a->bytes = bytes;
    if (repeated) {
        /* It has its turn behind the first one: PUBREC never leaves before the commit. */
        a->done = true;
        return owe(s, a);
    }
    return access_may_publish(s, m->topic) ? hand_on(s, m, a) : publish_denied(s, m, a);
}

enum packet_end publish_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = {(enum mqtt_version)s->version, MQTT_FROM_CLIENT,
                                     mqtt_limits_default};
    struct mqtt_publish m;
    enum err e = mqtt_publish_decode(f->head, f->body, &from, &m);
    if (e != ERR_OK) {
        return publish_refused(s, packet_close_for(e), "PUBLISH");
    }
    if (mqtt_has(&m.props, MQTT_PROP_TOPIC_ALIAS) && resolve_alias(s, &m) != ERR_OK) {
        return publish_refused(s, SESSION_CLOSE_TOPIC_ALIAS, NULL);
    }
    if (m.retain && s->version == MQTT_50) {
        return publish_refused(s, SESSION_CLOSE_RETAIN, NULL); /* [MQTT-3.2.2-14] */
    }
    if (m.qos > 0) {
        return publish_acked(s, &m, (uint32_t)f->total);
    }
    return access_may_publish(s, m.topic) ? hand_on(s, &m, NULL) : publish_denied(s, &m, NULL);
}

enum packet_end publish_released(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = {(enum mqtt_version)s->version, MQTT_FROM_CLIENT,
                                     mqtt_limits_default};
    struct mqtt_ack m;
    enum err e = mqtt_ack_decode(MQTT_PUBREL, f->body, &from, &m);
    if (e != ERR_OK) {
        return publish_refused(s, packet_close_for(e), "PUBREL");
    }
    struct buf *out = s->home->all->io->out(s->conn);
    bool known = ids_remove(&s->kept->received, m.packet_id);
    if (known || s->version == MQTT_311) {
        (void)!mqtt_ack_encode_plain(out, MQTT_PUBCOMP, m.packet_id);
        return PACKET_TAKEN;
    }
    const struct mqtt_ack answer = {.packet_id = m.packet_id, .reason = MQTT_PACKET_ID_NOT_FOUND};
    (void)!mqtt_ack_encode(out, MQTT_PUBCOMP, MQTT_50, &answer);
    return PACKET_TAKEN;
}
