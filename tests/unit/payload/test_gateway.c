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
    struct payload_ctx ctx;
};

static void bench_init(struct bench *b)
{
    arena_init(&b->arena, 1 << 20);
    b->metrics = intern_new(1000);
    cr_assert_not_null(b->metrics);
    b->limits = payload_limits_default;
    b->ctx = (struct payload_ctx){&b->arena, b->metrics, &b->limits, NULL};
}

static void bench_fini(struct bench *b)
{
    intern_free(b->metrics);
    arena_fini(&b->arena);
}

static char *words_of(const struct payload_error *error)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_printf(&out, "!%s %s@%zu: %s", err_words(error->err), error->pointer, error->offset,
               error->detail);
    return buf_take_str(&out);
}

/* "a(2):-/x=1 5000/x=2; b(0):;" */
static char *gateway(struct bench *b, const char *text, size_t len)
{
    struct view body = heap_copy(view_of(text, len));
    struct payload_error error = {0};
    struct payload_device *first = NULL;
    uint32_t count = 77;
    int32_t names = intern_count(b->metrics);
    arena_reset(&b->arena);
    if (payload_gateway_telemetry(&b->ctx, body, &first, &count, &error) != ERR_OK) {
        cr_expect_null(first);
        cr_expect_eq(count, 77u);
        cr_expect_eq(intern_count(b->metrics), names);
        heap_free(body);
        return words_of(&error);
    }
    struct buf out;
    buf_init(&out, 65536);
    uint32_t devices = 0;
    for (const struct payload_device *d = first; d != NULL; d = d->next) {
        devices++;
        buf_printf(&out, "%.*s(%u):", VIEW_ARG(d->name), d->samples.count);
        for (const struct sample *s = d->samples.first; s != NULL; s = s->next) {
            buf_printf(&out, "%s", s->ts_us == CLOCK_NONE ? "-" : "");
            if (s->ts_us != CLOCK_NONE) {
                buf_printf(&out, "%lld", (long long)s->ts_us);
            }
            for (uint32_t i = 0; i < s->count; i++) {
                buf_printf(&out, "/%.*s=%g", VIEW_ARG(intern_name(b->metrics, s->values[i].metric)),
                           s->values[i].number);
            }
            buf_put_u8(&out, ' ');
        }
        buf_put_str(&out, "; ");
    }
    cr_expect_eq(devices, count);
    heap_free(body);
    return buf_take_str(&out);
}

Test(gateway, each_device_gets_its_samples_and_one_error_refuses_all)
{
    static const char *const rows[][2] = {
        {"{}", ""},
        {"{\"a\":[]}", "a(0):; "},
        {"{\"a\":[{\"x\":1},{\"ts\":5,\"values\":{\"x\":2,\"y\":3}}],\"b.2\":[{\"y\":4}]}",
         "a(2):-/x=1 5000/x=2/y=3 ; b.2(1):-/y=4 ; "},
        {"{\"dev\\u0069ce\":[{\"x\":1}]}", "device(1):-/x=1 ; "},
        {"[]", "!wrong type @0: expected an object of device names, found an array"},
        {"{\"a\":{\"x\":1}}", "!wrong type /a@5: expected an array of samples, found an object"},
        {"{\"a\":5}", "!wrong type /a@5: expected an array of samples, found a number"},
        {"{\"a\":[5]}", "!wrong type /a/0@6: expected an object, found a number"},
        {"{\"a\":[[]]}", "!wrong type /a/0@6: expected an object, found an array"},
        {"{\"fresh\":[{\"new\":1}],\"b\":[{\"x\":1e999}]}",
         "!out of range /b/0/x@31: 1e999 is beyond the range of a double"},
        {"{\"a\":[],\"b\":[],\"a\":[]}",
         "!exists already /a@15: the device \"a\" stands twice in one message"},
        {"{\"\":[]}", "!malformed /@1: \"\" is not allowed as a name: 1 to 128 of A-Z a-z 0-9 . _ "
                      ": -"},
        {"{\"a/#\":[]}",
         "!malformed /a~1#@1: \"a/#\" is not allowed as a name: 1 to 128 of A-Z a-z "
         "0-9 . _ : -"},
        {"{\"a\":[]", "!ends too early @7: expected a comma or }, but the message ends here"},
        {"{\"a\":[]}x", "!syntax error @8: expected nothing more"},
    };
    struct bench b;
    bench_init(&b);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *got = gateway(&b, rows[i][0], strlen(rows[i][0]));
        cr_expect_str_eq(got, rows[i][1]);
        free(got);
    }
    cr_expect_eq(intern_find(b.metrics, VIEW("new")), 0, "refused messages leave no names");
    bench_fini(&b);
}

Test(gateway, limits_hold_over_all_devices)
{
    struct bench b;
    bench_init(&b);
    b.limits.values_max = 3;
    char *got = gateway(&b, "{\"a\":[{\"x\":1,\"y\":2}],\"b\":[{\"x\":1,\"y\":2}]}",
                        strlen("{\"a\":[{\"x\":1,\"y\":2}],\"b\":[{\"x\":1,\"y\":2}]}"));
    cr_expect_str_eq(got, "!over a limit /b/0/y@37: more than 3 values in one message");
    free(got);
    b.limits.values_max = 100;
    b.limits.samples_max = 2;
    got = gateway(&b, "{\"a\":[{\"x\":1}],\"b\":[{\"x\":1},{\"x\":1}]}",
                  strlen("{\"a\":[{\"x\":1}],\"b\":[{\"x\":1},{\"x\":1}]}"));
    cr_expect_str_eq(got, "!over a limit /b/1@28: more than 2 samples in one message");
    free(got);
    got = gateway(&b, "{\"a\":[],\"b\":[],\"c\":[]}", strlen("{\"a\":[],\"b\":[],\"c\":[]}"));
    cr_expect_str_eq(got, "!over a limit /c@15: more than 2 devices in one message");
    free(got);
    bench_fini(&b);
}

Test(gateway, every_cut_is_an_error_never_a_crash)
{
    static const char text[] =
        "{\"pump-1\":[{\"x\":1,\"t\":\"\\u00e9\"},{\"ts\":5,\"values\":{\"x\":2}}],\"b\":[]}";
    struct bench b;
    bench_init(&b);
    for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
        char *got = gateway(&b, text, cut);
        cr_expect_eq(strncmp(got, "!ends too early", 15), 0, "%s", got);
        free(got);
    }
    bench_fini(&b);
}

Test(gateway, thousands_of_devices_with_new_names)
{
    enum { MANY = 2000 };
    struct bench b;
    struct buf text;
    bench_init(&b);
    buf_init(&text, 1 << 20);
    buf_put_str(&text, "{");
    for (int i = 0; i < MANY; i++) {
        buf_printf(&text, "%s\"d%d\":[{\"m%d\":%d}]", i == 0 ? "" : ",", i, i % 500, i);
    }
    buf_put_str(&text, "}");
    struct payload_device *first = NULL;
    uint32_t count = 0;
    struct payload_error error;
    cr_assert_eq(payload_gateway_telemetry(&b.ctx, buf_view(&text), &first, &count, &error),
                 ERR_OK);
    cr_expect_eq(count, (uint32_t)MANY);
    cr_expect_eq(intern_count(b.metrics), 500);
    int n = 0;
    for (const struct payload_device *d = first; d != NULL; d = d->next, n++) {
        cr_assert_eq(d->samples.count, 1u);
        cr_assert_eq(d->samples.first->values[0].number, (double)n);
        cr_assert_eq(d->samples.first->values[0].metric, n % 500 + 1);
    }
    buf_fini(&text);
    bench_fini(&b);
}

Test(gateway, connect_names_a_device_and_its_type)
{
    static const char *const rows[][2] = {
        {"{\"device\":\"pump-7\"}", "pump-7,"},
        {"{\"device\":\"pump-7\",\"type\":\"pump\"}", "pump-7,pump"},
        {"{\"type\":\"pump\",\"device\":\"pump-7\"}", "pump-7,pump"},
        {"{\"device\":\"a\",\"type\":\"\"}", "a,"},
        {"{\"device\":\"a\",\"type\":null}", "a,"},
        {"{\"device\":\"\\u0061\",\"other\":{\"x\":[1,{}]},\"more\":[[]],\"n\":1}", "a,"},
        {"{}", "!not found @0: the key \"device\" is missing"},
        {"{\"type\":\"pump\"}", "!not found @0: the key \"device\" is missing"},
        {"{\"device\":7}", "!wrong type /device@10: expected a text, found a number"},
        {"{\"device\":null}", "!wrong type /device@10: expected a text, found null"},
        {"{\"device\":\"\"}", "!malformed /device@10: \"\" is not allowed as a name: 1 to 128 of "
                              "A-Z a-z 0-9 . _ : -"},
        {"{\"device\":\"a+b\"}", "!malformed /device@10: \"a+b\" is not allowed as a name: 1 to "
                                 "128 of A-Z a-z 0-9 . _ : -"},
        {"{\"device\":\"a\",\"type\":\"b c\"}",
         "!malformed /type@21: \"b c\" is not allowed as a name: 1 to 128 of A-Z a-z 0-9 . _ : -"},
        {"{\"device\":\"a\",\"type\":{}}",
         "!wrong type /type@21: expected a text, found an object"},
        {"{\"device\":\"a\",\"device\":\"b\"}",
         "!exists already /device@14: the key \"device\" stands twice in one object"},
        {"{\"type\":null,\"device\":\"a\",\"type\":\"b\"}",
         "!exists already /type@26: the key \"type\" stands twice in one object"},
        {"[\"a\"]", "!wrong type @0: expected an object, found an array"},
        {"\"a\"", "!wrong type @0: expected an object, found a text"},
        {"{\"device\":\"a\"", "!ends too early @13: expected a comma or }, but the message ends "
                              "here"},
        {"{\"device\":\"a\",\"x\":[1,]}", "!syntax error /x/1@21: expected a value"},
        {"{\"device\":\"a\"}{", "!syntax error @14: expected nothing more"},
    };
    struct bench b;
    bench_init(&b);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct view body = heap_copy(view_str(rows[i][0]));
        struct view name = VIEW("untouched");
        struct view type = VIEW("untouched");
        struct payload_error error = {0};
        char *got = NULL;
        if (payload_gateway_device(&b.ctx, body, &name, &type, &error) == ERR_OK) {
            struct buf out;
            buf_init(&out, 4096);
            buf_printf(&out, "%.*s,%.*s", VIEW_ARG(name), VIEW_ARG(type));
            got = buf_take_str(&out);
        } else {
            cr_expect(view_eq(name, VIEW("untouched")) && view_eq(type, VIEW("untouched")));
            got = words_of(&error);
        }
        cr_expect_str_eq(got, rows[i][1]);
        free(got);
        heap_free(body);
    }
    bench_fini(&b);
}

Test(check, documents_are_kept_only_if_they_can_be_stored)
{
    static const struct {
        const char *text;
        const char *words; /* "" when it is good */
        bool object_only;
    } rows[] = {
        {"{\"a\":[1,{\"b\":\"\\u00e9\"}],\"a\":2}", "", true},
        {"[1]", "", false},
        {"\"x\"", "", false},
        {" null ", "", false},
        {"[1]", "!wrong type @0: expected an object, found an array", true},
        {" 5", "!wrong type @1: expected an object, found a number", true},
        {"", "!ends too early @0: expected a value, but the message ends here", true},
        {"{", "!ends too early @1: expected a key in quotes, but the message ends here", true},
        {"{\"a\":{\"b\":[1,2,tru]}}", "!syntax error /a/b/2@15: expected a value", true},
        {"{\"a\":\"\\ud800\"}", "!not valid UTF-8 /a@7: half of a surrogate pair", true},
        {"{\"a\":1e400}", "!out of range /a@5: 1e400 is beyond the range of a double", true},
        /* what jsonb refuses */
        {"{\"a\":\"x\\u0000\"}",
         "!not supported /a@5: a text with the character U+0000 cannot be stored", true},
        {"{\"\\u0000\":1}", "!not supported /@1: a key with the character U+0000 cannot be stored",
         true},
        {"{\"a\":\"\\\\u0000\"}", "", true}, /* a backslash and five letters */
        {"{\"a\":\"\\\\\\u0000\"}",
         "!not supported /a@5: a text with the character U+0000 cannot be stored", true},
        {"{\"a\":1e-999}", "", true},
        {"{\"a\":1e-20000}",
         "!out of range /a@5: a number of more than 400 bytes or with more than 3 digits in its "
         "exponent cannot be stored",
         true},
        {"{\"a\":0e+99999}",
         "!out of range /a@5: a number of more than 400 bytes or with more than 3 digits in its "
         "exponent cannot be stored",
         true},
        {"[[[[[]]]]]", "!over a limit /0/0/0/0@4: nested deeper than 4", false},
    };
    struct bench b;
    bench_init(&b);
    b.limits.depth_max = 4;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct view body = heap_copy(view_str(rows[i].text));
        struct payload_error error = {0};
        enum err e = payload_json_check(&b.ctx, body, rows[i].object_only, &error);
        cr_expect_eq(e, error.err);
        char *words = words_of(&error);
        cr_expect_str_eq(e == ERR_OK ? "" : words, rows[i].words);
        free(words);
        heap_free(body);
    }
    cr_expect_eq(b.arena.used_bytes, 0u, "nothing is copied");
    bench_fini(&b);
}

Test(check, long_numbers_are_refused)
{
    struct bench b;
    struct payload_error error;
    char text[402];
    bench_init(&b);
    memset(text, '0', sizeof(text));
    text[1] = '.';
    cr_expect_eq(payload_json_check(&b.ctx, view_of(text, 400), false, &error), ERR_OK);
    cr_expect_eq(payload_json_check(&b.ctx, view_of(text, 401), false, &error), ERR_RANGE);
    bench_fini(&b);
}
