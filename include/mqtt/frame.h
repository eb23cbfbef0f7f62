/*
 * frame: where one MQTT control packet ends and the next begins.
 *
 * Ownership: everything this module decodes is a view into the caller's bytes and valid as long as
 *            they are; nothing is allocated. Encoders append to the caller's buf.
 * Threads:   any; there is no state.
 * Errors:    ERR_SHORT from mqtt_frame() means "wait for more bytes"; from a decoder it means that
 *            a field runs past the packet's end. mqtt/reason.h turns errors into reason codes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

enum mqtt_version { MQTT_311 = 4, MQTT_50 = 5 }; /* the protocol level in CONNECT */

/*        name              value  words */
#define MQTT_TYPE_LIST(X)                  \
    X(MQTT_CONNECT, 1, "CONNECT")          \
    X(MQTT_CONNACK, 2, "CONNACK")          \
    X(MQTT_PUBLISH, 3, "PUBLISH")          \
    X(MQTT_PUBACK, 4, "PUBACK")            \
    X(MQTT_PUBREC, 5, "PUBREC")            \
    X(MQTT_PUBREL, 6, "PUBREL")            \
    X(MQTT_PUBCOMP, 7, "PUBCOMP")          \
    X(MQTT_SUBSCRIBE, 8, "SUBSCRIBE")      \
    X(MQTT_SUBACK, 9, "SUBACK")            \
    X(MQTT_UNSUBSCRIBE, 10, "UNSUBSCRIBE") \
    X(MQTT_UNSUBACK, 11, "UNSUBACK")       \
    X(MQTT_PINGREQ, 12, "PINGREQ")         \
    X(MQTT_PINGRESP, 13, "PINGRESP")       \
    X(MQTT_DISCONNECT, 14, "DISCONNECT")   \
    X(MQTT_AUTH, 15, "AUTH")

enum mqtt_type {
    MQTT_WILL = 0, /* no packet: names the will's properties inside CONNECT */
#define MQTT_TYPE_ENUM(name, value, words) name = (value),
    MQTT_TYPE_LIST(MQTT_TYPE_ENUM)
#undef MQTT_TYPE_ENUM
};

enum { MQTT_REMAINING_MAX = 268435455 }; /* largest Remaining Length, section 2.1.4 */

/* Who sent the bytes: a few properties and reason codes are allowed in one direction only. */
enum mqtt_sender { MQTT_FROM_CLIENT, MQTT_FROM_SERVER };

/* User properties cost the receiver time and memory; both are bounded per property section. */
struct mqtt_limits {
    uint32_t user_props_max;       /* pairs */
    uint32_t user_props_bytes_max; /* names and values together */
};
extern const struct mqtt_limits mqtt_limits_default; /* 32 pairs, 8 KiB */

/* What a decoder must know about the connection its packet came from. */
struct mqtt_source {
    enum mqtt_version version;
    enum mqtt_sender sender;
    struct mqtt_limits limits;
};

struct mqtt_frame {
    uint8_t head; /* first byte: type and flags */
    enum mqtt_type type;
    struct view body; /* what follows the Remaining Length */
    size_t total;     /* header and body: drop this many bytes when done */
};

/*
 * Finds the packet at the start of `in`.
 * ERR_SHORT: not complete yet. ERR_MALFORMED: type 0, a wrong reserved flag, QoS 3, DUP with QoS 0,
 * a Remaining Length over four bytes or longer than it need be. ERR_LIMIT: `total` would exceed
 * limit_bytes; both are found before the body has arrived. AUTH passes here; its decoder refuses it
 * to 3.1.1.
 */
NODISCARD enum err mqtt_frame(struct view in, uint32_t limit_bytes, struct mqtt_frame *ret_frame);

const char *mqtt_type_words(enum mqtt_type type); /* "PUBLISH"; "?" for no packet */
