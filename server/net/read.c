#include <string.h>

#include "base/counter.h"
#include "net/private.h"

/*
 * Happy path: the socket is read into the loop's buffer, whole TLS records go through OpenSSL into
 * the loop's plaintext buffer, the owner takes all of it, and nothing is kept.
 *
 * OpenSSL is never given a part of a record: it would hold a 17 KiB buffer for it. The beginning of
 * a record waits in `held`, which is as large as what has arrived. What the owner leaves waits in
 * `plain`, likewise; what bounds it is that the owner stops reading or closes.
 *
 * Plaintext is never longer than its ciphertext, so one pass decrypts everything that is there.
 */

/* How much of `in` is whole records. What cannot be a record goes to OpenSSL, which refuses it. */
static size_t whole_records(struct view in)
{
    size_t at = 0;
    while (in.len - at >= 5) {
        size_t len = 5 + ((size_t)in.data[at + 3] << 8 | in.data[at + 4]);
        if (len > NET_RECORD_MAX || in.data[at] < 20 || in.data[at] > 23) {
            return in.len;
        }
        if (len > in.len - at) {
            break;
        }
        at += len;
    }
    return at;
}

static void tls_failed(struct net_conn *c, enum net_close why)
{
    const char *detail = net_tls_words();
    long verified = SSL_get_verify_result(c->ssl);
    if (verified != X509_V_OK) {
        detail = X509_verify_cert_error_string(verified);
    }
    net_conn_end(c, why, true, detail);
    ERR_clear_error();
}

static bool handshake(struct net_conn *c)
{
    struct net_loop *l = c->loop;
    if (c->ssl == NULL) {
        c->ssl = net_tls_accept(l->tls, l->bio);
        if (c->ssl == NULL) {
            net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
            return false;
        }
    }
    ERR_clear_error();
    int64_t from_us = clock_mono_us();
    net_memory_passing(true);
    int done = SSL_do_handshake(c->ssl);
    net_memory_passing(false);
    l->shaking_us += clock_mono_us() - from_us;
    int e = done == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, done);
    net_conn_send_pipe(c);
    if (c->state == CONN_GONE || e == SSL_ERROR_WANT_READ) {
        return false;
    }
    if (e != SSL_ERROR_NONE || !net_tls_session_current(c->ssl)) {
        tls_failed(c, NET_CLOSE_HANDSHAKE);
        return false;
    }
    counter_add(COUNTER_HANDSHAKES, 1);
    if (SSL_session_reused(c->ssl) == 1) {
        counter_add(COUNTER_HANDSHAKES_RESUMED, 1);
    }
    net_tls_slim(c->ssl);
    c->state = CONN_OPEN;
    c->speaks = (uint8_t)net_tls_speaks(c->ssl);
    return true;
}

/* Everything in the pipe into `room`, which is at least as long. False: the connection ended. */
static bool decrypt(struct net_conn *c, uint8_t *room, size_t *ret_len)
{
    size_t total = 0;
    size_t size = c->loop->pipe.in.len;
    for (;;) {
        size_t len = 0;
        ERR_clear_error();
        net_memory_passing(true);
        int ok = SSL_read_ex(c->ssl, room + total, size - total, &len);
        net_memory_passing(false);
        total += len;
        if (ok == 1 && total < size) {
            continue;
        }
        *ret_len = total;
        if (ok == 1) {
            return true;
        }
        int e = SSL_get_error(c->ssl, ok);
        net_conn_send_pipe(c); /* an answer to a key update, or an alert */
        if (c->state != CONN_OPEN) {
            return false;
        }
        if (e == SSL_ERROR_WANT_READ) {
            return true;
        }
        if (e == SSL_ERROR_ZERO_RETURN) {
            c->peer_done = true; /* what came before the close still counts */
            return true;
        }
        tls_failed(c, NET_CLOSE_TLS);
        return false;
    }
}

static void drop_front(struct buf *b, size_t used)
{
    buf_cut(b, used);
    if (b->len == 0) {
        buf_fini(b);
    }
}

static bool has_plain(const struct net_conn *c)
{
    return c->work != NULL && c->work->plain.len > 0;
}

static bool has_held(const struct net_conn *c)
{
    return c->work != NULL && c->work->held.len > 0;
}

/* Into `held` or `plain` of the connection's work. False: the connection ended. */
static bool put(struct net_conn *c, struct buf *b, struct view bytes)
{
    buf_put_view(b, bytes);
    if (buf_err(b) != ERR_OK) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return false;
    }
    return true;
}

static struct net_work *work_or_end(struct net_conn *c)
{
    struct net_work *w = net_conn_work(c);
    if (w == NULL) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
    }
    return w;
}

/* fresh: what came now and is not in `plain` yet. */
static void offer(struct net_conn *c, struct view fresh)
{
    bool kept = has_plain(c);
    struct view all = kept ? buf_view(&c->work->plain) : fresh;
    if (all.len == 0) {
        return;
    }
    size_t used = net_conn_hear(c, all);
    if (c->state != CONN_OPEN) {
        return;
    }
    CHECK(used <= all.len);
    if (kept) {
        drop_front(&c->work->plain, used);
        return;
    }
    struct net_work *w = used == all.len ? NULL : work_or_end(c);
    if (w != NULL) {
        (void)put(c, &w->plain, view_skip(all, used));
    }
}

/* Without frames. */
void net_conn_take_plain(struct net_conn *c, struct view in)
{
    if (!has_plain(c)) {
        offer(c, in);
        return;
    }
    if (put(c, &c->work->plain, in)) {
        offer(c, view_of(NULL, 0));
    }
}

static void take_bytes(struct net_conn *c, struct view in)
{
    if (c->ws != NULL) {
        net_conn_unframe(c, in);
        return;
    }
    net_conn_take_plain(c, in);
}

static void take_records(struct net_conn *c, struct view in)
{
    struct net_loop *l = c->loop;
    l->pipe.in = in;
    if (c->state == CONN_HANDSHAKE && !handshake(c)) {
        return;
    }
    if (l->pipe.in.len == 0) {
        return;
    }
    size_t len = 0;
    bool kept = has_plain(c) && c->ws == NULL;
    uint8_t *room = kept ? buf_room(&c->work->plain, l->pipe.in.len) : l->plain;
    if (room == NULL) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return;
    }
    if (!decrypt(c, room, &len)) {
        return;
    }
    if (kept) {
        buf_grew(&c->work->plain, len);
        offer(c, view_of(NULL, 0));
    } else if (len > 0) {
        take_bytes(c, view_of(room, len));
    }
    if (c->peer_done && c->state == CONN_OPEN) {
        net_conn_end(c, NET_CLOSE_PEER, false, NULL);
    }
}

static void run_again_later(struct net_conn *c)
{
    struct net_work *w = net_conn_work(c);
    if (w == NULL) {
        net_conn_abandon(c);
        return;
    }
    if (!list_linked(&w->again_link)) {
        list_push_back(&c->loop->again, &w->again_link);
    }
}

/* Handshakes have their share of a turn; then those who are in are served. First come, first
 * served. */
static bool shakes_later(const struct net_conn *c)
{
    const struct net_loop *l = c->loop;
    return c->state == CONN_HANDSHAKE &&
           (l->shaking_us > NET_SHAKING_US || (l->shaking_later > 0 && !l->shaking));
}

static void shake_later(struct net_conn *c, struct view bytes)
{
    struct net_work *w = work_or_end(c);
    if (w == NULL || !put(c, &w->held, bytes) || whole_records(buf_view(&w->held)) == 0) {
        return;
    }
    if (!c->again_shake) {
        c->again_shake = true;
        c->loop->shaking_later++;
        run_again_later(c);
    }
}

bool net_conn_shake_taken(struct net_conn *c)
{
    bool was = c->again_shake;
    c->again_shake = false;
    c->loop->shaking_later -= was;
    return was;
}

static void arrived_records(struct net_conn *c, struct view bytes)
{
    if (shakes_later(c)) {
        shake_later(c, bytes);
        return;
    }
    struct view all = bytes;
    bool held = has_held(c);
    if (held) {
        if (!put(c, &c->work->held, bytes)) {
            return;
        }
        all = buf_view(&c->work->held);
    }
    size_t ready = whole_records(all);
    if (ready > 0) {
        take_records(c, view_of(all.data, ready));
    }
    if (c->state > CONN_OPEN) {
        return;
    }
    if (held) {
        drop_front(&c->work->held, ready);
        return;
    }
    struct net_work *w = ready == all.len ? NULL : work_or_end(c);
    if (w != NULL) {
        (void)put(c, &w->held, view_skip(all, ready));
    }
}

/* What a proxy says comes before everything else, in clear. */
static void arrived_head(struct net_conn *c, struct view bytes)
{
    struct net_work *w = work_or_end(c);
    if (w == NULL || !put(c, &w->held, bytes)) {
        return;
    }
    struct proxy_head head;
    enum err e = proxy_parse(buf_view(&w->held), &head);
    if (e == ERR_SHORT) {
        return;
    }
    if (e != ERR_OK) {
        net_conn_end(c, NET_CLOSE_PROXY, false, err_words(e));
        return;
    }
    c->proxied = false;
    if (head.has_address) {
        memcpy(c->address, head.address, sizeof(c->address));
        c->port = head.port;
    }
    struct net *n = c->loop->net;
    if (n->sources != NULL && !net_source_enter(n, c->address, &c->source_slot)) {
        net_conn_end(c, NET_CLOSE_SOURCE_MAX, false, NULL);
        return;
    }
    c->counted_source = n->sources != NULL;
    drop_front(&w->held, head.len);
    arrived_records(c, view_of(NULL, 0));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct net_conn *c = handle->data;
    (void)suggested;
    *ret_buf = uv_buf_init((char *)c->loop->cipher, NET_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct net_conn *c = stream->data;
    if (len == 0) {
        return;
    }
    if (len < 0) {
        net_conn_end(c, len == UV_EOF ? NET_CLOSE_PEER : NET_CLOSE_IO, false, NULL);
        return;
    }
    c->loop->bytes_in += len;
    if (c->state > CONN_OPEN) {
        return; /* lingering: only the peer's FIN matters */
    }
    struct view in = view_of(bytes->base, (size_t)len);
    if (c->open_listener) {
        take_bytes(c, in);
    } else if (c->proxied) {
        arrived_head(c, in);
    } else {
        arrived_records(c, in);
    }
    if (c->state > CONN_OPEN) {
        return;
    }
    if (len == NET_READ_BYTES) {
        /* More may be waiting: libuv would read on at once, and the others would wait. */
        (void)uv_read_stop(stream);
        c->again_read = true;
        run_again_later(c);
        return;
    }
    net_conn_rest(c);
}

void net_conn_start_reading(struct net_conn *c)
{
    if (uv_is_active((const uv_handle_t *)&c->tcp) == 0) {
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    }
}

void net_conn_run_again(struct net_conn *c)
{
    if (net_conn_shake_taken(c) && c->state == CONN_HANDSHAKE) {
        c->loop->shaking = true;
        arrived_records(c, view_of(NULL, 0));
        c->loop->shaking = false;
    }
    if (c->again_offer) {
        c->again_offer = false;
        offer(c, view_of(NULL, 0));
    }
    if (c->state <= CONN_OPEN && c->again_read) {
        c->again_read = false;
        if (!c->reading_off) {
            net_conn_start_reading(c);
        }
    }
    net_conn_rest(c);
}

void net_conn_again(struct net_conn *c)
{
    c->again_offer = true;
    run_again_later(c);
}

void net_conn_read(struct net_conn *c, bool on)
{
    if (on == !c->reading_off) {
        return;
    }
    c->reading_off = !on;
    if (!on) {
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
        return;
    }
    if (!c->again_read) {
        net_conn_start_reading(c);
    }
}
