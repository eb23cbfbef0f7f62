/*
 * What a connection says before MQTT: a proxy's head, the request for a WebSocket, its frames. The
 * first byte chooses. Properties, beside "does not crash": no parser looks past its bytes or says
 * two things about the same ones; frames give no more than they had; however frames are cut, they
 * give the same; what the server answers is well formed.
 */
#include "fuzz.h"
#include "net/http.h"
#include "net/proxy.h"
#include "net/ws.h"
#include "ws_bytes.h"

enum { FUZZ_BYTES_MAX = 1 << 20 };

static void proxy(struct view bytes)
{
    struct proxy_head whole = {0};
    enum err e = proxy_parse(bytes, &whole);
    CHECK(e != ERR_OK || (whole.len <= bytes.len && whole.len >= 16));
    for (size_t cut = 0; cut < bytes.len && cut < 64; cut++) {
        struct proxy_head part = {0};
        uint8_t *copy = fuzz_copy(view_of(bytes.data, cut));
        enum err early = proxy_parse(view_of(copy, cut), &part);
        free(copy);
        CHECK(early == ERR_SHORT || early == e); /* what was said early is not taken back */
        CHECK(early != ERR_OK || (part.len == whole.len && part.port == whole.port));
    }
}

static void request(struct view bytes, bool guarded)
{
    struct http_verdict v = {0};
    if (http_judge(bytes, guarded, &v) != ERR_OK) {
        CHECK(bytes.len < HTTP_HEAD_MAX);
        return;
    }
    struct buf out;
    buf_init(&out, HTTP_HEAD_MAX);
    http_answer(&v, &out);
    CHECK(buf_err(&out) == ERR_OK && view_starts(buf_view(&out), VIEW("HTTP/1.1 ")));
    CHECK(v.status == 101 ? strlen(v.accept) == HTTP_ACCEPT_CHARS : v.words[0] != '\0');
    buf_fini(&out);
}

/* At most one Pong, then at most one Close. */
static void check_answers(struct buf *out)
{
    struct view left = buf_view(out);
    struct view payload = view_of(NULL, 0);
    uint8_t head = 0;
    bool more = ws_bytes_next(&left, &head, &payload);
    CHECK(payload.len <= 125);
    if (more && head == (WS_FIN | WS_PONG)) {
        more = ws_bytes_next(&left, &head, &payload);
    }
    CHECK(!more || (head == (WS_FIN | WS_CLOSE) && payload.len <= 2));
    CHECK(left.len == 0);
}

static enum err frames(struct view bytes, size_t part, struct buf *got)
{
    struct ws *w = ws_new(view_of(NULL, 0));
    struct buf out;
    enum err e = ERR_OK;
    CHECK(w != NULL);
    buf_init(&out, FUZZ_BYTES_MAX);
    while (bytes.len > 0 && e == ERR_OK) {
        size_t len = bytes.len < part ? bytes.len : part;
        uint8_t *copy = fuzz_copy(view_of(bytes.data, len));
        e = ws_take(w, view_of(copy, len), got);
        free(copy);
        bytes = view_skip(bytes, len);
    }
    CHECK(ws_put(w, view_of(NULL, 0), &out) == ERR_OK && !ws_waits(w));
    check_answers(&out);
    CHECK(ws_close(w) == (e == ERR_OK));
    buf_fini(&out);
    ws_free(w);
    return e;
}

static void websocket(struct view bytes, size_t part)
{
    struct buf whole;
    struct buf parts;
    buf_init(&whole, FUZZ_BYTES_MAX);
    buf_init(&parts, FUZZ_BYTES_MAX);
    enum err e = frames(bytes, bytes.len, &whole);
    CHECK(whole.len <= bytes.len);
    CHECK(frames(bytes, part, &parts) == e);
    CHECK(view_eq(buf_view(&whole), buf_view(&parts)));
    buf_fini(&whole);
    buf_fini(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = script_of(data, size);
    uint8_t choice = script_byte(&s);
    struct view bytes = script_take(&s, size);
    uint8_t *copy = fuzz_copy(bytes);
    bytes = view_of(copy, bytes.len);
    switch (choice % 4) {
    case 0:
        proxy(bytes);
        break;
    case 1:
    case 2:
        request(bytes, choice % 4 == 1);
        break;
    default:
        websocket(bytes, 1 + choice / 4);
        break;
    }
    free(copy);
    return 0;
}
