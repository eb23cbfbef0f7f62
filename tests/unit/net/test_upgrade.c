#include <signal.h>

#include "echo.h"
#include "ws_bytes.h"

#define REQUEST                                                                              \
    "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"           \
    "Sec-WebSocket-Protocol: mqtt\r\n"
#define ANSWER                                                                          \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

/* Either a TLS connection or a plain one. */
struct line {
    SSL *ssl;
    int fd;
    struct buf got;
};

static void line_write(struct line *l, struct view bytes)
{
    size_t n = 0;
    if (l->ssl != NULL) {
        cr_assert_eq(SSL_write_ex(l->ssl, bytes.data, bytes.len, &n), 1);
        return;
    }
    cr_assert_eq(write(l->fd, bytes.data, bytes.len), (ssize_t)bytes.len);
}

/* False: the end, or five seconds have passed. */
static bool line_more(struct line *l)
{
    uint8_t bytes[65536];
    size_t n = 0;
    if (l->ssl == NULL) {
        ssize_t len = read(l->fd, bytes, sizeof(bytes));
        n = len > 0 ? (size_t)len : 0;
    } else if (SSL_read_ex(l->ssl, bytes, sizeof(bytes), &n) != 1) {
        return false;
    }
    buf_put(&l->got, bytes, n);
    return n > 0;
}

static bool line_gets(struct line *l, struct view want)
{
    while (l->got.len < want.len && line_more(l)) {
    }
    bool ok = l->got.len >= want.len && memcmp(l->got.data, want.data, want.len) == 0;
    if (ok) {
        buf_cut(&l->got, want.len);
    }
    return ok;
}

/* The payload of the next frames, joined, until there is as much as wanted. */
static bool line_says(struct line *l, const char *text, const char *answer)
{
    struct buf out;
    struct buf joined;
    buf_init(&out, 1 << 20);
    buf_init(&joined, 1 << 20);
    ws_bytes_frame(&out, WS_FIN | WS_BINARY, view_str(text));
    line_write(l, buf_view(&out));
    bool more = true;
    while (joined.len < strlen(answer) && more) {
        struct view left = buf_view(&l->got);
        struct view payload;
        uint8_t head = 0;
        if (!ws_bytes_next(&left, &head, &payload)) {
            more = line_more(l);
            continue;
        }
        more = head == (WS_FIN | WS_BINARY);
        buf_put_view(&joined, payload);
        buf_cut(&l->got, l->got.len - left.len);
    }
    bool ok = view_eq_str(buf_view(&joined), answer);
    buf_fini(&out);
    buf_fini(&joined);
    return ok;
}

static void line_closes(struct line *l)
{
    cr_expect(line_says(l, "bye\n", "bye\n"));
    cr_expect(line_gets(l, VIEW("\x88\x02\x03\xe8")), "Close 1000 follows the last answer");
    cr_expect(!line_more(l) && l->got.len == 0, "and then the end");
}

static void line_fini(struct line *l)
{
    buf_fini(&l->got);
}

static void talk(struct line *l)
{
    buf_init(&l->got, 1 << 20);
    line_write(l, VIEW(REQUEST "\r\n"));
    cr_expect(line_gets(l, VIEW(ANSWER)));
    cr_expect(line_says(l, "ready\n", "ready\n"));
    cr_expect(line_says(l, "a line ", ""));
    cr_expect(line_says(l, "in two frames\n", "a line in two frames\n"));
    line_write(l, VIEW("\x89\x84\0\0\0\0ping"));
    cr_expect(line_gets(l, VIEW("\x8a\x04ping")));
}

static void offer_http(struct caller *c)
{
    (void)SSL_CTX_set_alpn_protos(c->ctx, (const unsigned char *)"\x08http/1.1", 9);
}

Test(upgrade, a_websocket_over_tls_with_and_without_alpn, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (int alpn = 0; alpn < 2; alpn++) {
        struct caller c;
        caller_init(&c, &e, NULL);
        if (alpn == 1) {
            offer_http(&c);
        }
        cr_assert(caller_dials(&c, &e, NULL));
        struct line l = {.ssl = c.ssl};
        talk(&l);
        line_closes(&l);
        line_fini(&l);
        caller_fini(&c);
    }
    cr_expect_eq(atomic_load(&e.opened), 2);
    echo_stop(&e);
}

Test(upgrade, a_request_that_arrives_byte_by_byte, .timeout = 60)
{
    static const char whole[] = REQUEST "\r\n";
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL));
    struct line l = {.ssl = c.ssl};
    buf_init(&l.got, 4096);
    for (size_t i = 0; i < sizeof(whole) - 1; i++) {
        line_write(&l, view_of(whole + i, 1));
    }
    cr_expect(line_gets(&l, VIEW(ANSWER)));
    line_closes(&l);
    line_fini(&l);
    caller_fini(&c);
    echo_stop(&e);
}

Test(upgrade, the_open_listener_has_it_too_but_not_for_pages_of_others, .timeout = 60)
{
    struct echo e;
    char address[] = "127.0.0.1:0";
    echo_init(&e);
    e.conf.open_listener = address;
    echo_start(&e);
    struct line l = {.fd = dial(net_open_port(e.net))};
    talk(&l);
    line_closes(&l);
    line_fini(&l);
    (void)close(l.fd);
    l = (struct line){.fd = dial(net_open_port(e.net))};
    buf_init(&l.got, 4096);
    line_write(&l, VIEW(REQUEST "Origin: https://evil.example\r\n\r\n"));
    cr_expect(line_gets(&l, VIEW("HTTP/1.1 403 ")));
    line_fini(&l);
    (void)close(l.fd);
    echo_stop(&e);
}

Test(upgrade, what_is_no_request_gets_an_answer_and_its_end, .timeout = 60)
{
    static const struct {
        bool http; /* by ALPN */
        struct view says, answer;
    } rows[] = {
        {false, VIEW("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), VIEW("HTTP/1.1 404 ")},
        {false, VIEW("GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n"), VIEW("HTTP/1.1 426 ")},
        {true, VIEW("POST /mqtt HTTP/1.1\r\nHost: h\r\n\r\n"), VIEW("HTTP/1.1 405 ")},
        {true, VIEW("\x10\x0c\0\4MQTT\4\2\0\x3c\0\0\r\n\r\n"), VIEW("HTTP/1.1 400 ")},
    };
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct caller c;
        caller_init(&c, &e, NULL);
        if (rows[i].http) {
            offer_http(&c);
        }
        cr_assert(caller_dials(&c, &e, NULL));
        struct line l = {.ssl = c.ssl};
        buf_init(&l.got, 4096);
        line_write(&l, rows[i].says);
        cr_expect(line_gets(&l, rows[i].answer), "row %zu", i);
        while (line_more(&l)) {
        }
        cr_expect(l.got.data[l.got.len - 1] == '\n', "all of the answer came");
        line_fini(&l);
        caller_fini(&c);
    }
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_HTTP), COUNT_OF(rows));
    cr_expect_eq(atomic_load(&e.opened), 0, "the owner sees nothing of it");
    echo_stop(&e);
}

Test(upgrade, a_text_frame_ends_it_and_a_close_is_answered, .timeout = 60)
{
    static const struct {
        struct view says, answer;
    } rows[] = {
        {VIEW("\x81\x81\0\0\0\0x"), VIEW("\x88\x02\x03\xeb")},
        {VIEW("\x82\x01x"), VIEW("\x88\x02\x03\xea")},
        {VIEW("\x88\x82\0\0\0\0\x03\xe9"), VIEW("\x88\x02\x03\xe9")},
    };
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct caller c;
        caller_init(&c, &e, NULL);
        cr_assert(caller_dials(&c, &e, NULL));
        struct line l = {.ssl = c.ssl};
        talk(&l);
        line_write(&l, rows[i].says);
        cr_expect(line_gets(&l, rows[i].answer), "row %zu", i);
        cr_expect(!line_more(&l), "row %zu", i);
        line_fini(&l);
        caller_fini(&c);
        cr_expect(echo_reached(&e.closed, (int)i + 1));
        cr_expect_eq(atomic_load(&e.last_close), NET_CLOSE_WEBSOCKET);
    }
    echo_stop(&e);
}

Test(upgrade, large_answers_arrive_whole_and_who_does_not_read_is_closed, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL));
    struct line l = {.ssl = c.ssl};
    talk(&l);
    char *want = malloc(2 * 1024 * 64 + 1);
    for (size_t i = 0; i < 2 * 1024; i++) {
        memcpy(want + i * 64, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n",
               65);
    }
    cr_expect(line_says(&l, "big 2\n", want));
    free(want);
    struct buf out;
    buf_init(&out, 4096);
    ws_bytes_frame(&out, WS_FIN | WS_BINARY, VIEW("big 2\n"));
    size_t n = 0;
    for (int i = 0; i < 400 && atomic_load(&e.closed) == 0; i++) {
        (void)SSL_write_ex(c.ssl, out.data, out.len, &n);
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    cr_expect(echo_reached(&e.closed, 1));
    cr_expect_eq(atomic_load(&e.last_close), NET_CLOSE_SEND_QUEUE);
    buf_fini(&out);
    line_fini(&l);
    caller_fini(&c);
    echo_stop(&e);
}

#define PROXY_HEAD "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\1\x9d\x78\x22\xb3"

/* TLS behind the head. */
static bool talks_behind(struct echo *e, struct view head)
{
    struct caller c;
    (void)signal(SIGPIPE, SIG_IGN); /* the server may close before OpenSSL writes */
    caller_init(&c, e, NULL);
    c.fd = dial(net_port(e->net));
    c.ssl = SSL_new(c.ctx);
    cr_assert_eq(SSL_set_fd(c.ssl, c.fd), 1);
    cr_assert_eq(write(c.fd, head.data, head.len), (ssize_t)head.len);
    bool ok = SSL_connect(c.ssl) == 1 && caller_says(&c, "peer\n", "peer 192.0.2.7:40312\n");
    caller_fini(&c);
    return ok;
}

Test(upgrade, a_listed_proxy_says_whose_the_connection_is, .timeout = 60)
{
    char list[] = "192.0.2.0/24, 127.0.0.0/8";
    struct echo e;
    echo_init(&e);
    e.conf.proxy_protocol_from = list;
    e.conf.connections_per_source_max = 1;
    echo_start(&e);
    int idle[3] = {dial(net_port(e.net)), dial(net_port(e.net)), dial(net_port(e.net))};
    cr_expect(talks_behind(&e, VIEW(PROXY_HEAD)), "the proxy's own connections do not count");
    cr_expect(!talks_behind(&e, VIEW("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n")), "version 1");
    cr_expect(!talks_behind(&e, view_of(NULL, 0)), "no head");
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_PROXY), 2);
    struct caller waits;
    caller_init(&waits, &e, NULL);
    waits.fd = dial(net_port(e.net));
    cr_assert_eq(write(waits.fd, PROXY_HEAD, sizeof(PROXY_HEAD) - 1), (int)sizeof(PROXY_HEAD) - 1);
    waits.ssl = SSL_new(waits.ctx);
    cr_assert_eq(SSL_set_fd(waits.ssl, waits.fd), 1);
    cr_assert_eq(SSL_connect(waits.ssl), 1);
    cr_expect(!talks_behind(&e, VIEW(PROXY_HEAD)), "two of one client have not authenticated");
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_SOURCE_MAX), 1);
    caller_fini(&waits);
    for (int i = 0; i < 3; i++) {
        (void)close(idle[i]);
    }
    echo_stop(&e);
}

Test(upgrade, a_head_of_somebody_else_is_no_head, .timeout = 60)
{
    char list[] = "192.0.2.0/24";
    struct echo e;
    echo_init(&e);
    e.conf.proxy_protocol_from = list;
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_expect(!talks_behind(&e, VIEW(PROXY_HEAD)));
    cr_expect(caller_dials(&c, &e, NULL) && caller_says(&c, "x\n", "x\n"));
    caller_fini(&c);
    echo_stop(&e);
}
