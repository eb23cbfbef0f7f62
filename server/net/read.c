
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
        c->ssl = net_tls_accept(l->tls, &l->pipe);
        if (c->ssl == NULL) {
            net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
            return false;
        }
    }
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
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
    net_conn_opened(c);
    return c->state == CONN_OPEN;
}

/* Everything in the pipe into `room`, which is at least as long. False: the connection ended. */
static bool decrypt(struct net_conn *c, uint8_t *room, size_t *ret_len)
{
    size_t total = 0;
    size_t size = c->loop->pipe.in.len;
    for (;;) {
        size_t len = 0;
        ERR_clear_error();
        int ok = SSL_read_ex(c->ssl, room + total, size - total, &len);
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

static void drop_kept(struct net_conn *c, size_t used)
{
    buf_cut(&c->plain, used);
    if (c->plain.len == 0) {
        buf_fini(&c->plain);
    }
}

/* fresh: what came now and is not in `plain` yet. */
static void offer(struct net_conn *c, struct view fresh)
{
    const struct net_handlers *h = &c->loop->net->handlers;
    bool kept = c->plain.len > 0;
    struct view all = kept ? buf_view(&c->plain) : fresh;
    if (all.len == 0) {
        return;
    }
    size_t used = h->data(c->user, all);
    if (c->state != CONN_OPEN) {
        return;
    }
    CHECK(used <= all.len);
    if (kept) {
        drop_kept(c, used);
        return;
    }
    buf_put_view(&c->plain, view_skip(all, used));
    if (buf_err(&c->plain) != ERR_OK) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
    }
}

/* Whole records, or plain bytes. */
static void take(struct net_conn *c, struct view in)
{
    struct net_loop *l = c->loop;
    if (c->open_listener) {
        if (c->plain.len > 0) {
            buf_put_view(&c->plain, in);
            in = view_of(NULL, 0);
        }
        offer(c, in);
        return;
    }
    l->pipe.in = in;
    if (c->state == CONN_HANDSHAKE && !handshake(c)) {
        return;
    }
    size_t len = 0;
    uint8_t *room = l->plain;
    if (c->plain.len > 0) {
        room = buf_room(&c->plain, l->pipe.in.len);
    }
    if (room == NULL) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return;
    }
    if (l->pipe.in.len == 0 || !decrypt(c, room, &len)) {
        return;
    }
    if (room != l->plain) {
        buf_grew(&c->plain, len);
        room = NULL;
        len = 0;
    }
    offer(c, view_of(room, len));
    if (c->peer_done && c->state == CONN_OPEN) {
        net_conn_end(c, NET_CLOSE_PEER, false, NULL);
    }
}

static void arrived(struct net_conn *c, struct view bytes)
{
    struct view all = bytes;
    bool held = c->held.len > 0;
    if (held) {
        buf_put_view(&c->held, bytes);
        all = buf_view(&c->held);
    }
    size_t ready = c->open_listener ? all.len : whole_records(all);
    if (buf_err(&c->held) == ERR_OK && ready > 0) {
        take(c, view_of(all.data, ready));
    }
    if (c->state > CONN_OPEN) {
        return;
    }
    if (held) {
        buf_cut(&c->held, ready);
    } else {
        buf_put_view(&c->held, view_skip(all, ready));
    }
    if (buf_err(&c->held) != ERR_OK) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return;
    }
    if (c->held.len == 0) {
        buf_fini(&c->held);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct net_conn *c = handle->data;
    (void)suggested;
    *ret_buf = uv_buf_init((char *)c->loop->cipher, NET_READ_BYTES);
}

static void run_again_later(struct net_conn *c)
{
    if (!list_linked(&c->again_link)) {
        list_push_back(&c->loop->again, &c->again_link);
    }
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
    arrived(c, view_of(bytes->base, (size_t)len));
    if (len == NET_READ_BYTES && c->state <= CONN_OPEN) {
        /* More may be waiting: libuv would read on at once, and the others would wait. */
        (void)uv_read_stop(stream);
        c->again_read = true;
        run_again_later(c);
    }
}

void net_conn_start_reading(struct net_conn *c)
{
    if (uv_is_active((const uv_handle_t *)&c->tcp) == 0) {
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    }
}

void net_conn_run_again(struct net_conn *c)
{
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
