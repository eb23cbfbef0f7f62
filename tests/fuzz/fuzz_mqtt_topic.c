/*
 * Topics. Properties: matching and the validity of filters agree with the naive reference; what
 * `outer` covers it also matches; depth agrees with counting.
 *
 * Input: two lines or three: filter, topic, another filter, separated by 0x0A.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "mqtt/topic.h"
#include "mqtt_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct view next_line(struct view *left)
{
    struct view line = *left;
    const uint8_t *end = left->len == 0 ? NULL : memchr(left->data, '\n', left->len);
    if (end == NULL) {
        *left = view_of(left->data + left->len, 0);
        return line;
    }
    line.len = (size_t)(end - line.data);
    *left = view_skip(*left, line.len + 1);
    return line;
}

static bool has(struct view v, int byte)
{
    return v.len > 0 && memchr(v.data, byte, v.len) != NULL;
}

static bool naive_filter(struct view f)
{
    const struct view prefix = VIEW("$share/");
    if (f.len > 65535 || !utf8_valid_mqtt(f)) {
        return false;
    }
    if (!view_starts(f, prefix)) {
        return mqtt_naive_filter_valid(f);
    }
    struct view rest;
    struct view group = mqtt_naive_level(view_skip(f, prefix.len), &rest);
    return group.len > 0 && !has(group, '+') && !has(group, '#') && rest.data != NULL &&
           mqtt_naive_filter_valid(rest);
}

static uint32_t naive_depth(struct view v)
{
    uint32_t levels = 0;
    for (struct view left = v; left.data != NULL; levels++) {
        (void)mqtt_naive_level(left, &left);
    }
    return levels;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1024) {
        return 0;
    }
    struct view left = view_of(data, size);
    struct view filter = next_line(&left);
    struct view topic = next_line(&left);
    struct view outer = next_line(&left);
    bool name = topic.len > 0 && topic.len <= 65535 && utf8_valid_mqtt(topic) && !has(topic, '+') &&
                !has(topic, '#');
    CHECK(mqtt_topic_name_valid(topic) == name);
    CHECK(mqtt_filter_valid(filter) == naive_filter(filter));
    if (!mqtt_filter_valid(filter)) {
        return 0;
    }
    struct mqtt_share share = mqtt_filter_split(filter);
    uint32_t depth = naive_depth(share.filter);
    CHECK(mqtt_topic_depth_within(filter, depth) && !mqtt_topic_depth_within(filter, depth - 1));
    CHECK(mqtt_filter_covers(filter, filter));
    if (!name) {
        return 0;
    }
    bool match = mqtt_filter_matches(filter, topic);
    CHECK(match == mqtt_naive_matches(share.filter, topic));
    if (mqtt_filter_valid(outer) && mqtt_filter_covers(outer, filter)) {
        CHECK(!match || mqtt_filter_matches(outer, topic));
    }
    return 0;
}
