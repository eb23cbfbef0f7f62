/*
 * Happy path of CONNECT: name, level, flags, keep alive, properties, then the payload's fields in
 * their fixed order, as the flags announce them.
 * Not here: whether an empty client identifier or a keep alive is acceptable, and who the user is.
 */
#include "mqtt/connect.h"

#include "mqtt/section.h"

enum connect_flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER_NAME = 0x80,
};

/* Reads name and level. */
static enum err read_version(struct wire *w, enum mqtt_version *ret_version)
{
    struct view name = field_bytes(w);
    if (wire_err(w) != ERR_OK) {
        return wire_err(w);
    }
    if (view_eq_str(name, "MQIsdp")) {
        return ERR_UNSUPPORTED; /* MQTT 3.1 */
    }
    if (!view_eq_str(name, "MQTT")) {
        return ERR_PROTOCOL; /* [MQTT-3.1.2-1] */
    }
    uint8_t level = wire_u8(w);
    if (wire_err(w) != ERR_OK) {
        return wire_err(w);
    }
    if (level != MQTT_311 && level != MQTT_50) {
        return ERR_UNSUPPORTED; /* [MQTT-3.1.2-2] */
    }
    *ret_version = (enum mqtt_version)level;
    return ERR_OK;
}

static enum err check_flags(uint8_t flags, enum mqtt_version version)
{
    if ((flags & FLAG_RESERVED) != 0) {
        return ERR_MALFORMED; /* [MQTT-3.1.2-3] */
    }
    if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS) {
        return ERR_MALFORMED; /* [MQTT-3.1.2-12] */
    }
    if ((flags & FLAG_WILL) == 0 && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) != 0) {
        return ERR_MALFORMED; /* [MQTT-3.1.2-11, -13] */
    }
    bool lone_password = (flags & FLAG_PASSWORD) != 0 && (flags & FLAG_USER_NAME) == 0;
    if (lone_password && version == MQTT_311) {
        return ERR_PROTOCOL; /* [MQTT-3.1.2-22] of 3.1.1; 5.0 allows it */
    }
    return ERR_OK;
}

static void read_will(struct wire *w, uint8_t flags, const struct mqtt_source *from,
                      struct mqtt_will *will)
{
    will->qos = (flags & FLAG_WILL_QOS) >> 3;
    will->retain = (flags & FLAG_WILL_RETAIN) != 0;
    if (from->version == MQTT_50) {
        mqtt_section_read(w, MQTT_WILL, from, &will->props);
    }
    will->topic = field_bytes(w);
    enum err e = wire_err(w) == ERR_OK ? mqtt_topic_check(will->topic) : ERR_OK;
    if (e != ERR_OK) {
        wire_fail(w, e);
    }
    will->payload = field_bytes(w);
}

enum err mqtt_connect_decode(struct view body, const struct mqtt_limits *limits,
                             struct mqtt_connect *ret_connect)
{
    struct wire w = wire_init(body);
    struct mqtt_connect m = {.version = MQTT_311};
    enum err e = read_version(&w, &m.version);
    if (e != ERR_OK) {
        return e;
    }
    uint8_t flags = wire_u8(&w);
    e = check_flags(flags, m.version);
    if (e != ERR_OK) {
        return e;
    }
    const struct mqtt_source from = {
        .version = m.version, .sender = MQTT_FROM_CLIENT, .limits = *limits};
    m.clean_start = (flags & FLAG_CLEAN_START) != 0;
    m.has_will = (flags & FLAG_WILL) != 0;
    m.has_user_name = (flags & FLAG_USER_NAME) != 0;
    m.has_password = (flags & FLAG_PASSWORD) != 0;
    m.keep_alive_s = wire_u16(&w);
    if (m.version == MQTT_50) {
        mqtt_section_read(&w, MQTT_CONNECT, &from, &m.props);
    }
    m.client_id = field_text(&w);
    if (m.has_will) {
        read_will(&w, flags, &from, &m.will);
    }
    if (m.has_user_name) {
        m.user_name = field_text(&w);
    }
    if (m.has_password) {
        m.password = field_bytes(&w);
    }
    e = field_end(&w);
    if (e != ERR_OK) {
        return e;
    }
    *ret_connect = m;
    return ERR_OK;
}

enum mqtt_version mqtt_connect_answer_version(struct view body)
{
    struct wire w = wire_init(body);
    struct view name = field_bytes(&w);
    return view_eq_str(name, "MQTT") && wire_u8(&w) == MQTT_50 ? MQTT_50 : MQTT_311;
}

static uint8_t flags_of(const struct mqtt_connect *m)
{
    unsigned flags = 0;
    flags |= m->clean_start ? FLAG_CLEAN_START : 0u;
    flags |= m->has_user_name ? FLAG_USER_NAME : 0u;
    flags |= m->has_password ? FLAG_PASSWORD : 0u;
    if (m->has_will) {
        flags |= FLAG_WILL | (unsigned)m->will.qos << 3;
        flags |= m->will.retain ? FLAG_WILL_RETAIN : 0u;
    }
    return (uint8_t)flags;
}

static enum err check_sizes(const struct mqtt_connect *m)
{
    bool fits = m->client_id.len <= FIELD_TEXT_MAX && m->user_name.len <= FIELD_TEXT_MAX &&
                m->password.len <= FIELD_TEXT_MAX && m->will.topic.len <= FIELD_TEXT_MAX &&
                m->will.payload.len <= FIELD_TEXT_MAX;
    if (!fits || (m->version != MQTT_311 && m->version != MQTT_50)) {
        return ERR_RANGE;
    }
    if (m->has_will && (m->will.qos > 2 || m->will.topic.len == 0)) {
        return ERR_RANGE;
    }
    return check_flags(flags_of(m), m->version);
}

enum err mqtt_connect_encode(struct buf *out, const struct mqtt_connect *m)
{
    struct section s = {0};
    struct section will = {0};
    enum err e = check_sizes(m);
    if (e == ERR_OK) {
        e = mqtt_section_measure(m->version, MQTT_CONNECT, &m->props, &s);
    }
    if (e == ERR_OK && m->has_will) {
        e = mqtt_section_measure(m->version, MQTT_WILL, &m->will.props, &will);
    }
    if (e != ERR_OK) {
        return e;
    }
    size_t remaining = 2 + 4 + 1 + 1 + 2 + s.size + 2 + m->client_id.len;
    remaining += m->has_will ? will.size + 2 + m->will.topic.len + 2 + m->will.payload.len : 0;
    remaining += m->has_user_name ? 2 + m->user_name.len : 0;
    remaining += m->has_password ? 2 + m->password.len : 0;
    struct pen p = {0};
    e = pen_begin(out, field_head(MQTT_CONNECT, 0), remaining, &p);
    if (e != ERR_OK) {
        return e;
    }
    pen_bytes(&p, VIEW("MQTT"));
    pen_u8(&p, (uint8_t)m->version);
    pen_u8(&p, flags_of(m));
    pen_u16(&p, m->keep_alive_s);
    mqtt_section_write(&p, &s, &m->props);
    pen_bytes(&p, m->client_id);
    if (m->has_will) {
        mqtt_section_write(&p, &will, &m->will.props);
        pen_bytes(&p, m->will.topic);
        pen_bytes(&p, m->will.payload);
    }
    if (m->has_user_name) {
        pen_bytes(&p, m->user_name);
    }
    if (m->has_password) {
        pen_bytes(&p, m->password);
    }
    return pen_end(out, &p);
}
