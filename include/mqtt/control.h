/*
 * control: PINGREQ, PINGRESP, DISCONNECT and AUTH, sections 3.12 to 3.15.
 *
 * Ownership: views into the packet. Threads: any.
 */
#pragma once

#include <stdint.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"
#include "mqtt/reason.h"

/* PINGREQ and PINGRESP: nothing but the head. */
NODISCARD enum err mqtt_ping_decode(struct view body);
NODISCARD enum err mqtt_ping_encode(struct buf *out, enum mqtt_type type);

struct mqtt_disconnect {
    enum mqtt_reason reason; /* MQTT_SUCCESS: normal disconnection; always so from 3.1.1 */
    struct mqtt_props props;
};

NODISCARD enum err mqtt_disconnect_decode(struct view body, const struct mqtt_source *from,
                                          struct mqtt_disconnect *ret_disconnect);
/* 3.1.1 has no reason; a server does not send DISCONNECT there at all, which is its own business.
 */
NODISCARD enum err mqtt_disconnect_encode(struct buf *out, enum mqtt_version version,
                                          const struct mqtt_disconnect *m);

struct mqtt_auth {
    enum mqtt_reason reason; /* 0x00, 0x18 or 0x19 */
    struct mqtt_props props; /* with an authentication method, unless the body was empty */
};

/* 5.0 only: ERR_MALFORMED from 3.1.1, where type 15 is reserved; encoding to it is ERR_UNSUPPORTED.
 */
NODISCARD enum err mqtt_auth_decode(struct view body, const struct mqtt_source *from,
                                    struct mqtt_auth *ret_auth);
NODISCARD enum err mqtt_auth_encode(struct buf *out, enum mqtt_version version,
                                    const struct mqtt_auth *m);
