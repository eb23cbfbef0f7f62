#include "mqtt/forward.h"

#include "mqtt/section.h"

/* The properties that belong to the message and not to the packet it came in [MQTT-3.3.2-4, -15 to
 * -18, -20]. */
enum {
    HANDED_ON = 1u << MQTT_PROP_PAYLOAD_FORMAT | 1u << MQTT_PROP_CONTENT_TYPE |
                1u << MQTT_PROP_RESPONSE_TOPIC | 1u << MQTT_PROP_CORRELATION_DATA |
                1u << MQTT_PROP_USER,
};

size_t mqtt_forwarded_size(const struct mqtt_props *props)
{
    struct view left = props->section;
    struct view bytes;
    size_t size = 0;
    while (mqtt_span_next(&left, HANDED_ON, &bytes)) {
        size += bytes.len;
    }
    return size;
}

void mqtt_forwarded_write(const struct mqtt_props *props, uint8_t *ret_bytes)
{
    struct view left = props->section;
    struct view bytes;
    struct pen p = {.at = ret_bytes};
    while (mqtt_span_next(&left, HANDED_ON, &bytes)) {
        pen_raw(&p, bytes);
    }
}

static size_t section_len(const struct mqtt_forward *m)
{
    size_t len = m->props.len + (m->expires ? 5 : 0) + (m->topic_alias != 0 ? 3 : 0);
    for (uint32_t i = 0; i < m->subscription_id_count; i++) {
        len += 1 + field_varint_size(m->subscription_ids[i]);
    }
    return len;
}

static void write_section(struct pen *p, const struct mqtt_forward *m, size_t len)
{
    pen_varint(p, (uint32_t)len);
    pen_raw(p, m->props);
    if (m->expires) {
        pen_u8(p, mqtt_prop_rules[MQTT_PROP_MESSAGE_EXPIRY].id);
        pen_u32(p, m->expiry_s);
    }
    if (m->topic_alias != 0) {
        pen_u8(p, mqtt_prop_rules[MQTT_PROP_TOPIC_ALIAS].id);
        pen_u16(p, m->topic_alias);
    }
    for (uint32_t i = 0; i < m->subscription_id_count; i++) {
        pen_u8(p, mqtt_prop_rules[MQTT_PROP_SUBSCRIPTION_ID].id);
        pen_varint(p, m->subscription_ids[i]);
    }
}

/* The section's length and what follows the fixed header. */
static enum err measure(enum mqtt_version version, const struct mqtt_forward *m, size_t *ret_len,
                        size_t *ret_remaining)
{
    bool v5 = version == MQTT_50;
    if (m->qos > 2 || (m->qos > 0) != (m->packet_id != 0) || (m->dup && m->qos == 0) ||
        m->topic.len > FIELD_TEXT_MAX || (m->topic.len == 0 && (!v5 || m->topic_alias == 0))) {
        return ERR_RANGE;
    }
    size_t len = v5 ? section_len(m) : 0;
    if (len > MQTT_REMAINING_MAX) {
        return ERR_LIMIT;
    }
    *ret_len = len;
    *ret_remaining = 2 + m->topic.len + (m->qos > 0 ? 2 : 0) +
                     (v5 ? field_varint_size(len) + len : 0) + m->payload.len;
    return ERR_OK;
}

enum err mqtt_forward_encode(struct buf *out, enum mqtt_version version,
                             const struct mqtt_forward *m, uint32_t limit_bytes)
{
    size_t len = 0;
    size_t remaining = 0;
    enum err e = measure(version, m, &len, &remaining);
    if (e != ERR_OK) {
        return e;
    }
    size_t total = 1 + field_varint_size(remaining) + remaining;
    if (remaining > MQTT_REMAINING_MAX || total > limit_bytes) {
        return ERR_LIMIT;
    }
    uint8_t *room = buf_room(out, total);
    if (room == NULL) {
        return buf_err(out);
    }
    struct pen p = {.at = room, .end = room + total};
    unsigned flags = (m->dup ? 8u : 0u) | (unsigned)m->qos << 1 | (m->retain ? 1u : 0u);
    pen_u8(&p, field_head(MQTT_PUBLISH, flags));
    pen_varint(&p, (uint32_t)remaining);
    pen_bytes(&p, m->topic);
    if (m->qos > 0) {
        pen_u16(&p, m->packet_id);
    }
    if (version == MQTT_50) {
        write_section(&p, m, len);
    }
    pen_raw(&p, m->payload);
    return pen_end(out, &p);
}
