/*
 * publish: PUBLISH, section 3.3.
 *
 * Ownership: views into the packet. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"

struct mqtt_publish {
    struct view topic; /* empty only with a topic alias */
    struct view payload;
    uint16_t packet_id; /* 0 with QoS 0, else not 0 */
    uint8_t qos;
    bool retain;
    bool dup;
    struct mqtt_props props;
};

/* ERR_MALFORMED: QoS 3, DUP with QoS 0 [MQTT-3.3.1-2], wildcard in the topic [MQTT-3.3.2-2].
 * ERR_PROTOCOL: packet id 0 [MQTT-2.2.1-3], empty topic without alias, subscription identifier from
 * a client [MQTT-3.3.4-6]. The topic is a valid topic name afterwards. */
NODISCARD enum err mqtt_publish_decode(uint8_t head, struct view body,
                                       const struct mqtt_source *from,
                                       struct mqtt_publish *ret_publish);
NODISCARD enum err mqtt_publish_encode(struct buf *out, enum mqtt_version version,
                                       const struct mqtt_publish *m);
/* The bytes that encoding takes, to compare with the receiver's Maximum Packet Size; SIZE_MAX when
 * the message cannot be encoded at all. */
size_t mqtt_publish_size(enum mqtt_version version, const struct mqtt_publish *m);
/* ERR_TYPE: the payload format says text, and the payload is not UTF-8. Not checked by decoding. */
NODISCARD enum err mqtt_publish_check_payload(const struct mqtt_publish *m);
