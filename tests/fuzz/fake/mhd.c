#include "fake/mhd.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <strings.h>

/* What MHD_start_daemon() was given. */
static struct {
    MHD_AccessHandlerCallback step;
    void *step_arg;
    void *(*begin)(void *arg, const char *target, struct MHD_Connection *c);
    void *begin_arg;
    MHD_RequestCompletedCallback end;
    void *end_arg;
    MHD_NotifyConnectionCallback notify;
    void *notify_arg;
    bool running;
} daemon_;

struct MHD_Daemon {
    int unused;
};

struct MHD_Response {
    void *bytes;
    size_t len;
    MHD_ContentReaderCallback read;
    MHD_ContentReaderFreeCallback gone;
    void *arg;
    int holds;
    struct mhd_answer *heads;
};

struct MHD_Connection {
    const struct mhd_request *request;
    struct MHD_Response *response;
    unsigned status;
    bool suspended;
    void *context;
    struct sockaddr_in address;
};

static struct MHD_Daemon the_daemon;
static struct MHD_Connection *the_connection; /* the one that lives now */

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback policy,
                                    void *policy_arg, MHD_AccessHandlerCallback step,
                                    void *step_arg, ...)
{
    (void)flags;
    (void)port;
    (void)policy;
    (void)policy_arg;
    daemon_.step = step;
    daemon_.step_arg = step_arg;
    va_list args;
    va_start(args, step_arg);
    for (int option = va_arg(args, int); option != MHD_OPTION_END; option = va_arg(args, int)) {
        switch (option) {
        case MHD_OPTION_URI_LOG_CALLBACK:
            daemon_.begin = va_arg(args, void *(*)(void *, const char *, struct MHD_Connection *));
            daemon_.begin_arg = va_arg(args, void *);
            break;
        case MHD_OPTION_NOTIFY_COMPLETED:
            daemon_.end = va_arg(args, MHD_RequestCompletedCallback);
            daemon_.end_arg = va_arg(args, void *);
            break;
        case MHD_OPTION_NOTIFY_CONNECTION:
            daemon_.notify = va_arg(args, MHD_NotifyConnectionCallback);
            daemon_.notify_arg = va_arg(args, void *);
            break;
        case MHD_OPTION_EXTERNAL_LOGGER:
        case MHD_OPTION_UNESCAPE_CALLBACK:
            (void)va_arg(args, void *);
            (void)va_arg(args, void *);
            break;
        case MHD_OPTION_SOCK_ADDR:
        case MHD_OPTION_ARRAY:
            (void)va_arg(args, void *);
            break;
        case MHD_OPTION_CONNECTION_MEMORY_LIMIT:
            (void)va_arg(args, size_t);
            break;
        case MHD_OPTION_LISTEN_BACKLOG_SIZE:
        case MHD_OPTION_CONNECTION_LIMIT:
        case MHD_OPTION_CONNECTION_TIMEOUT:
        case MHD_OPTION_STRICT_FOR_CLIENT:
            (void)va_arg(args, unsigned);
            break;
        default:
            CHECK(false); /* an option that is not known here */
        }
    }
    va_end(args);
    CHECK(daemon_.begin != NULL && daemon_.end != NULL && daemon_.notify != NULL);
    daemon_.running = true;
    return &the_daemon;
}

const union MHD_DaemonInfo *MHD_get_daemon_info(struct MHD_Daemon *d, enum MHD_DaemonInfoType type,
                                                ...)
{
    (void)d;
    (void)type;
    return NULL;
}

MHD_socket MHD_quiesce_daemon(struct MHD_Daemon *d)
{
    (void)d;
    return MHD_INVALID_SOCKET;
}

void MHD_stop_daemon(struct MHD_Daemon *d)
{
    CHECK(d == &the_daemon && daemon_.running && the_connection == NULL);
    daemon_.running = false;
}

/* ---- what handlers ask ---- */

const char *MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind,
                                        const char *key)
{
    CHECK(c == the_connection && kind == MHD_HEADER_KIND);
    for (int i = 0; i < c->request->header_count; i++) {
        if (strcasecmp(c->request->headers[i].name, key) == 0) {
            return c->request->headers[i].value;
        }
    }
    return NULL;
}

int MHD_get_connection_values(struct MHD_Connection *c, enum MHD_ValueKind kind,
                              MHD_KeyValueIterator take, void *arg)
{
    CHECK(c == the_connection);
    for (int i = 0; i < c->request->header_count; i++) {
        (void)take(arg, kind, c->request->headers[i].name, c->request->headers[i].value);
    }
    return c->request->header_count;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *c,
                                                        enum MHD_ConnectionInfoType type, ...)
{
    static union MHD_ConnectionInfo info;
    CHECK(c == the_connection);
    switch ((int)type) {
    case MHD_CONNECTION_INFO_CONNECTION_FD:
        info.connect_fd = -1;
        return &info;
    case MHD_CONNECTION_INFO_SOCKET_CONTEXT:
        info.socket_context = c->context;
        return &info;
    case MHD_CONNECTION_INFO_CLIENT_ADDRESS:
        info.client_addr = (struct sockaddr *)&c->address;
        return &info;
    default:
        return NULL;
    }
}

void MHD_suspend_connection(struct MHD_Connection *c)
{
    CHECK(c == the_connection && !c->suspended);
    c->suspended = true;
}

void MHD_resume_connection(struct MHD_Connection *c)
{
    CHECK(c == the_connection && c->suspended);
    c->suspended = false;
}

/* ---- answers ---- */

static struct MHD_Response *response_new(void)
{
    struct MHD_Response *r = calloc(1, sizeof(*r));
    CHECK(r != NULL);
    r->holds = 1;
    r->heads = calloc(1, sizeof(*r->heads));
    CHECK(r->heads != NULL);
    return r;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t len, void *bytes,
                                                     enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = response_new();
    CHECK(mode == MHD_RESPMEM_MUST_FREE || len == 0);
    r->bytes = bytes;
    r->len = len;
    return r;
}

struct MHD_Response *MHD_create_response_from_callback(uint64_t size, size_t block,
                                                       MHD_ContentReaderCallback read, void *arg,
                                                       MHD_ContentReaderFreeCallback gone)
{
    (void)size;
    (void)block;
    struct MHD_Response *r = response_new();
    r->read = read;
    r->gone = gone;
    r->arg = arg;
    return r;
}

/* RFC 9110 section 5.5: what may stand in a field's value. libmicrohttpd refuses line ends and
 * tabs. */
enum MHD_Result MHD_add_response_header(struct MHD_Response *r, const char *name, const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
    }
    r->heads->retry_after += strcmp(name, "Retry-After") == 0;
    r->heads->allow += strcmp(name, "Allow") == 0;
    r->heads->etag += strcmp(name, "ETag") == 0;
    if (strcmp(name, "Content-Type") == 0) {
        CHECK(r->heads->type[0] == '\0');
        (void)snprintf(r->heads->type, sizeof(r->heads->type), "%s", value);
    }
    if (strcmp(name, "Location") == 0) {
        (void)snprintf(r->heads->location, sizeof(r->heads->location), "%s", value);
    }
    return MHD_YES;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned status,
                                   struct MHD_Response *r)
{
    CHECK(c == the_connection && c->response == NULL && !c->suspended); /* one answer */
    c->response = r;
    c->status = status;
    r->holds++;
    return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *r)
{
    if (--r->holds > 0) {
        return;
    }
    if (r->gone != NULL) {
        r->gone(r->arg);
    }
    free(r->bytes);
    free(r->heads);
    free(r);
}

/* ---- a request ---- */

/* False: the client has no patience any more. */
static bool wait_here(struct MHD_Connection *c, mhd_work_fn work, int *patience)
{
    while (c->suspended) {
        if (!work() && --*patience < 0) {
            return false;
        }
    }
    return true;
}

static bool give_body(struct MHD_Connection *c, void **context)
{
    struct view left = c->request->body;
    while (left.len > 0) {
        size_t n =
            c->request->piece == 0 || c->request->piece > left.len ? left.len : c->request->piece;
        uint8_t *exact = fuzz_copy(view_of(left.data, n));
        size_t unread = n;
        enum MHD_Result more = daemon_.step(daemon_.step_arg, c, "", c->request->method, "HTTP/1.1",
                                            (const char *)exact, &unread, context);
        free(exact);
        CHECK(unread == 0);
        left = view_skip(left, n);
        if (more != MHD_YES) {
            return false;
        }
    }
    return true;
}

static void read_stream(struct MHD_Connection *c, mhd_work_fn work, int *patience,
                        struct mhd_answer *a)
{
    struct MHD_Response *r = c->response;
    char bytes[1000];
    a->streamed = true;
    while (wait_here(c, work, patience)) {
        ssize_t n = r->read(r->arg, a->body.len, bytes, sizeof(bytes));
        if (n < 0) {
            a->cut = n == MHD_CONTENT_READER_END_WITH_ERROR;
            return;
        }
        CHECK(n > 0 || c->suspended);
        buf_put(&a->body, bytes, (size_t)n);
    }
}

static void take_answer(struct MHD_Connection *c, mhd_work_fn work, int *patience,
                        struct mhd_answer *a)
{
    struct MHD_Response *r = c->response;
    if (r == NULL) {
        return;
    }
    *a = *r->heads;
    a->status = c->status;
    buf_init(&a->body, 128 << 20);
    if (r->read != NULL) {
        read_stream(c, work, patience, a);
    } else {
        buf_put(&a->body, r->bytes, r->len);
    }
}

void mhd_ask(const struct mhd_request *request, mhd_work_fn work, int patience,
             struct mhd_answer *ret_answer)
{
    struct MHD_Connection *c = calloc(1, sizeof(*c));
    CHECK(c != NULL && the_connection == NULL && daemon_.running);
    *c = (struct MHD_Connection){.request = request, .address.sin_family = AF_INET};
    *ret_answer = (struct mhd_answer){0};
    buf_init(&ret_answer->body, 0);
    the_connection = c;
    daemon_.notify(daemon_.notify_arg, c, &c->context, MHD_CONNECTION_NOTIFY_STARTED);
    void *context = daemon_.begin(daemon_.begin_arg, request->target, c);
    size_t none = 0;
    enum MHD_Result more =
        daemon_.step(daemon_.step_arg, c, "", request->method, "HTTP/1.1", NULL, &none, &context);
    if (more == MHD_YES && c->response == NULL && give_body(c, &context)) {
        /* Twice: to begin the work, and to fetch what came of it. */
        for (int i = 0; i < 2 && more == MHD_YES && c->response == NULL; i++) {
            none = 0;
            more = daemon_.step(daemon_.step_arg, c, "", request->method, "HTTP/1.1", NULL, &none,
                                &context);
            int forever = 1000;
            CHECK(wait_here(c, work, &forever)); /* whoever suspends also resumes */
        }
    }
    take_answer(c, work, &patience, ret_answer);
    daemon_.end(daemon_.end_arg, c, &context, MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (c->response != NULL) {
        MHD_destroy_response(c->response);
    }
    daemon_.notify(daemon_.notify_arg, c, &c->context, MHD_CONNECTION_NOTIFY_CLOSED);
    CHECK(context == NULL && c->context == NULL);
    /* Work that goes on for a client that has left must not touch its connection. */
    the_connection = NULL;
    free(c);
    while (work()) {
    }
}
