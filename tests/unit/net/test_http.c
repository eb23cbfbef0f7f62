#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "net/http.h"

/* The request of RFC 6455 section 1.2, with our path and subprotocol. */
#define REQUEST_LINE "GET /mqtt HTTP/1.1\r\n"
#define HOST         "Host: server.example.com\r\n"
#define UPGRADE      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION      "Sec-WebSocket-Version: 13\r\n"
#define MQTT         "Sec-WebSocket-Protocol: mqtt\r\n"
#define GOOD         REQUEST_LINE HOST UPGRADE KEY VERSION MQTT

/* From a copy of exactly its size. 0: not complete. */
static int judge(const char *text, bool guarded, struct http_verdict *ret_verdict)
{
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, text, len);
    enum err e = http_judge(view_of(copy, len), guarded, ret_verdict);
    free(copy);
    return e == ERR_OK ? ret_verdict->status : 0;
}

Test(http, the_example_of_the_standard_gets_its_answer)
{
    struct http_verdict v = {0};
    struct buf out;
    buf_init(&out, 1024);
    cr_assert_eq(judge(GOOD "\r\n", true, &v), 101);
    http_answer(&v, &out);
    char *answer = buf_take_str(&out);
    cr_expect_str_eq(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                             "Sec-WebSocket-Protocol: mqtt\r\n\r\n");
    free(answer);
}

Test(http, every_cut_is_not_complete)
{
    static const char whole[] = GOOD "\r\n";
    char cut[sizeof(whole)];
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        struct http_verdict v = {.status = 77};
        memcpy(cut, whole, len);
        cut[len] = '\0';
        cr_expect_eq(judge(cut, false, &v), 0, "cut at %zu", len);
        cr_expect_eq(v.status, 77, "output touched");
    }
}

Test(http, each_request_has_its_status)
{
    static const struct {
        const char *words, *text;
        int status;
    } rows[] = {
        {"a query is the client's own", "GET /mqtt?a=b HTTP/1.1\r\n" HOST UPGRADE KEY VERSION MQTT,
         101},
        {"names in any case, lists, more fields",
         REQUEST_LINE "HOST: h:1\r\nuser-agent:\tx\r\nupgrade: h2c, WebSocket\r\n"
                      "connection: keep-alive, Upgrade\r\n" KEY VERSION
                      "Sec-WebSocket-Protocol: mqttv3.1 ,\tmqtt\r\nContent-Length: 0\r\n",
         101},
        {"lists over several fields",
         REQUEST_LINE HOST "Connection: keep-alive\r\nConnection: upgrade\r\n"
                           "Upgrade: websocket\r\n" KEY VERSION
                           "Sec-WebSocket-Protocol: other\r\n" MQTT,
         101},
        {"another path", "GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION MQTT, 404},
        {"a path that begins the same", "GET /mqtt/x HTTP/1.1\r\n" HOST UPGRADE KEY VERSION MQTT,
         404},
        {"another method", "POST /mqtt HTTP/1.1\r\n" HOST UPGRADE KEY VERSION MQTT, 405},
        {"no WebSocket asked for", REQUEST_LINE HOST, 426},
        {"half of the upgrade", REQUEST_LINE HOST "Upgrade: websocket\r\n" KEY VERSION MQTT, 426},
        {"the other half", REQUEST_LINE HOST "Connection: Upgrade\r\n" KEY VERSION MQTT, 426},
        {"no version", REQUEST_LINE HOST UPGRADE KEY MQTT, 426},
        {"an old version", REQUEST_LINE HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n" MQTT, 426},
        {"no key", REQUEST_LINE HOST UPGRADE VERSION MQTT, 400},
        {"a short key", REQUEST_LINE HOST UPGRADE VERSION MQTT "Sec-WebSocket-Key: dGhl\r\n", 400},
        {"no base64",
         REQUEST_LINE HOST UPGRADE VERSION MQTT "Sec-WebSocket-Key: dGhlIHNh*XBsZSBub25jZQ==\r\n",
         400},
        {"two keys", GOOD KEY, 400},
        {"no subprotocol", REQUEST_LINE HOST UPGRADE KEY VERSION, 400},
        {"another subprotocol",
         REQUEST_LINE HOST UPGRADE KEY VERSION "Sec-WebSocket-Protocol: mqttx\r\n", 400},
        {"no host", REQUEST_LINE UPGRADE KEY VERSION MQTT, 400},
        {"an empty host", REQUEST_LINE "Host:\r\n" UPGRADE KEY VERSION MQTT, 400},
        {"two hosts", GOOD HOST, 400},
        {"HTTP/1.0", "GET /mqtt HTTP/1.0\r\n" HOST UPGRADE KEY VERSION MQTT, 400},
        {"no version of HTTP", "GET /mqtt\r\n" HOST, 400},
        {"a body", GOOD "Content-Length: 4\r\n", 400},
        {"a chunked body", GOOD "Transfer-Encoding: chunked\r\n", 400},
        {"a folded line", GOOD "X: a\r\n b\r\n", 400},
        {"a space before the colon", GOOD "X : a\r\n", 400},
        {"no colon", GOOD "X\r\n", 400},
        {"no name", GOOD ": a\r\n", 400},
        {"a line that ends with LF alone", GOOD "X: a\nY: b\r\n", 400},
        {"a control character in a field", GOOD "X: a\001b\r\n", 400},
        {"CR inside a line", GOOD "X: a\rb\r\n", 400},
        {"a control character in the target", "GET /mq\001tt HTTP/1.1\r\n" HOST, 400},
        {"two spaces", "GET  /mqtt HTTP/1.1\r\n" HOST, 400},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[1024];
        struct http_verdict v = {0};
        (void)snprintf(text, sizeof(text), "%s\r\n", rows[i].text);
        cr_expect_eq(judge(text, false, &v), rows[i].status, "%s: %d %s", rows[i].words, v.status,
                     v.words);
    }
}

Test(http, a_page_of_another_host_may_not_use_what_the_connection_carries)
{
    static const struct {
        const char *origin;
        bool foreign;
    } rows[] = {
        {"http://server.example.com", false},
        {"https://Server.example.com:8883", false},
        {"wss://server.example.com", false},
        {"https://evil.example", true},
        {"https://server.example.com.evil.example", true},
        {"https://evil.example/server.example.com", true},
        {"server.example.com", true},
        {"null", true},
        {"", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[1024];
        struct http_verdict v = {0};
        (void)snprintf(text, sizeof(text), GOOD "Origin: %s\r\n\r\n", rows[i].origin);
        cr_expect_eq(judge(text, true, &v), rows[i].foreign ? 403 : 101, "%s", rows[i].origin);
        cr_expect_eq(judge(text, false, &v), 101, "%s: its token comes with the CONNECT",
                     rows[i].origin);
    }
}

Test(http, a_head_is_bounded_and_nothing_follows_it)
{
    static char text[3 * HTTP_HEAD_MAX];
    struct http_verdict v = {0};
    int at = snprintf(text, sizeof(text), "%sX: ", GOOD);
    memset(text + at, 'x', HTTP_HEAD_MAX - (size_t)at - 4);
    memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 5);
    cr_expect_eq(judge(text, false, &v), 101, "exactly the limit");
    memcpy(text + HTTP_HEAD_MAX - 4, "x\r\n\r", 5);
    cr_expect_eq(judge(text, false, &v), 431, "one more, and it is not even complete");
    cr_expect_eq(judge(GOOD "\r\n\x82", false, &v), 400, "a client waits for the answer");
}

Test(http, a_refusal_says_what_would_be_right)
{
    static const struct {
        const char *text, *line;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", "404 Not Found"},
        {REQUEST_LINE HOST "\r\n", "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"},
        {"PUT /mqtt HTTP/1.1\r\n" HOST "\r\n", "\r\nAllow: GET\r\n"},
        {REQUEST_LINE "\r\n", "\r\nConnection: close\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct http_verdict v = {0};
        struct buf out;
        buf_init(&out, 1024);
        cr_assert_neq(judge(rows[i].text, false, &v), 0);
        http_answer(&v, &out);
        char *answer = buf_take_str(&out);
        cr_expect_not_null(strstr(answer, rows[i].line), "row %zu: %s", i, answer);
        const char *body = strstr(answer, "\r\n\r\n") + 4;
        char length[64];
        (void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
        cr_expect_not_null(strstr(answer, length), "%s", answer);
        free(answer);
    }
}
