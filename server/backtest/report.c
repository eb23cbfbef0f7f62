/*
 * report: the result as JSON. An alert has the members of GET /v1/alerts; its id is its place.
 */
#include <stdlib.h>

#include "backtest/internal.h"
#include "base/clock.h"

static int by_fired(const void *a, const void *b)
{
    const struct listed *x = a;
    const struct listed *y = b;
    if (x->is.fired_us != y->is.fired_us) {
        return x->is.fired_us < y->is.fired_us ? -1 : 1;
    }
    return strcmp(x->device, y->device);
}

static int by_time(const void *a, const void *b)
{
    const struct command *x = a;
    const struct command *y = b;
    if (x->ts_us != y->ts_us) {
        return x->ts_us < y->ts_us ? -1 : 1;
    }
    return strcmp(x->cause, y->cause);
}

static int by_alerts(const void *a, const void *b)
{
    const struct tally *x = a;
    const struct tally *y = b;
    if (x->alerts != y->alerts) {
        return x->alerts > y->alerts ? -1 : 1;
    }
    return strcmp(x->device, y->device);
}

static void emit_count(struct emit_json *j, const char *key, uint64_t n)
{
    emit_json_key(j, key);
    emit_json_int(j, (int64_t)n);
}

static void emit_seconds(struct emit_json *j, const char *key, int64_t us)
{
    emit_json_key(j, key);
    emit_json_real(j, (double)us / 1e6);
}

static void emit_alert(struct emit_json *j, const struct listed *l, const struct found *f,
                       int64_t id)
{
    emit_json_open(j, '{');
    if (id > 0) {
        emit_json_key(j, "id");
        emit_json_int(j, id);
    }
    emit_json_key(j, "rule");
    emit_json_str(j, rule_name(l->rule));
    emit_json_key(j, "device");
    emit_json_str(j, l->device);
    emit_json_key(j, "group");
    emit_json_null(j);
    emit_json_key(j, "severity");
    emit_json_str(j, severity_words(f->severity));
    emit_json_key(j, "state");
    emit_json_str(j, f->resolved_us == CLOCK_NONE ? "firing" : "resolved");
    emit_json_key(j, "since");
    emit_json_time(j, f->since_us);
    emit_json_key(j, "fired_at");
    emit_json_time(j, f->fired_us);
    emit_json_key(j, "resolved_at");
    emit_json_time(j, f->resolved_us);
    emit_json_key(j, "value");
    emit_json_real(j, f->value);
    emit_json_key(j, "summary");
    emit_json_str(j, f->summary);
    emit_json_key(j, "severity_at");
    emit_json_time(j, f->severity_at_us);
    emit_json_key(j, "worst");
    emit_json_str(j, severity_words(f->worst));
    emit_json_key(j, "acknowledged_by");
    emit_json_null(j);
    emit_json_key(j, "acknowledged_at");
    emit_json_null(j);
    emit_json_close(j, '}');
}

static void emit_alerts(struct emit_json *j, const char *key, struct listed_list *list,
                        bool numbered)
{
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(*list->items), by_fired);
    }
    emit_json_key(j, key);
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < list->count; i++) {
        emit_alert(j, &list->items[i], &list->items[i].is, numbered ? (int64_t)i + 1 : 0);
    }
    emit_json_close(j, ']');
}

static void emit_changed(struct emit_json *j, struct listed_list *list)
{
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(*list->items), by_fired);
    }
    emit_json_key(j, "changed");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < list->count; i++) {
        emit_json_open(j, '{');
        emit_json_key(j, "was");
        emit_alert(j, &list->items[i], &list->items[i].was, 0);
        emit_json_key(j, "is");
        emit_alert(j, &list->items[i], &list->items[i].is, 0);
        emit_json_close(j, '}');
    }
    emit_json_close(j, ']');
}

static void emit_tallies(struct backtest *b, struct emit_json *j)
{
    if (b->tally_count > 0) {
        qsort(b->tallies, b->tally_count, sizeof(*b->tallies), by_alerts);
    }
    emit_json_key(j, "by_device");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < b->tally_count && i < b->setup.items_max; i++) {
        const struct tally *t = &b->tallies[i];
        emit_json_open(j, '{');
        emit_json_key(j, "device");
        emit_json_str(j, t->device);
        emit_count(j, "samples", t->samples);
        emit_count(j, "alerts", t->alerts);
        emit_count(j, "flaps", t->flaps);
        emit_count(j, "pending_resets", t->pending_resets);
        emit_count(j, "commands", t->commands);
        emit_seconds(j, "firing_seconds", t->firing_us);
        emit_seconds(j, "longest_seconds", t->longest_us);
        emit_json_close(j, '}');
    }
    emit_json_close(j, ']');
}

/* Of all devices, those without an alert too; tallies are sorted by alerts, most first. */
static uint64_t alerts_at(const struct backtest *b, double share)
{
    uint64_t devices = b->counts.devices;
    uint64_t from_top = devices - (uint64_t)((double)(devices - 1) * share) - 1;
    return from_top < b->tally_count ? b->tallies[from_top].alerts : 0;
}

static void emit_distribution(const struct backtest *b, struct emit_json *j)
{
    static const struct {
        const char *key;
        double share;
    } rows[] = {{"min", 0}, {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"max", 1}};
    emit_json_key(j, "distribution");
    emit_json_open(j, '{');
    emit_count(j, "devices", b->counts.devices);
    emit_count(j, "devices_with_alerts", b->tally_count);
    emit_json_key(j, "alerts_per_device");
    emit_json_open(j, '{');
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        emit_count(j, rows[i].key, b->counts.devices == 0 ? 0 : alerts_at(b, rows[i].share));
    }
    emit_json_close(j, '}');
    emit_json_close(j, '}');
}

static void emit_commands(struct backtest *b, struct emit_json *j)
{
    if (b->command_count > 0) {
        qsort(b->commands, b->command_count, sizeof(*b->commands), by_time);
    }
    emit_json_key(j, "commands");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < b->command_count; i++) {
        const struct command *c = &b->commands[i];
        char expires[CLOCK_TEXT_SIZE];
        emit_json_open(j, '{');
        emit_json_key(j, "device");
        emit_json_str(j, c->device);
        emit_json_key(j, "method");
        emit_json_str(j, c->action->method);
        emit_json_key(j, "params");
        emit_json_raw(j, view_str(c->action->params));
        emit_json_key(j, "expires_in");
        emit_json_str(j, clock_format_duration(c->action->expires_us, expires));
        emit_json_key(j, "ts");
        emit_json_time(j, c->ts_us);
        emit_json_key(j, "alert_device");
        emit_json_str(j, c->cause);
        emit_json_close(j, '}');
    }
    emit_json_close(j, ']');
}

static void emit_counts(const struct backtest *b, struct emit_json *j)
{
    int64_t firing_us = 0;
    for (uint32_t i = 0; i < b->tally_count; i++) {
        firing_us += b->tallies[i].firing_us;
    }
    emit_json_key(j, "counts");
    emit_json_open(j, '{');
    emit_count(j, "devices", b->counts.devices);
    emit_count(j, "samples", b->counts.samples);
    emit_count(j, "evaluations", b->counts.evaluations);
    emit_count(j, "alerts", b->counts.alerts);
    emit_count(j, "flaps", b->counts.flaps);
    emit_count(j, "pending_resets", b->counts.pending_resets);
    emit_count(j, "commands", b->counts.commands);
    emit_seconds(j, "firing_seconds", firing_us);
    emit_json_close(j, '}');
}

void backtest_report(struct backtest *b, struct emit_json *j)
{
    const struct backtest_counts *c = &b->counts;
    emit_json_key(j, "from");
    emit_json_time(j, b->setup.from_us);
    emit_json_key(j, "to");
    emit_json_time(j, b->setup.to_us);
    emit_counts(b, j);
    emit_alerts(j, "alerts", &b->alerts, true);
    emit_tallies(b, j);
    emit_distribution(b, j);
    emit_commands(b, j);
    emit_json_key(j, "difference");
    emit_json_open(j, '{');
    emit_json_key(j, "against");
    emit_json_str(j, b->setup.against_words);
    emit_count(j, "same_count", b->same);
    emit_count(j, "added_count", c->added);
    emit_count(j, "removed_count", c->removed);
    emit_count(j, "changed_count", c->changed);
    emit_alerts(j, "added", &b->added, false);
    emit_alerts(j, "removed", &b->removed, false);
    emit_changed(j, &b->changed);
    emit_json_close(j, '}');
    uint64_t most = b->setup.items_max;
    emit_json_key(j, "truncated");
    emit_json_bool(j, c->alerts > most || c->commands > most || b->tally_count > most ||
                          c->added > most || c->removed > most || c->changed > most);
}
