#include "mqtt/section.h"
#include "mqtt/subscribe.h"

enum err mqtt_list_encode(struct buf *out, enum mqtt_type type, enum mqtt_version version,
                          uint16_t packet_id, const struct mqtt_props *props, struct view list)
{
    struct section s = {0};
    enum err e = mqtt_section_measure(version, type, props, &s);
    if (e != ERR_OK) {
        return e;
    }
    if (packet_id == 0) {
        return ERR_RANGE;
    }
    bool request = type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE;
    struct pen p = {0};
    e = pen_begin(out, field_head(type, request ? 2 : 0), 2 + s.size + list.len, &p);
    if (e != ERR_OK) {
        return e;
    }
    pen_u16(&p, packet_id);
    mqtt_section_write(&p, &s, props);
    pen_raw(&p, list);
    return pen_end(out, &p);
}

static bool reason_valid(uint8_t code, enum mqtt_type type, const struct mqtt_source *from)
{
    if (from->version == MQTT_311) {
        return code <= MQTT_GRANTED_QOS_2 || code == MQTT_UNSPECIFIED_ERROR; /* [MQTT-3.9.3-2] */
    }
    return mqtt_reason_allowed(code, type, from->sender);
}

static enum err decode(enum mqtt_type type, struct view body, const struct mqtt_source *from,
                       struct mqtt_suback *ret_suback)
{
    struct wire w = wire_init(body);
    struct mqtt_suback m = {.packet_id = field_packet_id(&w)};
    if (from->version == MQTT_50) {
        mqtt_section_read(&w, type, from, &m.props);
    }
    bool bare = from->version == MQTT_311 && type == MQTT_UNSUBACK;
    if (bare || wire_err(&w) != ERR_OK) {
        enum err e = field_end(&w);
        if (e == ERR_OK) {
            *ret_suback = m;
        }
        return e;
    }
    m.reasons = wire_bytes(&w, wire_left(&w));
    if (m.reasons.len == 0) {
        return ERR_PROTOCOL; /* one for each filter, and there is at least one [MQTT-3.9.3-1] */
    }
    for (size_t i = 0; i < m.reasons.len; i++) {
        if (!reason_valid(m.reasons.data[i], type, from)) {
            return ERR_PROTOCOL;
        }
    }
    *ret_suback = m;
    return ERR_OK;
}

enum err mqtt_suback_decode(struct view body, const struct mqtt_source *from,
                            struct mqtt_suback *ret_suback)
{
    return decode(MQTT_SUBACK, body, from, ret_suback);
}

enum err mqtt_unsuback_decode(struct view body, const struct mqtt_source *from,
                              struct mqtt_suback *ret_unsuback)
{
    return decode(MQTT_UNSUBACK, body, from, ret_unsuback);
}

enum err mqtt_suback_encode(struct buf *out, enum mqtt_version version, const struct mqtt_suback *m)
{
    if (m->reasons.len == 0) {
        return ERR_RANGE;
    }
    enum err e = mqtt_list_encode(out, MQTT_SUBACK, version, m->packet_id, &m->props, m->reasons);
    if (e != ERR_OK || version != MQTT_311) {
        return e;
    }
    uint8_t *codes = out->data + out->len - m->reasons.len;
    for (size_t i = 0; i < m->reasons.len; i++) {
        codes[i] = codes[i] > MQTT_UNSPECIFIED_ERROR ? (uint8_t)MQTT_UNSPECIFIED_ERROR : codes[i];
    }
    return ERR_OK;
}

enum err mqtt_unsuback_encode(struct buf *out, enum mqtt_version version,
                              const struct mqtt_suback *m)
{
    struct view reasons = version == MQTT_311 ? (struct view){NULL, 0} : m->reasons;
    if (reasons.len == 0 && version == MQTT_50) {
        return ERR_RANGE;
    }
    return mqtt_list_encode(out, MQTT_UNSUBACK, version, m->packet_id, &m->props, reasons);
}
