#include <stdlib.h>
#include <string.h>

#include "session/private.h"

/* The ways in for what goes out: targets from the home loop, commands from any thread. */

struct send_mail {
    struct mail mail;
    struct sessions *all;
    struct session_ref ref;
    int64_t number;
    struct outgoing *outgoing; /* NULL: what waited may go now */
};

static void send_here(struct mail *m)
{
    struct send_mail *sm = CONTAINER_OF(m, struct send_mail, mail);
    struct session *s = slots_get(&sm->all->loops[sm->ref.loop], sm->ref);
    struct outgoing *o = sm->outgoing;
    if (o == NULL) {
        if (s != NULL) {
            deliver_pump(s);
        }
    } else if (s == NULL || (o->qos == 0 && !session_is_ready(s) && s->state != SESSION_CHECKING)) {
        outgoing_end(sm->all, sm->number, o, ERR_CLOSED);
    } else {
        (void)deliver_queued(s, sm->number, o);
    }
    free(sm);
}

static enum err send_by_mail(struct sessions *all, struct session_ref ref, int64_t number,
                             struct outgoing *o)
{
    struct send_mail *m = malloc(sizeof(*m));
    if (m == NULL) {
        return ERR_NOMEM;
    }
    *m = (struct send_mail){
        .mail = {.run = send_here}, .all = all, .ref = ref, .number = number, .outgoing = o};
    session_post(all, ref.loop, &m->mail);
    return ERR_OK;
}

enum err session_send(struct sessions *all, int64_t number, const struct session_target *t)
{
    struct session_ref ref = book_holder(all, number);
    if (ref.generation == 0 || atomic_load(&all->stopped)) {
        return ERR_NOT_FOUND;
    }
    if (ref.loop == SESSION_HOME) {
        struct session *s = slots_get(&all->loops[SESSION_HOME], ref);
        return s == NULL ? ERR_NOT_FOUND : deliver_target(s, number, t);
    }
    struct outgoing *o = outgoing_new(all, t->message, t);
    enum err e = o == NULL ? ERR_NOMEM : send_by_mail(all, ref, number, o);
    if (e != ERR_OK && o != NULL) {
        outgoing_free(all, o);
    }
    return e;
}

void session_stored_now(struct sessions *all, int64_t number)
{
    struct session_ref ref = book_holder(all, number);
    if (ref.generation == 0 || atomic_load(&all->stopped)) {
        return;
    }
    if (ref.loop != SESSION_HOME) {
        (void)!send_by_mail(all, ref, number, NULL); /* else the next message takes it along */
        return;
    }
    struct session *s = slots_get(&all->loops[SESSION_HOME], ref);
    if (s != NULL) {
        deliver_pump(s);
    }
}

/* ---- commands ---- */

struct session_delivery *session_delivery_new(struct view topic, struct view payload, uint8_t qos)
{
    struct session_delivery *d = malloc(sizeof(*d) + topic.len + payload.len);
    if (d == NULL || topic.len > UINT16_MAX || payload.len > UINT32_MAX) {
        free(d);
        return NULL;
    }
    *d = (struct session_delivery){.expires_at_us = CLOCK_NONE,
                                   .qos = qos,
                                   .topic_len = (uint16_t)topic.len,
                                   .payload_len = (uint32_t)payload.len};
    memcpy(d->bytes, topic.data, topic.len);
    if (payload.len > 0) {
        memcpy(d->bytes + topic.len, payload.data, payload.len);
    }
    return d;
}

static struct outgoing *outgoing_of(struct sessions *all, const struct session_delivery *d)
{
    struct message *m = message_of(view_of(d->bytes, d->topic_len), view_of(NULL, 0),
                                   view_of(d->bytes + d->topic_len, d->payload_len));
    if (m == NULL) {
        return NULL;
    }
    m->expires_at_us = d->expires_at_us;
    const struct session_target t = {.message = m, .qos = d->qos, .retain = d->retain};
    struct outgoing *o = outgoing_new(all, m, &t);
    if (o != NULL) {
        o->delivery_id = d->delivery_id;
        o->command = true;
    }
    message_drop(m);
    return o;
}

struct command_mail {
    struct mail mail;
    struct sessions *all;
    struct session_ref ref;
    struct session_delivery *delivery;
};

static void end_command(struct sessions *all, struct session_delivery *d, enum err status)
{
    int64_t id = d->delivery_id;
    free(d);
    if (id != 0 && all->hooks.delivered != NULL && !atomic_load(&all->stopped)) {
        all->hooks.delivered(all->hooks.arg, id, status);
    }
}

/* Whether it may be queued for s at all. */
static enum err acceptable(struct session *s, const struct session_delivery *d)
{
    uint32_t identifiers[SESSION_COMMAND_FILTERS_MAX];
    if (s->state == SESSION_WAITING || s->kept == NULL || !s->granted ||
        (s->state == SESSION_PARKED && d->qos == 0)) {
        return ERR_CLOSED;
    }
    /* While the session is being attached its filters are not known: decided when it is sent. */
    if (s->state != SESSION_CHECKING &&
        !deliver_match(s, view_of(d->bytes, d->topic_len), identifiers).found) {
        return ERR_NOT_FOUND;
    }
    return s->kept->command_count < SESSION_COMMANDS_MAX ? ERR_OK : ERR_FULL;
}

static void command_here(struct mail *m)
{
    struct command_mail *cm = CONTAINER_OF(m, struct command_mail, mail);
    struct sessions *all = cm->all;
    struct session *s = slots_get(&all->loops[cm->ref.loop], cm->ref);
    struct session_delivery *d = cm->delivery;
    free(cm);
    enum err e = s == NULL ? ERR_CLOSED : acceptable(s, d);
    struct outgoing *o = e == ERR_OK ? outgoing_of(all, d) : NULL;
    if (o == NULL) {
        end_command(all, d, e == ERR_OK ? ERR_NOMEM : e);
        return;
    }
    free(d);
    (void)deliver_queued(s, s->kept->number, o);
}

void session_deliver(struct sessions *all, struct session_ref ref, struct session_delivery *d)
{
    struct command_mail *m =
        ref.generation == 0 || ref.loop >= all->loop_count ? NULL : malloc(sizeof(*m));
    if (m == NULL) {
        end_command(all, d, ref.generation == 0 ? ERR_CLOSED : ERR_NOMEM);
        return;
    }
    *m =
        (struct command_mail){.mail = {.run = command_here}, .all = all, .ref = ref, .delivery = d};
    session_post(all, ref.loop, &m->mail);
}
