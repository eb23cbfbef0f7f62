/*
 * mqtt_any: a packet of whatever type, for tests that say the same of all of them: decode, encode
 * again, compare by meaning.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "mqtt/ack.h"
#include "mqtt/connect.h"
#include "mqtt/control.h"
#include "mqtt/frame.h"
#include "mqtt/publish.h"
#include "mqtt/subscribe.h"

struct mqtt_any {
    enum mqtt_type type;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback;
        struct mqtt_unsubscribe unsubscribe;
        struct mqtt_disconnect disconnect;
        struct mqtt_auth auth;
    } as;
};

static inline enum err mqtt_any_decode(uint8_t head, struct view body,
                                       const struct mqtt_source *from, struct mqtt_any *ret_any)
{
    enum mqtt_type type = (enum mqtt_type)(head >> 4);
    enum err e = ERR_TYPE;
    switch (type) {
    case MQTT_CONNECT:
        e = mqtt_connect_decode(body, &from->limits, &ret_any->as.connect);
        break;
    case MQTT_CONNACK:
        e = mqtt_connack_decode(body, from, &ret_any->as.connack);
        break;
    case MQTT_PUBLISH:
        e = mqtt_publish_decode(head, body, from, &ret_any->as.publish);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        e = mqtt_ack_decode(type, body, from, &ret_any->as.ack);
        break;
    case MQTT_SUBSCRIBE:
        e = mqtt_subscribe_decode(body, from, &ret_any->as.subscribe);
        break;
    case MQTT_SUBACK:
        e = mqtt_suback_decode(body, from, &ret_any->as.suback);
        break;
    case MQTT_UNSUBSCRIBE:
        e = mqtt_unsubscribe_decode(body, from, &ret_any->as.unsubscribe);
        break;
    case MQTT_UNSUBACK:
        e = mqtt_unsuback_decode(body, from, &ret_any->as.suback);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        e = mqtt_ping_decode(body);
        break;
    case MQTT_DISCONNECT:
        e = mqtt_disconnect_decode(body, from, &ret_any->as.disconnect);
        break;
    case MQTT_AUTH:
        e = mqtt_auth_decode(body, from, &ret_any->as.auth);
        break;
    case MQTT_WILL:
        break;
    }
    if (e == ERR_OK) {
        ret_any->type = type;
    }
    return e;
}

static inline enum err mqtt_any_encode(struct buf *out, enum mqtt_version version,
                                       const struct mqtt_any *any)
{
    switch (any->type) {
    case MQTT_CONNECT:
        return mqtt_connect_encode(out, &any->as.connect);
    case MQTT_CONNACK:
        return mqtt_connack_encode(out, version, &any->as.connack);
    case MQTT_PUBLISH:
        return mqtt_publish_encode(out, version, &any->as.publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return mqtt_ack_encode(out, any->type, version, &any->as.ack);
    case MQTT_SUBSCRIBE:
        return mqtt_subscribe_encode(out, version, &any->as.subscribe);
    case MQTT_SUBACK:
        return mqtt_suback_encode(out, version, &any->as.suback);
    case MQTT_UNSUBSCRIBE:
        return mqtt_unsubscribe_encode(out, version, &any->as.unsubscribe);
    case MQTT_UNSUBACK:
        return mqtt_unsuback_encode(out, version, &any->as.suback);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return mqtt_ping_encode(out, any->type);
    case MQTT_DISCONNECT:
        return mqtt_disconnect_encode(out, version, &any->as.disconnect);
    case MQTT_AUTH:
        return mqtt_auth_encode(out, version, &any->as.auth);
    case MQTT_WILL:
        break;
    }
    return ERR_TYPE;
}

static inline bool mqtt_users_eq(const struct mqtt_props *a, const struct mqtt_props *b)
{
    struct mqtt_user_iter x = mqtt_user_iter(a);
    struct mqtt_user_iter y = mqtt_user_iter(b);
    struct view names[2];
    struct view values[2];
    uint32_t count = 0;
    while (mqtt_user_next(&x, &names[0], &values[0])) {
        if (!mqtt_user_next(&y, &names[1], &values[1]) || !view_eq(names[0], names[1]) ||
            !view_eq(values[0], values[1])) {
            return false;
        }
        count++;
    }
    return !mqtt_user_next(&y, &names[1], &values[1]) && a->user_count == count &&
           b->user_count == count;
}

static inline bool mqtt_ids_eq(const struct mqtt_props *a, const struct mqtt_props *b)
{
    struct mqtt_subscription_id_iter x = mqtt_subscription_id_iter(a);
    struct mqtt_subscription_id_iter y = mqtt_subscription_id_iter(b);
    uint32_t ids[2];
    uint32_t count = 0;
    while (mqtt_subscription_id_next(&x, &ids[0])) {
        if (!mqtt_subscription_id_next(&y, &ids[1]) || ids[0] != ids[1]) {
            return false;
        }
        count++;
    }
    return !mqtt_subscription_id_next(&y, &ids[1]) && a->subscription_id_count == count &&
           b->subscription_id_count == count;
}

static inline bool mqtt_props_eq(const struct mqtt_props *a, const struct mqtt_props *b)
{
#define ANY_EQ_BOOL(f)                         (a->f == b->f)
#define ANY_EQ_U16(f)                          (a->f == b->f)
#define ANY_EQ_U16_1(f)                        (a->f == b->f)
#define ANY_EQ_U32(f)                          (a->f == b->f)
#define ANY_EQ_U32_1(f)                        (a->f == b->f)
#define ANY_EQ_TEXT(f)                         view_eq(a->f, b->f)
#define ANY_EQ_TOPIC(f)                        view_eq(a->f, b->f)
#define ANY_EQ_BYTES(f)                        view_eq(a->f, b->f)
#define ANY_EQ_VARINT(f)                       mqtt_ids_eq(a, b)
#define ANY_EQ_PAIR(f)                         mqtt_users_eq(a, b)
#define ANY_EQ(name, id, field, kind, packets) &&ANY_EQ_##kind(field)
    return a->present == b->present MQTT_PROP_LIST(ANY_EQ);
#undef ANY_EQ
}

static inline bool mqtt_connect_eq(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
    return a->version == b->version && a->clean_start == b->clean_start &&
           a->has_will == b->has_will && a->has_user_name == b->has_user_name &&
           a->has_password == b->has_password && a->keep_alive_s == b->keep_alive_s &&
           view_eq(a->client_id, b->client_id) && view_eq(a->user_name, b->user_name) &&
           view_eq(a->password, b->password) && mqtt_props_eq(&a->props, &b->props) &&
           view_eq(a->will.topic, b->will.topic) && view_eq(a->will.payload, b->will.payload) &&
           a->will.qos == b->will.qos && a->will.retain == b->will.retain &&
           mqtt_props_eq(&a->will.props, &b->will.props);
}

static inline bool mqtt_publish_eq(const struct mqtt_publish *a, const struct mqtt_publish *b)
{
    return view_eq(a->topic, b->topic) && view_eq(a->payload, b->payload) &&
           a->packet_id == b->packet_id && a->qos == b->qos && a->retain == b->retain &&
           a->dup == b->dup && mqtt_props_eq(&a->props, &b->props);
}

static inline bool mqtt_any_eq(const struct mqtt_any *x, const struct mqtt_any *y)
{
    if (x->type != y->type) {
        return false;
    }
    switch (x->type) {
    case MQTT_CONNECT:
        return mqtt_connect_eq(&x->as.connect, &y->as.connect);
    case MQTT_CONNACK:
        return x->as.connack.session_present == y->as.connack.session_present &&
               x->as.connack.reason == y->as.connack.reason &&
               mqtt_props_eq(&x->as.connack.props, &y->as.connack.props);
    case MQTT_PUBLISH:
        return mqtt_publish_eq(&x->as.publish, &y->as.publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return x->as.ack.packet_id == y->as.ack.packet_id && x->as.ack.reason == y->as.ack.reason &&
               mqtt_props_eq(&x->as.ack.props, &y->as.ack.props);
    case MQTT_SUBSCRIBE:
        return x->as.subscribe.packet_id == y->as.subscribe.packet_id &&
               x->as.subscribe.count == y->as.subscribe.count &&
               view_eq(x->as.subscribe.entries, y->as.subscribe.entries) &&
               mqtt_props_eq(&x->as.subscribe.props, &y->as.subscribe.props);
    case MQTT_UNSUBSCRIBE:
        return x->as.unsubscribe.packet_id == y->as.unsubscribe.packet_id &&
               x->as.unsubscribe.count == y->as.unsubscribe.count &&
               view_eq(x->as.unsubscribe.entries, y->as.unsubscribe.entries) &&
               mqtt_props_eq(&x->as.unsubscribe.props, &y->as.unsubscribe.props);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return x->as.suback.packet_id == y->as.suback.packet_id &&
               view_eq(x->as.suback.reasons, y->as.suback.reasons) &&
               mqtt_props_eq(&x->as.suback.props, &y->as.suback.props);
    case MQTT_DISCONNECT:
        return x->as.disconnect.reason == y->as.disconnect.reason &&
               mqtt_props_eq(&x->as.disconnect.props, &y->as.disconnect.props);
    case MQTT_AUTH:
        return x->as.auth.reason == y->as.auth.reason &&
               mqtt_props_eq(&x->as.auth.props, &y->as.auth.props);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return true;
    case MQTT_WILL:
        break;
    }
    return false;
}
