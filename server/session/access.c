#include "mqtt/topic.h"
#include "session/private.h"

/*
 * What a device may publish and subscribe: the topics of the device API, and what its type adds.
 * Everything else is denied. The open listener has no devices and no rules: see net.
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

bool access_may_publish(const struct session *s, struct view topic)
{
    if (!mqtt_topic_depth_within(topic, SESSION_TOPIC_LEVELS_MAX)) {
        return false;
    }
    if (s->device == NULL) {
        return s->open_listener;
    }
    for (size_t i = 0; i < COUNT_OF(own_publish); i++) {
        if (mqtt_filter_matches(view_str(own_publish[i]), topic)) {
            return true;
        }
    }
    const struct device_type *t = s->device->type;
    for (uint32_t i = 0; t != NULL && i < t->publish_topic_count; i++) {
        struct view allowed = view_str(t->publish_topics[i]);
        if (mqtt_filter_valid(allowed) && mqtt_filter_matches(allowed, topic)) {
            return true;
        }
    }
    return false;
}

bool access_may_subscribe(const struct session *s, struct view filter)
{
    if (!mqtt_topic_depth_within(filter, SESSION_TOPIC_LEVELS_MAX)) {
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
    for (uint32_t i = 0; t != NULL && i < t->subscribe_topic_count; i++) {
        struct view allowed = view_str(t->subscribe_topics[i]);
        if (mqtt_filter_valid(allowed) && mqtt_filter_covers(allowed, filter)) {
            return true;
        }
    }
    return false;
}
