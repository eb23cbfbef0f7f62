#include "base/log.h"
#include "base/wire.h"
#include "mqtt/topic.h"
#include "session/private.h"

/*
 * Each filter is answered for itself: granted, or refused with a reason. Of a persistent session
 * what has changed is stored before the SUBACK leaves; the answer waits in the queue of
 * acknowledgements with the hooks' ticket. What is retained follows the SUBACK.
 */

enum { RETAIN_NEVER = 2, RETAIN_IF_NEW = 1 }; /* retain handling, section 3.8.3.1 */

/* The answer to one packet in the making. */
struct answering {
    struct session *session;
    struct ack *ack;
    struct buf reasons;
    struct buf granted; /* struct granted and their filters, to be put together at the end */
    bool changed;
};

static uint8_t options_of(const struct mqtt_subscription *sub)
{
    return (uint8_t)(sub->qos | (sub->no_local ? 4u : 0u) | (sub->retain_as_published ? 8u : 0u) |
                     (unsigned)sub->retain_handling << 4);
}

static enum mqtt_reason reason_of(enum err e)
{
    return e == ERR_FULL || e == ERR_QUOTA ? MQTT_QUOTA_EXCEEDED : MQTT_UNSPECIFIED_ERROR;
}

/* Its retained messages are due after the SUBACK: noted as its text, with what it was before. */
static void note_granted(struct answering *a, const struct mqtt_subscription *sub, bool existed)
{
    bool due = sub->retain_handling != RETAIN_NEVER &&
               !(existed && sub->retain_handling == RETAIN_IF_NEW) &&
               mqtt_filter_split(sub->filter).group.len == 0;
    if (due && a->session->home->all->hooks.retained != NULL) {
        buf_put_u8(&a->granted, existed);
        buf_put_u16(&a->granted, (uint16_t)sub->filter.len);
        buf_put_view(&a->granted, sub->filter);
    }
}

static enum mqtt_reason subscribe_one(struct answering *a, const struct mqtt_subscription *sub,
                                      uint32_t identifier, uint32_t index)
{
    struct session *s = a->session;
    const struct session_hooks *h = &s->home->all->hooks;
    struct filters *filters = &s->kept->filters;
    if (index >= s->limits->filters_per_packet) {
        return MQTT_QUOTA_EXCEEDED;
    }
    if (s->open_listener && view_eq_str(sub->filter, s->home->all->conf->open_listener_refuses)) {
        return MQTT_UNSPECIFIED_ERROR;
    }
    if (!access_may_subscribe(s, sub->filter)) {
        return MQTT_NOT_AUTHORIZED;
    }
    struct session_filter *f = filters_find(filters, sub->filter);
    const struct session_filter before = f == NULL ? (struct session_filter){0} : *f;
    enum err e =
        filters_set(filters, sub->filter, options_of(sub), identifier, s->limits->filters_max, &f);
    if (e != ERR_OK) {
        return reason_of(e);
    }
    bool existed = before.filter != NULL;
    e = h->subscribed == NULL ? ERR_OK : h->subscribed(h->arg, s, f, existed, &a->ack->ticket);
    if (e != ERR_OK && existed) {
        *f = before;
        return reason_of(e);
    }
    if (e != ERR_OK) {
        filters_remove(filters, f);
        return reason_of(e);
    }
    note_granted(a, sub, existed);
    a->changed = true;
    return (enum mqtt_reason)sub->qos;
}

static enum mqtt_reason unsubscribe_one(struct answering *a, struct view filter)
{
    struct session *s = a->session;
    const struct session_hooks *h = &s->home->all->hooks;
    struct session_filter *f = filters_find(&s->kept->filters, filter);
    if (f == NULL) {
        return MQTT_NO_SUBSCRIPTION_EXISTED;
    }
    enum err e = h->unsubscribed == NULL ? ERR_OK : h->unsubscribed(h->arg, s, f, &a->ack->ticket);
    if (e != ERR_OK) {
        return MQTT_UNSPECIFIED_ERROR;
    }
    filters_remove(&s->kept->filters, f);
    a->changed = true;
    return MQTT_SUCCESS;
}

static bool answering_begin(struct answering *a, struct session *s, uint32_t bytes)
{
    *a = (struct answering){.session = s, .ack = acks_take(s->home)};
    if (a->ack == NULL) {
        return false;
    }
    a->ack->bytes = bytes;
    a->ack->ticketed = true; /* our own hold, until the end */
    buf_init(&a->reasons, bytes);
    buf_init(&a->granted, bytes);
    return true;
}

/* The whole list, once a packet; it is stored by this hook where `subscribed` is not used. */
static enum err tell_filters(struct answering *a)
{
    struct session *s = a->session;
    const struct session_hooks *h = &s->home->all->hooks;
    const struct filters *filters = &s->kept->filters;
    bool stored = h->subscribed == NULL && s->kept->expiry_us > 0;
    if (!a->changed || h->filters == NULL) {
        return ERR_OK;
    }
    return h->filters(h->arg, s, filters->at, filters->count, stored ? &a->ack->ticket : NULL);
}

/* Turns what was encoded and noted into an acknowledgement that is owed. */
static enum packet_end answering_end(struct answering *a, struct buf *packet)
{
    struct session *s = a->session;
    struct ack *ack = a->ack;
    bool complete = buf_err(&a->reasons) == ERR_OK && buf_err(&a->granted) == ERR_OK &&
                    buf_err(packet) == ERR_OK;
    enum err status = tell_filters(a);
    buf_fini(&a->reasons);
    ack->answer = packet->data;
    ack->answer_len = (uint32_t)packet->len;
    ack->granted = a->granted.data;
    ack->granted_len = (uint32_t)a->granted.len;
    acks_push(s, &s->acks, ack);
    acks_let_go_now(ack, status);
    if (!complete) {
        return packet_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    return acks_flush(s, &s->acks) ? PACKET_TAKEN : PACKET_ENDED;
}

void subscribe_acknowledge(struct session *s, const struct ack *a)
{
    const struct session_hooks *h = &s->home->all->hooks;
    buf_put(session_out(s), a->answer, a->answer_len);
    if (a->granted_len == 0) {
        return;
    }
    struct wire w = wire_init(view_of(a->granted, a->granted_len));
    while (wire_left(&w) > 0) {
        bool existed = wire_u8(&w) != 0;
        struct view filter = wire_bytes(&w, wire_u16(&w));
        const struct session_filter *f = filters_find(&s->kept->filters, filter);
        if (f != NULL) { /* else it was given up meanwhile */
            h->retained(h->arg, s, f, existed);
        }
    }
}

enum packet_end subscribe_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = session_source(s);
    struct mqtt_subscribe m;
    struct answering a;
    enum err e = mqtt_subscribe_decode(f->body, &from, &m);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), "SUBSCRIBE");
    }
    if (!answering_begin(&a, s, (uint32_t)f->total)) {
        return packet_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    a.ack->type = MQTT_SUBACK;
    uint32_t identifier = mqtt_subscription_id_first(&m.props);
    struct mqtt_subscription_iter it = mqtt_subscription_iter(&m);
    struct mqtt_subscription sub;
    for (uint32_t i = 0; mqtt_subscription_next(&it, &sub); i++) {
        buf_put_u8(&a.reasons, (uint8_t)subscribe_one(&a, &sub, identifier, i));
    }
    struct buf packet;
    buf_init(&packet, f->total + 64);
    const struct mqtt_suback suback = {.packet_id = m.packet_id, .reasons = buf_view(&a.reasons)};
    if (mqtt_suback_encode(&packet, (enum mqtt_version)s->version, &suback) != ERR_OK) {
        packet.err = ERR_NOMEM;
    }
    bool changed = a.changed;
    enum packet_end end = answering_end(&a, &packet);
    if (end == PACKET_TAKEN && changed) {
        deliver_pump(s);
    }
    return end;
}

enum packet_end unsubscribe_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = session_source(s);
    struct mqtt_unsubscribe m;
    struct answering a;
    enum err e = mqtt_unsubscribe_decode(f->body, &from, &m);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), "UNSUBSCRIBE");
    }
    if (!answering_begin(&a, s, (uint32_t)f->total)) {
        return packet_refused(s, SESSION_CLOSE_MEMORY, NULL);
    }
    a.ack->type = MQTT_UNSUBACK;
    struct mqtt_unsubscribe_iter it = mqtt_unsubscribe_iter(&m);
    struct view filter;
    while (mqtt_unsubscribe_next(&it, &filter)) {
        buf_put_u8(&a.reasons, (uint8_t)unsubscribe_one(&a, filter));
    }
    struct buf packet;
    buf_init(&packet, f->total + 64);
    const struct mqtt_suback unsuback = {.packet_id = m.packet_id, .reasons = buf_view(&a.reasons)};
    if (mqtt_unsuback_encode(&packet, (enum mqtt_version)s->version, &unsuback) != ERR_OK) {
        packet.err = ERR_NOMEM;
    }
    return answering_end(&a, &packet);
}

void subscribe_check(struct session *s)
{
    const struct session_hooks *h = &s->home->all->hooks;
    struct filters *filters = &s->kept->filters;
    for (uint32_t i = filters->count; i > 0; i--) {
        struct session_filter *f =
            &filters->at[i - 1]; /* the last one takes a removed one's place */
        if (access_may_subscribe(s, view_str(f->filter))) {
            continue;
        }
        LOG(LOG_INFO, "subscription_ended",
            LOG_S("device", s->device == NULL ? "" : s->device->name),
            LOG_S("client_id", s->client_id), LOG_S("filter", f->filter),
            LOG_S("why", "not allowed any more"));
        /* Without memory to tell it stays in the tree, where each delivery is denied. */
        if (h->unsubscribed != NULL) {
            (void)!h->unsubscribed(h->arg, s, f, NULL);
        }
        filters_remove(filters, f);
    }
}

enum err subscribe_restore(struct session *s, const struct session_filter *filters, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct view filter = view_str(filters[i].filter);
        struct session_filter *f = NULL;
        if (!mqtt_filter_valid(filter)) {
            continue;
        }
        enum err e = filters_set(&s->kept->filters, filter, filters[i].options,
                                 filters[i].identifier, s->limits->filters_max, &f);
        if (e == ERR_NOMEM) {
            return e;
        }
    }
    return ERR_OK;
}
