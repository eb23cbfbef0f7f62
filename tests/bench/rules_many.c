/*
 * rules_many: what a sample costs with 10 to 10,000 rules, by how many of them concern it.
 *
 *     spread:  1,000 devices in 100 cells, rules select a cell; each reads one of 8 metrics, and a
 *              sample has all 8. A device has a hundredth of the rules, and its samples concern
 *              all of these.
 *     apart:   10 devices have all rules; each reads one metric of 1,000, and a sample has 8.
 *     same:    10 devices have all rules; each reads the same metric, and every sample has it.
 *     loading: one device has all rules: matching and binding them, saving and restoring its state.
 *
 * Prints ns for a sample, evaluations for a sample and ns for an evaluation: the least of several
 * rounds, because others use the machine too. Samples are in order and no rule fires.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "rules/engine.h"

enum { VALUES = 8, METRICS = 1000, CELLS = 100, ROUNDS = 5, DEVICES_MAX = 1000 };

#define SECOND CLOCK_SECOND_US

struct world {
    struct intern *names;
    int32_t metrics[METRICS];
    struct engine_rule *rules;
    uint32_t rule_count;
    struct device *devices[DEVICES_MAX];
    struct engine *engines[DEVICES_MAX];
    uint32_t device_count;
    struct arena arena;
    struct engine_out out;
    int64_t next_alert_id;
    int64_t now_us;
};

struct shape {
    const char *name;
    uint32_t devices;
    uint32_t metrics; /* that rules read */
    bool cells;       /* a rule selects one of CELLS */
};

static const struct shape shapes[] = {
    {"spread", 1000, VALUES, true},
    {"apart", 10, METRICS, false},
    {"same", 10, 1, false},
};

static void die(const char *why)
{
    (void)fprintf(stderr, "rules_many: %s\n", why);
    exit(1);
}

static struct rule *compile(struct world *w, const struct shape *s, uint32_t i)
{
    char select[32] = "";
    if (s->cells) {
        (void)snprintf(select, sizeof(select), "cell=c%u", i % CELLS);
    }
    char document[256];
    (void)snprintf(document, sizeof(document),
                   "{\"name\":\"r%u\",\"select\":\"%s\",\"when\":\"m%03u > 1000\",\"for\":\"30s\"}",
                   i, select, i / (s->cells ? CELLS : 1) % s->metrics);
    struct rule_env env = {.metrics = w->names, .lateness_us = 120 * SECOND};
    struct rule *r = NULL;
    struct rule_error error;
    if (rule_compile(view_str(document), &env, &r, &error) != ERR_OK) {
        die(error.detail);
    }
    return r;
}

static struct device *make_device(uint32_t i)
{
    struct device *d = device_new();
    char text[32];
    (void)snprintf(text, sizeof(text), "d%u", i);
    d->name = strdup(text);
    d->type = device_type_new();
    d->type->name = strdup("generic");
    d->type->any_metric = true;
    d->labels = calloc(1, sizeof(*d->labels));
    d->label_count = 1;
    (void)snprintf(text, sizeof(text), "c%u", i % CELLS);
    d->labels[0] = (struct device_pair){.key = strdup("cell"), .text = strdup(text)};
    return d;
}

static struct engine *make_engine(const struct world *w, struct device *d)
{
    struct engine_rule *mine = calloc(w->rule_count, sizeof(*mine));
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->rule_count; i++) {
        if (rule_selects(w->rules[i].rule, d)) {
            mine[count++] = w->rules[i];
        }
    }
    struct engine *e = engine_new(d, mine, count, 120 * SECOND, CLOCK_NONE);
    if (e == NULL) {
        die("out of memory");
    }
    free(mine);
    return e;
}

static struct world *world_new(const struct shape *s, uint32_t rules)
{
    struct world *w = calloc(1, sizeof(*w));
    w->names = intern_new(METRICS + 1);
    for (uint32_t i = 0; i < METRICS; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "m%03u", i);
        w->metrics[i] = intern_add(w->names, view_str(name));
    }
    w->rules = calloc(rules, sizeof(*w->rules));
    w->rule_count = rules;
    for (uint32_t i = 0; i < rules; i++) {
        w->rules[i] = (struct engine_rule){(int32_t)i + 1, 1, compile(w, s, i)};
    }
    w->device_count = s->devices;
    for (uint32_t i = 0; i < s->devices; i++) {
        w->devices[i] = make_device(i);
        w->engines[i] = make_engine(w, w->devices[i]);
    }
    arena_init(&w->arena, 1 << 20);
    w->now_us = 1600000000 * SECOND;
    w->out = (struct engine_out){.arena = &w->arena, .next_alert_id = &w->next_alert_id};
    return w;
}

static void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->device_count; i++) {
        engine_free(w->engines[i]);
        device_drop(w->devices[i]);
    }
    for (uint32_t i = 0; i < w->rule_count; i++) {
        rule_drop(w->rules[i].rule);
    }
    free(w->rules);
    intern_free(w->names);
    arena_fini(&w->arena);
    free(w);
}

/* One sample for each device, in turns, as a server sees them. */
static double round_ns(struct world *w, const struct shape *s, uint32_t samples)
{
    struct sample_value values[VALUES];
    struct sample sample = {.count = VALUES, .values = values};
    uint32_t base = 0;
    int64_t start_us = clock_mono_us();
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t at = i % w->device_count;
        if (at == 0) {
            w->now_us += SECOND;
            base = s->metrics > VALUES ? (base + VALUES) % (s->metrics - VALUES) : 0;
        }
        for (uint32_t k = 0; k < VALUES; k++) {
            values[k] = (struct sample_value){.metric = w->metrics[base + k], .number = i % 100};
        }
        sample.ts_us = w->now_us;
        if (engine_feed(w->engines[at], &sample, i, &w->out) != ENGINE_NEW) {
            die("a sample was refused");
        }
        engine_run(w->engines[at], &w->out);
    }
    return (double)(clock_mono_us() - start_us) * 1000 / samples;
}

static void measure(const struct shape *s, uint32_t rules)
{
    struct world *w = world_new(s, rules);
    uint32_t samples = s->metrics == 1 ? 2000000 / rules + 1000 : 100000;
    double best_ns = round_ns(w, s, samples); /* also warms up: histories have their size */
    w->out.evaluations = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double ns = round_ns(w, s, samples);
        best_ns = ns < best_ns ? ns : best_ns;
    }
    double each = (double)w->out.evaluations / ROUNDS / samples;
    (void)printf("%-8s %6u rules %5u devices %9.0f ns/sample %9.2f evaluations/sample", s->name,
                 rules, s->devices, best_ns, each);
    (void)(each >= 1 ? printf(" %6.1f ns/evaluation\n", best_ns / each) : printf("\n"));
    if (w->next_alert_id != 0 || w->out.err != ERR_OK) {
        die("a rule fired");
    }
    world_free(w);
}

static void measure_loading(uint32_t rules)
{
    static const struct shape all = {"loading", 1, METRICS, false};
    struct world *w = world_new(&all, rules);
    (void)round_ns(w, &all, 300);
    struct buf state;
    buf_init(&state, 1 << 30);
    double best_ms[3] = {1e9, 1e9, 1e9};
    for (int i = 0; i < ROUNDS; i++) {
        int64_t at_us[4] = {clock_mono_us()};
        struct engine *e = make_engine(w, w->devices[0]);
        at_us[1] = clock_mono_us();
        buf_clear(&state);
        engine_save(w->engines[0], &state);
        at_us[2] = clock_mono_us();
        if (engine_restore(e, buf_view(&state)) != ERR_OK) {
            die("the state cannot be restored");
        }
        at_us[3] = clock_mono_us();
        engine_free(e);
        for (int k = 0; k < 3; k++) {
            double ms = (double)(at_us[k + 1] - at_us[k]) / 1000;
            best_ms[k] = ms < best_ms[k] ? ms : best_ms[k];
        }
    }
    (void)printf("%-8s %6u rules: bind %.2f ms, save %.2f ms (%zu bytes), restore %.2f ms\n",
                 all.name, rules, best_ms[0], best_ms[1], state.len, best_ms[2]);
    buf_fini(&state);
    world_free(w);
}

/* Arguments: a shape and a number of rules, for an instrumented run; none: all. */
int main(int argc, char **argv)
{
    static const uint32_t counts[] = {10, 100, 1000, 10000};
    for (size_t n = 0; n < sizeof(shapes) / sizeof(shapes[0]); n++) {
        for (size_t i = 0; i < 4; i++) {
            if (argc == 1 || (argc == 3 && strcmp(argv[1], shapes[n].name) == 0 &&
                              (uint32_t)strtoul(argv[2], NULL, 10) == counts[i])) {
                measure(&shapes[n], counts[i]);
            }
        }
    }
    for (size_t i = 0; argc == 1 && i < 4; i++) {
        measure_loading(counts[i]);
    }
    return 0;
}
