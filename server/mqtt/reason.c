#include "mqtt/reason.h"

#include "base/check.h"
#include "mqtt/props.h"

const char *mqtt_reason_words(uint8_t code)
{
    switch (code) {
#define REASON_WORDS(name, value, words) \
    case value:                          \
        return words;
        MQTT_REASON_LIST(REASON_WORDS)
#undef REASON_WORDS
    default:
        return "unknown reason";
    }
}

#define CONNACK  MQTT_IN(MQTT_CONNACK)
#define PUBACKS  (MQTT_IN(MQTT_PUBACK) | MQTT_IN(MQTT_PUBREC))
#define PUBRELS  (MQTT_IN(MQTT_PUBREL) | MQTT_IN(MQTT_PUBCOMP))
#define SUBACK   MQTT_IN(MQTT_SUBACK)
#define UNSUBACK MQTT_IN(MQTT_UNSUBACK)
#define BYE      MQTT_IN(MQTT_DISCONNECT)
#define AUTH     MQTT_IN(MQTT_AUTH)

/* By code: the packets in which a client, and those in which a server, may send it. Tables 3-1, 3-4
 * to 3-8 and 3-10, 3-13. Two steps aside, which harm nobody: 0x10 is listed for servers only, but
 * suites answer with it; so is 0x00 in DISCONNECT for clients, but servers in the field send it. */
static const struct {
    uint16_t client;
    uint16_t server;
} reasons[] = {
    [MQTT_SUCCESS] = {PUBACKS | PUBRELS | BYE,
                      PUBACKS | PUBRELS | BYE | CONNACK | SUBACK | UNSUBACK | AUTH},
    [MQTT_GRANTED_QOS_1] = {0, SUBACK},
    [MQTT_GRANTED_QOS_2] = {0, SUBACK},
    [MQTT_DISCONNECT_WITH_WILL] = {BYE, 0},
    [MQTT_NO_MATCHING_SUBSCRIBERS] = {PUBACKS, PUBACKS},
    [MQTT_NO_SUBSCRIPTION_EXISTED] = {0, UNSUBACK},
    [MQTT_CONTINUE_AUTHENTICATION] = {AUTH, AUTH},
    [MQTT_RE_AUTHENTICATE] = {AUTH, 0},
    [MQTT_UNSPECIFIED_ERROR] = {PUBACKS | BYE, PUBACKS | BYE | CONNACK | SUBACK | UNSUBACK},
    [MQTT_MALFORMED_PACKET] = {BYE, BYE | CONNACK},
    [MQTT_PROTOCOL_ERROR] = {BYE, BYE | CONNACK},
    [MQTT_IMPLEMENTATION_ERROR] = {PUBACKS | BYE, PUBACKS | BYE | CONNACK | SUBACK | UNSUBACK},
    [MQTT_UNSUPPORTED_VERSION] = {0, CONNACK},
    [MQTT_CLIENT_ID_NOT_VALID] = {0, CONNACK},
    [MQTT_BAD_USER_OR_PASSWORD] = {0, CONNACK},
    [MQTT_NOT_AUTHORIZED] = {PUBACKS, PUBACKS | BYE | CONNACK | SUBACK | UNSUBACK},
    [MQTT_SERVER_UNAVAILABLE] = {0, CONNACK},
    [MQTT_SERVER_BUSY] = {0, CONNACK | BYE},
    [MQTT_BANNED] = {0, CONNACK},
    [MQTT_SERVER_SHUTTING_DOWN] = {0, BYE},
    [MQTT_BAD_AUTH_METHOD] = {0, CONNACK},
    [MQTT_KEEP_ALIVE_TIMEOUT] = {0, BYE},
    [MQTT_SESSION_TAKEN_OVER] = {0, BYE},
    [MQTT_TOPIC_FILTER_INVALID] = {0, BYE | SUBACK | UNSUBACK},
    [MQTT_TOPIC_NAME_INVALID] = {PUBACKS | BYE, PUBACKS | BYE | CONNACK},
    [MQTT_PACKET_ID_IN_USE] = {PUBACKS, PUBACKS | SUBACK | UNSUBACK},
    [MQTT_PACKET_ID_NOT_FOUND] = {PUBRELS, PUBRELS},
    [MQTT_RECEIVE_MAXIMUM_EXCEEDED] = {BYE, BYE},
    [MQTT_TOPIC_ALIAS_INVALID] = {BYE, BYE},
    [MQTT_PACKET_TOO_LARGE] = {BYE, BYE | CONNACK},
    [MQTT_MESSAGE_RATE_TOO_HIGH] = {BYE, BYE},
    [MQTT_QUOTA_EXCEEDED] = {PUBACKS | BYE, PUBACKS | BYE | CONNACK | SUBACK},
    [MQTT_ADMINISTRATIVE_ACTION] = {BYE, BYE},
    [MQTT_PAYLOAD_FORMAT_INVALID] = {PUBACKS | BYE, PUBACKS | BYE | CONNACK},
    [MQTT_RETAIN_NOT_SUPPORTED] = {0, CONNACK | BYE},
    [MQTT_QOS_NOT_SUPPORTED] = {0, CONNACK | BYE},
    [MQTT_USE_ANOTHER_SERVER] = {0, CONNACK | BYE},
    [MQTT_SERVER_MOVED] = {0, CONNACK | BYE},
    [MQTT_SHARED_NOT_SUPPORTED] = {0, SUBACK | BYE},
    [MQTT_CONNECTION_RATE_EXCEEDED] = {0, CONNACK | BYE},
    [MQTT_MAXIMUM_CONNECT_TIME] = {0, BYE},
    [MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED] = {0, SUBACK | BYE},
    [MQTT_WILDCARDS_NOT_SUPPORTED] = {0, SUBACK | BYE},
};

bool mqtt_reason_allowed(uint8_t code, enum mqtt_type type, enum mqtt_sender sender)
{
    if (code >= COUNT_OF(reasons)) {
        return false;
    }
    unsigned packets = sender == MQTT_FROM_CLIENT ? reasons[code].client : reasons[code].server;
    return (packets >> type & 1u) != 0;
}

static enum mqtt_reason reason_of(enum err e)
{
    static const struct {
        enum err err;
        enum mqtt_reason reason;
    } answers[] = {
        {ERR_OK, MQTT_SUCCESS},
        {ERR_SHORT, MQTT_MALFORMED_PACKET},
        {ERR_MALFORMED, MQTT_MALFORMED_PACKET},
        {ERR_UTF8, MQTT_MALFORMED_PACKET},
        {ERR_PROTOCOL, MQTT_PROTOCOL_ERROR},
        {ERR_STATE, MQTT_PROTOCOL_ERROR},
        {ERR_RANGE, MQTT_PROTOCOL_ERROR},
        {ERR_LIMIT, MQTT_PACKET_TOO_LARGE},
        {ERR_UNSUPPORTED, MQTT_UNSUPPORTED_VERSION},
        {ERR_TYPE, MQTT_PAYLOAD_FORMAT_INVALID},
        {ERR_DENIED, MQTT_NOT_AUTHORIZED},
        {ERR_FULL, MQTT_QUOTA_EXCEEDED},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        if (answers[i].err == e) {
            return answers[i].reason;
        }
    }
    return MQTT_UNSPECIFIED_ERROR;
}

/* The packet that carries the answer. */
static enum mqtt_type carrier_of(enum mqtt_type type)
{
    const unsigned carriers = CONNACK | PUBACKS | PUBRELS | SUBACK | UNSUBACK;
    if (type == MQTT_CONNECT) {
        return MQTT_CONNACK;
    }
    return (carriers >> type & 1u) != 0 ? type : MQTT_DISCONNECT;
}

enum mqtt_reason mqtt_reason_for(enum err e, enum mqtt_type type)
{
    enum mqtt_type carrier = carrier_of(type);
    const enum mqtt_reason choices[] = {reason_of(e), MQTT_IMPLEMENTATION_ERROR,
                                        MQTT_PACKET_ID_NOT_FOUND};
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        if (mqtt_reason_allowed((uint8_t)choices[i], carrier, MQTT_FROM_SERVER)) {
            return choices[i];
        }
    }
    return MQTT_UNSPECIFIED_ERROR;
}
