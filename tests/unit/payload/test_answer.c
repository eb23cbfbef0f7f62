#include <criterion/criterion.h>

#include "payload/telemetry.h"

static enum err answer(struct arena *arena, const char *body, struct view *name, int64_t *id,
                       struct view *data)
{
    struct payload_error why;
    struct payload_ctx ctx = {.arena = arena, .limits = &payload_limits_default};
    return payload_gateway_answer(&ctx, view_str(body), name, id, data, &why);
}

Test(answer, the_parts_come_out_in_any_order_and_data_as_it_was_written)
{
    static const struct {
        const char *body;
        const char *data;
    } rows[] = {
        {"{\"device\":\"a\",\"id\":7,\"data\":{ \"x\" : [1] }}", "{ \"x\" : [1] }"},
        {"{\"data\":12.50,\"more\":{\"id\":3},\"id\":7,\"device\":\"a\"}", "12.50"},
        {"{\"id\":7.0,\"data\":\"te\\\"xt\",\"device\":\"a\"}", "\"te\\\"xt\""},
        {"{\"id\":7,\"data\":null,\"device\":\"a\"}", "null"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct view name = {0};
        struct view data = {0};
        int64_t id = 0;
        struct arena arena;
        arena_init(&arena, 1 << 20);
        cr_assert_eq(answer(&arena, rows[i].body, &name, &id, &data), ERR_OK, "%s", rows[i].body);
        cr_expect(view_eq_str(name, "a"));
        cr_expect_eq(id, 7);
        cr_expect(view_eq_str(data, rows[i].data), "%s", rows[i].body);
        arena_fini(&arena);
    }
}

Test(answer, what_is_missing_or_wrong_is_refused_and_touches_nothing)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"device\":\"a\",\"id\":7}",
        "{\"device\":\"a\",\"data\":1}",
        "{\"id\":7,\"data\":1}",
        "{\"device\":\"a/b\",\"id\":7,\"data\":1}",
        "{\"device\":\"a\",\"id\":7.5,\"data\":1}",
        "{\"device\":\"a\",\"id\":-1,\"data\":1}",
        "{\"device\":\"a\",\"id\":\"7\",\"data\":1}",
        "{\"device\":\"a\",\"id\":7,\"data\":}",
        "{\"device\":\"a\",\"id\":7,\"data\":1}x",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct view name = {0};
        struct view data = {0};
        int64_t id = 42;
        struct arena arena;
        arena_init(&arena, 1 << 20);
        cr_expect_neq(answer(&arena, rows[i], &name, &id, &data), ERR_OK, "%s", rows[i]);
        cr_expect_eq(id, 42, "output touched: %s", rows[i]);
        arena_fini(&arena);
    }
}
