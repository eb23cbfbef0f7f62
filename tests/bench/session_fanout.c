/*
 * session_fanout: what one message to one session costs, from session_send() to its bytes in the
 * connection's buffer, without sockets: nanoseconds beside a copy of the same bytes in the same
 * run, best of several rounds.
 *
 *     bench_session_fanout [sessions]
 *     valgrind --tool=callgrind --toggle-collect=session_send bench_session_fanout 20
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "mqtt_bytes.h"
#include "session/private.h"

enum { ROUNDS = 9, MESSAGES = 200, SESSIONS = 1000, PAYLOAD = 100 };

struct peer {
    struct session *session;
    struct buf out;
};

struct bench {
    struct sessions all; /* first */
    struct conf conf;
    struct peer *peers;
    int count;
    struct mail *mail;
    struct message *message;
};

static struct buf *bench_out(struct net_conn *c)
{
    return &((struct peer *)(void *)c)->out;
}

static size_t bench_queued(const struct net_conn *c)
{
    return ((const struct peer *)(const void *)c)->out.len;
}

static void bench_nothing(struct net_conn *c)
{
    (void)c;
}

static void bench_read(struct net_conn *c, bool on)
{
    (void)c;
    (void)on;
}

static char *bench_peer(const struct net_conn *c, char ret_words[static NET_PEER_WORDS])
{
    (void)c;
    ret_words[0] = '\0';
    return ret_words;
}

static void bench_post(struct sessions *all, uint32_t loop, struct mail *m)
{
    (void)loop;
    m->next = ((struct bench *)(void *)all)->mail;
    ((struct bench *)(void *)all)->mail = m;
}

static void bench_run(struct bench *b)
{
    while (b->mail != NULL) {
        struct mail *m = b->mail;
        b->mail = m->next;
        m->run(m);
    }
}

static int64_t bench_now(void)
{
    return 1000 * SEC;
}

static void bench_attach(void *arg, const struct session_attach *a)
{
    session_attach_done(arg, a->ref, ERR_OK);
}

static enum err bench_publish(void *arg, struct session *s, const struct session_publish *p,
                              struct ticket *t)
{
    (void)arg;
    (void)s;
    (void)p;
    (void)t;
    return ERR_OK;
}

static void give(struct peer *p, const char *text)
{
    struct mqtt_bytes b = mqtt_bytes_of(text);
    CHECK(session_data(p->session, view_of(b.at, b.len)) == b.len);
}

static void connect_all(struct bench *b, bool v5)
{
    for (int i = 0; i < b->count; i++) {
        char connect[128];
        struct peer *p = &b->peers[i];
        buf_init(&p->out, 1 << 20);
        p->session = session_open(&b->all.loops[0], (struct net_conn *)(void *)p, true);
        (void)snprintf(connect, sizeof(connect), "10 { <MQTT> %s <c%d> }",
                       v5 ? "05 02 003c { }" : "04 02 003c", i);
        CHECK(p->session != NULL);
        give(p, connect);
        bench_run(b);
        CHECK(session_number(p->session) == i + 1);
    }
}

/* Every session acknowledges all that it got. */
static void acknowledge_all(struct bench *b)
{
    for (int i = 0; i < b->count; i++) {
        struct kept *k = b->peers[i].session->kept;
        while (!list_empty(&k->under_way)) {
            const struct outgoing *o = CONTAINER_OF(k->under_way.next, struct outgoing, link);
            const uint8_t puback[] = {0x40, 2, (uint8_t)(o->packet_id >> 8), (uint8_t)o->packet_id};
            (void)session_data(b->peers[i].session, view_of(puback, sizeof(puback)));
        }
    }
}

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void send_all(struct bench *b, uint8_t qos)
{
    const struct session_target t = {.message = b->message, .qos = qos};
    for (int i = 0; i < b->count; i++) {
        CHECK(session_send(&b->all, i + 1, &t) == ERR_OK);
    }
}

static void copy_all(struct bench *b)
{
    for (int i = 0; i < b->count; i++) {
        buf_put(&b->peers[i].out, b->message->bytes, b->message->topic_len + PAYLOAD + 4);
    }
}

/* qos -1: the copy. */
static double best_ns(struct bench *b, int qos)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double ns = 0;
        for (int m = 0; m < MESSAGES; m++) {
            double from = now_ns();
            if (qos < 0) {
                copy_all(b);
            } else {
                send_all(b, (uint8_t)qos);
            }
            ns += now_ns() - from;
            for (int i = 0; i < b->count; i++) {
                buf_clear(&b->peers[i].out);
            }
            acknowledge_all(b);
        }
        best = round == 0 || ns < best ? ns : best;
    }
    return best / MESSAGES / b->count;
}

static void run(int count, bool v5)
{
    static const struct session_io io = {.out = bench_out,
                                         .queued = bench_queued,
                                         .tell_drained = bench_nothing,
                                         .read = bench_read,
                                         .again = bench_nothing,
                                         .ready = bench_nothing,
                                         .close = bench_nothing,
                                         .peer = bench_peer,
                                         .post = bench_post,
                                         .now_us = bench_now};
    uint8_t payload[PAYLOAD] = {0};
    struct bench b = {.count = count, .peers = calloc((size_t)count, sizeof(*b.peers))};
    CHECK(b.peers != NULL);
    b.conf = (struct conf){.session_queue_max = 1000,
                           .session_queue_bytes = 4 * MIB,
                           .queues_max_bytes = 1024 * MIB,
                           .session_expiry_max_us = 3600 * SEC,
                           .unacked_messages_max = 256};
    b.all.conf = &b.conf;
    b.all.io = &io;
    b.all.hooks =
        (struct session_hooks){.arg = &b, .attach = bench_attach, .publish = bench_publish};
    CHECK(sessions_init(&b.all, 1) == ERR_OK);
    b.message = message_of(VIEW("plant/north/line7/press3/temperature"), VIEW(""),
                           view_of(payload, sizeof(payload)));
    CHECK(b.message != NULL);
    connect_all(&b, v5);
    for (int i = 0; i < count; i++) {
        buf_clear(&b.peers[i].out);
    }
    printf("%-6s copy %5.0f ns   qos 0 %5.0f ns   qos 1 %5.0f ns   a delivery, %d sessions\n",
           v5 ? "5.0" : "3.1.1", best_ns(&b, -1), best_ns(&b, 0), best_ns(&b, 1), count);
    for (int i = 0; i < count; i++) {
        session_lost(b.peers[i].session, NET_CLOSE_PEER);
        buf_fini(&b.peers[i].out);
    }
    bench_run(&b);
    sessions_fini(&b.all);
    message_drop(b.message);
    free(b.peers);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)strtoul(argv[1], NULL, 10) : SESSIONS;
    log_setup(LOG_ERROR, LOG_FORMAT_LOGFMT);
    run(count, false);
    run(count, true);
    return 0;
}
