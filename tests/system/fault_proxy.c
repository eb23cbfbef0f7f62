/*
 * system_fault_proxy: a bad line between two programs: device and server, or server and PostgreSQL.
 *
 *   system_fault_proxy --listen ADDRESS --to ADDRESS --control FIFO [--postgres] [--status FILE]
 *                      [--seed N]
 *
 * ADDRESS is HOST:PORT with an IPv4 number, or the path of a Unix socket (PostgreSQL:
 * FOLDER/.s.PGSQL.PORT). Lines written to the FIFO change what happens from then on; 0 ends it:
 *
 *   delay MS JITTER    each piece arrives so much later, give or take the jitter; order is kept
 *   cut BYTES          a connection is reset after BYTES to twice as many bytes to the server
 *   deaf RATE MS       RATE connections a second hear nothing any more and are reset after MS
 *   swallow N          PostgreSQL: one in N answers to a COMMIT is kept back, and the connection
 *                      reset: it was committed, and nobody was told
 *   orphan N MS        PostgreSQL: one in N times the client is reset when it has sent all its
 *                      rows, and the server gets their end only MS later: the old backend holds
 *                      its locks and may commit late
 *   stall 0|1          nothing moves, on old and on new connections
 *   refuse 0|1         new connections are reset
 *   reset              all connections are reset now
 *   halfclose          the server sees the end of every client's bytes, the clients see nothing
 *
 * FILE is written ten times a second as one shell line of counters: `accepted=7 open=2 …`.
 * --postgres reads the messages of every connection, which must not be encrypted (on TCP:
 * sslmode=disable gssencmode=disable).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "fleet/options.h"
#include "fleet/random.h"

enum { TICK_MS = 5, STATUS_TICKS = 20, QUEUED_MAX = 4 << 20, WORD_MAX = 25, LINE_MAX_BYTES = 256 };

union stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct address {
    const char *path; /* NULL: TCP */
    struct sockaddr_in in;
};

/* Where the reading of PostgreSQL's messages is: a type (none in the first one), a length, a body.
 */
struct scan {
    uint8_t head[5];
    uint32_t have; /* bytes of the head */
    uint32_t left; /* of the body */
    bool greeted;  /* the start-up packet, which has no type, is over */
    uint32_t word_len;
    char word[WORD_MAX + 1]; /* the body's beginning */
};

struct chunk {
    struct chunk *next;
    uv_write_t write;
    struct flow *flow;
    int64_t due_us;
    size_t len;
    uint8_t data[];
};

struct flow {
    struct pair *pair;
    union stream *from, *to;
    struct chunk *first, **last;
    size_t queued;
    int64_t due_us; /* of the newest piece: no overtaking */
    struct scan scan;
    bool up; /* towards the server */
    bool paused, ended, shut, discards;
    uv_shutdown_t shutdown;
};

struct pair {
    struct list link;
    struct proxy *proxy;
    union stream client, server;
    uv_connect_t connect;
    struct flow up, down;
    uint64_t bytes_up, cut_at;
    int64_t reset_at_us; /* deaf, or the server's side of an orphan; 0: never */
    int closing;         /* handles still to be closed; 2: none is */
    bool client_gone, ending, connected;
};

struct proxy {
    uv_loop_t uv;
    struct address listen, to;
    union stream listener;
    uv_pipe_t control;
    uv_timer_t tick;
    const char *status_file;
    struct fleet_random random;
    struct list pairs;
    char line[LINE_MAX_BYTES];
    size_t line_len;
    unsigned ticks;
    /* what is wrong with the line */
    int64_t delay_us, jitter_us, deaf_us, orphan_us, next_deaf_us;
    uint64_t cut, swallow, orphan;
    double deaf_rate;
    bool stall, refuse, postgres;
    /* what was done */
    uint64_t accepted, open, swallowed, orphaned, deafened, cuts, commits, up_bytes, down_bytes;
};

static void flow_run(struct flow *f);

/* ---- ends ---- */

static void on_closed(uv_handle_t *handle)
{
    struct pair *p = handle->data;
    if (--p->closing > 0) {
        return;
    }
    for (struct flow *f = &p->up; f != NULL; f = f == &p->up ? &p->down : NULL) {
        while (f->first != NULL) {
            struct chunk *c = f->first;
            f->first = c->next;
            free(c);
        }
    }
    list_remove(&p->link);
    p->proxy->open--;
    free(p);
}

/* TCP: with a reset, as when the other program dies or the line does. */
static void end_close(union stream *s)
{
    if (uv_is_closing(&s->handle)) {
        return;
    }
    if (s->handle.type != UV_TCP || uv_tcp_close_reset(&s->tcp, on_closed) != 0) {
        uv_close(&s->handle, on_closed);
    }
}

static void pair_reset(struct pair *p)
{
    p->ending = true;
    end_close(&p->client);
    end_close(&p->server);
}

static bool one_in(struct proxy *x, uint64_t n)
{
    return n > 0 && fleet_random_below(&x->random, n) == 0;
}

/* ---- PostgreSQL's messages ---- */

struct found {
    char type;
    size_t start, end; /* within the bytes scanned now; start 0 when it began earlier */
};

/* Fills the head from the bytes at hand. False: they are not enough. */
static bool scan_head(struct scan *s, const uint8_t *data, size_t len, size_t *at)
{
    uint32_t skip = s->greeted ? 0 : 1; /* as if a type had been there */
    s->have = s->have < skip ? skip : s->have;
    while (s->have < sizeof(s->head) && *at < len) {
        s->head[s->have++] = data[(*at)++];
    }
    if (s->have < sizeof(s->head)) {
        return false;
    }
    uint32_t n = (uint32_t)s->head[1] << 24 | (uint32_t)s->head[2] << 16 |
                 (uint32_t)s->head[3] << 8 | s->head[4];
    CHECK(n >= 4); /* else this is not PostgreSQL's protocol */
    s->left = n - 4;
    s->word_len = 0;
    return true;
}

/* The next message that ends within the bytes from *at on. */
static bool scan_next(struct scan *s, const uint8_t *data, size_t len, size_t *at,
                      struct found *ret_found)
{
    size_t start = s->have > 1 || (s->have == 1 && s->greeted) ? 0 : *at;
    if (s->have < sizeof(s->head) && !scan_head(s, data, len, at)) {
        return false;
    }
    size_t n = s->left < len - *at ? s->left : len - *at;
    for (size_t i = 0; i < n && s->word_len < WORD_MAX; i++) {
        s->word[s->word_len++] = (char)data[*at + i];
    }
    s->word[s->word_len] = '\0';
    *at += n;
    s->left -= (uint32_t)n;
    if (s->left > 0) {
        return false;
    }
    *ret_found =
        (struct found){.type = s->greeted ? (char)s->head[0] : '\0', .start = start, .end = *at};
    s->greeted = true;
    s->have = 0;
    return true;
}

/* ---- flows ---- */

static void on_written(uv_write_t *w, int status)
{
    struct chunk *c = CONTAINER_OF(w, struct chunk, write);
    struct flow *f = c->flow;
    struct pair *p = f->pair;
    f->queued -= c->len;
    free(c);
    if (status != 0 && !p->ending && !p->client_gone) {
        pair_reset(p);
    }
}

static void flow_shut(struct flow *f)
{
    if (!f->shut && !uv_is_closing(&f->to->handle)) {
        f->shut = true;
        (void)uv_shutdown(&f->shutdown, &f->to->stream, NULL);
    }
    if (f->pair->up.shut && f->pair->down.shut) {
        pair_reset(f->pair);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle;
    static char room[65536]; /* one thread, and on_read() copies at once */
    (void)size;
    *buf = uv_buf_init(room, sizeof(room));
}

/* Sends on what is due. */
static void flow_run(struct flow *f)
{
    struct pair *p = f->pair;
    struct proxy *x = p->proxy;
    int64_t now = clock_mono_us();
    while (f->first != NULL && !x->stall && f->first->due_us <= now) {
        struct chunk *c = f->first;
        f->first = c->next;
        if (f->first == NULL) {
            f->last = &f->first;
        }
        if (f->discards || f->shut || uv_is_closing(&f->to->handle)) {
            f->queued -= c->len;
            free(c);
            continue;
        }
        uv_buf_t b = uv_buf_init((char *)c->data, (unsigned)c->len);
        if (uv_write(&c->write, &f->to->stream, &b, 1, on_written) != 0) {
            f->queued -= c->len;
            free(c);
            pair_reset(p);
            return;
        }
    }
    if (f->ended && f->first == NULL && !p->ending) {
        flow_shut(f);
    }
    if (f->paused && f->queued < QUEUED_MAX / 2 && !uv_is_closing(&f->from->handle)) {
        f->paused = false;
        (void)uv_read_start(&f->from->stream, on_alloc, on_read);
    }
}

static void flow_put(struct flow *f, const uint8_t *data, size_t len, int64_t later_us)
{
    struct proxy *x = f->pair->proxy;
    if (len == 0) {
        return;
    }
    struct chunk *c = malloc(sizeof(*c) + len);
    CHECK(c != NULL);
    int64_t jitter_us =
        x->jitter_us == 0
            ? 0
            : (int64_t)fleet_random_below(&x->random, (uint64_t)x->jitter_us * 2) - x->jitter_us;
    int64_t due_us = clock_mono_us() + x->delay_us + jitter_us + later_us;
    f->due_us = due_us > f->due_us ? due_us : f->due_us;
    c->next = NULL;
    c->flow = f;
    c->due_us = f->due_us;
    c->len = len;
    memcpy(c->data, data, len);
    *f->last = c;
    f->last = &c->next;
    f->queued += len;
    if (f->queued > QUEUED_MAX && !f->paused) {
        f->paused = true;
        (void)uv_read_stop(&f->from->stream);
    }
}

/* The rows are all sent and the client is gone; the server hears of their end later. */
static void orphan(struct pair *p, const uint8_t *data, size_t len, const struct found *at)
{
    struct proxy *x = p->proxy;
    x->orphaned++;
    flow_put(&p->up, data, at->start, 0);
    flow_put(&p->up, data + at->start, len - at->start, x->orphan_us);
    p->client_gone = true;
    p->down.discards = true;
    p->reset_at_us = clock_mono_us() + x->orphan_us + 5 * CLOCK_SECOND_US;
    end_close(&p->client);
}

/* Looks for the end of rows on the way up and for COMMIT on the way down. True: dealt with. */
static bool flow_strike(struct flow *f, const uint8_t *data, size_t len)
{
    struct pair *p = f->pair;
    struct proxy *x = p->proxy;
    size_t at = 0;
    struct found found;
    while (scan_next(&f->scan, data, len, &at, &found)) {
        bool commit = !f->up && found.type == 'C' && strcmp(f->scan.word, "COMMIT") == 0;
        x->commits += commit;
        if (commit && one_in(x, x->swallow)) {
            x->swallowed++;
            pair_reset(p);
            return true;
        }
        if (f->up && found.type == 'c' && one_in(x, x->orphan)) {
            orphan(p, data, len, &found);
            return true;
        }
    }
    return false;
}

static bool flow_cut(struct flow *f, size_t len)
{
    struct pair *p = f->pair;
    struct proxy *x = p->proxy;
    if (!f->up) {
        x->down_bytes += len;
        return false;
    }
    x->up_bytes += len;
    p->bytes_up += len;
    if (x->cut == 0) {
        return false;
    }
    if (p->cut_at == 0) {
        p->cut_at = p->bytes_up + x->cut + fleet_random_below(&x->random, x->cut);
    }
    if (p->bytes_up < p->cut_at) {
        return false;
    }
    x->cuts++;
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pair *p = stream->data;
    struct flow *f = stream == &p->client.stream ? &p->up : &p->down;
    if (n == 0 || p->ending) {
        return;
    }
    if (n == UV_EOF) {
        f->ended = true;
        (void)uv_read_stop(stream);
        if (p->client_gone) {
            pair_reset(p);
            return;
        }
        flow_run(f);
        return;
    }
    if (n < 0) {
        pair_reset(p);
        return;
    }
    const uint8_t *data = (const uint8_t *)buf->base;
    if (p->proxy->postgres && !p->client_gone && flow_strike(f, data, (size_t)n)) {
        return;
    }
    bool reset = flow_cut(f, (size_t)n);
    flow_put(f, data, reset ? (size_t)n / 2 : (size_t)n, 0);
    flow_run(f);
    if (reset) {
        pair_reset(p);
    }
}

/* ---- connections ---- */

static void stream_init(struct proxy *x, union stream *s, bool pipe)
{
    CHECK(pipe ? uv_pipe_init(&x->uv, &s->pipe, 0) == 0 : uv_tcp_init(&x->uv, &s->tcp) == 0);
    if (!pipe) {
        (void)uv_tcp_nodelay(&s->tcp, 1);
    }
}

static void flow_init(struct flow *f, struct pair *p, bool up)
{
    f->pair = p;
    f->up = up;
    f->from = up ? &p->client : &p->server;
    f->to = up ? &p->server : &p->client;
    f->last = &f->first;
    f->scan.greeted = !up;
}

static void on_connected(uv_connect_t *c, int status)
{
    struct pair *p = c->data;
    if (status != 0 || p->ending) {
        pair_reset(p);
        return;
    }
    p->connected = true;
    CHECK(uv_read_start(&p->client.stream, on_alloc, on_read) == 0);
    CHECK(uv_read_start(&p->server.stream, on_alloc, on_read) == 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct proxy *x = listener->data;
    struct pair *p = calloc(1, sizeof(*p));
    CHECK(status == 0 && p != NULL);
    p->proxy = x;
    p->closing = 2;
    stream_init(x, &p->client, x->listen.path != NULL);
    stream_init(x, &p->server, x->to.path != NULL);
    p->client.handle.data = p;
    p->server.handle.data = p;
    p->connect.data = p;
    flow_init(&p->up, p, true);
    flow_init(&p->down, p, false);
    list_push_back(&x->pairs, &p->link);
    x->accepted++;
    x->open++;
    if (uv_accept(listener, &p->client.stream) != 0 || x->refuse) {
        pair_reset(p);
        return;
    }
    if (x->to.path != NULL) {
        uv_pipe_connect(&p->connect, &p->server.pipe, x->to.path, on_connected);
        return;
    }
    if (uv_tcp_connect(&p->connect, &p->server.tcp, (const struct sockaddr *)(void *)&x->to.in,
                       on_connected) != 0) {
        pair_reset(p);
    }
}

/* ---- orders ---- */

static void each_pair(struct proxy *x, void (*fn)(struct pair *))
{
    struct list *at = x->pairs.next;
    while (at != &x->pairs) {
        struct pair *p = CONTAINER_OF(at, struct pair, link);
        at = at->next;
        fn(p);
    }
}

static void pair_run(struct pair *p)
{
    if (p->reset_at_us != 0 && clock_mono_us() >= p->reset_at_us) {
        pair_reset(p);
        return;
    }
    if (p->connected && !p->ending) {
        flow_run(&p->up);
        if (!p->ending) {
            flow_run(&p->down);
        }
    }
}

static void pair_halfclose(struct pair *p)
{
    if (p->connected && !p->ending) {
        flow_shut(&p->up);
    }
}

static void obey(struct proxy *x, const char *line)
{
    char word[16] = "";
    double a = 0;
    double b = 0;
    int n = sscanf(line, "%15s %lf %lf", word, &a, &b);
    if (n < 1) {
        return;
    }
    if (strcmp(word, "delay") == 0) {
        x->delay_us = (int64_t)(a * 1000);
        x->jitter_us = (int64_t)(b * 1000);
    } else if (strcmp(word, "cut") == 0) {
        x->cut = (uint64_t)a;
    } else if (strcmp(word, "deaf") == 0) {
        x->deaf_rate = a;
        x->deaf_us = (int64_t)(b * 1000);
        x->next_deaf_us = clock_mono_us();
    } else if (strcmp(word, "swallow") == 0) {
        x->swallow = (uint64_t)a;
    } else if (strcmp(word, "orphan") == 0) {
        x->orphan = (uint64_t)a;
        x->orphan_us = (int64_t)(b * 1000);
    } else if (strcmp(word, "stall") == 0) {
        x->stall = a != 0;
    } else if (strcmp(word, "refuse") == 0) {
        x->refuse = a != 0;
    } else if (strcmp(word, "reset") == 0) {
        each_pair(x, pair_reset);
    } else if (strcmp(word, "halfclose") == 0) {
        each_pair(x, pair_halfclose);
    } else {
        (void)fprintf(stderr, "fault_proxy: no such order: %s\n", line);
    }
}

static void on_control(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct proxy *x = stream->data;
    CHECK(n >= 0); /* the FIFO is open for writing here too, so that it never ends */
    for (ssize_t i = 0; i < n; i++) {
        char c = buf->base[i];
        if (c != '\n' && x->line_len + 1 < sizeof(x->line)) {
            x->line[x->line_len++] = c;
        } else if (c == '\n') {
            x->line[x->line_len] = '\0';
            x->line_len = 0;
            obey(x, x->line);
        }
    }
}

/* A connection chosen by chance that hears already. */
static void deafen_one(struct proxy *x)
{
    uint64_t pick = fleet_random_below(&x->random, x->open);
    struct list *at = x->pairs.next;
    for (uint64_t i = 0; at != &x->pairs && i < pick; i++) {
        at = at->next;
    }
    if (at == &x->pairs) {
        return;
    }
    struct pair *p = CONTAINER_OF(at, struct pair, link);
    if (p->connected && !p->ending && !p->down.discards && p->bytes_up > 2000) {
        p->down.discards = true;
        p->reset_at_us = clock_mono_us() + x->deaf_us;
        x->deafened++;
    }
}

static void write_status(const struct proxy *x)
{
    char name[4096];
    if (x->status_file == NULL) {
        return;
    }
    (void)snprintf(name, sizeof(name), "%s.new", x->status_file);
    FILE *f = fopen(name, "we");
    CHECK(f != NULL);
    (void)fprintf(f,
                  "accepted=%llu open=%llu commits=%llu swallowed=%llu orphaned=%llu deafened=%llu "
                  "cuts=%llu up_bytes=%llu down_bytes=%llu\n",
                  (unsigned long long)x->accepted, (unsigned long long)x->open,
                  (unsigned long long)x->commits, (unsigned long long)x->swallowed,
                  (unsigned long long)x->orphaned, (unsigned long long)x->deafened,
                  (unsigned long long)x->cuts, (unsigned long long)x->up_bytes,
                  (unsigned long long)x->down_bytes);
    CHECK(fclose(f) == 0 && rename(name, x->status_file) == 0);
}

static void on_tick(uv_timer_t *timer)
{
    struct proxy *x = timer->data;
    each_pair(x, pair_run);
    int64_t now = clock_mono_us();
    while (x->deaf_rate > 0 && x->next_deaf_us <= now) {
        x->next_deaf_us += (int64_t)(1e6 / x->deaf_rate);
        deafen_one(x);
    }
    if (++x->ticks % STATUS_TICKS == 0) {
        write_status(x);
    }
}

/* ---- start ---- */

static bool read_address(const char *text, struct address *ret_address)
{
    const char *colon = strrchr(text, ':');
    if (strchr(text, '/') != NULL || colon == NULL) {
        *ret_address = (struct address){.path = text};
        return strchr(text, '/') != NULL;
    }
    char host[64];
    uint64_t port = 0;
    (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    *ret_address = (struct address){0};
    return fleet_read_count("port", colon + 1, 1, 65535, &port) &&
           uv_ip4_addr(host, (int)port, &ret_address->in) == 0;
}

static bool listen_on(struct proxy *x)
{
    stream_init(x, &x->listener, x->listen.path != NULL);
    x->listener.handle.data = x;
    int e = 0;
    if (x->listen.path != NULL) {
        (void)unlink(x->listen.path);
        e = uv_pipe_bind(&x->listener.pipe, x->listen.path);
    } else {
        e = uv_tcp_bind(&x->listener.tcp, (const struct sockaddr *)(void *)&x->listen.in, 0);
    }
    e = e == 0 ? uv_listen(&x->listener.stream, 1024, on_connection) : e;
    if (e != 0) {
        (void)fprintf(stderr, "fault_proxy: cannot listen: %s\n", uv_strerror(e));
    }
    return e == 0;
}

static bool read_options(int argc, char **argv, struct proxy *x, const char **ret_control)
{
    static const struct option table[] = {{"listen", required_argument, NULL, 'l'},
                                          {"to", required_argument, NULL, 't'},
                                          {"control", required_argument, NULL, 'c'},
                                          {"status", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"postgres", no_argument, NULL, 'p'},
                                          {0}};
    bool listen = false;
    bool to = false;
    uint64_t seed = (uint64_t)clock_mono_us();
    int code = 0;
    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (code) {
        case 'l':
            listen = read_address(optarg, &x->listen);
            break;
        case 't':
            to = read_address(optarg, &x->to);
            break;
        case 'c':
            *ret_control = optarg;
            break;
        case 's':
            x->status_file = optarg;
            break;
        case 'p':
            x->postgres = true;
            break;
        case 'r':
            seed = strtoull(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    fleet_random_init(&x->random, seed);
    return listen && to && *ret_control != NULL && optind == argc;
}

int main(int argc, char **argv)
{
    static struct proxy x;
    const char *control = NULL;
    (void)signal(SIGPIPE, SIG_IGN);
    list_init(&x.pairs);
    if (!read_options(argc, argv, &x, &control)) {
        (void)fprintf(stderr, "system_fault_proxy --listen ADDRESS --to ADDRESS --control FIFO "
                              "[--postgres] [--status FILE] [--seed N]\n");
        return 2;
    }
    CHECK(uv_loop_init(&x.uv) == 0);
    int fifo = open(control, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fifo < 0 || !listen_on(&x)) {
        (void)fprintf(stderr, "fault_proxy: %s: %s\n", control, strerror(errno));
        return 1;
    }
    CHECK(uv_pipe_init(&x.uv, &x.control, 0) == 0 && uv_pipe_open(&x.control, fifo) == 0);
    x.control.data = &x;
    CHECK(uv_read_start((uv_stream_t *)&x.control, on_alloc, on_control) == 0);
    CHECK(uv_timer_init(&x.uv, &x.tick) == 0);
    x.tick.data = &x;
    CHECK(uv_timer_start(&x.tick, on_tick, TICK_MS, TICK_MS) == 0);
    return uv_run(&x.uv, UV_RUN_DEFAULT);
}
