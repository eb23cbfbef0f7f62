/*
 * rules_geo: what a position costs.
 *
 *     fence:  one question to a fence of each kind, for positions in it, near it and far away.
 *     others: a device whose one rule reads its speed, with 0 and with 1,000 fences that other
 *             devices' rules name: the samples must cost the same.
 *     named:  a device whose rules name 1 to 1,000 circles, all but one of them far away.
 *
 * Prints ns, the least of several rounds, because others use the machine too. With an argument
 * (`rules_geo others 1000`) it feeds a million samples to the device of `others` and nothing else,
 * for counting instructions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "geo/fence.h"
#include "rules/engine.h"

enum { FENCES_MAX = 1000, ROUNDS = 5, QUESTIONS = 200000, SAMPLES = 100000 };

#define SECOND CLOCK_SECOND_US

struct world {
    struct intern *names;
    int32_t latitude, longitude, speed;
    struct fence *fences[FENCES_MAX];
    uint32_t fence_count;
    struct arena arena;
    int64_t next_alert_id;
};

static void die(const char *why)
{
    (void)fprintf(stderr, "rules_geo: %s\n", why);
    exit(1);
}

static struct fence *make_fence(int32_t id, const char *document)
{
    struct fence *f = NULL;
    struct fence_error why;
    if (fence_new(id, view_str(document), &f, &why) != ERR_OK) {
        die(why.detail);
    }
    return f;
}

static struct fence *find_fence(void *arg, struct view name)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < w->fence_count; i++) {
        if (view_eq_str(name, fence_name(w->fences[i]))) {
            fence_hold(w->fences[i]);
            return w->fences[i];
        }
    }
    return NULL;
}

static struct rule *compile(struct world *w, const char *document)
{
    struct rule_env env = {
        .metrics = w->names, .lateness_us = 120 * SECOND, .find_fence = find_fence, .arg = w};
    struct rule *r = NULL;
    struct rule_error error;
    if (rule_compile(view_str(document), &env, &r, &error) != ERR_OK) {
        die(error.detail);
    }
    return r;
}

/* ---- one fence ------------------------------------------------------------------------------ */

static double ask(const struct fence *f, struct geo_point p)
{
    double best = 1e300;
    uint32_t inside = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start_us = clock_mono_us();
        for (int i = 0; i < QUESTIONS; i++) {
            struct geo_point q = {p.longitude + i * 1e-12, p.latitude};
            inside += fence_inside(f, q, false);
        }
        double ns = (double)(clock_mono_us() - start_us) * 1000 / QUESTIONS;
        best = ns < best ? ns : best;
    }
    return inside > ROUNDS * QUESTIONS ? 0 : best;
}

/* A closed ring of `count` positions round 10 E 50 N, of a tenth of a degree. */
static struct fence *polygon(uint32_t count)
{
    static char text[FENCE_BYTES_MAX];
    int n = snprintf(text, sizeof(text), "{\"name\":\"p\",\"kind\":\"polygon\",\"coordinates\":[[");
    for (uint32_t i = 0; i < count; i++) {
        double part = (double)(i % (count - 1)) / (count - 1) * 4;
        double along = part - (int)part - 0.5;
        double x = part < 1 ? along : part < 2 ? 0.5 : part < 3 ? -along : -0.5;
        double y = part < 1 ? -0.5 : part < 2 ? along : part < 3 ? 0.5 : -along;
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s[%.9f,%.9f]", i == 0 ? "" : ",",
                      10 + x / 5, 50 + y / 5);
    }
    (void)snprintf(text + n, sizeof(text) - (size_t)n, "]]}");
    return make_fence(1, text);
}

static void one_fence(void)
{
    struct fence *fences[] = {
        make_fence(1, "{\"name\":\"c\",\"kind\":\"circle\",\"center\":[10,50],\"radius_m\":9000}"),
        make_fence(1, "{\"name\":\"b\",\"kind\":\"polygon\",\"bbox\":[9.9,49.9,10.1,50.1]}"),
        polygon(101),
        polygon(1000),
        make_fence(1, "{\"name\":\"r\",\"kind\":\"corridor\",\"line\":[[9.9,50],[9.95,50],[10,50],"
                      "[10.05,50.01],[10.1,50]],\"width_m\":500}"),
    };
    static const char *const words[] = {"circle", "box", "polygon of 100", "polygon of 1,000",
                                        "corridor of 4 parts"};
    (void)printf("%-22s %10s %10s %10s\n", "ns a question", "inside", "beside", "far away");
    for (size_t i = 0; i < sizeof(fences) / sizeof(fences[0]); i++) {
        (void)printf("%-22s %10.0f %10.0f %10.0f\n", words[i],
                     ask(fences[i], (struct geo_point){9.93, 50.0001}),
                     ask(fences[i], (struct geo_point){10.12, 50.02}),
                     ask(fences[i], (struct geo_point){10, -33}));
        fence_drop(fences[i]);
    }
}

/* ---- engines -------------------------------------------------------------------------------- */

static void make_fences(struct world *w, uint32_t count)
{
    for (; w->fence_count < count; w->fence_count++) {
        char text[200];
        (void)snprintf(text, sizeof(text),
                       "{\"name\":\"f%u\",\"kind\":\"circle\",\"center\":[%.6f,%.6f],"
                       "\"radius_m\":30,\"exit_radius_m\":45}",
                       w->fence_count, w->fence_count * 0.1, w->fence_count * 0.05);
        w->fences[w->fence_count] = make_fence((int32_t)w->fence_count + 1, text);
    }
}

static struct engine *make_engine(struct world *w, uint32_t named)
{
    struct device *d = device_new();
    struct engine_rule *rules = calloc(named + 1, sizeof(*rules));
    if (d == NULL || rules == NULL) {
        die("no memory");
    }
    d->name = strdup("d");
    d->type = device_type_new();
    uint32_t count = named == 0 ? 1 : named;
    for (uint32_t i = 0; i < count; i++) {
        char document[200];
        (void)snprintf(document, sizeof(document),
                       named == 0 ? "{\"name\":\"r%u\",\"when\":\"speed > 1000\"}"
                                  : "{\"name\":\"r%u\",\"when\":\"inside(\\\"f%u\\\")\"}",
                       i, i);
        rules[i] = (struct engine_rule){(int32_t)i + 1, 1, compile(w, document)};
    }
    struct engine *e = engine_new(d, rules, count, 120 * SECOND, CLOCK_NONE);
    for (uint32_t i = 0; i < count; i++) {
        rule_drop(rules[i].rule);
    }
    free(rules);
    device_drop(d);
    if (e == NULL) {
        die("no memory");
    }
    return e;
}

static void feed(struct world *w, struct engine *e, uint32_t from, uint32_t to)
{
    struct engine_out out = {.arena = &w->arena, .next_alert_id = &w->next_alert_id};
    for (uint32_t i = from; i < to; i++) {
        struct sample_value values[] = {
            {.metric = w->speed, .kind = VALUE_NUMBER, .number = i % 90},
            {.metric = w->latitude, .kind = VALUE_NUMBER, .number = 0.0001 + i * 1e-9},
            {.metric = w->longitude, .kind = VALUE_NUMBER, .number = 0.0002}};
        struct sample s = {.ts_us = (1000000 + (int64_t)i) * SECOND, .count = 3, .values = values};
        if (engine_feed(e, &s, i, &out) != ENGINE_NEW) {
            die("a sample was late");
        }
        engine_run(e, &out);
        arena_reset(&w->arena);
    }
    if (out.err != ERR_OK) {
        die("the engine failed");
    }
}

static double per_sample(struct world *w, uint32_t named, uint32_t samples)
{
    struct engine *e = make_engine(w, named);
    double best = 1e300;
    feed(w, e, 0, samples / 10);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t from = samples / 10 + round * samples;
        int64_t start_us = clock_mono_us();
        feed(w, e, from, from + samples);
        double ns = (double)(clock_mono_us() - start_us) * 1000 / samples;
        best = ns < best ? ns : best;
    }
    engine_free(e);
    return best;
}

int main(int argc, char **argv)
{
    struct world w = {.names = intern_new(1000), .next_alert_id = 1};
    arena_init(&w.arena, 64 << 20);
    w.speed = intern_add(w.names, VIEW("speed"));
    w.latitude = intern_add(w.names, VIEW("latitude"));
    w.longitude = intern_add(w.names, VIEW("longitude"));
    if (argc == 3) {
        make_fences(&w, strcmp(argv[2], "1000") == 0 ? FENCES_MAX : 0);
        struct engine *e = make_engine(&w, 0);
        feed(&w, e, 0, 1000000);
        engine_free(e);
    } else {
        one_fence();
        (void)printf("\n%-22s %10s\n", "ns a sample", "");
        (void)printf("%-22s %10.0f\n", "no fence", per_sample(&w, 0, SAMPLES));
        make_fences(&w, FENCES_MAX);
        (void)printf("%-22s %10.0f\n", "1,000 of others", per_sample(&w, 0, SAMPLES));
        static const uint32_t named[] = {1, 10, 100, 1000};
        for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
            char words[32];
            (void)snprintf(words, sizeof(words), "%u named", named[i]);
            (void)printf("%-22s %10.0f\n", words, per_sample(&w, named[i], SAMPLES / named[i]));
        }
    }
    for (uint32_t i = 0; i < w.fence_count; i++) {
        fence_drop(w.fences[i]);
    }
    arena_fini(&w.arena);
    intern_free(w.names);
    return 0;
}
