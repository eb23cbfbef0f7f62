/*
 * bench_load: many TLS devices that publish as fast as their windows allow, or at a fixed rate,
 * against any MQTT server.
 *
 *   closed loop (default)  each connection keeps --window messages in flight for --seconds
 *   open loop (--rate R)   R messages a second over all connections; latency counts from the moment
 * at which a message was due, so a server that stalls is charged for everything that had to wait
 *   --idle                 connections only: says READY on stderr when all are up, holds them for
 * --seconds
 *   --handshakes           connect, wait for CONNACK, close, again; with --resumed by TLS tickets
 *   --every T              also a JSON line for each interval of the measured time, as it ends
 *
 * Payload: {"ts":…,"values":{"m000":1234.56,…}}; numbers have fixed width and are patched in place,
 * because the generator shares its cores with what it measures. Prints one JSON line.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "fleet/client.h"
#include "fleet/histogram.h"
#include "fleet/options.h"
#include "fleet/token.h"
#include "fleet/topic.h"

enum { VALUES_MAX = 400, NAME_SIZE = 64, TICK_US = 500, PHASE_MS = 20 };
enum { TS_END = 6 + 13, VALUES_AT = TS_END + 11, VALUE_STRIDE = 15, NUMBER_AT = 7 };

enum mode { MODE_CLOSED, MODE_OPEN, MODE_IDLE, MODE_HANDSHAKES };
enum phase { PHASE_RAMP, PHASE_RUN, PHASE_DRAIN, PHASE_STOP };

struct settings {
    struct fleet_options common;
    enum mode mode;
    uint32_t connections;
    uint32_t values;
    double rate;
    int64_t run_us;
    int64_t warm_up_us;
    int64_t every_us; /* 0: no lines of intervals */
    int64_t ramp_timeout_us;
    const char *topic;  /* %s: the device's name */
    const char *prefix; /* of device names */
    const char *user;   /* user name, %s: the device's name; NULL: the token of --secret */
    bool resumed;
    bool print_csv;
};

struct device {
    struct fleet_client client;
    struct load *load;
    uint32_t index;
    bool up;
    uint64_t due;  /* open loop: messages whose time has come */
    uint64_t made; /* messages published */
    int64_t last_ms;
    char name[NAME_SIZE];
    char user[128];
    char topic[128];
};

struct load {
    struct settings set;
    uv_loop_t uv;
    struct fleet_net net;
    struct fleet_client_conf conf;
    struct device *devices;
    uv_timer_t timer;
    uv_poll_t tick;
    int tick_fd;
    enum phase phase;
    int64_t phase_us; /* when it began */
    uint32_t up;
    bool failed;
    int64_t measure_from_us, measure_to_us;
    uint64_t due; /* open loop, over all devices */
    uint64_t acked, refused, connects;
    struct fleet_histogram latency;  /* of messages, or of connections in MODE_HANDSHAKES */
    struct fleet_histogram interval; /* the same since interval_us */
    int64_t interval_us;
    struct rusage cpu_from, cpu_to;
    char template[VALUES_MAX * VALUE_STRIDE + 64];
    size_t template_len;
    uint64_t noise;
    int64_t wall_offset_us; /* wall time minus monotonic time */
    char last_error[200];
};

static void template_make(struct load *l)
{
    size_t at =
        (size_t)snprintf(l->template, sizeof(l->template), "{\"ts\":0000000000000,\"values\":{");
    for (uint32_t i = 0; i < l->set.values; i++) {
        at += (size_t)snprintf(l->template + at, sizeof(l->template) - at, "%s\"m%03u\":1000.00",
                               i == 0 ? "" : ",", i);
    }
    at += (size_t)snprintf(l->template + at, sizeof(l->template) - at, "}}");
    l->template_len = at;
}

/* The first digit of each value stays, so that the number is JSON; the other five change with every
 * message. */
static struct view template_fill(struct load *l, int64_t ts_ms)
{
    uint64_t ts = (uint64_t)ts_ms;
    for (int i = TS_END - 1; i >= TS_END - 13; i--) {
        l->template[i] = (char)('0' + ts % 10);
        ts /= 10;
    }
    char *number = l->template + VALUES_AT + NUMBER_AT;
    for (uint32_t i = 0; i < l->set.values; i++, number += VALUE_STRIDE) {
        l->noise = l->noise * 6364136223846793005u + 1442695040888963407u;
        uint32_t n = (uint32_t)(l->noise >> 40);
        number[1] = (char)('0' + n % 10);
        number[2] = (char)('0' + n / 10 % 10);
        number[3] = (char)('0' + n / 100 % 10);
        number[5] = (char)('0' + n / 1000 % 10);
        number[6] = (char)('0' + n / 10000 % 10);
    }
    return view_of(l->template, l->template_len);
}

/* When the j-th message of a device is due, on the grid of the ticks. */
static int64_t due_at(const struct load *l, const struct device *d, uint64_t j)
{
    double k = (double)j * l->set.connections + d->index;
    return l->phase_us + (int64_t)ceil(k * 1e6 / l->set.rate / TICK_US) * TICK_US;
}

static void publish_some(struct device *d)
{
    struct load *l = d->load;
    if (l->phase != PHASE_RUN || l->set.mode == MODE_IDLE || l->set.mode == MODE_HANDSHAKES) {
        return;
    }
    bool open = l->set.mode == MODE_OPEN;
    uint32_t room = fleet_client_room(&d->client);
    if (room == 0 || (open && d->made >= d->due)) {
        return;
    }
    int64_t now = clock_mono_us();
    while (room-- > 0 && (!open || d->made < d->due)) {
        /* A millisecond of one device is used once: two samples of one instant would be another
         * workload. */
        int64_t ms = (now + l->wall_offset_us) / 1000;
        d->last_ms = ms > d->last_ms ? ms : d->last_ms + 1;
        int64_t queued = open ? due_at(l, d, d->made) : now;
        enum err e = fleet_client_publish(&d->client, view_str(d->topic),
                                          template_fill(l, d->last_ms), d->made, queued);
        CHECK(e == ERR_OK);
        d->made++;
    }
}

static void on_ready(struct fleet_client *c, bool session_present)
{
    (void)session_present;
    struct device *d = c->arg;
    struct load *l = d->load;
    if (l->set.mode == MODE_HANDSHAKES) {
        int64_t now = clock_mono_us();
        if (l->phase == PHASE_RUN && now >= l->measure_from_us && now < l->measure_to_us) {
            l->connects++;
            fleet_histogram_add(&l->latency, now - c->dialed_us);
        }
        fleet_client_kill(c);
        return;
    }
    if (!d->up) {
        d->up = true;
        l->up++;
    }
}

static void on_acked(struct fleet_client *c, const struct fleet_slot *slot, uint8_t reason,
                     int64_t now)
{
    struct load *l = ((struct device *)c->arg)->load;
    if (reason >= 0x80) {
        l->refused++;
        return;
    }
    if (now >= l->measure_from_us && now < l->measure_to_us) {
        l->acked++;
    }
    if (slot->queued_us >= l->measure_from_us && slot->queued_us < l->measure_to_us) {
        fleet_histogram_add(&l->latency, now - slot->queued_us);
        if (l->set.every_us > 0) {
            fleet_histogram_add(&l->interval, now - slot->queued_us);
        }
    }
}

static void on_room(struct fleet_client *c)
{
    publish_some(c->arg);
}

static void on_lost(struct fleet_client *c, const char *why)
{
    struct device *d = c->arg;
    struct load *l = d->load;
    if (l->set.mode != MODE_HANDSHAKES) {
        (void)snprintf(l->last_error, sizeof(l->last_error), "%s: %s", d->name, why);
    }
    if (d->up) {
        d->up = false;
        l->up--;
    }
}

static void on_refused(struct fleet_client *c, uint8_t reason)
{
    struct device *d = c->arg;
    (void)snprintf(d->load->last_error, sizeof(d->load->last_error), "%s: %s", d->name,
                   mqtt_reason_words(reason));
    d->load->failed = true;
}

static void on_tick(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct load *l = poll->data;
    uint64_t expirations = 0;
    if (status != 0 ||
        read(l->tick_fd, &expirations, sizeof(expirations)) != (ssize_t)sizeof(expirations) ||
        l->phase != PHASE_RUN) {
        return;
    }
    int64_t now = clock_mono_us();
    int64_t end = now < l->measure_to_us ? now : l->measure_to_us;
    uint64_t due = (uint64_t)((double)(end - l->phase_us) * l->set.rate / 1e6);
    for (; l->due < due; l->due++) {
        struct device *d = &l->devices[l->due % l->set.connections];
        d->due++;
        if (d->client.state == FLEET_CLIENT_READY) {
            publish_some(d);
        }
    }
}

static bool tick_start(struct load *l)
{
    struct itimerspec every = {.it_interval = {.tv_nsec = TICK_US * 1000},
                               .it_value = {.tv_nsec = TICK_US * 1000}};
    l->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->tick_fd < 0 || timerfd_settime(l->tick_fd, 0, &every, NULL) != 0 ||
        uv_poll_init(&l->uv, &l->tick, l->tick_fd) != 0) {
        return false;
    }
    l->tick.data = l;
    return uv_poll_start(&l->tick, UV_READABLE, on_tick) == 0;
}

static void phase_enter(struct load *l, enum phase phase)
{
    l->phase = phase;
    l->phase_us = clock_mono_us();
}

static void run_begin(struct load *l)
{
    (void)fprintf(stderr, "READY %u connections\n", l->up);
    phase_enter(l, PHASE_RUN);
    l->measure_from_us = l->phase_us + l->set.warm_up_us;
    l->measure_to_us = l->measure_from_us + l->set.run_us;
    for (uint32_t i = 0; i < l->set.connections && l->set.mode == MODE_CLOSED; i++) {
        publish_some(&l->devices[i]);
    }
}

static void stop_all(struct load *l)
{
    phase_enter(l, PHASE_STOP);
    for (uint32_t i = 0; i < l->set.connections; i++) {
        fleet_client_stop(&l->devices[i].client);
    }
    uv_close((uv_handle_t *)&l->timer, NULL);
    if (l->set.mode == MODE_OPEN) {
        uv_close((uv_handle_t *)&l->tick, NULL);
    }
}

static bool all_answered(const struct load *l)
{
    for (uint32_t i = 0; i < l->set.connections; i++) {
        const struct device *d = &l->devices[i];
        if (d->client.count > 0 || (l->set.mode == MODE_OPEN && d->made < d->due)) {
            return false;
        }
    }
    return true;
}

/* What never came back waited at least until now. */
static void charge_unanswered(struct load *l)
{
    int64_t now = clock_mono_us();
    for (uint32_t i = 0; i < l->set.connections; i++) {
        struct device *d = &l->devices[i];
        const struct fleet_slot *s = NULL;
        for (uint32_t n = 0; (s = fleet_client_unacked(&d->client, n)) != NULL; n++) {
            if (s->queued_us >= l->measure_from_us && s->queued_us < l->measure_to_us) {
                fleet_histogram_add(&l->latency, now - s->queued_us);
            }
        }
        for (uint64_t j = d->made; l->set.mode == MODE_OPEN && j < d->due; j++) {
            fleet_histogram_add(&l->latency, now - due_at(l, d, j));
        }
    }
}

static void emit_count(struct emit_json *j, const char *key, uint64_t n)
{
    emit_json_key(j, key);
    emit_json_int(j, (int64_t)n);
}

static void emit_real(struct emit_json *j, const char *key, double x, int decimals)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%.*f", decimals, x);
    emit_json_key(j, key);
    emit_json_raw(j, view_of(text, (size_t)len));
}

static void report_latency(const struct fleet_histogram *h, struct emit_json *j)
{
    static const struct {
        const char *key;
        double share;
    } rows[] = {
        {"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"p999_ms", 0.999}, {"max_ms", 1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        emit_real(j, rows[i].key, (double)fleet_histogram_at(h, rows[i].share) / 1000, 3);
    }
}

/* Counts answers by when they came, so that an interval without any shows itself in the next. */
static void report_interval(struct load *l, int64_t now)
{
    if (l->set.every_us == 0 || l->interval_us == 0 || now - l->interval_us < l->set.every_us) {
        return;
    }
    struct buf out;
    buf_init(&out, 1 << 12);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    emit_real(&j, "at_s", (double)(now - l->measure_from_us) / 1e6, 1);
    emit_count(&j, "up", l->up);
    emit_real(&j, "messages_per_second",
              (double)l->interval.count * 1e6 / (double)(now - l->interval_us), 1);
    report_latency(&l->interval, &j);
    emit_json_close(&j, '}');
    CHECK(buf_err(&out) == ERR_OK);
    (void)printf("%.*s\n", VIEW_ARG(buf_view(&out)));
    (void)fflush(stdout);
    buf_fini(&out);
    fleet_histogram_init(&l->interval);
    l->interval_us = now;
}

static void on_phase(uv_timer_t *timer)
{
    struct load *l = timer->data;
    int64_t now = clock_mono_us();
    if (l->failed) {
        stop_all(l);
        return;
    }
    if (l->phase == PHASE_RAMP) {
        bool ready = l->up == l->set.connections;
        if (ready || l->set.mode == MODE_HANDSHAKES) {
            run_begin(l);
        } else if (now - l->phase_us > l->set.ramp_timeout_us) {
            l->failed = true;
        }
        return;
    }
    if (l->phase == PHASE_RUN) {
        if (now >= l->measure_from_us &&
            l->cpu_from.ru_utime.tv_sec + l->cpu_from.ru_utime.tv_usec == 0) {
            (void)getrusage(RUSAGE_SELF, &l->cpu_from);
            l->interval_us = now;
        }
        report_interval(l, now);
        if (now >= l->measure_to_us) {
            (void)getrusage(RUSAGE_SELF, &l->cpu_to);
            /* due_at() counts from the run's beginning, so phase_us stays what it was. */
            l->phase = PHASE_DRAIN;
        }
        return;
    }
    if (l->phase == PHASE_DRAIN &&
        (all_answered(l) || now - l->measure_to_us > 10 * CLOCK_SECOND_US)) {
        charge_unanswered(l);
        stop_all(l);
    }
}

static double cpu_seconds(const struct load *l)
{
    const struct rusage *a = &l->cpu_from;
    const struct rusage *b = &l->cpu_to;
    return (double)(b->ru_utime.tv_sec - a->ru_utime.tv_sec + b->ru_stime.tv_sec -
                    a->ru_stime.tv_sec) +
           (double)(b->ru_utime.tv_usec - a->ru_utime.tv_usec + b->ru_stime.tv_usec -
                    a->ru_stime.tv_usec) /
               1e6;
}

static void report(const struct load *l)
{
    static const char *const modes[] = {"closed", "open", "idle", "handshakes"};
    double seconds = (double)l->set.run_us / 1e6;
    double cpu = cpu_seconds(l);
    struct fleet_client_counts sum = {0};
    for (uint32_t i = 0; i < l->set.connections; i++) {
        const struct fleet_client_counts *c = &l->devices[i].client.counts;
        sum.published += c->published;
        sum.resent += c->resent;
        sum.acked += c->acked;
        sum.unordered += c->unordered;
        sum.losts += c->losts;
        sum.connects += c->connects;
        sum.resumed += c->resumed;
    }
    struct buf out;
    buf_init(&out, 1 << 16);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "mode");
    emit_json_str(&j, modes[l->set.mode]);
    emit_count(&j, "connections", l->set.connections);
    emit_count(&j, "values_per_message", l->set.values);
    emit_count(&j, "payload_bytes", l->template_len);
    emit_real(&j, "seconds", seconds, 3);
    if (l->set.mode == MODE_HANDSHAKES) {
        emit_count(&j, "handshakes", l->connects);
        emit_count(&j, "resumed", sum.resumed);
        emit_real(&j, "handshakes_per_second", (double)l->connects / seconds, 1);
    } else {
        emit_count(&j, "messages", sum.published);
        emit_count(&j, "acks", sum.acked);
        emit_count(&j, "refused", l->refused);
        emit_count(&j, "unanswered", sum.published - sum.acked - l->refused);
        emit_count(&j, "resent", sum.resent);
        emit_count(&j, "unordered_acks", sum.unordered);
        emit_count(&j, "lost_connections", sum.losts);
        emit_real(&j, "messages_per_second", (double)l->acked / seconds, 1);
        emit_real(&j, "values_per_second", (double)l->acked * l->set.values / seconds, 1);
        emit_real(&j, "generator_us_per_message", l->acked == 0 ? 0 : cpu * 1e6 / (double)l->acked,
                  3);
    }
    emit_real(&j, "generator_cpu_share", cpu / seconds, 3);
    report_latency(&l->latency, &j);
    emit_json_key(&j, "error");
    emit_json_str(&j, l->last_error[0] == '\0' ? NULL : l->last_error);
    emit_json_close(&j, '}');
    CHECK(buf_err(&out) == ERR_OK);
    (void)printf("%.*s\n", VIEW_ARG(buf_view(&out)));
    buf_fini(&out);
}

static const char usage[] =
    "bench_load [--connections N] [--seconds T] [--values K] [--rate R | --idle | --handshakes "
    "[--resumed]]\n"
    "  --connections N   (1000)             --seconds T   measured time (10)\n"
    "  --values K        per message (10)   --warm-up T   before measuring (2)\n"
    "  --every T         a line for each interval, too\n"
    "  --rate R          open loop, messages a second over all connections\n"
    "  --idle            hold idle connections\n"
    "  --handshakes      connections a second; --resumed: with TLS tickets\n"
    "  --prefix TEXT     of device names (bench-)\n"
    "  --topic TEXT      %s becomes the device name (v1/devices/me/telemetry)\n"
    "  --username-format TEXT   instead of --secret; %s becomes the device name\n"
    "  --csv             print the import file for these devices and end\n"
    "  --ramp-timeout T  give up when not all are connected by then (60)\n";

enum {
    OPT_CONNECTIONS = FLEET_OPT_OWN,
    OPT_SECONDS,
    OPT_VALUES,
    OPT_WARM_UP,
    OPT_EVERY,
    OPT_RATE,
    OPT_IDLE,
    OPT_HANDSHAKES,
    OPT_RESUMED,
    OPT_PREFIX,
    OPT_TOPIC,
    OPT_USER,
    OPT_CSV,
    OPT_RAMP_TIMEOUT
};

static bool take_own(struct settings *s, int code, const char *text)
{
    uint64_t n = 0;
    bool ok = true;
    switch (code) {
    case OPT_CONNECTIONS:
        ok = fleet_read_count("connections", text, 1, 100000, &n);
        s->connections = (uint32_t)n;
        return ok;
    case OPT_VALUES:
        ok = fleet_read_count("values", text, 1, VALUES_MAX, &n);
        s->values = (uint32_t)n;
        return ok;
    case OPT_SECONDS:
        return fleet_read_time("seconds", text, &s->run_us);
    case OPT_WARM_UP:
        return fleet_read_time("warm-up", text, &s->warm_up_us);
    case OPT_EVERY:
        return fleet_read_time("every", text, &s->every_us);
    case OPT_RAMP_TIMEOUT:
        return fleet_read_time("ramp-timeout", text, &s->ramp_timeout_us);
    case OPT_RATE:
        s->mode = MODE_OPEN;
        return fleet_read_real("rate", text, 0.1, 1e7, &s->rate);
    case OPT_IDLE:
        s->mode = MODE_IDLE;
        return true;
    case OPT_HANDSHAKES:
        s->mode = MODE_HANDSHAKES;
        return true;
    case OPT_RESUMED:
        s->resumed = true;
        return true;
    case OPT_PREFIX:
        s->prefix = text;
        return true;
    case OPT_TOPIC:
        s->topic = text;
        return true;
    case OPT_USER:
        s->user = text;
        return true;
    case OPT_CSV:
        s->print_csv = true;
        return true;
    default:
        return fleet_options_take(&s->common, code, text);
    }
}

static bool read_options(int argc, char **argv, struct settings *s)
{
    static const struct option table[] = {
        FLEET_OPTIONS,
        {"connections", required_argument, NULL, OPT_CONNECTIONS},
        {"seconds", required_argument, NULL, OPT_SECONDS},
        {"values", required_argument, NULL, OPT_VALUES},
        {"warm-up", required_argument, NULL, OPT_WARM_UP},
        {"every", required_argument, NULL, OPT_EVERY},
        {"rate", required_argument, NULL, OPT_RATE},
        {"idle", no_argument, NULL, OPT_IDLE},
        {"handshakes", no_argument, NULL, OPT_HANDSHAKES},
        {"resumed", no_argument, NULL, OPT_RESUMED},
        {"prefix", required_argument, NULL, OPT_PREFIX},
        {"topic", required_argument, NULL, OPT_TOPIC},
        {"username-format", required_argument, NULL, OPT_USER},
        {"csv", no_argument, NULL, OPT_CSV},
        {"ramp-timeout", required_argument, NULL, OPT_RAMP_TIMEOUT},
        {0}};
    *s = (struct settings){.common = fleet_options_default(),
                           .connections = 1000,
                           .values = 10,
                           .run_us = 10 * CLOCK_SECOND_US,
                           .warm_up_us = 2 * CLOCK_SECOND_US,
                           .ramp_timeout_us = 60 * CLOCK_SECOND_US,
                           .topic = FLEET_TOPIC_TELEMETRY,
                           .prefix = "bench-"};
    int code = 0;
    while ((code = getopt_long(argc, argv, "o:", table, NULL)) != -1) {
        if (!take_own(s, code, optarg)) {
            return false;
        }
    }
    if (optind != argc || (s->common.secret == NULL && s->user == NULL)) {
        (void)fprintf(stderr, "give --secret or --username-format, and no other words\n");
        return false;
    }
    return s->run_us > 0;
}

/* One %s at most; anything else of printf's in the text stays as it is. */
static void expand(const char *format, const char *name, char *ret_text, size_t size)
{
    const char *mark = strstr(format, "%s");
    if (mark == NULL) {
        (void)snprintf(ret_text, size, "%s", format);
        return;
    }
    (void)snprintf(ret_text, size, "%.*s%s%s", (int)(mark - format), format, name, mark + 2);
}

static bool name_device(const struct settings *s, struct device *d)
{
    (void)snprintf(d->name, sizeof(d->name), "%s%04u", s->prefix, d->index);
    expand(s->topic, d->name, d->topic, sizeof(d->topic));
    if (s->user != NULL) {
        expand(s->user, d->name, d->user, sizeof(d->user));
        return true;
    }
    return fleet_token(view_str(s->common.secret), view_str(d->name), d->user) == ERR_OK;
}

static bool make_devices(struct load *l)
{
    l->devices = calloc(l->set.connections, sizeof(*l->devices));
    if (l->devices == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < l->set.connections; i++) {
        struct device *d = &l->devices[i];
        d->load = l;
        d->index = i;
        if (!name_device(&l->set, d)) {
            return false;
        }
        if (l->set.print_csv) {
            (void)printf("%s%s,generic,%s\n", i == 0 ? "name,type,token\n" : "", d->name, d->user);
            continue;
        }
        if (fleet_client_init(&d->client, &l->conf, fleet_random_mix(l->set.common.seed, i)) !=
            ERR_OK) {
            return false;
        }
        d->client.arg = d;
        d->client.client_id = d->name;
        d->client.user_name = d->user[0] == '\0' ? NULL : d->user;
        d->client.version = fleet_options_version(&l->set.common, i);
    }
    return true;
}

static void run(struct load *l)
{
    for (uint32_t i = 0; i < l->set.connections; i++) {
        uint64_t after_ms = (uint64_t)i * 1000 / l->set.common.connects_per_second;
        fleet_client_start(&l->devices[i].client, (uint32_t)after_ms);
    }
    phase_enter(l, PHASE_RAMP);
    CHECK(uv_timer_init(&l->uv, &l->timer) == 0);
    l->timer.data = l;
    CHECK(uv_timer_start(&l->timer, on_phase, PHASE_MS, PHASE_MS) == 0);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static const struct fleet_client_events events = {.ready = on_ready,
                                                      .acked = on_acked,
                                                      .room = on_room,
                                                      .lost = on_lost,
                                                      .refused = on_refused};
    static struct load l;
    (void)signal(SIGPIPE, SIG_IGN);
    if (!read_options(argc, argv, &l.set)) {
        (void)fputs(usage, stderr);
        (void)fputs(fleet_options_help, stderr);
        return FLEET_USAGE;
    }
    template_make(&l);
    if (l.set.print_csv) {
        return make_devices(&l) ? FLEET_DONE : FLEET_FAILED;
    }
    if (fleet_raise_files() < l.set.connections) {
        (void)fprintf(stderr, "too many connections for the limit of open files\n");
        return FLEET_FAILED;
    }
    char why[300];
    struct fleet_target target = fleet_options_target(&l.set.common);
    CHECK(uv_loop_init(&l.uv) == 0);
    if (fleet_net_init(&l.net, &l.uv, &target, why, sizeof(why)) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", why);
        return FLEET_FAILED;
    }
    l.conf = fleet_options_conf(&l.set.common, &l.net, &events);
    /* No session outlives its connection: what one measurement leaves behind must not weigh on the
     * next. */
    l.conf.clean_start = true;
    l.conf.session_expiry_s = 0;
    /* With thousands of handshakes at once this program is the slow one, and must not blame the
     * server. */
    l.conf.connect_timeout_ms = 30000;
    if (l.set.mode == MODE_HANDSHAKES) {
        l.conf.resume = l.set.resumed;
        l.conf.backoff_min_ms = 1;
    }
    l.noise = l.set.common.seed;
    l.wall_offset_us = clock_wall_us() - clock_mono_us();
    fleet_histogram_init(&l.latency);
    fleet_histogram_init(&l.interval);
    if (!make_devices(&l) || (l.set.mode == MODE_OPEN && !tick_start(&l))) {
        (void)fprintf(stderr, "out of memory\n");
        return FLEET_FAILED;
    }
    run(&l);
    report(&l);
    for (uint32_t i = 0; i < l.set.connections; i++) {
        fleet_client_fini(&l.devices[i].client);
    }
    free(l.devices);
    fleet_net_fini(&l.net);
    (void)uv_run(&l.uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&l.uv) == 0);
    return l.failed ? FLEET_FAILED : FLEET_DONE;
}
