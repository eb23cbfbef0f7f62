#include "app/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/check.h"

enum { HTTP_BODY_MAX = 512 * 1024 * 1024, HTTP_CONNECT_TIMEOUT_S = 5, HTTP_SILENT_S = 45 };

struct http_client {
    CURL *curl;
    char *url;
    char *token;
    char *cacert;
    bool unverified;
    long timeout_s;
    char error[CURL_ERROR_SIZE];
};

/* One request under way. */
struct transfer {
    struct http_client *client;
    struct http_response *response;
    struct sse *sse; /* NULL: no stream */
    sse_event_fn event;
    void *arg;
    enum err err;
};

bool http_url_is_loopback(const char *url)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "::1"};
    CURLU *u = curl_url();
    char *host = NULL;
    bool loopback = false;
    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        size_t len = strlen(host);
        bool brackets = len > 2 && host[0] == '[';
        struct view name = view_of(host + brackets, brackets ? len - 2 : len);
        for (size_t i = 0; i < COUNT_OF(hosts); i++) {
            loopback = loopback || view_eq_str(name, hosts[i]);
        }
    }
    curl_free(host);
    curl_url_cleanup(u);
    return loopback;
}

enum err http_client_new(const struct http_client_options *o, struct http_client **ret_client)
{
    struct http_client *c = calloc(1, sizeof(*c));
    if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(c);
        return ERR_NOMEM;
    }
    size_t len = strlen(o->url);
    while (len > 0 && o->url[len - 1] == '/') {
        len--;
    }
    c->curl = curl_easy_init();
    c->url = strndup(o->url, len);
    c->token = o->token == NULL ? NULL : strdup(o->token);
    c->cacert = o->cacert == NULL ? NULL : strdup(o->cacert);
    c->unverified = o->unverified;
    c->timeout_s = o->timeout_s == 0 ? 60 : o->timeout_s;
    if (c->curl == NULL || c->url == NULL || (o->token != NULL && c->token == NULL) ||
        (o->cacert != NULL && c->cacert == NULL)) {
        http_client_free(c);
        return ERR_NOMEM;
    }
    *ret_client = c;
    return ERR_OK;
}

void http_client_free(struct http_client *c)
{
    if (c == NULL) {
        return;
    }
    curl_easy_cleanup(c->curl);
    if (c->token != NULL) {
        explicit_bzero(c->token, strlen(c->token));
    }
    free(c->token);
    free(c->cacert);
    free(c->url);
    free(c);
    curl_global_cleanup();
}

const char *http_client_error(const struct http_client *c)
{
    return c->error;
}

const char *http_client_url(const struct http_client *c)
{
    return c->url;
}

void http_escape(struct buf *out, struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            buf_put_u8(out, c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    long status = 0;
    (void)curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->sse != NULL && status == 200) {
        t->err = sse_feed(t->sse, view_of(data, len), t->event, t->arg);
    } else {
        buf_put(&t->response->body, data, len);
        t->err = buf_err(&t->response->body);
    }
    return t->err == ERR_OK ? len : 0; /* another count ends the transfer */
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    struct view line = view_of(data, size * count);
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r')) {
        line.len--;
    }
    if (line.len > 6 && strncasecmp((const char *)line.data, "etag: ", 6) == 0) {
        (void)view_copy(view_skip(line, 6), t->response->etag, sizeof(t->response->etag));
    }
    return size * count;
}

static void add_header(struct curl_slist **list, bool *ok, const char *name, const char *value)
{
    char line[1400];
    if (value == NULL) {
        return;
    }
    int n = snprintf(line, sizeof(line), "%s: %s", name, value);
    /* A line end inside a token or a key would be a header of its own. */
    struct curl_slist *longer = n < (int)sizeof(line) && strpbrk(line, "\r\n") == NULL
                                    ? curl_slist_append(*list, line)
                                    : NULL;
    *ok = *ok && longer != NULL;
    *list = longer == NULL ? *list : longer;
    explicit_bzero(line, sizeof(line));
}

static enum err err_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return ERR_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return ERR_TLS;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_SYNTAX;
    default:
        return ERR_CLOSED;
    }
}

static void set_common(struct http_client *c, struct transfer *t, const char *url,
                       struct curl_slist *headers)
{
    CURL *h = c->curl;
    curl_easy_reset(h); /* keeps the connection */
    c->error[0] = '\0';
    (void)curl_easy_setopt(h, CURLOPT_URL, url);
    (void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error);
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(h, CURLOPT_USERAGENT, "signalbox/" SIGNALBOX_VERSION);
    (void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    if (http_url_is_loopback(c->url)) {
        (void)curl_easy_setopt(h, CURLOPT_PROXY, ""); /* whatever http_proxy says */
    }
    if (c->cacert != NULL) {
        (void)curl_easy_setopt(h, CURLOPT_CAINFO, c->cacert);
    }
    if (c->unverified) {
        (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static enum err perform(struct http_client *c, struct transfer *t)
{
    CURLcode code = curl_easy_perform(c->curl);
    char *type = NULL;
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &t->response->status);
    (void)curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, &type);
    (void)view_copy(view_str(type), t->response->content_type, sizeof(t->response->content_type));
    enum err e = t->err != ERR_OK ? t->err : err_of(code);
    if (e != ERR_OK && c->error[0] == '\0') {
        (void)snprintf(c->error, sizeof(c->error), "%s",
                       t->err != ERR_OK ? err_words(t->err) : curl_easy_strerror(code));
    }
    return e;
}

static char *join_url(const struct http_client *c, const char *path)
{
    struct buf url;
    buf_init(&url, 65536);
    buf_put_str(&url, c->url);
    buf_put_str(&url, path);
    return buf_take_str(&url);
}

static struct curl_slist *make_headers(const struct http_client *c, const struct http_request *r,
                                       const char *accept, const char *last_id, bool *ret_ok)
{
    struct curl_slist *list = NULL;
    char bearer[1300];
    *ret_ok = true;
    if (c->token != NULL) {
        (void)snprintf(bearer, sizeof(bearer), "Bearer %s", c->token);
        add_header(&list, ret_ok, "Authorization", bearer);
        explicit_bzero(bearer, sizeof(bearer));
    }
    add_header(&list, ret_ok, "Accept", accept);
    add_header(&list, ret_ok, "Expect", ""); /* no 100-continue */
    add_header(&list, ret_ok, "Last-Event-ID", last_id);
    if (r != NULL) {
        add_header(&list, ret_ok, "Content-Type", r->body.data == NULL ? NULL : r->content_type);
        add_header(&list, ret_ok, "If-Match", r->if_match);
        add_header(&list, ret_ok, "Idempotency-Key", r->idempotency_key);
    }
    return list;
}

enum err http_client_send(struct http_client *c, const struct http_request *r,
                          struct http_response *ret_response)
{
    struct http_response response = {0};
    struct transfer t = {.client = c, .response = &response};
    bool ok = false;
    struct curl_slist *headers = make_headers(c, r, "application/json", NULL, &ok);
    char *url = join_url(c, r->path);
    enum err e = ok && url != NULL ? ERR_OK : ERR_RANGE;
    buf_init(&response.body, HTTP_BODY_MAX);
    if (e == ERR_OK) {
        set_common(c, &t, url, headers);
        (void)curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, r->method);
        (void)curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, c->timeout_s);
        if (r->body.data != NULL) {
            (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, (const char *)r->body.data);
            (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        } else if (strcmp(r->method, "POST") == 0) {
            (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "");
        }
        e = perform(c, &t);
    } else {
        (void)snprintf(c->error, sizeof(c->error),
                       "a header or the address is too long or holds a line end");
    }
    curl_slist_free_all(headers);
    free(url);
    if (e != ERR_OK) {
        http_response_fini(&response);
        return e;
    }
    *ret_response = response;
    return ERR_OK;
}

void http_response_fini(struct http_response *r)
{
    buf_fini(&r->body);
    *r = (struct http_response){0};
}

enum err http_client_stream(struct http_client *c, const char *path, const char *last_id,
                            sse_event_fn event, void *arg, struct http_response *ret_response)
{
    struct http_response response = {0};
    struct sse sse;
    struct transfer t = {
        .client = c, .response = &response, .sse = &sse, .event = event, .arg = arg};
    bool ok = false;
    bool resume = last_id != NULL && last_id[0] != '\0';
    struct curl_slist *headers = make_headers(
        c, NULL, "text/event-stream, application/problem+json;q=0.5", resume ? last_id : NULL, &ok);
    char *url = join_url(c, path);
    enum err e = ok && url != NULL ? ERR_OK : ERR_RANGE;
    sse_init(&sse);
    buf_init(&response.body, HTTP_BODY_MAX);
    if (e == ERR_OK) {
        set_common(c, &t, url, headers);
        /* The server sends a comment every 15 s; a stream that says nothing for longer is dead. */
        (void)curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void)curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, (long)HTTP_SILENT_S);
        e = perform(c, &t);
    }
    curl_slist_free_all(headers);
    free(url);
    sse_fini(&sse);
    *ret_response = response;
    return e;
}
