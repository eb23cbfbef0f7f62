/*
 * fuzz_rules_engine: samples back and forth in time, duplicates and restarts, against the sorted
 * run.
 *
 * First byte: which rules; second: the lateness in seconds. Then operations of three bytes: what,
 * time step, value. At the end the alerts, with their corrections applied, must be those of an
 * engine that got the accepted samples in order; a restart reports nothing.
 */
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "rules/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPS_MAX = 300, RULES = 2 };

#define SECOND CLOCK_SECOND_US

struct stored {
    struct sample sample;
    struct sample_value value;
    int64_t seq;
};

struct alert {
    int64_t id;
    int32_t rule_id;
    int64_t since_us, fired_us, resolved_us, severity_us;
    enum severity severity, worst;
    double value;
    bool retracted;
};

struct alerts {
    struct alert items[OPS_MAX * RULES * 4];
    uint32_t count;
    int64_t next_id;
};

struct world {
    struct intern *metrics;
    int32_t numbers[2];
    struct device *device;
    struct engine_rule rules[RULES];
    int64_t lateness_us;
    struct arena arena;
    struct stored stored[OPS_MAX];
    uint32_t stored_count;
    struct alerts live;
    struct alerts sorted;
};

static const char *const documents[] = {
    "{\"name\":\"a\",\"when\":\"x > 100\",\"lateness\":\"0s\"}",
    "{\"name\":\"b\",\"when\":\"x > 100\",\"for\":\"3s\",\"clear\":\"x < 50\",\"clear_for\":\"2s\","
    "\"max_gap\":\"20s\",\"lateness\":\"0s\"}",
    "{\"name\":\"c\",\"when\":\"avg_over_time(x[5s]) > 100 and y < 200\",\"lateness\":\"0s\"}",
    "{\"name\":\"d\",\"when\":\"max_over_time(x[9s]) - min_over_time(x[9s]) > 99\",\"clear_for\":"
    "\"1s\",\"lateness\":\"0s\"}",
    "{\"name\":\"e\",\"when\":\"x > baseline(x)\",\"for\":\"2s\",\"lateness\":\"0s\"}",
    "{\"name\":\"f\",\"when\":\"sum_over_time(y[4s]) > 300 or count_over_time(x[4s]) > 5\","
    "\"clear\":\"last_over_time(y[2s]) < 10\",\"max_gap\":\"9s\",\"lateness\":\"0s\"}",
    "{\"name\":\"g\",\"when\":\"absent_over_time(x[7s])\",\"for\":\"2s\",\"lateness\":\"0s\"}",
    "{\"name\":\"h\",\"severities\":{\"warning\":{\"when\":\"x > 90\",\"clear\":\"x < 60\"},"
    "\"critical\":{\"when\":\"x > 150\",\"for\":\"3s\"}},\"cooldown\":\"5s\",\"lateness\":\"0s\"}",
    "{\"name\":\"g\",\"when\":\"stddev_over_time(x[40s]) > deriv(x[20s]) * 9 or "
    "quantile_over_time(0.7, y[15s]) > 120\",\"lateness\":\"0s\"}",
    "{\"name\":\"h\",\"when\":\"anomaly(x[60s]) > 2 or mad_over_time(x[9s]) > 40 or rate(x[50s]) > "
    "9 or predict_linear(y[30s], 5) > 200\",\"lateness\":\"0s\"}",
    "{\"name\":\"i\",\"when\":\"for_total(x > 100, 9s, y > 200) and then(y > 50, 5s, x > "
    "20)\",\"clear\":\"changes(x[20s]) < 2\",\"max_gap\":\"7s\",\"lateness\":\"0s\"}",
    "{\"name\":\"j\",\"when\":\"then_none(x > 100, 6s, y > 150) or absent_over_time(x[9s]) and y > "
    "100\",\"for\":\"1s\",\"lateness\":\"0s\"}",
};

static void world_init(struct world *w, uint8_t rules, uint8_t lateness)
{
    w->metrics = intern_new(100);
    CHECK(w->metrics != NULL);
    w->numbers[0] = intern_add(w->metrics, VIEW("x"));
    w->numbers[1] = intern_add(w->metrics, VIEW("y"));
    w->device = device_new();
    CHECK(w->device != NULL);
    w->device->name = strdup("d");
    w->device->type = device_type_new();
    w->device->type->metrics = calloc(1, sizeof(struct metric_spec));
    w->device->type->metrics[0] = (struct metric_spec){
        .metric = w->numbers[0], .name = strdup("x"), .unit = strdup(""), .baseline_samples = 3};
    w->device->type->metric_count = 1;
    w->lateness_us = lateness % 64 * SECOND;
    struct rule_env env = {.metrics = w->metrics};
    for (int i = 0; i < RULES; i++) {
        size_t which = (rules / (i == 0 ? 1u : COUNT_OF(documents))) % COUNT_OF(documents);
        struct rule_error e;
        CHECK(rule_compile(view_str(documents[which]), &env, &w->rules[i].rule, &e) == ERR_OK);
        w->rules[i].rule_id = i + 1;
        w->rules[i].version = 1;
    }
    arena_init(&w->arena, 16 << 20);
}

static void world_fini(struct world *w)
{
    for (int i = 0; i < RULES; i++) {
        rule_drop(w->rules[i].rule);
    }
    device_drop(w->device);
    intern_free(w->metrics);
    arena_fini(&w->arena);
}

static struct engine *world_engine(const struct world *w)
{
    struct engine *e = engine_new(w->device, w->rules, RULES, w->lateness_us, CLOCK_NONE);
    CHECK(e != NULL);
    return e;
}

static void take_event(struct alerts *list, const struct engine_event *ev)
{
    if (ev->kind == ENGINE_PENDING || ev->kind == ENGINE_PENDING_RESET) {
        return;
    }
    uint32_t at = 0;
    while (at < list->count && list->items[at].id != ev->alert_id) {
        at++;
    }
    CHECK((at == list->count) == (ev->kind == ENGINE_FIRED)); /* an id is new when it fires */
    CHECK(at < COUNT_OF(list->items));
    list->count += at == list->count ? 1 : 0;
    list->items[at] = (struct alert){.id = ev->alert_id,
                                     .rule_id = ev->rule_id,
                                     .since_us = ev->since_us,
                                     .fired_us = ev->fired_at_us,
                                     .resolved_us = ev->resolved_at_us,
                                     .severity_us = ev->severity_at_us,
                                     .severity = ev->severity,
                                     .worst = ev->worst,
                                     .value = ev->value,
                                     .retracted = ev->kind == ENGINE_RETRACTED};
    uint32_t open = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct alert *a = &list->items[i];
        open += !a->retracted && a->resolved_us == CLOCK_NONE && a->rule_id == ev->rule_id;
    }
    CHECK(open <= 1);
}

/* then: whether what was gathered is run. */
static enum engine_verdict feed(struct world *w, struct engine *e, struct stored *s, bool then,
                                struct alerts *list)
{
    struct engine_out out = {.arena = &w->arena, .next_alert_id = &list->next_id};
    s->sample.values = &s->value;
    enum engine_verdict v = engine_feed(e, &s->sample, s->seq, &out);
    if (then) {
        engine_run(e, &out);
    }
    CHECK(out.err == ERR_OK);
    for (const struct engine_event *ev = out.first; ev != NULL; ev = ev->next) {
        take_event(list, ev);
    }
    arena_reset(&w->arena);
    return v;
}

static int by_time(const void *a, const void *b)
{
    const struct stored *x = a;
    const struct stored *y = b;
    if (x->sample.ts_us != y->sample.ts_us) {
        return x->sample.ts_us < y->sample.ts_us ? -1 : 1;
    }
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* The server dies and comes back with what the database has. */
static struct engine *restart(struct world *w, struct engine *e)
{
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(e, &state);
    engine_free(e);
    e = world_engine(w);
    CHECK(engine_restore(e, buf_view(&state)) == ERR_OK);
    buf_fini(&state);
    for (uint32_t i = 0; i < w->live.count; i++) {
        const struct alert *a = &w->live.items[i];
        struct engine_event ev = {.rule_id = a->rule_id,
                                  .alert_id = a->id,
                                  .since_us = a->since_us,
                                  .fired_at_us = a->fired_us,
                                  .resolved_at_us = a->resolved_us,
                                  .severity = a->severity,
                                  .worst = a->worst,
                                  .severity_at_us = a->severity_us,
                                  .value = a->value};
        CHECK(a->retracted || engine_restore_alert(e, &ev) == ERR_OK);
    }
    qsort(w->stored, w->stored_count, sizeof(w->stored[0]), by_time);
    struct engine_out out = {.arena = &w->arena, .next_alert_id = &w->live.next_id};
    int64_t from_us = engine_history_from(e);
    for (uint32_t i = 0; i < w->stored_count && from_us != CLOCK_NONE; i++) {
        struct stored *s = &w->stored[i];
        s->sample.values = &s->value;
        CHECK(s->sample.ts_us < from_us || engine_replay(e, &s->sample, s->seq, &out) == ERR_OK);
    }
    engine_replay_end(e, &out);
    CHECK(out.first == NULL && out.err == ERR_OK);
    return e;
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* What fires and ends several times at one instant stands by its end and value; an open end is
 * last. */
static int by_rule_and_time(const void *a, const void *b)
{
    const struct alert *x = a;
    const struct alert *y = b;
    if (x->retracted != y->retracted) {
        return x->retracted ? 1 : -1;
    }
    if (x->rule_id != y->rule_id) {
        return x->rule_id < y->rule_id ? -1 : 1;
    }
    if (x->fired_us != y->fired_us) {
        return order(x->fired_us, y->fired_us);
    }
    if (x->resolved_us != y->resolved_us) {
        return x->resolved_us == CLOCK_NONE   ? 1
               : y->resolved_us == CLOCK_NONE ? -1
                                              : order(x->resolved_us, y->resolved_us);
    }
    return (x->value > y->value) - (x->value < y->value);
}

static uint32_t settle(struct alerts *list)
{
    qsort(list->items, list->count, sizeof(list->items[0]), by_rule_and_time);
    uint32_t n = 0;
    while (n < list->count && !list->items[n].retracted) {
        n++;
    }
    return n;
}

static void compare_with_sorted(struct world *w)
{
    struct engine *e = world_engine(w);
    qsort(w->stored, w->stored_count, sizeof(w->stored[0]), by_time);
    for (uint32_t i = 0; i < w->stored_count; i++) {
        CHECK(feed(w, e, &w->stored[i], true, &w->sorted) == ENGINE_NEW);
    }
    engine_free(e);
    uint32_t n = settle(&w->live);
    CHECK(n == settle(&w->sorted));
    for (uint32_t i = 0; i < n; i++) {
        const struct alert *a = &w->live.items[i];
        const struct alert *b = &w->sorted.items[i];
        CHECK(a->rule_id == b->rule_id && a->since_us == b->since_us &&
              a->fired_us == b->fired_us && a->resolved_us == b->resolved_us &&
              a->severity_us == b->severity_us && a->severity == b->severity &&
              a->worst == b->worst && memcmp(&a->value, &b->value, sizeof(a->value)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 5 || size > 2 + 3 * OPS_MAX) {
        return 0;
    }
    struct world *w = calloc(1, sizeof(*w));
    CHECK(w != NULL);
    world_init(w, data[0], data[1]);
    w->live.next_id = 1;
    w->sorted.next_id = 1;
    struct engine *e = world_engine(w);
    int64_t ts_us = 100000 * SECOND;
    for (size_t at = 2; at + 3 <= size; at += 3) {
        uint8_t what = data[at];
        if (what >= 250) {
            e = restart(w, e);
            continue;
        }
        ts_us += (int8_t)data[at + 1] * (SECOND / 4);
        struct stored s = {.sample = {.ts_us = ts_us, .count = 1},
                           .value = {.metric = w->numbers[what % 2], .number = data[at + 2]},
                           .seq = (int64_t)at};
        if (what >= 220 && w->stored_count > 0) {
            s = w->stored[what % w->stored_count]; /* the same again */
            s.seq = (int64_t)at;
        }
        /* Some are gathered with the next ones; never over a restart, nor at the end. */
        bool gather = what % 8 >= 4 && at + 6 <= size && data[at + 3] < 250;
        if (feed(w, e, &s, !gather, &w->live) == ENGINE_NEW) {
            w->stored[w->stored_count++] = s;
        }
    }
    engine_free(e);
    compare_with_sorted(w);
    world_fini(w);
    free(w);
    return 0;
}
