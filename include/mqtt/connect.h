/*
 * connect: CONNECT and CONNACK, sections 3.1 and 3.2.
 *
 * Ownership: views into the packet. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"
#include "mqtt/reason.h"

struct mqtt_will {
    struct view topic;
    struct view payload;
    uint8_t qos;
    bool retain;
    struct mqtt_props props;
};

struct mqtt_connect {
    enum mqtt_version version;
    bool clean_start; /* "clean session" in 3.1.1 */
    bool has_will;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s; /* 0: off */
    struct view client_id; /* may be empty: whether that is allowed is the session's decision */
    struct view user_name;
    struct view password;
    struct mqtt_will will;
    struct mqtt_props props;
};

/*
 * ERR_UNSUPPORTED: MQTT, but a version that is not spoken here (MQIsdp, bridge bit 0x80, level 6…).
 * ERR_PROTOCOL: not MQTT at all, or flags that contradict each other as [MQTT-3.1.2-22].
 */
NODISCARD enum err mqtt_connect_decode(struct view body, const struct mqtt_limits *limits,
                                       struct mqtt_connect *ret_connect);
/* The version in which to answer a CONNECT that could not be decoded; looks at name and level only.
 */
enum mqtt_version mqtt_connect_answer_version(struct view body);
/* Uses m->version. */
NODISCARD enum err mqtt_connect_encode(struct buf *out, const struct mqtt_connect *m);

struct mqtt_connack {
    bool session_present;
    enum mqtt_reason reason; /* also for 3.1.1, where 0x84 0x85 0x88 0x86 0x87 are sent as 1 to 5 */
    struct mqtt_props props;
};

NODISCARD enum err mqtt_connack_decode(struct view body, const struct mqtt_source *from,
                                       struct mqtt_connack *ret_connack);
/* To 3.1.1 every other refusal becomes 3, "server unavailable". A refusal never claims a session
 * [MQTT-3.2.2-6]. */
NODISCARD enum err mqtt_connack_encode(struct buf *out, enum mqtt_version version,
                                       const struct mqtt_connack *m);
