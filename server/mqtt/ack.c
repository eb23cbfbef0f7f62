#include "mqtt/ack.h"

#include "mqtt/section.h"

static bool is_ack(enum mqtt_type type)
{
    return type >= MQTT_PUBACK && type <= MQTT_PUBCOMP;
}

enum err mqtt_ack_decode(enum mqtt_type type, struct view body, const struct mqtt_source *from,
                         struct mqtt_ack *ret_ack)
{
    CHECK(is_ack(type));
    struct wire w = wire_init(body);
    struct mqtt_ack m = {.packet_id = field_packet_id(&w)};
    if (from->version == MQTT_50 && wire_left(&w) > 0) {
        uint8_t code = wire_u8(&w);
        if (!mqtt_reason_allowed(code, type, from->sender)) {
            return ERR_PROTOCOL; /* [MQTT-3.4.2-1] and its like */
        }
        m.reason = (enum mqtt_reason)code;
        if (wire_left(&w) > 0) {
            mqtt_section_read(&w, type, from, &m.props);
        }
    }
    enum err e = field_end(&w);
    if (e != ERR_OK) {
        return e;
    }
    *ret_ack = m;
    return ERR_OK;
}

/* Only PUBREL has flags, and they are 2 [MQTT-3.6.1-1]. */
static uint8_t head_of(enum mqtt_type type)
{
    return field_head(type, type == MQTT_PUBREL ? 2u : 0u);
}

enum err mqtt_ack_encode_plain(struct buf *out, enum mqtt_type type, uint16_t packet_id)
{
    CHECK(is_ack(type));
    if (packet_id == 0) {
        return ERR_RANGE;
    }
    uint8_t *room = buf_room(out, 4);
    if (room == NULL) {
        return buf_err(out);
    }
    room[0] = head_of(type);
    room[1] = 2;
    room[2] = (uint8_t)(packet_id >> 8);
    room[3] = (uint8_t)packet_id;
    buf_grew(out, 4);
    return ERR_OK;
}

enum err mqtt_ack_encode(struct buf *out, enum mqtt_type type, enum mqtt_version version,
                         const struct mqtt_ack *m)
{
    bool bare = m->props.present == 0;
    if (version == MQTT_311 || (bare && m->reason == MQTT_SUCCESS)) {
        return mqtt_ack_encode_plain(out, type, m->packet_id);
    }
    CHECK(is_ack(type));
    struct section s = {0};
    enum err e = mqtt_section_measure(version, type, &m->props, &s);
    if (e != ERR_OK) {
        return e;
    }
    if (m->packet_id == 0 || (unsigned)m->reason > UINT8_MAX) {
        return ERR_RANGE;
    }
    struct pen p = {0};
    e = pen_begin(out, head_of(type), 3 + (bare ? 0 : s.size), &p);
    if (e != ERR_OK) {
        return e;
    }
    pen_u16(&p, m->packet_id);
    pen_u8(&p, (uint8_t)m->reason);
    if (!bare) {
        mqtt_section_write(&p, &s, &m->props);
    }
    return pen_end(out, &p);
}
