/*
 * oracle: the alert history as an uninterrupted run has it. The engine is run once over the stored
 * samples of each device in the order of (ts, arrival), with nothing before and nothing between; a
 * server that crashed, replayed and corrected itself must have come to the same alerts. That the
 * clock had come to an instant and nothing was heard is no sample: where an alert begins or ends
 * without one, the engine is told so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "checks.h"
#include "model/sample.h"
#include "rules/inside.h"

enum { ORACLE_ALERTS_MAX = 4096, ORACLE_ARENA = 64 << 20 };

struct told {
    int32_t rule_id;
    int64_t since_us, fired_us, resolved_us;
    double value;
};

struct instants {
    int64_t items[2 * ORACLE_ALERTS_MAX];
    uint32_t count, next;
};

/* When exactly a rule was changed between two samples nobody wrote down. */
static bool was_edited(int32_t rule_id)
{
    return sim_get()->rule_versions[rule_id - 1] > 1;
}

static int told_order(const void *a, const void *b)
{
    const struct told *x = a;
    const struct told *y = b;
    if (x->rule_id != y->rule_id) {
        return x->rule_id < y->rule_id ? -1 : 1;
    }
    if (x->fired_us != y->fired_us) {
        return x->fired_us < y->fired_us ? -1 : 1;
    }
    return x->resolved_us == y->resolved_us ? 0 : x->resolved_us < y->resolved_us ? -1 : 1;
}

/* By the names in the database: the numbers of this life may be others. */
static uint32_t sample_of(const struct pg *pg, struct intern *metrics, const struct pg_sample *row,
                          struct sample_value *values)
{
    uint32_t n = 0;
    const struct pg_shape *shape = row->shape == 0 ? NULL : pg_shape(pg, row->shape);
    for (uint32_t i = 0; shape != NULL && i < shape->count; i++) {
        values[n++] = (struct sample_value){
            .metric = intern_find(metrics, view_str(pg_metric(pg, shape->metrics[i]))),
            .kind = VALUE_NUMBER,
            .number = row->values[i]};
    }
    const char *door = row->extra == NULL ? NULL : strstr(row->extra, "\"door\":");
    if (door != NULL) {
        values[n++] = (struct sample_value){.metric = intern_find(metrics, VIEW("door")),
                                            .kind = VALUE_BOOL,
                                            .number = door[7] == 't'};
    }
    return n;
}

static int time_order(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* When the stored alerts of a device began and ended, in order. */
static uint32_t instants_of(const struct pg *pg, int32_t device_id, int64_t *instants)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        const struct pg_alert *a = &pg->alerts.items[i];
        if (a->device_id == device_id) {
            CHECK(count + 2 <= 2 * ORACLE_ALERTS_MAX);
            instants[count++] = a->fired_us;
            instants[count++] = a->resolved_us;
        }
    }
    qsort(instants, count, sizeof(*instants), time_order);
    return count;
}

/* The instants between two samples. */
static void advance(struct engine *e, int64_t before_us, struct instants *in,
                    struct engine_out *out)
{
    while (in->next < in->count && in->items[in->next] < before_us) {
        int64_t t_us = in->items[in->next++];
        if (t_us > engine_watermark_us(e)) {
            engine_tick(e, t_us, out);
        }
    }
}

static uint32_t run_engine(int32_t device_id, struct told *told)
{
    struct sim *s = sim_get();
    static struct instants instants;
    instants.next = 0;
    instants.count = instants_of(s->pg, device_id, instants.items);
    struct engine_rule *rules = NULL;
    uint32_t rule_count = 0;
    struct device *d = catalog_device_by_id(s->server.catalog, device_id);
    CHECK(catalog_rules_for(s->server.catalog, d, &rules, &rule_count) == ERR_OK);
    struct engine *e = engine_new(d, rules, rule_count, s->conf.lateness_us, CLOCK_NONE);
    struct arena arena;
    arena_init(&arena, ORACLE_ARENA);
    int64_t next_id = 1;
    struct engine_out out = {.arena = &arena, .next_alert_id = &next_id};
    const struct pg_samples *t = &s->pg->samples[device_id];
    for (uint32_t i = 0; i < t->count; i++) {
        const struct pg_sample *row = t->items[i];
        if ((row->flags & (SAMPLE_LATE | SAMPLE_CLOCK)) != 0) {
            continue;
        }
        struct sample_value values[SIM_METRICS];
        struct sample sample = {.ts_us = row->ts_us, .values = values};
        sample.count = sample_of(s->pg, s->server.metrics, row, values);
        int32_t twice = 0;
        CHECK(sample_sort(&sample, &twice) == ERR_OK);
        advance(e, sample.ts_us, &instants, &out);
        CHECK(engine_feed(e, &sample, row->received_us, &out) == ENGINE_NEW);
        engine_run(e, &out);
    }
    advance(e, CLOCK_MAX_US, &instants, &out);
    CHECK(out.err == ERR_OK);
    uint32_t count = 0;
    for (const struct engine_event *ev = out.first; ev != NULL; ev = ev->next) {
        if (was_edited(ev->rule_id)) {
            continue;
        }
        if (ev->kind == ENGINE_FIRED) {
            CHECK(count < ORACLE_ALERTS_MAX);
            told[count++] = (struct told){ev->rule_id, ev->since_us, ev->fired_at_us,
                                          ev->resolved_at_us, ev->value};
        }
        for (uint32_t i = count; ev->kind == ENGINE_RESOLVED && i > 0; i--) {
            if (told[i - 1].rule_id == ev->rule_id) {
                told[i - 1].resolved_us = ev->resolved_at_us;
                break;
            }
        }
    }
    arena_fini(&arena);
    engine_free(e);
    for (uint32_t i = 0; i < rule_count; i++) {
        rule_drop(rules[i].rule);
    }
    free(rules);
    device_drop(d);
    return count;
}

static uint32_t stored(const struct pg *pg, int32_t device_id, struct told *told)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        const struct pg_alert *a = &pg->alerts.items[i];
        if (a->device_id == device_id && strcmp(a->state, "retracted") != 0 &&
            !was_edited(a->rule_id)) {
            CHECK(count < ORACLE_ALERTS_MAX);
            told[count++] =
                (struct told){a->rule_id, a->since_us, a->fired_us, a->resolved_us, a->value};
        }
    }
    return count;
}

static void print(const char *whose, const struct told *t, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t epoch_us = sim_get()->epoch_us;
        sim_log("%s: rule %d since %.3f fired %.3f resolved %.3f value %g", whose, t[i].rule_id,
                (double)(t[i].since_us - epoch_us) / 1e6, (double)(t[i].fired_us - epoch_us) / 1e6,
                t[i].resolved_us == CLOCK_NONE ? -1 : (double)(t[i].resolved_us - epoch_us) / 1e6,
                t[i].value);
    }
}

static bool same(const struct told *a, const struct told *b)
{
    bool value = a->value == b->value || (a->value != a->value && b->value != b->value);
    return a->rule_id == b->rule_id && a->since_us == b->since_us && a->fired_us == b->fired_us &&
           a->resolved_us == b->resolved_us && value;
}

static void check_device(int32_t device_id, struct told *want, struct told *have)
{
    uint32_t wanted = run_engine(device_id, want);
    uint32_t had = stored(sim_get()->pg, device_id, have);
    qsort(want, wanted, sizeof(*want), told_order);
    qsort(have, had, sizeof(*have), told_order);
    bool equal = wanted == had;
    for (uint32_t i = 0; equal && i < wanted; i++) {
        equal = same(&want[i], &have[i]);
    }
    if (!equal) {
        print("stored", have, had);
        print("uninterrupted", want, wanted);
        sim_violation("the alert history is that of an uninterrupted run",
                      "device %d: %u alerts stored, %u expected, or other times", device_id, had,
                      wanted);
    }
}

/* A clock that was wrong by more than skew_max flags readings for no fault of theirs; when one
 * comes again after the clock was set, rules see what its row says they do not. */
static bool flags_are_right(void)
{
    return sim_get()->wall_range_us < sim_get()->conf.skew_max_us;
}

void check_alerts(void)
{
    if (!flags_are_right()) {
        return;
    }
    struct told *room = calloc(2 * (size_t)ORACLE_ALERTS_MAX, sizeof(*room));
    for (int32_t id = 1; id <= sim_get()->device_count; id++) {
        check_device(id, room, room + ORACLE_ALERTS_MAX);
    }
    free(room);
}
