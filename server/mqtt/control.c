#include "mqtt/control.h"

#include "mqtt/section.h"

enum err mqtt_ping_decode(struct view body)
{
    return body.len == 0 ? ERR_OK : ERR_MALFORMED;
}

enum err mqtt_ping_encode(struct buf *out, enum mqtt_type type)
{
    CHECK(type == MQTT_PINGREQ || type == MQTT_PINGRESP);
    struct pen p = {0};
    enum err e = pen_begin(out, field_head(type, 0), 0, &p);
    return e != ERR_OK ? e : pen_end(out, &p);
}

/* Appends reason and section, each left out where the standard lets it be. */
static enum err encode(struct buf *out, enum mqtt_type type, enum mqtt_reason reason,
                       const struct section *s, const struct mqtt_props *props)
{
    bool bare = props->present == 0;
    bool empty = bare && reason == MQTT_SUCCESS;
    /* DISCONNECT may end after the reason (3.14.2.2.1). AUTH may not, but it is never bare: only
     * with success can it be without its method. */
    size_t remaining = empty ? 0 : bare ? 1 : 1 + s->size;
    struct pen p = {0};
    enum err e = pen_begin(out, field_head(type, 0), remaining, &p);
    if (e != ERR_OK) {
        return e;
    }
    if (!empty) {
        pen_u8(&p, (uint8_t)reason);
    }
    if (!bare) {
        mqtt_section_write(&p, s, props);
    }
    return pen_end(out, &p);
}

enum err mqtt_disconnect_decode(struct view body, const struct mqtt_source *from,
                                struct mqtt_disconnect *ret_disconnect)
{
    struct wire w = wire_init(body);
    struct mqtt_disconnect m = {.reason = MQTT_SUCCESS};
    if (from->version == MQTT_50 && wire_left(&w) > 0) {
        /* Any: it is the last word on this connection, and who has said it reads no answer. */
        m.reason = (enum mqtt_reason)wire_u8(&w);
        if (wire_left(&w) > 0) {
            mqtt_section_read(&w, MQTT_DISCONNECT, from, &m.props);
        }
    }
    enum err e = field_end(&w);
    if (e != ERR_OK) {
        return e;
    }
    *ret_disconnect = m;
    return ERR_OK;
}

enum err mqtt_disconnect_encode(struct buf *out, enum mqtt_version version,
                                const struct mqtt_disconnect *m)
{
    if (version == MQTT_311) {
        static const struct mqtt_props none = {0};
        return encode(out, MQTT_DISCONNECT, MQTT_SUCCESS, NULL, &none);
    }
    struct section s = {0};
    enum err e = mqtt_section_measure(version, MQTT_DISCONNECT, &m->props, &s);
    if (e != ERR_OK) {
        return e;
    }
    if ((unsigned)m->reason > UINT8_MAX) {
        return ERR_RANGE;
    }
    return encode(out, MQTT_DISCONNECT, m->reason, &s, &m->props);
}

enum err mqtt_auth_decode(struct view body, const struct mqtt_source *from,
                          struct mqtt_auth *ret_auth)
{
    if (from->version == MQTT_311) {
        return ERR_MALFORMED; /* 3.1.1: type 15 is reserved */
    }
    struct wire w = wire_init(body);
    bool empty = wire_left(&w) == 0; /* means success, without properties (3.15.2.1) */
    uint8_t code = empty ? (uint8_t)MQTT_SUCCESS : wire_u8(&w);
    if (!mqtt_reason_allowed(code, MQTT_AUTH, from->sender)) {
        return ERR_PROTOCOL; /* [MQTT-3.15.2-1] */
    }
    struct mqtt_auth m = {.reason = (enum mqtt_reason)code};
    if (!empty) {
        mqtt_section_read(&w, MQTT_AUTH, from, &m.props);
    }
    enum err e = field_end(&w);
    if (e != ERR_OK) {
        return e;
    }
    *ret_auth = m;
    return ERR_OK;
}

enum err mqtt_auth_encode(struct buf *out, enum mqtt_version version, const struct mqtt_auth *m)
{
    if (version == MQTT_311) {
        return ERR_UNSUPPORTED;
    }
    if ((unsigned)m->reason > UINT8_MAX) {
        return ERR_RANGE;
    }
    struct section s = {0};
    if (m->props.present != 0 || m->reason != MQTT_SUCCESS) {
        enum err e = mqtt_section_measure(version, MQTT_AUTH, &m->props, &s);
        if (e != ERR_OK) {
            return e;
        }
    }
    return encode(out, MQTT_AUTH, m->reason, &s, &m->props);
}
