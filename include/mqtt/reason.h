/*
 * reason: the reason codes of MQTT 5 (section 2.4), which packet may carry which, and the code that
 * answers an error.
 *
 * The whole server speaks these codes, to 3.1.1 too: the CONNACK and SUBACK codecs translate to and
 * from the older return codes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "mqtt/frame.h"

/*        name                    value  words */
#define MQTT_REASON_LIST(X)                                                                \
    X(MQTT_SUCCESS, 0x00, "success")                                                       \
    X(MQTT_GRANTED_QOS_1, 0x01, "granted qos 1")                                           \
    X(MQTT_GRANTED_QOS_2, 0x02, "granted qos 2")                                           \
    X(MQTT_DISCONNECT_WITH_WILL, 0x04, "disconnect with will message")                     \
    X(MQTT_NO_MATCHING_SUBSCRIBERS, 0x10, "no matching subscribers")                       \
    X(MQTT_NO_SUBSCRIPTION_EXISTED, 0x11, "no subscription existed")                       \
    X(MQTT_CONTINUE_AUTHENTICATION, 0x18, "continue authentication")                       \
    X(MQTT_RE_AUTHENTICATE, 0x19, "re-authenticate")                                       \
    X(MQTT_UNSPECIFIED_ERROR, 0x80, "unspecified error")                                   \
    X(MQTT_MALFORMED_PACKET, 0x81, "malformed packet")                                     \
    X(MQTT_PROTOCOL_ERROR, 0x82, "protocol error")                                         \
    X(MQTT_IMPLEMENTATION_ERROR, 0x83, "implementation specific error")                    \
    X(MQTT_UNSUPPORTED_VERSION, 0x84, "unsupported protocol version")                      \
    X(MQTT_CLIENT_ID_NOT_VALID, 0x85, "client identifier not valid")                       \
    X(MQTT_BAD_USER_OR_PASSWORD, 0x86, "bad user name or password")                        \
    X(MQTT_NOT_AUTHORIZED, 0x87, "not authorized")                                         \
    X(MQTT_SERVER_UNAVAILABLE, 0x88, "server unavailable")                                 \
    X(MQTT_SERVER_BUSY, 0x89, "server busy")                                               \
    X(MQTT_BANNED, 0x8A, "banned")                                                         \
    X(MQTT_SERVER_SHUTTING_DOWN, 0x8B, "server shutting down")                             \
    X(MQTT_BAD_AUTH_METHOD, 0x8C, "bad authentication method")                             \
    X(MQTT_KEEP_ALIVE_TIMEOUT, 0x8D, "keep alive timeout")                                 \
    X(MQTT_SESSION_TAKEN_OVER, 0x8E, "session taken over")                                 \
    X(MQTT_TOPIC_FILTER_INVALID, 0x8F, "topic filter invalid")                             \
    X(MQTT_TOPIC_NAME_INVALID, 0x90, "topic name invalid")                                 \
    X(MQTT_PACKET_ID_IN_USE, 0x91, "packet identifier in use")                             \
    X(MQTT_PACKET_ID_NOT_FOUND, 0x92, "packet identifier not found")                       \
    X(MQTT_RECEIVE_MAXIMUM_EXCEEDED, 0x93, "receive maximum exceeded")                     \
    X(MQTT_TOPIC_ALIAS_INVALID, 0x94, "topic alias invalid")                               \
    X(MQTT_PACKET_TOO_LARGE, 0x95, "packet too large")                                     \
    X(MQTT_MESSAGE_RATE_TOO_HIGH, 0x96, "message rate too high")                           \
    X(MQTT_QUOTA_EXCEEDED, 0x97, "quota exceeded")                                         \
    X(MQTT_ADMINISTRATIVE_ACTION, 0x98, "administrative action")                           \
    X(MQTT_PAYLOAD_FORMAT_INVALID, 0x99, "payload format invalid")                         \
    X(MQTT_RETAIN_NOT_SUPPORTED, 0x9A, "retain not supported")                             \
    X(MQTT_QOS_NOT_SUPPORTED, 0x9B, "qos not supported")                                   \
    X(MQTT_USE_ANOTHER_SERVER, 0x9C, "use another server")                                 \
    X(MQTT_SERVER_MOVED, 0x9D, "server moved")                                             \
    X(MQTT_SHARED_NOT_SUPPORTED, 0x9E, "shared subscriptions not supported")               \
    X(MQTT_CONNECTION_RATE_EXCEEDED, 0x9F, "connection rate exceeded")                     \
    X(MQTT_MAXIMUM_CONNECT_TIME, 0xA0, "maximum connect time")                             \
    X(MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED, 0xA1, "subscription identifiers not supported") \
    X(MQTT_WILDCARDS_NOT_SUPPORTED, 0xA2, "wildcard subscriptions not supported")

enum mqtt_reason {
#define MQTT_REASON_ENUM(name, value, words) name = (value),
    MQTT_REASON_LIST(MQTT_REASON_ENUM)
#undef MQTT_REASON_ENUM
};

const char *mqtt_reason_words(uint8_t code); /* "unknown reason" for a code that does not exist */
/* May this sender put this code into this packet? Tables 3-1 to 3-13 of the standard. */
bool mqtt_reason_allowed(uint8_t code, enum mqtt_type type, enum mqtt_sender sender);

/*
 * The code with which a server answers `e` in a packet of this type; always one that the packet may
 * carry. CONNECT means its CONNACK; a type that carries no code means DISCONNECT.
 * ERR_SHORT, ERR_MALFORMED, ERR_UTF8 -> 0x81; ERR_PROTOCOL, ERR_STATE, ERR_RANGE -> 0x82;
 * ERR_LIMIT -> 0x95; ERR_UNSUPPORTED -> 0x84; ERR_TYPE -> 0x99; ERR_DENIED -> 0x87; ERR_FULL ->
 * 0x97; what the packet cannot say becomes 0x83 or 0x80.
 */
enum mqtt_reason mqtt_reason_for(enum err e, enum mqtt_type type);
