#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/private.h"

/*
 * Happy path: at the end of a turn the plaintext of a connection becomes one TLS record and leaves
 * with one uv_try_write(); no request is allocated and nothing is kept.
 *
 * When the kernel takes less, the rest is copied into a write request, and plaintext stays
 * unencrypted until that has gone. So what waits is counted in one place, and later answers still
 * share records.
 */

struct net_write {
    uv_write_t request; /* first */
    struct net_conn *conn;
    size_t len;
    uint8_t bytes[];
};

void net_conn_dirty(struct net_conn *c)
{
    struct net_work *w = c->work;
    if (!list_linked(&w->dirty_link)) {
        list_push_back(&c->loop->dirty, &w->dirty_link);
    }
}

/* Out of memory inside a call of the owner, who must not be called back: the reader will find the
 * end of the stream, and that ends the connection. */
void net_conn_abandon(struct net_conn *c)
{
    uv_os_fd_t fd = -1;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
    net_conn_start_reading(c);
}

struct buf *net_conn_out(struct net_conn *c)
{
    struct net_work *w = net_conn_work(c);
    if (w == NULL) {
        net_conn_abandon(c);
        buf_clear(&c->loop->sink);
        return &c->loop->sink;
    }
    net_conn_dirty(c);
    return &w->out;
}

void net_conn_tell_drained(struct net_conn *c)
{
    struct net_work *w = net_conn_work(c);
    if (w == NULL) {
        net_conn_abandon(c);
        return;
    }
    w->was_full = true;
    net_conn_dirty(c);
}

size_t net_conn_queued(const struct net_conn *c)
{
    return c->work == NULL ? 0 : c->work->out.len + c->work->writing_bytes;
}

static void on_written(uv_write_t *request, int status)
{
    struct net_write *done = (struct net_write *)request;
    struct net_conn *c = done->conn;
    struct net_work *w = c->work; /* stays while a write is under way */
    w->writes--;
    w->writing_bytes -= done->len;
    free(done);
    if (c->state == CONN_GONE) {
        return;
    }
    if (status != 0) {
        net_conn_end(c, NET_CLOSE_IO, false, NULL);
        return;
    }
    if (w->writes == 0) {
        if (c->ready && c->state == CONN_OPEN) {
            wheel_cancel(&w->timer);
        }
        net_conn_dirty(c);
    }
}

void net_conn_watch_writes(struct net_conn *c)
{
    c->work->stall_bytes = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    wheel_set(&c->loop->wheel, &c->work->timer,
              c->loop->now_us + c->loop->net->conf->send_timeout_us);
}

static void send_later(struct net_conn *c, struct view rest)
{
    struct net_work *w = net_conn_work(c);
    struct net_write *later = w == NULL ? NULL : malloc(sizeof(*later) + rest.len);
    if (later == NULL) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return;
    }
    later->conn = c;
    later->len = rest.len;
    memcpy(later->bytes, rest.data, rest.len);
    uv_buf_t bytes = uv_buf_init((char *)later->bytes, (unsigned)rest.len);
    if (uv_write(&later->request, (uv_stream_t *)&c->tcp, &bytes, 1, on_written) != 0) {
        free(later);
        net_conn_end(c, NET_CLOSE_IO, false, NULL);
        return;
    }
    w->writes++;
    w->writing_bytes += rest.len;
    w->was_full = true;
    if (c->ready && c->state == CONN_OPEN && !wheel_is_set(&w->timer)) {
        net_conn_watch_writes(c);
    }
}

/* Afterwards the connection may be gone. */
static void send_bytes(struct net_conn *c, struct view bytes)
{
    c->loop->bytes_out += (int64_t)bytes.len;
    if (c->work == NULL || c->work->writes == 0) {
        uv_buf_t b = {.len = bytes.len};
        memcpy(&b.base, &bytes.data, sizeof(b.base)); /* libuv has no const; it only reads */
        int sent = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
        if (sent < 0 && sent != UV_EAGAIN) {
            net_conn_end(c, NET_CLOSE_IO, false, NULL);
            return;
        }
        bytes = view_skip(bytes, sent < 0 ? 0 : (size_t)sent);
    }
    if (bytes.len > 0) {
        send_later(c, bytes);
    }
}

void net_conn_send_pipe(struct net_conn *c)
{
    struct buf *out = &c->loop->pipe.out;
    if (buf_err(out) != ERR_OK) {
        buf_clear(out);
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return;
    }
    if (out->len == 0) {
        return;
    }
    send_bytes(c, buf_view(out));
    buf_clear(out);
}

static bool flush_tls(struct net_conn *c, struct view plain)
{
    for (size_t at = 0; at < plain.len;) {
        size_t written = 0;
        ERR_clear_error();
        net_memory_passing(true);
        int ok = SSL_write_ex(c->ssl, plain.data + at, plain.len - at, &written);
        net_memory_passing(false);
        if (ok != 1) {
            net_conn_end(c, NET_CLOSE_TLS, false, net_tls_words());
            ERR_clear_error();
            return false;
        }
        at += written;
    }
    net_conn_send_pipe(c);
    return c->state != CONN_GONE;
}

static struct view chunk_of(struct view bytes)
{
    return view_of(bytes.data, bytes.len < NET_WRITE_CHUNK ? bytes.len : NET_WRITE_CHUNK);
}

/* False: gone. */
static bool flush_plain(struct net_conn *c, struct view plain)
{
    if (c->ssl != NULL) {
        return flush_tls(c, plain);
    }
    send_bytes(c, plain);
    return c->state != CONN_GONE;
}

/* False: gone. */
static bool flush_frames(struct net_conn *c, struct view payload)
{
    struct buf *frames = &c->loop->frames;
    buf_clear(frames);
    if (ws_put(c->ws, payload, frames) != ERR_OK) {
        net_conn_end(c, NET_CLOSE_MEMORY, false, NULL);
        return false;
    }
    return frames->len == 0 || flush_plain(c, buf_view(frames));
}

/* False: gone. */
static bool flush_out(struct net_conn *c)
{
    struct net_work *w = c->work;
    size_t at = 0;
    if (w->writes == 0 && c->ws != NULL && ws_waits(c->ws) && !flush_frames(c, view_of(NULL, 0))) {
        return false;
    }
    while (w->writes == 0 && at < w->out.len) {
        struct view chunk = chunk_of(view_of(w->out.data + at, w->out.len - at));
        if (c->ws != NULL ? !flush_frames(c, chunk) : !flush_plain(c, chunk)) {
            return false;
        }
        at += chunk.len;
    }
    buf_cut(&w->out, at);
    if (w->out.len == 0) {
        buf_fini(&w->out);
    }
    return true;
}

/* All is written: say goodbye in WebSocket, TLS and TCP, and wait for the peer to do the same. */
static void finish(struct net_conn *c)
{
    if (c->ws != NULL && ws_close(c->ws) &&
        (!flush_frames(c, view_of(NULL, 0)) || c->work->writes > 0)) {
        return;
    }
    if (c->ssl != NULL && SSL_is_init_finished(c->ssl) == 1 && !c->said_goodbye) {
        c->said_goodbye = true;
        ERR_clear_error();
        (void)SSL_shutdown(c->ssl);
        net_conn_send_pipe(c);
        if (c->state == CONN_GONE || c->work->writes > 0) {
            return;
        }
    }
    uv_os_fd_t fd = -1;
    if (c->peer_done || uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0 ||
        shutdown(fd, SHUT_WR) != 0) {
        net_conn_destroy(c);
        return;
    }
    c->state = CONN_LINGERING;
    wheel_set(&c->loop->wheel, &c->work->timer, c->loop->now_us + NET_LINGER_US);
    net_conn_start_reading(c);
}

void net_conn_flush(struct net_conn *c)
{
    struct net_work *w = c->work;
    if (buf_err(&w->out) != ERR_OK) {
        net_conn_end(c, NET_CLOSE_SEND_QUEUE, false, NULL);
        return;
    }
    if (!flush_out(c)) {
        return;
    }
    if (c->state == CONN_OPEN && net_conn_queued(c) > net_conn_queue_max(c)) {
        net_conn_end(c, NET_CLOSE_SEND_QUEUE, false, NULL);
        return;
    }
    bool empty = w->writes == 0 && w->out.len == 0;
    if (empty && c->state == CONN_FLUSHING) {
        finish(c);
        return;
    }
    if (empty && w->was_full) {
        w->was_full = false;
        if (c->state == CONN_OPEN && c->user != NULL) {
            c->loop->net->handlers.drained(c->user);
        }
    }
    net_conn_rest(c);
}
