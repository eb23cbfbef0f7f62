/*
 * run: the samples of each device through its own engine.
 *
 * Samples are gathered and run some hundred at a time: the result is that of one at a time, because
 * the state is a fold over the sorted samples. What an engine takes back, because a sample came out
 * of order, is taken back here too.
 */
#include <math.h>
#include <stdlib.h>

#include "backtest/internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "rules/explain.h"

enum {
    CANDIDATE = 1, /* rule ids in the engine */
    OTHER = 2,
    GATHER = 256, /* samples a run */
    EVENTS_LIMIT = 256 << 20,
    KEPT_LIMIT = 1 << 30,
};

/* As live: who said something so lately may be about to say more. */
#define QUIET_US CLOCK_SECOND_US

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
    arena_init(&b->kept, KEPT_LIMIT);
    b->next_alert_id = 1;
    b->out = (struct engine_out){.arena = &b->events, .next_alert_id = &b->next_alert_id};
    return b;
}

static void found_fini(struct found_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->items[i].summary);
    }
    free(list->items);
}

static void device_free(struct backtest_device *d)
{
    if (d->next != NULL) {
        d->next->back = d->back;
    }
    *d->back = d->next;
    engine_free(d->engine);
    device_drop(d->device);
    found_fini(&d->candidate);
    found_fini(&d->other);
    free(d);
}

void backtest_free(struct backtest *b)
{
    if (b == NULL) {
        return;
    }
    while (b->open != NULL) {
        device_free(b->open);
    }
    free(b->alerts.items);
    free(b->added.items);
    free(b->removed.items);
    free(b->changed.items);
    free(b->commands);
    free(b->tallies);
    arena_fini(&b->events);
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

/* Keeps the text of an alert that is listed. False: no memory. */
static bool keep_summary(struct backtest *b, const struct found *from, struct found *to)
{
    *to = *from;
    to->summary = from->summary == NULL ? NULL : arena_str(&b->kept, view_str(from->summary));
    return from->summary == NULL || to->summary != NULL;
}

enum err backtest_list(struct backtest_device *d, struct listed_list *list,
                       const struct listed *item)
{
    struct backtest *b = d->b;
    if (list->count >= b->setup.items_max) {
        return ERR_OK; /* the counts tell that there are more */
    }
    struct listed kept = {.device = d->name, .rule = item->rule};
    if (!backtest_room((void **)&list->items, list->count, &list->cap, sizeof(*list->items)) ||
        !keep_summary(b, &item->is, &kept.is) || !keep_summary(b, &item->was, &kept.was)) {
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

static enum err found_add(struct found_list *list, struct found f, struct view summary)
{
    if (list->count == BACKTEST_COMPARED_MAX ||
        !backtest_room((void **)&list->items, list->count, &list->cap, sizeof(*list->items))) {
        return list->count == BACKTEST_COMPARED_MAX ? ERR_LIMIT : ERR_NOMEM;
    }
    f.summary = strndup(summary.data == NULL ? "" : (const char *)summary.data, summary.len);
    if (f.summary == NULL) {
        return ERR_NOMEM;
    }
    list->items[list->count++] = f;
    return ERR_OK;
}

struct command_maker {
    struct backtest_device *d;
    struct command command;
    enum err err;
};

static void command_add(void *arg, const char *device)
{
    struct command_maker *m = arg;
    struct backtest *b = m->d->b;
    b->counts.commands++;
    m->d->tally.commands++;
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

static enum err commands_of(struct backtest_device *d, int64_t fired_us)
{
    const struct backtest_setup *setup = &d->b->setup;
    uint32_t count = 0;
    const struct rule_action *actions = rule_actions(setup->candidate, &count);
    struct command_maker m = {.d = d, .command = {.cause = d->name, .ts_us = fired_us}};
    for (uint32_t i = 0; i < count; i++) {
        const struct rule_action *a = &actions[i];
        if (a->kind != RULE_ACTION_COMMAND) {
            continue;
        }
        m.command.action = a;
        if (setup->targets != NULL) {
            setup->targets(setup->arg, a, d->device, command_add, &m);
        } else if (a->target == RULE_TARGET_SELF) {
            command_add(&m, d->device->name);
        } else {
            command_add(&m, a->target == RULE_TARGET_DEVICE ? a->device : NULL);
        }
    }
    return m.err;
}

static enum err fired(struct backtest_device *d, const struct engine_event *ev)
{
    bool ours = ev->rule_id == CANDIDATE;
    struct found f = {.alert_id = ev->alert_id,
                      .since_us = ev->since_us,
                      .fired_us = ev->fired_at_us,
                      .resolved_us = ev->resolved_at_us,
                      .value = ev->value,
                      .severity = ev->severity,
                      .worst = ev->worst,
                      .severity_at_us = ev->severity_at_us};
    enum err e = found_add(ours ? &d->candidate : &d->other, f, ev->summary);
    return e == ERR_OK && ours && in_period(d->b, ev->fired_at_us) ? commands_of(d, ev->fired_at_us)
                                                                   : e;
}

/* The alert of an event; the newest are asked for most. */
static struct found *find(struct found_list *list, int64_t alert_id)
{
    for (uint32_t i = list->count; i-- > 0;) {
        if (list->items[i].alert_id == alert_id) {
            return &list->items[i];
        }
    }
    return NULL;
}

static enum err corrected(struct found *f, const struct engine_event *ev)
{
    f->since_us = ev->since_us;
    f->fired_us = ev->fired_at_us;
    f->resolved_us = ev->resolved_at_us;
    f->value = ev->value;
    f->severity = ev->severity;
    f->worst = ev->worst;
    f->severity_at_us = ev->severity_at_us;
    if (ev->summary.len > 0) { /* else it is as it was */
        char *summary = strndup((const char *)ev->summary.data, ev->summary.len);
        if (summary == NULL) {
            return ERR_NOMEM;
        }
        free(f->summary);
        f->summary = summary;
    }
    return ERR_OK;
}

static void retract(struct found_list *list, struct found *f)
{
    size_t at = (size_t)(f - list->items);
    free(f->summary);
    memmove(f, f + 1, (list->count - at - 1) * sizeof(*f));
    list->count--;
}

static enum err take_event(struct backtest_device *d, const struct engine_event *ev)
{
    struct found_list *list = ev->rule_id == CANDIDATE ? &d->candidate : &d->other;
    struct found *f = NULL;
    switch (ev->kind) {
    case ENGINE_FIRED:
        return fired(d, ev);
    case ENGINE_RESOLVED:
        f = find(list, ev->alert_id);
        if (f != NULL) {
            f->resolved_us = ev->resolved_at_us;
            f->severity = ev->severity;
            f->worst = ev->worst;
            f->severity_at_us = ev->severity_at_us;
        }
        return ERR_OK;
    case ENGINE_SEVERITY:
        f = find(list, ev->alert_id);
        return f == NULL ? ERR_OK : corrected(f, ev);
    case ENGINE_CORRECTED:
        f = find(list, ev->alert_id);
        return f == NULL ? ERR_OK : corrected(f, ev);
    case ENGINE_RETRACTED:
        f = find(list, ev->alert_id);
        if (f != NULL) {
            retract(list, f);
        }
        return ERR_OK;
    case ENGINE_PENDING_RESET:
        if (ev->rule_id == CANDIDATE && in_period(d->b, ev->since_us)) {
            d->b->counts.pending_resets++;
            d->tally.pending_resets++;
        }
        return ERR_OK;
    case ENGINE_PENDING:
        break;
    }
    return ERR_OK;
}

/* Takes the events that wait. */
static enum err take_events(struct backtest_device *d)
{
    struct backtest *b = d->b;
    enum err e = b->out.err;
    for (const struct engine_event *ev = b->out.first; ev != NULL && e == ERR_OK; ev = ev->next) {
        e = take_event(d, ev);
    }
    b->counts.evaluations += b->out.evaluations;
    arena_reset(&b->events);
    b->out = (struct engine_out){.arena = &b->events, .next_alert_id = &b->next_alert_id};
    return e;
}

static enum err run(struct backtest_device *d)
{
    struct backtest *b = d->b;
    d->gathered = 0;
    atomic_store_explicit(&b->progress, b->counts.samples, memory_order_relaxed);
    engine_run(d->engine, &b->out);
    b->err = take_events(d);
    return b->err;
}

/* The device said nothing until its clock was at t_us: what waits for silence happens, as with the
 * clock of a live device (server/ingest/timers.c). */
static enum err silence(struct backtest_device *d, int64_t t_us)
{
    struct backtest *b = d->b;
    int64_t end_us = b->setup.to_us == CLOCK_NONE ? CLOCK_MAX_US : b->setup.to_us - 1;
    if (run(d) == ERR_OK && engine_next_due(d->engine) != CLOCK_NONE) {
        engine_advance(d->engine, t_us < end_us ? t_us : end_us, &b->out);
        b->err = take_events(d);
    }
    return b->err;
}

/* Something arrived: how long was it quiet before? */
static enum err hear(struct backtest_device *d, int64_t received_us)
{
    int64_t quiet_us =
        d->heard_us == CLOCK_NONE || received_us == CLOCK_NONE ? 0 : received_us - d->heard_us;
    d->heard_us = quiet_us >= 0 ? received_us : d->heard_us;
    return quiet_us > QUIET_US && d->newest_us != CLOCK_NONE ? silence(d, d->newest_us + quiet_us)
                                                             : ERR_OK;
}

/* After its newest sample. */
static enum err hear_no_more(struct backtest_device *d)
{
    const struct backtest_setup *setup = &d->b->setup;
    if (run(d) != ERR_OK || setup->heard_next == NULL || d->heard_us == CLOCK_NONE ||
        engine_next_due(d->engine) == CLOCK_NONE) {
        return d->b->err;
    }
    return hear(d, setup->heard_next(setup->arg, d->device, d->newest_us));
}

/* ---- devices and samples ----------------------------------------------------------------------
 */

static bool runs_for(const struct backtest *b, const struct rule *r, const struct device *d)
{
    return !b->setup.by_selector || rule_selects(r, d);
}

enum err backtest_open(struct backtest *b, struct device *d, int64_t begin_us,
                       struct backtest_device **ret_device)
{
    struct engine_rule rules[2];
    uint32_t count = 0;
    if (runs_for(b, b->setup.candidate, d)) {
        rules[count++] = (struct engine_rule){
            .rule_id = CANDIDATE, .version = b->setup.version, .rule = b->setup.candidate};
    }
    if (b->setup.against != NULL && runs_for(b, b->setup.against, d)) {
        rules[count++] = (struct engine_rule){.rule_id = OTHER, .rule = b->setup.against};
    }
    struct backtest_device *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return ERR_NOMEM;
    }
    opened->b = b;
    opened->next = b->open;
    opened->back = &b->open;
    if (b->open != NULL) {
        b->open->back = &opened->next;
    }
    b->open = opened;
    device_hold(d);
    opened->device = d;
    opened->newest_us = begin_us;
    opened->heard_us = CLOCK_NONE;
    opened->name = backtest_keep(b, d->name);
    opened->engine = engine_new(d, rules, count, b->setup.lateness_us, begin_us);
    if (opened->engine == NULL || opened->name == NULL) {
        device_free(opened);
        return ERR_NOMEM;
    }
    opened->tally = (struct tally){.device = opened->name};
    b->counts.devices++;
    *ret_device = opened;
    return ERR_OK;
}

bool backtest_baseline_wanted(const struct backtest_device *d, uint32_t at, int32_t *ret_metric,
                              int64_t *ret_count)
{
    return engine_baseline_wanted(d->engine, at, ret_metric, ret_count);
}

enum err backtest_baseline_seed(struct backtest_device *d, int32_t metric, const double *values,
                                uint32_t count)
{
    return engine_baseline_seed(d->engine, metric, values, count);
}

enum err backtest_sample(struct backtest_device *d, const struct sample *s, int64_t received_us)
{
    struct backtest *b = d->b;
    int64_t seq = received_us != CLOCK_NONE ? received_us : d->seq++;
    if (b->err != ERR_OK || (b->setup.to_us != CLOCK_NONE && s->ts_us >= b->setup.to_us)) {
        return b->err;
    }
    if (hear(d, received_us) != ERR_OK) {
        return b->err;
    }
    if (engine_feed(d->engine, s, seq, &b->out) == ENGINE_LATE) {
        b->err = ERR_STATE;
        return b->err;
    }
    d->newest_us = s->ts_us > d->newest_us ? s->ts_us : d->newest_us;
    b->counts.samples++;
    d->tally.samples++;
    d->gathered++;
    if (d->gathered == GATHER) {
        return run(d);
    }
    if (b->out.first != NULL || b->out.err != ERR_OK) { /* it could not gather more */
        b->err = take_events(d);
    }
    return b->err;
}

enum err backtest_recorded(struct backtest_device *d, const struct backtest_alert *a)
{
    struct backtest *b = d->b;
    bool later = b->setup.to_us != CLOCK_NONE && a->resolved_us != CLOCK_NONE &&
                 a->resolved_us >= b->setup.to_us;
    struct found f = {.since_us = a->since_us,
                      .fired_us = a->fired_us,
                      .resolved_us = later ? CLOCK_NONE : a->resolved_us,
                      .value = a->value,
                      .severity = a->severity,
                      .worst = a->severity,
                      .severity_at_us = a->fired_us};
    if (b->err != ERR_OK) {
        return b->err;
    }
    b->err = found_add(&d->other, f, view_str(a->summary));
    if (b->err == ERR_OK && a->summary == NULL) {
        struct found *kept = &d->other.items[d->other.count - 1];
        free(kept->summary);
        kept->summary = NULL;
    }
    return b->err;
}

static int by_fired(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;
    return (x->fired_us > y->fired_us) - (x->fired_us < y->fired_us);
}

/* In order of time, and only those that fired in the period. */
static void choose(const struct backtest *b, struct found_list *list)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (in_period(b, list->items[i].fired_us)) {
            list->items[kept++] = list->items[i];
        } else {
            free(list->items[i].summary);
        }
    }
    list->count = kept;
    if (kept > 0) {
        qsort(list->items, kept, sizeof(*list->items), by_fired);
    }
}

static void count_alerts(struct backtest_device *d)
{
    const struct found *before = NULL;
    for (uint32_t i = 0; i < d->candidate.count; i++) {
        const struct found *f = &d->candidate.items[i];
        int64_t end_us = f->resolved_us == CLOCK_NONE ? d->newest_us : f->resolved_us;
        int64_t took_us = end_us > f->fired_us ? end_us - f->fired_us : 0;
        d->tally.alerts++;
        d->tally.flaps += before != NULL && before->resolved_us != CLOCK_NONE &&
                          f->fired_us - before->resolved_us <= d->b->setup.flap_us;
        d->tally.firing_us += took_us;
        d->tally.longest_us = took_us > d->tally.longest_us ? took_us : d->tally.longest_us;
        before = f;
    }
    d->b->counts.alerts += d->tally.alerts;
    d->b->counts.flaps += d->tally.flaps;
}

static enum err list_alerts(struct backtest_device *d)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < d->candidate.count && e == ERR_OK; i++) {
        struct listed item = {.rule = d->b->setup.candidate, .is = d->candidate.items[i]};
        e = backtest_list(d, &d->b->alerts, &item);
    }
    return e;
}

static enum err keep_tally(struct backtest_device *d)
{
    struct backtest *b = d->b;
    if (d->tally.alerts == 0) {
        return ERR_OK;
    }
    if (!backtest_room((void **)&b->tallies, b->tally_count, &b->tally_cap, sizeof(*b->tallies))) {
        return ERR_NOMEM;
    }
    b->tallies[b->tally_count++] = d->tally;
    return ERR_OK;
}

enum err backtest_close(struct backtest_device *d)
{
    struct backtest *b = d->b;
    if (b->err == ERR_OK && hear_no_more(d) == ERR_OK) {
        choose(b, &d->candidate);
        choose(b, &d->other);
        count_alerts(d);
        b->err = list_alerts(d);
    }
    if (b->err == ERR_OK) {
        b->err = keep_tally(d);
    }
    if (b->err == ERR_OK) {
        backtest_compare(d);
    }
    device_free(d);
    return b->err;
}

enum err backtest_explain(struct backtest_device *d, int64_t at_us, struct emit_json *j)
{
    struct backtest *b = d->b;
    if (b->err == ERR_OK && hear_no_more(d) == ERR_OK) {
        return engine_explain_rule(d->engine, CANDIDATE, at_us, j);
    }
    return b->err;
}

enum err backtest_err(const struct backtest *b)
{
    return b->err;
}

uint64_t backtest_progress(const struct backtest *b)
{
    return atomic_load_explicit(&b->progress, memory_order_relaxed);
}

struct backtest_counts backtest_counts(const struct backtest *b)
{
    return b->counts;
}
