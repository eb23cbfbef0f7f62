/*
 * session_tls: the session module under real TLS with many connections and threads. For
 * ThreadSanitizer and AddressSanitizer; every promise is a CHECK.
 *
 *     ordered      200 connections, QoS 1 and 2, tickets finished in random order by another
 * thread: acknowledgements come in arrival order, while other threads kick, resume and deliver to
 * refs that may be stale takeover     threads that fight for the same sessions on two loops slow a
 * client that does not read is closed, and the others notice nothing timeout      no CONNECT in
 * time: closed oversized    a packet over the limit: closed before it has come stop         the
 * server stops under load
 */
#include <signal.h>

#include "session/private.h"
#include "session_client.h"

enum { CLIENT_THREADS = 4, CLIENTS_EACH = 50, ROUNDS = 6, BATCH = 12, KEYS = 8, FIGHTS = 60 };

static struct server server;
static SSL_CTX *context;
static atomic_bool jitter_over;

static void expect_ack(struct client *c, uint8_t head, uint16_t id)
{
    struct packet p;
    size_t used = 0;
    CHECK(client_packet(c, &p, &used));
    CHECK(p.head == head && p.len == 2);
    CHECK((unsigned)p.body[0] << 8 == (id & 0xff00u) && p.body[1] == (id & 0xffu));
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
}

/* A batch, then its acknowledgements in order; QoS 2 is released and completed. */
static void publish_round(struct client *c)
{
    uint8_t out[BATCH * 128];
    size_t len = 0;
    uint16_t first = c->next_id;
    for (int i = 0; i < BATCH; i++) {
        uint16_t id = c->next_id++;
        len += put_publish(out + len, "v1/devices/me/telemetry", 1 + id % 3 / 2, id, 60);
    }
    CHECK(client_write(c, out, len));
    for (uint16_t id = first; id < c->next_id; id++) {
        expect_ack(c, id % 3 / 2 == 1 ? 0x50 : 0x40, id);
    }
    for (uint16_t id = first; id < c->next_id; id++) {
        if (id % 3 / 2 == 1) {
            const uint8_t release[] = {0x62, 2, (uint8_t)(id >> 8), (uint8_t)id};
            CHECK(client_write(c, release, sizeof(release)));
            expect_ack(c, 0x70, id);
        }
    }
}

static void *ordered_clients(void *arg)
{
    int first = *(int *)arg;
    struct client *clients = calloc(CLIENTS_EACH, sizeof(*clients));
    CHECK(clients != NULL);
    for (int i = 0; i < CLIENTS_EACH; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "c%d", first + i);
        CHECK(client_open(&clients[i], context, sessions_port(server.sessions)));
        CHECK(client_connect(&clients[i], id, 1 + first + i, i % 2 == 0) == 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS_EACH; i++) {
            publish_round(&clients[i]);
        }
    }
    for (int i = 0; i < CLIENTS_EACH; i++) {
        CHECK(client_write(&clients[i], "\xe0\x00", 2));
        client_close(&clients[i]);
    }
    free(clients);
    return NULL;
}

/* Calls from outside, mostly about sessions that are not there. */
static void *jitter(void *arg)
{
    uint32_t random = 1;
    (void)arg;
    while (!atomic_load(&jitter_over)) {
        random = random * 1664525u + 1013904223u;
        const struct session_ref ref = {.loop = random >> 8 & 1u,
                                        .slot = random >> 9 & 255u,
                                        .generation = 1 + (random >> 20 & 3u)};
        struct session_delivery *d =
            session_delivery_new(VIEW("v1/gateway/rpc"), VIEW("{}"), random >> 24 & 1u);
        CHECK(d != NULL);
        d->delivery_id = 1;
        session_deliver(server.sessions, ref, d);
        session_resume_all(server.sessions);
        session_kick(server.sessions, 100000 + (int32_t)(random >> 20), 0);
        session_attach_done(server.sessions, ref, ERR_OK);
        (void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

static void run_ordered(void)
{
    pthread_t threads[CLIENT_THREADS];
    pthread_t noise;
    int first[CLIENT_THREADS];
    long long before = atomic_load(&server.published);
    CHECK(pthread_create(&noise, NULL, jitter, NULL) == 0);
    for (int i = 0; i < CLIENT_THREADS; i++) {
        first[i] = i * CLIENTS_EACH;
        CHECK(pthread_create(&threads[i], NULL, ordered_clients, &first[i]) == 0);
    }
    for (int i = 0; i < CLIENT_THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    atomic_store(&jitter_over, true);
    CHECK(pthread_join(noise, NULL) == 0);
    CHECK(atomic_load(&server.published) - before ==
          (long long)CLIENT_THREADS * CLIENTS_EACH * ROUNDS * BATCH);
}

static void *fighting_client(void *arg)
{
    uint32_t random = 7 + *(uint32_t *)arg;
    struct client *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    for (int i = 0; i < FIGHTS; i++) {
        uint8_t out[256];
        char id[16];
        random = random * 1664525u + 1013904223u;
        int key = (int)(random >> 8) % KEYS;
        (void)snprintf(id, sizeof(id), "k%d", key);
        if (!client_open(c, context, sessions_port(server.sessions))) {
            client_close(c);
            continue;
        }
        /* Somebody may take it over before its CONNACK, or at any time after it. */
        if (client_connect(c, id, 500 + key, random >> 16 & 1u) == 0) {
            size_t len = put_publish(out, "v1/devices/me/telemetry", 2, 1, 20);
            struct packet p;
            size_t used = 0;
            if (client_write(c, out, len) && (random >> 17 & 1u) != 0) {
                (void)client_packet(c, &p, &used);
            }
        }
        client_close(c);
    }
    free(c);
    return NULL;
}

static void run_takeover(void)
{
    pthread_t threads[CLIENT_THREADS];
    uint32_t seeds[CLIENT_THREADS];
    for (uint32_t i = 0; i < CLIENT_THREADS; i++) {
        seeds[i] = i * 977;
        CHECK(pthread_create(&threads[i], NULL, fighting_client, &seeds[i]) == 0);
    }
    for (int i = 0; i < CLIENT_THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    struct client *last = calloc(2, sizeof(*last));
    CHECK(last != NULL);
    /* Then the rule in the open: the first is told nothing by 3.1.1, but closed. */
    for (int i = 0; i < 2; i++) {
        CHECK(client_open(&last[i], context, sessions_port(server.sessions)));
        CHECK(client_connect(&last[i], "k0", 500, true) == 0);
    }
    struct packet p;
    size_t used = 0;
    CHECK(!client_packet(&last[0], &p, &used));
    CHECK(client_write(&last[1], "\xc0\x00", 2) && client_packet(&last[1], &p, &used));
    CHECK(p.head == 0xd0);
    client_close(&last[0]);
    client_close(&last[1]);
    free(last);
}

static void run_slow(void)
{
    static struct client slow;
    static struct client friend;
    static uint8_t pings[16384];
    int small = 4096;
    for (size_t i = 0; i < sizeof(pings); i += 2) {
        pings[i] = 0xc0;
    }
    CHECK(client_open(&friend, context, sessions_port(server.sessions)));
    CHECK(client_connect(&friend, "friend", 601, true) == 0);
    CHECK(client_open(&slow, context, sessions_port(server.sessions)));
    CHECK(setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
    CHECK(client_connect(&slow, "slow", 600, true) == 0);
    size_t sent = 0;
    while (sent < (64u << 20) && client_write(&slow, pings, sizeof(pings))) {
        sent += sizeof(pings);
    }
    CHECK(sent < (64u << 20)); /* it was closed */
    CHECK(net_close_count(server.sessions->net, NET_CLOSE_SEND_QUEUE) == 1);
    publish_round(&friend);
    client_close(&slow);
    client_close(&friend);
}

static void run_timeout(void)
{
    static struct client silent;
    char byte;
    int64_t start_us = clock_mono_us();
    int fd = client_dial(sessions_port(server.sessions));
    CHECK(client_open(&silent, context, sessions_port(server.sessions)));
    CHECK(read(fd, &byte, 1) == 0);
    struct packet p;
    size_t used = 0;
    CHECK(!client_packet(&silent, &p, &used));
    int64_t took_us = clock_mono_us() - start_us;
    CHECK(took_us >= server.conf.connect_timeout_us &&
          took_us < server.conf.connect_timeout_us + 2 * SEC);
    client_close(&silent);
    (void)close(fd);
}

static void run_oversized(void)
{
    static struct client c;
    struct packet p;
    size_t used = 0;
    CHECK(client_open(&c, context, sessions_port(server.sessions)));
    CHECK(client_write(&c, "\x10\xff\xff\xff\x7f", 5));
    CHECK(!client_packet(&c, &p, &used));
    client_close(&c);
    CHECK(client_open(&c, context, sessions_port(server.sessions)));
    CHECK(client_connect(&c, "big", 602, true) == 0);
    uint8_t *large = malloc(300000);
    CHECK(large != NULL);
    size_t len = put_publish(large, "v1/devices/me/telemetry", 1, 1, 200000);
    CHECK(client_write(&c, large, len)); /* as large as allowed, nearly */
    expect_ack(&c, 0x40, 1);
    CHECK(client_write(&c, "\x32\x81\x80\x10", 4)); /* 256 KiB and a little */
    used = 0;
    CHECK(!client_packet(&c, &p, &used));
    client_close(&c);
    free(large);
}

static void *busy_client(void *arg)
{
    struct client *c = calloc(1, sizeof(*c));
    uint8_t out[BATCH * 128];
    char id[16];
    int number = *(int *)arg;
    CHECK(c != NULL);
    (void)snprintf(id, sizeof(id), "b%d", number);
    CHECK(client_open(c, context, sessions_port(server.sessions)));
    CHECK(client_connect(c, id, 700 + number, false) == 0);
    bool open = true;
    while (open) {
        size_t len = 0;
        uint16_t first = c->next_id;
        for (int i = 0; i < BATCH; i++) {
            len += put_publish(out + len, "v1/devices/me/telemetry", 1, c->next_id++, 60);
        }
        open = client_write(c, out, len);
        for (uint16_t want = first; open && want < c->next_id; want++) {
            struct packet p;
            size_t used = 0;
            open = client_packet(c, &p, &used);
            if (open) {
                CHECK(p.head == 0x40 && p.body[1] == (want & 0xffu)); /* in order to the end */
                memmove(c->in, c->in + used, c->in_len - used);
                c->in_len -= used;
            }
        }
        c->next_id = c->next_id > 60000 ? 1 : c->next_id;
    }
    client_close(c);
    free(c);
    return NULL;
}

static void run_stop(void)
{
    pthread_t threads[CLIENT_THREADS];
    int numbers[CLIENT_THREADS];
    for (int i = 0; i < CLIENT_THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, busy_client, &numbers[i]) == 0);
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    int64_t start_us = clock_mono_us();
    server_stop(&server);
    CHECK(clock_mono_us() - start_us < 5 * SEC);
    for (int i = 0; i < CLIENT_THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"ordered", run_ordered}, {"takeover", run_takeover},   {"slow", run_slow},
        {"timeout", run_timeout}, {"oversized", run_oversized}, {"stop", run_stop},
    };
    log_setup(LOG_ERROR, LOG_FORMAT_LOGFMT);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    server_init(&server);
    server.deferred = true;
    server.conf.net_loops = 2;
    server.conf.connect_timeout_us = 5 * SEC;
    server_start(&server);
    context = client_context(&server);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        int64_t start_us = clock_mono_us();
        parts[i].run();
        (void)printf("%s: ok, %.1f s\n", parts[i].name, (double)(clock_mono_us() - start_us) / 1e6);
        (void)fflush(stdout);
    }
    CHECK(atomic_load(&server.attached) == atomic_load(&server.detached));
    SSL_CTX_free(context);
    return 0;
}
