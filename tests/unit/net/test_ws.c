#include <criterion/criterion.h>

#include "base/check.h"
#include "net/ws.h"
#include "ws_bytes.h"

struct peer {
    struct ws *ws;
    struct buf to, got, back; /* frames to the server, what it read, what it sends */
};

static void peer_init(struct peer *p)
{
    p->ws = ws_new(view_of(NULL, 0));
    cr_assert_not_null(p->ws);
    buf_init(&p->to, 1 << 20);
    buf_init(&p->got, 1 << 20);
    buf_init(&p->back, 1 << 20);
}

static void peer_fini(struct peer *p)
{
    ws_free(p->ws);
    buf_fini(&p->to);
    buf_fini(&p->got);
    buf_fini(&p->back);
}

static void say(struct peer *p, uint8_t head, const char *payload)
{
    ws_bytes_frame(&p->to, head, view_str(payload));
}

/* In parts of `part` bytes; the first error. */
static enum err feed(struct peer *p, size_t part)
{
    enum err e = ERR_OK;
    for (size_t at = 0; at < p->to.len && e == ERR_OK; at += part) {
        size_t len = p->to.len - at < part ? p->to.len - at : part;
        uint8_t *copy = malloc(len); /* of exactly its size */
        memcpy(copy, p->to.data + at, len);
        e = ws_take(p->ws, view_of(copy, len), &p->got);
        free(copy);
    }
    buf_clear(&p->to);
    cr_assert_eq(ws_put(p->ws, view_of(NULL, 0), &p->back), ERR_OK);
    return e;
}

static bool has(struct buf *b, const char *text)
{
    return view_eq_str(buf_view(b), text);
}

/* The code of the Close that the server sent as its only frame; 0: none. */
static int close_code(struct peer *p)
{
    struct view left = buf_view(&p->back);
    struct view payload;
    uint8_t head = 0;
    if (!ws_bytes_next(&left, &head, &payload) || head != (WS_FIN | WS_CLOSE) || left.len > 0) {
        return 0;
    }
    return payload.len < 2 ? -1 : payload.data[0] << 8 | payload.data[1];
}

Test(ws, binary_frames_are_one_stream_however_they_are_cut)
{
    for (size_t part = 1; part < 40; part++) {
        struct peer p;
        peer_init(&p);
        say(&p, WS_FIN | WS_BINARY, "one ");
        say(&p, WS_BINARY, "two ");
        say(&p, WS_FIN | WS_PING, "are you there");
        say(&p, WS_CONTINUED, "");
        say(&p, WS_CONTINUED, "thr");
        say(&p, WS_FIN | WS_CONTINUED, "ee");
        say(&p, WS_FIN | WS_BINARY, "");
        cr_expect_eq(feed(&p, part), ERR_OK);
        cr_expect(has(&p.got, "one two three"), "parts of %zu", part);
        cr_expect(has(&p.back, "\x8a\x0d"
                               "are you there"),
                  "a pong, parts of %zu", part);
        cr_expect(!ws_waits(p.ws));
        peer_fini(&p);
    }
}

Test(ws, lengths_of_each_form_pass_both_ways)
{
    static const size_t lengths[] = {0, 1, 125, 126, 127, 4095, 4096, 65535, 65536, 200000};
    static uint8_t bytes[200000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    struct peer p;
    peer_init(&p);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct view sent = view_of(bytes, lengths[i]);
        ws_bytes_frame(&p.to, WS_FIN | WS_BINARY, sent);
        cr_expect_eq(feed(&p, 1000), ERR_OK);
        cr_expect(view_eq(buf_view(&p.got), sent), "%zu in", lengths[i]);
        cr_expect_eq(ws_put(p.ws, sent, &p.back), ERR_OK);
        struct view left = buf_view(&p.back);
        struct view payload = view_of(NULL, 0);
        uint8_t head = WS_FIN | WS_BINARY;
        cr_expect(lengths[i] == 0 || ws_bytes_next(&left, &head, &payload));
        cr_expect(head == (WS_FIN | WS_BINARY) && view_eq(payload, sent) && left.len == 0,
                  "%zu out", lengths[i]);
        buf_clear(&p.got);
        buf_clear(&p.back);
    }
    peer_fini(&p);
}

/* RFC 6455 sections 5.1 to 5.5 and 7.4; [MQTT-6.0.0-1]. */
Test(ws, a_broken_rule_ends_it_with_its_close)
{
    static const struct {
        const char *words;
        struct view bytes;
        int code;
    } rows[] = {
        {"not masked", VIEW("\x82\x01x"), 1002},
        {"text", VIEW("\x81\x81\0\0\0\0x"), 1003},
        {"text in fragments", VIEW("\x01\x81\0\0\0\0x"), 1003},
        {"a reserved bit", VIEW("\xc2\x81\0\0\0\0x"), 1002},
        {"a reserved opcode", VIEW("\x83\x81\0\0\0\0x"), 1002},
        {"a reserved control opcode", VIEW("\x8b\x80\0\0\0\0"), 1002},
        {"continues nothing", VIEW("\x80\x81\0\0\0\0x"), 1002},
        {"a message inside a message", VIEW("\x02\x81\0\0\0\0x\x82\x81\0\0\0\0y"), 1002},
        {"a ping in fragments", VIEW("\x09\x80\0\0\0\0"), 1002},
        {"a ping of 126 bytes", VIEW("\x89\xfe\x00\x7e\0\0\0\0"), 1002},
        {"a length of 63 bits and one", VIEW("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"), 1002},
        {"a length that is longer than it need be", VIEW("\x82\xfe\x00\x01\0\0\0\0x"), 1002},
        {"a close with half a code", VIEW("\x88\x81\0\0\0\0x"), 1002},
        {"a close whose words are not UTF-8", VIEW("\x88\x83\0\0\0\0\x03\xe8\xff"), 1007},
        {"a close with a code that is never sent", VIEW("\x88\x82\0\0\0\0\x03\xed"), 1002},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t part = 1; part < 20; part += 18) {
            struct peer p;
            peer_init(&p);
            buf_put_view(&p.to, rows[i].bytes);
            cr_expect_eq(feed(&p, part), ERR_CLOSED, "%s", rows[i].words);
            cr_expect_eq(close_code(&p), rows[i].code, "%s: %d", rows[i].words, close_code(&p));
            buf_clear(&p.back);
            cr_expect_eq(ws_put(p.ws, VIEW("late"), &p.back), ERR_OK);
            cr_expect_eq(p.back.len, 0, "nothing follows a close");
            cr_expect(!ws_close(p.ws));
            peer_fini(&p);
        }
    }
}

Test(ws, a_close_is_answered_and_what_came_before_it_counts)
{
    struct peer p;
    peer_init(&p);
    say(&p, WS_FIN | WS_BINARY, "last words");
    say(&p, WS_FIN | WS_CLOSE,
        "\x03\xe8"
        "bye");
    say(&p, WS_FIN | WS_BINARY, "not heard");
    cr_expect_eq(feed(&p, 1000), ERR_CLOSED);
    cr_expect(has(&p.got, "last words"));
    cr_expect_eq(close_code(&p), 1000);
    peer_fini(&p);
    peer_init(&p);
    say(&p, WS_FIN | WS_CLOSE, "");
    cr_expect_eq(feed(&p, 1000), ERR_CLOSED);
    cr_expect_neq(close_code(&p), 0, "without a code, too");
    peer_fini(&p);
}

Test(ws, our_close_comes_once_after_what_was_put)
{
    struct peer p;
    peer_init(&p);
    cr_expect_eq(ws_put(p.ws, VIEW("data"), &p.back), ERR_OK);
    cr_expect(has(&p.back, "\x82\x04"
                           "data"));
    buf_clear(&p.back);
    cr_expect(ws_close(p.ws));
    cr_expect(!ws_close(p.ws));
    cr_expect(ws_waits(p.ws));
    cr_expect_eq(ws_put(p.ws, view_of(NULL, 0), &p.back), ERR_OK);
    cr_expect_eq(close_code(&p), 1000);
    peer_fini(&p);
}

Test(ws, the_answer_to_the_request_leaves_first_and_of_many_pings_the_last_is_answered)
{
    struct peer p;
    peer_init(&p);
    ws_free(p.ws);
    p.ws = ws_new(VIEW("HTTP "));
    cr_expect(ws_waits(p.ws));
    for (int i = 0; i < 1000; i++) {
        say(&p, WS_FIN | WS_PING, "old");
    }
    say(&p, WS_FIN | WS_PING, "new");
    say(&p, WS_FIN | WS_PONG, "nobody asked");
    cr_expect_eq(ws_take(p.ws, buf_view(&p.to), &p.got), ERR_OK);
    cr_expect_eq(ws_put(p.ws, VIEW("x"), &p.back), ERR_OK);
    cr_expect(has(&p.back, "HTTP \x8a\x03new\x82\x01x"));
    cr_expect(!ws_waits(p.ws));
    peer_fini(&p);
}
