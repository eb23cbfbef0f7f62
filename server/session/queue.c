#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"
#include "session/private.h"

/*
 * Messages that wait for one client: because it is absent, its window or its connection is full, or
 * a commit is under way. QoS 1 and 2 keep their order in one list; QoS 0 has its own, so that it
 * waits for nothing but room on the connection.
 *
 * Bounds: session_queue_max messages and session_queue_bytes. When one more comes, those give way
 * that waited longest, QoS 0 first. Commands have a bound of their own and never give way; nor does
 * what a subscription found retained, which comes all at once: what is beyond its bound is left
 * out.
 *
 * All sessions together have queues_max. It counts what there is in memory, from the making of an
 * outgoing to its end: a message that waits for many is counted once. When it is used up the router
 * gives absent sessions nothing more, and no queue of a connected one grows: for each message that
 * comes one gives way, unless nothing waits yet.
 */

enum { DROP_SAID_EVERY_US = CLOCK_MINUTE_US, BURST_FACTOR = 10 };

/* ---- all together ---- */

static void count_bytes(struct sessions *all, int64_t bytes)
{
    atomic_fetch_add_explicit(&all->queue_bytes, bytes, memory_order_relaxed);
    counter_add(COUNTER_QUEUE_BYTES, bytes);
}

static int64_t bytes_alone(const struct outgoing *o)
{
    return (int64_t)(sizeof(*o) + o->identifier_count * sizeof(o->identifiers[0]));
}

static void count_in(struct sessions *all, const struct outgoing *o)
{
    bool first = atomic_fetch_add_explicit(&o->message->queued, 1, memory_order_relaxed) == 0;
    count_bytes(all, bytes_alone(o) + (first ? (int64_t)message_bytes(o->message) : 0));
}

static void count_out(struct sessions *all, const struct outgoing *o)
{
    bool last = atomic_fetch_sub_explicit(&o->message->queued, 1, memory_order_relaxed) == 1;
    count_bytes(all, -bytes_alone(o) - (last ? (int64_t)message_bytes(o->message) : 0));
}

bool session_queues_full(struct sessions *all)
{
    int64_t max = all->conf->queues_max_bytes;
    int64_t bytes = atomic_load_explicit(&all->queue_bytes, memory_order_relaxed);
    if (bytes < max) {
        if (bytes < max - max / 8) {
            atomic_store_explicit(&all->queues_full_said, false, memory_order_relaxed);
        }
        return false;
    }
    if (!atomic_exchange(&all->queues_full_said, true)) {
        LOG(LOG_WARN, "queues_full", LOG_I("bytes", bytes), LOG_I("queues_max", max),
            LOG_S("effect", "absent sessions get no more messages"),
            LOG_S("next", "raise queues_max, or end sessions that nobody comes back for"));
    }
    return true;
}

/* ---- one message for one session ---- */

struct outgoing *outgoing_new(struct sessions *all, struct message *m,
                              const struct session_target *t)
{
    size_t identifiers = t->identifier_count * sizeof(t->identifiers[0]);
    struct outgoing *o = calloc(1, sizeof(*o) + identifiers);
    if (o == NULL) {
        return NULL;
    }
    o->message = message_hold(m);
    o->seq = t->seq;
    o->qos = t->qos;
    o->retain = t->retain;
    o->dup = t->again;
    o->received = t->released;
    o->released = t->released;
    o->burst = t->burst;
    o->identifier_count = t->identifier_count;
    if (identifiers > 0) {
        memcpy(o->identifiers, t->identifiers, identifiers);
    }
    /* What a restart brings back was taken before, and was acknowledged. */
    o->squeezed = !t->again && session_queues_full(all);
    count_in(all, o);
    return o;
}

void outgoing_free(struct sessions *all, struct outgoing *o)
{
    count_out(all, o);
    message_drop(o->message);
    free(o);
}

void outgoing_end(struct sessions *all, int64_t number, struct outgoing *o, enum err status)
{
    const struct session_hooks *h = &all->hooks;
    bool told = !atomic_load(&all->stopped);
    CHECK(!list_linked(&o->link));
    if (told && o->delivery_id != 0 && h->delivered != NULL) {
        h->delivered(h->arg, o->delivery_id, status);
    }
    if (told && o->seq != 0 && h->target_done != NULL) {
        h->target_done(h->arg, number, o->seq, o->message, status);
    }
    outgoing_free(all, o);
}

/* ---- the queues of one session ---- */

static int64_t size_of(const struct outgoing *o)
{
    return (int64_t)(sizeof(*o) + message_bytes(o->message));
}

void queue_take(struct kept *k, struct outgoing *o)
{
    list_remove(&o->link);
    if (o->command) {
        k->command_count--;
        return;
    }
    if (o->burst) {
        k->burst_count--;
        return;
    }
    k->waiting_count--;
    k->waiting_bytes -= size_of(o);
}

static void queue_put(struct kept *k, struct outgoing *o)
{
    int64_t at_us = o->message->expires_at_us;
    list_push_back(o->qos == 0 ? &k->live : &k->queue, &o->link);
    if (at_us != CLOCK_NONE && (k->next_expiry_us == CLOCK_NONE || at_us < k->next_expiry_us)) {
        k->next_expiry_us = at_us;
    }
    if (o->command) {
        k->command_count++;
        return;
    }
    if (o->burst) {
        k->burst_count++;
        return;
    }
    k->waiting_count++;
    k->waiting_bytes += size_of(o);
}

static struct outgoing *oldest_in(struct list *l)
{
    LIST_FOREACH (at, l) {
        struct outgoing *o = CONTAINER_OF(at, struct outgoing, link);
        if (!o->command && !o->burst) {
            return o;
        }
    }
    return NULL;
}

static void say_dropped(struct kept *k, int64_t now_us)
{
    counter_add(COUNTER_ROUTED_DROPPED, 1);
    k->dropped++;
    if (k->drop_said_at_us != 0 && now_us - k->drop_said_at_us < DROP_SAID_EVERY_US) {
        return;
    }
    LOG(LOG_WARN, "queue_full", LOG_I("session", k->number), LOG_I("dropped", k->dropped),
        LOG_I("waiting", k->waiting_count), LOG_I("bytes", k->waiting_bytes),
        LOG_S("next", "the oldest go first; see session_queue_max and session_queue_bytes"));
    k->drop_said_at_us = now_us;
    k->dropped = 0;
}

/* False: there is none that may go. */
static bool drop_oldest(struct sessions *all, struct kept *k)
{
    struct outgoing *o = oldest_in(&k->live);
    o = o == NULL ? oldest_in(&k->queue) : o;
    if (o == NULL) {
        return false;
    }
    queue_take(k, o);
    say_dropped(k, all->io->now_us());
    outgoing_end(all, k->number, o, ERR_FULL);
    return true;
}

enum err queue_push(struct sessions *all, struct kept *k, struct outgoing *o)
{
    const struct conf *conf = all->conf;
    enum err e = ERR_OK;
    if (o->burst && k->burst_count >= conf->session_queue_max * BURST_FACTOR) {
        say_dropped(k, all->io->now_us());
        outgoing_end(all, k->number, o, ERR_FULL);
        return ERR_FULL;
    }
    while (!o->command && !o->burst &&
           (k->waiting_count >= conf->session_queue_max ||
            k->waiting_bytes + size_of(o) > conf->session_queue_bytes)) {
        if (!drop_oldest(all, k)) {
            break; /* one message larger than the bound is still let through */
        }
        e = ERR_FULL;
    }
    bool grows = !o->command && !o->burst && e == ERR_OK && k->waiting_count > 0;
    if (grows && o->squeezed && drop_oldest(all, k)) {
        e = ERR_FULL;
    }
    o->squeezed = false; /* once is enough, also when it moves to another loop */
    queue_put(k, o);
    return e;
}

void queue_splice(struct sessions *all, struct kept *k, struct kept *from)
{
    struct list *const lists[] = {&from->queue, &from->live};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        while (!list_empty(lists[i])) {
            struct outgoing *o = CONTAINER_OF(lists[i]->next, struct outgoing, link);
            queue_take(from, o);
            (void)queue_push(all, k, o);
        }
    }
}

void queue_end(struct sessions *all, struct kept *k, enum err status)
{
    struct list *const lists[] = {&k->queue, &k->live};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        while (!list_empty(lists[i])) {
            struct outgoing *o = CONTAINER_OF(lists[i]->next, struct outgoing, link);
            queue_take(k, o);
            outgoing_end(all, k->number, o, status);
        }
    }
}

static void expire_list(struct sessions *all, struct kept *k, struct list *l, int64_t now_us)
{
    struct list *next = NULL;
    for (struct list *at = l->next; at != l; at = next) {
        struct outgoing *o = CONTAINER_OF(at, struct outgoing, link);
        int64_t at_us = o->message->expires_at_us;
        next = at->next;
        if (outgoing_expired(o, now_us)) {
            queue_take(k, o);
            outgoing_end(all, k->number, o, ERR_EXPIRED);
        } else if (at_us != CLOCK_NONE &&
                   (k->next_expiry_us == CLOCK_NONE || at_us < k->next_expiry_us)) {
            k->next_expiry_us = at_us;
        }
    }
}

void queue_expire(struct sessions *all, struct kept *k, int64_t now_us)
{
    if (k->next_expiry_us == CLOCK_NONE || k->next_expiry_us > now_us) {
        return;
    }
    k->next_expiry_us = CLOCK_NONE;
    expire_list(all, k, &k->queue, now_us);
    expire_list(all, k, &k->live, now_us);
}
