/*
 * bench_reaction: from a reading of one device to the command on another one's wire.
 *
 * Pairs of TLS devices: the sensor publishes {"trip":1}, a rule fires and commands the actor. The
 * time counts from the publish of the sensor, QoS 1, to the command's PUBLISH at the actor; on its
 * way the reading, the alert and the command are committed, and that the command was sent, too. The
 * actor answers, the sensor publishes {"trip":0}, and the pair begins again after --period.
 *
 * The rules are made by tests/bench/reaction, which also loads the server meanwhile. Prints one
 * JSON line. Exit 1 when a command did not come: within 10 s after the end.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/client.h"
#include "fleet/histogram.h"
#include "fleet/options.h"
#include "fleet/token.h"
#include "fleet/topic.h"

enum { PAIRS_MAX = 1000, TICK_MS = 1, DRAIN_US = 10000000 };

enum phase { PHASE_RAMP, PHASE_RUN, PHASE_DRAIN, PHASE_STOP };

struct settings {
    struct fleet_options common;
    uint32_t pairs;
    int64_t period_us, run_us, warm_up_us;
    bool print_csv;
};

struct device {
    struct fleet_client client;
    struct pair *pair;
    char name[32];
    char token[FLEET_TOKEN_SIZE];
};

struct pair {
    struct reaction *all;
    struct device sensor, actor;
    int64_t due_us;     /* the next publish */
    int64_t tripped_us; /* the command is awaited; 0: it came */
    bool tripped;       /* the sensor's last reading */
};

struct reaction {
    struct settings set;
    uv_loop_t uv;
    uv_timer_t timer;
    struct fleet_net net;
    struct fleet_client_conf sensors, actors;
    struct pair *pairs;
    enum phase phase;
    int64_t measure_from_us, measure_to_us;
    uint64_t tag;
    uint64_t lost;
    bool failed;
    struct fleet_histogram latency;
};

static void on_acked(struct fleet_client *c, const struct fleet_slot *slot, uint8_t reason,
                     int64_t now)
{
    (void)slot;
    (void)now;
    struct device *d = c->arg;
    d->pair->all->failed = d->pair->all->failed || reason >= 0x80;
}

static void on_lost(struct fleet_client *c, const char *why)
{
    struct device *d = c->arg;
    (void)fprintf(stderr, "%s: %s\n", d->name, why);
    d->pair->all->lost++;
}

static void on_refused(struct fleet_client *c, uint8_t reason)
{
    struct device *d = c->arg;
    (void)fprintf(stderr, "%s: %s\n", d->name, mqtt_reason_words(reason));
    d->pair->all->failed = true;
}

static void on_command(struct fleet_client *c, const struct mqtt_publish *m)
{
    int64_t now = clock_mono_us();
    struct pair *p = ((struct device *)c->arg)->pair;
    struct reaction *r = p->all;
    if (!view_starts(m->topic, VIEW(FLEET_TOPIC_COMMAND_PREFIX))) {
        return;
    }
    struct view id = view_skip(m->topic, strlen(FLEET_TOPIC_COMMAND_PREFIX));
    char topic[96];
    int len = snprintf(topic, sizeof(topic), "%s%.*s", FLEET_TOPIC_ANSWER_PREFIX, VIEW_ARG(id));
    (void)!fleet_client_answer(c, view_of(topic, (size_t)len), VIEW("{\"ok\":true}"));
    if (p->tripped_us >= r->measure_from_us && p->tripped_us < r->measure_to_us) {
        fleet_histogram_add(&r->latency, now - p->tripped_us);
    }
    p->tripped_us = 0;
}

static void publish(struct pair *p, int64_t now)
{
    p->tripped = !p->tripped;
    p->tripped_us = p->tripped ? now : 0;
    struct view payload = p->tripped ? VIEW("{\"trip\":1}") : VIEW("{\"trip\":0}");
    enum err e = fleet_client_publish(&p->sensor.client, VIEW(FLEET_TOPIC_TELEMETRY), payload,
                                      p->all->tag++, now);
    CHECK(e == ERR_OK); /* a pair has one message under way */
}

static uint32_t waiting(const struct reaction *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->set.pairs; i++) {
        n += r->pairs[i].tripped_us != 0;
    }
    return n;
}

static bool all_ready(const struct reaction *r)
{
    for (uint32_t i = 0; i < r->set.pairs; i++) {
        if (r->pairs[i].sensor.client.state != FLEET_CLIENT_READY ||
            r->pairs[i].actor.client.state != FLEET_CLIENT_READY) {
            return false;
        }
    }
    return true;
}

static void run_begin(struct reaction *r, int64_t now)
{
    r->phase = PHASE_RUN;
    r->measure_from_us = now + r->set.warm_up_us;
    r->measure_to_us = r->measure_from_us + r->set.run_us;
    for (uint32_t i = 0; i < r->set.pairs; i++) { /* spread over the period */
        r->pairs[i].due_us = now + r->set.period_us * (int64_t)i / r->set.pairs;
    }
}

static void stop(struct reaction *r)
{
    r->phase = PHASE_STOP;
    for (uint32_t i = 0; i < r->set.pairs; i++) {
        fleet_client_stop(&r->pairs[i].sensor.client);
        fleet_client_stop(&r->pairs[i].actor.client);
    }
    uv_close((uv_handle_t *)&r->timer, NULL);
}

/* A pair that still waits for its command does not publish: its one wait grows instead. */
static void run_tick(struct reaction *r, int64_t now)
{
    for (uint32_t i = 0; i < r->set.pairs; i++) {
        struct pair *p = &r->pairs[i];
        if (p->due_us <= now && p->tripped_us == 0 && p->sensor.client.count == 0) {
            p->due_us = now + r->set.period_us / 2;
            publish(p, now);
        }
    }
    r->phase = now >= r->measure_to_us ? PHASE_DRAIN : r->phase;
}

static void on_tick(uv_timer_t *timer)
{
    struct reaction *r = timer->data;
    int64_t now = clock_mono_us();
    if (r->failed) {
        stop(r);
    } else if (r->phase == PHASE_RAMP && all_ready(r)) {
        run_begin(r, now);
    } else if (r->phase == PHASE_RUN) {
        run_tick(r, now);
    } else if (r->phase == PHASE_DRAIN && (waiting(r) == 0 || now > r->measure_to_us + DRAIN_US)) {
        stop(r);
    }
}

static void device_init(struct device *d, struct pair *p, const char *role, uint32_t index)
{
    const struct fleet_options *o = &p->all->set.common;
    d->pair = p;
    (void)snprintf(d->name, sizeof(d->name), "%s-%04u", role, index);
    CHECK(fleet_token(view_str(o->secret), view_str(d->name), d->token) == ERR_OK);
    if (p->all->set.print_csv) {
        (void)printf("%s,generic,%s\n", d->name, d->token);
        return;
    }
    const struct fleet_client_conf *conf = d == &p->actor ? &p->all->actors : &p->all->sensors;
    uint64_t seed = fleet_random_mix(o->seed, 2 * index + (d == &p->actor ? 1 : 0));
    CHECK(fleet_client_init(&d->client, conf, seed) == ERR_OK);
    d->client.arg = d;
    d->client.client_id = d->name;
    d->client.user_name = d->token;
    d->client.version = fleet_options_version(o, index);
    fleet_client_start(&d->client, 0);
}

static void pairs_init(struct reaction *r)
{
    r->pairs = calloc(r->set.pairs, sizeof(*r->pairs));
    CHECK(r->pairs != NULL);
    if (r->set.print_csv) {
        (void)printf("name,type,token\n");
    }
    for (uint32_t i = 0; i < r->set.pairs; i++) {
        struct pair *p = &r->pairs[i];
        p->all = r;
        p->tripped = true; /* begins with a reset: an earlier run may have ended with an alert */
        device_init(&p->sensor, p, "sensor", i);
        device_init(&p->actor, p, "actor", i);
    }
}

static void report(const struct reaction *r)
{
    const struct fleet_histogram *h = &r->latency;
    (void)printf("{\"pairs\":%u,\"seconds\":%.1f,\"reactions\":%llu,\"missing\":%u,\"lost\":%llu,"
                 "\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
                 r->set.pairs, (double)r->set.run_us / 1e6, (unsigned long long)h->count,
                 waiting(r), (unsigned long long)r->lost, (double)fleet_histogram_at(h, 0.5) / 1e3,
                 (double)fleet_histogram_at(h, 0.9) / 1e3,
                 (double)fleet_histogram_at(h, 0.99) / 1e3, (double)h->max_us / 1e3);
}

static const char usage[] =
    "bench_reaction [--pairs N] [--period T] [--seconds T] [--warm-up T]\n"
    "  --pairs N     sensors sensor-0000…, actors actor-0000…, one rule for each (50)\n"
    "  --period T    of a pair: trip, command, reset (0.5)\n"
    "  --seconds T   measured time (10)          --warm-up T   before it (2)\n"
    "  --csv         print the import file for these devices and end\n";

enum { OPT_PAIRS = FLEET_OPT_OWN, OPT_PERIOD, OPT_SECONDS, OPT_WARM_UP, OPT_CSV };

static bool take_own(struct settings *s, int code, const char *text)
{
    uint64_t n = 0;
    bool ok = true;
    switch (code) {
    case OPT_PAIRS:
        ok = fleet_read_count("pairs", text, 1, PAIRS_MAX, &n);
        s->pairs = (uint32_t)n;
        return ok;
    case OPT_PERIOD:
        return fleet_read_time("period", text, &s->period_us);
    case OPT_SECONDS:
        return fleet_read_time("seconds", text, &s->run_us);
    case OPT_WARM_UP:
        return fleet_read_time("warm-up", text, &s->warm_up_us);
    case OPT_CSV:
        s->print_csv = true;
        return true;
    default:
        return fleet_options_take(&s->common, code, text);
    }
}

static bool read_options(int argc, char **argv, struct settings *s)
{
    static const struct option table[] = {FLEET_OPTIONS,
                                          {"pairs", required_argument, NULL, OPT_PAIRS},
                                          {"period", required_argument, NULL, OPT_PERIOD},
                                          {"seconds", required_argument, NULL, OPT_SECONDS},
                                          {"warm-up", required_argument, NULL, OPT_WARM_UP},
                                          {"csv", no_argument, NULL, OPT_CSV},
                                          {0}};
    *s = (struct settings){.common = fleet_options_default(),
                           .pairs = 50,
                           .period_us = CLOCK_SECOND_US / 2,
                           .run_us = 10 * CLOCK_SECOND_US,
                           .warm_up_us = 2 * CLOCK_SECOND_US};
    int code = 0;
    while ((code = getopt_long(argc, argv, "o:", table, NULL)) != -1) {
        if (!take_own(s, code, optarg)) {
            return false;
        }
    }
    return optind == argc && s->common.secret != NULL && s->run_us > 0 && s->period_us > 0;
}

int main(int argc, char **argv)
{
    static const struct fleet_client_events events = {
        .acked = on_acked, .received = on_command, .lost = on_lost, .refused = on_refused};
    static struct reaction r;
    (void)signal(SIGPIPE, SIG_IGN);
    if (!read_options(argc, argv, &r.set)) {
        (void)fputs(usage, stderr);
        (void)fputs(fleet_options_help, stderr);
        return FLEET_USAGE;
    }
    if (r.set.print_csv) {
        pairs_init(&r);
        free(r.pairs);
        return FLEET_DONE;
    }
    char why[300];
    struct fleet_target target = fleet_options_target(&r.set.common);
    CHECK(uv_loop_init(&r.uv) == 0);
    if (fleet_net_init(&r.net, &r.uv, &target, why, sizeof(why)) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", why);
        return FLEET_FAILED;
    }
    r.sensors = fleet_options_conf(&r.set.common, &r.net, &events);
    r.sensors.clean_start = true;
    r.sensors.session_expiry_s = 0;
    r.actors = r.sensors;
    r.actors.commands = true;
    fleet_histogram_init(&r.latency);
    pairs_init(&r);
    CHECK(uv_timer_init(&r.uv, &r.timer) == 0);
    r.timer.data = &r;
    CHECK(uv_timer_start(&r.timer, on_tick, TICK_MS, TICK_MS) == 0);
    (void)uv_run(&r.uv, UV_RUN_DEFAULT);
    report(&r);
    bool whole = !r.failed && waiting(&r) == 0 && r.latency.count > 0;
    for (uint32_t i = 0; i < r.set.pairs; i++) {
        fleet_client_fini(&r.pairs[i].sensor.client);
        fleet_client_fini(&r.pairs[i].actor.client);
    }
    free(r.pairs);
    fleet_net_fini(&r.net);
    (void)uv_run(&r.uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&r.uv) == 0);
    return whole ? FLEET_DONE : FLEET_FAILED;
}
