#include "mqtt/topic.h"
#include "session/private.h"

/*
 * What a device may publish and subscribe: the topics of the device API, and what its type adds.
 * Everything else is denied. The open listener has no devices and no rules: see net.
 *
 * What the server sends on the device API's topics is its own: a message that somebody else
 * published there never reaches a device.
 */

static const char *const own_publish[] = {
    "v1/devices/me/telemetry",
    "v1/devices/me/attributes",
    "v1/devices/me/attributes/request/+",
    "v1/devices/me/rpc/response/+",
    "v1/devices/me/rpc/request/+",
    "v1/gateway/telemetry",
    "v1/gateway/connect",
    "v1/gateway/disconnect",
    "v1/gateway/attributes",
    "v1/gateway/rpc",
};

static const char *const own_subscribe[] = {
    "v1/devices/me/rpc/request/+",
    "v1/devices/me/rpc/response/+",
    "v1/devices/me/attributes",
    "v1/devices/me/attributes/response/+",
    "v1/gateway/rpc",
    "v1/gateway/attributes",
};

static const struct view own_prefixes[] = {
    {(const uint8_t *)"v1/devices/me/", 14},
    {(const uint8_t *)"v1/gateway/", 11},
};

static bool is_own(struct view topic)
{
    return view_starts(topic, own_prefixes[0]) || view_starts(topic, own_prefixes[1]);
}

/* Of filters that an administrator wrote: one that is none allows nothing. */
static bool list_matches(char *const *filters, uint32_t count, struct view topic)
{
    for (uint32_t i = 0; i < count; i++) {
        struct view allowed = view_str(filters[i]);
        if (mqtt_filter_valid(allowed) && mqtt_filter_matches(allowed, topic)) {
            return true;
        }
    }
    return false;
}

static bool list_covers(char *const *filters, uint32_t count, struct view filter)
{
    for (uint32_t i = 0; i < count; i++) {
        struct view allowed = view_str(filters[i]);
        if (mqtt_filter_valid(allowed) && mqtt_filter_covers(allowed, filter)) {
            return true;
        }
    }
    return false;
}

enum access access_publish(const struct device *device, struct view topic)
{
    if (device == NULL) {
        return ACCESS_ROUTED;
    }
    if (is_own(topic)) {
        for (size_t i = 0; i < COUNT_OF(own_publish); i++) {
            if (mqtt_filter_matches(view_str(own_publish[i]), topic)) {
                return ACCESS_DEVICE_API;
            }
        }
        return ACCESS_DENIED;
    }
    const struct device_type *t = device->type;
    bool listed = t != NULL && list_matches(t->publish_topics, t->publish_topic_count, topic);
    return listed ? ACCESS_ROUTED : ACCESS_DENIED;
}

bool session_may_publish(const struct device *device, struct view topic)
{
    return access_publish(device, topic) != ACCESS_DENIED;
}

enum access access_of_publish(const struct session *s, struct view topic)
{
    if (!mqtt_topic_depth_within(topic, s->limits->topic_levels_max) ||
        (s->device == NULL && !s->open_listener)) {
        return ACCESS_DENIED;
    }
    return access_publish(s->device, topic);
}

bool access_may_subscribe(const struct session *s, struct view filter)
{
    if (!mqtt_topic_depth_within(filter, s->limits->topic_levels_max)) {
        return false;
    }
    if (s->device == NULL) {
        return s->open_listener;
    }
    for (size_t i = 0; i < COUNT_OF(own_subscribe); i++) {
        if (mqtt_filter_covers(view_str(own_subscribe[i]), filter)) {
            return true;
        }
    }
    const struct device_type *t = s->device->type;
    return t != NULL && list_covers(t->subscribe_topics, t->subscribe_topic_count, filter);
}

bool access_may_receive(const struct session *s, struct view topic)
{
    if (s->device == NULL) {
        return s->open_listener;
    }
    const struct device_type *t = s->device->type;
    return !is_own(topic) && t != NULL &&
           list_matches(t->subscribe_topics, t->subscribe_topic_count, topic);
}
