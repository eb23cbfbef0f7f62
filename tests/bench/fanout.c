/*
 * bench_fanout: messages from publishers to subscribers over TLS, against any MQTT server.
 *
 *   --mode one     one publisher, --count subscribers of its topic
 *   --mode pairs   --count publishers, each with a subscriber of its own
 *
 * Closed loop: a publisher goes on when fewer than --window of its messages are on their way to the
 * slowest of its subscribers, and with QoS 1 fewer than that unacknowledged. So nothing has to be
 * thrown away, and what does not arrive is an error. Each payload carries its number and its time.
 * Packets are written and read by hand: the generator shares its cores with what it measures.
 * Prints one JSON line.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/histogram.h"
#include "fleet/link.h"
#include "fleet/options.h"
#include "fleet/token.h"

enum { PAYLOAD_HEAD = 16, TICK_MS = 10, RAMP_S = 120, DRAIN_S = 20, SHAKING_MAX = 64 };
enum { CONNECT = 0x10, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBACK = 9 };

struct settings {
    const char *host, *ca_file, *secret, *user, *mode;
    long port, count, qos, window, size;
    long pid; /* of the server, to read its CPU time; 0: not */
    double seconds, warm_up;
};

struct bench;
struct peer {
    struct fleet_link link;
    struct bench *bench;
    struct peer *from; /* of a subscriber: its publisher */
    char name[32], token[128], topic[48];
    bool ready;
    uint64_t sent, acked; /* of a publisher */
    uint64_t slowest;     /* what its slowest subscriber has got, as last looked at */
    uint32_t at_slowest;  /* how many subscribers have got no more than that */
    uint64_t got;         /* of a subscriber */
    uint32_t subscribers;
};

struct bench {
    struct settings set;
    uv_loop_t uv;
    struct fleet_net net;
    uv_timer_t timer;
    struct peer *peers;
    uint32_t peer_count, publisher_count, started, ready;
    bool publishing, stopped, failed;
    int64_t began_us, measure_from_us, measure_to_us;
    uint64_t published, delivered, disordered;
    struct rusage cpu_from, cpu_to;
    double server_from_s, server_to_s;
    struct fleet_histogram latency;
    char error[200];
};

/* ---- packets ---- */

static void put_text(struct buf *out, const char *text)
{
    buf_put_u16(out, (uint16_t)strlen(text));
    buf_put_str(out, text);
}

static void put_head(struct buf *out, uint8_t head, size_t len)
{
    buf_put_u8(out, head);
    do {
        uint8_t low = (uint8_t)(len & 0x7F);
        len >>= 7;
        buf_put_u8(out, (uint8_t)(low | (len > 0 ? 0x80 : 0)));
    } while (len > 0);
}

static void send_connect(struct peer *p)
{
    struct buf *out = fleet_link_out(&p->link);
    put_head(out, CONNECT, 10 + 2 + strlen(p->name) + 2 + strlen(p->token));
    put_text(out, "MQTT");
    buf_put_u8(out, 4);
    buf_put_u8(out, 0x82);
    buf_put_u16(out, 600);
    put_text(out, p->name);
    put_text(out, p->token);
}

static void send_subscribe(struct peer *p)
{
    struct buf *out = fleet_link_out(&p->link);
    put_head(out, 0x82, 2 + 2 + strlen(p->topic) + 1);
    buf_put_u16(out, 1);
    put_text(out, p->topic);
    buf_put_u8(out, (uint8_t)p->bench->set.qos);
}

static void send_publish(struct peer *p)
{
    const struct settings *set = &p->bench->set;
    struct buf *out = fleet_link_out(&p->link);
    size_t topic = strlen(p->topic);
    put_head(out, (uint8_t)(PUBLISH << 4 | set->qos << 1),
             2 + topic + (set->qos > 0 ? 2 : 0) + (size_t)set->size);
    put_text(out, p->topic);
    if (set->qos > 0) {
        buf_put_u16(out, (uint16_t)(p->sent % 65535 + 1));
    }
    buf_put_u64(out, p->sent);
    buf_put_u64(out, (uint64_t)clock_mono_us());
    for (long i = PAYLOAD_HEAD; i < set->size; i++) {
        buf_put_u8(out, 'x');
    }
    p->sent++;
    p->bench->published++;
}

/* ---- the loop ---- */

static void publish_some(struct peer *p)
{
    const struct bench *b = p->bench;
    uint64_t window = (uint64_t)b->set.window;
    while (b->publishing && p->ready && p->sent - p->slowest < window &&
           (b->set.qos == 0 || p->sent - p->acked < window)) {
        send_publish(p);
    }
}

/* All subscribers that were at the slowest place have moved on: where is it now? */
static void look_for_slowest(struct peer *publisher)
{
    const struct bench *b = publisher->bench;
    uint64_t slowest = UINT64_MAX;
    uint32_t at = 0;
    for (uint32_t i = b->publisher_count; i < b->peer_count; i++) {
        const struct peer *s = &b->peers[i];
        if (s->from != publisher) {
            continue;
        }
        at = s->got < slowest ? 1 : at + (s->got == slowest);
        slowest = s->got < slowest ? s->got : slowest;
    }
    publisher->slowest = slowest;
    publisher->at_slowest = at;
}

static void on_message(struct peer *s, struct view body)
{
    struct bench *b = s->bench;
    struct peer *from = s->from;
    size_t topic = (size_t)body.data[0] << 8 | body.data[1];
    const uint8_t *at = body.data + 2 + topic;
    if (b->set.qos > 0) {
        const uint8_t ack[] = {PUBACK << 4, 2, at[0], at[1]};
        buf_put(fleet_link_out(&s->link), ack, sizeof(ack));
        at += 2;
    }
    uint64_t number = 0;
    uint64_t sent_us = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | at[i];
        sent_us = sent_us << 8 | at[8 + i];
    }
    b->disordered += number != s->got;
    bool was_slowest = s->got == from->slowest;
    s->got++;
    int64_t now = clock_mono_us();
    if (now >= b->measure_from_us && now < b->measure_to_us) {
        b->delivered++;
        fleet_histogram_add(&b->latency, now - (int64_t)sent_us);
    }
    if (from->subscribers == 1) {
        from->slowest = s->got;
    } else if (was_slowest && --from->at_slowest == 0) {
        look_for_slowest(from);
    }
    publish_some(from);
}

static void peer_ready(struct peer *p)
{
    p->ready = true;
    p->bench->ready++;
}

static void fail(struct bench *b, const struct peer *p, const char *why)
{
    if (!b->stopped) {
        (void)snprintf(b->error, sizeof(b->error), "%s: %s", p->name, why);
        b->failed = true;
    }
}

static void take_packet(struct peer *p, uint8_t type, struct view body)
{
    if (type == CONNACK) {
        if (body.data[1] != 0) {
            fail(p->bench, p, "refused");
        } else if (p->from != NULL) {
            send_subscribe(p);
        } else {
            peer_ready(p);
        }
    } else if (type == SUBACK) {
        if (body.data[2] > 2) {
            fail(p->bench, p, "may not subscribe");
        }
        peer_ready(p);
    } else if (type == PUBLISH) {
        on_message(p, body);
    } else if (type == PUBACK) {
        p->acked++;
        publish_some(p);
    }
}

static size_t on_received(struct fleet_link *l, struct view bytes)
{
    struct peer *p = CONTAINER_OF(l, struct peer, link);
    size_t used = 0;
    while (bytes.len - used >= 2) {
        const uint8_t *at = bytes.data + used;
        size_t left = bytes.len - used;
        size_t len = 0;
        size_t head = 1;
        int shift = 0;
        bool more = true;
        while (more && head < left) {
            len |= (size_t)(at[head] & 0x7F) << shift;
            more = (at[head++] & 0x80) != 0;
            shift += 7;
        }
        if (more || left - head < len) {
            break;
        }
        take_packet(p, at[0] >> 4, view_of(at + head, len));
        used += head + len;
    }
    return used;
}

static void on_opened(struct fleet_link *l)
{
    send_connect(CONTAINER_OF(l, struct peer, link));
}

static void on_closed(struct fleet_link *l, const char *why)
{
    struct peer *p = CONTAINER_OF(l, struct peer, link);
    fail(p->bench, p, why);
}

static const struct fleet_link_events link_events = {
    .opened = on_opened, .received = on_received, .closed = on_closed};

static bool all_arrived(const struct bench *b)
{
    for (uint32_t i = b->publisher_count; i < b->peer_count; i++) {
        if (b->peers[i].got < b->peers[i].from->sent) {
            return false;
        }
    }
    return true;
}

static void stop(struct bench *b)
{
    b->stopped = true;
    uv_close((uv_handle_t *)&b->timer, NULL);
    for (uint32_t i = 0; i < b->started; i++) {
        fleet_link_close(&b->peers[i].link);
    }
}

/* CPU seconds of the server so far. */
static double server_cpu(const struct bench *b)
{
    char path[64];
    char line[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", b->set.pid);
    FILE *f = b->set.pid == 0 ? NULL : fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    bool read = fgets(line, sizeof(line), f) != NULL;
    (void)fclose(f);
    /* Fields 14 and 15; the name in brackets may have blanks. */
    const char *at = read ? strrchr(line, ')') : NULL;
    for (int field = 2; at != NULL && field < 14; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return 0;
    }
    char *end = NULL;
    double user = strtod(at, &end);
    return (user + strtod(end, NULL)) / (double)sysconf(_SC_CLK_TCK);
}

static void begin(struct bench *b, int64_t now)
{
    b->publishing = true;
    b->measure_from_us = now + (int64_t)(b->set.warm_up * 1e6);
    b->measure_to_us = b->measure_from_us + (int64_t)(b->set.seconds * 1e6);
    for (uint32_t i = 0; i < b->publisher_count; i++) {
        publish_some(&b->peers[i]);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct bench *b = timer->data;
    int64_t now = clock_mono_us();
    for (int i = 0; b->started < b->peer_count && b->started - b->ready < SHAKING_MAX; i++) {
        if (fleet_link_open(&b->peers[b->started].link, NULL, NULL) != ERR_OK) {
            fail(b, &b->peers[b->started], "no socket");
            break;
        }
        b->started++;
    }
    if (b->failed) {
        stop(b);
    } else if (b->measure_from_us == 0) {
        if (b->ready == b->peer_count) {
            begin(b, now);
        } else if (now - b->began_us > RAMP_S * CLOCK_SECOND_US) {
            fail(b, &b->peers[b->ready], "not connected in time");
        }
    } else if (now >= b->measure_from_us && b->cpu_from.ru_utime.tv_sec == 0 &&
               b->cpu_from.ru_utime.tv_usec == 0) {
        (void)getrusage(RUSAGE_SELF, &b->cpu_from);
        b->server_from_s = server_cpu(b);
    } else if (now >= b->measure_to_us) {
        if (b->publishing) {
            (void)getrusage(RUSAGE_SELF, &b->cpu_to);
            b->server_to_s = server_cpu(b);
        }
        b->publishing = false;
        if (all_arrived(b) || now - b->measure_to_us > DRAIN_S * CLOCK_SECOND_US) {
            stop(b);
        }
    }
}

/* ---- start and end ---- */

static void peer_init(struct bench *b, uint32_t index, struct peer *from)
{
    struct peer *p = &b->peers[index];
    const struct settings *set = &b->set;
    p->bench = b;
    p->from = from;
    (void)snprintf(p->name, sizeof(p->name), "fan-%04u", index);
    uint32_t topic = from == NULL ? index : (uint32_t)(from - b->peers);
    (void)snprintf(p->topic, sizeof(p->topic), "fan/%u/news", topic);
    if (set->user != NULL) {
        (void)snprintf(p->token, sizeof(p->token), "%s", p->name);
    } else {
        CHECK(fleet_token(view_str(set->secret), view_str(p->name), p->token) == ERR_OK);
    }
    if (from != NULL) {
        from->subscribers++;
        from->at_slowest++;
    }
    fleet_link_init(&p->link, &b->net, &link_events);
}

static void make_peers(struct bench *b)
{
    uint32_t count = (uint32_t)b->set.count;
    bool pairs = strcmp(b->set.mode, "pairs") == 0;
    b->publisher_count = pairs ? count : 1;
    b->peer_count = b->publisher_count + count;
    b->peers = calloc(b->peer_count, sizeof(*b->peers));
    CHECK(b->peers != NULL);
    for (uint32_t i = 0; i < b->publisher_count; i++) {
        peer_init(b, i, NULL);
    }
    for (uint32_t i = 0; i < count; i++) {
        peer_init(b, b->publisher_count + i, &b->peers[pairs ? i : 0]);
    }
}

static double cpu_of(const struct rusage *r)
{
    return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
           (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}

static void report(const struct bench *b)
{
    uint64_t wanted = 0;
    uint64_t got = 0;
    for (uint32_t i = b->publisher_count; i < b->peer_count; i++) {
        wanted += b->peers[i].from->sent;
        got += b->peers[i].got;
    }
    double cpu = cpu_of(&b->cpu_to) - cpu_of(&b->cpu_from);
    double n = b->delivered == 0 ? 1 : (double)b->delivered;
    double server = b->server_to_s - b->server_from_s;
    (void)printf("{\"mode\":\"%s\",\"count\":%ld,\"qos\":%ld,\"published\":%llu,\"delivered\":%llu,"
                 "\"missing\":%lld,\"disordered\":%llu,\"deliveries_per_second\":%.1f,",
                 b->set.mode, b->set.count, b->set.qos, (unsigned long long)b->published,
                 (unsigned long long)got, (long long)(wanted - got),
                 (unsigned long long)b->disordered, (double)b->delivered / b->set.seconds);
    (void)printf("\"generator_us_per_delivery\":%.3f,\"server_us_per_delivery\":%.3f,"
                 "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"error\":\"%s\"}\n",
                 cpu * 1e6 / n, server * 1e6 / n,
                 (double)fleet_histogram_at(&b->latency, 0.5) / 1000,
                 (double)fleet_histogram_at(&b->latency, 0.99) / 1000, b->error);
}

static const char usage[] =
    "bench_fanout --host H --port N --cafile FILE (--secret S | --username-format %s) [options]\n"
    "  --mode one|pairs  (one)    --count N     subscribers, or pairs (1000)\n"
    "  --qos 0|1         (0)      --window N    messages of a publisher under way (10)\n"
    "  --size BYTES      (64)     --seconds T   (4)   --warm-up T   (1)\n"
    "  --pid N           of the server, for its CPU time\n"
    "  --csv             print the import file for these devices and end\n";

static bool read_options(int argc, char **argv, struct settings *s, bool *ret_csv)
{
    static const struct option table[] = {{"host", required_argument, NULL, 'h'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"cafile", required_argument, NULL, 'c'},
                                          {"secret", required_argument, NULL, 's'},
                                          {"username-format", required_argument, NULL, 'u'},
                                          {"mode", required_argument, NULL, 'm'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"qos", required_argument, NULL, 'q'},
                                          {"window", required_argument, NULL, 'w'},
                                          {"size", required_argument, NULL, 'b'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"warm-up", required_argument, NULL, 'W'},
                                          {"pid", required_argument, NULL, 'P'},
                                          {"csv", no_argument, NULL, 'C'},
                                          {0}};
    *s = (struct settings){.host = "localhost",
                           .mode = "one",
                           .port = 8883,
                           .count = 1000,
                           .window = 10,
                           .size = 64,
                           .seconds = 4,
                           .warm_up = 1};
    const char **const texts[] = {['h'] = &s->host,
                                  ['c'] = &s->ca_file,
                                  ['s'] = &s->secret,
                                  ['u'] = &s->user,
                                  ['m'] = &s->mode};
    long *const numbers[] = {['p'] = &s->port, ['n'] = &s->count,  ['q'] = &s->qos,
                             ['P'] = &s->pid,  ['w'] = &s->window, ['b'] = &s->size};
    int code = 0;
    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (code == 'C') {
            *ret_csv = true;
        } else if (code == 't' || code == 'W') {
            *(code == 't' ? &s->seconds : &s->warm_up) = strtod(optarg, NULL);
        } else if ((size_t)code < COUNT_OF(texts) && texts[code] != NULL) {
            *texts[code] = optarg;
        } else if ((size_t)code < COUNT_OF(numbers) && numbers[code] != NULL) {
            *numbers[code] = (long)strtoll(optarg, NULL, 10);
        } else {
            return false;
        }
    }
    return optind == argc && (s->secret != NULL || s->user != NULL) && s->count > 0 &&
           s->count < 30000 && s->qos >= 0 && s->qos <= 1 && s->window > 0 &&
           s->size >= PAYLOAD_HEAD && s->seconds > 0;
}

int main(int argc, char **argv)
{
    static struct bench b;
    bool csv = false;
    (void)signal(SIGPIPE, SIG_IGN);
    if (!read_options(argc, argv, &b.set, &csv)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    (void)fleet_raise_files();
    fleet_histogram_init(&b.latency);
    CHECK(uv_loop_init(&b.uv) == 0);
    const struct fleet_target target = {
        .host = b.set.host, .port = (int)b.set.port, .ca_file = b.set.ca_file};
    char why[300];
    if (!csv && fleet_net_init(&b.net, &b.uv, &target, why, sizeof(why)) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", why);
        return 1;
    }
    make_peers(&b);
    for (uint32_t i = 0; csv && i < b.peer_count; i++) {
        (void)printf("%s%s,fan,%s\n", i == 0 ? "name,type,token\n" : "", b.peers[i].name,
                     b.peers[i].token);
    }
    if (csv) {
        return 0;
    }
    b.began_us = clock_mono_us();
    CHECK(uv_timer_init(&b.uv, &b.timer) == 0);
    b.timer.data = &b;
    CHECK(uv_timer_start(&b.timer, on_tick, TICK_MS, TICK_MS) == 0);
    (void)uv_run(&b.uv, UV_RUN_DEFAULT);
    report(&b);
    for (uint32_t i = 0; i < b.peer_count; i++) {
        fleet_link_fini(&b.peers[i].link);
    }
    fleet_net_fini(&b.net);
    (void)uv_run(&b.uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&b.uv) == 0);
    free(b.peers);
    return b.failed ? 1 : 0;
}
