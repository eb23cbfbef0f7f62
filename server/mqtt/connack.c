#include "mqtt/connect.h"
#include "mqtt/section.h"

/* The return codes of 3.1.1, table 3.1, by their number. */
static const enum mqtt_reason reasons_311[] = {
    MQTT_SUCCESS,
    MQTT_UNSUPPORTED_VERSION,
    MQTT_CLIENT_ID_NOT_VALID,
    MQTT_SERVER_UNAVAILABLE,
    MQTT_BAD_USER_OR_PASSWORD,
    MQTT_NOT_AUTHORIZED,
};

enum { CONNACK_311_UNAVAILABLE = 3, CONNACK_SESSION_PRESENT = 1 };

static uint8_t code_311(enum mqtt_reason reason)
{
    for (size_t i = 0; i < COUNT_OF(reasons_311); i++) {
        if (reasons_311[i] == reason) {
            return (uint8_t)i;
        }
    }
    return CONNACK_311_UNAVAILABLE;
}

static enum err reason_of(uint8_t code, const struct mqtt_source *from,
                          enum mqtt_reason *ret_reason)
{
    if (from->version == MQTT_311) {
        if (code >= COUNT_OF(reasons_311)) {
            return ERR_PROTOCOL;
        }
        *ret_reason = reasons_311[code];
        return ERR_OK;
    }
    if (!mqtt_reason_allowed(code, MQTT_CONNACK, from->sender)) {
        return ERR_PROTOCOL; /* [MQTT-3.2.2-8] */
    }
    *ret_reason = (enum mqtt_reason)code;
    return ERR_OK;
}

enum err mqtt_connack_decode(struct view body, const struct mqtt_source *from,
                             struct mqtt_connack *ret_connack)
{
    struct wire w = wire_init(body);
    uint8_t flags = wire_u8(&w);
    uint8_t code = wire_u8(&w);
    if (wire_err(&w) != ERR_OK) {
        return wire_err(&w);
    }
    if ((flags & ~(unsigned)CONNACK_SESSION_PRESENT) != 0) {
        return ERR_MALFORMED; /* [MQTT-3.2.2-1] */
    }
    struct mqtt_connack m = {.session_present = (flags & CONNACK_SESSION_PRESENT) != 0};
    enum err e = reason_of(code, from, &m.reason);
    if (e != ERR_OK) {
        return e;
    }
    if (m.session_present && m.reason != MQTT_SUCCESS) {
        return ERR_PROTOCOL; /* [MQTT-3.2.2-6] */
    }
    if (from->version == MQTT_50) {
        mqtt_section_read(&w, MQTT_CONNACK, from, &m.props);
    }
    e = field_end(&w);
    if (e != ERR_OK) {
        return e;
    }
    *ret_connack = m;
    return ERR_OK;
}

enum err mqtt_connack_encode(struct buf *out, enum mqtt_version version,
                             const struct mqtt_connack *m)
{
    struct section s = {0};
    enum err e = mqtt_section_measure(version, MQTT_CONNACK, &m->props, &s);
    if (e != ERR_OK) {
        return e;
    }
    if (!mqtt_reason_allowed((uint8_t)m->reason, MQTT_CONNACK, MQTT_FROM_SERVER)) {
        return ERR_RANGE;
    }
    struct pen p = {0};
    e = pen_begin(out, field_head(MQTT_CONNACK, 0), 2 + s.size, &p);
    if (e != ERR_OK) {
        return e;
    }
    bool present = m->session_present && m->reason == MQTT_SUCCESS;
    pen_u8(&p, present ? CONNACK_SESSION_PRESENT : 0);
    pen_u8(&p, version == MQTT_311 ? code_311(m->reason) : (uint8_t)m->reason);
    mqtt_section_write(&p, &s, &m->props);
    return pen_end(out, &p);
}
