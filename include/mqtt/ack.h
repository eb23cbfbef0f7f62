/*
 * ack: PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7: one shape, four types.
 *
 * Ownership: views into the packet. Threads: any.
 */
#pragma once

#include <stdint.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"
#include "mqtt/reason.h"

struct mqtt_ack {
    uint16_t packet_id;      /* never 0 */
    enum mqtt_reason reason; /* always MQTT_SUCCESS from 3.1.1 */
    struct mqtt_props props;
};

NODISCARD enum err mqtt_ack_decode(enum mqtt_type type, struct view body,
                                   const struct mqtt_source *from, struct mqtt_ack *ret_ack);
/* Success without properties is four bytes in both versions. 3.1.1 cannot say a reason: it is left
 * out there. */
NODISCARD enum err mqtt_ack_encode(struct buf *out, enum mqtt_type type, enum mqtt_version version,
                                   const struct mqtt_ack *m);
/* The four-byte form, valid in both versions: the hot path. */
NODISCARD enum err mqtt_ack_encode_plain(struct buf *out, enum mqtt_type type, uint16_t packet_id);
