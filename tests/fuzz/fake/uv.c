#include "fake/uv.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "loop/loop.h"

struct uv_sock uv_socks[UV_SOCKS_MAX];

struct pending {
    uv_write_t *request;
    uv_write_cb written;
    size_t len, done;
    const char *bytes;
    struct pending *next;
    struct uv_sock *sock;
};

struct uv_world {
    int64_t mono_us;
    uint16_t next_port;
    int accept_errors;
    uv_timer_t *timer;
    uv_timer_cb tick;
    int64_t tick_us, next_tick_us;
    uv_poll_t *poll;
    uv_poll_cb acceptable; /* NULL: paused */
    bool idle;
    uv_handle_t *closing[UV_SOCKS_MAX + 8];
    uv_close_cb closed[UV_SOCKS_MAX + 8];
    int closing_count;
    struct pending *pending;
    loop_turn_fn turn;
    void *turn_arg;
};

static struct uv_world *world;

static struct uv_sock *sock_of(const uv_handle_t *h)
{
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        if (uv_socks[i].tcp == (const void *)h) {
            return &uv_socks[i];
        }
    }
    CHECK(false); /* not a socket, or closed already */
}

static struct uv_sock *sock_of_fd(int fd)
{
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        if (uv_socks[i].used && uv_socks[i].fd == fd) {
            return &uv_socks[i];
        }
    }
    return NULL;
}

struct uv_sock *uv_dial(uint8_t host)
{
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        struct uv_sock *s = &uv_socks[i];
        if (!s->used) {
            buf_fini(&s->arriving);
            buf_fini(&s->left);
            *s = (struct uv_sock){.used = true,
                                  .waiting = true,
                                  .fd = UV_FD_FIRST + i,
                                  .port = ++world->next_port,
                                  .host = host,
                                  .room = SIZE_MAX};
            buf_init(&s->arriving, 1 << 24);
            buf_init(&s->left, 1 << 24);
            return s;
        }
    }
    return NULL;
}

/* ---- the kernel ---- */

static void sock_free(struct uv_sock *s)
{
    CHECK(s->used);
    s->used = false;
    s->tcp = NULL;
}

int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *size, int flags)
{
    (void)fd;
    (void)flags;
    if (world->accept_errors > 0) {
        world->accept_errors--;
        errno = EMFILE;
        return -1;
    }
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        struct uv_sock *s = &uv_socks[i];
        if (!s->used || !s->waiting) {
            continue;
        }
        s->waiting = false;
        struct sockaddr_in v4 = {.sin_family = AF_INET,
                                 .sin_port = htons(s->port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + s->host)};
        if (from != NULL) {
            memcpy(from, &v4, sizeof(v4));
            *size = sizeof(v4);
        }
        return s->fd;
    }
    errno = EAGAIN;
    return -1;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (fd < UV_FD_FIRST) {
        return __real_close(fd);
    }
    struct uv_sock *s = sock_of_fd(fd);
    CHECK(s != NULL && s->tcp == NULL); /* libuv closes what it was given */
    sock_free(s);
    return 0;
}

int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
    struct uv_sock *s = sock_of_fd(fd);
    CHECK(s != NULL);
    if (s->end == UV_ECONNRESET) {
        errno = ENOTCONN;
        return -1;
    }
    s->fin = true;
    s->end = how == SHUT_RDWR ? UV_EOF : s->end;
    return 0;
}

int64_t uv_mono_us(void)
{
    return world == NULL ? 0 : world->mono_us;
}

int64_t __wrap_clock_mono_us(void);
int64_t __wrap_clock_mono_us(void)
{
    return world->mono_us;
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x5A, len);
    return (ssize_t)len;
}

/* ---- libuv ---- */

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp)
{
    (void)loop;
    memset(tcp, 0, sizeof(*tcp));
    tcp->type = UV_TCP;
    return 0;
}

int uv_tcp_open(uv_tcp_t *tcp, uv_os_sock_t fd)
{
    struct uv_sock *s = sock_of_fd(fd);
    CHECK(s != NULL && s->tcp == NULL);
    s->tcp = tcp;
    return 0;
}

int uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb read)
{
    struct uv_sock *s = sock_of((uv_handle_t *)stream);
    CHECK(!s->closing);
    s->alloc = alloc;
    s->read = read;
    return 0;
}

int uv_read_stop(uv_stream_t *stream)
{
    sock_of((uv_handle_t *)stream)->read = NULL;
    return 0;
}

int uv_is_active(const uv_handle_t *h)
{
    return sock_of(h)->read != NULL;
}

int uv_is_closing(const uv_handle_t *h)
{
    for (int i = 0; i < world->closing_count; i++) {
        if (world->closing[i] == h) {
            return 1;
        }
    }
    return 0;
}

int uv_fileno(const uv_handle_t *h, uv_os_fd_t *ret_fd)
{
    struct uv_sock *s = sock_of(h);
    *ret_fd = s->fd;
    return s->closing ? UV_EBADF : 0;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *stream)
{
    size_t bytes = 0;
    for (const struct pending *p = world->pending; p != NULL; p = p->next) {
        bytes += p->sock->tcp == (const void *)stream ? p->len - p->done : 0;
    }
    return bytes;
}

static bool has_pending(const struct uv_sock *s)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)s->tcp) > 0;
}

static size_t kernel_takes(struct uv_sock *s, const char *bytes, size_t len)
{
    size_t n = len < s->room ? len : s->room;
    buf_put(&s->left, bytes, n);
    s->room -= s->room == SIZE_MAX ? 0 : n;
    return n;
}

int uv_try_write(uv_stream_t *stream, const uv_buf_t *bufs, unsigned count)
{
    struct uv_sock *s = sock_of((uv_handle_t *)stream);
    CHECK(count == 1 && !s->closing && !s->fin && !has_pending(s));
    if (s->write_error != 0) {
        return s->write_error;
    }
    size_t n = kernel_takes(s, bufs->base, bufs->len);
    return n == 0 && bufs->len > 0 ? UV_EAGAIN : (int)n;
}

int uv_write(uv_write_t *request, uv_stream_t *stream, const uv_buf_t *bufs, unsigned count,
             uv_write_cb written)
{
    struct uv_sock *s = sock_of((uv_handle_t *)stream);
    CHECK(count == 1 && !s->closing && !s->fin);
    struct pending *p = calloc(1, sizeof(*p));
    CHECK(p != NULL);
    *p = (struct pending){
        .request = request, .written = written, .len = bufs->len, .bytes = bufs->base, .sock = s};
    struct pending **last = &world->pending;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = p;
    return 0;
}

void uv_close(uv_handle_t *h, uv_close_cb closed)
{
    CHECK(!uv_is_closing(h) && world->closing_count < (int)COUNT_OF(world->closing));
    if (h->type == UV_TCP) {
        struct uv_sock *s = sock_of(h);
        s->closing = true;
        s->read = NULL;
    }
    world->acceptable = (void *)h == (void *)world->poll ? NULL : world->acceptable;
    world->timer = (void *)h == (void *)world->timer ? NULL : world->timer;
    world->closing[world->closing_count] = h;
    world->closed[world->closing_count++] = closed;
}

void uv_walk(uv_loop_t *loop, uv_walk_cb walk, void *arg)
{
    (void)loop;
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        if (uv_socks[i].tcp != NULL) {
            walk((uv_handle_t *)uv_socks[i].tcp, arg);
        }
    }
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    (void)loop;
    memset(timer, 0, sizeof(*timer));
    timer->type = UV_TIMER;
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb tick, uint64_t first_ms, uint64_t each_ms)
{
    world->timer = timer;
    world->tick = tick;
    world->tick_us = (int64_t)each_ms * 1000;
    world->next_tick_us = world->mono_us + (int64_t)first_ms * 1000;
    return 0;
}

int uv_idle_init(uv_loop_t *loop, uv_idle_t *idle)
{
    (void)loop;
    memset(idle, 0, sizeof(*idle));
    idle->type = UV_IDLE;
    return 0;
}

int uv_idle_start(uv_idle_t *idle, uv_idle_cb run)
{
    (void)idle;
    (void)run;
    world->idle = true;
    return 0;
}

int uv_idle_stop(uv_idle_t *idle)
{
    (void)idle;
    world->idle = false;
    return 0;
}

int uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
    (void)loop;
    (void)fd;
    memset(poll, 0, sizeof(*poll));
    poll->type = UV_POLL;
    world->poll = poll;
    return 0;
}

int uv_poll_start(uv_poll_t *poll, int events, uv_poll_cb acceptable)
{
    (void)poll;
    (void)events;
    world->acceptable = acceptable;
    return 0;
}

int uv_poll_stop(uv_poll_t *poll)
{
    (void)poll;
    world->acceptable = NULL;
    return 0;
}

/* ---- a turn ---- */

static void turn_accept(void)
{
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        if (uv_socks[i].used && uv_socks[i].waiting && world->acceptable != NULL) {
            world->acceptable(world->poll, 0, UV_READABLE);
            return;
        }
    }
}

/* In memory of exactly that size, whatever room the server offers. */
static void turn_read(struct uv_sock *s)
{
    while (s->read != NULL && s->deliver > 0 && s->arriving.len > 0) {
        uv_buf_t room = {0};
        s->alloc((uv_handle_t *)s->tcp, 65536, &room);
        size_t n = s->deliver < s->arriving.len ? s->deliver : s->arriving.len;
        n = n < room.len ? n : room.len;
        memcpy(room.base, s->arriving.data, n);
        buf_cut(&s->arriving, n);
        s->deliver -= n;
        s->read((uv_stream_t *)s->tcp, (ssize_t)n, &room);
    }
    if (s->read != NULL && s->arriving.len == 0 && s->end != 0 && !s->told_end) {
        uv_buf_t none = {0};
        uv_read_cb read = s->read;
        s->told_end = true;
        s->read = NULL;
        read((uv_stream_t *)s->tcp, s->end, &none);
    }
}

static void write_done(struct pending **at, int status)
{
    struct pending *p = *at;
    *at = p->next;
    p->request->handle = (uv_stream_t *)p->sock->tcp;
    p->written(p->request, status);
    free(p);
}

static void turn_write(struct uv_sock *s)
{
    struct pending **at = &world->pending;
    while (*at != NULL) {
        struct pending *p = *at;
        if (p->sock != s) {
            at = &p->next;
            continue;
        }
        if (s->closing || s->write_error != 0) {
            write_done(at, s->closing ? UV_ECANCELED : s->write_error);
            at = &world->pending;
            continue;
        }
        p->done += kernel_takes(s, p->bytes + p->done, p->len - p->done);
        if (p->done < p->len) {
            return; /* those behind it wait */
        }
        write_done(at, 0);
        at = &world->pending;
    }
}

static void turn_close(void)
{
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        if (uv_socks[i].tcp != NULL && uv_socks[i].closing) {
            turn_write(&uv_socks[i]); /* cancelled */
        }
    }
    while (world->closing_count > 0) {
        uv_handle_t *h = world->closing[--world->closing_count];
        if (h->type == UV_TCP) {
            sock_free(sock_of(h));
        }
        if (world->closed[world->closing_count] != NULL) {
            world->closed[world->closing_count](h);
        }
    }
}

void uv_turn(void)
{
    turn_accept();
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        struct uv_sock *s = &uv_socks[i];
        if (s->tcp != NULL) {
            turn_write(s);
        }
        if (s->tcp != NULL && !s->closing) {
            turn_read(s);
        }
    }
    world->turn(world->turn_arg);
    turn_close();
}

void uv_clock(int64_t us)
{
    int64_t until_us = world->mono_us + us;
    while (world->timer != NULL && world->next_tick_us <= until_us) {
        world->mono_us = world->next_tick_us;
        world->next_tick_us += world->tick_us;
        world->tick(world->timer);
        uv_turn();
    }
    world->mono_us = until_us;
}

void uv_accept_fails(int errors)
{
    world->accept_errors = errors;
}

struct uv_world *uv_world_new(void)
{
    struct uv_world *w = calloc(1, sizeof(*w));
    CHECK(w != NULL);
    w->mono_us = 1000000000;
    return w;
}

void uv_world_enter(struct uv_world *w)
{
    for (int i = 0; i < UV_SOCKS_MAX; i++) {
        CHECK(uv_socks[i].tcp == NULL);
        buf_fini(&uv_socks[i].arriving);
        buf_fini(&uv_socks[i].left);
        uv_socks[i] = (struct uv_sock){0};
    }
    CHECK(world == NULL || (world->pending == NULL && world->closing_count == 0));
    world = w;
    if (w != NULL) {
        w->next_port = 0;
        w->accept_errors = 0;
    }
}

/* ---- loop.h ---- */

struct loop {
    uv_loop_t uv;
};

struct loop *loop_new(const char *name)
{
    (void)name;
    return calloc(1, sizeof(struct loop));
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_on_turn(struct loop *l, loop_turn_fn turn, void *arg)
{
    (void)l;
    world->turn = turn;
    world->turn_arg = arg;
}

enum err loop_start(struct loop *l)
{
    (void)l;
    return ERR_OK;
}

void loop_post(struct loop *l, struct mail *m)
{
    (void)l;
    m->run(m);
}

void loop_stop(struct loop *l)
{
    (void)l;
}

void loop_join(struct loop *l)
{
    (void)l;
    uv_turn();
}

void loop_free(struct loop *l)
{
    turn_close();
    free(l);
}

bool loop_is_current(const struct loop *l)
{
    (void)l;
    return true;
}
