/*
 * router: the hooks of messages between devices, as text; and messages for sessions.
 */
#pragma once

#include "expect.h"

static inline enum err router_take(struct rig *r, enum err answer, struct ticket *t)
{
    if (answer == ERR_OK && t != NULL && r->tickets_wait) {
        rig_keep_ticket(r, t);
    }
    return answer;
}

static inline enum err router_route(void *arg, struct session *s, const struct session_publish *p,
                                    struct ticket *t)
{
    struct rig *r = arg;
    if (r->route_answer == ERR_OK) {
        rig_note(r, "route #%lld %.*s=%.*s qos%d%s%s id%d; ", (long long)session_number(s),
                 VIEW_ARG(p->topic), VIEW_ARG(p->payload), p->qos, p->dup ? " dup" : "",
                 p->retain ? " retain" : "", p->packet_id);
    }
    return router_take(r, r->route_answer, t);
}

static inline enum err router_subscribed(void *arg, struct session *s,
                                         const struct session_filter *f, bool existed,
                                         struct ticket *t)
{
    struct rig *r = arg;
    CHECK(t != NULL);
    rig_note(r, "subscribed #%lld %s %02x id%u%s%s; ", (long long)session_number(s), f->filter,
             f->options, f->identifier, existed ? " existed" : "",
             session_outlives(s) ? " outlives" : "");
    return router_take(r, r->subscribed_answer, t);
}

static inline enum err router_unsubscribed(void *arg, struct session *s,
                                           const struct session_filter *f, struct ticket *t)
{
    struct rig *r = arg;
    rig_note(r, "unsubscribed #%lld %s%s; ", (long long)session_number(s), f->filter,
             t == NULL ? " by right" : "");
    return router_take(r, ERR_OK, t);
}

static inline void router_retained(void *arg, struct session *s, const struct session_filter *f,
                                   bool existed)
{
    rig_note(arg, "retained #%lld %s%s; ", (long long)session_number(s), f->filter,
             existed ? " existed" : "");
}

static inline enum err router_released(void *arg, struct session *s, uint16_t packet_id,
                                       struct ticket *t)
{
    struct rig *r = arg;
    rig_note(r, "released #%lld id%d; ", (long long)session_number(s), packet_id);
    return router_take(r, r->released_answer, t);
}

static inline enum err router_received(void *arg, struct session *s, int64_t seq, struct ticket *t)
{
    struct rig *r = arg;
    rig_note(r, "received #%lld seq%lld; ", (long long)session_number(s), (long long)seq);
    return router_take(r, r->received_answer, t);
}

static inline void router_done(void *arg, int64_t number, int64_t seq, struct message *m,
                               enum err status)
{
    CHECK(m != NULL);
    rig_note(arg, "done #%lld seq%lld %s; ", (long long)number, (long long)seq, err_words(status));
}

static inline void router_will(void *arg, const struct session_will *w)
{
    struct message *m = w->message;
    rig_note(arg, "will #%lld %s %.*s=%.*s qos%d%s delay%lld", (long long)w->number,
             w->device == NULL ? "-" : w->device->name, VIEW_ARG(message_topic(m)),
             VIEW_ARG(message_payload(m)), m->qos, m->retain ? " retain" : "",
             (long long)(w->delay_us / SEC));
    if (w->expiry_us != CLOCK_NONE) {
        rig_note(arg, " expiry%lld", (long long)(w->expiry_us / SEC));
    }
    for (size_t i = 0; i < m->props_len; i++) {
        rig_note(arg, "%s%02x", i == 0 ? " " : "", message_props(m).data[i]);
    }
    rig_note(arg, "; ");
    message_drop(m);
}

static inline void router_opened(void *arg, const struct session_opened *o)
{
    rig_note(arg, "opened #%lld %s/%s %lld%s; ", (long long)o->number,
             o->device == NULL ? "-" : o->device->name, o->client_id,
             (long long)(o->expiry_us / SEC), o->resumed ? " resumed" : "");
}

static inline void router_parted(void *arg, int64_t number, int64_t expiry_us)
{
    rig_note(arg, "parted #%lld %lld; ", (long long)number, (long long)(expiry_us / SEC));
}

static inline void router_ended(void *arg, int64_t number)
{
    rig_note(arg, "ended #%lld; ", (long long)number);
}

/* With the router's hooks, and without those that would only make the events longer. */
static inline struct rig *router_new(void)
{
    struct rig *r = rig_new();
    struct session_hooks *h = &r->all.hooks;
    h->route = router_route;
    h->subscribed = router_subscribed;
    h->unsubscribed = router_unsubscribed;
    h->retained = router_retained;
    h->released = router_released;
    h->received = router_received;
    h->target_done = router_done;
    h->will = router_will;
    h->opened = router_opened;
    h->parted = router_parted;
    h->ended = router_ended;
    h->filters = NULL;
    h->detach = NULL;
    h->forgotten = NULL;
    return r;
}

/* A message with 5.0 properties in the notation; NULL: none. Not stored. */
static inline struct message *router_message(const char *topic, const char *props,
                                             const char *payload)
{
    struct mqtt_bytes b = mqtt_bytes_of(props == NULL ? "" : props);
    struct message *m = message_of(view_str(topic), view_of(b.at, b.len), view_str(payload));
    CHECK(m != NULL);
    return m;
}

/* Sends and gives its message back, so that nobody but the session has it. */
static inline enum err router_send(struct rig *r, int64_t number, const char *topic,
                                   const char *payload, int qos, int64_t seq)
{
    struct message *m = router_message(topic, NULL, payload);
    atomic_store(&m->stored, true);
    const struct session_target t = {.message = m, .qos = (uint8_t)qos, .seq = seq};
    enum err e = session_send(&r->all, number, &t);
    message_drop(m);
    rig_run(r);
    return e;
}

static inline int64_t number_of(const struct rig_conn *c)
{
    return session_number(c->session);
}

/* Of the open listener, where nothing is denied. */
static inline struct rig_conn *router_dial(struct rig *r, uint32_t loop, const char *connect)
{
    struct rig_conn *c = rig_dial_on(r, loop, NULL, true);
    rig_send(c, connect);
    EXPECT_OPEN(c);
    buf_clear(&c->out);
    (void)rig_events(r);
    return c;
}

#define OPEN_311   "10 { <MQTT> 04 02 003c <c1> }"
#define OPEN_KEPT  "10 { <MQTT> 04 00 003c <c1> }"
#define OPEN_5     "10 { <MQTT> 05 02 003c { } <c1> }"
#define OPEN_5KEPT "10 { <MQTT> 05 00 003c { 11 00000e10 } <c1> }"
#define TERMS_OPEN "22 000a 21 0004"
