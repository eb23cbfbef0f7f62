/*
 * `fleet replay`: recorded rows, sent again as if by their devices.
 *
 * Happy path: plan the files, connect one client for each device, release messages as their time
 * comes (or as the windows allow with --speed max), count answers, end when all are in. Failure:
 * clients reconnect and send again; a device that is turned away leaves its messages unanswered;
 * without any answer for --give-up the rest is unanswered. Order:      each device sends in the
 * plan's order. With --speed max no device runs ahead of the others by more than what all windows
 * hold, so the fleet's event time stays together.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/commands.h"
#include "fleet/crew.h"
#include "fleet/plan.h"
#include "fleet/progress.h"
#include "fleet/topic.h"

enum {
    TICK_MS = 5,
    OPT_SPEED = FLEET_OPT_OWN,
    OPT_PREFIX,
    OPT_TOKEN,
    OPT_TOKENS,
    OPT_CERTS,
    OPT_SHUFFLE,
    OPT_DOUBLE,
    OPT_WIDE,
    OPT_SKIP_BAD,
    OPT_GIVE_UP,
    OPT_TOGETHER,
    OPT_MAX_PAUSE
};

struct lane {         /* of one device */
    int32_t next;     /* message to send, or FLEET_PLAN_NONE */
    uint32_t waiting; /* released and not sent */
};

struct replay {
    struct fleet_options options;
    struct fleet_identity identity;
    struct fleet_plan plan;
    struct fleet_crew crew;
    struct fleet_progress progress;
    struct lane *lanes;
    uv_timer_t timer;
    double speed; /* 0: max */
    int64_t shuffle_us, give_up_us, max_pause_us;
    double double_share;
    uint64_t released, answered, abandoned;
    int64_t started_us, ended_us, answered_us;
    bool stopped;
};

static const char usage[] =
    "signalbox fleet replay FILE.csv[.gz]... [options]\n"
    "Sends recorded rows (columns ts, device, then metrics) as their devices would, over MQTT and "
    "TLS.\n"
    "Example: signalbox fleet replay pump-1.csv pump-2.csv --secret-file var/fleet.secret --speed "
    "60\n"
    "  --speed X             60: a minute of the record in a second (default 1); max: as fast as "
    "it goes\n"
    "  --max-pause T         wait no longer than T where nothing was recorded (default 10s)\n"
    "  --together            every device's record begins now, also when they are of different "
    "days\n"
    "  --device-prefix P     before each device name\n"
    "  --wide METRIC         the columns are devices, the cells values of METRIC\n"
    "  --shuffle T           out of order, within T of event time\n"
    "  --double SHARE        send a share of the messages twice (5%)\n"
    "  --skip-bad            leave bad rows out instead of stopping\n"
    "  --give-up T           end after T without any answer (default 2m)\n"
    "  --token T | --tokens FILE | --certs DIR   instead of --secret: one token; name,token "
    "lines;\n"
    "                        DIR/<device>.crt and .key, or .pem\n"
    "Exit code 0: every message was acknowledged.\n";

static bool take_option(struct replay *r, int code, const char *text)
{
    switch (code) {
    case OPT_SPEED:
        r->speed = 0;
        return strcmp(text, "max") == 0 || fleet_read_real("speed", text, 0.001, 1e9, &r->speed);
    case OPT_PREFIX:
        r->plan.prefix = text;
        return true;
    case OPT_TOKEN:
        r->identity.token = text;
        return true;
    case OPT_TOKENS:
        r->identity.tokens_file = text;
        return true;
    case OPT_CERTS:
        r->identity.certs_dir = text;
        return true;
    case OPT_SHUFFLE:
        return fleet_read_time("shuffle", text, &r->shuffle_us);
    case OPT_DOUBLE:
        return fleet_read_share("double", text, &r->double_share);
    case OPT_WIDE:
        r->plan.wide_metric = text;
        return true;
    case OPT_SKIP_BAD:
        r->plan.skip_bad = true;
        return true;
    case OPT_TOGETHER:
        r->plan.together = true;
        return true;
    case OPT_MAX_PAUSE:
        return fleet_read_time("max-pause", text, &r->max_pause_us);
    case OPT_GIVE_UP:
        return fleet_read_time("give-up", text, &r->give_up_us);
    default:
        return fleet_options_take(&r->options, code, text);
    }
}

static bool read_options(int argc, char **argv, struct replay *r)
{
    static const struct option table[] = {FLEET_OPTIONS,
                                          {"speed", required_argument, NULL, OPT_SPEED},
                                          {"device-prefix", required_argument, NULL, OPT_PREFIX},
                                          {"token", required_argument, NULL, OPT_TOKEN},
                                          {"tokens", required_argument, NULL, OPT_TOKENS},
                                          {"certs", required_argument, NULL, OPT_CERTS},
                                          {"shuffle", required_argument, NULL, OPT_SHUFFLE},
                                          {"double", required_argument, NULL, OPT_DOUBLE},
                                          {"wide", required_argument, NULL, OPT_WIDE},
                                          {"skip-bad", no_argument, NULL, OPT_SKIP_BAD},
                                          {"give-up", required_argument, NULL, OPT_GIVE_UP},
                                          {"together", no_argument, NULL, OPT_TOGETHER},
                                          {"max-pause", required_argument, NULL, OPT_MAX_PAUSE},
                                          {0}};
    int code = 0;
    while ((code = getopt_long(argc, argv, "o:", table, NULL)) != -1) {
        if (!take_option(r, code, optarg)) {
            return false;
        }
    }
    r->identity.secret = r->options.secret;
    if (optind == argc) {
        (void)fputs(usage, stderr);
        (void)fputs(fleet_options_help, stderr);
        return false;
    }
    return true;
}

static void publish_some(struct fleet_member *m)
{
    struct replay *r = m->arg;
    struct lane *lane = &r->lanes[m->index];
    uint32_t room = fleet_client_room(&m->client);
    while (lane->waiting > 0 && room-- > 0) {
        const struct fleet_message *message = &r->plan.messages[lane->next];
        enum err e = fleet_client_publish(&m->client, VIEW(FLEET_TOPIC_TELEMETRY),
                                          fleet_plan_payload(&r->plan, message),
                                          (uint64_t)lane->next, clock_mono_us());
        CHECK(e == ERR_OK || e == ERR_NOMEM);
        if (e != ERR_OK) {
            return; /* tried again with the next answer */
        }
        lane->next = message->next;
        lane->waiting--;
    }
}

/* Gives messages to their devices, in the plan's order, up to one event time or one number of
 * messages under way. */
static void release(struct replay *r, int64_t now)
{
    uint64_t total = r->plan.message_count;
    int64_t until = INT64_MAX;
    uint64_t most = total;
    if (r->speed > 0) {
        double passed = (double)(now - r->started_us) * r->speed;
        double all =
            total == 0 ? 0
                       : (double)(r->plan.messages[total - 1].due_us - r->plan.messages[0].due_us);
        until =
            total == 0 || passed >= all ? INT64_MAX : r->plan.messages[0].due_us + (int64_t)passed;
    } else {
        uint64_t under_way = (uint64_t)r->crew.count * r->options.window;
        most = r->answered + r->abandoned + (under_way < 1000 ? 1000 : under_way);
    }
    for (;
         r->released < total && r->released < most && r->plan.messages[r->released].due_us <= until;
         r->released++) {
        uint32_t device = r->plan.messages[r->released].device;
        struct fleet_member *m = &r->crew.members[device];
        if (m->gone) {
            r->abandoned++;
            continue;
        }
        r->lanes[device].waiting++;
        if (m->client.state == FLEET_CLIENT_READY) {
            publish_some(m);
        }
    }
}

static void on_acked(struct fleet_client *c, const struct fleet_slot *slot, uint8_t reason,
                     int64_t now)
{
    struct fleet_member *m = c->arg;
    struct replay *r = m->arg;
    if (reason >= 0x80 && c->counts.refused == 1) {
        const struct fleet_message *message = &r->plan.messages[slot->tag];
        (void)fprintf(stderr, "%s: the server refused %.*s: %s\n", m->name,
                      VIEW_ARG(fleet_plan_payload(&r->plan, message)), mqtt_reason_words(reason));
    }
    r->answered++;
    r->answered_us = now;
}

static void on_room(struct fleet_client *c)
{
    struct fleet_member *m = c->arg;
    publish_some(m);
}

/* What this device still has will not be answered. */
static void abandon(struct fleet_member *m)
{
    struct replay *r = m->arg;
    struct lane *lane = &r->lanes[m->index];
    r->abandoned += lane->waiting + m->client.count;
    lane->waiting = 0;
}

static void on_refused(struct fleet_client *c, uint8_t reason)
{
    fleet_crew_note_refused(c->arg, reason);
    abandon(c->arg);
}

static void on_lost(struct fleet_client *c, const char *why)
{
    struct fleet_member *m = c->arg;
    fleet_crew_note_lost(m, why);
    if (m->gone) {
        abandon(m);
    }
}

static void stop(struct replay *r)
{
    r->stopped = true;
    r->ended_us = clock_mono_us();
    uv_close((uv_handle_t *)&r->timer, NULL);
    fleet_crew_stop(&r->crew);
}

static void on_tick(uv_timer_t *timer)
{
    struct replay *r = timer->data;
    int64_t now = clock_mono_us();
    release(r, now);
    fleet_progress_draw(&r->progress, r->answered, r->plan.message_count, now);
    bool all = r->answered + r->abandoned >= r->plan.message_count;
    /* Silence counts only while something has been sent and is not answered. */
    bool waiting = r->answered + r->abandoned < r->released;
    r->answered_us = waiting ? r->answered_us : now;
    bool silent = now - r->answered_us > r->give_up_us;
    if (silent && !all) {
        (void)fprintf(stderr, "no answer for %d s: giving up\n",
                      (int)(r->give_up_us / CLOCK_SECOND_US));
    }
    if (all || silent || r->crew.interrupted) {
        stop(r);
    }
}

static void report(const struct replay *r)
{
    struct fleet_client_counts sum = fleet_crew_counts(&r->crew);
    double seconds = (double)(r->ended_us - r->started_us) / 1e6;
    uint64_t total = r->plan.message_count;
    uint64_t unanswered = total - sum.acked - sum.refused;
    if (!r->options.json) {
        (void)printf("%u messages of %u devices in %.1f s (%.0f a second): %" PRIu64
                     " acknowledged, %" PRIu64 " refused, %" PRIu64 " unanswered, %" PRIu64
                     " sent again\n",
                     r->plan.message_count, r->crew.count, seconds, (double)sum.acked / seconds,
                     sum.acked, sum.refused, unanswered, sum.resent);
        return;
    }
    struct buf out;
    buf_init(&out, 1 << 24);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    const struct {
        const char *key;
        uint64_t n;
    } rows[] = {{"files", r->plan.files},
                {"rows", r->plan.rows},
                {"bad_rows", r->plan.bad_rows},
                {"empty_rows", r->plan.empty_rows},
                {"messages", total},
                {"doubled", r->plan.doubles},
                {"sent", sum.published},
                {"unanswered", unanswered},
                {"milliseconds", (uint64_t)(seconds * 1000)}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        emit_json_key(&j, rows[i].key);
        emit_json_int(&j, (int64_t)rows[i].n);
    }
    fleet_crew_emit(&r->crew, &j);
    emit_json_close(&j, '}');
    if (buf_err(&out) == ERR_OK) {
        (void)printf("%.*s\n", VIEW_ARG(buf_view(&out)));
    }
    buf_fini(&out);
}

static bool make_plan(struct replay *r, char **files, int count)
{
    char why[400] = "";
    for (int i = 0; i < count; i++) {
        if (fleet_plan_read(&r->plan, files[i], why, sizeof(why)) != ERR_OK) {
            (void)fprintf(stderr, "%s\n", why);
            return false;
        }
    }
    if (r->plan.bad_rows > 0) {
        (void)fprintf(stderr, "%" PRIu64 " bad rows are left out\n", r->plan.bad_rows);
    }
    if (fleet_plan_arrange(&r->plan, r->shuffle_us, r->double_share, r->options.seed) != ERR_OK) {
        (void)fprintf(stderr, "out of memory\n");
        return false;
    }
    if (r->speed > 0) {
        fleet_plan_close_gaps(&r->plan, (int64_t)((double)r->max_pause_us * r->speed));
    }
    return true;
}

static bool make_crew(struct replay *r)
{
    static const struct fleet_client_events events = {
        .acked = on_acked, .room = on_room, .refused = on_refused, .lost = on_lost};
    if (!fleet_crew_init(&r->crew, &r->options, &r->identity, &events)) {
        return false;
    }
    r->lanes = calloc((size_t)r->plan.device_count + 1, sizeof(*r->lanes));
    bool ok = r->lanes != NULL;
    for (uint32_t i = 0; ok && i < r->plan.device_count; i++) {
        const struct fleet_plan_device *d = &r->plan.devices[i];
        r->lanes[i] = (struct lane){.next = d->first};
        ok = fleet_crew_add(&r->crew, d->name);
    }
    ok = ok && fleet_crew_open(&r->crew);
    for (uint32_t i = 0; ok && i < r->crew.count; i++) {
        r->crew.members[i].arg = r;
    }
    if (!ok) {
        fleet_crew_stop(&r->crew);
        fleet_crew_fini(&r->crew);
    }
    return ok;
}

static int run(struct replay *r)
{
    r->started_us = clock_mono_us();
    r->answered_us = r->started_us;
    fleet_progress_init(&r->progress, r->started_us);
    CHECK(uv_timer_init(&r->crew.uv, &r->timer) == 0);
    r->timer.data = r;
    CHECK(uv_timer_start(&r->timer, on_tick, 1, TICK_MS) == 0);
    fleet_crew_start(&r->crew);
    (void)uv_run(&r->crew.uv, UV_RUN_DEFAULT);
    fleet_progress_end(&r->progress);
    report(r);
    struct fleet_client_counts sum = fleet_crew_counts(&r->crew);
    fleet_crew_fini(&r->crew);
    return sum.acked == r->plan.message_count ? FLEET_DONE : FLEET_FAILED;
}

int fleet_replay_main(int argc, char **argv)
{
    struct replay r = {.options = fleet_options_default(),
                       .speed = 1,
                       .give_up_us = 2 * CLOCK_MINUTE_US,
                       .max_pause_us = 10 * CLOCK_SECOND_US};
    fleet_plan_init(&r.plan);
    int code = FLEET_USAGE;
    if (read_options(argc, argv, &r)) {
        code = FLEET_FAILED;
        if (make_plan(&r, argv + optind, argc - optind) && make_crew(&r)) {
            code = run(&r);
        }
    }
    free(r.lanes);
    fleet_plan_fini(&r.plan);
    return code;
}
