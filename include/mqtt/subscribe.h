/*
 * subscribe: SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK, sections 3.8 to 3.11.
 *
 * The lists stay in the packet; decoding checked them all, so walking them cannot fail:
 *
 *     struct mqtt_subscription_iter it = mqtt_subscription_iter(&m);
 *     while (mqtt_subscription_next(&it, &s)) { … }
 *
 * To send, collect the entries with the _put functions in a buf and point `entries` at it.
 *
 * Ownership: views into the packet. Threads: any.
 * Errors:    ERR_PROTOCOL for an empty list, QoS 3 in 5.0 and no-local on a shared subscription
 *            [MQTT-3.8.3-4]; ERR_MALFORMED for reserved bits and filters that are none (4.7.1).
 * Limits:    how many entries a packet may have is the session's decision: see `count`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mqtt/frame.h"
#include "mqtt/props.h"
#include "mqtt/reason.h"

struct mqtt_subscription {
    struct view filter; /* valid by mqtt_filter_valid() */
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling; /* 0: send, 1: send when new, 2: do not send */
};

struct mqtt_subscribe {
    uint16_t packet_id;
    uint32_t count;      /* set by the decoder; encoders count for themselves */
    struct view entries; /* filter and options, as on the wire */
    struct mqtt_props props;
};

struct mqtt_subscription_iter {
    struct view left;
};

NODISCARD enum err mqtt_subscribe_decode(struct view body, const struct mqtt_source *from,
                                         struct mqtt_subscribe *ret_subscribe);
NODISCARD enum err mqtt_subscribe_encode(struct buf *out, enum mqtt_version version,
                                         const struct mqtt_subscribe *m);
struct mqtt_subscription_iter mqtt_subscription_iter(const struct mqtt_subscribe *m);
bool mqtt_subscription_next(struct mqtt_subscription_iter *it,
                            struct mqtt_subscription *ret_subscription);
/* Leaves the options of 5.0 out for 3.1.1. ERR_RANGE for values that have no encoding. */
NODISCARD enum err mqtt_subscription_put(struct buf *entries, enum mqtt_version version,
                                         const struct mqtt_subscription *s);

struct mqtt_unsubscribe {
    uint16_t packet_id;
    uint32_t count;
    struct view entries; /* filters, as on the wire */
    struct mqtt_props props;
};

struct mqtt_unsubscribe_iter {
    struct view left;
};

NODISCARD enum err mqtt_unsubscribe_decode(struct view body, const struct mqtt_source *from,
                                           struct mqtt_unsubscribe *ret_unsubscribe);
NODISCARD enum err mqtt_unsubscribe_encode(struct buf *out, enum mqtt_version version,
                                           const struct mqtt_unsubscribe *m);
struct mqtt_unsubscribe_iter mqtt_unsubscribe_iter(const struct mqtt_unsubscribe *m);
bool mqtt_unsubscribe_next(struct mqtt_unsubscribe_iter *it, struct view *ret_filter);
NODISCARD enum err mqtt_unsubscribe_put(struct buf *entries, struct view filter);

/* SUBACK and UNSUBACK. One byte of enum mqtt_reason for each filter, in order. In 3.1.1 a SUBACK
 * knows 0, 1, 2 and 0x80 only (encoding turns every other refusal into 0x80) and an UNSUBACK has
 * none (encoding leaves them out). */
struct mqtt_suback {
    uint16_t packet_id;
    struct view reasons;
    struct mqtt_props props;
};

NODISCARD enum err mqtt_suback_decode(struct view body, const struct mqtt_source *from,
                                      struct mqtt_suback *ret_suback);
NODISCARD enum err mqtt_suback_encode(struct buf *out, enum mqtt_version version,
                                      const struct mqtt_suback *m);
NODISCARD enum err mqtt_unsuback_decode(struct view body, const struct mqtt_source *from,
                                        struct mqtt_suback *ret_unsuback);
NODISCARD enum err mqtt_unsuback_encode(struct buf *out, enum mqtt_version version,
                                        const struct mqtt_suback *m);
