#include "auth/pattern.h"

#include "base/ident.h"
#include "mqtt/topic.h"

/* What any value looks like, for those who only ask whether the pattern is well-formed. */
static const struct view any_value = {(const uint8_t *)"x", 1};

static bool is_known(struct view key)
{
    return view_eq(key, VIEW("device")) || view_eq(key, VIEW("gateway")) ||
           (view_starts(key, VIEW("label.")) && ident_valid(view_skip(key, 6)));
}

/* A known key's value; empty: the device has none. */
static struct view value_of(struct view key, const struct device *d)
{
    if (d == NULL) {
        return any_value;
    }
    if (view_eq(key, VIEW("device"))) {
        return view_str(d->name);
    }
    if (view_eq(key, VIEW("gateway"))) {
        return view_str(d->gateway_name);
    }
    return view_str(device_label(d, view_skip(key, 6)));
}

static bool is_harmless(struct view value)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (c == '+' || c == '#' || c == '/' || c == '$' || c == '\0') {
            return false;
        }
    }
    return value.len > 0;
}

static size_t length_before(struct view v, uint8_t byte)
{
    const uint8_t *at = v.len == 0 ? NULL : memchr(v.data, byte, v.len);
    return at == NULL ? v.len : (size_t)(at - v.data);
}

struct filling {
    char *room;
    size_t len;
};

static bool put(struct filling *f, struct view part)
{
    if (part.len > AUTH_FILTER_MAX - f->len) {
        return false;
    }
    if (part.len > 0) {
        memcpy(f->room + f->len, part.data, part.len);
    }
    f->len += part.len;
    return true;
}

/* *left begins with '{' and is moved behind its '}'. */
static bool put_value(struct filling *f, struct view *left, const struct device *d)
{
    struct view inner = view_skip(*left, 1);
    size_t len = length_before(inner, '}');
    struct view key = view_of(inner.data, len);
    if (len == inner.len || !is_known(key)) {
        return false;
    }
    *left = view_skip(inner, len + 1);
    struct view value = value_of(key, d);
    return is_harmless(value) && put(f, value);
}

struct view auth_pattern_fill(struct view pattern, const struct device *d,
                              char room[static AUTH_FILTER_MAX])
{
    struct filling f = {.room = room};
    struct view left = pattern;
    if (length_before(pattern, '{') == pattern.len) {
        return pattern;
    }
    while (left.len > 0) {
        size_t len = length_before(left, '{');
        bool fine = put(&f, view_of(left.data, len));
        left = view_skip(left, len);
        if (!fine || (left.len > 0 && !put_value(&f, &left, d))) {
            return view_of(NULL, 0);
        }
    }
    return view_of(room, f.len);
}

bool auth_pattern_valid(struct view pattern)
{
    char room[AUTH_FILTER_MAX];
    return mqtt_filter_valid(auth_pattern_fill(pattern, NULL, room));
}
