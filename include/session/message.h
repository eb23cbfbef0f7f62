/*
 * message: what one device says to others, shared by all sessions it is for.
 *
 * Immutable once made, but for `id`, `rows` and `stored`, which the home loop sets, and `queued`.
 * Ownership: counted; each holder drops its hold once, on any thread. Limits: a topic of 65,535
 * bytes; properties and payload are bounded by the packet they came in.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct message {
    atomic_uint holds;
    atomic_uint queued; /* how many sessions' queues have it: see session/queue.c */
    uint32_t props_len, payload_len;
    int64_t id;            /* of its row; 0: not stored */
    uint32_t rows;         /* queues of stored sessions that name the row; the home loop's */
    int64_t expires_at_us; /* monotonic; CLOCK_NONE: never */
    atomic_bool stored;    /* committed: it may leave to sessions that outlive their connection */
    uint8_t qos;           /* as it was published */
    bool retain;           /* as it was published */
    uint16_t topic_len;
    uint8_t bytes[]; /* topic, properties, payload */
};

struct mqtt_props;
/* One hold for the caller. Of props (NULL: none) those that are handed on are kept, encoded as MQTT
 * 5 has them: payload format, content type, response topic, correlation data, user properties in
 * their order. NULL: out of memory. */
struct message *message_new(struct view topic, const struct mqtt_props *props, struct view payload);
/* The same from properties that are encoded already, e.g. from a row. */
struct message *message_of(struct view topic, struct view encoded_props, struct view payload);
struct message *message_hold(struct message *m);
void message_drop(struct message *m); /* NULL is fine */

static inline size_t message_bytes(const struct message *m)
{
    return sizeof(*m) + m->topic_len + m->props_len + m->payload_len;
}
static inline struct view message_topic(const struct message *m)
{
    return view_of(m->bytes, m->topic_len);
}
static inline struct view message_props(const struct message *m)
{
    return view_of(m->bytes + m->topic_len, m->props_len);
}
static inline struct view message_payload(const struct message *m)
{
    return view_of(m->bytes + m->topic_len + m->props_len, m->payload_len);
}
