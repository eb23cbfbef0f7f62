#include "session/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "mqtt/forward.h"

/* The properties are left to the caller. */
static struct message *message_alloc(struct view topic, size_t props_len, struct view payload)
{
    struct message *m = topic.len > UINT16_MAX || props_len > UINT32_MAX || payload.len > UINT32_MAX
                            ? NULL
                            : malloc(sizeof(*m) + topic.len + props_len + payload.len);
    if (m == NULL) {
        return NULL;
    }
    *m = (struct message){
        .props_len = (uint32_t)props_len,
        .payload_len = (uint32_t)payload.len,
        .expires_at_us = CLOCK_NONE,
        .topic_len = (uint16_t)topic.len,
    };
    atomic_init(&m->holds, 1);
    if (topic.len > 0) {
        memcpy(m->bytes, topic.data, topic.len);
    }
    if (payload.len > 0) {
        memcpy(m->bytes + topic.len + props_len, payload.data, payload.len);
    }
    return m;
}

struct message *message_new(struct view topic, const struct mqtt_props *props, struct view payload)
{
    size_t props_len = props == NULL || props->present == 0 ? 0 : mqtt_forwarded_size(props);
    struct message *m = message_alloc(topic, props_len, payload);
    if (m != NULL && props_len > 0) {
        mqtt_forwarded_write(props, m->bytes + topic.len);
    }
    return m;
}

struct message *message_of(struct view topic, struct view encoded_props, struct view payload)
{
    struct message *m = message_alloc(topic, encoded_props.len, payload);
    if (m != NULL && encoded_props.len > 0) {
        memcpy(m->bytes + topic.len, encoded_props.data, encoded_props.len);
    }
    return m;
}

struct message *message_hold(struct message *m)
{
    unsigned before = atomic_fetch_add_explicit(&m->holds, 1, memory_order_relaxed);
    CHECK(before > 0); /* whoever holds may hold again; nobody revives a dead message */
    return m;
}

void message_drop(struct message *m)
{
    if (m != NULL && atomic_fetch_sub_explicit(&m->holds, 1, memory_order_acq_rel) == 1) {
        free(m);
    }
}
