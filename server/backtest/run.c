/*
 * run: the samples of one device after the other through its own engine.
 *
 * Samples are gathered and run some hundred at a time: the result is that of one at a time, because
 * the state is a fold over the sorted samples. The lateness is zero, as nothing comes out of order
 * here; it decides what is kept for a roll-back and nothing else.
 */
#include <math.h>
#include <stdlib.h>

#include "backtest/internal.h"
#include "base/check.h"
#include "base/clock.h"

enum {
    CANDIDATE = 1, /* rule ids in the engine */
    OTHER = 2,
    GATHER = 512, /* samples a run */
    EVENTS_LIMIT = 256 << 20,
    TEXTS_LIMIT = 1 << 30,
    KEPT_LIMIT = 1 << 30,
};

struct backtest *backtest_new(const struct backtest_setup *setup)
{
    struct backtest *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->setup = *setup;
    rule_hold(setup->candidate);
    if (setup->against != NULL) {
        rule_hold(setup->against);
    }
    arena_init(&b->events, EVENTS_LIMIT);
    arena_init(&b->texts, TEXTS_LIMIT);
    arena_init(&b->kept, KEPT_LIMIT);
    return b;
}

static void device_forget(struct backtest *b)
{
    engine_free(b->engine);
    device_drop(b->device);
    b->engine = NULL;
    b->device = NULL;
    b->candidate.count = 0;
    b->candidate.cut = false;
    b->other.count = 0;
    b->other.cut = false;
    arena_reset(&b->texts);
}

void backtest_free(struct backtest *b)
{
    if (b == NULL) {
        return;
    }
    if (b->device != NULL) {
        device_forget(b);
    }
    free(b->candidate.items);
    free(b->other.items);
    free(b->alerts.items);
    free(b->added.items);
    free(b->removed.items);
    free(b->changed.items);
    free(b->commands);
    free(b->tallies);
    arena_fini(&b->events);
    arena_fini(&b->texts);
    arena_fini(&b->kept);
    rule_drop(b->setup.candidate);
    if (b->setup.against != NULL) {
        rule_drop(b->setup.against);
    }
    free(b);
}

bool backtest_room(void **items, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap) {
        return true;
    }
    uint32_t more = *cap == 0 ? 16 : *cap * 2;
    void *grown = realloc(*items, more * size);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *cap = more;
    return true;
}

const char *backtest_keep(struct backtest *b, const char *text)
{
    return arena_str(&b->kept, view_str(text));
}

enum err backtest_list(struct backtest *b, struct listed_list *list, const struct listed *item)
{
    if (list->count >= b->setup.items_max) {
        return ERR_OK; /* the counts tell that there are more */
    }
    if (!backtest_room((void **)&list->items, list->count, &list->cap, sizeof(*list->items))) {
        return ERR_NOMEM;
    }
    struct listed kept = *item;
    kept.device = b->name;
    if (item->is.summary != NULL) {
        kept.is.summary = backtest_keep(b, item->is.summary);
    }
    if (item->was.summary != NULL) {
        kept.was.summary = backtest_keep(b, item->was.summary);
    }
    if ((item->is.summary != NULL && kept.is.summary == NULL) ||
        (item->was.summary != NULL && kept.was.summary == NULL)) {
        return ERR_NOMEM;
    }
    list->items[list->count++] = kept;
    return ERR_OK;
}

/* ---- what the rules said ----------------------------------------------------------------------
 */

static bool in_period(const struct backtest *b, int64_t us)
{
    return (b->setup.from_us == CLOCK_NONE || us >= b->setup.from_us) &&
           (b->setup.to_us == CLOCK_NONE || us < b->setup.to_us);
}

static enum err found_add(struct backtest *b, struct found_list *list, struct found f,
                          struct view summary)
{
    if (list->count == BACKTEST_COMPARED_MAX) {
        list->cut = true;
        return ERR_OK;
    }
    if (!backtest_room((void **)&list->items, list->count, &list->cap, sizeof(*list->items))) {
        return ERR_NOMEM;
    }
    f.summary = arena_str(&b->texts, summary);
    if (f.summary == NULL) {
        return ERR_NOMEM;
    }
    list->items[list->count++] = f;
    return ERR_OK;
}

struct command_maker {
    struct backtest *b;
    struct command command;
    enum err err;
};

static void command_add(void *arg, const char *device)
{
    struct command_maker *m = arg;
    struct backtest *b = m->b;
    b->counts.commands++;
    b->tally.commands++;
    if (m->err != ERR_OK || b->command_count >= b->setup.items_max) {
        return;
    }
    m->command.device = device == NULL ? NULL : backtest_keep(b, device);
    if ((device != NULL && m->command.device == NULL) ||
        !backtest_room((void **)&b->commands, b->command_count, &b->command_cap,
                       sizeof(*b->commands))) {
        m->err = ERR_NOMEM;
        return;
    }
    b->commands[b->command_count++] = m->command;
}

static enum err commands_of(struct backtest *b, int64_t fired_us)
{
    uint32_t count = 0;
    const struct rule_action *actions = rule_actions(b->setup.candidate, &count);
    struct command_maker m = {.b = b, .command = {.cause = b->name, .ts_us = fired_us}};
    for (uint32_t i = 0; i < count; i++) {
        const struct rule_action *a = &actions[i];
        if (a->kind != RULE_ACTION_COMMAND) {
            continue;
        }
        m.command.action = a;
        if (b->setup.targets != NULL) {
            b->setup.targets(b->setup.arg, a, b->device, command_add, &m);
        } else if (a->target == RULE_TARGET_SELF) {
            command_add(&m, b->device->name);
        } else {
            command_add(&m, a->target == RULE_TARGET_DEVICE ? a->device : NULL);
        }
    }
    return m.err;
}

static enum err candidate_fired(struct backtest *b, const struct engine_event *ev)
{
    struct found_list *list = &b->candidate;
    const struct found *before = list->count == 0 ? NULL : &list->items[list->count - 1];
    if (before != NULL && before->resolved_us != CLOCK_NONE &&
        ev->fired_at_us - before->resolved_us <= b->setup.flap_us) {
        b->counts.flaps++;
        b->tally.flaps++;
    }
    b->counts.alerts++;
    b->tally.alerts++;
    return commands_of(b, ev->fired_at_us);
}

static enum err fired(struct backtest *b, const struct engine_event *ev)
{
    if (!in_period(b, ev->fired_at_us)) {
        return ERR_OK;
    }
    enum err e = ev->rule_id == CANDIDATE ? candidate_fired(b, ev) : ERR_OK;
    if (e != ERR_OK) {
        return e;
    }
    return found_add(b, ev->rule_id == CANDIDATE ? &b->candidate : &b->other,
                     (struct found){.since_us = ev->since_us,
                                    .fired_us = ev->fired_at_us,
                                    .resolved_us = CLOCK_NONE,
                                    .value = ev->value},
                     ev->summary);
}

static void resolved(struct backtest *b, const struct engine_event *ev)
{
    struct found_list *list = ev->rule_id == CANDIDATE ? &b->candidate : &b->other;
    struct found *last = list->count == 0 ? NULL : &list->items[list->count - 1];
    if (last != NULL && last->resolved_us == CLOCK_NONE && last->fired_us == ev->fired_at_us) {
        last->resolved_us = ev->resolved_at_us; /* else it fired before the period */
    }
}

static enum err take_event(struct backtest *b, const struct engine_event *ev)
{
    bool ours = ev->rule_id == CANDIDATE;
    switch (ev->kind) {
    case ENGINE_FIRED:
        return fired(b, ev);
    case ENGINE_RESOLVED:
        resolved(b, ev);
        return ERR_OK;
    case ENGINE_PENDING_RESET:
        if (ours && in_period(b, ev->since_us)) {
            b->counts.pending_resets++;
            b->tally.pending_resets++;
        }
        return ERR_OK;
    case ENGINE_PENDING:
        return ERR_OK;
    case ENGINE_CORRECTED:
    case ENGINE_RETRACTED:
        break;
    }
    return ERR_STATE; /* what was said is taken back only after samples out of order */
}

/* Takes the events that wait. */
static enum err take_events(struct backtest *b)
{
    enum err e = b->out.err;
    for (const struct engine_event *ev = b->out.first; ev != NULL && e == ERR_OK; ev = ev->next) {
        e = take_event(b, ev);
    }
    b->counts.evaluations += b->out.evaluations;
    arena_reset(&b->events);
    b->out = (struct engine_out){.arena = &b->events, .next_alert_id = &b->next_alert_id};
    return e;
}

/* ---- devices and samples ----------------------------------------------------------------------
 */

static struct found *last_found(struct found_list *list)
{
    return list->count == 0 ? NULL : &list->items[list->count - 1];
}

static void tally_times(struct backtest *b)
{
    for (uint32_t i = 0; i < b->candidate.count; i++) {
        const struct found *f = &b->candidate.items[i];
        int64_t end_us = f->resolved_us == CLOCK_NONE ? b->last_us : f->resolved_us;
        int64_t took_us = end_us - f->fired_us;
        b->tally.firing_us += took_us;
        b->tally.longest_us = took_us > b->tally.longest_us ? took_us : b->tally.longest_us;
    }
}

static enum err list_alerts(struct backtest *b)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < b->candidate.count && e == ERR_OK; i++) {
        struct listed item = {.rule = b->setup.candidate, .is = b->candidate.items[i]};
        e = backtest_list(b, &b->alerts, &item);
    }
    return e;
}

static enum err tally_keep(struct backtest *b)
{
    if (b->tally.alerts == 0) {
        return ERR_OK;
    }
    if (!backtest_room((void **)&b->tallies, b->tally_count, &b->tally_cap, sizeof(*b->tallies))) {
        return ERR_NOMEM;
    }
    b->tallies[b->tally_count++] = b->tally;
    return ERR_OK;
}

enum err backtest_end(struct backtest *b)
{
    if (b->device == NULL || b->err != ERR_OK) {
        return b->err;
    }
    engine_run(b->engine, &b->out);
    b->err = take_events(b);
    if (b->err == ERR_OK) {
        tally_times(b);
        b->err = list_alerts(b);
    }
    if (b->err == ERR_OK) {
        b->err = tally_keep(b);
    }
    if (b->err == ERR_OK) {
        backtest_compare(b);
    }
    device_forget(b);
    return b->err;
}

static bool runs_for(const struct backtest *b, const struct rule *r, const struct device *d)
{
    return !b->setup.by_selector || rule_selects(r, d);
}

enum err backtest_device(struct backtest *b, struct device *d, int64_t begin_us)
{
    enum err e = backtest_end(b);
    if (e != ERR_OK) {
        return e;
    }
    struct engine_rule rules[2];
    uint32_t count = 0;
    if (runs_for(b, b->setup.candidate, d)) {
        rules[count++] = (struct engine_rule){
            .rule_id = CANDIDATE, .version = b->setup.version, .rule = b->setup.candidate};
    }
    if (b->setup.against != NULL && runs_for(b, b->setup.against, d)) {
        rules[count++] = (struct engine_rule){.rule_id = OTHER, .rule = b->setup.against};
    }
    device_hold(d);
    b->device = d;
    b->engine = engine_new(d, rules, count, 0, begin_us);
    b->name = backtest_keep(b, d->name);
    if (b->engine == NULL || b->name == NULL) {
        device_forget(b);
        b->err = ERR_NOMEM;
        return b->err;
    }
    b->next_alert_id = 1;
    b->out = (struct engine_out){.arena = &b->events, .next_alert_id = &b->next_alert_id};
    b->last_us = begin_us;
    b->seq = 0;
    b->gathered = 0;
    b->tally = (struct tally){.device = b->name};
    b->counts.devices++;
    return ERR_OK;
}

bool backtest_baseline_wanted(const struct backtest *b, uint32_t at, int32_t *ret_metric,
                              int64_t *ret_count)
{
    return engine_baseline_wanted(b->engine, at, ret_metric, ret_count);
}

enum err backtest_baseline_seed(struct backtest *b, int32_t metric, const double *values,
                                uint32_t count)
{
    return engine_baseline_seed(b->engine, metric, values, count);
}

bool backtest_wants(const struct backtest *b, int32_t metric)
{
    return engine_wants(b->engine, metric);
}

enum err backtest_sample(struct backtest *b, const struct sample *s, int64_t received_us)
{
    (void)received_us;
    if (b->err != ERR_OK) {
        return b->err;
    }
    if (s->ts_us < b->last_us) {
        b->err = ERR_STATE;
        return b->err;
    }
    if (b->setup.to_us != CLOCK_NONE && s->ts_us >= b->setup.to_us) {
        return ERR_OK;
    }
    b->last_us = s->ts_us;
    b->counts.samples++;
    b->tally.samples++;
    if (engine_feed(b->engine, s, b->seq++, &b->out) == ENGINE_LATE) {
        b->err = ERR_STATE; /* in order, so never late */
        return b->err;
    }
    if (++b->gathered < GATHER && b->out.err == ERR_OK) {
        return ERR_OK;
    }
    b->gathered = 0;
    atomic_store_explicit(&b->progress, b->counts.samples, memory_order_relaxed);
    engine_run(b->engine, &b->out);
    b->err = take_events(b);
    return b->err;
}

uint64_t backtest_progress(const struct backtest *b)
{
    return atomic_load_explicit(&b->progress, memory_order_relaxed);
}

enum err backtest_recorded(struct backtest *b, const struct backtest_alert *a)
{
    if (b->err != ERR_OK || !in_period(b, a->fired_us)) {
        return b->err;
    }
    bool later = b->setup.to_us != CLOCK_NONE && a->resolved_us != CLOCK_NONE &&
                 a->resolved_us >= b->setup.to_us;
    struct found f = {.since_us = a->since_us,
                      .fired_us = a->fired_us,
                      .resolved_us = later ? CLOCK_NONE : a->resolved_us,
                      .value = a->value};
    b->err = found_add(b, &b->other, f, view_str(a->summary == NULL ? "" : a->summary));
    struct found *kept = last_found(&b->other);
    if (b->err == ERR_OK && a->summary == NULL && kept != NULL) {
        kept->summary = NULL;
    }
    return b->err;
}

struct backtest_counts backtest_counts(const struct backtest *b)
{
    return b->counts;
}
