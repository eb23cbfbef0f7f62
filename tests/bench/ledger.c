/*
 * bench_ledger: devices whose every value is a number used once, and a book of what became of each.
 *
 * It trusts the server in nothing: a value that was acknowledged must be found, unchanged and once,
 * by whoever reads the database afterwards (tests/system/ledger_verify.py). A duplicate that got
 * another timestamp is still seen, because the value itself is the serial number.
 *
 * Book, one line for each value:  nonce,device,metric,ts,seq,value,t_send,t_ack,state
 *   ts      the device's own time in ms, empty when the server is to give one (--server-ts share)
 *   seq     the message's number within the device
 *   t_*     wall clock in µs; t_ack is empty for `unknown`
 *   state   acked, rejected (reason 0x80 or above) or unknown (no answer until the end)
 *
 * Happy path: connect, publish within the window or at --rate, write a line with each PUBACK.
 * Failure:    a killed server means reconnecting with the same client id and session, and sending
 * again with DUP. Half of the devices speak MQTT 3.1.1, half 5.0. PUBACKs out of order are counted
 * and make the program fail.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/crew.h"
#include "fleet/topic.h"
#include "parts/devices.h"

enum { VALUES_MAX = 50, TICK_MS = 5, PAYLOAD_MAX = 64 + VALUES_MAX * 32 };

struct settings {
    struct fleet_options common;
    const char *file;
    const char *prefix;
    const char *certs; /* a directory; NULL: tokens */
    uint32_t devices;
    uint32_t values;
    double rate;       /* messages a second over all devices; 0: as the windows allow */
    double server_ts;  /* share of devices that send no time of their own */
    double cut_rate;   /* connections cut a second by the generator itself */
    int64_t run_us;    /* 0: no end */
    uint64_t messages; /* 0: no end */
    int64_t drain_us;
    uint64_t first_nonce;
    int64_t patience_us; /* 0: as the pauses have it */
    bool slow_retry;
    bool print_csv;
};

struct note {       /* of one message under way; a ring as large as the window */
    uint64_t nonce; /* of its first value */
    int64_t ts_ms;  /* 0: none */
    uint64_t seq;
};

struct device {
    struct fleet_client *client;
    struct ledger *book;
    bool own_ts;
    uint64_t seq;
    int64_t last_ms;
    struct note *notes; /* index: seq modulo window */
};

struct ledger {
    struct settings set;
    struct fleet_crew crew;
    struct device *devices;
    uv_timer_t timer;
    FILE *file;
    struct fleet_random random;
    uint64_t next_nonce;
    uint64_t published;
    uint64_t turn; /* --rate: whose message is next */
    int64_t started_us, ended_us;
    int64_t wall_offset_us;
    int64_t next_cut_us;
    bool ending, failed;
    uint64_t acked, rejected, unknown;
};

static struct device *device_of(const struct fleet_client *c)
{
    return ((struct fleet_member *)c->arg)->arg;
}

static void write_lines(struct ledger *b, const struct device *d, const struct fleet_slot *slot,
                        const char *state, int64_t ack_us)
{
    const struct note *n = &d->notes[slot->tag % b->crew.conf.window_max];
    char ts[24] = "";
    char ack[24] = "";
    if (n->ts_ms != 0) {
        (void)snprintf(ts, sizeof(ts), "%lld", (long long)n->ts_ms);
    }
    if (ack_us != 0) {
        (void)snprintf(ack, sizeof(ack), "%lld", (long long)(ack_us + b->wall_offset_us));
    }
    long long sent = slot->sent_us == 0 ? 0 : (long long)(slot->sent_us + b->wall_offset_us);
    for (uint32_t i = 0; i < b->set.values; i++) {
        unsigned long long nonce = n->nonce + i;
        int len =
            fprintf(b->file, "%llu,%s,m%02u,%s,%llu,%llu,%lld,%s,%s\n", nonce, d->client->client_id,
                    i, ts, (unsigned long long)n->seq, nonce, sent, ack, state);
        b->failed = b->failed || len < 0;
    }
}

static void publish_one(struct device *d)
{
    struct ledger *b = d->book;
    char text[PAYLOAD_MAX];
    size_t at = 0;
    int64_t ms = (clock_mono_us() + b->wall_offset_us) / 1000;
    d->last_ms = ms > d->last_ms
                     ? ms
                     : d->last_ms + 1; /* each instant once, so that two samples are never one */
    if (d->own_ts) {
        at +=
            (size_t)snprintf(text, sizeof(text), "{\"ts\":%lld,\"values\":", (long long)d->last_ms);
    }
    for (uint32_t i = 0; i < b->set.values; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s\"m%02u\":%llu", i == 0 ? "{" : ",",
                               i, (unsigned long long)b->next_nonce + i);
    }
    at += (size_t)snprintf(text + at, sizeof(text) - at, d->own_ts ? "}}" : "}");
    CHECK(at < sizeof(text));
    d->notes[d->seq % b->crew.conf.window_max] =
        (struct note){.nonce = b->next_nonce, .ts_ms = d->own_ts ? d->last_ms : 0, .seq = d->seq};
    enum err e = fleet_client_publish(d->client, VIEW(FLEET_TOPIC_TELEMETRY), view_of(text, at),
                                      d->seq, clock_mono_us());
    CHECK(e == ERR_OK);
    b->next_nonce += b->set.values;
    b->published++;
    d->seq++;
}

/* The ring of notes is as large as the window, so a message may start only when the one that had
 * its place is done. */
static bool may_publish(const struct device *d)
{
    const struct ledger *b = d->book;
    return !b->ending && (b->set.messages == 0 || b->published < b->set.messages) &&
           fleet_client_room(d->client) > 0;
}

static void publish_some(struct device *d)
{
    while (d->book->set.rate == 0 && may_publish(d)) {
        publish_one(d);
    }
}

static void on_acked(struct fleet_client *c, const struct fleet_slot *slot, uint8_t reason,
                     int64_t now)
{
    struct device *d = device_of(c);
    struct ledger *b = d->book;
    bool ok = reason < 0x80;
    b->acked += ok ? 1 : 0;
    b->rejected += ok ? 0 : 1;
    write_lines(b, d, slot, ok ? "acked" : "rejected", now);
}

static void on_room(struct fleet_client *c)
{
    publish_some(device_of(c));
}

static void on_lost(struct fleet_client *c, const char *why)
{
    fleet_crew_note_lost(c->arg, why);
}

static void on_refused(struct fleet_client *c, uint8_t reason)
{
    struct ledger *b = device_of(c)->book;
    fleet_crew_note_refused(c->arg, reason);
    b->failed = true;
    b->ending = true;
}

static bool all_answered(const struct ledger *b)
{
    for (uint32_t i = 0; i < b->set.devices; i++) {
        if (b->devices[i].client->count > 0) {
            return false;
        }
    }
    return true;
}

static void stop_all(struct ledger *b)
{
    for (uint32_t i = 0; i < b->set.devices; i++) {
        struct device *d = &b->devices[i];
        const struct fleet_slot *slot = NULL;
        for (uint32_t n = 0; (slot = fleet_client_unacked(d->client, n)) != NULL; n++) {
            b->unknown++;
            write_lines(b, d, slot, "unknown", 0);
        }
    }
    fleet_crew_stop(&b->crew);
    uv_close((uv_handle_t *)&b->timer, NULL);
}

static void publish_due(struct ledger *b, int64_t now)
{
    uint64_t due = (uint64_t)((double)(now - b->started_us) * b->set.rate / 1e6);
    for (; b->turn < due && !b->ending; b->turn++) {
        struct device *d = &b->devices[b->turn % b->set.devices];
        if (may_publish(d)) {
            publish_one(d);
        }
    }
}

static void cut_some(struct ledger *b, int64_t now)
{
    if (b->set.cut_rate <= 0 || now < b->next_cut_us) {
        return;
    }
    fleet_client_kill(b->devices[fleet_random_below(&b->random, b->set.devices)].client);
    b->next_cut_us = now + (int64_t)(1e6 / b->set.cut_rate);
}

static void on_tick(uv_timer_t *timer)
{
    struct ledger *b = timer->data;
    int64_t now = clock_mono_us();
    if (!b->ending) {
        b->ending = b->crew.interrupted;
        publish_due(b, now);
        cut_some(b, now);
        bool over = b->set.run_us > 0 && now - b->started_us >= b->set.run_us;
        if (over || (b->set.messages > 0 && b->published >= b->set.messages)) {
            b->ending = true;
        }
        b->ended_us = now;
        return;
    }
    if (b->failed || all_answered(b) || now - b->ended_us > b->set.drain_us) {
        stop_all(b);
    }
}

static uint64_t report(const struct ledger *b)
{
    struct fleet_client_counts sum = fleet_crew_counts(&b->crew);
    struct buf out;
    buf_init(&out, 1 << 16);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    bench_emit_count(&j, "devices", b->set.devices);
    bench_emit_count(&j, "messages", b->published);
    bench_emit_count(&j, "values", b->published * b->set.values);
    bench_emit_count(&j, "acked", b->acked);
    bench_emit_count(&j, "rejected", b->rejected);
    bench_emit_count(&j, "unknown", b->unknown);
    bench_emit_count(&j, "resent", sum.resent);
    bench_emit_count(&j, "unordered_acks", sum.unordered);
    bench_emit_count(&j, "stray_acks", sum.stray);
    bench_emit_count(&j, "connects", sum.connects);
    bench_emit_count(&j, "lost_connections", sum.losts);
    bench_emit_count(&j, "first_nonce", b->set.first_nonce);
    bench_emit_count(&j, "seconds_x1000", (uint64_t)(b->ended_us - b->started_us) / 1000);
    emit_json_close(&j, '}');
    CHECK(buf_err(&out) == ERR_OK);
    (void)printf("%.*s\n", VIEW_ARG(buf_view(&out)));
    buf_fini(&out);
    return sum.unordered;
}

static const char usage[] =
    "bench_ledger --file BOOK.csv --secret TEXT [--devices N] [--seconds T] [--messages N] [--rate "
    "R]\n"
    "  --devices N     (100)      --values K     per message (1)\n"
    "  --seconds T     publish for so long (10)   --messages N   or until so many\n"
    "  --rate R        messages a second over all devices (as fast as the windows allow)\n"
    "  --drain T       wait for answers at the end (30s)\n"
    "  --server-ts S   share of devices without a time of their own (0)\n"
    "  --cut R         cut R connections a second without a word (0)\n"
    "  --certs DIR     DIR/<device>.pem, certificate and key, instead of tokens\n"
    "  --slow-retry    reconnect after 1 to 30 s, not after up to 1 s\n"
    "  --patience T    give a connection up that takes so long (5s; 20s with --slow-retry)\n"
    "  --first-nonce N first value (from the clock, so that runs do not overlap)\n"
    "  --prefix TEXT   of device names (ledger-)\n"
    "  --csv           print the import file for these devices and end\n"
    "Exit 0: every message was acknowledged, in order.\n";

enum {
    OPT_FILE = FLEET_OPT_OWN,
    OPT_DEVICES,
    OPT_VALUES,
    OPT_SECONDS,
    OPT_MESSAGES,
    OPT_RATE,
    OPT_DRAIN,
    OPT_SERVER_TS,
    OPT_CUT,
    OPT_NONCE,
    OPT_PREFIX,
    OPT_CERTS,
    OPT_SLOW_RETRY,
    OPT_PATIENCE,
    OPT_CSV
};

static bool take_own(struct settings *s, int code, const char *text)
{
    uint64_t n = 0;
    bool ok = true;
    switch (code) {
    case OPT_FILE:
        s->file = text;
        return true;
    case OPT_PREFIX:
        s->prefix = text;
        return true;
    case OPT_CSV:
        s->print_csv = true;
        return true;
    case OPT_CERTS:
        s->certs = text;
        return true;
    case OPT_SLOW_RETRY:
        s->slow_retry = true;
        s->common.retry_fast = false;
        return true;
    case OPT_PATIENCE:
        return fleet_read_time("patience", text, &s->patience_us);
    case OPT_DEVICES:
        ok = fleet_read_count("devices", text, 1, 100000, &n);
        s->devices = (uint32_t)n;
        return ok;
    case OPT_VALUES:
        ok = fleet_read_count("values", text, 1, VALUES_MAX, &n);
        s->values = (uint32_t)n;
        return ok;
    case OPT_MESSAGES:
        s->run_us = 0;
        return fleet_read_count("messages", text, 1, 1000000000, &s->messages);
    case OPT_NONCE:
        return fleet_read_count("first-nonce", text, 1, 1ULL << 52, &s->first_nonce);
    case OPT_SECONDS:
        return fleet_read_time("seconds", text, &s->run_us);
    case OPT_DRAIN:
        return fleet_read_time("drain", text, &s->drain_us);
    case OPT_RATE:
        return fleet_read_real("rate", text, 0.01, 1e7, &s->rate);
    case OPT_SERVER_TS:
        return fleet_read_share("server-ts", text, &s->server_ts);
    case OPT_CUT:
        return fleet_read_real("cut", text, 0, 1000, &s->cut_rate);
    default:
        return fleet_options_take(&s->common, code, text);
    }
}

static bool read_options(int argc, char **argv, struct settings *s)
{
    static const struct option table[] = {FLEET_OPTIONS,
                                          {"file", required_argument, NULL, OPT_FILE},
                                          {"devices", required_argument, NULL, OPT_DEVICES},
                                          {"values", required_argument, NULL, OPT_VALUES},
                                          {"seconds", required_argument, NULL, OPT_SECONDS},
                                          {"messages", required_argument, NULL, OPT_MESSAGES},
                                          {"rate", required_argument, NULL, OPT_RATE},
                                          {"drain", required_argument, NULL, OPT_DRAIN},
                                          {"server-ts", required_argument, NULL, OPT_SERVER_TS},
                                          {"cut", required_argument, NULL, OPT_CUT},
                                          {"first-nonce", required_argument, NULL, OPT_NONCE},
                                          {"prefix", required_argument, NULL, OPT_PREFIX},
                                          {"certs", required_argument, NULL, OPT_CERTS},
                                          {"slow-retry", no_argument, NULL, OPT_SLOW_RETRY},
                                          {"patience", required_argument, NULL, OPT_PATIENCE},
                                          {"csv", no_argument, NULL, OPT_CSV},
                                          {0}};
    *s = (struct settings){.common = fleet_options_default(),
                           .prefix = "ledger-",
                           .devices = 100,
                           .values = 1,
                           .run_us = 10 * CLOCK_SECOND_US,
                           .drain_us = 30 * CLOCK_SECOND_US};
    s->common.versions = FLEET_MIXED;
    s->common.retry_fast = true;
    int code = 0;
    while ((code = getopt_long(argc, argv, "o:", table, NULL)) != -1) {
        if (!take_own(s, code, optarg)) {
            return false;
        }
    }
    if (s->first_nonce == 0) {
        s->first_nonce = (uint64_t)clock_wall_us(); /* under 2^53 until the year 2255 */
    }
    bool complete = s->common.secret != NULL && (s->file != NULL || s->print_csv);
    return optind == argc && complete;
}

static bool open_devices(struct ledger *b)
{
    b->devices = calloc(b->set.devices, sizeof(*b->devices));
    if (b->devices == NULL || !bench_add_devices(&b->crew, b->set.prefix, b->set.devices)) {
        return false;
    }
    for (uint32_t i = 0; i < b->set.devices; i++) {
        struct fleet_member *m = &b->crew.members[i];
        struct device *d = &b->devices[i];
        /* Versions alternate with i, so both versions get their share without a time of their own.
         */
        double pair = i / 2;
        *d = (struct device){
            .client = &m->client,
            .book = b,
            .own_ts =
                (uint64_t)((pair + 1) * b->set.server_ts) == (uint64_t)(pair * b->set.server_ts),
            .notes = calloc(b->crew.conf.window_max, sizeof(*d->notes)),
        };
        m->arg = d;
        if (d->notes == NULL) {
            return false;
        }
    }
    return fleet_crew_open(&b->crew);
}

static void run(struct ledger *b)
{
    b->wall_offset_us = clock_wall_us() - clock_mono_us();
    b->started_us = clock_mono_us();
    b->next_nonce = b->set.first_nonce;
    CHECK(uv_timer_init(&b->crew.uv, &b->timer) == 0);
    b->timer.data = b;
    CHECK(uv_timer_start(&b->timer, on_tick, TICK_MS, TICK_MS) == 0);
    fleet_crew_start(&b->crew);
    (void)uv_run(&b->crew.uv, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static const struct fleet_client_events events = {
        .acked = on_acked, .room = on_room, .lost = on_lost, .refused = on_refused};
    static struct ledger b;
    if (!read_options(argc, argv, &b.set)) {
        (void)fputs(usage, stderr);
        (void)fputs(fleet_options_help, stderr);
        return FLEET_USAGE;
    }
    const struct settings *set = &b.set;
    if (set->print_csv) {
        bool printed = bench_print_csv(set->common.secret, set->prefix, set->devices);
        return printed ? FLEET_DONE : FLEET_FAILED;
    }
    const struct fleet_identity who = {.certs_dir = set->certs, .secret = set->common.secret};
    if (!fleet_crew_init(&b.crew, &set->common, &who, &events)) {
        return FLEET_FAILED;
    }
    b.crew.conf.backoff_max_ms = set->slow_retry ? 30000 : 1000;
    if (set->patience_us > 0) {
        b.crew.conf.connect_timeout_ms = (uint32_t)(set->patience_us / CLOCK_MS_US);
    }
    fleet_random_init(&b.random, set->common.seed);
    b.file = fopen(set->file, "we");
    if (b.file == NULL || !open_devices(&b)) {
        (void)fprintf(stderr, "%s: %s\n", set->file, strerror(errno));
        return FLEET_FAILED;
    }
    (void)fprintf(b.file, "nonce,device,metric,ts,seq,value,t_send,t_ack,state\n");
    run(&b);
    uint64_t unordered = report(&b);
    bool written = fclose(b.file) == 0 && !b.failed;
    fleet_crew_fini(&b.crew);
    for (uint32_t i = 0; i < set->devices; i++) {
        free(b.devices[i].notes);
    }
    free(b.devices);
    bool all_acked = b.unknown == 0 && b.rejected == 0;
    return written && unordered == 0 && all_acked ? FLEET_DONE : FLEET_FAILED;
}
