#include "auth/pattern.h"
#include "mqtt/topic.h"
#include "session/private.h"

/*
 * What a device may publish and subscribe: the topics of the device API, and what its type adds
 * (auth/pattern.h). Everything else is denied. It is asked for each publish, each filter and each
 * delivery; rights.c sees to it that the session has its device as it is now. The open listener has
 * no devices and no rules: see net.
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

typedef bool (*allows_fn)(struct view allowed, struct view wanted);

/* Does an entry of the list, as it is for this device, allow what is wanted? Administrators wrote
 * the list: an entry that is no filter allows nothing. */
static bool list_allows(char *const *patterns, uint32_t count, const struct device *device,
                        allows_fn allows, struct view wanted)
{
    for (uint32_t i = 0; i < count; i++) {
        char room[AUTH_FILTER_MAX];
        struct view allowed = auth_pattern_fill(view_str(patterns[i]), device, room);
        if (mqtt_filter_valid(allowed) && allows(allowed, wanted)) {
            return true;
        }
    }
    return false;
}

static bool may_publish(const struct device *d, struct view topic)
{
    const struct device_type *t = d->type;
    return t != NULL &&
           list_allows(t->publish_topics, t->publish_topic_count, d, mqtt_filter_matches, topic);
}

static bool may_subscribe(const struct device *d, allows_fn allows, struct view wanted)
{
    const struct device_type *t = d->type;
    return t != NULL &&
           list_allows(t->subscribe_topics, t->subscribe_topic_count, d, allows, wanted);
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
    return may_publish(device, topic) ? ACCESS_ROUTED : ACCESS_DENIED;
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
    return may_subscribe(s->device, mqtt_filter_covers, filter);
}

bool access_may_receive(const struct session *s, struct view topic)
{
    if (s->device == NULL) {
        return s->open_listener;
    }
    return !is_own(topic) && may_subscribe(s->device, mqtt_filter_matches, topic);
}
