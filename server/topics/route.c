#include <stdlib.h>

#include "base/clock.h"
#include "base/counter.h"
#include "mqtt/topic.h"
#include "topics/internal.h"

/*
 * Happy path: a publish is matched, becomes one message, and each target's session gets it. For
 * sessions that outlive their connection a message of QoS 1 or 2 is written to the journal, and so
 * is a retained one: the publisher's ticket waits for that commit, and so do these targets, whose
 * sessions look at message->stored. Everything else leaves in the same turn and waits for nobody.
 *
 * QoS 2: a packet identifier is remembered until its release. The same one again means that the
 * connection went before the PUBREC: it is not routed again, but waits for what is under way, which
 * includes the first one.
 *
 * When the queues of all sessions are full (queues_max), those who are absent get nothing: who is
 * connected does not suffer from who is not. A publisher whose message was only for absent ones is
 * told that it was not kept: 0x97, for which MQTT 3.1.1 has no word.
 *
 * Not done: sending again to others what was given to a member of a shared subscription that then
 * went away. It waits for that member, as the standard asks for QoS 2 [MQTT-4.8.2-4, -5].
 */

bool route_is_forbidden(struct view topic, bool of_device)
{
    /* Nobody could tell a message of a device from one of the server there: commands, answers. */
    static const char *const of_api[] = {"v1/devices/me/", "v1/gateway/"};
    for (size_t i = 0; of_device && i < COUNT_OF(of_api); i++) {
        if (view_starts(topic, view_str(of_api[i]))) {
            return true;
        }
    }
    return view_eq(topic, VIEW("$SYS")) || view_starts(topic, VIEW("$SYS/"));
}

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static bool is_stored(const struct member *m, uint8_t qos)
{
    return m->tree.waits && qos > 0;
}

static struct member *member_of(const struct tree_target *to)
{
    return CONTAINER_OF(to->member, struct member, tree);
}

/* full: what waits for all sessions together has reached its bound. */
static bool is_left_out(const struct member *m, uint8_t qos, bool full)
{
    return full && is_stored(m, qos) && !m->tree.connected;
}

static bool needs_database(const struct routed *p, const struct tree_target *targets,
                           uint32_t count, bool full)
{
    bool needs = p->retain;
    for (uint32_t i = 0; i < count && !needs && p->qos > 0; i++) {
        const struct member *m = member_of(&targets[i]);
        uint8_t qos = lower(p->qos, targets[i].qos);
        needs = is_stored(m, qos) && !is_left_out(m, qos, full);
    }
    return needs;
}

static bool is_for_nobody(const struct routed *p, const struct tree_target *targets, uint32_t count,
                          bool full)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_left_out(member_of(&targets[i]), lower(p->qos, targets[i].qos), full)) {
            return false;
        }
    }
    return true;
}

/* False: the session is gone. */
static bool send_one(struct topics *t, struct member *m, struct session_target *target)
{
    if (is_stored(m, target->qos)) {
        target->seq = ++m->seq;
        journal_queue(t->journal, m->number, target, &m->noted);
    }
    enum err e = session_send(t->sessions, m->number, target);
    if (e == ERR_NOT_FOUND || e == ERR_NOMEM) {
        /* Nobody tells us what becomes of it. */
        if (target->seq != 0) {
            journal_queue_done(t->journal, m->number, target->seq, target->message);
        }
        return false;
    }
    return true;
}

static void send_all(struct topics *t, struct message *m, const struct tree_target *targets,
                     uint32_t count, bool full)
{
    int64_t sent = 0;
    t->sending = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct tree_target *to = &targets[i];
        if (is_left_out(member_of(to), lower(m->qos, to->qos), full)) {
            counter_add(COUNTER_ROUTED_DROPPED, 1);
            continue;
        }
        struct session_target target = {.message = m,
                                        .qos = lower(m->qos, to->qos),
                                        .retain = m->retain && to->as_published,
                                        .identifier_count = to->identifier_count,
                                        .identifiers = to->identifiers};
        sent += send_one(t, member_of(to), &target);
    }
    t->sending = false;
    counter_add(COUNTER_ROUTED_OUT, sent);
}

void route_describe(struct message *m, uint8_t qos, bool retain, const struct mqtt_props *props)
{
    m->qos = qos;
    m->retain = retain;
    if (props != NULL && mqtt_has(props, MQTT_PROP_MESSAGE_EXPIRY)) {
        m->expires_at_us = clock_mono_us() + (int64_t)props->message_expiry_s * CLOCK_SECOND_US;
    }
}

static struct message *message_for(const struct routed *p)
{
    if (p->message != NULL) {
        return message_hold(p->message);
    }
    struct message *m = message_new(p->topic, p->props, p->payload);
    if (m != NULL) {
        route_describe(m, p->qos, p->retain, p->props);
    }
    return m;
}

static enum err retain(struct topics *t, struct message *m)
{
    bool removed = false;
    enum err e = retained_put(&t->retained, m, true, &removed);
    if (removed) {
        journal_retained_removed(t->journal, message_topic(m));
    }
    counter_set(COUNTER_RETAINED, t->retained.count);
    return e;
}

/* Waits for the commit with the publisher's ticket. */
static void wait_for_commit(struct topics *t, const struct routed *p, const struct message *m,
                            bool nobody)
{
    if (p->counts) {
        counter_message_held(MESSAGE_IN_TOPICS, 1);
    }
    if (nobody && p->ticket != NULL) {
        ticket_hold(p->ticket); /* a ticket remembers what it was told first */
        ticket_drop(p->ticket, ERR_NOT_FOUND);
    }
    journal_wait(t->journal, p->ticket, p->counts ? OPS_COUNTS : 0, message_bytes(m));
}

static void count_end(const struct routed *p, enum message_end end)
{
    if (p->counts) {
        counter_message_ended(end, 1);
    }
}

/* The standard asks the sender to wait before it uses the identifier again; without memory to
 * remember it a repetition would be routed twice, so the sender is not told that it was taken. */
static enum err remember(struct topics *t, const struct routed *p, bool stored)
{
    if (p->qos != 2 || p->publisher == NULL || !p->publisher->tree.waits) {
        return ERR_OK;
    }
    enum err e = member_received(p->publisher, p->packet_id, stored);
    if (e == ERR_OK && stored) {
        journal_received(t->journal, p->publisher->number, p->packet_id);
    }
    return e;
}

static enum err route_repeated(struct topics *t, const struct routed *p)
{
    journal_wait(t->journal, p->ticket, 0, 0);
    count_end(p, MESSAGE_DUPLICATE);
    return ERR_OK;
}

static enum err route_matched(struct topics *t, const struct routed *p,
                              const struct tree_target *targets, uint32_t count)
{
    bool full = p->qos > 0 && count > 0 && session_queues_full(t->sessions);
    bool stored = needs_database(p, targets, count, full);
    if (stored && !p->must_be_taken && journal_full(t->journal)) {
        return ERR_FULL;
    }
    bool nobody = count == 0 && !t->tree.kept_local; /* section 3.4.2.1: no matching subscription */
    if (count == 0 && !stored) {
        count_end(p, MESSAGE_COMMITTED);
        return nobody ? ERR_NOT_FOUND : ERR_OK;
    }
    if (full && !p->retain && is_for_nobody(p, targets, count, full)) {
        counter_add(COUNTER_ROUTED_DROPPED, count);
        count_end(p, MESSAGE_REJECTED);
        return ERR_QUOTA;
    }
    struct message *m = message_for(p);
    enum err e = m == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK && p->retain) {
        e = retain(t, m);
    }
    if (e == ERR_OK) {
        e = remember(t, p, stored);
    }
    if (e == ERR_OK) {
        send_all(t, m, targets, count, full);
    }
    if (e == ERR_OK && stored) {
        wait_for_commit(t, p, m, nobody);
    } else {
        count_end(p, e == ERR_OK ? MESSAGE_COMMITTED : MESSAGE_REJECTED);
    }
    message_drop(m);
    return e;
}

enum err route_publish(struct topics *t, const struct routed *p)
{
    bool repeated =
        p->qos == 2 && p->publisher != NULL && member_has_received(p->publisher, p->packet_id);
    const struct tree_target *targets = NULL;
    uint32_t count = 0;
    enum err e = ERR_OK;
    if (!repeated) {
        e = tree_match(&t->tree, p->topic, p->publisher == NULL ? NULL : &p->publisher->tree,
                       &targets, &count);
    }
    if (e == ERR_OK) {
        e = repeated ? route_repeated(t, p) : route_matched(t, p, targets, count);
    }
    if (e != ERR_FULL && p->counts) {
        counter_message_received(!p->counted);
        counter_add(COUNTER_ROUTED_IN, 1);
    }
    return e;
}

/* ---- retained messages for a new subscription ---- */

struct gathered {
    struct message **messages;
    uint32_t count, cap;
};

static void gather(void *arg, struct message *m)
{
    struct gathered *g = arg;
    if (g->count == g->cap) {
        uint32_t cap = g->cap == 0 ? 16 : g->cap * 2;
        struct message **grown = realloc(g->messages, cap * sizeof(struct message *));
        if (grown == NULL) {
            return;
        }
        g->messages = grown;
        g->cap = cap;
    }
    g->messages[g->count++] = message_hold(m);
}

void route_retained(struct topics *t, struct member *m, const struct session_filter *f,
                    bool existed)
{
    enum { SEND_ALWAYS, SEND_IF_NEW, SEND_NEVER };
    int handling = f->options >> 4 & 3;
    struct view filter = view_str(f->filter);
    if (handling == SEND_NEVER || (handling == SEND_IF_NEW && existed) ||
        mqtt_filter_split(filter).group.len > 0) {
        return;
    }
    struct gathered g = {0};
    enum err e = retained_match(&t->retained, filter, clock_mono_us(), gather, &g);
    int64_t sent = 0;
    t->sending = true;
    for (uint32_t i = 0; e == ERR_OK && i < g.count; i++) {
        struct session_target target = {.message = g.messages[i],
                                        .qos = lower(g.messages[i]->qos, f->options & TREE_QOS),
                                        .retain = true,
                                        .burst = true,
                                        .identifier_count = f->identifier != 0,
                                        .identifiers = &f->identifier};
        sent += send_one(t, m, &target);
    }
    t->sending = false;
    counter_add(COUNTER_ROUTED_OUT, sent);
    for (uint32_t i = 0; i < g.count; i++) {
        message_drop(g.messages[i]);
    }
    free(g.messages);
}
