/*
 * All decoders. Properties: every view lies inside the packet; a refusal touches no output; what
 * was accepted can be encoded, and decodes to the same meaning; encoding that again gives the same
 * bytes; the list iterators agree with the counts.
 *
 * Input: one byte (bit 0: 5.0, bit 1: from a server), then one packet.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "mqtt/topic.h"
#include "mqtt_any.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct view whole;

static void inside(struct view v)
{
    CHECK(v.len == 0 || (v.data >= whole.data && v.data + v.len <= whole.data + whole.len));
}

static void check_props(const struct mqtt_props *props, const struct mqtt_limits *limits)
{
    inside(props->content_type);
    inside(props->response_topic);
    inside(props->correlation_data);
    inside(props->assigned_client_id);
    inside(props->auth_method);
    inside(props->auth_data);
    inside(props->response_info);
    inside(props->server_reference);
    inside(props->reason_string);
    inside(props->user);
    inside(props->subscription_ids);
    CHECK(props->user_count <= limits->user_props_max);
    struct mqtt_user_iter it = mqtt_user_iter(props);
    struct view name;
    struct view value;
    size_t bytes = 0;
    while (mqtt_user_next(&it, &name, &value)) {
        inside(name);
        inside(value);
        bytes += name.len + value.len;
    }
    CHECK(bytes <= limits->user_props_bytes_max);
}

static void check_lists(const struct mqtt_any *any)
{
    uint32_t count = 0;
    if (any->type == MQTT_SUBSCRIBE) {
        struct mqtt_subscription_iter it = mqtt_subscription_iter(&any->as.subscribe);
        struct mqtt_subscription s;
        for (; mqtt_subscription_next(&it, &s); count++) {
            inside(s.filter);
            CHECK(mqtt_filter_valid(s.filter) && s.qos <= 2 && s.retain_handling <= 2);
        }
        CHECK(count == any->as.subscribe.count);
    }
    if (any->type == MQTT_UNSUBSCRIBE) {
        struct mqtt_unsubscribe_iter it = mqtt_unsubscribe_iter(&any->as.unsubscribe);
        struct view filter;
        for (; mqtt_unsubscribe_next(&it, &filter); count++) {
            inside(filter);
            CHECK(mqtt_filter_valid(filter));
        }
        CHECK(count == any->as.unsubscribe.count);
    }
}

static void check_connect(const struct mqtt_connect *m, const struct mqtt_limits *limits)
{
    inside(m->client_id);
    inside(m->user_name);
    inside(m->password);
    inside(m->will.payload);
    inside(m->will.topic);
    CHECK(!m->has_will || mqtt_topic_name_valid(m->will.topic));
    check_props(&m->props, limits);
    check_props(&m->will.props, limits);
}

static void check_publish(const struct mqtt_publish *m, const struct mqtt_limits *limits)
{
    inside(m->topic);
    inside(m->payload);
    CHECK(m->topic.len == 0 ? mqtt_has(&m->props, MQTT_PROP_TOPIC_ALIAS)
                            : mqtt_topic_name_valid(m->topic));
    CHECK((m->qos > 0) == (m->packet_id != 0));
    check_props(&m->props, limits);
}

static void check_untouched(const struct mqtt_any *any)
{
    const uint8_t *at = (const uint8_t *)any;
    for (size_t i = 0; i < sizeof(*any); i++) {
        CHECK(at[i] == 0xA5);
    }
}

/* Encodes and decodes; the meaning stays. */
static void round_trip(const struct mqtt_any *any, const struct mqtt_source *from, struct buf *out,
                       struct mqtt_any *ret_again)
{
    enum err e = mqtt_any_encode(out, from->version, any);
    CHECK(e == ERR_OK);
    struct mqtt_frame f;
    e = mqtt_frame(buf_view(out), MQTT_REMAINING_MAX, &f);
    CHECK(e == ERR_OK && f.total == out->len);
    e = mqtt_any_decode(f.head, f.body, from, ret_again);
    CHECK(e == ERR_OK && mqtt_any_eq(any, ret_again));
}

static void check_accepted(const struct mqtt_any *any, const struct mqtt_source *from)
{
    struct mqtt_source now = *from;
    if (any->type == MQTT_CONNECT) {
        now.version = any->as.connect.version;
        check_connect(&any->as.connect, &from->limits);
    }
    if (any->type == MQTT_PUBLISH) {
        check_publish(&any->as.publish, &from->limits);
    }
    check_lists(any);
    struct buf once;
    struct buf twice;
    struct mqtt_any second;
    struct mqtt_any third;
    buf_init(&once, 1u << 20);
    buf_init(&twice, 1u << 20);
    round_trip(any, &now, &once, &second);
    round_trip(&second, &now, &twice, &third);
    CHECK(view_eq(buf_view(&once), buf_view(&twice)));
    if (any->type == MQTT_PUBLISH) {
        CHECK(mqtt_publish_size(now.version, &any->as.publish) == once.len);
    }
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const struct mqtt_source from = {
        .version = (data[0] & 1) != 0 ? MQTT_50 : MQTT_311,
        .sender = (data[0] & 2) != 0 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT,
        .limits = mqtt_limits_default,
    };
    struct mqtt_frame f;
    if (mqtt_frame(view_of(data + 1, size - 1), MQTT_REMAINING_MAX, &f) != ERR_OK) {
        return 0;
    }
    uint8_t *body = malloc(f.body.len + 1);
    CHECK(body != NULL);
    memcpy(body, f.body.data, f.body.len);
    body = realloc(body, f.body.len == 0 ? 1 : f.body.len); /* exact: one byte too far is seen */
    CHECK(body != NULL);
    whole = view_of(body, f.body.len);
    struct mqtt_any any;
    memset(&any, 0xA5, sizeof(any));
    if (mqtt_any_decode(f.head, whole, &from, &any) == ERR_OK) {
        check_accepted(&any, &from);
    } else {
        check_untouched(&any);
    }
    free(body);
    return 0;
}
