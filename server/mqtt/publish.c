#include "mqtt/publish.h"

#include "mqtt/section.h"

enum err mqtt_publish_decode(uint8_t head, struct view body, const struct mqtt_source *from,
                             struct mqtt_publish *ret_publish)
{
    struct wire w = wire_init(body);
    unsigned qos = head >> 1 & 3u;
    bool dup = (head & 8u) != 0;
    if (qos == 3 || (dup && qos == 0)) {
        return ERR_MALFORMED; /* [MQTT-3.3.1-4], [MQTT-3.3.1-2] */
    }
    struct view topic = field_bytes(&w);
    uint16_t packet_id = qos > 0 ? field_packet_id(&w) : (uint16_t)0;
    struct mqtt_props props = {0};
    if (from->version == MQTT_50) {
        mqtt_section_read(&w, MQTT_PUBLISH, from, &props);
    }
    struct view payload = wire_bytes(&w, wire_left(&w));
    if (wire_err(&w) != ERR_OK) {
        return wire_err(&w);
    }
    if (topic.len > 0 || !mqtt_has(&props, MQTT_PROP_TOPIC_ALIAS)) {
        enum err e = mqtt_topic_check(topic);
        if (e != ERR_OK) {
            return e;
        }
    }
    *ret_publish = (struct mqtt_publish){
        .topic = topic,
        .payload = payload,
        .packet_id = packet_id,
        .qos = (uint8_t)qos,
        .retain = (head & 1u) != 0,
        .dup = dup,
        .props = props,
    };
    return ERR_OK;
}

static enum err measure(enum mqtt_version version, const struct mqtt_publish *m,
                        struct section *ret_section, size_t *ret_remaining)
{
    if (m->qos > 2 || (m->qos > 0) != (m->packet_id != 0) || (m->dup && m->qos == 0) ||
        m->topic.len > FIELD_TEXT_MAX) {
        return ERR_RANGE;
    }
    if (m->topic.len == 0 && (version == MQTT_311 || !mqtt_has(&m->props, MQTT_PROP_TOPIC_ALIAS))) {
        return ERR_PROTOCOL;
    }
    enum err e = mqtt_section_measure(version, MQTT_PUBLISH, &m->props, ret_section);
    if (e != ERR_OK) {
        return e;
    }
    *ret_remaining = 2 + m->topic.len + (m->qos > 0 ? 2 : 0) + ret_section->size + m->payload.len;
    return *ret_remaining > MQTT_REMAINING_MAX ? ERR_LIMIT : ERR_OK;
}

enum err mqtt_publish_encode(struct buf *out, enum mqtt_version version,
                             const struct mqtt_publish *m)
{
    struct section s = {0};
    size_t remaining = 0;
    enum err e = measure(version, m, &s, &remaining);
    if (e != ERR_OK) {
        return e;
    }
    unsigned flags = (m->dup ? 8u : 0u) | (unsigned)m->qos << 1 | (m->retain ? 1u : 0u);
    struct pen p = {0};
    e = pen_begin(out, field_head(MQTT_PUBLISH, flags), remaining, &p);
    if (e != ERR_OK) {
        return e;
    }
    pen_bytes(&p, m->topic);
    if (m->qos > 0) {
        pen_u16(&p, m->packet_id);
    }
    mqtt_section_write(&p, &s, &m->props);
    pen_raw(&p, m->payload);
    return pen_end(out, &p);
}

size_t mqtt_publish_size(enum mqtt_version version, const struct mqtt_publish *m)
{
    struct section s = {0};
    size_t remaining = 0;
    if (measure(version, m, &s, &remaining) != ERR_OK) {
        return SIZE_MAX;
    }
    return 1 + field_varint_size(remaining) + remaining;
}

enum err mqtt_publish_check_payload(const struct mqtt_publish *m)
{
    bool text = mqtt_has(&m->props, MQTT_PROP_PAYLOAD_FORMAT) && m->props.payload_format == 1;
    return text && !utf8_valid(m->payload) ? ERR_TYPE : ERR_OK;
}
