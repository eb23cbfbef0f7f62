#include "stream.h"

#include "base/check.h"
#include "rules/inside.h"

static void make_values(struct stream_item *it, const int32_t metrics[2], double x, double y,
                        uint32_t which)
{
    it->sample.count = 0;
    it->sample.values = it->values;
    if (which != 1) {
        it->values[it->sample.count++] = (struct sample_value){.metric = metrics[0], .number = x};
    }
    if (which != 0) {
        it->values[it->sample.count++] = (struct sample_value){.metric = metrics[1], .number = y};
    }
}

static int by_key(const void *a, const void *b)
{
    const struct stream_item *x = a;
    const struct stream_item *y = b;
    if (x->key_us != y->key_us) {
        return x->key_us < y->key_us ? -1 : 1;
    }
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* After a move of the items, their samples point to their values again. */
static void relink(struct stream *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        s->items[i].sample.values = s->items[i].values;
    }
}

void stream_make(struct stream *s, struct help_env *h, struct help_random *random, uint32_t count,
                 int64_t jitter_us)
{
    const int32_t metrics[2] = {help_metric(h, "x"), help_metric(h, "y")};
    CHECK(metrics[0] < metrics[1] && count <= STREAM_MAX);
    int64_t ts_us = 1000000 * S;
    double x = 50;
    double y = 50;
    s->count = 0;
    while (s->count < count) {
        uint32_t gap = help_random(random, 100);
        ts_us += gap < 10   ? 0
                 : gap < 97 ? (int64_t)help_random(random, 4000) * 1000
                            : (int64_t)help_random(random, 400) * S;
        x += ((double)help_random(random, 41) - 20) / 4.1; /* sums are not exact: bits must agree */
        y += ((double)help_random(random, 41) - 20) / 8.3 + (50 - y) / 16;
        x = x < 0 || x > 100 ? 50 : x;
        struct stream_item *it = &s->items[s->count];
        *it = (struct stream_item){.sample = {.ts_us = ts_us}, .seq = s->count};
        make_values(it, metrics, x, y, help_random(random, 3));
        it->key_us =
            ts_us + (jitter_us > 0 ? (int64_t)help_random(random, 1 << 30) % jitter_us : 0);
        s->count++;
        if (jitter_us > 0 && s->count < count && help_random(random, 20) == 0) {
            s->items[s->count] = *it;
            s->items[s->count].key_us = ts_us + (int64_t)help_random(random, 1 << 30) % jitter_us;
            s->count++;
        }
    }
    qsort(s->items, s->count, sizeof(s->items[0]), by_key);
    relink(s);
}

void stream_sort(struct stream *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        s->items[i].seq = i;
        s->items[i].key_us = s->items[i].sample.ts_us;
    }
    qsort(s->items, s->count, sizeof(s->items[0]), by_key);
    relink(s);
}

struct rule *stream_rule(struct help_env *h, struct help_random *random)
{
    static const char *const whens[] = {
        "x > 60",
        "x > 55 and y > 50",
        "avg_over_time(x[30s]) > 55",
        "avg_over_time(x[2m]) < 0.97 * baseline(x)",
        "max_over_time(x[20s]) - min_over_time(x[20s]) > 15",
        "sum_over_time(y[10s]) > 200 or x < 20",
        "count_over_time(x[10s]) > 4 unless y > 55",
        "last_over_time(y[3s]) > 50 and present_over_time(x[3s])",
        "y - baseline(y) > 2",
        "stddev_over_time(x[40s]) > 5 or deriv(y[20s]) > 0.5",
        "zscore_over_time(x[90s]) > 1.5",
        "increase(x[1m]) > 60 and changes(y[10s]) > 0",
        "quantile_over_time(0.8, x[30s]) > 56 or mad_over_time(y[30s]) > 3",
        "anomaly(x[2m]) > 2",
        "predict_linear(y[30s], 20) > 60 unless resets(x[8s]) > 2",
        "for_total(x > 50, 30s, y > 60) and x > 55",
        "then(x > 55, 5s, then(y > 50, 10s, x < 45))",
        "then_none(x > 55, 7s, y > 55)",
        "absent_over_time(x[4s]) and y > 50",
        "(hour() + minute()) % 2 == 0 and irate(x[10s]) > 1",
        "absent_over_time(x[20s])",
        "y > 45 and absent_over_time(x[8s])",
        "then_none(y > 52, 6s, x > 50)",
    };
    static const char *const clears[] = {"", "'clear':'x < 50',",
                                         "'clear':'avg_over_time(y[10s]) < 49',"};
    uint32_t count = sizeof(whens) / sizeof(whens[0]);
    char levels[512];
    if (help_random(random, 3) > 0) {
        (void)snprintf(levels, sizeof(levels), "'when':'%s',%s", whens[help_random(random, count)],
                       clears[help_random(random, 3)]);
    } else {
        (void)snprintf(levels, sizeof(levels),
                       "'severities':{'warning':{'when':'x > 52','clear':'x < 48'},"
                       "'major':{%s'when':'%s'},'critical':{'when':'x > 65','for':'%us'}},",
                       clears[help_random(random, 3)], whens[help_random(random, count)],
                       help_random(random, 3) * 4);
    }
    char document[1024];
    (void)snprintf(document, sizeof(document),
                   "{'name':'r',%s'for':'%us','clear_for':'%us','max_gap':'%us','cooldown':'%us',%s"
                   "'summary':'{{x}} {{y}} {{value}} {{severity}}'}",
                   levels, help_random(random, 3) * 5, help_random(random, 3) * 5,
                   10 + help_random(random, 300), help_random(random, 2) * 20,
                   help_random(random, 4) > 0 ? "" : "'active':[{'from':'13:50','to':'14:05'}],");
    return help_rule(h, document);
}

struct engine *stream_engine(struct help_env *h, struct device *d, uint64_t seed,
                             int64_t lateness_us)
{
    struct help_random random = {.state = seed};
    struct engine_rule rules[STREAM_RULES];
    for (int i = 0; i < STREAM_RULES; i++) {
        rules[i] =
            (struct engine_rule){.rule_id = i, .version = 1, .rule = stream_rule(h, &random)};
    }
    struct engine *e = engine_new(d, rules, STREAM_RULES, lateness_us, CLOCK_NONE);
    for (int i = 0; i < STREAM_RULES; i++) {
        rule_drop(rules[i].rule);
    }
    return e;
}

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static bool same_slot(const struct engine_slot_state *a, const struct engine_slot_state *b)
{
    return a->last_us == b->last_us && same_bits(a->last, b->last) &&
           a->baseline_count == b->baseline_count && same_bits(a->baseline_sum, b->baseline_sum);
}

static bool same_memory(const struct engine_memory_state *a, const struct engine_memory_state *b)
{
    return a->prev_us == b->prev_us && a->since_us == b->since_us && a->total_us == b->total_us &&
           a->held == b->held && a->value == b->value;
}

static bool same_machine(const struct engine_machine_state *a, const struct engine_machine_state *b)
{
    return a->prev_us == b->prev_us && a->timer_us == b->timer_us && a->since_us == b->since_us &&
           a->fired_us == b->fired_us && a->ended_us == b->ended_us &&
           same_bits(a->value, b->value) && memcmp(&a->degree, &b->degree, sizeof(a->degree)) == 0;
}

static bool same_level(const struct engine_level_state *a, const struct engine_level_state *b)
{
    return a->since_us == b->since_us && a->clear_us == b->clear_us &&
           same_bits(a->value, b->value) && a->phase == b->phase;
}

bool stream_same_state(const struct engine *a, const struct engine *b, bool numbers)
{
    bool same = a->watermark_us == b->watermark_us && a->now->newest_us == b->now->newest_us &&
                a->slot_count == b->slot_count && a->range_count == b->range_count;
    for (uint32_t i = 0; i < a->slot_count && same; i++) {
        same = same_slot(&a->now->slots[i], &b->now->slots[i]) &&
               (!numbers || a->now->slots[i].end == b->now->slots[i].end);
    }
    for (uint32_t i = 0; i < a->range_count && same; i++) {
        const struct engine_range_state *x = &a->now->ranges[i];
        const struct engine_range_state *y = &b->now->ranges[i];
        same = x->end - x->tail == y->end - y->tail && same_bits(x->sum, y->sum) &&
               same_bits(x->carry, y->carry) && (!numbers || x->tail == y->tail);
    }
    for (uint32_t i = 0; i < a->memory_count && same; i++) {
        same = same_memory(&a->now->memories[i], &b->now->memories[i]);
    }
    for (uint32_t i = 0; i < a->machine_count && same; i++) {
        same = same_machine(&a->now->machines[i], &b->now->machines[i]) &&
               (!numbers || a->now->machines[i].fired_count == b->now->machines[i].fired_count);
    }
    for (uint32_t i = 0; i < a->level_count && same; i++) {
        same = same_level(&a->now->levels[i], &b->now->levels[i]);
    }
    return same;
}
