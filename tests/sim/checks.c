#include "checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/counter.h"
#include "disk.h"
#include "ingest/record.h"
#include "model/command.h"
#include "readings.h"

/* A publish is counted when it is taken; one more may be under way for each session's filters. */
enum { BUDGET_SLACK = 2 * SIM_SLOTS, BUDGET_SLACK_BYTES = 256 << 10 };

/* The counters are the process's; a life of the server begins with none. */
static struct counter_balance before;
static int64_t announced;

void check_life_begins(void)
{
    before = counter_balance();
    announced = 0;
    /* What the dead server had under way is gone. */
    int64_t ended = before.committed + before.duplicate + before.rejected;
    counter_message_received(ended - before.received);
    for (int i = 0; i < MESSAGE_PLACES; i++) {
        counter_message_held((enum message_place)i, -before.held[i]);
    }
    before.received = ended;
}

static void check_balance(void)
{
    struct counter_balance b = counter_balance();
    bool below = b.in_flight < 0;
    for (int i = 0; i < MESSAGE_PLACES; i++) {
        below = below || b.held[i] < 0;
    }
    if (below || b.received != b.committed + b.duplicate + b.rejected + b.in_flight) {
        sim_violation("the balance adds up",
                      "received %lld, ended %lld; core %lld, batches %lld, spool %lld",
                      (long long)(b.received - before.received),
                      (long long)(b.committed + b.duplicate + b.rejected - before.received),
                      (long long)b.held[MESSAGE_IN_CORE], (long long)b.held[MESSAGE_IN_BATCH],
                      (long long)b.held[MESSAGE_IN_SPOOL]);
    }
}

void check_row(const struct pg_sample *row)
{
    readings_row(sim_get()->devices[row->device_id], row);
}

void check_commit(void)
{
    const struct pg *pg = sim_get()->pg;
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        const struct pg_alert *a = &pg->alerts.items[i];
        bool open = strcmp(a->state, "firing") == 0;
        if (a->history == 0 ||
            (strcmp(a->state, "retracted") != 0 && open != (a->resolved_us == CLOCK_NONE))) {
            sim_violation("alerts agree with themselves", "alert %lld is %s with %u events",
                          (long long)a->id, a->state, a->history);
        }
        if (a->since_us > a->fired_us ||
            (a->resolved_us != CLOCK_NONE && a->resolved_us < a->fired_us)) {
            sim_violation("alerts agree with themselves", "alert %lld ends before it begins",
                          (long long)a->id);
        }
    }
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        const struct pg_command *c = &pg->commands.items[i];
        size_t last = (c->history + COUNT_OF(c->states) - 1) % COUNT_OF(c->states);
        if (c->history == 0 || c->states[last] != c->state) {
            sim_violation("command history", "command %lld is not what its history says",
                          (long long)c->id);
        }
    }
}

void check_budget(void)
{
    const struct sim *s = sim_get();
    if (s->life == 0) {
        return;
    }
    check_balance();
    int64_t in_flight = atomic_load(&s->server.ingest->in_flight);
    if (in_flight < 0 || in_flight > s->conf.messages_in_flight_max + BUDGET_SLACK) {
        sim_violation("bounded in flight", "%lld messages are under way", (long long)in_flight);
    }
    int64_t bytes = atomic_load(&s->server.ingest->in_flight_bytes);
    if (bytes > s->conf.in_flight_max_bytes + BUDGET_SLACK_BYTES) {
        sim_violation("bounded in flight", "%lld bytes are under way", (long long)bytes);
    }
    if (bytes < 0 || (in_flight == 0 && bytes != 0)) {
        sim_violation("the budget is given back", "%lld bytes of %lld messages are under way",
                      (long long)bytes, (long long)in_flight);
    }
}

void check_event(const struct ingest_event *e)
{
    const struct pg *pg = sim_get()->pg;
    if (e->id == 0) {
        return;
    }
    bool stored = false;
    for (uint32_t i = pg->events.count; i > 0 && !stored && pg->events.items[i - 1].id >= e->id;
         i--) {
        stored = pg->events.items[i - 1].id == e->id &&
                 strcmp(pg->events.items[i - 1].kind, e->kind) == 0 &&
                 pg->events.items[i - 1].device_id == e->device_id;
    }
    if (!stored || e->id <= announced) {
        sim_violation("events are announced once, in order, after their commit", "event %lld %s",
                      (long long)e->id, e->kind);
    }
    announced = e->id;
}

void check_sent(int64_t command_id, int32_t device_id)
{
    const struct pg_command *c = pg_command(sim_get()->pg, command_id);
    if (c == NULL || c->device_id != device_id || c->state == COMMAND_QUEUED) {
        sim_violation("commands are stored first", "the packet of %lld leaves, its row is %s",
                      (long long)command_id,
                      c == NULL ? "not there" : command_state_words((enum command_state)c->state));
    }
}

bool checks_commands_open(void)
{
    const struct pg *pg = sim_get()->pg;
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        if (!command_is_final((enum command_state)pg->commands.items[i].state)) {
            return true;
        }
    }
    return false;
}

void check_quiet(void)
{
    const struct sim *s = sim_get();
    struct counter_balance now = counter_balance();
    int64_t in_flight = atomic_load(&s->server.ingest->in_flight);
    if (now.in_flight != 0 || in_flight != 0 || !net_is_idle(s->server.net)) {
        sim_violation("the balance adds up",
                      "received %lld, committed %lld, duplicate %lld, rejected %lld; budget %lld",
                      (long long)(now.received - before.received),
                      (long long)(now.committed - before.committed),
                      (long long)(now.duplicate - before.duplicate),
                      (long long)(now.rejected - before.rejected), (long long)in_flight);
    }
    for (int i = 1; i <= s->device_count; i++) {
        readings_complete(s->devices[i]);
    }
}

/* A record may go when its readings are in the database, or its message among the rejected. */
void check_spool_released(const struct disk_segment *g)
{
    const struct sim *s = sim_get();
    for (uint32_t i = 0; i < g->count; i++) {
        struct record r;
        if (record_decode(view_of(g->items[i].bytes, g->items[i].len), &r) != ERR_OK) {
            sim_violation("spool", "a record of segment %llu cannot be read",
                          (unsigned long long)g->number);
        }
        for (int k = 1; k <= s->device_count; k++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "d%d", k);
            if (view_eq_str(r.device, name)) {
                readings_released(s->devices[k], r.payload);
            }
        }
    }
}

/* ---- the whole history ---- */

static void check_command(const struct pg_command *c)
{
    uint32_t finals = 0;
    uint32_t rows = c->history < COUNT_OF(c->states) ? c->history : (uint32_t)COUNT_OF(c->states);
    for (uint32_t i = 0; i < rows; i++) {
        finals += command_is_final((enum command_state)c->states[i]);
    }
    bool answered = c->state == COMMAND_SUCCEEDED || c->state == COMMAND_FAILED;
    if (finals != 1 || c->executed > 1 || (answered && c->executed != 1)) {
        sim_violation("every command has one end", "command %lld: %s, %u ends, executed %u times",
                      (long long)c->id, command_state_words((enum command_state)c->state), finals,
                      c->executed);
    }
}

static uint32_t actions_of(int32_t rule_id, enum rule_action_kind kind)
{
    struct rule *r = catalog_rule_by_id(sim_get()->server.catalog, rule_id);
    uint32_t count = 0;
    uint32_t found = 0;
    const struct rule_action *actions = rule_actions(r, &count);
    for (uint32_t i = 0; i < count; i++) {
        found += actions[i].kind == kind;
    }
    rule_drop(r);
    return found;
}

static void check_actions(const struct pg *pg, const struct pg_alert *a)
{
    uint32_t commands = 0;
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        commands += pg->commands.items[i].alert_id == a->id;
    }
    if (commands != actions_of(a->rule_id, RULE_ACTION_COMMAND)) {
        sim_violation("actions happen once", "alert %lld of rule %d has %u commands",
                      (long long)a->id, a->rule_id, commands);
    }
    if (a->notices != actions_of(a->rule_id, RULE_ACTION_NOTIFY)) {
        sim_violation("actions happen once", "alert %lld of rule %d is told %u times",
                      (long long)a->id, a->rule_id, a->notices);
    }
}

static void check_work_orders(const struct pg *pg, int32_t rule_id, int32_t device_id)
{
    int64_t alerts = 0;
    int64_t raises = 0;
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        alerts +=
            pg->alerts.items[i].rule_id == rule_id && pg->alerts.items[i].device_id == device_id;
    }
    for (uint32_t i = 0; i < pg->work_orders.count; i++) {
        const struct pg_work_order *w = &pg->work_orders.items[i];
        raises += w->rule_id == rule_id && w->device_id == device_id ? w->raises : 0;
    }
    if (raises != alerts * actions_of(rule_id, RULE_ACTION_WORK_ORDER)) {
        sim_violation("work orders agree with alerts",
                      "rule %d, device %d: %lld raises, %lld alerts", rule_id, device_id,
                      (long long)raises, (long long)alerts);
    }
}

static void check_reported(const struct sim *s, const struct dev *d)
{
    char want[32];
    (void)snprintf(want, sizeof(want), "{\"boot\":%lld}", (long long)d->last_reported);
    const char *have = s->pg->reported[d->id];
    if (d->last_reported > 0 && (have == NULL || strcmp(have, want) != 0)) {
        sim_violation("attributes", "d%d reported %s last; stored is %s", d->id, want,
                      have == NULL ? "nothing" : have);
    }
}

/* The newest value of each metric, by event time, of the samples that rules may see. Those newer
 * than the saved watermark are merged in by the query. */
static void check_latest(const struct sim *s, int32_t device_id, int32_t metric)
{
    const struct pg_samples *t = &s->pg->samples[device_id];
    int64_t newest_us = CLOCK_NONE;
    for (uint32_t i = t->count; i > 0 && newest_us == CLOCK_NONE; i--) {
        const struct pg_sample *row = t->items[i - 1];
        const struct pg_shape *shape = row->shape == 0 ? NULL : pg_shape(s->pg, row->shape);
        bool skip = (row->flags & (SAMPLE_LATE | SAMPLE_CLOCK)) != 0 ||
                    row->ts_us > s->pg->states[device_id].watermark_us;
        for (uint32_t k = 0; shape != NULL && !skip && k < shape->count; k++) {
            newest_us = shape->metrics[k] == metric ? row->ts_us : newest_us;
        }
    }
    int64_t stored_us = CLOCK_NONE;
    for (uint32_t i = 0; i < s->pg->latest.count; i++) {
        const struct pg_latest *l = &s->pg->latest.items[i];
        if (l->device_id == device_id && l->metric == metric && l->extra == NULL) {
            stored_us = l->ts_us;
        }
    }
    if (stored_us < newest_us) {
        sim_violation("latest is the newest", "device %d, %s: the newest is %.3f s newer",
                      device_id, pg_metric(s->pg, metric), (double)(newest_us - stored_us) / 1e6);
    }
}

void check_end(void)
{
    const struct sim *s = sim_get();
    const struct pg *pg = s->pg;
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        check_command(&pg->commands.items[i]);
    }
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        check_actions(pg, &pg->alerts.items[i]);
    }
    for (int32_t device = 1; device <= s->device_count; device++) {
        for (int32_t rule = 1; rule <= s->rule_count; rule++) {
            check_work_orders(pg, rule, device);
        }
        for (int32_t metric = 1; metric <= (int32_t)pg->metrics.count; metric++) {
            check_latest(s, device, metric);
        }
        check_reported(s, s->devices[device]);
    }
    check_alerts();
}
