#include "base/log.h"
#include "net/private.h"

/*
 * What a connection speaks. ALPN `mqtt` and `http/1.1` say it; without one of them the first bytes
 * do, which are never a CONNECT when they are "GET ". HTTP has one use here, to become a WebSocket,
 * whose binary frames then carry what the owner gets.
 */

static enum net_speaks first_bytes(struct view bytes)
{
    static const struct view get = {(const uint8_t *)"GET ", 4};
    if (view_starts(bytes, get)) {
        return SPEAKS_HTTP;
    }
    return view_starts(get, bytes) ? SPEAKS_UNKNOWN : SPEAKS_MQTT;
}

static size_t refuse(struct net_conn *c, size_t len, const struct http_verdict *v)
{
    http_answer(v, net_conn_out(c));
    net_conn_end(c, NET_CLOSE_HTTP, true, v->words);
    return len;
}

static size_t take_request(struct net_conn *c, struct view bytes)
{
    struct http_verdict v;
    bool guarded = c->open_listener || SSL_get0_peer_certificate(c->ssl) != NULL;
    if (http_judge(bytes, guarded, &v) != ERR_OK) {
        return 0;
    }
    if (v.status != 101) {
        return refuse(c, bytes.len, &v);
    }
    struct buf answer;
    buf_init(&answer, HTTP_HEAD_MAX);
    http_answer(&v, &answer);
    c->ws = buf_err(&answer) == ERR_OK ? ws_new(buf_view(&answer)) : NULL;
    buf_fini(&answer);
    if (c->ws == NULL || net_conn_work(c) == NULL) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return bytes.len;
    }
    net_conn_dirty(c);
    net_conn_introduce(c);
    return bytes.len;
}

size_t net_conn_hear(struct net_conn *c, struct view bytes)
{
    if (c->speaks == SPEAKS_UNKNOWN) {
        c->speaks = (uint8_t)first_bytes(bytes);
    }
    if (c->speaks == SPEAKS_UNKNOWN) {
        return 0;
    }
    if (c->speaks == SPEAKS_HTTP && c->ws == NULL) {
        return take_request(c, bytes);
    }
    if (c->user == NULL) {
        net_conn_introduce(c);
        if (c->state != CONN_OPEN) {
            return bytes.len;
        }
    }
    return c->loop->net->handlers.data(c->user, bytes);
}

void net_conn_unframe(struct net_conn *c, struct view bytes)
{
    struct buf *message = &c->loop->message;
    buf_clear(message);
    enum err e = ws_take(c->ws, bytes, message);
    if (ws_waits(c->ws)) {
        if (net_conn_work(c) == NULL) {
            net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
            return;
        }
        net_conn_dirty(c);
    }
    if (message->len > 0) {
        net_conn_take_plain(c, buf_view(message));
    }
    if (e != ERR_OK && c->state == CONN_OPEN) {
        net_conn_end(c, e == ERR_CLOSED ? NET_CLOSE_WEBSOCKET : NET_CLOSE_MEMORY, true, NULL);
    }
}
