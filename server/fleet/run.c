/*
 * `fleet run`: simulated devices that report, and obey commands, until the end.
 *
 * Happy path: each device has its own clock, `due`; when it comes the simulation steps there and
 * the values are sent.
 *             --history lets that clock start in the past: the device catches up as fast as its
 * window allows, and then goes on in real time. Failure:    without a server the clock of a device
 * stops when its window is full. Nothing is skipped: what it would have measured meanwhile is made
 * and sent afterwards, with its own time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/commands.h"
#include "fleet/crew.h"
#include "fleet/progress.h"
#include "fleet/scenario.h"
#include "fleet/topic.h"

enum { TICK_MS = 20, SCENARIOS_MAX = 16, CATCH_UP_PER_TICK = 50 };
enum {
    OPT_RATE = FLEET_OPT_OWN,
    OPT_INTERVAL,
    OPT_DURATION,
    OPT_HISTORY,
    OPT_CYCLE,
    OPT_CERTS,
    OPT_TOKENS
};

struct actor {
    struct fleet_sim sim;
    int64_t interval_us;
    int64_t due_us;
};

struct show {
    struct fleet_options options;
    struct fleet_identity identity;
    const struct fleet_scenario *scenarios[SCENARIOS_MAX];
    uint32_t scenario_count;
    uint32_t devices; /* of each scenario; 0: its default */
    double rate;      /* messages a second over all devices; 0: each scenario's interval */
    int64_t interval_us, duration_us, history_us, cycle_us;
    struct fleet_crew crew;
    struct fleet_progress progress;
    struct actor *actors;
    uv_timer_t timer;
    int64_t started_us, ending_us;
    int64_t wall_us; /* at the start */
    uint64_t obeyed, rejected;
    struct buf payload;
};

static const char usage[] =
    "signalbox fleet run [SCENARIO]... [options]       (all scenarios when none is named)\n"
    "Simulated devices that report over MQTT and TLS and obey commands. `fleet list` shows the "
    "scenarios.\n"
    "Example: signalbox fleet run pumps -n 20 --secret-file var/fleet.secret\n"
    "  -n, --devices N       of each scenario (default: a demo's worth)\n"
    "  --interval T          between two messages of a device (default: the scenario's)\n"
    "  --rate R              messages a second over all devices, instead of --interval\n"
    "  --duration T          end after T (default: at SIGINT)\n"
    "  --history T           begin T in the past and catch up\n"
    "  --fault-cycle T       from one fault of a device to its next (default 5m; 0: no faults)\n"
    "  --tokens FILE | --certs DIR   instead of --secret\n"
    "The devices must exist on the server: see `fleet types`, `fleet csv` and `fleet rules`.\n";

static bool take_option(struct show *w, int code, const char *text)
{
    uint64_t n = 0;
    switch (code) {
    case 'n':
        if (!fleet_read_count("devices", text, 1, 100000, &n)) {
            return false;
        }
        w->devices = (uint32_t)n;
        return true;
    case OPT_RATE:
        return fleet_read_real("rate", text, 0.001, 1e6, &w->rate);
    case OPT_INTERVAL:
        return fleet_read_time("interval", text, &w->interval_us);
    case OPT_DURATION:
        return fleet_read_time("duration", text, &w->duration_us);
    case OPT_HISTORY:
        return fleet_read_time("history", text, &w->history_us);
    case OPT_CYCLE:
        return fleet_read_time("fault-cycle", text, &w->cycle_us);
    case OPT_CERTS:
        w->identity.certs_dir = text;
        return true;
    case OPT_TOKENS:
        w->identity.tokens_file = text;
        return true;
    default:
        return fleet_options_take(&w->options, code, text);
    }
}

static bool take_scenarios(struct show *w, int argc, char **argv)
{
    for (uint32_t i = 0; argc == 0 && fleet_scenario_at(i) != NULL && i < SCENARIOS_MAX; i++) {
        w->scenarios[w->scenario_count++] = fleet_scenario_at(i);
    }
    for (int i = 0; i < argc && i < SCENARIOS_MAX; i++) {
        const struct fleet_scenario *s = fleet_scenario_find(argv[i]);
        if (s == NULL) {
            (void)fprintf(stderr, "%s: no such scenario; `signalbox fleet list` shows them\n",
                          argv[i]);
            return false;
        }
        for (uint32_t k = 0; k < w->scenario_count; k++) {
            if (w->scenarios[k] == s) {
                (void)fprintf(stderr, "%s is named twice\n", argv[i]);
                return false;
            }
        }
        w->scenarios[w->scenario_count++] = s;
    }
    return true;
}

static bool read_options(int argc, char **argv, struct show *w)
{
    static const struct option table[] = {FLEET_OPTIONS,
                                          {"devices", required_argument, NULL, 'n'},
                                          {"rate", required_argument, NULL, OPT_RATE},
                                          {"interval", required_argument, NULL, OPT_INTERVAL},
                                          {"duration", required_argument, NULL, OPT_DURATION},
                                          {"history", required_argument, NULL, OPT_HISTORY},
                                          {"fault-cycle", required_argument, NULL, OPT_CYCLE},
                                          {"certs", required_argument, NULL, OPT_CERTS},
                                          {"tokens", required_argument, NULL, OPT_TOKENS},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int code = 0;
    while ((code = getopt_long(argc, argv, "o:n:h", table, NULL)) != -1) {
        if (code == 'h') {
            (void)fputs(usage, stderr);
            (void)fputs(fleet_options_help, stderr);
            return false;
        }
        if (!take_option(w, code, optarg)) {
            return false;
        }
    }
    w->identity.secret = w->options.secret;
    return take_scenarios(w, argc - optind, argv + optind);
}

static int64_t wall_now(const struct show *w)
{
    return w->wall_us + clock_mono_us() - w->started_us;
}

/* Publishes what is due. The simulation steps only when its message has room, so no sample is lost.
 */
static void act(struct show *w, struct fleet_member *m, int64_t now_us)
{
    struct actor *a = &w->actors[m->index];
    for (int i = 0; i < CATCH_UP_PER_TICK && a->due_us <= now_us && w->ending_us == 0; i++) {
        if (fleet_client_room(&m->client) == 0) {
            return;
        }
        double values[FLEET_METRICS_MAX];
        bool says = fleet_sim_step(&a->sim, a->due_us, values);
        a->due_us += a->interval_us;
        buf_clear(&w->payload);
        fleet_sim_payload(&a->sim, values, &w->payload);
        if (!says || w->payload.len == 0) {
            continue;
        }
        enum err e = fleet_client_publish(&m->client, VIEW(FLEET_TOPIC_TELEMETRY),
                                          buf_view(&w->payload), 0, clock_mono_us());
        if (e != ERR_OK) {
            (void)fprintf(stderr, "%s: a message could not be made: %s\n", m->name, err_words(e));
            return;
        }
    }
}

static void on_acked(struct fleet_client *c, const struct fleet_slot *slot, uint8_t reason,
                     int64_t now_us)
{
    (void)now_us;
    struct fleet_member *m = c->arg;
    if (reason >= 0x80 && c->counts.refused == 1) {
        (void)fprintf(stderr, "%s: the server refused message %" PRIu16 ": %s\n", m->name,
                      slot->packet_id, mqtt_reason_words(reason));
    }
}

static void on_room(struct fleet_client *c)
{
    struct fleet_member *m = c->arg;
    struct show *w = m->arg;
    act(w, m, wall_now(w));
}

/* A command: obeyed at once, answered with QoS 1 when the window has room. */
static void on_received(struct fleet_client *c, const struct mqtt_publish *message)
{
    static const struct view prefix = {(const uint8_t *)FLEET_TOPIC_COMMAND_PREFIX,
                                       sizeof(FLEET_TOPIC_COMMAND_PREFIX) - 1};
    struct fleet_member *m = c->arg;
    struct show *w = m->arg;
    if (!view_starts(message->topic, prefix)) {
        return;
    }
    struct view id = view_skip(message->topic, prefix.len);
    char topic[160];
    if (id.len == 0 || id.len > 64) {
        return;
    }
    int len = snprintf(topic, sizeof(topic), "%s%.*s", FLEET_TOPIC_ANSWER_PREFIX, VIEW_ARG(id));
    struct buf answer;
    buf_init(&answer, 4096);
    fleet_sim_command(&w->actors[m->index].sim, message->payload, &answer);
    if (buf_err(&answer) == ERR_OK) {
        struct view text = buf_view(&answer);
        bool rejected = view_starts(text, VIEW("{\"rejected\""));
        w->rejected += rejected ? 1 : 0;
        w->obeyed += rejected ? 0 : 1;
        (void)fprintf(stderr, "%s: command %.*s -> %.*s\n", m->name, VIEW_ARG(message->payload),
                      VIEW_ARG(text));
        struct view to = view_of(topic, (size_t)len);
        if (fleet_client_publish(c, to, text, 1, clock_mono_us()) != ERR_OK &&
            fleet_client_answer(c, to, text) != ERR_OK) {
            (void)fprintf(stderr, "%s: the answer could not be sent\n", m->name);
        }
    }
    buf_fini(&answer);
}

static void on_refused(struct fleet_client *c, uint8_t reason)
{
    fleet_crew_note_refused(c->arg, reason);
}

static void on_lost(struct fleet_client *c, const char *why)
{
    fleet_crew_note_lost(c->arg, why);
}

static bool all_answered(const struct show *w)
{
    for (uint32_t i = 0; i < w->crew.count; i++) {
        if (w->crew.members[i].client.count > 0 && !w->crew.members[i].gone) {
            return false;
        }
    }
    return true;
}

static void on_tick(uv_timer_t *timer)
{
    struct show *w = timer->data;
    int64_t now = clock_mono_us();
    for (uint32_t i = 0; i < w->crew.count && w->ending_us == 0; i++) {
        struct fleet_member *m = &w->crew.members[i];
        if (m->client.state == FLEET_CLIENT_READY) {
            act(w, m, wall_now(w));
        }
    }
    fleet_progress_draw(&w->progress, fleet_crew_counts(&w->crew).acked, 0, now);
    bool over = w->duration_us > 0 && now - w->started_us >= w->duration_us;
    if (w->ending_us == 0 && (over || w->crew.interrupted || w->crew.gone == w->crew.count)) {
        w->ending_us = now;
    }
    if (w->ending_us != 0 && (all_answered(w) || now - w->ending_us > 10 * CLOCK_SECOND_US)) {
        uv_close((uv_handle_t *)&w->timer, NULL);
        fleet_crew_stop(&w->crew);
    }
}

static bool make_actors(struct show *w)
{
    uint32_t total = 0;
    for (uint32_t k = 0; k < w->scenario_count; k++) {
        total += w->devices > 0 ? w->devices : w->scenarios[k]->devices_default;
    }
    w->actors = calloc((size_t)total + 1, sizeof(*w->actors));
    if (w->actors == NULL) {
        return false;
    }
    w->wall_us = clock_wall_us();
    int64_t start_us = w->wall_us - w->history_us;
    for (uint32_t k = 0; k < w->scenario_count; k++) {
        const struct fleet_scenario *s = w->scenarios[k];
        uint32_t count = w->devices > 0 ? w->devices : s->devices_default;
        for (uint32_t i = 0; i < count; i++) {
            struct actor *a = &w->actors[w->crew.count];
            char name[64];
            fleet_sim_init(&a->sim, s, i, w->options.seed, start_us, w->cycle_us);
            fleet_sim_name(&a->sim, name, sizeof(name));
            a->interval_us = w->interval_us > 0 ? w->interval_us : s->interval_us;
            if (w->rate > 0) {
                a->interval_us = (int64_t)((double)total / w->rate * 1e6);
            }
            a->interval_us =
                a->interval_us < 1000 ? 1000 : a->interval_us; /* a payload's time is in ms */
            a->due_us = start_us + a->interval_us * i / count;
            if (!fleet_crew_add(&w->crew, name)) {
                return false;
            }
        }
    }
    return true;
}

static void report(const struct show *w)
{
    struct fleet_client_counts sum = fleet_crew_counts(&w->crew);
    double seconds = (double)(clock_mono_us() - w->started_us) / 1e6;
    uint64_t unanswered = sum.published - sum.acked - sum.refused;
    if (!w->options.json) {
        (void)printf("%" PRIu64 " messages of %u devices in %.1f s: %" PRIu64
                     " acknowledged, %" PRIu64 " refused, %" PRIu64 " unanswered, %" PRIu64
                     " sent again; %" PRIu64 " commands obeyed, %" PRIu64 " rejected\n",
                     sum.published, w->crew.count, seconds, sum.acked, sum.refused, unanswered,
                     sum.resent, w->obeyed, w->rejected);
        return;
    }
    struct buf out;
    buf_init(&out, 1 << 24);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    const struct {
        const char *key;
        uint64_t n;
    } rows[] = {{"sent", sum.published},
                {"unanswered", unanswered},
                {"commands_obeyed", w->obeyed},
                {"commands_rejected", w->rejected},
                {"milliseconds", (uint64_t)(seconds * 1000)}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        emit_json_key(&j, rows[i].key);
        emit_json_int(&j, (int64_t)rows[i].n);
    }
    fleet_crew_emit(&w->crew, &j);
    emit_json_close(&j, '}');
    if (buf_err(&out) == ERR_OK) {
        (void)printf("%.*s\n", VIEW_ARG(buf_view(&out)));
    }
    buf_fini(&out);
}

static int run(struct show *w)
{
    w->started_us = clock_mono_us();
    w->wall_us = clock_wall_us();
    fleet_progress_init(&w->progress, w->started_us);
    (void)fprintf(stderr, "%u devices, %s:%d\n", w->crew.count, w->options.host, w->options.port);
    CHECK(uv_timer_init(&w->crew.uv, &w->timer) == 0);
    w->timer.data = w;
    CHECK(uv_timer_start(&w->timer, on_tick, TICK_MS, TICK_MS) == 0);
    fleet_crew_start(&w->crew);
    (void)uv_run(&w->crew.uv, UV_RUN_DEFAULT);
    fleet_progress_end(&w->progress);
    report(w);
    struct fleet_client_counts sum = fleet_crew_counts(&w->crew);
    return sum.acked == sum.published && w->crew.refused == 0 ? FLEET_DONE : FLEET_FAILED;
}

int fleet_run_main(int argc, char **argv)
{
    static const struct fleet_client_events events = {.acked = on_acked,
                                                      .room = on_room,
                                                      .received = on_received,
                                                      .refused = on_refused,
                                                      .lost = on_lost};
    struct show w = {.options = fleet_options_default(), .cycle_us = 5 * CLOCK_MINUTE_US};
    if (!read_options(argc, argv, &w)) {
        return FLEET_USAGE;
    }
    if (!fleet_crew_init(&w.crew, &w.options, &w.identity, &events)) {
        return FLEET_USAGE;
    }
    w.crew.conf.commands = true;
    buf_init(&w.payload, 1 << 16);
    int code = FLEET_FAILED;
    if (make_actors(&w) && fleet_crew_open(&w.crew)) {
        for (uint32_t i = 0; i < w.crew.count; i++) {
            w.crew.members[i].arg = &w;
        }
        code = run(&w);
    } else {
        fleet_crew_stop(&w.crew);
    }
    fleet_crew_fini(&w.crew);
    buf_fini(&w.payload);
    free(w.actors);
    return code;
}
