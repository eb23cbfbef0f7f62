/*
 * props: the 27 properties of MQTT 5 as one plain struct with presence bits.
 *
 * Single-valued properties are fields. The two that may repeat, user properties and (in PUBLISH)
 * subscription identifiers, stay in the packet and are walked in order:
 *
 *     struct mqtt_user_iter it = mqtt_user_iter(&m.props);
 *     while (mqtt_user_next(&it, &name, &value)) { … }
 *
 * To send them, collect them with mqtt_user_put() and mqtt_subscription_id_put() in a buf and point
 * `user` or `subscription_ids` at it, or copy the fields of a decoded packet to forward its pairs.
 *
 * Ownership: views into the packet. Threads: any.
 * Errors when decoding: ERR_MALFORMED for an unknown property, one that this packet never carries
 *   or one that runs past the section (section 2.2.2.2: 0x81); ERR_PROTOCOL for a duplicate, a
 *   forbidden value or the wrong sender (0x82); ERR_UTF8; ERR_LIMIT for too many user properties.
 * Errors when encoding: ERR_PROTOCOL for a property that the packet cannot carry, ERR_RANGE for a
 *   string over 65535 bytes or a value that the standard forbids. Nothing is ever sent to 3.1.1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "mqtt/frame.h"

/* Packets as a set, for the tables. */
#define MQTT_IN(type) (1u << (type))

#define MQTT_IN_PUB  (MQTT_IN(MQTT_PUBLISH) | MQTT_IN(MQTT_WILL))
#define MQTT_IN_AUTH (MQTT_IN(MQTT_CONNECT) | MQTT_IN(MQTT_CONNACK) | MQTT_IN(MQTT_AUTH))
#define MQTT_IN_PUBACKS \
    (MQTT_IN(MQTT_PUBACK) | MQTT_IN(MQTT_PUBREC) | MQTT_IN(MQTT_PUBREL) | MQTT_IN(MQTT_PUBCOMP))
#define MQTT_IN_ANSWERS                                                                        \
    (MQTT_IN_PUBACKS | MQTT_IN(MQTT_CONNACK) | MQTT_IN(MQTT_SUBACK) | MQTT_IN(MQTT_UNSUBACK) | \
     MQTT_IN(MQTT_DISCONNECT) | MQTT_IN(MQTT_AUTH))
#define MQTT_IN_ALL                                                                    \
    (MQTT_IN_ANSWERS | MQTT_IN_PUB | MQTT_IN(MQTT_CONNECT) | MQTT_IN(MQTT_SUBSCRIBE) | \
     MQTT_IN(MQTT_UNSUBSCRIBE))

/* Kinds: BOOL 0 or 1; U16, U32 any value; U16_1, U32_1 not 0; VARINT 1 to 268435455; TEXT UTF-8;
 * TOPIC a topic name; BYTES anything; PAIR two texts. The order of the rows is that of writing: by
 * id, but for those of CONNACK, which come as suites that compare it byte by byte have them.
 *    name                       id    field                    kind    packets */
#define MQTT_PROP_LIST(X)                                                                        \
    X(PAYLOAD_FORMAT, 0x01, payload_format, BOOL, MQTT_IN_PUB)                                   \
    X(MESSAGE_EXPIRY, 0x02, message_expiry_s, U32, MQTT_IN_PUB)                                  \
    X(CONTENT_TYPE, 0x03, content_type, TEXT, MQTT_IN_PUB)                                       \
    X(RESPONSE_TOPIC, 0x08, response_topic, TOPIC, MQTT_IN_PUB)                                  \
    X(CORRELATION_DATA, 0x09, correlation_data, BYTES, MQTT_IN_PUB)                              \
    X(SUBSCRIPTION_ID, 0x0B, subscription_ids, VARINT,                                           \
      MQTT_IN(MQTT_PUBLISH) | MQTT_IN(MQTT_SUBSCRIBE))                                           \
    X(SESSION_EXPIRY, 0x11, session_expiry_s, U32,                                               \
      MQTT_IN(MQTT_CONNECT) | MQTT_IN(MQTT_CONNACK) | MQTT_IN(MQTT_DISCONNECT))                  \
    X(SERVER_KEEP_ALIVE, 0x13, server_keep_alive_s, U16, MQTT_IN(MQTT_CONNACK))                  \
    X(TOPIC_ALIAS_MAXIMUM, 0x22, topic_alias_maximum, U16,                                       \
      MQTT_IN(MQTT_CONNECT) | MQTT_IN(MQTT_CONNACK))                                             \
    X(ASSIGNED_CLIENT_ID, 0x12, assigned_client_id, TEXT, MQTT_IN(MQTT_CONNACK))                 \
    X(AUTH_METHOD, 0x15, auth_method, TEXT, MQTT_IN_AUTH)                                        \
    X(AUTH_DATA, 0x16, auth_data, BYTES, MQTT_IN_AUTH)                                           \
    X(REQUEST_PROBLEM_INFO, 0x17, request_problem_info, BOOL, MQTT_IN(MQTT_CONNECT))             \
    X(WILL_DELAY, 0x18, will_delay_s, U32, MQTT_IN(MQTT_WILL))                                   \
    X(REQUEST_RESPONSE_INFO, 0x19, request_response_info, BOOL, MQTT_IN(MQTT_CONNECT))           \
    X(RESPONSE_INFO, 0x1A, response_info, TEXT, MQTT_IN(MQTT_CONNACK))                           \
    X(SERVER_REFERENCE, 0x1C, server_reference, TEXT,                                            \
      MQTT_IN(MQTT_CONNACK) | MQTT_IN(MQTT_DISCONNECT))                                          \
    X(REASON_STRING, 0x1F, reason_string, TEXT, MQTT_IN_ANSWERS)                                 \
    X(TOPIC_ALIAS, 0x23, topic_alias, U16_1, MQTT_IN(MQTT_PUBLISH))                              \
    X(MAXIMUM_QOS, 0x24, maximum_qos, BOOL, MQTT_IN(MQTT_CONNACK))                               \
    X(RETAIN_AVAILABLE, 0x25, retain_available, BOOL, MQTT_IN(MQTT_CONNACK))                     \
    X(USER, 0x26, user, PAIR, MQTT_IN_ALL)                                                       \
    X(MAXIMUM_PACKET_SIZE, 0x27, maximum_packet_size, U32_1,                                     \
      MQTT_IN(MQTT_CONNECT) | MQTT_IN(MQTT_CONNACK))                                             \
    X(RECEIVE_MAXIMUM, 0x21, receive_maximum, U16_1,                                             \
      MQTT_IN(MQTT_CONNECT) | MQTT_IN(MQTT_CONNACK))                                             \
    X(WILDCARD_AVAILABLE, 0x28, wildcard_available, BOOL, MQTT_IN(MQTT_CONNACK))                 \
    X(SUBSCRIPTION_IDS_AVAILABLE, 0x29, subscription_ids_available, BOOL, MQTT_IN(MQTT_CONNACK)) \
    X(SHARED_AVAILABLE, 0x2A, shared_available, BOOL, MQTT_IN(MQTT_CONNACK))

/* Positions in the table: the presence bits. The ids on the wire are in the table. */
enum mqtt_prop {
#define MQTT_PROP_ENUM(name, id, field, kind, packets) MQTT_PROP_##name,
    MQTT_PROP_LIST(MQTT_PROP_ENUM)
#undef MQTT_PROP_ENUM
        MQTT_PROP_COUNT
};

struct mqtt_props {
    uint32_t present; /* bits 1u << MQTT_PROP_x; a field counts only when its bit is set */
    uint32_t message_expiry_s;
    uint32_t session_expiry_s;
    uint32_t will_delay_s;
    uint32_t maximum_packet_size;
    uint16_t server_keep_alive_s;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t topic_alias;
    uint8_t payload_format; /* 1: the payload is UTF-8 text */
    uint8_t request_problem_info;
    uint8_t request_response_info;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_available;
    uint8_t subscription_ids_available;
    uint8_t shared_available;
    struct view content_type;
    struct view response_topic;
    struct view correlation_data;
    struct view assigned_client_id;
    struct view auth_method;
    struct view auth_data;
    struct view response_info;
    struct view server_reference;
    struct view reason_string;
    struct view section;          /* all of it, as it came; set by the decoder */
    struct view user;             /* property bytes; read with mqtt_user_next() only */
    struct view subscription_ids; /* property bytes; read with mqtt_subscription_id_next() only */
    uint32_t user_count;          /* set by the decoder; encoders count for themselves */
    uint32_t subscription_id_count;
};

static inline bool mqtt_has(const struct mqtt_props *props, enum mqtt_prop prop)
{
    return (props->present >> prop & 1u) != 0;
}

/* MQTT_SET(&m.props, MESSAGE_EXPIRY, message_expiry_s, 60): the value and its bit together. */
#define MQTT_SET(props, name, field, value) \
    ((props)->field = (value), (props)->present |= 1u << MQTT_PROP_##name)

struct mqtt_user_iter {
    struct view left;
};
struct mqtt_user_iter mqtt_user_iter(const struct mqtt_props *props);
bool mqtt_user_next(struct mqtt_user_iter *it, struct view *ret_name, struct view *ret_value);
/* Appends one pair. ERR_RANGE: a string is over 65535 bytes. */
NODISCARD enum err mqtt_user_put(struct buf *out, struct view name, struct view value);

struct mqtt_subscription_id_iter {
    struct view left;
};
struct mqtt_subscription_id_iter mqtt_subscription_id_iter(const struct mqtt_props *props);
bool mqtt_subscription_id_next(struct mqtt_subscription_id_iter *it, uint32_t *ret_id);
NODISCARD enum err mqtt_subscription_id_put(struct buf *out, uint32_t id); /* 1 to 268435455 */
uint32_t mqtt_subscription_id_first(const struct mqtt_props *props);       /* 0: none */

const char *mqtt_prop_words(enum mqtt_prop prop); /* "TOPIC_ALIAS" */
