#include <stdlib.h>

#include <criterion/criterion.h>

#include "api/body.h"

static enum err load(const char *text, json_t **json)
{
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, text, len);
    char detail[200];
    enum err e = api_json_load(view_of(copy, len), json, detail, sizeof(detail));
    free(copy);
    return e;
}

Test(body, depth_is_counted_before_anything_is_built)
{
    char text[300];
    for (int depth = 30; depth <= 34; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        json_t *json = NULL;
        cr_expect_eq(load(text, &json), depth <= API_JSON_DEPTH_MAX ? ERR_OK : ERR_LIMIT,
                     "depth %d", depth);
        json_decref(json);
    }
    json_t *json = NULL;
    cr_expect_eq(load("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"]", &json), ERR_OK,
                 "brackets inside a text do not nest");
    json_decref(json);
}

Test(body, what_is_no_json_or_says_a_name_twice_is_refused)
{
    static const char *const cases[] = {"",
                                        "{",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1}x",
                                        "\"\\",
                                        "nul",
                                        "{\"a\":99999999999999999999}",
                                        "[1e999]",
                                        "\"\\u0000\""};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *json = NULL;
        cr_expect_eq(load(cases[i], &json), ERR_SYNTAX, "%s", cases[i]);
        cr_expect_null(json);
    }
}

Test(body, fields_are_named_with_pointers)
{
    static const struct {
        const char *body;
        const char *pointer;
    } cases[] = {
        {"{\"name\":\"x\",\"extra\":1}", "/extra"},
        {"{\"name\":1}", "/name"},
        {"{}", "/name"},
        {"{\"name\":\"x\",\"n\":\"1\"}", "/n"},
        {"{\"name\":\"x\",\"n\":1.5}", "/n"},
        {"{\"name\":\"x\",\"a/b~\":1}", "/a~1b~0"},
        {"{\"name\":null}", "/name"},
        {"[]", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *json = NULL;
        struct api_errors errors = {0};
        cr_assert_eq(load(cases[i].body, &json), ERR_OK);
        struct api_fields f = api_fields_init(json, "", &errors);
        api_fields_only(&f, "name n");
        (void)api_field_text(&f, "name", true);
        (void)api_field(&f, "n", API_INTEGER, false);
        cr_assert_eq(errors.count, 1u, "%s", cases[i].body);
        cr_expect_str_eq(errors.items[0].pointer, cases[i].pointer, "%s", cases[i].body);
        json_decref(json);
    }
}

Test(body, what_is_written_says_the_same_with_short_numbers)
{
    static const char *const cases[] = {
        "{\"a\":80.1,\"b\":[1,[],{},null,true,\"x\\\"\"],\"c\":{\"d\":-0.5}}",
        "{\"e\":9007199254740993}",
        "[]",
        "7",
        "\"x\"",
        "null",
        "[[[[1]],2]]",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *json = json_loads(cases[i], JSON_DECODE_ANY, NULL);
        struct buf out;
        buf_init(&out, 1 << 16);
        api_json_write(&out, json);
        cr_expect(view_eq_str(buf_view(&out), cases[i]), "%s became %.*s", cases[i],
                  VIEW_ARG(buf_view(&out)));
        buf_fini(&out);
        json_decref(json);
    }
}
