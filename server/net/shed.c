#include "base/counter.h"
#include "base/log.h"
#include "net/private.h"

/*
 * Shedding: what lies in the buffers of all connections together is bounded.
 *
 * A connection may keep a part of a packet, a packet that has to wait, and answers that its peer
 * does not read. Each of them has a limit, but a thousand connections at their limits would be all
 * the memory there is. So the buffers are counted, and beyond buffers_max nobody new is accepted
 * and, ten times a second, the fullest connections are closed until an eighth is free. Whoever is
 * closed comes back and sends again what was not acknowledged.
 *
 * Who is idle, or whose packets are taken as they come, has nothing in buffers and is never meant.
 * Between two looks the sum can grow by what the peers send in a tenth of a second.
 */

enum { CLASSES = 48 };

void net_conn_weigh(struct net_conn *c)
{
    struct net_work *w = c->work;
    if (c->open_listener) {
        return; /* one packet may be as large as the budget there: see net.h */
    }
    size_t weight = w->held.cap + w->plain.cap + w->out.cap + w->writing_bytes;
    if (weight == w->weight) {
        return;
    }
    int64_t more = (int64_t)weight - (int64_t)w->weight;
    w->weight = weight;
    c->loop->buffered += more;
    atomic_fetch_add_explicit(&c->loop->net->buffered, more, memory_order_relaxed);
}

void net_work_lighten(struct net_loop *l, struct net_work *w)
{
    l->buffered -= (int64_t)w->weight;
    atomic_fetch_sub_explicit(&l->net->buffered, (int64_t)w->weight, memory_order_relaxed);
    w->weight = 0;
}

bool net_is_full(const struct net *n)
{
    return atomic_load_explicit(&n->buffered, memory_order_relaxed) > n->conf->buffers_max_bytes;
}

/* Weights are told apart by powers of two only, so that two walks are enough. */
struct shedding {
    int64_t bytes_of[CLASSES];
    int lightest; /* the class that is closed last */
    int64_t left; /* bytes to get rid of */
    int64_t closed;
};

static struct net_conn *loaded(uv_handle_t *handle, int *ret_class)
{
    struct net_conn *c = handle->data;
    if (handle->type != UV_TCP || uv_is_closing(handle) != 0 || c->work == NULL ||
        c->work->weight == 0) {
        return NULL;
    }
    int class = 63 - __builtin_clzll((unsigned long long)c->work->weight);
    *ret_class = class < CLASSES ? class : CLASSES - 1;
    return c;
}

static void add_up(uv_handle_t *handle, void *arg)
{
    struct shedding *s = arg;
    int class = 0;
    struct net_conn *c = loaded(handle, &class);
    if (c != NULL) {
        s->bytes_of[class] += (int64_t)c->work->weight;
    }
}

static void close_heavy(uv_handle_t *handle, void *arg)
{
    struct shedding *s = arg;
    int class = 0;
    struct net_conn *c = loaded(handle, &class);
    if (c != NULL && class >= s->lightest && s->left > 0) {
        s->left -= (int64_t)c->work->weight;
        s->closed++;
        net_conn_end(c, NET_CLOSE_BUFFERS, false, NULL);
    }
}

static void say(struct net_loop *l, int64_t bytes, int64_t closed)
{
    counter_add(COUNTER_CONNECTIONS_SHED, closed);
    l->shed_unsaid += closed;
    if (l->now_us < l->shed_said_at_us + NET_SHED_SAY_US) {
        return;
    }
    LOG(LOG_WARN, "connections_shed", LOG_I("closed", l->shed_unsaid), LOG_I("bytes", bytes),
        LOG_I("buffers_max_bytes", l->net->conf->buffers_max_bytes),
        LOG_S("next", "the fullest are closed, to send again; raise buffers_max if there is "
                      "memory, or lower packet_max"));
    l->shed_said_at_us = l->now_us;
    l->shed_unsaid = 0;
}

void net_shed(struct net_loop *l)
{
    struct net *n = l->net;
    int64_t bytes = atomic_load_explicit(&n->buffered, memory_order_relaxed);
    if (l->index == 0) {
        counter_set(COUNTER_BUFFER_BYTES, bytes);
    }
    if (!net_is_full(n) || l->buffered <= 0) {
        return;
    }
    double share = (double)l->buffered / (double)bytes; /* each loop sheds its own */
    int64_t too_many = bytes - n->conf->buffers_max_bytes / 8 * 7;
    struct shedding s = {.lightest = CLASSES, .left = (int64_t)((double)too_many * share)};
    uv_walk(loop_uv(l->loop), add_up, &s);
    for (int64_t sum = 0; s.lightest > 0 && sum < s.left;) {
        sum += s.bytes_of[--s.lightest];
    }
    uv_walk(loop_uv(l->loop), close_heavy, &s);
    say(l, bytes, s.closed);
}
