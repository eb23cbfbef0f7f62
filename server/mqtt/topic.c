#include "mqtt/topic.h"

#include "mqtt/field.h"

/* Eight bytes at a time: does a word hold a byte that needs a closer look? */
static inline uint64_t has_char(uint64_t word, char c)
{
    const uint64_t low = 0x0101010101010101ULL;
    uint64_t zero = word ^ low * (uint8_t)c;
    return (zero - low) & ~zero & low * 0x80;
}

static inline uint64_t suspects(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return utf8_suspects(word) | has_char(word, '+') | has_char(word, '#');
}

/* Only printable ASCII, and no wildcard: nearly every topic of nearly every device. */
static inline bool plain_ascii(struct view v)
{
    const uint8_t *at = v.data;
    size_t left = v.len;
    if (left >= 8) {
        uint64_t found = 0;
        for (; left >= 8; at += 8, left -= 8) {
            found |= suspects(at);
        }
        /* The last eight again, so that no tail is left. */
        return (found | suspects(v.data + v.len - 8)) == 0;
    }
    for (; left > 0; at++, left--) {
        if (*at < 0x20 || *at >= 0x7F || *at == '+' || *at == '#') {
            return false;
        }
    }
    return true;
}

static bool has_byte(struct view v, uint8_t byte)
{
    return memchr(v.data, byte, v.len) != NULL;
}

enum err mqtt_topic_check(struct view topic)
{
    if (topic.len == 0) {
        return ERR_PROTOCOL; /* [MQTT-4.7.3-1] */
    }
    if (topic.len > FIELD_TEXT_MAX) {
        return ERR_MALFORMED;
    }
    if (plain_ascii(topic)) {
        return ERR_OK;
    }
    if (!utf8_valid_mqtt(topic)) {
        return ERR_UTF8;
    }
    /* [MQTT-3.3.2-2] */
    return has_byte(topic, '+') || has_byte(topic, '#') ? ERR_MALFORMED : ERR_OK;
}

bool mqtt_topic_name_valid(struct view topic)
{
    return mqtt_topic_check(topic) == ERR_OK;
}

static const struct view share_prefix = {(const uint8_t *)"$share/", 7};

/* `rest` is what follows "$share/"; its first '/' ends the group. */
static size_t group_len(struct view rest)
{
    const uint8_t *slash = rest.len == 0 ? NULL : memchr(rest.data, '/', rest.len);
    return slash == NULL ? rest.len : (size_t)(slash - rest.data);
}

struct mqtt_share mqtt_filter_split(struct view filter)
{
    if (view_starts(filter, share_prefix)) {
        struct view rest = view_skip(filter, share_prefix.len);
        size_t len = group_len(rest);
        if (len > 0 && len < rest.len) {
            return (struct mqtt_share){.group = view_of(rest.data, len),
                                       .filter = view_skip(rest, len + 1)};
        }
    }
    return (struct mqtt_share){.group = {NULL, 0}, .filter = filter};
}

/* Wildcards fill a whole level, '#' only the last [MQTT-4.7.1-1, -2]. */
static bool wildcards_valid(struct view f)
{
    for (size_t i = 0; i < f.len; i++) {
        uint8_t byte = f.data[i];
        if (byte != '+' && byte != '#') {
            continue;
        }
        bool last = i + 1 == f.len;
        if (i > 0 && f.data[i - 1] != '/') {
            return false;
        }
        if (!last && (byte == '#' || f.data[i + 1] != '/')) {
            return false;
        }
    }
    return f.len > 0;
}

bool mqtt_filter_valid(struct view filter)
{
    if (filter.len == 0 || filter.len > FIELD_TEXT_MAX || !utf8_valid_mqtt(filter)) {
        return false;
    }
    if (!view_starts(filter, share_prefix)) {
        return wildcards_valid(filter);
    }
    struct mqtt_share share = mqtt_filter_split(filter);
    return share.group.len > 0 && !has_byte(share.group, '+') && !has_byte(share.group, '#') &&
           wildcards_valid(share.filter);
}

bool mqtt_topic_depth_within(struct view topic_or_filter, uint32_t levels_max)
{
    struct view f = mqtt_filter_split(topic_or_filter).filter;
    uint32_t levels = 1;
    for (size_t i = 0; i < f.len && levels <= levels_max; i++) {
        levels += f.data[i] == '/';
    }
    return levels <= levels_max;
}

/* [MQTT-4.7.2-1] */
static bool hides_from_wildcard(struct view filter, struct view topic)
{
    return topic.len > 0 && topic.data[0] == '$' && filter.len > 0 &&
           (filter.data[0] == '+' || filter.data[0] == '#');
}

static size_t level_end(struct view topic, size_t at)
{
    while (at < topic.len && topic.data[at] != '/') {
        at++;
    }
    return at;
}

bool mqtt_filter_matches(struct view filter, struct view topic)
{
    struct view f = mqtt_filter_split(filter).filter;
    if (hides_from_wildcard(f, topic)) {
        return false;
    }
    size_t t = 0;
    for (size_t i = 0; i < f.len; i++) {
        if (f.data[i] == '#') {
            return true;
        }
        if (f.data[i] == '+') {
            t = level_end(topic, t);
            continue;
        }
        if (t == topic.len) {
            /* "sport/#" matches "sport" too: '#' includes its parent (4.7.1.2). */
            return f.len - i == 2 && f.data[i] == '/' && f.data[i + 1] == '#';
        }
        if (f.data[i] != topic.data[t]) {
            return false;
        }
        t++;
    }
    return t == topic.len;
}

/* The levels of a filter one by one; `more` is false after the last. */
struct levels {
    struct view left;
    struct view level;
    bool more;
};

static void levels_next(struct levels *l)
{
    l->more = l->left.data != NULL;
    if (!l->more) {
        return;
    }
    const uint8_t *slash = l->left.len == 0 ? NULL : memchr(l->left.data, '/', l->left.len);
    if (slash == NULL) {
        l->level = l->left;
        l->left = (struct view){NULL, 0};
        return;
    }
    l->level = view_of(l->left.data, (size_t)(slash - l->left.data));
    l->left = view_skip(l->left, l->level.len + 1);
}

/* '#' includes its parent; but where the parent would be the empty name, there is none. */
static struct view spelled_out(struct view filter)
{
    if (view_eq_str(filter, "#")) {
        return VIEW("+/#");
    }
    return view_eq_str(filter, "/#") ? VIEW("/+/#") : filter;
}

bool mqtt_filter_covers(struct view outer, struct view inner)
{
    struct levels o = {.left = mqtt_filter_split(outer).filter};
    struct levels i = {.left = spelled_out(mqtt_filter_split(inner).filter)};
    if (hides_from_wildcard(o.left, i.left)) {
        return false;
    }
    for (;;) {
        levels_next(&o);
        levels_next(&i);
        if (o.more && view_eq_str(o.level, "#")) {
            return true; /* also when `inner` has ended: '#' includes its parent */
        }
        if (!o.more || !i.more) {
            return o.more == i.more;
        }
        if (view_eq_str(i.level, "#")) {
            return false;
        }
        if (!view_eq_str(o.level, "+") && !view_eq(o.level, i.level)) {
            return false;
        }
    }
}
