/*
 * session_routing: sessions on three loops, a router on the first, and a thread that commits. Every
 * message goes to every session, half of them with QoS 2; clients lose their connections all the
 * time and come back on another loop. For ThreadSanitizer and AddressSanitizer.
 *
 * The promise: each session gets each message after it was opened, in order; once with QoS 2, and
 * with QoS 1 a second time only with DUP.
 */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "loop/loop.h"
#include "session/target.h"
#include "session_server.h"

enum { CLIENTS = 9, MESSAGES = 250, IN_FLIGHT = 4, COMMITS_MAX = 65536, DEADLINE_S = 120 };

/* What waits for a commit: a message of the router's, or only a ticket. */
struct commit {
    struct mail mail;
    struct message *message;
    struct ticket *ticket;
};

static struct server server;
static int64_t numbers[CLIENTS + 1]; /* of the home loop, as all up to `commits` */
static int64_t seqs[CLIENTS + 1];
static int number_count;
static int64_t order;

static pthread_mutex_t commits_lock = PTHREAD_MUTEX_INITIALIZER;
static struct commit *commits[COMMITS_MAX];
static int commit_count;
static atomic_bool committer_over;
static atomic_llong done_ok, done_else, routed;

/* ---- the router ---- */

static void committed(struct mail *mail)
{
    struct commit *c = CONTAINER_OF(mail, struct commit, mail);
    if (c->message != NULL) {
        atomic_store(&c->message->stored, true);
        for (int i = 0; i < number_count; i++) {
            session_stored_now(server.sessions, numbers[i]);
        }
        message_drop(c->message);
    }
    ticket_drop(c->ticket, ERR_OK);
    free(c);
}

static void commit_later(struct message *m, struct ticket *t)
{
    struct commit *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    c->message = m;
    c->ticket = t;
    c->mail.run = committed;
    CHECK(pthread_mutex_lock(&commits_lock) == 0);
    CHECK(commit_count < COMMITS_MAX);
    commits[commit_count++] = c;
    CHECK(pthread_mutex_unlock(&commits_lock) == 0);
}

static void *committer(void *arg)
{
    static struct commit *taken[COMMITS_MAX];
    (void)arg;
    for (bool over = false; !over;) {
        over = atomic_load(&committer_over);
        CHECK(pthread_mutex_lock(&commits_lock) == 0);
        int count = commit_count;
        memcpy(taken, commits, (size_t)count * sizeof(taken[0]));
        commit_count = 0;
        CHECK(pthread_mutex_unlock(&commits_lock) == 0);
        for (int i = 0; i < count; i++) {
            loop_post(sessions_loop(server.sessions, 0), &taken[i]->mail);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    return NULL;
}

struct routed {
    struct mail mail;
    struct ticket *ticket;
    size_t len;
    char payload[64];
};

static void route_at_home(struct mail *mail)
{
    struct routed *p = CONTAINER_OF(mail, struct routed, mail);
    char payload[96];
    int len = snprintf(payload, sizeof(payload), "%lld %.*s", (long long)++order, (int)p->len,
                       p->payload);
    struct message *m = message_of(VIEW("t"), VIEW(""), view_of(payload, (size_t)len));
    CHECK(m != NULL);
    for (int i = 0; i < number_count; i++) {
        const struct session_target t = {
            .message = m, .qos = (uint8_t)(1 + numbers[i] % 2), .seq = ++seqs[i]};
        (void)!session_send(server.sessions, numbers[i], &t);
    }
    commit_later(m, p->ticket);
    free(p);
}

static enum err on_route(void *arg, struct session *s, const struct session_publish *publish,
                         struct ticket *t)
{
    struct routed *p = calloc(1, sizeof(*p));
    (void)arg;
    (void)s;
    CHECK(p != NULL && t != NULL && publish->payload.len <= sizeof(p->payload));
    ticket_hold(t);
    p->ticket = t;
    p->len = publish->payload.len;
    memcpy(p->payload, publish->payload.data, p->len);
    p->mail.run = route_at_home;
    atomic_fetch_add(&routed, 1);
    loop_post(sessions_loop(server.sessions, 0), &p->mail);
    return ERR_OK;
}

static enum err on_received(void *arg, struct session *s, int64_t seq, struct ticket *t)
{
    (void)arg;
    (void)s;
    CHECK(seq > 0);
    ticket_hold(t);
    commit_later(NULL, t);
    return ERR_OK;
}

static void on_target_done(void *arg, int64_t number, int64_t seq, struct message *m,
                           enum err status)
{
    (void)arg;
    CHECK(number > 0 && seq > 0 && m != NULL);
    atomic_fetch_add(status == ERR_OK ? &done_ok : &done_else, 1);
}

static void on_opened(void *arg, const struct session_opened *o)
{
    (void)arg;
    if (!o->resumed) {
        CHECK(number_count < CLIENTS);
        numbers[number_count++] = o->number;
    }
}

static void on_attach(void *arg, const struct session_attach *a)
{
    (void)arg;
    session_attach_done(server.sessions, a->ref, ERR_OK);
}

static enum err on_publish(void *arg, struct session *s, const struct session_publish *p,
                           struct ticket *t)
{
    (void)arg;
    (void)s;
    (void)p;
    (void)t;
    CHECK(false); /* the open listener has no device API */
    return ERR_STATE;
}

/* ---- the clients: MQTT 3.1.1 by hand ---- */

struct client {
    int index, fd;
    uint32_t random;
    uint8_t in[65536];
    size_t in_len;
    int published, acknowledged; /* packet ids are their numbers */
    int64_t last;                /* of the router's order */
    bool again;                  /* since the last connect */
    bool unreleased[65536];
};

static uint32_t client_random(struct client *c)
{
    c->random = c->random * 1664525u + 1013904223u;
    return c->random >> 8;
}

static bool client_write(struct client *c, const void *bytes, size_t len)
{
    return send(c->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void client_dial(struct client *c)
{
    const uint8_t connect_packet[] = {0x10, 14, 0, 4,  'M', 'Q', 'T', 'T',
                                      4,    0,  0, 60, 0,   2,   'c', (uint8_t)('a' + c->index)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)sessions_open_port(server.sessions)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->in_len = 0;
    c->again = true;
    c->published = c->acknowledged;
    CHECK(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    CHECK(client_write(c, connect_packet, sizeof(connect_packet)));
}

static void client_publish(struct client *c)
{
    uint8_t packet[64] = {0x32, 0, 0, 1, 't'};
    int n = ++c->published;
    packet[5] = (uint8_t)(n >> 8);
    packet[6] = (uint8_t)n;
    int len = snprintf((char *)packet + 7, sizeof(packet) - 7, "%c %d", 'a' + c->index, n);
    packet[1] = (uint8_t)(5 + len);
    (void)!client_write(c, packet, 7 + (size_t)len);
}

static void client_message(struct client *c, uint8_t head, const uint8_t *body, size_t len)
{
    int qos = head >> 1 & 3;
    uint16_t id = (uint16_t)(body[3] << 8 | body[4]);
    const uint8_t answer[] = {qos == 1 ? 0x40 : 0x50, 2, body[3], body[4]};
    char text[96];
    long long place = 0;
    CHECK((qos == 1 || qos == 2) && view_copy(view_of(body + 5, len - 5), text, sizeof(text)));
    CHECK(sscanf(text, "%lld", &place) == 1);
    if (qos == 2 && c->unreleased[id]) {
        CHECK((head & 8) != 0 && place <= c->last); /* the same message again */
    } else if (qos == 1 && place <= c->last) {
        CHECK((head & 8) != 0);
    } else {
        CHECK(c->last == 0 || place == c->last + 1); /* nothing lost, nothing overtaken */
        c->last = place;
    }
    c->unreleased[id] = qos == 2;
    (void)!client_write(c, answer, sizeof(answer));
}

static void client_packet(struct client *c, uint8_t head, const uint8_t *body, size_t len)
{
    uint16_t id = len < 2 ? 0 : (uint16_t)(body[0] << 8 | body[1]);
    if (head == 0x20) {
        CHECK(len == 2 && body[1] == 0);
    } else if (head == 0x40) {
        CHECK(id == c->acknowledged + 1); /* in order */
        c->acknowledged = id;
    } else if (head == 0x62) {
        const uint8_t pubcomp[] = {0x70, 2, body[0], body[1]};
        c->unreleased[id] = false;
        (void)!client_write(c, pubcomp, sizeof(pubcomp));
    } else {
        CHECK(head >> 4 == 3);
        client_message(c, head, body, len);
    }
}

static void client_read(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
    CHECK(n > 0); /* the server closes nobody here */
    c->in_len += (size_t)n;
    size_t at = 0;
    while (c->in_len - at >= 2 && c->in_len - at >= 2 + (size_t)c->in[at + 1]) {
        CHECK(c->in[at + 1] < 128);
        client_packet(c, c->in[at], c->in + at + 2, c->in[at + 1]);
        at += 2 + (size_t)c->in[at + 1];
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
}

static atomic_llong final_order; /* 0: publishers are at work */

static void *client_thread(void *arg)
{
    struct client *c = arg;
    int64_t until_us = clock_mono_us() + DEADLINE_S * SEC;
    client_dial(c);
    while (atomic_load(&final_order) == 0 || c->last < atomic_load(&final_order)) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        CHECK(clock_mono_us() < until_us);
        if (c->published < MESSAGES && c->published - c->acknowledged < IN_FLIGHT) {
            client_publish(c);
        }
        if (poll(&p, 1, 5) > 0) {
            client_read(c);
        }
        if (client_random(c) % 150 == 0 && atomic_load(&final_order) == 0) {
            (void)close(c->fd);
            client_dial(c);
        }
        if (c->acknowledged == MESSAGES) {
            c->acknowledged = MESSAGES + 1; /* counted once */
            atomic_fetch_add(&server.published, 1);
        }
    }
    (void)close(c->fd);
    return NULL;
}

/* The clients are done when each has all its publishes acknowledged: then the order is final. */
static void run(void)
{
    static struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].index = i;
        clients[i].random = (uint32_t)(i + 1) * 7919u;
        CHECK(pthread_create(&threads[i], NULL, client_thread, &clients[i]) == 0);
    }
    int64_t until_us = clock_mono_us() + DEADLINE_S * SEC;
    while (atomic_load(&server.published) < CLIENTS) {
        CHECK(clock_mono_us() < until_us);
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    atomic_store(&final_order, atomic_load(&routed)); /* one place in the order for each */
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

int main(void)
{
    const struct sessions_auth auth = {
        .arg = &server, .token = server_token, .certificate = server_certificate};
    const struct session_hooks hooks = {.arg = &server,
                                        .attach = on_attach,
                                        .publish = on_publish,
                                        .route = on_route,
                                        .received = on_received,
                                        .target_done = on_target_done,
                                        .opened = on_opened};
    pthread_t thread;
    log_setup(LOG_ERROR, LOG_FORMAT_LOGFMT);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    server_init(&server);
    server.conf.net_loops = 3;
    server.conf.session_queue_max = 100000;
    server.conf.session_queue_bytes = 1024 * MIB;
    (void)snprintf(server.open_listen, sizeof(server.open_listen), "127.0.0.1:0");
    server.conf.open_listener = server.open_listen;
    CHECK(sessions_new(&server.conf, &auth, &hooks, &server.sessions) == ERR_OK);
    CHECK(sessions_start(server.sessions) == ERR_OK);
    CHECK(pthread_create(&thread, NULL, committer, NULL) == 0);
    int64_t start_us = clock_mono_us();
    run();
    sessions_stop(server.sessions, 2 * SEC);
    atomic_store(&committer_over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    sessions_free(server.sessions);
    certs_fini(&server.certs);
    (void)printf("routing: ok, %lld messages, %lld ends, %.1f s\n", (long long)routed,
                 (long long)done_ok, (double)(clock_mono_us() - start_us) / 1e6);
    CHECK(done_else == 0);
    return 0;
}
