/*
 * Happy path: one walk over the section; the id finds its row in the table, the row says how the
 * value is read, checked and where it goes.
 * Failure modes: see include/mqtt/props.h. Time is linear in the section's length: a duplicate is a
 * bit test, user properties are counted and left where they are.
 * Not here: meaning. What a session expiry or an alias does is the session's business.
 */
#include "mqtt/section.h"

#define BIT(name) (1u << MQTT_PROP_##name)

/* Properties that a packet has in one direction only. */
static bool sender_allowed(enum mqtt_prop prop, enum mqtt_type type, enum mqtt_sender sender)
{
    if (type == MQTT_PUBLISH && prop == MQTT_PROP_SUBSCRIPTION_ID) {
        return sender == MQTT_FROM_SERVER; /* [MQTT-3.3.4-6] */
    }
    if (type == MQTT_DISCONNECT && prop == MQTT_PROP_SESSION_EXPIRY) {
        return sender == MQTT_FROM_CLIENT; /* [MQTT-3.14.2-2] */
    }
    return true;
}

static void store(struct mqtt_props *props, const struct mqtt_prop_rule *rule, const void *value,
                  size_t len)
{
    memcpy((uint8_t *)props + rule->offset, value, len);
}

static void read_number(struct wire *w, const struct mqtt_prop_rule *rule, struct mqtt_props *props)
{
    enum kind kind = (enum kind)rule->kind;
    if (kind == KIND_BOOL) {
        uint8_t byte = wire_u8(w);
        if (byte > 1) {
            wire_fail(w, ERR_PROTOCOL);
        }
        store(props, rule, &byte, sizeof(byte));
        return;
    }
    if (kind == KIND_U16 || kind == KIND_U16_1) {
        uint16_t number = wire_u16(w);
        if (number == 0 && kind == KIND_U16_1) {
            wire_fail(w, ERR_PROTOCOL);
        }
        store(props, rule, &number, sizeof(number));
        return;
    }
    uint32_t number = wire_u32(w);
    if (number == 0 && kind == KIND_U32_1) {
        wire_fail(w, ERR_PROTOCOL);
    }
    store(props, rule, &number, sizeof(number));
}

static void read_string(struct wire *w, const struct mqtt_prop_rule *rule, struct mqtt_props *props)
{
    struct view value = rule->kind == KIND_BYTES ? field_bytes(w) : field_text(w);
    if (rule->kind == KIND_TOPIC && wire_err(w) == ERR_OK && mqtt_topic_check(value) != ERR_OK) {
        wire_fail(w, ERR_PROTOCOL); /* [MQTT-3.3.2-14], [MQTT-4.7.3-1] */
    }
    store(props, rule, &value, sizeof(value));
}

/* The part of the section from the first to the last of a repeated property. */
static void span_grow(struct view *span, const uint8_t *from, const uint8_t *to)
{
    const uint8_t *start = span->data == NULL ? from : span->data;
    *span = view_of(start, (size_t)(to - start));
}

static void read_user(struct wire *w, const uint8_t *from, const struct mqtt_limits *limits,
                      size_t *bytes, struct mqtt_props *props)
{
    struct view name = field_text(w);
    struct view value = field_text(w);
    *bytes += name.len + value.len;
    props->user_count++;
    if (wire_err(w) == ERR_OK &&
        (props->user_count > limits->user_props_max || *bytes > limits->user_props_bytes_max)) {
        wire_fail(w, ERR_LIMIT);
    }
    span_grow(&props->user, from, w->at);
}

static void read_subscription_id(struct wire *w, const uint8_t *from, struct mqtt_props *props)
{
    if (field_varint(w) == 0) {
        wire_fail(w, ERR_PROTOCOL); /* 3.8.2.1.2 */
    }
    props->subscription_id_count++;
    span_grow(&props->subscription_ids, from, w->at);
}

static void read_value(struct wire *w, const uint8_t *from, const struct mqtt_limits *limits,
                       size_t *user_bytes, const struct mqtt_prop_rule *rule,
                       struct mqtt_props *props)
{
    switch ((enum kind)rule->kind) {
    case KIND_BOOL:
    case KIND_U16:
    case KIND_U16_1:
    case KIND_U32:
    case KIND_U32_1:
        read_number(w, rule, props);
        break;
    case KIND_TEXT:
    case KIND_TOPIC:
    case KIND_BYTES:
        read_string(w, rule, props);
        break;
    case KIND_VARINT:
        read_subscription_id(w, from, props);
        break;
    case KIND_PAIR:
        read_user(w, from, limits, user_bytes, props);
        break;
    }
}

static enum err read_all(struct view section, enum mqtt_type type, const struct mqtt_source *from,
                         struct mqtt_props *props)
{
    struct wire w = wire_init(section);
    unsigned repeatable = BIT(USER) | (type == MQTT_PUBLISH ? BIT(SUBSCRIPTION_ID) : 0u);
    size_t user_bytes = 0;
    while (wire_left(&w) > 0) {
        const uint8_t *start = w.at;
        unsigned row = 0;
        if (!mqtt_prop_find(wire_u8(&w), &row) ||
            (mqtt_prop_rules[row].packets >> type & 1u) == 0) {
            return ERR_MALFORMED; /* 2.2.2.2 */
        }
        if ((props->present >> row & 1u) != 0 && (repeatable >> row & 1u) == 0) {
            return ERR_PROTOCOL;
        }
        props->present |= 1u << row;
        read_value(&w, start, &from->limits, &user_bytes, &mqtt_prop_rules[row], props);
        if (!sender_allowed((enum mqtt_prop)row, type, from->sender)) {
            wire_fail(&w, ERR_PROTOCOL);
        }
    }
    /* The section is complete, so a value that runs past its end is a lie, not a short read. */
    return wire_err(&w) == ERR_SHORT ? ERR_MALFORMED : wire_err(&w);
}

enum err mqtt_props_check_together(enum mqtt_type type, const struct mqtt_props *props)
{
    bool method = mqtt_has(props, MQTT_PROP_AUTH_METHOD);
    if (!method && (mqtt_has(props, MQTT_PROP_AUTH_DATA) || type == MQTT_AUTH)) {
        return ERR_PROTOCOL; /* 3.1.2.11.10, 3.15.2.2.2 */
    }
    return ERR_OK;
}

void mqtt_section_read(struct wire *w, enum mqtt_type type, const struct mqtt_source *from,
                       struct mqtt_props *props)
{
    struct view section = wire_bytes(w, field_varint(w));
    if (wire_err(w) != ERR_OK) {
        return;
    }
    enum err e = section.len == 0 ? ERR_OK : read_all(section, type, from, props);
    if (e == ERR_OK) {
        e = mqtt_props_check_together(type, props);
    }
    if (e != ERR_OK) {
        wire_fail(w, e);
        return;
    }
    props->section = section;
}
