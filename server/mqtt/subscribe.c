#include "mqtt/subscribe.h"

#include "mqtt/section.h"
#include "mqtt/topic.h"

enum subscribe_option {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RETAIN_HANDLING_SHIFT = 4,
    OPTIONS_311 = 0x03,
    OPTIONS_50 = 0x3F,
};

/* Reads one entry as it is; what it says is checked elsewhere. */
static uint8_t read_entry(struct wire *w, struct mqtt_subscription *ret_subscription)
{
    struct view filter = field_bytes(w);
    uint8_t options = wire_u8(w);
    *ret_subscription = (struct mqtt_subscription){
        .filter = filter,
        .qos = options & OPTION_QOS,
        .no_local = (options & OPTION_NO_LOCAL) != 0,
        .retain_as_published = (options & OPTION_RETAIN_AS_PUBLISHED) != 0,
        .retain_handling = (options & OPTION_RETAIN_HANDLING) >> OPTION_RETAIN_HANDLING_SHIFT,
    };
    return options;
}

static enum err check_filter(struct view filter)
{
    if (!utf8_valid_mqtt(filter)) {
        return ERR_UTF8;
    }
    if (mqtt_filter_valid(filter)) {
        return ERR_OK;
    }
    return view_starts(filter, VIEW("$share/")) ? ERR_PROTOCOL : ERR_MALFORMED; /* 4.8.2 */
}

static enum err check_entry(const struct mqtt_subscription *s, uint8_t options,
                            enum mqtt_version version)
{
    unsigned known = version == MQTT_311 ? OPTIONS_311 : OPTIONS_50;
    if ((options & ~known) != 0) {
        return ERR_MALFORMED; /* [MQTT-3.8.3-5]; 3.1.1: [MQTT-3-8.3-4] */
    }
    if (s->qos == 3) {
        return version == MQTT_311 ? ERR_MALFORMED : ERR_PROTOCOL; /* 3.8.3.1 */
    }
    if (s->retain_handling == 3) {
        return ERR_PROTOCOL; /* 3.8.3.1 */
    }
    enum err e = check_filter(s->filter);
    if (e != ERR_OK) {
        return e;
    }
    bool shared = mqtt_filter_split(s->filter).group.len > 0;
    return shared && s->no_local ? ERR_PROTOCOL : ERR_OK; /* [MQTT-3.8.3-4] */
}

enum err mqtt_subscribe_decode(struct view body, const struct mqtt_source *from,
                               struct mqtt_subscribe *ret_subscribe)
{
    struct wire w = wire_init(body);
    struct mqtt_subscribe m = {.packet_id = field_packet_id(&w)};
    if (from->version == MQTT_50) {
        mqtt_section_read(&w, MQTT_SUBSCRIBE, from, &m.props);
    }
    if (wire_err(&w) != ERR_OK) {
        return wire_err(&w);
    }
    m.entries = view_of(w.at, wire_left(&w));
    while (wire_left(&w) > 0) {
        struct mqtt_subscription s;
        uint8_t options = read_entry(&w, &s);
        enum err e = wire_err(&w);
        if (e == ERR_OK) {
            e = check_entry(&s, options, from->version);
        }
        if (e != ERR_OK) {
            return e;
        }
        m.count++;
    }
    if (m.count == 0) {
        return ERR_PROTOCOL; /* [MQTT-3.8.3-2] */
    }
    *ret_subscribe = m;
    return ERR_OK;
}

enum err mqtt_subscribe_encode(struct buf *out, enum mqtt_version version,
                               const struct mqtt_subscribe *m)
{
    if (m->entries.len == 0) {
        return ERR_RANGE;
    }
    return mqtt_list_encode(out, MQTT_SUBSCRIBE, version, m->packet_id, &m->props, m->entries);
}

struct mqtt_subscription_iter mqtt_subscription_iter(const struct mqtt_subscribe *m)
{
    return (struct mqtt_subscription_iter){.left = m->entries};
}

bool mqtt_subscription_next(struct mqtt_subscription_iter *it,
                            struct mqtt_subscription *ret_subscription)
{
    if (it->left.len == 0) {
        return false;
    }
    struct wire w = wire_init(it->left);
    struct mqtt_subscription s;
    (void)read_entry(&w, &s);
    if (wire_err(&w) != ERR_OK) {
        return false;
    }
    it->left = view_of(w.at, wire_left(&w));
    *ret_subscription = s;
    return true;
}

enum err mqtt_subscription_put(struct buf *entries, enum mqtt_version version,
                               const struct mqtt_subscription *s)
{
    if (s->qos > 2 || s->retain_handling > 2 || s->filter.len == 0 ||
        s->filter.len > FIELD_TEXT_MAX) {
        return ERR_RANGE;
    }
    unsigned options = s->qos;
    if (version == MQTT_50) {
        options |= s->no_local ? OPTION_NO_LOCAL : 0u;
        options |= s->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0u;
        options |= (unsigned)s->retain_handling << OPTION_RETAIN_HANDLING_SHIFT;
    }
    size_t total = 2 + s->filter.len + 1;
    uint8_t *room = buf_room(entries, total);
    if (room == NULL) {
        return buf_err(entries);
    }
    struct pen p = {.at = room, .end = room + total};
    pen_bytes(&p, s->filter);
    pen_u8(&p, (uint8_t)options);
    return pen_end(entries, &p);
}

enum err mqtt_unsubscribe_decode(struct view body, const struct mqtt_source *from,
                                 struct mqtt_unsubscribe *ret_unsubscribe)
{
    struct wire w = wire_init(body);
    struct mqtt_unsubscribe m = {.packet_id = field_packet_id(&w)};
    if (from->version == MQTT_50) {
        mqtt_section_read(&w, MQTT_UNSUBSCRIBE, from, &m.props);
    }
    if (wire_err(&w) != ERR_OK) {
        return wire_err(&w);
    }
    m.entries = view_of(w.at, wire_left(&w));
    while (wire_left(&w) > 0) {
        struct view filter = field_bytes(&w);
        enum err e = wire_err(&w) == ERR_OK ? check_filter(filter) : wire_err(&w);
        if (e != ERR_OK) {
            return e;
        }
        m.count++;
    }
    if (m.count == 0) {
        return ERR_PROTOCOL; /* [MQTT-3.10.3-2] */
    }
    *ret_unsubscribe = m;
    return ERR_OK;
}

enum err mqtt_unsubscribe_encode(struct buf *out, enum mqtt_version version,
                                 const struct mqtt_unsubscribe *m)
{
    if (m->entries.len == 0) {
        return ERR_RANGE;
    }
    return mqtt_list_encode(out, MQTT_UNSUBSCRIBE, version, m->packet_id, &m->props, m->entries);
}

struct mqtt_unsubscribe_iter mqtt_unsubscribe_iter(const struct mqtt_unsubscribe *m)
{
    return (struct mqtt_unsubscribe_iter){.left = m->entries};
}

bool mqtt_unsubscribe_next(struct mqtt_unsubscribe_iter *it, struct view *ret_filter)
{
    if (it->left.len == 0) {
        return false;
    }
    struct wire w = wire_init(it->left);
    struct view filter = field_bytes(&w);
    if (wire_err(&w) != ERR_OK) {
        return false;
    }
    it->left = view_of(w.at, wire_left(&w));
    *ret_filter = filter;
    return true;
}

enum err mqtt_unsubscribe_put(struct buf *entries, struct view filter)
{
    if (filter.len == 0 || filter.len > FIELD_TEXT_MAX) {
        return ERR_RANGE;
    }
    uint8_t *room = buf_room(entries, 2 + filter.len);
    if (room == NULL) {
        return buf_err(entries);
    }
    struct pen p = {.at = room, .end = room + 2 + filter.len};
    pen_bytes(&p, filter);
    return pen_end(entries, &p);
}
