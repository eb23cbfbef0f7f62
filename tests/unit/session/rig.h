/*
 * rig: sessions without sockets. Bytes go in and come out in the notation of mqtt_bytes.h, hooks
 * write what they were told into a text, the clock is a number, mail runs when the test says so.
 *
 * Devices are "d<number>", with the token "token-d<number>"; a connection's certificate is the name
 * itself. Bytes reach the session as exact-size heap copies, so that ASan sees one byte too far.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "mqtt_bytes.h"
#include "session/private.h"

enum { RIG_CONNS = 64, RIG_TICKETS = 512, RIG_EVENTS = 16384, RIG_LOOPS = 3 };

struct rig_conn {
    struct rig *rig;
    struct session *session; /* NULL: closed, by either side */
    struct buf out;
    struct buf in;
    const char *certificate;
    bool used, reading, ready, again, open_listener, full;
};

struct rig {
    struct sessions all; /* first */
    struct conf conf;
    struct rig_conn conns[RIG_CONNS];
    struct mail *mail_first, **mail_last;
    bool attach_waits; /* the test answers */
    enum err attach_status;
    struct session_ref last_ref;
    const struct device *last_device; /* borrowed until the answer */
    const char *last_client_id;
    const char *publish_topic, *subscribe_topic; /* what the type of all devices allows */
    const char *site;                            /* label of all devices, or NULL */
    bool devices_gone;
    enum err publish_answer;
    enum err route_answer, subscribed_answer, released_answer, received_answer; /* see router.h */
    bool tickets_wait;
    struct ticket *tickets[RIG_TICKETS];
    int ticket_count;
    char events[RIG_EVENTS];
    size_t events_len;
};

static int64_t rig_now_us;
static struct rig *rig_current;

static inline int64_t rig_clock(void)
{
    return rig_now_us;
}

__attribute__((format(printf, 2, 3))) static inline void rig_note(struct rig *r, const char *format,
                                                                  ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(r->events + r->events_len, RIG_EVENTS - r->events_len, format, args);
    va_end(args);
    r->events_len += (size_t)len;
    if (r->events_len >= RIG_EVENTS) {
        r->events_len = 0; /* a fuzzer's run may be long; nobody reads its events */
    }
}

/* What the hooks were told since the last call; "; " between events. */
static inline const char *rig_events(struct rig *r)
{
    static char taken[RIG_EVENTS];
    size_t len = r->events_len >= 2 ? r->events_len - 2 : 0;
    memcpy(taken, r->events, len);
    taken[len] = '\0';
    r->events_len = 0;
    r->events[0] = '\0';
    return taken;
}

static inline struct buf *rig_out(struct net_conn *c)
{
    return &((struct rig_conn *)(void *)c)->out;
}

static inline size_t rig_queued(const struct net_conn *c)
{
    return ((const struct rig_conn *)(const void *)c)->out.len;
}

static inline void rig_tell_drained(struct net_conn *c)
{
    ((struct rig_conn *)(void *)c)->full = true;
}

static inline void rig_read(struct net_conn *c, bool on)
{
    ((struct rig_conn *)(void *)c)->reading = on;
}

static inline void rig_again(struct net_conn *c)
{
    ((struct rig_conn *)(void *)c)->again = true;
}

static inline void rig_ready(struct net_conn *c)
{
    ((struct rig_conn *)(void *)c)->ready = true;
}

static inline void rig_close(struct net_conn *c)
{
    struct rig_conn *rc = (struct rig_conn *)(void *)c;
    CHECK(rc->session != NULL);
    rc->session = NULL;
}

static inline enum err rig_certificate(struct net_conn *c, struct buf *ret_der)
{
    const struct rig_conn *rc = (const struct rig_conn *)(const void *)c;
    if (rc->certificate == NULL) {
        return ERR_NOT_FOUND;
    }
    buf_put_str(ret_der, rc->certificate);
    return ERR_OK;
}

static inline char *rig_peer(const struct net_conn *c, char ret_words[static NET_PEER_WORDS])
{
    (void)c;
    (void)snprintf(ret_words, NET_PEER_WORDS, "rig");
    return ret_words;
}

static inline void rig_post(struct sessions *all, uint32_t loop, struct mail *m)
{
    struct rig *r = (struct rig *)(void *)all;
    (void)loop;
    m->next = NULL;
    *r->mail_last = m;
    r->mail_last = &m->next;
}

enum { RIG_TYPE = 7 };

static inline struct device *rig_device(void *arg, int32_t id)
{
    const struct rig *r = arg;
    struct device *d = r->devices_gone ? NULL : device_new();
    if (d == NULL) {
        return NULL;
    }
    d->id = id;
    CHECK(asprintf(&d->name, "d%d", id) > 0);
    d->type = device_type_new();
    d->type->id = RIG_TYPE;
    d->type->publish_topics = calloc(2, sizeof(char *));
    d->type->publish_topics[0] = strdup(r->publish_topic);
    d->type->publish_topic_count = 1;
    d->type->subscribe_topics = calloc(2, sizeof(char *));
    d->type->subscribe_topics[0] = strdup(r->subscribe_topic);
    d->type->subscribe_topic_count = 1;
    if (r->site != NULL) {
        d->labels = calloc(1, sizeof(*d->labels));
        d->labels[0] = (struct device_pair){.key = strdup("site"), .text = strdup(r->site)};
        d->label_count = 1;
    }
    return d;
}

static inline enum err rig_identity(struct rig *r, const char *name,
                                    struct auth_identity *ret_identity)
{
    int id = 0;
    if (sscanf(name, "d%d", &id) != 1) {
        return ERR_DENIED;
    }
    *ret_identity = (struct auth_identity){.device = rig_device(r, id), .credential_id = id * 10};
    return ERR_OK;
}

static inline enum err rig_token(void *arg, struct view token, struct auth_identity *ret_identity)
{
    char name[64];
    if (view_eq(token, VIEW("token-down"))) {
        return ERR_DB_DOWN;
    }
    if (!view_starts(token, VIEW("token-")) || !view_copy(view_skip(token, 6), name, 64)) {
        return ERR_DENIED;
    }
    return rig_identity(arg, name, ret_identity);
}

static inline enum err rig_der(void *arg, struct view der, struct auth_identity *ret_identity)
{
    char name[64];
    return view_copy(der, name, 64) ? rig_identity(arg, name, ret_identity) : ERR_DENIED;
}

static inline void rig_attach(void *arg, const struct session_attach *a)
{
    struct rig *r = arg;
    rig_note(r, "attach %s/%s%s%s%s; ", a->device == NULL ? "-" : a->device->name, a->client_id,
             a->clean_start ? " clean" : "", a->persistent ? " persistent" : "",
             a->present ? " present" : "");
    r->last_ref = a->ref;
    r->last_device = a->device;
    r->last_client_id = a->client_id;
    if (!r->attach_waits) {
        session_attach_done(&r->all, a->ref, r->attach_status);
    }
}

static inline void rig_keep_ticket(struct rig *r, struct ticket *t)
{
    CHECK(r->ticket_count < RIG_TICKETS);
    ticket_hold(t);
    r->tickets[r->ticket_count++] = t;
}

static inline enum err rig_publish(void *arg, struct session *s, const struct session_publish *p,
                                   struct ticket *t)
{
    struct rig *r = arg;
    (void)s;
    if (r->publish_answer != ERR_OK) {
        return r->publish_answer;
    }
    rig_note(r, "publish %.*s=%.*s qos%d%s id%d; ", VIEW_ARG(p->topic), VIEW_ARG(p->payload),
             p->qos, p->dup ? " dup" : "", p->packet_id);
    if (t != NULL && r->tickets_wait) {
        rig_keep_ticket(r, t);
    }
    return ERR_OK;
}

static inline enum err rig_filters(void *arg, struct session *s,
                                   const struct session_filter *filters, uint32_t count,
                                   struct ticket *t)
{
    struct rig *r = arg;
    rig_note(r, "filters %s %u%s; ", session_client_id(s), count, t == NULL ? "" : " stored");
    for (uint32_t i = 0; i < count; i++) {
        CHECK(filters[i].filter != NULL && filters[i].filter[0] != '\0');
    }
    if (t != NULL && r->tickets_wait) {
        rig_keep_ticket(r, t);
    }
    return ERR_OK;
}

static inline void rig_detach(void *arg, struct session_ref ref, const struct device *device,
                              const char *client_id, enum session_end end, bool persistent)
{
    static const char *const ends[] = {"client", "will", "server"};
    struct rig *r = arg;
    rig_note(r, "detach %s/%s %s%s; ", device == NULL ? "-" : device->name, client_id, ends[end],
             persistent ? " persistent" : "");
    (void)ref;
}

static inline void rig_forgotten(void *arg, const struct device *device, const char *client_id)
{
    rig_note(arg, "forgotten %s/%s; ", device == NULL ? "-" : device->name, client_id);
}

static inline void rig_delivered(void *arg, int64_t delivery_id, enum err status)
{
    rig_note(arg, "delivered %lld %s; ", (long long)delivery_id, err_words(status));
}

static const struct session_io rig_io = {
    .out = rig_out,
    .queued = rig_queued,
    .tell_drained = rig_tell_drained,
    .read = rig_read,
    .again = rig_again,
    .ready = rig_ready,
    .close = rig_close,
    .certificate = rig_certificate,
    .peer = rig_peer,
    .post = rig_post,
    .now_us = rig_clock,
};

static inline struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    CHECK(r != NULL);
    log_setup(LOG_ERROR, LOG_FORMAT_LOGFMT);
    rig_now_us = 1000 * SEC;
    rig_current = r;
    r->conf = (struct conf){
        .net_loops = RIG_LOOPS,
        .keepalive_max_us = 1200 * SEC,
        .packet_max_bytes = 4 * KIB,
        .packet_max_before_auth_bytes = 1 * KIB,
        .receive_maximum = 4,
        .unacked_messages_max = 6,
        .stalled_timeout_us = 60 * SEC,
        .session_expiry_max_us = 3600 * SEC,
        .session_queue_max = 50,
        .session_queue_bytes = 64 * KIB,
        .queues_max_bytes = 1024 * MIB,
        .send_queue_max_bytes = 256 * KIB,
    };
    r->mail_last = &r->mail_first;
    r->all.conf = &r->conf;
    r->all.io = &rig_io;
    r->publish_topic = "plant/+/up/#";
    r->subscribe_topic = "plant/+/down/#";
    r->all.auth = (struct sessions_auth){
        .arg = r, .token = rig_token, .certificate = rig_der, .device = rig_device};
    r->all.hooks = (struct session_hooks){
        .arg = r,
        .attach = rig_attach,
        .publish = rig_publish,
        .filters = rig_filters,
        .detach = rig_detach,
        .forgotten = rig_forgotten,
        .delivered = rig_delivered,
    };
    CHECK(sessions_init(&r->all, RIG_LOOPS) == ERR_OK);
    return r;
}

/* How many bytes of what waits the session has used. */
static inline void rig_offer(struct rig_conn *c)
{
    if (c->session == NULL || c->in.len == 0) {
        return;
    }
    uint8_t *copy = malloc(c->in.len);
    CHECK(copy != NULL);
    memcpy(copy, c->in.data, c->in.len);
    size_t len = c->in.len;
    size_t used = session_data(c->session, view_of(copy, len));
    CHECK(used <= len);
    free(copy);
    buf_cut(&c->in, c->session == NULL ? len : used);
}

/* One piece of mail. False: there is none. */
static inline bool rig_mail(struct rig *r)
{
    struct mail *m = r->mail_first;
    if (m == NULL) {
        return false;
    }
    r->mail_first = m->next;
    if (m->next == NULL) {
        r->mail_last = &r->mail_first;
    }
    m->run(m);
    return true;
}

/* Until nothing moves any more. */
static inline void rig_run(struct rig *r)
{
    bool moved = true;
    while (moved) {
        moved = rig_mail(r);
        for (int i = 0; i < RIG_CONNS; i++) {
            struct rig_conn *c = &r->conns[i];
            if (c->again) {
                c->again = false;
                moved = true;
                rig_offer(c);
            }
        }
    }
}

static inline void rig_turn(struct rig *r, int64_t forward_us)
{
    int64_t until_us = rig_now_us + forward_us;
    while (rig_now_us < until_us) {
        rig_now_us += until_us - rig_now_us < 10 * SEC ? until_us - rig_now_us : 10 * SEC;
        for (uint32_t i = 0; i < RIG_LOOPS; i++) {
            wheel_turn(&r->all.loops[i].wheel, rig_now_us, timer_fire, NULL);
        }
        rig_run(r);
    }
}

static inline struct rig_conn *rig_dial_on(struct rig *r, uint32_t loop, const char *certificate,
                                           bool open_listener)
{
    for (int i = 0; i < RIG_CONNS; i++) {
        struct rig_conn *c = &r->conns[i];
        if (!c->used) {
            *c = (struct rig_conn){.rig = r, .used = true, .reading = true};
            c->certificate = certificate;
            buf_init(&c->out, 1 << 20);
            buf_init(&c->in, 1 << 20);
            c->open_listener = open_listener;
            c->session =
                session_open(&r->all.loops[loop], (struct net_conn *)(void *)c, open_listener);
            return c;
        }
    }
    CHECK(false);
    return NULL;
}

/* A connection on a loop; certificate may be NULL. */
static inline struct rig_conn *rig_dial(struct rig *r, uint32_t loop, const char *certificate)
{
    return rig_dial_on(r, loop, certificate, false);
}

/* What came out is taken by the kernel. */
static inline void rig_drain(struct rig_conn *c)
{
    buf_clear(&c->out);
    if (c->full && c->session != NULL) {
        c->full = false;
        deliver_pump(c->session);
    }
    rig_run(c->rig);
}

static inline void rig_give(struct rig_conn *c, const uint8_t *bytes, size_t len)
{
    if (c->session == NULL) {
        return;
    }
    buf_put(&c->in, bytes, len);
    rig_offer(c);
}

/* Sends without running mail. */
static inline void rig_send_only(struct rig_conn *c, const char *text)
{
    struct mqtt_bytes b = mqtt_bytes_of(text);
    rig_give(c, b.at, b.len);
}

static inline void rig_send(struct rig_conn *c, const char *text)
{
    rig_send_only(c, text);
    rig_run(c->rig);
}

static inline void rig_hang_up(struct rig_conn *c)
{
    struct session *s = c->session;
    c->session = NULL;
    if (s != NULL) {
        session_lost(s, NET_CLOSE_PEER);
    }
    rig_run(c->rig);
}

/* The place is free for another connection. */
static inline void rig_discard(struct rig_conn *c)
{
    rig_hang_up(c);
    buf_fini(&c->out);
    buf_fini(&c->in);
    c->used = false;
}

/* Finishes the ticket that came as number `index`. */
static inline void rig_finish(struct rig *r, int index, enum err status)
{
    struct ticket *t = r->tickets[index];
    CHECK(t != NULL);
    r->tickets[index] = NULL;
    ticket_drop(t, status);
    rig_run(r);
}

static inline void rig_free(struct rig *r)
{
    r->tickets_wait = false;
    for (int i = 0; i < r->ticket_count; i++) {
        if (r->tickets[i] != NULL) {
            ticket_drop(r->tickets[i], ERR_CLOSED);
        }
    }
    rig_run(r);
    for (int i = 0; i < RIG_CONNS; i++) {
        if (r->conns[i].used) {
            rig_hang_up(&r->conns[i]);
            buf_fini(&r->conns[i].out);
            buf_fini(&r->conns[i].in);
        }
    }
    rig_run(r);
    sessions_fini(&r->all);
    free(r);
}

/* What came out since the last call equals the notation. Fills ret_got with what it is, in hex. */
static inline bool rig_got(struct rig_conn *c, const char *text, char *ret_got, size_t size)
{
    struct mqtt_bytes want = mqtt_bytes_of(text);
    bool equal =
        c->out.len == want.len && (want.len == 0 || memcmp(c->out.data, want.at, want.len) == 0);
    size_t at = 0;
    for (size_t i = 0; i < c->out.len && at + 4 < size; i++) {
        at += (size_t)snprintf(ret_got + at, size - at, "%02x ", c->out.data[i]);
    }
    ret_got[at] = '\0';
    buf_clear(&c->out);
    return equal;
}
