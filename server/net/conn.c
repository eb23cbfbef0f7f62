#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "net/private.h"

/*
 * Happy path: net_conn_open() at accept, net_conn_opened() after the handshake, net_conn_ready()
 * when the owner has accepted a CONNECT, net_conn_close() by the owner, then flushing, lingering
 * and gone.
 *
 * Every other end goes through net_conn_end(), which tells the owner once, counts and logs.
 * A connection's memory goes in the callback of uv_close() and nowhere else.
 */

static const char *const close_words[] = {
#define NET_CLOSE_WORDS(name, words) [name] = (words),
    NET_CLOSE_LIST(NET_CLOSE_WORDS)
#undef NET_CLOSE_WORDS
};

const char *net_close_words(enum net_close why)
{
    return (unsigned)why < NET_CLOSE_COUNT ? close_words[why] : "?";
}

void net_count_close(struct net *n, enum net_close why)
{
    atomic_fetch_add_explicit(&n->closes[why], 1, memory_order_relaxed);
}

static void leave_source(struct net_conn *c)
{
    if (c->counted_source) {
        c->counted_source = false;
        atomic_fetch_sub(&c->loop->net->sources[c->source_slot], 1);
    }
}

size_t net_conn_queue_max(const struct net_conn *c)
{
    return (size_t)c->loop->net->conf->send_queue_max_bytes +
           (c->open_listener ? NET_OPEN_BYTES : 0);
}

struct net_work *net_conn_work(struct net_conn *c)
{
    struct net_loop *l = c->loop;
    if (c->work != NULL) {
        return c->work;
    }
    struct net_work *w = l->free_work;
    if (w != NULL) {
        l->free_work = w->next_free;
        l->free_work_count--;
    } else {
        w = malloc(sizeof(*w));
    }
    if (w == NULL) {
        return NULL;
    }
    *w = (struct net_work){.conn = c};
    buf_init(&w->held, NET_READ_BYTES + NET_RECORD_MAX);
    size_t more = c->open_listener ? NET_OPEN_BYTES : 0;
    buf_init(&w->plain, (size_t)l->net->conf->packet_max_bytes + (size_t)4 * NET_READ_BYTES + more);
    buf_init(&w->out, net_conn_queue_max(c) + NET_WRITE_CHUNK);
    c->work = w;
    return w;
}

/* Takes it out of all lists and frees its buffers. */
static void work_release(struct net_loop *l, struct net_work *w)
{
    wheel_cancel(&w->timer);
    if (list_linked(&w->dirty_link)) {
        list_remove(&w->dirty_link);
    }
    if (list_linked(&w->again_link)) {
        list_remove(&w->again_link);
    }
    (void)net_conn_shake_taken(w->conn);
    buf_fini(&w->held);
    buf_fini(&w->plain);
    buf_fini(&w->out);
    net_work_lighten(l, w);
    if (l->free_work_count == NET_FREE_WORK_MAX) {
        free(w);
        return;
    }
    w->next_free = l->free_work;
    l->free_work = w;
    l->free_work_count++;
}

void net_conn_rest(struct net_conn *c)
{
    struct net_work *w = c->work;
    if (w != NULL) {
        net_conn_weigh(c);
    }
    if (w == NULL || c->state != CONN_OPEN || !c->ready || w->writes > 0 || w->held.len > 0 ||
        w->plain.len > 0 || w->out.len > 0 || buf_err(&w->out) != ERR_OK || w->was_full ||
        wheel_is_set(&w->timer) || list_linked(&w->dirty_link) || list_linked(&w->again_link)) {
        return;
    }
    c->work = NULL;
    work_release(c->loop, w);
}

void net_work_free_all(struct net_loop *l)
{
    while (l->free_work != NULL) {
        struct net_work *next = l->free_work->next_free;
        free(l->free_work);
        l->free_work = next;
    }
}

static void open_failed(struct net_loop *l, struct net_conn *c, const struct net_peer *peer)
{
    free(c);
    (void)close(peer->fd);
    if (peer->counted) {
        atomic_fetch_sub(&l->net->sources[peer->source_slot], 1);
    }
    atomic_fetch_sub(&l->net->open_count, 1);
    counter_add(COUNTER_CONNECTIONS_REFUSED, 1);
    net_count_close(l->net, NET_CLOSE_MEMORY);
}

void net_conn_open(struct net_loop *l, const struct net_peer *peer)
{
    struct net_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        open_failed(l, c, peer);
        return;
    }
    c->loop = l;
    c->open_listener = peer->open_listener;
    struct net_work *w = net_conn_work(c);
    if (w == NULL || uv_tcp_init(loop_uv(l->loop), &c->tcp) != 0) {
        if (w != NULL) {
            work_release(l, w);
        }
        open_failed(l, c, peer);
        return;
    }
    counter_add(COUNTER_CONNECTIONS_OPEN, 1);
    c->tcp.data = c;
    memcpy(c->address, peer->address, sizeof(c->address));
    c->port = peer->port;
    c->proxied = peer->proxied;
    c->source_slot = peer->source_slot;
    c->counted_source = peer->counted;
    wheel_set(&l->wheel, &w->timer, l->now_us + l->net->conf->connect_timeout_us);
    if (uv_tcp_open(&c->tcp, peer->fd) != 0) {
        (void)close(peer->fd);
        net_conn_end(c, NET_CLOSE_IO, false, NULL);
        return;
    }
    c->state = c->open_listener ? CONN_OPEN : CONN_HANDSHAKE;
    net_conn_start_reading(c);
}

void net_conn_introduce(struct net_conn *c)
{
    const struct net_handlers *h = &c->loop->net->handlers;
    c->user = h->opened(h->arg, c->loop->index, c, c->open_listener);
    if (c->user == NULL && c->state == CONN_OPEN) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct net_conn *c = handle->data;
    SSL_free(c->ssl);
    ws_free(c->ws);
    if (c->work != NULL) {
        work_release(c->loop, c->work);
    }
    counter_add(COUNTER_CONNECTIONS_OPEN, -1);
    atomic_fetch_sub(&c->loop->net->open_count, 1);
    free(c);
}

void net_conn_destroy(struct net_conn *c)
{
    if (c->state == CONN_GONE) {
        return;
    }
    CHECK(c->user == NULL);
    c->state = CONN_GONE;
    leave_source(c);
    struct net_work *w = c->work;
    if (w != NULL) {
        wheel_cancel(&w->timer);
        if (list_linked(&w->dirty_link)) {
            list_remove(&w->dirty_link);
        }
        if (list_linked(&w->again_link)) {
            list_remove(&w->again_link);
        }
    }
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* From here on nothing that the peer sends matters, except that it closes. */
static void start_flushing(struct net_conn *c)
{
    struct net_work *w = net_conn_work(c);
    leave_source(c);
    if (w == NULL) {
        net_conn_destroy(c);
        return;
    }
    c->state = CONN_FLUSHING;
    if (list_linked(&w->again_link)) {
        list_remove(&w->again_link);
    }
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
    wheel_set(&c->loop->wheel, &w->timer, c->loop->now_us + NET_FLUSH_US);
    net_conn_dirty(c);
}

void net_conn_end(struct net_conn *c, enum net_close why, bool polite, const char *detail)
{
    if (c->state >= CONN_FLUSHING) {
        net_conn_destroy(c);
        return;
    }
    char peer[NET_PEER_WORDS];
    LOG(LOG_DEBUG, "connection_closed", LOG_S("peer", net_conn_peer(c, peer)),
        LOG_S("why", net_close_words(why)), LOG_S("detail", detail == NULL ? "" : detail));
    net_count_close(c->loop->net, why);
    if (c->state == CONN_HANDSHAKE && c->ssl != NULL) {
        counter_add(COUNTER_HANDSHAKES_FAILED, 1);
    }
    void *user = c->user;
    c->user = NULL;
    if (user != NULL) {
        c->loop->net->handlers.closed(user, why);
    }
    if (polite) {
        start_flushing(c);
        return;
    }
    net_conn_destroy(c);
}

void net_conn_close(struct net_conn *c)
{
    CHECK(c->state == CONN_OPEN);
    net_count_close(c->loop->net, NET_CLOSE_OWNER);
    c->user = NULL;
    start_flushing(c);
}

static void fire_stalled(struct net_conn *c)
{
    struct net_work *w = c->work;
    if (w->writes == 0) {
        net_conn_rest(c);
        return;
    }
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    if (left < w->stall_bytes) {
        w->stall_bytes = left;
        wheel_set(&c->loop->wheel, &w->timer,
                  c->loop->now_us + c->loop->net->conf->send_timeout_us);
        return;
    }
    net_conn_end(c, NET_CLOSE_SEND_STALLED, false, NULL);
}

void net_conn_fire(void *arg, struct wheel_entry *e)
{
    struct net_conn *c = CONTAINER_OF(e, struct net_work, timer)->conn;
    (void)arg;
    switch ((enum net_conn_state)c->state) {
    case CONN_HANDSHAKE:
        net_conn_end(c, NET_CLOSE_CONNECT_TIMEOUT, false, NULL);
        break;
    case CONN_OPEN:
        if (c->ready) {
            fire_stalled(c);
        } else {
            net_conn_end(c, NET_CLOSE_CONNECT_TIMEOUT, false, NULL);
        }
        break;
    case CONN_FLUSHING:
    case CONN_LINGERING:
        net_conn_destroy(c);
        break;
    case CONN_GONE:
        break;
    }
}

void net_conn_ready(struct net_conn *c)
{
    c->ready = true;
    leave_source(c);
    struct net_work *w = c->work;
    if (w == NULL) {
        return;
    }
    wheel_cancel(&w->timer); /* given back at the end of a turn */
    if (w->writes > 0) {
        net_conn_watch_writes(c);
    }
}

enum err net_conn_certificate(struct net_conn *c, struct buf *ret_der)
{
    X509 *peer = c->ssl == NULL ? NULL : SSL_get0_peer_certificate(c->ssl);
    if (peer == NULL) {
        return ERR_NOT_FOUND;
    }
    int len = i2d_X509(peer, NULL);
    uint8_t *at = len <= 0 ? NULL : buf_room(ret_der, (size_t)len);
    if (at == NULL || i2d_X509(peer, &at) != len) {
        ERR_clear_error();
        return ERR_NOMEM;
    }
    buf_grew(ret_der, (size_t)len);
    return ERR_OK;
}

char *net_conn_peer(const struct net_conn *c, char ret_words[static NET_PEER_WORDS])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN] = "?";
    bool is_v4 = memcmp(c->address, mapped, sizeof(mapped)) == 0;
    (void)inet_ntop(is_v4 ? AF_INET : AF_INET6, c->address + (is_v4 ? 12 : 0), text, sizeof(text));
    (void)snprintf(ret_words, NET_PEER_WORDS, is_v4 ? "%s:%u" : "[%s]:%u", text, c->port);
    return ret_words;
}
