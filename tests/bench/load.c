/*
 * bench_load: many TLS devices that publish as fast as their windows allow, or at a fixed rate,
 * against any MQTT server.
 *
 *   closed loop (default)  each connection keeps --window messages in flight for --seconds
 *   open loop (--rate R)   R messages a second over all connections; latency counts from the moment
 *                          at which a message was due, so a server that stalls is charged for
 *                          everything that had to wait
 *   --idle                 connections only: says READY on stderr when all are up, holds them
 *   --handshakes           connect, wait for CONNACK, close, again; with --resumed by TLS tickets
 *   --every T              also a JSON line for each interval of the measured time, as it ends
 *
 * Prints one JSON line.
 */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/crew.h"
#include "fleet/histogram.h"
#include "fleet/topic.h"
#include "parts/devices.h"
#include "parts/payload.h"

enum { TICK_US = 500, PHASE_MS = 20, CONNECT_TIMEOUT_MS = 30000 };

enum mode { MODE_CLOSED, MODE_OPEN, MODE_IDLE, MODE_HANDSHAKES };
enum phase { PHASE_RAMP, PHASE_RUN, PHASE_DRAIN, PHASE_STOP };

struct settings {
    struct fleet_options common;
    const char *certs; /* a folder, or NULL */
    enum mode mode;
    uint32_t connections;
    uint32_t values;
    double rate;
    int64_t run_us;
    int64_t warm_up_us;
    int64_t every_us; /* 0: no lines of intervals */
    int64_t ramp_timeout_us;
    const char *prefix; /* of device names */
    bool resumed;
    bool print_csv;
};

struct device {
    struct fleet_client *client;
    struct load *load;
    uint32_t index;
    bool up;
    uint64_t due;  /* open loop: messages whose time has come */
    uint64_t made; /* messages published */
    int64_t last_ms;
};

struct load {
    struct settings set;
    struct fleet_crew crew;
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
    struct bench_payload payload;
    int64_t wall_offset_us; /* wall time minus monotonic time */
};

/* ---- messages ---- */

static struct device *device_of(const struct fleet_client *c)
{
    return ((struct fleet_member *)c->arg)->arg;
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
    uint32_t room = fleet_client_room(d->client);
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
        enum err e =
            fleet_client_publish(d->client, VIEW(FLEET_TOPIC_TELEMETRY),
                                 bench_payload_next(&l->payload, d->last_ms), d->made, queued);
        CHECK(e == ERR_OK);
        d->made++;
    }
}

static bool is_measured(const struct load *l, int64_t us)
{
    return us >= l->measure_from_us && us < l->measure_to_us;
}

static void on_ready(struct fleet_client *c, bool session_present)
{
    (void)session_present;
    struct device *d = device_of(c);
    struct load *l = d->load;
    if (l->set.mode == MODE_HANDSHAKES) {
        int64_t now = clock_mono_us();
        if (l->phase == PHASE_RUN && is_measured(l, now)) {
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
    struct load *l = device_of(c)->load;
    if (reason >= 0x80) {
        l->refused++;
        return;
    }
    l->acked += is_measured(l, now) ? 1 : 0;
    if (is_measured(l, slot->queued_us)) {
        fleet_histogram_add(&l->latency, now - slot->queued_us);
        fleet_histogram_add(&l->interval, now - slot->queued_us);
    }
}

static void on_room(struct fleet_client *c)
{
    publish_some(device_of(c));
}

static void on_lost(struct fleet_client *c, const char *why)
{
    struct device *d = device_of(c);
    if (d->load->set.mode != MODE_HANDSHAKES) {
        fleet_crew_note_lost(c->arg, why);
    }
    if (d->up) {
        d->up = false;
        d->load->up--;
    }
}

static void on_refused(struct fleet_client *c, uint8_t reason)
{
    fleet_crew_note_refused(c->arg, reason);
    device_of(c)->load->failed = true;
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
        if (d->client->state == FLEET_CLIENT_READY) {
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
        uv_poll_init(&l->crew.uv, &l->tick, l->tick_fd) != 0) {
        return false;
    }
    l->tick.data = l;
    return uv_poll_start(&l->tick, UV_READABLE, on_tick) == 0;
}

/* ---- what is printed ---- */

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double cpu_seconds(const struct load *l)
{
    return seconds_of(&l->cpu_to.ru_utime) + seconds_of(&l->cpu_to.ru_stime) -
           seconds_of(&l->cpu_from.ru_utime) - seconds_of(&l->cpu_from.ru_stime);
}

static void emit_latency(const struct fleet_histogram *h, struct emit_json *j)
{
    static const struct {
        const char *key;
        double share;
    } rows[] = {
        {"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"p999_ms", 0.999}, {"max_ms", 1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bench_emit_real(j, rows[i].key, (double)fleet_histogram_at(h, rows[i].share) / 1000, 3);
    }
}

static void print_line(struct emit_json *j, struct buf *out)
{
    emit_json_close(j, '}');
    CHECK(buf_err(out) == ERR_OK);
    (void)printf("%.*s\n", VIEW_ARG(buf_view(out)));
    (void)fflush(stdout);
    buf_fini(out);
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
    bench_emit_real(&j, "at_s", (double)(now - l->measure_from_us) / 1e6, 1);
    bench_emit_count(&j, "up", l->up);
    bench_emit_real(&j, "messages_per_second",
                    (double)l->interval.count * 1e6 / (double)(now - l->interval_us), 1);
    emit_latency(&l->interval, &j);
    print_line(&j, &out);
    fleet_histogram_init(&l->interval);
    l->interval_us = now;
}

static void report(const struct load *l)
{
    static const char *const modes[] = {"closed", "open", "idle", "handshakes"};
    double seconds = (double)l->set.run_us / 1e6;
    double cpu = cpu_seconds(l);
    struct fleet_client_counts sum = fleet_crew_counts(&l->crew);
    bool shaking = l->set.mode == MODE_HANDSHAKES;
    uint64_t done = shaking ? l->connects : l->acked;
    struct buf out;
    buf_init(&out, 1 << 16);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "mode");
    emit_json_str(&j, modes[l->set.mode]);
    bench_emit_count(&j, "connections", l->set.connections);
    bench_emit_real(&j, "seconds", seconds, 3);
    if (shaking) {
        bench_emit_count(&j, "handshakes", l->connects);
        bench_emit_count(&j, "connects", sum.connects); /* warm-up included */
        bench_emit_count(&j, "resumed", sum.resumed);
        bench_emit_real(&j, "handshakes_per_second", (double)l->connects / seconds, 1);
    } else {
        bench_emit_count(&j, "values_per_message", l->set.values);
        bench_emit_count(&j, "payload_bytes", l->payload.len);
        bench_emit_count(&j, "messages", sum.published);
        bench_emit_count(&j, "acks", sum.acked);
        bench_emit_count(&j, "refused", l->refused);
        bench_emit_count(&j, "unanswered", sum.published - sum.acked - l->refused);
        bench_emit_count(&j, "resent", sum.resent);
        bench_emit_count(&j, "unordered_acks", sum.unordered);
        bench_emit_count(&j, "lost_connections", sum.losts);
        bench_emit_real(&j, "messages_per_second", (double)l->acked / seconds, 1);
        bench_emit_real(&j, "values_per_second", (double)l->acked * l->set.values / seconds, 1);
    }
    bench_emit_real(&j, "generator_us", done == 0 ? 0 : cpu * 1e6 / (double)done, 3);
    bench_emit_real(&j, "generator_cpu_share", cpu / seconds, 3);
    emit_latency(&l->latency, &j);
    emit_json_key(&j, "last_lost");
    emit_json_str(&j, l->crew.last_lost[0] == '\0' ? NULL : l->crew.last_lost);
    print_line(&j, &out);
}

/* ---- phases ---- */

static void run_begin(struct load *l)
{
    (void)fprintf(stderr, "READY %u connections\n", l->up);
    l->phase = PHASE_RUN;
    l->phase_us = clock_mono_us();
    l->measure_from_us = l->phase_us + l->set.warm_up_us;
    l->measure_to_us = l->measure_from_us + l->set.run_us;
    for (uint32_t i = 0; i < l->set.connections && l->set.mode == MODE_CLOSED; i++) {
        publish_some(&l->devices[i]);
    }
}

static void stop_all(struct load *l)
{
    l->phase = PHASE_STOP;
    fleet_crew_stop(&l->crew);
    uv_close((uv_handle_t *)&l->timer, NULL);
    if (l->set.mode == MODE_OPEN) {
        uv_close((uv_handle_t *)&l->tick, NULL);
    }
}

static bool all_answered(const struct load *l)
{
    for (uint32_t i = 0; i < l->set.connections; i++) {
        const struct device *d = &l->devices[i];
        if (d->client->count > 0 || (l->set.mode == MODE_OPEN && d->made < d->due)) {
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
        for (uint32_t n = 0; (s = fleet_client_unacked(d->client, n)) != NULL; n++) {
            if (is_measured(l, s->queued_us)) {
                fleet_histogram_add(&l->latency, now - s->queued_us);
            }
        }
        for (uint64_t j = d->made; l->set.mode == MODE_OPEN && j < d->due; j++) {
            fleet_histogram_add(&l->latency, now - due_at(l, d, j));
        }
    }
}

static void ramp(struct load *l, int64_t now)
{
    if (l->up == l->set.connections || l->set.mode == MODE_HANDSHAKES) {
        run_begin(l);
    } else if (now - l->phase_us > l->set.ramp_timeout_us) {
        (void)fprintf(stderr, "only %u of %u connections\n", l->up, l->set.connections);
        l->failed = true;
    }
}

static void run_on(struct load *l, int64_t now)
{
    if (now >= l->measure_from_us && l->interval_us == 0) {
        (void)getrusage(RUSAGE_SELF, &l->cpu_from);
        l->interval_us = now;
    }
    report_interval(l, now);
    if (now >= l->measure_to_us) {
        (void)getrusage(RUSAGE_SELF, &l->cpu_to);
        l->phase = PHASE_DRAIN; /* due_at() counts from the run's beginning: phase_us stays */
    }
}

static void on_phase(uv_timer_t *timer)
{
    struct load *l = timer->data;
    int64_t now = clock_mono_us();
    l->failed = l->failed || l->crew.interrupted;
    if (l->failed) {
        stop_all(l);
    } else if (l->phase == PHASE_RAMP) {
        ramp(l, now);
    } else if (l->phase == PHASE_RUN) {
        run_on(l, now);
    } else if (all_answered(l) || now - l->measure_to_us > 10 * CLOCK_SECOND_US) {
        charge_unanswered(l);
        stop_all(l);
    }
}

/* ---- options ---- */

static const char usage[] =
    "bench_load [--connections N] [--seconds T] [--values K] [--rate R | --idle | --handshakes "
    "[--resumed]]\n"
    "  --connections N   (1000)             --seconds T   measured time (10)\n"
    "  --values K        per message (10)   --warm-up T   before measuring (2)\n"
    "  --every T         a line for each interval, too\n"
    "  --rate R          open loop, messages a second over all connections\n"
    "  --idle            hold idle connections\n"
    "  --handshakes      connections a second; --resumed: with TLS tickets\n"
    "  --certs DIR       DIR/<device>.pem, certificate and key, instead of tokens of --secret\n"
    "  --prefix TEXT     of device names (bench-)\n"
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
    OPT_CERTS,
    OPT_PREFIX,
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
        ok = fleet_read_count("values", text, 1, BENCH_VALUES_MAX, &n);
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
    case OPT_CERTS:
        s->certs = text;
        return true;
    case OPT_PREFIX:
        s->prefix = text;
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
        {"certs", required_argument, NULL, OPT_CERTS},
        {"prefix", required_argument, NULL, OPT_PREFIX},
        {"csv", no_argument, NULL, OPT_CSV},
        {"ramp-timeout", required_argument, NULL, OPT_RAMP_TIMEOUT},
        {0}};
    *s = (struct settings){.common = fleet_options_default(),
                           .connections = 1000,
                           .values = 10,
                           .run_us = 10 * CLOCK_SECOND_US,
                           .warm_up_us = 2 * CLOCK_SECOND_US,
                           .ramp_timeout_us = 60 * CLOCK_SECOND_US,
                           .prefix = "bench-"};
    int code = 0;
    while ((code = getopt_long(argc, argv, "o:", table, NULL)) != -1) {
        if (!take_own(s, code, optarg)) {
            return false;
        }
    }
    if (optind != argc || (s->common.secret == NULL && s->certs == NULL)) {
        (void)fprintf(stderr, "give --secret or --certs, and no other words\n");
        return false;
    }
    return s->run_us > 0;
}

/* ---- life ---- */

static bool open_devices(struct load *l)
{
    l->devices = calloc(l->set.connections, sizeof(*l->devices));
    if (l->devices == NULL || !bench_add_devices(&l->crew, l->set.prefix, l->set.connections)) {
        return false;
    }
    struct fleet_client_conf *conf = &l->crew.conf;
    /* No session outlives its connection: what one measurement leaves behind must not weigh on the
     * next. */
    conf->clean_start = true;
    conf->session_expiry_s = 0;
    /* With thousands of handshakes at once this program is the slow one, and must not blame the
     * server. */
    conf->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (l->set.mode == MODE_HANDSHAKES) {
        conf->resume = l->set.resumed;
        conf->backoff_min_ms = 1;
    }
    for (uint32_t i = 0; i < l->set.connections; i++) {
        struct fleet_member *m = &l->crew.members[i];
        l->devices[i] = (struct device){.client = &m->client, .load = l, .index = i};
        m->arg = &l->devices[i];
    }
    return fleet_crew_open(&l->crew);
}

static void run(struct load *l)
{
    fleet_crew_start(&l->crew);
    l->phase_us = clock_mono_us();
    CHECK(uv_timer_init(&l->crew.uv, &l->timer) == 0);
    l->timer.data = l;
    CHECK(uv_timer_start(&l->timer, on_phase, PHASE_MS, PHASE_MS) == 0);
    (void)uv_run(&l->crew.uv, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static const struct fleet_client_events events = {.ready = on_ready,
                                                      .acked = on_acked,
                                                      .room = on_room,
                                                      .lost = on_lost,
                                                      .refused = on_refused};
    static struct load l;
    if (!read_options(argc, argv, &l.set)) {
        (void)fputs(usage, stderr);
        (void)fputs(fleet_options_help, stderr);
        return FLEET_USAGE;
    }
    const struct settings *set = &l.set;
    if (set->print_csv) {
        bool printed = bench_print_csv(set->common.secret, set->prefix, set->connections);
        return printed ? FLEET_DONE : FLEET_FAILED;
    }
    const struct fleet_identity who = {.certs_dir = set->certs, .secret = set->common.secret};
    if (!fleet_crew_init(&l.crew, &set->common, &who, &events)) {
        return FLEET_FAILED;
    }
    bench_payload_init(&l.payload, set->values, set->common.seed);
    l.wall_offset_us = clock_wall_us() - clock_mono_us();
    fleet_histogram_init(&l.latency);
    fleet_histogram_init(&l.interval);
    if (!open_devices(&l) || (set->mode == MODE_OPEN && !tick_start(&l))) {
        return FLEET_FAILED;
    }
    run(&l);
    report(&l);
    fleet_crew_fini(&l.crew);
    free(l.devices);
    return l.failed ? FLEET_FAILED : FLEET_DONE;
}
