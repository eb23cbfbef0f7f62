/*
 * run: one seed from an empty database to the end: a time with faults, a time without in which
 * everything must come to rest, one more restart, and the checks of the whole history.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "checks.h"
#include "devices.h"
#include "disk.h"
#include "faults.h"

#define EPOCH_US (1772323200LL * CLOCK_SECOND_US) /* 2026-03-01 */

enum { REST_MAX_S = 900, SETTLE_S = 30 };

static void choose_conf(struct sim *s)
{
    struct conf *c = &s->conf;
    memset(c, 0, sizeof(*c));
    static char none[] = "";
#define CONF_TEXT(name, def, flags, words)            c->name = none;
#define CONF_VALUE(name, def, min, max, flags, words) c->name = (def);
#define CONF_TIME(name, def, min, max, flags, words)  c->name##_us = (def);
#define CONF_SIZE(name, def, min, max, flags, words)  c->name##_bytes = (def);
    SETTING_LIST(CONF_TEXT, CONF_VALUE, CONF_VALUE, CONF_TIME, CONF_SIZE)
#undef CONF_TEXT
#undef CONF_VALUE
#undef CONF_TIME
#undef CONF_SIZE
    c->messages_in_flight_max = sim_chance(300) ? sim_between(5, 40) : 5000;
    c->in_flight_max_bytes = sim_chance(200) ? sim_between(4000, 40000) : c->in_flight_max_bytes;
    c->batch_rows_max = sim_chance(300) ? sim_between(1, 20) : c->batch_rows_max;
    c->state_flush_us = sim_between(100000, 15000000);
    c->lateness_us = sim_chance(100) ? 0 : sim_between(500000, 40000000);
    c->commit_timeout_us = sim_between(1, 15) * CLOCK_SECOND_US;
    c->stalled_timeout_us = sim_between(10, 60) * CLOCK_SECOND_US;
    c->command_expiry_us = sim_between(10, 90) * CLOCK_SECOND_US;
    c->command_timeout_us = sim_between(2, 30) * CLOCK_SECOND_US;
    c->commands_per_device_max = 1000;
    static char folder[] = "spool";
    bool spool = sim_chance(500);
    c->spool_dir = spool && !s->options.no_spool ? folder : none;
    c->spool_after_us = sim_between(100000, 4000000);
}

static void begin(struct sim *s, uint64_t seed, const struct sim_options *options)
{
    struct sim_event *heap = s->heap;
    size_t cap = s->heap_cap;
    memset(s, 0, sizeof(*s));
    s->heap = heap;
    s->heap_cap = cap;
    s->options = *options;
    s->seed = seed;
    random_init(&s->random, seed);
    journal_reset();
    writer_forget_ghost();
    /* Some runs see midnight. */
    s->epoch_us = EPOCH_US + (sim_chance(300) ? CLOCK_DAY_US - sim_between(1, 60) * CLOCK_SECOND_US
                                              : sim_random(CLOCK_DAY_US - CLOCK_HOUR_US));
    choose_conf(s);
    s->pg = pg_new();
    s->disk = disk_new();
    s->loop_count = (int)sim_between(1, SIM_LOOPS_MAX);
    s->device_count = (int)sim_between(2, 7);
    rules_choose(s);
    for (int i = 1; i <= s->device_count; i++) {
        s->devices[i] = device_make(i);
    }
}

static void end(struct sim *s)
{
    s->life = 0;
    s->heap_count = 0;
    conns_free();
    for (int i = 1; i <= s->device_count; i++) {
        device_free(s->devices[i]);
    }
    for (int i = 0; i < s->rule_count; i++) {
        world_free(s->rules[i]);
    }
    api_free_fake(s->api);
    pg_free(s->pg);
    disk_free(s->disk);
}

static void run_until(struct sim *s, int64_t until_us)
{
    while (s->heap_count > 0 && s->heap[0].at_us <= until_us) {
        (void)sim_step();
        check_budget();
    }
    s->now_us = until_us;
}

static bool at_rest(const struct sim *s)
{
    if (s->life == 0 || disk_has_readable(s->disk) || checks_commands_open() ||
        !api_is_done(s->api) || !net_is_idle(s->server.net) ||
        atomic_load(&s->server.ingest->in_flight) != 0) {
        return false;
    }
    for (int i = 1; i <= s->device_count; i++) {
        if (!device_is_done(s->devices[i]) || !s->devices[i]->online) {
            return false;
        }
    }
    return true;
}

static void tell_what_is_left(const struct sim *s)
{
    for (int i = 1; i <= s->device_count; i++) {
        const struct dev *d = s->devices[i];
        sim_log("d%d: %s, %u not acknowledged, %u under way", i, d->online ? "online" : "offline",
                d->unacked, d->flight_count);
    }
    sim_log("segments %u, commands %s, requests %s", s->disk->count,
            checks_commands_open() ? "open" : "ended",
            api_is_done(s->api) ? "answered" : "waiting");
    sim_violation("everything comes to rest", "not within %d s without faults", REST_MAX_S);
}

static void wait_for_rest(struct sim *s)
{
    int64_t give_up_us = s->now_us + (int64_t)REST_MAX_S * CLOCK_SECOND_US;
    while (!at_rest(s)) {
        if (s->now_us > give_up_us) {
            tell_what_is_left(s);
        }
        run_until(s, s->now_us + CLOCK_SECOND_US);
    }
    run_until(s, s->now_us + SETTLE_S * CLOCK_SECOND_US);
    if (!at_rest(s)) {
        wait_for_rest(s);
    }
}

void sim_run(uint64_t seed, const struct sim_options *options)
{
    struct sim *s = sim_get();
    begin(s, seed, options);
    server_boot(NULL, 0);
    for (int i = 1; i <= s->device_count; i++) {
        device_start(s->devices[i]);
    }
    s->api = api_start();
    s->faults = true;
    s->active = true;
    faults_start();
    int64_t seconds = options->seconds > 0 ? options->seconds : sim_between(20, 90);
    run_until(s, seconds * CLOCK_SECOND_US);
    faults_end();
    s->active = false;
    wait_for_rest(s);
    check_quiet();
    check_alerts();
    if (sim_chance(500)) {
        server_crash();
    } else {
        server_stop_gracefully();
    }
    run_until(s, s->now_us + CLOCK_MINUTE_US);
    wait_for_rest(s);
    check_quiet();
    check_end();
    end(s);
}
