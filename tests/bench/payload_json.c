/*
 * Nanoseconds from a device's message to finished samples, beside jansson (parse, then walk) on the
 * same bytes. Prints one line a message; exits 1 when a result differs from jansson's count of
 * values.
 *
 *     bench_payload_json [milliseconds a measurement]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/intern.h"
#include "payload/telemetry.h"

struct bench {
    struct arena arena;
    struct intern *metrics;
    struct payload_hint hint;
    struct payload_ctx ctx;
};

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t run_own(struct bench *b, struct view body)
{
    struct payload_samples samples = {0};
    struct payload_error error;
    arena_reset(&b->arena);
    if (payload_telemetry(&b->ctx, body, &samples, &error) != ERR_OK) {
        (void)fprintf(stderr, "refused at %zu: %s\n", error.offset, error.detail);
        exit(1);
    }
    return samples.values;
}

static uint32_t jansson_object(json_t *object)
{
    json_t *values = json_object_get(object, "values");
    const char *key = NULL;
    json_t *value = NULL;
    uint32_t count = 0;
    json_object_foreach(values != NULL ? values : object, key, value)
    {
        count += (json_is_number(value) && json_number_value(value) > -1e300) ||
                 json_is_boolean(value) || json_is_string(value);
    }
    return count;
}

static uint32_t run_jansson(struct bench *b, struct view body)
{
    (void)b;
    json_error_t error;
    json_t *root = json_loadb((const char *)body.data, body.len, 0, &error);
    uint32_t count = 0;
    if (json_is_array(root)) {
        for (size_t i = 0; i < json_array_size(root); i++) {
            count += jansson_object(json_array_get(root, i));
        }
    } else {
        count = jansson_object(root);
    }
    json_decref(root);
    return count;
}

/* The best of several rounds: other work on the machine only ever adds time. */
static double measure(struct bench *b, struct view body,
                      uint32_t (*run)(struct bench *, struct view), double budget_ns)
{
    enum { ROUNDS = 20 };
    uint32_t times = 16;
    double best = 1e18;
    double end = now_ns() + budget_ns;
    volatile uint32_t sink = 0;
    while (now_ns() < end) {
        double from = now_ns();
        for (uint32_t i = 0; i < times; i++) {
            sink = sink + run(b, body);
        }
        double took = now_ns() - from;
        best = took / times < best ? took / times : best;
        times = took < budget_ns / ROUNDS ? times * 2 : times;
    }
    return best;
}

static char *batch_of(uint32_t samples)
{
    size_t size = (size_t)samples * 160 + 16;
    char *text = malloc(size);
    if (text == NULL) {
        exit(1);
    }
    size_t len = 0;
    for (uint32_t i = 0; i < samples; i++) {
        len += (size_t)snprintf(text + len, size - len,
                                "%s{\"ts\":%" PRIu64 ",\"values\":{\"temperature\":%.2f,"
                                "\"humidity\":%.1f,\"pressure\":%.3f,\"running\":true}}",
                                i == 0 ? "[" : ",", (uint64_t)1700000000000 + i * 1000,
                                20 + i * 0.01, 50 + i * 0.1, 1013 + i * 0.001);
    }
    (void)snprintf(text + len, size - len, "]");
    return text;
}

int main(int argc, char **argv)
{
    double budget_ns = (argc > 1 ? strtod(argv[1], NULL) : 300) * 1e6;
    char *batch = batch_of(100);
    const struct {
        const char *name;
        const char *text;
    } cases[] = {
        {"flat, 5 keys", "{\"temperature\":23.5,\"humidity\":41.2,\"pressure\":1013.25,"
                         "\"rpm\":1480,\"on\":true}"},
        {"ts, 10 values", "{\"ts\":1700000000000,\"values\":{\"m0\":1.25,\"m1\":2.25,\"m2\":3.25,"
                          "\"m3\":4.25,\"m4\":5.25,\"m5\":6.25,\"m6\":7.25,\"m7\":8.25,"
                          "\"m8\":9.25,\"m9\":10.25}}"},
        {"ts, 3 values, 17 digits",
         "{\"ts\":1700000000000,\"values\":{\"x\":0.30000000000000004,\"y\":23.400000000000002,"
         "\"z\":-1.7320508075688772}}"},
        {"flat, text with escapes", "{\"state\":\"pump \\\"A\\\" \\u00e9teinte\",\"code\":7}"},
        {"array, 100 samples", batch},
    };
    struct bench b = {.metrics = intern_new(1000)};
    arena_init(&b.arena, 1 << 20);
    b.ctx = (struct payload_ctx){&b.arena, b.metrics, &payload_limits_default, &b.hint};
    int status = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct view body = view_str(cases[i].text);
        if (run_own(&b, body) != run_jansson(&b, body)) {
            (void)fprintf(stderr, "%s: other number of values than jansson\n", cases[i].name);
            status = 1;
        }
        double own = measure(&b, body, run_own, budget_ns);
        b.ctx.hint = NULL;
        double no_hint = measure(&b, body, run_own, budget_ns);
        b.ctx.hint = &b.hint;
        double other = measure(&b, body, run_jansson, budget_ns);
        (void)printf("%-26s %6zu bytes  %8.0f ns (%.0f without hint)  jansson %8.0f ns  ratio "
                     "%.1f\n",
                     cases[i].name, body.len, own, no_hint, other, other / own);
    }
    intern_free(b.metrics);
    arena_fini(&b.arena);
    free(batch);
    return status;
}
