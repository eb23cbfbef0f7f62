/*
 * mqtt_codec: nanoseconds for each packet on the hot path, best of several rounds, beside a copy of
 * the same bytes in the same run, so that results of different machines can be compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "mqtt/ack.h"
#include "mqtt/publish.h"
#include "mqtt/topic.h"
#include "mqtt_bytes.h"

enum { ROUNDS = 15, LOOPS = 400000 };

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Tells the compiler that the bytes may have changed and the result is used. */
static void keep(const void *p)
{
    __asm__ volatile("" : : "g"(p) : "memory");
}

struct work {
    struct mqtt_bytes bytes;
    struct mqtt_source from;
    struct mqtt_publish publish;
    struct buf out;
    uint8_t copy[MQTT_BYTES_MAX];
};

typedef void (*work_fn)(struct work *w);

static void run_copy(struct work *w)
{
    memcpy(w->copy, w->bytes.at, w->bytes.len);
    keep(w->copy);
}

static void run_decode(struct work *w)
{
    struct mqtt_frame f;
    struct mqtt_publish m;
    enum err e = mqtt_frame(view_of(w->bytes.at, w->bytes.len), 262144, &f);
    CHECK(e == ERR_OK);
    e = mqtt_publish_decode(f.head, f.body, &w->from, &m);
    CHECK(e == ERR_OK);
    keep(&m);
}

static void run_puback(struct work *w)
{
    buf_clear(&w->out);
    enum err e = mqtt_ack_encode_plain(&w->out, MQTT_PUBACK, 7);
    CHECK(e == ERR_OK);
    keep(w->out.data);
}

static void run_puback_full(struct work *w)
{
    static const struct mqtt_ack ack = {.packet_id = 7, .reason = MQTT_NO_MATCHING_SUBSCRIBERS};
    buf_clear(&w->out);
    enum err e = mqtt_ack_encode(&w->out, MQTT_PUBACK, MQTT_50, &ack);
    CHECK(e == ERR_OK);
    keep(w->out.data);
}

static void run_encode(struct work *w)
{
    buf_clear(&w->out);
    enum err e = mqtt_publish_encode(&w->out, w->from.version, &w->publish);
    CHECK(e == ERR_OK);
    keep(w->out.data);
}

static void run_match(struct work *w)
{
    bool match = mqtt_filter_matches(VIEW("v1/devices/+/telemetry"), w->publish.topic);
    CHECK(match);
    keep(w);
}

static double best_ns(struct work *w, work_fn run)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < LOOPS; i++) {
            keep(w);
            run(w);
        }
        double ns = (now_ns() - start) / LOOPS;
        best = ns < best ? ns : best;
    }
    return best;
}

static struct work *work_new(enum mqtt_version version, const char *text)
{
    struct work *w = calloc(1, sizeof(*w));
    CHECK(w != NULL);
    w->bytes = mqtt_bytes_of(text);
    w->from = (struct mqtt_source){
        .version = version, .sender = MQTT_FROM_CLIENT, .limits = mqtt_limits_default};
    buf_init(&w->out, MQTT_BYTES_MAX);
    struct mqtt_frame f;
    enum err e = mqtt_frame(view_of(w->bytes.at, w->bytes.len), 262144, &f);
    CHECK(e == ERR_OK);
    e = mqtt_publish_decode(f.head, f.body, &w->from, &w->publish);
    CHECK(e == ERR_OK);
    return w;
}

static void report(const char *what, struct work *w, work_fn run)
{
    printf("%-46s %7.1f ns  (copying it: %.1f ns, %zu bytes)\n", what, best_ns(w, run),
           best_ns(w, run_copy), w->bytes.len);
}

int main(void)
{
    struct work *plain = work_new(MQTT_311, "32 { <v1/devices/me/telemetry> 0007"
                                            " '{\"temperature\":21.5,\"rpm\":1480}' }");
    struct work *five = work_new(MQTT_50, "32 { <v1/devices/me/telemetry> 0007 { }"
                                          " '{\"temperature\":21.5,\"rpm\":1480}' }");
    struct work *rich = work_new(MQTT_50, "32 { <v1/devices/me/telemetry> 0007"
                                          " { 01 01 02 0000003c 03 <application/json> 23 0001"
                                          " 26 <site> <plant-1> 26 <line> <7> }"
                                          " '{\"temperature\":21.5,\"rpm\":1480}' }");
    report("frame + PUBLISH decode, 3.1.1", plain, run_decode);
    report("frame + PUBLISH decode, 5.0 no properties", five, run_decode);
    report("frame + PUBLISH decode, 5.0 six properties", rich, run_decode);
    report("PUBACK encode, plain", plain, run_puback);
    report("PUBACK encode, 5.0 with reason", five, run_puback_full);
    report("PUBLISH encode, 3.1.1", plain, run_encode);
    report("PUBLISH encode, 5.0 six properties", rich, run_encode);
    report("filter match, one '+'", plain, run_match);
    buf_fini(&plain->out);
    buf_fini(&five->out);
    buf_fini(&rich->out);
    free(plain);
    free(five);
    free(rich);
    return 0;
}
