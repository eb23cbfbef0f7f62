#include "mqtt/section.h"

static void load(const struct mqtt_props *props, const struct mqtt_prop_rule *rule, void *ret_value,
                 size_t len)
{
    memcpy(ret_value, (const uint8_t *)props + rule->offset, len);
}

static size_t span_size(struct view span, unsigned row, uint32_t *ret_count)
{
    struct view bytes;
    size_t size = 0;
    uint32_t count = 0;
    while (mqtt_span_next(&span, 1u << row, &bytes)) {
        size += bytes.len;
        count++;
    }
    *ret_count = count;
    return size;
}

static enum err measure_number(const struct mqtt_prop_rule *rule, const struct mqtt_props *props,
                               size_t *ret_size)
{
    enum kind kind = (enum kind)rule->kind;
    if (kind == KIND_BOOL) {
        uint8_t byte = 0;
        load(props, rule, &byte, sizeof(byte));
        *ret_size = 1 + sizeof(byte);
        return byte <= 1 ? ERR_OK : ERR_RANGE;
    }
    if (kind == KIND_U16 || kind == KIND_U16_1) {
        uint16_t number = 0;
        load(props, rule, &number, sizeof(number));
        *ret_size = 1 + sizeof(number);
        return number > 0 || kind == KIND_U16 ? ERR_OK : ERR_RANGE;
    }
    uint32_t number = 0;
    load(props, rule, &number, sizeof(number));
    *ret_size = 1 + sizeof(number);
    return number > 0 || kind == KIND_U32 ? ERR_OK : ERR_RANGE;
}

static enum err measure_value(unsigned row, enum mqtt_type type, const struct mqtt_props *props,
                              size_t *ret_size)
{
    const struct mqtt_prop_rule *rule = &mqtt_prop_rules[row];
    struct view value;
    uint32_t count = 0;
    switch ((enum kind)rule->kind) {
    case KIND_PAIR:
        *ret_size = span_size(props->user, row, &count);
        return ERR_OK;
    case KIND_VARINT:
        *ret_size = span_size(props->subscription_ids, row, &count);
        return count > 1 && type != MQTT_PUBLISH ? ERR_PROTOCOL : ERR_OK;
    case KIND_TEXT:
    case KIND_TOPIC:
    case KIND_BYTES:
        load(props, rule, &value, sizeof(value));
        *ret_size = 1 + 2 + value.len;
        return value.len > FIELD_TEXT_MAX ? ERR_RANGE : ERR_OK;
    case KIND_BOOL:
    case KIND_U16:
    case KIND_U16_1:
    case KIND_U32:
    case KIND_U32_1:
        break;
    }
    return measure_number(rule, props, ret_size);
}

enum err mqtt_section_measure(enum mqtt_version version, enum mqtt_type type,
                              const struct mqtt_props *props, struct section *ret_section)
{
    struct section s = {0};
    if (version == MQTT_311) {
        *ret_section = s;
        return ERR_OK;
    }
    for (unsigned left = props->present; left != 0; left &= left - 1) {
        unsigned row = (unsigned)__builtin_ctz(left);
        if (row >= MQTT_PROP_COUNT || (mqtt_prop_rules[row].packets >> type & 1u) == 0) {
            return ERR_PROTOCOL;
        }
        size_t size = 0;
        enum err e = measure_value(row, type, props, &size);
        if (e != ERR_OK) {
            return e;
        }
        s.len += size;
    }
    if (s.len > MQTT_REMAINING_MAX) {
        return ERR_LIMIT;
    }
    s.size = field_varint_size(s.len) + s.len;
    *ret_section = s;
    return mqtt_props_check_together(type, props);
}

static void write_span(struct pen *p, struct view span, unsigned row)
{
    struct view bytes;
    while (mqtt_span_next(&span, 1u << row, &bytes)) {
        pen_raw(p, bytes);
    }
}

static void write_value(struct pen *p, unsigned row, const struct mqtt_props *props)
{
    const struct mqtt_prop_rule *rule = &mqtt_prop_rules[row];
    if (rule->kind == KIND_PAIR || rule->kind == KIND_VARINT) {
        write_span(p, rule->kind == KIND_PAIR ? props->user : props->subscription_ids, row);
        return;
    }
    uint8_t byte = 0;
    uint16_t half = 0;
    uint32_t word = 0;
    struct view value;
    pen_u8(p, rule->id);
    switch ((enum kind)rule->kind) {
    case KIND_BOOL:
        load(props, rule, &byte, sizeof(byte));
        pen_u8(p, byte);
        break;
    case KIND_U16:
    case KIND_U16_1:
        load(props, rule, &half, sizeof(half));
        pen_u16(p, half);
        break;
    case KIND_U32:
    case KIND_U32_1:
        load(props, rule, &word, sizeof(word));
        pen_u32(p, word);
        break;
    case KIND_TEXT:
    case KIND_TOPIC:
    case KIND_BYTES:
    case KIND_VARINT:
    case KIND_PAIR:
        load(props, rule, &value, sizeof(value));
        pen_bytes(p, value);
        break;
    }
}

void mqtt_section_write(struct pen *p, const struct section *s, const struct mqtt_props *props)
{
    if (s->size == 0) {
        return;
    }
    pen_varint(p, (uint32_t)s->len);
    for (unsigned left = props->present; left != 0; left &= left - 1) {
        write_value(p, (unsigned)__builtin_ctz(left), props);
    }
}
