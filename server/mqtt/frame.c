#include "mqtt/frame.h"

#include "mqtt/field.h"

const struct mqtt_limits mqtt_limits_default = {
    .user_props_max = 32,
    .user_props_bytes_max = 8192,
};

/* For each type the flags that are allowed, as a set. PUBLISH: QoS 3 is not [MQTT-3.3.1-4], nor is
 * DUP with QoS 0 [MQTT-3.3.1-2]. The rest is fixed [MQTT-2.1.3-1]. */
static const uint16_t flags_allowed[16] = {
    [MQTT_CONNECT] = 1u << 0,     [MQTT_CONNACK] = 1u << 0,    [MQTT_PUBLISH] = 0x3C3F,
    [MQTT_PUBACK] = 1u << 0,      [MQTT_PUBREC] = 1u << 0,     [MQTT_PUBREL] = 1u << 2,
    [MQTT_PUBCOMP] = 1u << 0,     [MQTT_SUBSCRIBE] = 1u << 2,  [MQTT_SUBACK] = 1u << 0,
    [MQTT_UNSUBSCRIBE] = 1u << 2, [MQTT_UNSUBACK] = 1u << 0,   [MQTT_PINGREQ] = 1u << 0,
    [MQTT_PINGRESP] = 1u << 0,    [MQTT_DISCONNECT] = 1u << 0, [MQTT_AUTH] = 1u << 0,
};

enum err mqtt_frame(struct view in, uint32_t limit_bytes, struct mqtt_frame *ret_frame)
{
    if (in.len == 0) {
        return ERR_SHORT;
    }
    uint8_t head = in.data[0];
    if ((flags_allowed[head >> 4] >> (head & 0x0Fu) & 1u) == 0) {
        return ERR_MALFORMED;
    }
    size_t remaining = 0;
    size_t at = 1;
    uint8_t byte;
    do {
        if (at > FIELD_VARINT_BYTES_MAX) {
            return ERR_MALFORMED; /* the fourth byte asked for a fifth */
        }
        if (at == in.len) {
            return ERR_SHORT;
        }
        byte = in.data[at];
        remaining |= (size_t)(byte & 0x7Fu) << (7 * (at - 1));
        at++;
    } while ((byte & 0x80u) != 0);
    if (byte == 0 && at > 2) {
        return ERR_MALFORMED; /* longer than it need be */
    }
    size_t total = at + remaining;
    if (total > limit_bytes) {
        return ERR_LIMIT;
    }
    if (in.len < total) {
        return ERR_SHORT;
    }
    *ret_frame = (struct mqtt_frame){
        .head = head,
        .type = (enum mqtt_type)(head >> 4),
        .body = view_of(in.data + at, remaining),
        .total = total,
    };
    return ERR_OK;
}

const char *mqtt_type_words(enum mqtt_type type)
{
    switch (type) {
#define TYPE_WORDS(name, value, words) \
    case name:                         \
        return words;
        MQTT_TYPE_LIST(TYPE_WORDS)
#undef TYPE_WORDS
    case MQTT_WILL:
        break;
    }
    return "?";
}
