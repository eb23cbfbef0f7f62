#include <stdlib.h>

#include "session/private.h"

/*
 * Acknowledgements leave in the order in which their packets came [MQTT-4.6.0-2 to -4], whatever
 * the order in which commits finish: each connection has a queue, and only its front may leave.
 *
 * A ticket is dropped last on any thread. Its ack then goes home in the loop's mailbox, which is a
 * lock-free stack: no allocation, one compare-and-swap, and one wake-up for all that come together.
 * When nobody but the session held the ticket, there is nothing to wait for and no mail.
 *
 * When the connection goes first, its acks lose their session and return to the pool as their
 * tickets come in.
 */

/* The ack whose ticket this thread drops right now, in acks_let_go_now(). */
static _Thread_local const struct ack *letting_go;

static void ack_at_home(struct mail *m);

static void ack_ticket_done(struct ticket *t, enum err status)
{
    struct ack *a = CONTAINER_OF(t, struct ack, ticket);
    a->status = status;
    if (letting_go == a) {
        a->ticketed = false;
        a->done = true;
        return;
    }
    session_post(a->home->all, a->home->index, &a->mail);
}

static enum err acks_grow(struct session_loop *l)
{
    struct ack_chunk *c = malloc(sizeof(*c));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->next = l->ack_chunks;
    l->ack_chunks = c;
    for (size_t i = 0; i < COUNT_OF(c->acks); i++) {
        c->acks[i].next = l->free_acks;
        l->free_acks = &c->acks[i];
    }
    return ERR_OK;
}

struct ack *acks_take(struct session_loop *l)
{
    if (l->free_acks == NULL && acks_grow(l) != ERR_OK) {
        return NULL;
    }
    struct ack *a = l->free_acks;
    l->free_acks = a->next;
    l->acks_out++;
    *a = (struct ack){.home = l, .mail = {.run = ack_at_home}};
    ticket_init(&a->ticket, ack_ticket_done);
    return a;
}

void acks_give_back(struct ack *a)
{
    struct session_loop *l = a->home;
    free(a->answer);
    free(a->granted);
    a->answer = NULL;
    a->granted = NULL;
    a->next = l->free_acks;
    l->free_acks = a;
    l->acks_out--;
}

/* Out of the queue: into the pool, or left to its ticket. */
static void ack_release(struct ack *a)
{
    a->session = NULL;
    if (!a->ticketed) {
        acks_give_back(a);
    }
}

void acks_push(struct session *s, struct ack_queue *q, struct ack *a)
{
    if (s->acks.first == NULL && s->releases.first == NULL) {
        s->progress_at_us = session_now_us(s);
    }
    a->session = s;
    a->queue = q;
    a->next = NULL;
    *q->last = a;
    q->last = &a->next;
    q->count++;
    q->bytes += a->bytes;
    q->publishes += a->type == MQTT_PUBACK;
}

static void acks_pop(struct ack_queue *q)
{
    struct ack *a = q->first;
    q->first = a->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    q->count--;
    q->bytes -= a->bytes;
    q->publishes -= a->type == MQTT_PUBACK;
    ack_release(a);
}

void acks_let_go(struct ack *a)
{
    ticket_drop(&a->ticket, ERR_OK);
}

void acks_let_go_now(struct ack *a, enum err status)
{
    letting_go = a;
    ticket_drop(&a->ticket, status);
    letting_go = NULL;
}

static bool ack_due(const struct ack *a)
{
#ifdef MUTANT_ACK_BEFORE_COMMIT
    (void)a;
    return true; /* what the durability tests must catch */
#else
    return a->done;
#endif
}

/* False: the session ended. */
static bool ack_send(struct session *s, const struct ack *a)
{
    bool publish = a->type == MQTT_PUBACK || a->type == MQTT_PUBREC;
    if (publish) {
        return publish_acknowledge(s, a);
    }
    if (a->status != ERR_OK) {
        session_end(s, SESSION_CLOSE_NOT_STORED, err_words(a->status));
        return false;
    }
    if (a->type == MQTT_PUBREL) {
        confirm_released(s, a->packet_id);
    } else if (a->type == MQTT_PUBCOMP) {
        publish_completed(s, a->packet_id);
    } else {
        subscribe_acknowledge(s, a);
    }
    return true;
}

bool acks_flush(struct session *s, struct ack_queue *q)
{
    bool sent = false;
    while (q->first != NULL && ack_due(q->first)) {
        if (!ack_send(s, q->first)) {
            return false;
        }
        acks_pop(q);
        sent = true;
    }
    if (!sent) {
        return true;
    }
    s->progress_at_us = session_now_us(s);
    if (s->state == SESSION_DRAINING && s->acks.first == NULL) {
        session_end(s, SESSION_CLOSE_STOP, NULL);
        return false;
    }
    if (s->held && !list_linked(&s->held_link)) {
        session_unhold(s);
    }
    return true;
}

#ifdef MUTANT_ACK_UNORDERED
/* What the durability tests must catch: the one that is done overtakes the others. */
static void ack_overtake(struct ack *a)
{
    struct ack_queue *q = a->queue;
    struct ack **at = &q->first;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    if (*at == NULL) {
        q->last = at == &q->first ? &a->next : at;
    }
    a->next = q->first;
    q->first = a;
}
#endif

static void ack_at_home(struct mail *m)
{
    struct ack *a = CONTAINER_OF(m, struct ack, mail);
    struct session *s = a->session;
    a->ticketed = false;
    a->done = true;
    if (s == NULL) {
        acks_give_back(a);
        return;
    }
#ifdef MUTANT_ACK_UNORDERED
    ack_overtake(a);
#endif
    (void)!acks_flush(s, a->queue);
}

void acks_drop_all(struct session *s)
{
    while (s->acks.first != NULL) {
        const struct ack *a = s->acks.first;
        /* QoS 2 that was not committed when the connection went is sent again, and is then taken
         * again: the hooks recognise what was stored meanwhile. */
        if (a->type == MQTT_PUBREC && !a->done && s->kept != NULL) {
            (void)ids_remove(&s->kept->received, a->packet_id);
            (void)ids_remove(&s->kept->routed, a->packet_id);
        }
        acks_pop(&s->acks);
    }
    while (s->releases.first != NULL) {
        acks_pop(&s->releases);
    }
}

void acks_free(struct session_loop *l)
{
    CHECK(l->acks_out == 0); /* somebody still holds a ticket: see sessions_free() */
    while (l->ack_chunks != NULL) {
        struct ack_chunk *next = l->ack_chunks->next;
        free(l->ack_chunks);
        l->ack_chunks = next;
    }
}
