#include "mqtt/subscribe.h"

#include <stdlib.h>
#include <string.h>

#include "mqtt/topic.h"
#include "session/private.h"

/*
 * Each filter is answered for itself: granted, or refused with a reason. Of a persistent session
 * the new list is stored before the SUBACK leaves; the answer waits in the queue of
 * acknowledgements with the hook's ticket.
 */

static uint8_t options_of(const struct mqtt_subscription *sub)
{
    return (uint8_t)(sub->qos | (sub->no_local ? 4u : 0u) | (sub->retain_as_published ? 8u : 0u) |
                     (unsigned)sub->retain_handling << 4);
}

static enum mqtt_reason subscribe_one(struct session *s, const struct mqtt_subscription *sub,
                                      uint32_t identifier, uint32_t index, bool *ret_changed)
{
    if (index >= SESSION_FILTERS_PER_PACKET) {
        return MQTT_QUOTA_EXCEEDED;
    }
    if (mqtt_filter_split(sub->filter).group.len > 0) {
        return MQTT_SHARED_NOT_SUPPORTED;
    }
    if (!access_may_subscribe(s, sub->filter)) {
        return MQTT_NOT_AUTHORIZED;
    }
    enum err e = kept_set_filter(s->kept, sub->filter, options_of(sub), identifier);
    if (e != ERR_OK) {
        return e == ERR_FULL ? MQTT_QUOTA_EXCEEDED : MQTT_UNSPECIFIED_ERROR;
    }
    *ret_changed = true;
    return (enum mqtt_reason)sub->qos;
}

/* The answer into an ack of its own, so that it leaves when the filters are stored. */
static enum packet_end answer(struct session *s, struct buf *packet, uint32_t bytes, bool changed)
{
    const struct session_hooks *h = &s->home->all->hooks;
    bool stored = changed && h->filters != NULL && s->kept->expiry_us > 0;
    struct ack *a = buf_err(packet) == ERR_OK ? acks_take(s->home) : NULL;
    if (a == NULL) {
        buf_fini(packet);
        session_end(s, SESSION_CLOSE_MEMORY, NULL);
        return PACKET_ENDED;
    }
    a->answer = packet->data;
    a->answer_len = (uint32_t)packet->len;
    a->bytes = bytes;
    a->done = !stored;
    if (changed && h->filters != NULL) {
        enum err e = h->filters(h->arg, s, s->kept->filters, s->kept->filter_count,
                                stored ? &a->ticket : NULL);
        if (stored && e == ERR_OK) {
            a->ticketed = true;
        }
        if (e != ERR_OK) {
            a->status = e;
            a->done = true;
        }
    }
    acks_push(s, a);
    if (a->ticketed) {
        ticket_drop(&a->ticket, ERR_OK); /* our own hold */
        return PACKET_TAKEN;
    }
    return acks_flush(s) ? PACKET_TAKEN : PACKET_ENDED;
}

static enum packet_end refused(struct session *s, enum err e, const char *type)
{
    session_end(s, packet_close_for(e), type);
    return PACKET_ENDED;
}

enum packet_end subscribe_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = {(enum mqtt_version)s->version, MQTT_FROM_CLIENT,
                                     mqtt_limits_default};
    struct mqtt_subscribe m;
    enum err e = mqtt_subscribe_decode(f->body, &from, &m);
    if (e != ERR_OK) {
        return refused(s, e, "SUBSCRIBE");
    }
    struct buf reasons;
    struct buf packet;
    buf_init(&reasons, f->total);
    buf_init(&packet, f->total + 64);
    struct mqtt_subscription_iter it = mqtt_subscription_iter(&m);
    struct mqtt_subscription sub;
    bool changed = false;
    for (uint32_t i = 0; mqtt_subscription_next(&it, &sub); i++) {
        uint32_t identifier = mqtt_subscription_id_first(&m.props);
        buf_put_u8(&reasons, (uint8_t)subscribe_one(s, &sub, identifier, i, &changed));
    }
    const struct mqtt_suback suback = {.packet_id = m.packet_id, .reasons = buf_view(&reasons)};
    if (buf_err(&reasons) != ERR_OK ||
        mqtt_suback_encode(&packet, (enum mqtt_version)s->version, &suback) != ERR_OK) {
        packet.err = ERR_NOMEM;
    }
    buf_fini(&reasons);
    enum packet_end end = answer(s, &packet, (uint32_t)f->total, changed);
    if (end == PACKET_TAKEN && changed) {
        deliver_pump(s);
    }
    return end;
}

enum packet_end unsubscribe_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = {(enum mqtt_version)s->version, MQTT_FROM_CLIENT,
                                     mqtt_limits_default};
    struct mqtt_unsubscribe m;
    enum err e = mqtt_unsubscribe_decode(f->body, &from, &m);
    if (e != ERR_OK) {
        return refused(s, e, "UNSUBSCRIBE");
    }
    struct buf reasons;
    struct buf packet;
    buf_init(&reasons, f->total);
    buf_init(&packet, f->total + 64);
    struct mqtt_unsubscribe_iter it = mqtt_unsubscribe_iter(&m);
    struct view filter;
    bool changed = false;
    while (mqtt_unsubscribe_next(&it, &filter)) {
        bool removed = kept_remove_filter(s->kept, filter);
        changed = changed || removed;
        buf_put_u8(&reasons, removed ? MQTT_SUCCESS : MQTT_NO_SUBSCRIPTION_EXISTED);
    }
    const struct mqtt_suback unsuback = {.packet_id = m.packet_id, .reasons = buf_view(&reasons)};
    if (buf_err(&reasons) != ERR_OK ||
        mqtt_unsuback_encode(&packet, (enum mqtt_version)s->version, &unsuback) != ERR_OK) {
        packet.err = ERR_NOMEM;
    }
    buf_fini(&reasons);
    return answer(s, &packet, (uint32_t)f->total, changed);
}

enum err subscribe_restore(struct session *s, const struct session_filter *filters, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct view filter = view_str(filters[i].filter);
        if (!mqtt_filter_valid(filter) || mqtt_filter_split(filter).group.len > 0 ||
            !access_may_subscribe(s, filter)) {
            continue; /* its device type lost it meanwhile */
        }
        enum err e = kept_set_filter(s->kept, filter, filters[i].options, filters[i].identifier);
        if (e == ERR_NOMEM) {
            return e;
        }
    }
    return ERR_OK;
}
