#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "topics/internal.h"

/*
 * A will is published when its connection has ended without a DISCONNECT, or so long after it as
 * its delay says [MQTT-3.1.3-9]; not at all when the session has a connection again before, and
 * at once when the session ends before. The device's rights of that time decide.
 *
 * Deliberately not done: delayed wills do not survive the server. Nobody was promised them.
 */
struct will {
    struct list link; /* first */
    struct member *member;
    struct message *message;
    struct device *device; /* held; NULL: of the open listener */
    int64_t due_us;
    int64_t expiry_us; /* of the message, from when it is published; CLOCK_NONE */
};

static void will_free(struct will *w)
{
    message_drop(w->message);
    device_drop(w->device);
    free(w);
}

static void will_publish(struct topics *t, const struct will *w)
{
    struct message *m = w->message;
    struct view topic = message_topic(m);
    if (!session_may_publish(w->device, topic) || route_is_forbidden(topic, w->device != NULL)) {
        LOG(LOG_WARN, "will_denied", LOG_S("device", w->device == NULL ? "" : w->device->name),
            LOG_V("topic", topic));
        return;
    }
    if (w->expiry_us != CLOCK_NONE) {
        m->expires_at_us = clock_mono_us() + w->expiry_us;
    }
    const struct routed p = {.topic = topic,
                             .payload = message_payload(m),
                             .message = m,
                             .publisher = w->member,
                             .qos = m->qos,
                             .retain = m->retain,
                             .must_be_taken = true};
    enum err e = route_publish(t, &p);
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        LOG(LOG_WARN, "will_not_published", LOG_V("topic", topic), LOG_S("error", err_words(e)));
    }
}

void home_will(struct topics *t, const struct session_will *from, struct device *device)
{
    struct will w = {.member = member_get(t, from->number),
                     .message = from->message,
                     .device = device,
                     .due_us = clock_mono_us() + from->delay_us,
                     .expiry_us = from->expiry_us};
    struct will *later = NULL;
    if (from->delay_us > 0 && w.member != NULL) {
        wills_cancel(t, w.member);
        later = malloc(sizeof(*later));
    }
    if (later == NULL) {
        will_publish(t, &w);
        message_drop(w.message);
        device_drop(w.device);
        return;
    }
    *later = w;
    later->member->will = later;
    list_push_back(&t->wills, &later->link);
}

void wills_cancel(struct topics *t, struct member *m)
{
    (void)t;
    if (m->will != NULL) {
        list_remove(&m->will->link);
        will_free(m->will);
        m->will = NULL;
    }
}

void wills_send(struct topics *t, struct member *m)
{
    if (m->will != NULL) {
        will_publish(t, m->will);
        wills_cancel(t, m);
    }
}

void wills_due(struct topics *t, int64_t now_us)
{
    struct list *next = NULL;
    for (struct list *at = t->wills.next; at != &t->wills; at = next) {
        struct will *w = CONTAINER_OF(at, struct will, link);
        next = at->next;
        if (now_us >= w->due_us) {
            wills_send(t, w->member);
        }
    }
}
