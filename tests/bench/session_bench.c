/*
 * session_bench: what connections cost. The server is this process, the clients are a child of it,
 * so that memory and CPU time are the server's alone; both share the machine.
 *
 *     bench_session_bench idle|mtls|handshakes|resumed|publish [connections] [seconds] [deferred]
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../stress/session_server.h"
#include "base/counter.h"

enum { WINDOW = 10, PAYLOAD = 100 };

struct client {
    SSL *ssl;
    int fd;
    uint16_t next_id;
    int under_way;
    uint8_t cut[4]; /* the beginning of a PUBACK */
    size_t cut_len;
};

static int dial(int port)
{
    static unsigned turn;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % 8)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) == 0);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    return fd;
}

static SSL_CTX *client_context(struct server *s, bool with_certificate)
{
    char path[128];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx != NULL && SSL_CTX_load_verify_file(ctx, s->ca) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (with_certificate) {
        CHECK(SSL_CTX_use_certificate_file(ctx, certs_path(&s->certs, "d7", ".pem", path),
                                           SSL_FILETYPE_PEM) == 1);
        CHECK(SSL_CTX_use_PrivateKey_file(ctx, certs_path(&s->certs, "d7", ".key", path),
                                          SSL_FILETYPE_PEM) == 1);
    }
    return ctx;
}

static void client_open(struct client *c, SSL_CTX *ctx, int port, SSL_SESSION *session)
{
    c->fd = dial(port);
    c->ssl = SSL_new(ctx);
    c->next_id = 1;
    CHECK(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
    if (session != NULL) {
        CHECK(SSL_set_session(c->ssl, session) == 1);
    }
    CHECK(SSL_connect(c->ssl) == 1);
}

static void client_close(struct client *c)
{
    (void)SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    (void)close(c->fd);
}

static void client_connect(struct client *c, int number, bool with_certificate)
{
    uint8_t packet[128];
    char id[16];
    char token[32] = "";
    uint8_t answer[4];
    size_t n = 0;
    size_t len = 14;
    size_t id_len = (size_t)snprintf(id, sizeof(id), "c%d", number);
    size_t token_len = 0;
    memcpy(packet + 2, "\x00\x04MQTT\x04\x02\x04\xb0", 10);
    if (!with_certificate) {
        token_len = (size_t)snprintf(token, sizeof(token), "token-d%d", number + 1);
        packet[9] = 0x82;
    }
    packet[12] = 0;
    packet[13] = (uint8_t)id_len;
    memcpy(packet + len, id, id_len);
    len += id_len;
    if (!with_certificate) {
        packet[len] = 0;
        packet[len + 1] = (uint8_t)token_len;
        memcpy(packet + len + 2, token, token_len);
        len += 2 + token_len;
    }
    packet[0] = 0x10;
    packet[1] = (uint8_t)(len - 2);
    CHECK(SSL_write_ex(c->ssl, packet, len, &n) == 1);
    CHECK(SSL_read_ex(c->ssl, answer, sizeof(answer), &n) == 1 && n == 4 && answer[3] == 0);
}

static double seconds_since(int64_t start_us)
{
    return (double)(clock_mono_us() - start_us) / 1e6;
}

static void run_idle(struct server *s, int port, int connections, bool mtls, int tell)
{
    SSL_CTX *ctx = client_context(s, mtls);
    struct client *clients = calloc((size_t)connections, sizeof(*clients));
    CHECK(clients != NULL);
    for (int i = 0; i < connections; i++) {
        client_open(&clients[i], ctx, port, NULL);
        client_connect(&clients[i], i, mtls);
        if (i + 1 == connections / 5) {
            CHECK(write(tell, "b", 1) == 1); /* what is made once is made */
            (void)sleep(1);
        }
    }
    CHECK(write(tell, "k", 1) == 1);
    (void)pause();
}

static void run_handshakes(struct server *s, int port, int seconds, bool resumed)
{
    SSL_CTX *ctx = client_context(s, true);
    SSL_SESSION *session = NULL;
    int64_t start_us = clock_mono_us();
    long done = 0;
    while (seconds_since(start_us) < seconds) {
        struct client c = {0};
        client_open(&c, ctx, port, session);
        if (resumed && session == NULL) {
            client_connect(&c, 1, true); /* the ticket comes behind the handshake */
            session = SSL_get1_session(c.ssl);
        }
        client_close(&c);
        done++;
    }
    (void)printf("one client process: %.0f a second\n", (double)done / seconds_since(start_us));
}

static void client_publish(struct client *c)
{
    uint8_t packets[WINDOW * (PAYLOAD + 40)];
    size_t len = 0;
    size_t n = 0;
    static const char topic[] = "v1/devices/me/telemetry";
    while (c->under_way < WINDOW) {
        uint8_t *p = packets + len;
        p[0] = 0x32;
        p[1] = (uint8_t)(2 + sizeof(topic) - 1 + 2 + PAYLOAD - 1 - 0);
        size_t body = 2 + sizeof(topic) - 1 + 2 + PAYLOAD - 1;
        CHECK(body == 126 || body < 128);
        p[2] = 0;
        p[3] = sizeof(topic) - 1;
        memcpy(p + 4, topic, sizeof(topic) - 1);
        uint8_t *at = p + 4 + sizeof(topic) - 1;
        at[0] = (uint8_t)(c->next_id >> 8);
        at[1] = (uint8_t)c->next_id;
        memset(at + 2, '7', PAYLOAD - 1);
        c->next_id = c->next_id == UINT16_MAX ? 1 : (uint16_t)(c->next_id + 1);
        c->under_way++;
        len += 2 + body;
    }
    if (len > 0) {
        CHECK(SSL_write_ex(c->ssl, packets, len, &n) == 1 && n == len);
    }
}

/* How many were acknowledged. */
static int client_read(struct client *c)
{
    uint8_t bytes[4096];
    size_t n = 0;
    int acked = 0;
    memcpy(bytes, c->cut, c->cut_len);
    while (SSL_read_ex(c->ssl, bytes + c->cut_len, sizeof(bytes) - c->cut_len, &n) == 1) {
        size_t len = c->cut_len + n;
        size_t at = 0;
        for (; at + 4 <= len; at += 4) {
            CHECK(bytes[at] == 0x40 && bytes[at + 1] == 2);
            acked++;
        }
        c->cut_len = len - at;
        memmove(bytes, bytes + at, c->cut_len);
    }
    CHECK(SSL_get_error(c->ssl, 0) == SSL_ERROR_WANT_READ);
    memcpy(c->cut, bytes, c->cut_len);
    c->under_way -= acked;
    return acked;
}

static void run_publish(struct server *s, int port, int connections, int seconds, int tell)
{
    SSL_CTX *ctx = client_context(s, false);
    struct client *clients = calloc((size_t)connections, sizeof(*clients));
    struct epoll_event events[256];
    int set = epoll_create1(0);
    CHECK(clients != NULL && set >= 0);
    for (int i = 0; i < connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &clients[i]};
        client_open(&clients[i], ctx, port, NULL);
        client_connect(&clients[i], i, false);
        CHECK(fcntl(clients[i].fd, F_SETFL, O_NONBLOCK) == 0);
        CHECK(epoll_ctl(set, EPOLL_CTL_ADD, clients[i].fd, &e) == 0);
    }
    CHECK(write(tell, "k", 1) == 1);
    int64_t start_us = clock_mono_us();
    long acked = 0;
    for (int i = 0; i < connections; i++) {
        client_publish(&clients[i]);
    }
    while (seconds_since(start_us) < seconds) {
        int ready = epoll_wait(set, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            acked += client_read(c);
            client_publish(c);
        }
    }
    (void)printf("%.0f messages acknowledged a second, %d connections, %d under way each\n",
                 (double)acked / seconds_since(start_us), connections, WINDOW);
}

static long resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%*d %ld", &pages) == 1 && fclose(f) == 0);
    return pages * sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct rusage u;
    CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void child(struct server *s, const char *what, int port, int connections, int seconds,
                  int tell)
{
    if (strcmp(what, "idle") == 0 || strcmp(what, "mtls") == 0) {
        run_idle(s, port, connections, strcmp(what, "mtls") == 0, tell);
    } else if (strcmp(what, "publish") == 0) {
        run_publish(s, port, connections, seconds, tell);
    } else {
        CHECK(write(tell, "k", 1) == 1);
        run_handshakes(s, port, seconds, strcmp(what, "resumed") == 0);
    }
    (void)fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    static struct server s;
    const char *what = argc > 1 ? argv[1] : "publish";
    int connections = 1000;
    int seconds = 5;
    int tell[2];
    char told;
    int go[2];
    if (argc > 2) {
        CHECK(sscanf(argv[2], "%d", &connections) == 1);
    }
    if (argc > 3) {
        CHECK(sscanf(argv[3], "%d", &seconds) == 1);
    }
    s.deferred = false;
    log_setup(LOG_ERROR, LOG_FORMAT_LOGFMT);
    server_init(&s);
    s.deferred = argc > 4;
    atomic_store(&s.numbered, 1); /* the clients share one certificate */
    certs_client(&s.certs, "d7");
    CHECK(pipe(tell) == 0 && pipe(go) == 0);
    pid_t pid = fork(); /* before any thread */
    if (pid == 0) {
        int port = 0;
        CHECK(read(go[0], &port, sizeof(port)) == (ssize_t)sizeof(port));
        child(&s, what, port, connections, seconds, tell[1]);
    }
    server_start(&s);
    bool idle = strcmp(what, "idle") == 0 || strcmp(what, "mtls") == 0;
    int port = sessions_port(s.sessions);
    CHECK(write(go[1], &port, sizeof(port)) == (ssize_t)sizeof(port));
    long before = 0;
    if (idle) {
        CHECK(read(tell[0], &told, 1) == 1);
        (void)nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
        before = resident_bytes();
    }
    CHECK(read(tell[0], &told, 1) == 1);
    double cpu = cpu_seconds();
    int64_t start_us = clock_mono_us();
    if (idle) {
        (void)sleep(1);
        (void)printf("%d idle connections: %ld bytes resident each\n", connections,
                     (resident_bytes() - before) / (connections - connections / 5));
        CHECK(kill(pid, SIGKILL) == 0);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    cpu = cpu_seconds() - cpu;
    (void)printf("server: %.2f CPU seconds in %.2f s, %lld messages, %lld handshakes\n", cpu,
                 seconds_since(start_us), atomic_load(&s.published),
                 (long long)counter_get(COUNTER_HANDSHAKES));
    server_stop(&s);
    return 0;
}
