/*
 * forward: a message on its way to its subscribers, sections 3.3.2.3 and 4.
 *
 * What a server hands on unchanged (payload format, content type, response topic, correlation data,
 * user properties) is taken once from the packet, in the order it came in; what belongs to one
 * delivery is added when it is sent.
 *
 * Ownership: views of the caller. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"

/* Of decoded properties: the bytes that mqtt_forwarded_write() writes, without a length in front.
 */
size_t mqtt_forwarded_size(const struct mqtt_props *props);
void mqtt_forwarded_write(const struct mqtt_props *props, uint8_t *ret_bytes);

struct mqtt_forward {
    struct view topic; /* empty only with a topic alias */
    struct view payload;
    struct view props; /* as mqtt_forwarded_write() made them; 5.0 only, as all that follow */
    const uint32_t *subscription_ids;
    uint32_t subscription_id_count;
    uint32_t expiry_s;    /* what is left; counts with `expires` only */
    uint16_t topic_alias; /* 0: none */
    uint16_t packet_id;   /* 0 with QoS 0, else not 0 */
    uint8_t qos;
    bool retain, dup, expires;
};

/* ERR_LIMIT: the packet would be larger than limit_bytes, and nothing was appended. */
NODISCARD enum err mqtt_forward_encode(struct buf *out, enum mqtt_version version,
                                       const struct mqtt_forward *m, uint32_t limit_bytes);
