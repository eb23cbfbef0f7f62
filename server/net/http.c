#include "net/http.h"

#include <string.h>
#include <strings.h>

#include "net/openssl.h"

/*
 * What a client must send is RFC 6455 section 4.2.1; that `mqtt` must be among its subprotocols,
 * and that it is the answer, is [MQTT-6.0.0-3] and [MQTT-6.0.0-4].
 */

/* Of the header fields that matter. A view without data: was not sent. */
struct request {
    struct view method, target, version;
    struct view host, origin, key, ws_version;
    bool upgrade, connection, mqtt, body, twice;
};

static bool same_word(struct view v, const char *word)
{
    return v.len == strlen(word) && strncasecmp((const char *)v.data, word, v.len) == 0;
}

/* tchar of RFC 9110 section 5.6.2. */
static bool is_token(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.data[i];
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return v.len > 0;
}

static bool is_printable(struct view v, bool spaces)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] == 0x7f || v.data[i] < (spaces ? 0x20 : 0x21)) {
            if (!spaces || v.data[i] != '\t') {
                return false;
            }
        }
    }
    return true;
}

static struct view trimmed(struct view v)
{
    while (v.len > 0 && (v.data[0] == ' ' || v.data[0] == '\t')) {
        v = view_skip(v, 1);
    }
    while (v.len > 0 && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t')) {
        v.len--;
    }
    return v;
}

/* Up to `byte`, which is left out of both. False: it is not there, all of it is the part. */
static bool cut_at(struct view *rest, char byte, struct view *ret_part)
{
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, byte, rest->len);
    if (at == NULL) {
        *ret_part = *rest;
        *rest = view_skip(*rest, rest->len);
        return false;
    }
    *ret_part = view_of(rest->data, (size_t)(at - rest->data));
    *rest = view_skip(*rest, ret_part->len + 1);
    return true;
}

static bool lists(struct view value, const char *word)
{
    bool more = true;
    while (more) {
        struct view item;
        more = cut_at(&value, ',', &item);
        if (same_word(trimmed(item), word)) {
            return true;
        }
    }
    return false;
}

static void take_once(struct request *r, struct view *field, struct view value)
{
    r->twice = r->twice || field->data != NULL;
    *field = value;
}

static void take_field(struct request *r, struct view name, struct view value)
{
    if (same_word(name, "host")) {
        take_once(r, &r->host, value);
    } else if (same_word(name, "origin")) {
        take_once(r, &r->origin, value);
    } else if (same_word(name, "sec-websocket-key")) {
        take_once(r, &r->key, value);
    } else if (same_word(name, "sec-websocket-version")) {
        take_once(r, &r->ws_version, value);
    } else if (same_word(name, "upgrade")) {
        r->upgrade = r->upgrade || lists(value, "websocket");
    } else if (same_word(name, "connection")) {
        r->connection = r->connection || lists(value, "upgrade");
    } else if (same_word(name, "sec-websocket-protocol")) {
        r->mqtt = r->mqtt || lists(value, "mqtt");
    } else if (same_word(name, "transfer-encoding")) {
        r->body = true;
    } else if (same_word(name, "content-length")) {
        r->body = r->body || !view_eq_str(value, "0");
    }
}

/* Without the CR LF at its end. */
static bool take_line(struct view *head, struct view *ret_line)
{
    if (!cut_at(head, '\n', ret_line) || ret_line->len == 0 ||
        ret_line->data[ret_line->len - 1] != '\r') {
        return false;
    }
    ret_line->len--;
    return true;
}

/* head: up to and with the CR LF of the last field. */
static bool parse(struct view head, struct request *r)
{
    struct view line;
    if (!take_line(&head, &line) || !cut_at(&line, ' ', &r->method) ||
        !cut_at(&line, ' ', &r->target)) {
        return false;
    }
    r->version = line;
    if (!is_token(r->method) || r->target.len == 0 || !is_printable(r->target, false)) {
        return false;
    }
    while (head.len > 0) {
        struct view name;
        if (!take_line(&head, &line) || !cut_at(&line, ':', &name) || !is_token(name) ||
            !is_printable(line, true)) {
            return false;
        }
        take_field(r, name, trimmed(line));
    }
    return true;
}

/* Sixteen bytes in base64. */
static bool is_key(struct view key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (key.len != 24 || key.data[22] != '=' || key.data[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (key.data[i] == '\0' || strchr(digits, key.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void accept_of(struct view key, char ret_accept[static HTTP_ACCEPT_CHARS + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    uint8_t text[24 + sizeof(guid) - 1];
    uint8_t hash[SHA_DIGEST_LENGTH];
    memcpy(text, key.data, 24);
    memcpy(text + 24, guid, sizeof(guid) - 1);
    (void)SHA1(text, sizeof(text), hash);
    (void)EVP_EncodeBlock((unsigned char *)ret_accept, hash, sizeof(hash));
}

/* "name:port" or "[address]:port" -> without the port. */
static struct view without_port(struct view host)
{
    const uint8_t *colon = host.len == 0 ? NULL : memrchr(host.data, ':', host.len);
    if (colon == NULL || host.data[host.len - 1] == ']') {
        return host;
    }
    return view_of(host.data, (size_t)(colon - host.data));
}

static bool is_foreign(struct view origin, struct view host)
{
    static const char *const schemes[] = {"https://", "http://", "wss://", "ws://"};
    if (origin.data == NULL) {
        return false; /* no browser */
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (view_starts(origin, view_str(schemes[i]))) {
            struct view from = without_port(view_skip(origin, strlen(schemes[i])));
            struct view to = without_port(host);
            return from.len != to.len ||
                   strncasecmp((const char *)from.data, (const char *)to.data, to.len) != 0;
        }
    }
    return true;
}

static int refuse(int status, const char *words, struct http_verdict *ret)
{
    ret->words = words;
    return status;
}

static int judge(const struct request *r, bool guarded, struct http_verdict *ret)
{
    struct view query = r->target;
    struct view path;
    (void)cut_at(&query, '?', &path);
    if (!view_eq_str(r->version, "HTTP/1.1")) {
        return refuse(400, "the version has to be HTTP/1.1", ret);
    }
    if (r->twice || r->host.data == NULL || r->host.len == 0) {
        return refuse(400, "a header field is missing or there twice", ret);
    }
    if (!view_eq_str(path, "/mqtt")) {
        return refuse(404, "MQTT over WebSocket is at /mqtt", ret);
    }
    if (!view_eq_str(r->method, "GET")) {
        return refuse(405, "only GET, to begin a WebSocket", ret);
    }
    if (r->body) {
        return refuse(400, "a request for a WebSocket has no body", ret);
    }
    if (!r->upgrade || !r->connection) {
        return refuse(426, "this is MQTT over WebSocket: ask for `Upgrade: websocket`", ret);
    }
    if (!view_eq_str(r->ws_version, "13")) {
        return refuse(426, "the version of WebSocket has to be 13", ret);
    }
    if (!is_key(r->key)) {
        return refuse(400, "Sec-WebSocket-Key has to be 16 bytes in base64", ret);
    }
    if (!r->mqtt) {
        return refuse(400, "Sec-WebSocket-Protocol has to offer `mqtt`", ret);
    }
    if (guarded && is_foreign(r->origin, r->host)) {
        return refuse(403, "a page of another host may not connect", ret);
    }
    accept_of(r->key, ret->accept);
    return refuse(101, "", ret);
}

enum err http_judge(struct view bytes, bool guarded, struct http_verdict *ret_verdict)
{
    static const char end[] = "\r\n\r\n";
    struct http_verdict v = {0};
    size_t looked_at = bytes.len < HTTP_HEAD_MAX ? bytes.len : HTTP_HEAD_MAX;
    const uint8_t *at = looked_at == 0 ? NULL : memmem(bytes.data, looked_at, end, 4);
    if (at == NULL && bytes.len < HTTP_HEAD_MAX) {
        return ERR_SHORT;
    }
    struct request r = {0};
    size_t head_len = at == NULL ? 0 : (size_t)(at - bytes.data) + 4;
    if (at == NULL) {
        v.status = refuse(431, "the head is larger than 8 KiB", &v);
    } else if (!parse(view_of(bytes.data, head_len - 2), &r)) {
        v.status = refuse(400, "this is not HTTP", &v);
    } else {
        v.status = judge(&r, guarded, &v);
        if (v.status == 101 && head_len < bytes.len) {
            v.status = refuse(400, "wait for the answer before the first frame", &v);
        }
    }
    *ret_verdict = v;
    return ERR_OK;
}

static const char *status_words(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    default:
        return "Request Header Fields Too Large";
    }
}

void http_answer(const struct http_verdict *v, struct buf *out)
{
    if (v->status == 101) {
        buf_printf(out,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
                   "\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
                   v->accept);
        return;
    }
    buf_printf(out,
               "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: %zu\r\nConnection: close%s\r\n%s\r\n%s\n",
               v->status, status_words(v->status), strlen(v->words) + 1,
               v->status == 426 ? ", Upgrade" : "",
               v->status == 426   ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               : v->status == 405 ? "Allow: GET\r\n"
                                  : "",
               v->words);
}
