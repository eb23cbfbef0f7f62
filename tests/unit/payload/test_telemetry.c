/*
 * Messages of devices -> samples: both forms, arrays, errors with their place, every limit, and the
 * hint, which must never change a result.
 */
#include <math.h>
#include <stdio.h>

#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "help.h"
#include "payload/telemetry.h"

struct bench {
    struct arena arena;
    struct intern *metrics;
    struct payload_limits limits;
    struct payload_hint hint;
    struct payload_ctx ctx;
};

static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof(*b));
    cr_assert_not_null(b);
    arena_init(&b->arena, 16 << 20);
    b->metrics = intern_new(20000);
    cr_assert_not_null(b->metrics);
    b->limits = payload_limits_default;
    b->ctx = (struct payload_ctx){&b->arena, b->metrics, &b->limits, NULL};
    return b;
}

static void bench_free(struct bench *b)
{
    intern_free(b->metrics);
    arena_fini(&b->arena);
    free(b);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "1700000000000000: a=1 b=true c=<x>; …": values by name, so that numbers given in another order
 * show the same. */
static char *show(const struct bench *b, const struct payload_samples *samples)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (const struct sample *s = samples->first; s != NULL; s = s->next) {
        char *values[64];
        cr_assert_leq(s->count, 64u);
        for (uint32_t i = 0; i < s->count; i++) {
            const struct sample_value *v = &s->values[i];
            struct buf one;
            buf_init(&one, 65536);
            struct view name = intern_name(b->metrics, v->metric);
            cr_assert_gt(name.len, 0u);
            buf_printf(&one, " %.*s=", VIEW_ARG(name));
            if (v->kind == VALUE_NUMBER) {
                buf_printf(&one, "%.17g", v->number);
            } else if (v->kind == VALUE_BOOL) {
                buf_put_str(&one, v->number != 0 ? "true" : "false");
            } else {
                buf_printf(&one, "<%.*s>", VIEW_ARG(v->text));
            }
            values[i] = buf_take_str(&one);
        }
        qsort(values, s->count, sizeof(values[0]), by_name);
        if (s->ts_us == CLOCK_NONE) {
            buf_put_str(&out, "-:");
        } else {
            buf_printf(&out, "%lld:", (long long)s->ts_us);
        }
        for (uint32_t i = 0; i < s->count; i++) {
            buf_put_str(&out, values[i]);
            free(values[i]);
        }
        buf_put_str(&out, "; ");
    }
    return buf_take_str(&out);
}

static void check_promises(const struct bench *b, struct view body,
                           const struct payload_samples *samples)
{
    (void)b;
    uint32_t count = 0;
    uint32_t values = 0;
    for (const struct sample *s = samples->first; s != NULL; s = s->next) {
        count++;
        values += s->count;
        cr_expect_gt(s->count, 0u, "a sample without values is left out");
        for (uint32_t i = 0; i < s->count; i++) {
            cr_expect_gt(s->values[i].metric, i == 0 ? 0 : s->values[i - 1].metric, "sorted");
        }
    }
    cr_expect_eq(count, samples->count);
    cr_expect_eq(values, samples->values);
    (void)body;
}

/* Decodes an exact-size copy; what it gives is shown or "!error pointer@offset: detail". */
static char *decode(struct bench *b, const char *text, size_t len)
{
    struct view body = heap_copy(view_of(text, len));
    struct payload_samples samples = {.count = 77};
    struct payload_error error = {.err = ERR_OK};
    int32_t names = intern_count(b->metrics);
    arena_reset(&b->arena);
    enum err e = payload_telemetry(&b->ctx, body, &samples, &error);
    char *result = NULL;
    if (e == ERR_OK) {
        check_promises(b, body, &samples);
        result = show(b, &samples);
    } else {
        cr_expect_eq(samples.count, 77u, "output touched on failure");
        cr_expect_eq(error.err, e);
        cr_expect_leq(error.offset, len);
        cr_expect_gt(strlen(error.detail), 5u);
        cr_expect_eq(intern_count(b->metrics), names, "interned for a refused message: %s", text);
        struct buf out;
        buf_init(&out, 4096);
        buf_printf(&out, "!%s %s@%zu: %s", err_words(e), error.pointer, error.offset, error.detail);
        result = buf_take_str(&out);
    }
    heap_free(body);
    cr_assert_not_null(result);
    return result;
}

static void expect(struct bench *b, const char *text, const char *want)
{
    char *got = decode(b, text, strlen(text));
    cr_expect_str_eq(got, want);
    free(got);
}

Test(telemetry, every_form_gives_its_samples)
{
    static const char *const rows[][2] = {
        {"{\"temp\":21.5}", "-: temp=21.5; "},
        {"{\"a\":1,\"b\":true,\"c\":false,\"d\":\"x\"}", "-: a=1 b=true c=false d=<x>; "},
        {"{\"ts\":1700000000000,\"values\":{\"a\":1,\"b\":-2e3}}",
         "1700000000000000: a=1 b=-2000; "},
        {"{\"values\":{\"a\":1},\"ts\":1700000000000}", "1700000000000000: a=1; "},
        {" [ {\"a\":1} , {\"ts\":1,\"values\":{\"a\":2}} , {\"values\":{\"b\":3},\"ts\":2} ] ",
         "-: a=1; 1000: a=2; 2000: b=3; "},
        /* ts without values is a metric like any other, and so are values that are no object. */
        {"{\"ts\":5}", "-: ts=5; "},
        {"{\"ts\":5,\"a\":1}", "-: a=1 ts=5; "},
        {"{\"a\":1,\"ts\":\"noon\"}", "-: a=1 ts=<noon>; "},
        {"{\"ts\":true}", "-: ts=true; "},
        {"{\"ts\":1700000000000,\"values\":5}", "-: ts=1700000000000 values=5; "},
        {"{\"values\":\"x\",\"ts\":1}", "-: ts=1 values=<x>; "},
        {"{\"values\":null,\"ts\":1}", "-: ts=1; "},
        /* inside the values of the timed form these names have no meaning */
        {"{\"ts\":1,\"values\":{\"ts\":7,\"values\":8}}", "1000: ts=7 values=8; "},
        {"{\"\\u0074s\":1,\"value\\u0073\":{\"a\":1}}", "1000: a=1; "},
        /* nothing to store */
        {"{}", ""},
        {"[]", ""},
        {"[{},{}]", ""},
        {"{\"a\":null}", ""},
        {"{\"ts\":null}", ""},
        {"{\"ts\":1,\"values\":{}}", ""},
        {"{\"ts\":1,\"values\":{\"a\":null,\"b\":null}}", ""},
        {"[{\"a\":null},{\"a\":1},{}]", "-: a=1; "},
        {"{\"a\":null,\"b\":2,\"c\":null,\"d\":4}", "-: b=2 d=4; "},
        /* texts, names */
        {"{\"t\":\"\"}", "-: t=<>; "},
        {"{\"t\":\"a\\n\\u00e9\\ud83d\\ude00\"}", "-: t=<a\n\xc3\xa9\xf0\x9f\x98\x80>; "},
        {"{\"t\":\"\xc3\xa9\"}", "-: t=<\xc3\xa9>; "},
        {"{\"t\\u00e9mp\":1}", "-: t\xc3\xa9mp=1; "},
        {"{\"Motor (left)/rpm %\":1}", "-: Motor (left)/rpm %=1; "},
        /* times: whole and fractions, to the last microsecond */
        {"{\"ts\":0,\"values\":{\"a\":1}}", "0: a=1; "},
        {"{\"ts\":-0.0,\"values\":{\"a\":1}}", "0: a=1; "},
        {"{\"ts\":1.5e12,\"values\":{\"a\":1}}", "1500000000000000: a=1; "},
        {"{\"ts\":1700000000000.125,\"values\":{\"a\":1}}", "1700000000000125: a=1; "},
        {"{\"ts\":0.0004,\"values\":{\"a\":1}}", "0: a=1; "},
        {"{\"ts\":0.9996,\"values\":{\"a\":1}}", "1000: a=1; "},
        {"{\"ts\":253402300799999,\"values\":{\"a\":1}}", "253402300799999000: a=1; "},
        {"{\"ts\":253402300799998.5,\"values\":{\"a\":1}}", "253402300799998500: a=1; "},
        {"{\"ts\":123456789012345,\"values\":{\"a\":1}}", "123456789012345000: a=1; "},
    };
    struct bench *b = bench_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect(b, rows[i][0], rows[i][1]); /* names unknown */
        expect(b, rows[i][0], rows[i][1]); /* names known */
        b->ctx.hint = &b->hint;
        expect(b, rows[i][0], rows[i][1]); /* with a hint of another message */
        expect(b, rows[i][0], rows[i][1]); /* with a hint of this one */
        b->ctx.hint = NULL;
    }
    bench_free(b);
}

Test(telemetry, errors_say_where_and_what_was_expected)
{
    static const char *const rows[][2] = {
        {"{\"temp\":1e400}", "!out of range /temp@8: 1e400 is beyond the range of a double"},
        {"{\"ts\":1,\"values\":{\"temp\":-1e400}}",
         "!out of range /values/temp@25: -1e400 is beyond the range of a double"},
        {"{\"a\":1,\"temp\":{\"x\":1}}",
         "!wrong type /temp@14: expected a number, text or boolean, found an object"},
        {"{\"temp\":[1]}",
         "!wrong type /temp@8: expected a number, text or boolean, found an array"},
        {"{\"ts\":1,\"values\":{\"a\":{}}}",
         "!wrong type /values/a@22: expected a number, text or boolean, found an object"},
        {"[{\"a\":1},{\"b\":[]}]",
         "!wrong type /1/b@14: expected a number, text or boolean, found an array"},
        {"[[{\"a\":1}]]", "!wrong type /0@1: expected an object, found an array"},
        {"[{\"a\":1},5]", "!wrong type /1@9: expected an object, found a number"},
        {"[null]", "!wrong type /0@1: expected an object, found null"},
        {"5", "!wrong type @0: expected an object or an array of objects, found a number"},
        {" \"x\"", "!wrong type @1: expected an object or an array of objects, found a text"},
        {"true", "!wrong type @0: expected an object or an array of objects, found true"},
        /* the two forms */
        {"{\"values\":{\"a\":1}}", "!wrong type /values@10: expected a number, text or boolean, "
                                   "found an object: beside \"values\" \"ts\" is missing"},
        {"{\"ts\":\"1\",\"values\":{\"a\":1}}",
         "!wrong type /ts@6: expected a number, found a text"},
        {"{\"values\":{\"a\":1},\"ts\":null}", "!wrong type /ts@23: expected a number, found null"},
        {"{\"ts\":{},\"values\":{\"a\":1}}",
         "!wrong type /ts@6: expected a number, found an object"},
        {"{\"ts\":1,\"values\":{\"a\":1},\"b\":2}",
         "!wrong type /values@17: expected a number, text or boolean, found an object: only "
         "\"ts\" may stand beside \"values\""},
        {"{\"b\":2,\"values\":{\"a\":1},\"ts\":1}",
         "!wrong type /values@16: expected a number, text or boolean, found an object: only "
         "\"ts\" may stand beside \"values\""},
        {"{\"ts\":1,\"values\":[1]}",
         "!wrong type /values@17: expected a number, text or boolean, found an array"},
        /* times */
        {"{\"ts\":-1,\"values\":{\"a\":1}}", "!out of range /ts@6: \"ts\" is not within the years "
                                             "1970 to 9999 in milliseconds: -1"},
        {"{\"ts\":253402300800000,\"values\":{}}",
         "!out of range /ts@6: \"ts\" is not within the years 1970 to 9999 in milliseconds: "
         "253402300800000"},
        {"{\"ts\":1e300,\"values\":{}}",
         "!out of range /ts@6: \"ts\" is not within the years 1970 to 9999 in milliseconds: "
         "1.0000000000000001e+300"},
        {"[{\"ts\":-0.001,\"values\":{}}]",
         "!out of range /0/ts@7: \"ts\" is not within the years 1970 to 9999 in milliseconds: "
         "-0.001"},
        /* twice */
        {"{\"a\":1,\"b\":2,\"a\":3}",
         "!exists already /a@13: the key \"a\" stands twice in one object"},
        {"{\"a\":1,\"a\":null}", "!exists already /a@7: the key \"a\" stands twice in one object"},
        {"{\"a\":null,\"a\":1}", "!exists already /a@10: the key \"a\" stands twice in one object"},
        {"{\"ts\":1,\"ts\":2}", "!exists already /ts@8: the key \"ts\" stands twice in one object"},
        {"[{\"a\":1},{\"ts\":1,\"values\":{\"x\":1,\"y\":2,\"\\u0078\":3}}]",
         "!exists already /1/values/x@39: the key \"x\" stands twice in one object"},
        {"{\"ts\":1,\"values\":{},\"values\":{}}",
         "!exists already /values@20: the key \"values\" stands twice in one object"},
        /* names */
        {"{\"\":1}", "!malformed /@1: \"\" is no metric name: 1 to 128 bytes without quotes, "
                     "backslash or control bytes"},
        {"{\"ok\":1,\"a\\\"b\":2}",
         "!malformed /a\"b@8: \"a\"b\" is no metric name: 1 to 128 bytes without quotes, "
         "backslash or control bytes"},
        {"{\"a\\u0000\":null}",
         "!malformed /a@1: \"a?\" is no metric name: 1 to 128 bytes without quotes, backslash or "
         "control bytes"},
        /* texts */
        {"{\"t\":\"a\\u0000b\"}",
         "!not supported /t@5: a text with the character U+0000 cannot be stored"},
        {"{\"t\":\"\\ud800\"}", "!not valid UTF-8 /t@7: half of a surrogate pair"},
        {"{\"t\":\"\xff\"}", "!not valid UTF-8 /t@6: a text is not valid UTF-8"},
        /* grammar */
        {"{\"a\":1,}", "!syntax error @7: expected a key in quotes"},
        {"{\"a\":01}", "!syntax error /a@5: a number starts with a needless 0"},
        {"{\"a\" 1}", "!syntax error /a@5: expected a colon after the key"},
        {"{\"a\":1 \"b\":2}", "!syntax error @7: expected a comma or }"},
        {"[{\"a\":1} {\"b\":2}]", "!syntax error @9: expected a comma or ]"},
        {"{\"a\":nan}", "!syntax error /a@5: expected a value"},
        {"{\"a\":1} {", "!syntax error @8: expected nothing more"},
        {"", "!ends too early @0: expected a value, but the message ends here"},
        {"{\"a\":", "!ends too early /a@5: expected a value, but the message ends here"},
        {"{\"ts\":1,\"values\":{\"a\":1}",
         "!ends too early @24: expected a comma or }, but the message ends here"},
    };
    struct bench *b = bench_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect(b, rows[i][0], rows[i][1]);
    }
    cr_expect_eq(intern_count(b->metrics), 0, "refused messages leave no names");
    expect(b, "{\"a\":1,\"b\":2,\"x\":3,\"y\":4,\"ts\":5,\"t\":6}",
           "-: a=1 b=2 t=6 ts=5 x=3 y=4; ");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect(b, rows[i][0], rows[i][1]); /* the same when the names are known */
    }
    bench_free(b);
}

Test(telemetry, long_pointers_and_details_are_cut_not_overrun)
{
    struct bench *b = bench_new();
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_put_str(&text, "{\"");
    for (int i = 0; i < 3000; i++) {
        buf_put_str(&text, "\xc3\xa9");
    }
    buf_put_str(&text, "\":1}");
    char *got = decode(b, (const char *)text.data, text.len);
    cr_expect_not_null(strstr(got, "...@1: \""));
    free(got);
    buf_clear(&text);
    buf_put_str(&text, "{\"a\":1");
    for (int i = 0; i < 3000; i++) {
        buf_put_str(&text, "0");
    }
    buf_put_str(&text, "}");
    got = decode(b, (const char *)text.data, text.len);
    cr_expect_not_null(strstr(got, "000... is beyond the range of a double"));
    free(got);
    buf_fini(&text);
    bench_free(b);
}

Test(telemetry, every_cut_is_an_error_never_a_crash)
{
    static const char *const rows[] = {
        "{\"temperature\":23.5,\"humidity\":41.2,\"on\":true,\"off\":false,\"none\":null}",
        "{\"ts\":17000000,\"values\":{\"m0\":-1.25e-3,\"m1\":\"a\\u00e9\\n\",\"m2\":\"\xc3\xa9\"}}",
        "[{\"a\":1},{\"ts\":1,\"values\":{\"b\":2}},{\"values\":{\"c\":3},\"ts\":2}]",
    };
    struct bench *b = bench_new();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            for (size_t cut = 0; cut < strlen(rows[i]); cut++) {
                char *got = decode(b, rows[i], cut);
                cr_expect_eq(got[0], '!', "row %zu cut at %zu", i, cut);
                cr_expect_eq(strncmp(got, "!ends too early", 15), 0, "%s", got);
                free(got);
            }
        }
        /* Again with known names and a hint. */
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            b->ctx.hint = &b->hint;
            free(decode(b, rows[i], strlen(rows[i])));
        }
    }
    bench_free(b);
}

/* ---- limits ---- */

Test(telemetry, limit_of_values_counts_the_whole_message)
{
    struct bench *b = bench_new();
    b->limits.values_max = 4;
    expect(b, "[{\"a\":1,\"b\":2},{\"a\":3,\"b\":4}]", "-: a=1 b=2; -: a=3 b=4; ");
    expect(b, "[{\"a\":1,\"b\":2},{\"a\":3,\"b\":4},{\"a\":5}]",
           "!over a limit /2/a@34: more than 4 values in one message");
    expect(b, "{\"ts\":1,\"values\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}}",
           "!over a limit /values/e@46: more than 4 values in one message");
    bench_free(b);
}

Test(telemetry, limit_of_samples_counts_empty_ones_too)
{
    struct bench *b = bench_new();
    b->limits.samples_max = 2;
    expect(b, "[{\"a\":1},{\"a\":2}]", "-: a=1; -: a=2; ");
    expect(b, "[{\"a\":1},{},{\"a\":3}]",
           "!over a limit /2@12: more than 2 samples in one message");
    b->limits.samples_max = 0;
    expect(b, "{\"a\":1}", "!over a limit @0: more than 0 samples in one message");
    expect(b, "[]", "");
    bench_free(b);
}

Test(telemetry, limit_of_text_counts_content_bytes)
{
    struct bench *b = bench_new();
    b->limits.text_max = 4;
    expect(b, "{\"t\":\"1234\"}", "-: t=<1234>; ");
    expect(b, "{\"t\":\"\\u0031\\u0032\\u00e9\"}", "-: t=<12\xc3\xa9>; ");
    expect(b, "{\"t\":\"12345\"}", "!over a limit /t@5: a text of 5 bytes, the limit is 4");
    bench_free(b);
}

Test(telemetry, limit_of_depth)
{
    struct bench *b = bench_new();
    b->limits.depth_max = 2;
    expect(b, "{\"ts\":1,\"values\":{\"a\":1}}", "1000: a=1; ");
    expect(b, "[{\"ts\":1,\"values\":{\"a\":1}}]",
           "!over a limit /0/values@18: nested deeper than 2");
    b->limits.depth_max = 1;
    expect(b, "{\"a\":1}", "-: a=1; ");
    expect(b, "[{\"a\":1}]", "!over a limit /0@1: nested deeper than 1");
    b->limits.depth_max = 0;
    expect(b, "{\"a\":1}", "!over a limit @0: nested deeper than 0");
    bench_free(b);
}

Test(telemetry, a_full_table_of_names_refuses_the_message)
{
    struct bench *b = bench_new();
    intern_free(b->metrics);
    b->metrics = intern_new(2);
    cr_assert_not_null(b->metrics);
    b->ctx.metrics = b->metrics;
    expect(b, "{\"a\":1,\"b\":2}", "-: a=1 b=2; ");
    expect(b, "{\"a\":1,\"c\":2}", "!queue is full @0: no room for the new metric name \"c\"");
    expect(b, "{\"b\":1}", "-: b=1; ");
    bench_free(b);
}

Test(telemetry, little_memory_is_an_error_never_a_crash)
{
    static const char text[] = "[{\"a\":1,\"b\\u0061\":\"x\\ny\",\"c\":null},{\"ts\":1,\"values\":"
                               "{\"a\":1,\"d\":2,\"e\":3}}]";
    for (int known = 0; known < 2; known++) {
        struct bench *b = bench_new();
        if (known != 0) {
            free(decode(b, text, sizeof(text) - 1));
        }
        uint32_t refused = 0;
        for (size_t limit = 0; limit < 8192; limit += 16) {
            arena_fini(&b->arena);
            arena_init(&b->arena, limit);
            char *got = decode(b, text, sizeof(text) - 1);
            bool ok = got[0] != '!';
            cr_expect(ok || strncmp(got, "!out of memory", 14) == 0, "%s", got);
            refused += !ok;
            free(got);
        }
        cr_expect_gt(refused, 3u);
        cr_expect_lt(refused, 300u);
        bench_free(b);
    }
}

/* ---- many ---- */

Test(telemetry, thousands_of_values_in_any_order_are_sorted)
{
    enum { MANY = 10000 };
    struct bench *b = bench_new();
    for (int order = 0; order < 3; order++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        buf_put_str(&text, "{");
        for (int i = 0; i < MANY; i++) {
            int n = order == 0 ? i : order == 1 ? MANY - 1 - i : i * 7919 % MANY;
            buf_printf(&text, "%s\"m%d\":%d", i == 0 ? "" : ",", n, n);
        }
        buf_put_str(&text, "}");
        struct view body = heap_copy(buf_view(&text));
        struct payload_samples samples = {0};
        struct payload_error error;
        arena_reset(&b->arena);
        int64_t from = clock_mono_us();
        cr_assert_eq(payload_telemetry(&b->ctx, body, &samples, &error), ERR_OK);
        int64_t took = clock_mono_us() - from;
        cr_expect_lt(took, 1000000, "order %d took %lld us: not n log n", order, (long long)took);
        cr_assert_eq(samples.values, (uint32_t)MANY);
        for (uint32_t i = 0; i < MANY; i++) {
            const struct sample_value *v = &samples.first->values[i];
            char name[16];
            int len = snprintf(name, sizeof(name), "m%d", (int)v->number);
            cr_assert(view_eq(intern_name(b->metrics, v->metric), view_of(name, (size_t)len)));
        }
        check_promises(b, body, &samples);
        heap_free(body);
        buf_fini(&text);
    }
    cr_expect_eq(intern_count(b->metrics), MANY);
    bench_free(b);
}

Test(telemetry, names_are_numbered_in_the_order_of_the_message)
{
    struct bench *b = bench_new();
    expect(b, "[{\"c\":1,\"none\":null,\"a\":2},{\"a\":3,\"b\":4,\"c\":5}]",
           "-: a=2 c=1; -: a=3 b=4 c=5; ");
    cr_expect_eq(intern_find(b->metrics, VIEW("c")), 1);
    cr_expect_eq(intern_find(b->metrics, VIEW("a")), 2);
    cr_expect_eq(intern_find(b->metrics, VIEW("b")), 3);
    cr_expect_eq(intern_find(b->metrics, VIEW("none")), 0, "null alone makes no metric");
    bench_free(b);
}

Test(telemetry, texts_lie_in_the_body_or_the_arena)
{
    struct bench *b = bench_new();
    struct view body = VIEW("{\"a\":\"plain\",\"b\":\"esc\\naped\"}");
    struct payload_samples samples = {0};
    struct payload_error error;
    cr_assert_eq(payload_telemetry(&b->ctx, body, &samples, &error), ERR_OK);
    cr_assert_eq(samples.values, 2u);
    const struct sample_value *v = samples.first->values;
    cr_expect_eq(v[0].text.data, body.data + 6);
    cr_expect(v[1].text.data < body.data || v[1].text.data >= body.data + body.len);
    cr_expect(view_eq(v[1].text, VIEW("esc\naped")));
    bench_free(b);
}

/* ---- the hint ---- */

static void random_message(struct buf *out, uint64_t *state)
{
    static const char *const names[] = {"a",
                                        "b",
                                        "temperature",
                                        "temp",
                                        "ts",
                                        "values",
                                        "m0",
                                        "m1",
                                        "humidity",
                                        "x",
                                        "y",
                                        "z",
                                        "long name with spaces",
                                        "temperatur",
                                        "m2",
                                        "m3",
                                        "m4",
                                        "m5",
                                        "m6",
                                        "m7"};
    uint64_t r = test_random(state);
    buf_clear(out);
    uint32_t samples = r % 4 == 0 ? 1 + (uint32_t)(r >> 8) % 3 : 1;
    buf_put_str(out, samples > 1 ? "[" : "");
    for (uint32_t s = 0; s < samples; s++) {
        bool timed = test_random(state) % 2 == 0;
        buf_printf(out, "%s{%s", s == 0 ? "" : ",", timed ? "\"ts\":5,\"values\":{" : "");
        uint32_t values = (uint32_t)(test_random(state) % 20);
        uint32_t from = (uint32_t)(test_random(state) % COUNT_OF(names));
        for (uint32_t i = 0; i < values; i++) {
            /* Mostly the same order, at times another name, at times one twice. */
            uint64_t p = test_random(state);
            uint32_t n = p % 16 == 0 ? (uint32_t)(p >> 8) : from + i;
            buf_printf(out, "%s\"%s\":%u", i == 0 ? "" : ",", names[n % COUNT_OF(names)], i);
        }
        buf_printf(out, "}%s", timed ? "}" : "");
    }
    buf_put_str(out, samples > 1 ? "]" : "");
}

Test(telemetry, a_hint_never_changes_a_result)
{
    struct bench *plain = bench_new();
    struct bench *hinted = bench_new();
    struct bench *mad = bench_new();
    struct buf text;
    uint64_t state = 11;
    uint32_t accepted = 0;
    buf_init(&text, 1 << 16);
    hinted->ctx.hint = &hinted->hint;
    mad->ctx.hint = &mad->hint;
    for (int i = 0; i < 5000; i++) {
        random_message(&text, &state);
        for (size_t m = 0; m < COUNT_OF(mad->hint.metrics); m++) {
            uint64_t r = test_random(&state);
            mad->hint.metrics[m] = r % 4 == 0 ? (int32_t)(r >> 32) : (int32_t)(r >> 32) % 24;
        }
        mad->hint.count = (uint8_t)test_random(&state);
        char *want = decode(plain, (const char *)text.data, text.len);
        char *got = decode(hinted, (const char *)text.data, text.len);
        char *also = decode(mad, (const char *)text.data, text.len);
        cr_assert_str_eq(got, want, "%.*s", VIEW_ARG(buf_view(&text)));
        cr_assert_str_eq(also, want, "%.*s", VIEW_ARG(buf_view(&text)));
        accepted += want[0] != '!';
        free(want);
        free(got);
        free(also);
    }
    cr_expect_gt(accepted, 1000u);
    cr_expect_lt(accepted, 4500u);
    buf_fini(&text);
    bench_free(plain);
    bench_free(hinted);
    bench_free(mad);
}

Test(telemetry, an_empty_key_never_matches_an_empty_hint)
{
    struct bench *b = bench_new();
    b->ctx.hint = &b->hint;
    b->hint.count = 16; /* numbers nobody has: their names are empty */
    for (size_t i = 0; i < COUNT_OF(b->hint.metrics); i++) {
        b->hint.metrics[i] = (int32_t)i - 3;
    }
    expect(b, "{\"\":1}",
           "!malformed /@1: \"\" is no metric name: 1 to 128 bytes without quotes, "
           "backslash or control bytes");
    bench_free(b);
}

Test(telemetry, the_hint_learns_the_last_message)
{
    struct bench *b = bench_new();
    b->ctx.hint = &b->hint;
    expect(b, "{\"a\":1,\"b\":2}", "-: a=1 b=2; ");
    expect(b, "{\"a\":1,\"b\":2}", "-: a=1 b=2; ");
    cr_expect_eq(b->hint.count, 2);
    cr_expect_eq(b->hint.metrics[0], intern_find(b->metrics, VIEW("a")));
    cr_expect_eq(b->hint.metrics[1], intern_find(b->metrics, VIEW("b")));
    expect(b, "{\"b\":1}", "-: b=1; ");
    cr_expect_eq(b->hint.metrics[0], intern_find(b->metrics, VIEW("b")));
    bench_free(b);
}
