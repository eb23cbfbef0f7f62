#include <stdlib.h>

#include "base/check.h"
#include "session/private.h"

/*
 * Acknowledgements leave in the order in which their packets came [MQTT-4.6.0-2], whatever the
 * order in which commits finish: each connection has a queue, and only its front may leave.
 *
 * A ticket is dropped last on any thread. Its ack then goes home in the loop's mailbox, which is a
 * lock-free stack: no allocation, one compare-and-swap, and one wake-up for all that come together.
 *
 * When the connection goes first, its acks lose their session and return to the pool as their
 * tickets come in.
 */

static void ack_at_home(struct mail *m);

static void ack_ticket_done(struct ticket *t, enum err status)
{
    struct ack *a = CONTAINER_OF(t, struct ack, ticket);
    a->status = status;
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
    a->answer = NULL;
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

void acks_push(struct session *s, struct ack *a)
{
    if (s->acks_first == NULL) {
        s->progress_at_us = session_now_us(s);
    }
    a->session = s;
    a->next = NULL;
    *s->acks_last = a;
    s->acks_last = &a->next;
    s->unacked++;
    s->unacked_bytes += a->bytes;
    s->unacked_qos1 += a->qos == 1;
}

static void acks_pop(struct session *s)
{
    struct ack *a = s->acks_first;
    s->acks_first = a->next;
    if (s->acks_first == NULL) {
        s->acks_last = &s->acks_first;
    }
    s->unacked--;
    s->unacked_bytes -= a->bytes;
    s->unacked_qos1 -= a->qos == 1;
    ack_release(a);
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

bool acks_flush(struct session *s)
{
    bool sent = false;
    while (s->acks_first != NULL && ack_due(s->acks_first)) {
        if (!publish_acknowledge(s, s->acks_first)) {
            return false;
        }
        acks_pop(s);
        sent = true;
    }
    if (!sent) {
        return true;
    }
    s->progress_at_us = session_now_us(s);
    if (s->state == SESSION_DRAINING && s->acks_first == NULL) {
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
static void ack_overtake(struct session *s, struct ack *a)
{
    struct ack **at = &s->acks_first;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    if (*at == NULL) {
        s->acks_last = at == &s->acks_first ? &a->next : at;
    }
    a->next = s->acks_first;
    s->acks_first = a;
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
    ack_overtake(s, a);
#endif
    (void)!acks_flush(s);
}

void acks_drop_all(struct session *s)
{
    while (s->acks_first != NULL) {
        struct ack *a = s->acks_first;
        /* QoS 2 that was not committed when the connection went is sent again, and is then taken
         * again: what was stored meanwhile is recognised by its content. */
        if (a->qos == 2 && !a->done && s->kept != NULL) {
            (void)ids_remove(&s->kept->received, a->packet_id);
        }
        acks_pop(s);
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
