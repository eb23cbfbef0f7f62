#include "mqtt/props.h"

#include "mqtt/section.h"

const struct mqtt_prop_rule mqtt_prop_rules[MQTT_PROP_COUNT] = {
#define RULE(name, id, field, kind, packets) \
    {(id), KIND_##kind, (uint16_t)(packets), offsetof(struct mqtt_props, field)},
    MQTT_PROP_LIST(RULE)
#undef RULE
};

/* From the id on the wire to the row, plus one; 0: no such property. Every id is one byte. */
static const uint8_t row_of_id[0x80] = {
#define ROW(name, id, field, kind, packets) [id] = MQTT_PROP_##name + 1,
    MQTT_PROP_LIST(ROW)
#undef ROW
};

const char *mqtt_prop_words(enum mqtt_prop prop)
{
    static const char *const words[] = {
#define WORDS(name, id, field, kind, packets) #name,
        MQTT_PROP_LIST(WORDS)
#undef WORDS
    };
    return (unsigned)prop < MQTT_PROP_COUNT ? words[prop] : "?";
}

bool mqtt_prop_find(uint8_t id, unsigned *ret_row)
{
    if (id >= sizeof(row_of_id) || row_of_id[id] == 0) {
        return false;
    }
    *ret_row = row_of_id[id] - 1u;
    return true;
}

/* Bytes of a value whose kind is known, without looking into it; for walking what was checked. */
static void value_skip(struct wire *w, enum kind kind)
{
    switch (kind) {
    case KIND_BOOL:
        (void)wire_u8(w);
        break;
    case KIND_U16:
    case KIND_U16_1:
        (void)wire_u16(w);
        break;
    case KIND_U32:
    case KIND_U32_1:
        (void)wire_u32(w);
        break;
    case KIND_VARINT:
        (void)field_varint(w);
        break;
    case KIND_PAIR:
        (void)field_bytes(w);
        (void)field_bytes(w);
        break;
    case KIND_TEXT:
    case KIND_TOPIC:
    case KIND_BYTES:
        (void)field_bytes(w);
        break;
    }
}

bool mqtt_span_next(struct view *left, uint32_t want, struct view *ret_bytes)
{
    if (left->len == 0) {
        return false;
    }
    struct wire w = wire_init(*left);
    while (wire_left(&w) > 0) {
        const uint8_t *start = w.at;
        unsigned row = 0;
        if (!mqtt_prop_find(wire_u8(&w), &row)) {
            break;
        }
        value_skip(&w, (enum kind)mqtt_prop_rules[row].kind);
        if (wire_err(&w) != ERR_OK) {
            break;
        }
        if ((want >> row & 1u) != 0) {
            *ret_bytes = view_of(start, (size_t)(w.at - start));
            *left = view_of(w.at, wire_left(&w));
            return true;
        }
    }
    *left = (struct view){NULL, 0};
    return false;
}

struct mqtt_user_iter mqtt_user_iter(const struct mqtt_props *props)
{
    bool has = mqtt_has(props, MQTT_PROP_USER);
    return (struct mqtt_user_iter){.left = has ? props->user : (struct view){NULL, 0}};
}

bool mqtt_user_next(struct mqtt_user_iter *it, struct view *ret_name, struct view *ret_value)
{
    struct view bytes;
    if (!mqtt_span_next(&it->left, 1u << MQTT_PROP_USER, &bytes)) {
        return false;
    }
    struct wire w = wire_init(view_skip(bytes, 1));
    *ret_name = field_bytes(&w);
    *ret_value = field_bytes(&w);
    return true;
}

enum err mqtt_user_put(struct buf *out, struct view name, struct view value)
{
    if (name.len > FIELD_TEXT_MAX || value.len > FIELD_TEXT_MAX) {
        return ERR_RANGE;
    }
    size_t total = 1 + 2 + name.len + 2 + value.len;
    uint8_t *room = buf_room(out, total);
    if (room == NULL) {
        return buf_err(out);
    }
    struct pen p = {.at = room, .end = room + total};
    pen_u8(&p, mqtt_prop_rules[MQTT_PROP_USER].id);
    pen_bytes(&p, name);
    pen_bytes(&p, value);
    return pen_end(out, &p);
}

struct mqtt_subscription_id_iter mqtt_subscription_id_iter(const struct mqtt_props *props)
{
    bool has = mqtt_has(props, MQTT_PROP_SUBSCRIPTION_ID);
    return (struct mqtt_subscription_id_iter){.left = has ? props->subscription_ids
                                                          : (struct view){NULL, 0}};
}

bool mqtt_subscription_id_next(struct mqtt_subscription_id_iter *it, uint32_t *ret_id)
{
    struct view bytes;
    if (!mqtt_span_next(&it->left, 1u << MQTT_PROP_SUBSCRIPTION_ID, &bytes)) {
        return false;
    }
    struct wire w = wire_init(view_skip(bytes, 1));
    *ret_id = field_varint(&w);
    return true;
}

enum err mqtt_subscription_id_put(struct buf *out, uint32_t id)
{
    if (id == 0 || id > MQTT_REMAINING_MAX) {
        return ERR_RANGE;
    }
    size_t total = 1 + field_varint_size(id);
    uint8_t *room = buf_room(out, total);
    if (room == NULL) {
        return buf_err(out);
    }
    struct pen p = {.at = room, .end = room + total};
    pen_u8(&p, mqtt_prop_rules[MQTT_PROP_SUBSCRIPTION_ID].id);
    pen_varint(&p, id);
    return pen_end(out, &p);
}

uint32_t mqtt_subscription_id_first(const struct mqtt_props *props)
{
    struct mqtt_subscription_id_iter it = mqtt_subscription_id_iter(props);
    uint32_t id = 0;
    return mqtt_subscription_id_next(&it, &id) ? id : 0;
}
