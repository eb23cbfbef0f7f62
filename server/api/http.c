/*
 * http: libmicrohttpd's callbacks.
 *
 * Happy path: the target arrives first (request_begin), then the head (request_check: everything
 * that can be refused without the database), then the body in pieces, then the handler runs, and
 * the answer is sent.
 *
 * What is refused early is still read to its end when the body is not too large, because closing a
 * socket with unread bytes resets the connection and the client would not see the answer.
 *
 * libmicrohttpd's own parsing of arguments, cookies and forms is not used: what it decodes is
 * thrown away, and query.c reads the target as it was sent.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "api/internal.h"
#include "api/sockets.h"
#include "api/stream.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"

enum {
    HTTP_POOL_BYTES = 256 * 1024, /* per connection, mapped and not touched until it is used */
    HTTP_BACKLOG = 1024,
    HTTP_TIMEOUT_S = 30,
    HTTP_BODIES_MAX = 16, /* in largest bodies: what all requests together may hold */
};

/* ---- checks that need no database ------------------------------------------------------------ */

struct header_count {
    const char *name;
    int count;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    (void)kind;
    (void)value;
    struct header_count *c = cls;
    c->count += strcasecmp(key, c->name) == 0;
    return MHD_YES;
}

/* A header that decides something must not come twice: two readers could choose differently. */
static bool headers_once(struct api_request *r)
{
    static const char *const names[] = {"Authorization", "Content-Type",    "Content-Length",
                                        "If-Match",      "Idempotency-Key", "Host"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct header_count c = {.name = names[i]};
        (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_header, &c);
        if (c.count > 1) {
            api_fail(r, PROBLEM_BAD_REQUEST, "the header %s is given twice", names[i]);
            return false;
        }
    }
    return true;
}

static void take_request_id(struct api_request *r)
{
    const char *given = api_request_header(r, "X-Request-Id");
    size_t len = given == NULL ? 0 : strlen(given);
    if (len == 0 || len >= sizeof(r->id)) {
        return;
    }
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:";
    if (strspn(given, allowed) == len) {
        memcpy(r->id, given, len + 1);
    }
}

static bool check_target(struct api_request *r)
{
    enum err e = api_query_parse(r->target, &r->arena, &r->query);
    if (e == ERR_LIMIT) {
        api_fail(r, PROBLEM_URI_TOO_LONG,
                 "path and query may have 16 KiB, 12 segments and 64 "
                 "parameters");
        return false;
    }
    if (e != ERR_OK) {
        api_fail(r, e == ERR_NOMEM ? PROBLEM_UNAVAILABLE : PROBLEM_BAD_REQUEST,
                 "the path or the query is malformed");
        return false;
    }
    return true;
}

static bool check_route(struct api_request *r, const char *method)
{
    char allow[80];
    r->head_only = strcmp(method, "HEAD") == 0;
    r->route = api_route_find(&r->query, r->head_only ? "GET" : method, r->names, allow);
    if (r->route != NULL) {
        return true;
    }
    if (allow[0] == '\0') {
        api_fail(r, PROBLEM_NOT_FOUND, "there is nothing at this path; see /docs");
        return false;
    }
    api_header(r, "Allow", "%s", allow);
    api_fail(r, PROBLEM_METHOD_NOT_ALLOWED, "this path takes %s", allow);
    return false;
}

static bool check_params(struct api_request *r)
{
    for (uint32_t i = 0; i < r->query.param_count; i++) {
        if (!api_route_takes_param(r->route, r->query.params[i].name)) {
            api_fail(r, PROBLEM_BAD_REQUEST, "there is no parameter %.*s here; known are: %s",
                     VIEW_ARG(r->query.params[i].name),
                     r->route->params[0] == '\0' ? "none" : r->route->params);
            return false;
        }
    }
    return true;
}

/* The bearer token, from the header or, for EventSource, from the query; .data == NULL: none. */
static struct view find_token(struct api_request *r)
{
    const char *header = api_request_header(r, "Authorization");
    if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0) {
        const char *token = header + 7;
        token += strspn(token, " ");
        return view_of(token, strcspn(token, " "));
    }
    bool query_token = (r->route->flags & API_ROUTE_QUERY_TOKEN) != 0;
    return query_token ? api_query_get(&r->query, "access_token") : view_of(NULL, 0);
}

static void token_wrong(struct api_request *r)
{
    bool first = false;
    lock_take(&r->api->guard_lock);
    int wait_s = api_guard_wrong(&r->api->guard, r->source, clock_mono_us(), &first);
    lock_give(&r->api->guard_lock);
    if (wait_s == 0) {
        api_header(r, "WWW-Authenticate", "Bearer realm=\"signalbox\", error=\"invalid_token\"");
        api_fail(r, PROBLEM_UNAUTHORIZED, "the token is unknown, expired or revoked");
        return;
    }
    if (first) {
        LOG(LOG_WARN, "api_tokens_refused", LOG_S("request_id", r->id),
            LOG_S("why", "more than 10 wrong tokens in a minute from one address"));
    }
    api_header(r, "Retry-After", "%d", wait_s);
    api_fail(r, PROBLEM_TOO_MANY, "too many wrong tokens from this address");
}

static bool check_scope(struct api_request *r);

static bool device_token_good(struct api_request *r, struct view token)
{
    struct auth_identity who;
    if ((r->route->flags & API_ROUTE_DEVICE) == 0 ||
        auth_token(r->api->auth, token, &who) != ERR_OK) {
        return false;
    }
    r->self = who.device;
    device_hold(r->self);
    (void)view_copy(view_str(r->self->name), r->bearer.name, sizeof(r->bearer.name));
    auth_identity_fini(&who);
    return true;
}

/* `signalbox token create` writes to the database behind our back: an unknown token is looked up
 * there, at most ten times a second for all requests together. */
static bool may_be_fresh(struct api_request *r)
{
    int64_t now_us = clock_mono_us();
    long long last_us = atomic_load(&r->api->tokens_read_us);
    return now_us - last_us >= CLOCK_SECOND_US / 10 &&
           atomic_compare_exchange_strong(&r->api->tokens_read_us, &last_us, now_us);
}

/* On a store thread. */
static void look_token_up(struct api_request *r, struct db *db)
{
    r->token_unknown = false;
    if (auth_refresh_api_tokens(r->api->auth, db) != ERR_OK ||
        auth_bearer(r->api->auth, view_str(r->token), &r->bearer) != ERR_OK) {
        token_wrong(r);
        return;
    }
    (void)check_scope(r);
}

static bool check_token(struct api_request *r)
{
    if ((r->route->flags & API_ROUTE_OPEN) != 0) {
        return true;
    }
    struct view token = find_token(r);
    if (token.len == 0) {
        api_header(r, "WWW-Authenticate", "Bearer realm=\"signalbox\"");
        api_fail(r, PROBLEM_UNAUTHORIZED, "send an API token as Authorization: Bearer TOKEN");
        return false;
    }
    bool fits = view_copy(token, r->token, sizeof(r->token));
    if (!fits || auth_bearer(r->api->auth, token, &r->bearer) != ERR_OK) {
        if (fits && device_token_good(r, token)) {
            return true;
        }
        if (fits && may_be_fresh(r)) {
            r->token_unknown = true;
            return true;
        }
        token_wrong(r);
        return false;
    }
    return check_scope(r);
}

static bool check_scope(struct api_request *r)
{
    if ((r->bearer.scopes & (r->route->scopes | AUTH_ADMIN)) == 0) {
        api_fail(r, PROBLEM_FORBIDDEN, "this needs a token with the scope %s",
                 api_scope_words(r->route->scopes));
        return false;
    }
    return true;
}

static bool check_media(struct api_request *r)
{
    const char *format = api_param_text(r, "format");
    if (format != NULL) {
        r->media = strcmp(format, "csv") == 0      ? API_MEDIA_CSV
                   : strcmp(format, "ndjson") == 0 ? API_MEDIA_NDJSON
                   : strcmp(format, "json") == 0   ? API_MEDIA_JSON
                                                   : 0;
        if ((r->media & r->route->media) == 0) {
            api_fail(r, PROBLEM_BAD_REQUEST, "format must be json, csv or ndjson");
            return false;
        }
    } else {
        r->media = api_accept(api_request_header(r, "Accept"), r->route->media);
        if (r->media == 0) {
            api_fail(r, PROBLEM_NOT_ACCEPTABLE, "none of the types in Accept is offered here");
            return false;
        }
    }
    if ((r->route->flags & API_ROUTE_BODY) == 0) {
        return true;
    }
    const char *length = api_request_header(r, "Content-Length");
    if ((length == NULL || strcmp(length, "0") == 0) &&
        api_request_header(r, "Transfer-Encoding") == NULL) {
        return true; /* nothing to judge; what an empty body means is for the handler */
    }
    const char *type = api_request_header(r, "Content-Type");
    r->body_media = type == NULL ? API_MEDIA_JSON : api_content_type(type);
    if ((r->body_media & r->route->takes) == 0) {
        api_fail(r, PROBLEM_MEDIA_TYPE, "the Content-Type must be %s",
                 (r->route->takes & API_MEDIA_CSV) != 0 ? "text/csv or application/x-ndjson"
                                                        : "application/json");
        return false;
    }
    return true;
}

static bool too_long(const struct api_request *r)
{
    const char *header = api_request_header(r, "Content-Length");
    int64_t length = 0;
    if (header == NULL) {
        return false;
    }
    return api_int_parse(view_str(header), &length) != ERR_OK || length < 0 ||
           length > r->api->conf->http_body_max_bytes;
}

static void fail_too_large(struct api_request *r)
{
    api_fail(r, PROBLEM_TOO_LARGE, "the body may have %lld bytes",
             (long long)r->api->conf->http_body_max_bytes);
}

static void request_check(struct api_request *r, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    r->source = api_guard_source(info == NULL ? NULL : info->client_addr);
    take_request_id(r);
    bool good = check_target(r) && headers_once(r) && check_route(r, method) && check_token(r) &&
                check_params(r) && check_media(r);
    if (good && atomic_load(&r->api->stopping)) {
        api_fail(r, PROBLEM_UNAVAILABLE, "the server is stopping");
    }
}

/* ---- answer -----------------------------------------------------------------------------------
 */

static enum MHD_Result send_answer(struct api_request *r)
{
    if (r->status == 0) {
        api_fail_err(r, ERR_NOMEM, "");
    }
    struct MHD_Response *response = NULL;
    if (r->stream != NULL && !r->failed) {
        response = api_stream_response(r->stream);
        r->stream = NULL;
    } else {
        size_t len = r->out.len;
        void *data = r->out.data;
        r->out.data = NULL;
        r->out.len = r->out.cap = 0;
        response = MHD_create_response_from_buffer(
            len, data, data == NULL ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
        if (response == NULL) {
            free(data);
        }
    }
    if (response == NULL) {
        return MHD_NO;
    }
    bool streams = r->out_type != NULL && strcmp(r->out_type, "text/event-stream") == 0;
    if (r->status != MHD_HTTP_NO_CONTENT) {
        (void)MHD_add_response_header(response, "Content-Type",
                                      r->out_type == NULL ? "application/json" : r->out_type);
    }
    (void)MHD_add_response_header(response, "X-Request-Id", r->id);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (uint32_t i = 0; i < r->header_count; i++) {
        (void)MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    }
    counter_add(COUNTER_HTTP_REQUESTS, 1);
    counter_add(COUNTER_HTTP_ERRORS, r->status >= 500);
    api_socket_step(r->api->sockets, r->socket, streams ? API_STEP_STREAM : API_STEP_SEND);
    r->phase = API_PHASE_SENT;
    enum MHD_Result queued = MHD_queue_response(r->connection, r->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* ---- work -------------------------------------------------------------------------------------
 */

static void request_work(struct store_job *job, struct db *db)
{
    struct api_request *r = CONTAINER_OF(job, struct api_request, job);
    /* A handler that waits gives the request away; it may be over before the handler returns. */
    api_request_hold(r);
    if (db == NULL) {
        api_fail_err(r, ERR_DB_DOWN, "");
    } else {
        if (r->token_unknown) {
            look_token_up(r, db);
        }
        if (!r->failed) {
            r->route->handler(r, db);
        }
    }
    if (!r->waiting) {
        api_request_finish(r);
    }
    api_request_drop(r);
}

static enum MHD_Result request_run(struct api_request *r)
{
    if (r->failed) {
        return send_answer(r);
    }
    buf_put_u8(&r->body, 0); /* parsers and the database want an end */
    if (buf_err(&r->body) != ERR_OK) {
        api_fail_err(r, ERR_NOMEM, "");
        return send_answer(r);
    }
    r->body.len--;
    if ((r->route->flags & API_ROUTE_INLINE) != 0 && !r->token_unknown) {
        /* Given away as above; a request that waits is finished by somebody else. */
        api_request_hold(r);
        r->route->handler(r, NULL);
        bool waiting = r->waiting;
        api_request_drop(r);
        return waiting ? MHD_YES : send_answer(r);
    }
    if (!api_request_suspend(r)) {
        return send_answer(r);
    }
    store_run(r->api->store, &r->job, request_work);
    return MHD_YES;
}

/* ---- body -------------------------------------------------------------------------------------
 */

static void take_body(struct api_request *r, const char *data, size_t len)
{
    if (r->failed) {
        return;
    }
    struct api *a = r->api;
    if ((int64_t)(r->body.len + len) > a->conf->http_body_max_bytes) {
        fail_too_large(r);
        return;
    }
    long long total = atomic_fetch_add(&a->body_bytes, (long long)len) + (long long)len;
    r->counted = true;
    if (total > (long long)a->conf->http_body_max_bytes * HTTP_BODIES_MAX) {
        atomic_fetch_sub(&a->body_bytes, (long long)len);
        api_fail(r, PROBLEM_UNAVAILABLE, "too many large requests are under way");
        return;
    }
    buf_put(&r->body, data, len);
    if (buf_err(&r->body) != ERR_OK) {
        atomic_fetch_sub(&a->body_bytes, (long long)len);
        api_fail_err(r, ERR_NOMEM, "");
    }
}

static enum MHD_Result request_step(void *cls, struct MHD_Connection *c, const char *url,
                                    const char *method, const char *version, const char *data,
                                    size_t *data_len, void **con_cls)
{
    (void)cls;
    (void)c;
    (void)url;
    (void)version;
    struct api_request *r = *con_cls;
    if (r == NULL) {
        return MHD_NO; /* out of memory when it began */
    }
    switch (r->phase) {
    case API_PHASE_NEW:
        api_socket_step(r->api->sockets, r->socket, API_STEP_BODY);
        request_check(r, method);
        r->phase = API_PHASE_BODY;
        if (too_long(r)) {
            if (!r->failed) {
                fail_too_large(r);
            }
            return send_answer(r);
        }
        return MHD_YES;
    case API_PHASE_BODY:
        if (*data_len > 0) {
            take_body(r, data, *data_len);
            *data_len = 0;
            return MHD_YES;
        }
        return request_run(r);
    case API_PHASE_DONE:
        return send_answer(r);
    case API_PHASE_WORK:
    case API_PHASE_SENT:
        return MHD_YES;
    }
    return MHD_NO;
}

static void *request_begin(void *cls, const char *uri, struct MHD_Connection *c)
{
    struct api *a = cls;
    return api_request_new(a, c, uri);
}

static void request_end(void *cls, struct MHD_Connection *c, void **con_cls,
                        enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)c;
    (void)code;
    struct api_request *r = *con_cls;
    *con_cls = NULL;
    if (r == NULL) {
        return;
    }
    if (r->stream != NULL) {
        api_stream_free(r->stream); /* the client left before the answer could start */
        r->stream = NULL;
    }
    api_socket_step(r->api->sockets, r->socket, API_STEP_HEAD);
    api_request_drop(r);
}

/* ---- start and stop ---------------------------------------------------------------------------
 */

__attribute__((format(printf, 2, 0))) static void http_log(void *cls, const char *format,
                                                           va_list args)
{
    (void)cls;
    char text[300];
    (void)vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\r\n")] = '\0';
    LOG(LOG_DEBUG, "http_library", LOG_S("text", text));
}

static size_t keep_escaped(void *cls, struct MHD_Connection *c, char *text)
{
    (void)cls;
    (void)c;
    return strlen(text);
}

static enum err resolve(const struct api *a, struct addrinfo **ret_list)
{
    char host[256];
    int port = 0;
    enum err e = conf_split_address(a->conf->http_listen, host, sizeof(host), &port);
    if (e != ERR_OK) {
        return e;
    }
    char service[16];
    (void)snprintf(service, sizeof(service), "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int failed = getaddrinfo(host[0] == '\0' ? NULL : host, service, &hints, ret_list);
    if (failed != 0) {
        LOG(LOG_ERROR, "http_listen_failed", LOG_S("address", a->conf->http_listen),
            LOG_S("error", gai_strerror(failed)));
        return ERR_IO;
    }
    return ERR_OK;
}

enum err api_http_start(struct api *a)
{
    struct addrinfo *list = NULL;
    enum err e = resolve(a, &list);
    if (e != ERR_OK) {
        return e;
    }
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    flags |= list->ai_family == AF_INET6 ? MHD_USE_DUAL_STACK : 0;
    flags |= a->tls_cert == NULL ? 0 : MHD_USE_TLS;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, a->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, a->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:"
                             "+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE"},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    a->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_step, a, MHD_OPTION_EXTERNAL_LOGGER, http_log, a,
        MHD_OPTION_SOCK_ADDR, list->ai_addr, MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)HTTP_BACKLOG,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)a->conf->http_connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_POOL_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        request_begin, a, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, a,
        MHD_OPTION_NOTIFY_COMPLETED, request_end, a, MHD_OPTION_NOTIFY_CONNECTION,
        api_sockets_notify, a->sockets, MHD_OPTION_ARRAY, a->tls_cert == NULL ? plain : tls,
        MHD_OPTION_END);
    freeaddrinfo(list);
    if (a->daemon == NULL) {
        LOG(LOG_ERROR, "http_listen_failed", LOG_S("address", a->conf->http_listen),
            LOG_S("next", "is the port free, and do certificate and key fit together"));
        return ERR_IO;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT);
    a->port = info == NULL ? 0 : info->port;
    return ERR_OK;
}

void api_http_stop(struct api *a)
{
    if (a->daemon != NULL) {
        MHD_stop_daemon(a->daemon);
        a->daemon = NULL;
    }
}
