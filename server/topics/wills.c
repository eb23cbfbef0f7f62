#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "topics/internal.h"

/*
 * A will is published when its connection has ended without a DISCONNECT, or so long after it as
 * its delay says [MQTT-3.1.3-9]; not at all when the session has a connection again before, and
 * at once when the session ends before. What its device may do at that moment decides.
 *
 * A will that waits is stored, since it belongs to a session that outlives its connection. What it
 * is published to and the end of its row are one commit: it is not published twice, and not lost,
 * to those for whom messages are stored. One that came due while the server was away is published
 * by the first tick after the start; so is one whose session expired meanwhile.
 *
 * Without memory to let it wait it is published at once.
 */
struct will {
    struct list link;        /* first */
    struct member *member;   /* NULL: restored, and its session was gone */
    struct message *message; /* held */
    int32_t device_id;       /* 0: of the open listener */
    int64_t id;              /* of its row; 0: none */
    int64_t due_us;
    int64_t expiry_us; /* of the message, from when it is published; CLOCK_NONE */
};

static bool is_allowed(const struct topics *t, const struct will *w)
{
    struct view topic = message_topic(w->message);
    if (w->device_id == 0) {
        return !route_is_forbidden(topic, false);
    }
    struct device *d = t->hooks.device(t->hooks.arg, w->device_id);
    bool allowed = d != NULL && d->enabled && session_may_publish(d, topic) &&
                   !route_is_forbidden(topic, true);
    device_drop(d);
    return allowed;
}

static void will_publish(struct topics *t, const struct will *w)
{
    struct message *m = w->message;
    struct view topic = message_topic(m);
    if (!is_allowed(t, w)) {
        LOG(LOG_WARN, "will_denied", LOG_I("device_id", w->device_id), LOG_V("topic", topic));
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

static void will_free(struct will *w)
{
    list_remove(&w->link);
    message_drop(w->message);
    free(w);
}

/* It has been published, or never will be. */
static void will_end(struct topics *t, struct will *w)
{
    if (w->member != NULL) {
        w->member->will = NULL;
    }
    if (w->id != 0) {
        journal_will_done(t->journal, w->id);
    }
    will_free(w);
}

static void will_wait(struct topics *t, struct will *later, const struct will *w)
{
    *later = *w;
    if (w->member != NULL) {
        w->member->will = later;
    }
    list_push_back(&t->wills, &later->link);
}

static void store(struct topics *t, const struct home_will *from, struct will *w)
{
    const struct journal_will row = {.number = from->number,
                                     .device_id = from->device_id,
                                     .message = from->message,
                                     .due_us = w->due_us,
                                     .expiry_us = from->expiry_us};
    w->id = journal_will(t->journal, &row);
    journal_wait(t->journal, NULL, 0, message_bytes(from->message));
}

static struct will will_of(struct topics *t, const struct home_will *from)
{
    return (struct will){.member = member_get(t, from->number),
                         .message = from->message,
                         .device_id = from->device_id,
                         .due_us = clock_mono_us() + from->delay_us,
                         .expiry_us = from->expiry_us};
}

void home_will(struct topics *t, const struct home_will *from)
{
    struct will w = will_of(t, from);
    bool waits = from->delay_us > 0 && w.member != NULL;
    if (waits && w.member->will != NULL) {
        will_end(t, w.member->will);
    }
    struct will *later = waits ? malloc(sizeof(*later)) : NULL;
    if (later == NULL) {
        will_publish(t, &w);
        message_drop(w.message);
        return;
    }
    if (w.member->has_row) {
        store(t, from, &w);
    }
    will_wait(t, later, &w);
}

enum err wills_restore(struct topics *t, const struct home_will *from, int64_t id)
{
    struct will w = will_of(t, from);
    struct will *later = malloc(sizeof(*later));
    if (later == NULL) {
        return ERR_NOMEM;
    }
    w.id = id;
    if (w.member == NULL) {
        w.due_us = clock_mono_us();
    }
    will_wait(t, later, &w);
    return ERR_OK;
}

void wills_send(struct topics *t, struct member *m)
{
    if (m->will != NULL) {
        will_publish(t, m->will);
        will_end(t, m->will);
    }
}

void wills_returned(struct topics *t, struct member *m)
{
    if (m->will == NULL) {
        return;
    }
    if (clock_mono_us() >= m->will->due_us) {
        wills_send(t, m); /* only the tick had not come yet */
    } else {
        will_end(t, m->will);
    }
}

void wills_due(struct topics *t, int64_t now_us)
{
    struct list *next = NULL;
    for (struct list *at = t->wills.next; at != &t->wills; at = next) {
        struct will *w = CONTAINER_OF(at, struct will, link);
        next = at->next;
        if (now_us >= w->due_us) {
            will_publish(t, w);
            will_end(t, w);
        }
    }
}

void wills_free(struct topics *t)
{
    while (!list_empty(&t->wills)) {
        will_free(CONTAINER_OF(t->wills.next, struct will, link));
    }
}
