#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "conf/yaml_json.h"

static enum err convert(const char *yaml, size_t len, char **ret_json,
                        struct yaml_json_error *ret_error)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    struct buf out;
    memcpy(copy, yaml, len);
    buf_init(&out, 1 << 20);
    enum err e = conf_yaml_to_json(view_of(copy, len), &out, ret_error);
    cr_expect(e == ERR_OK || out.len == 0, "output touched on failure");
    *ret_json = buf_take_str(&out);
    free(copy);
    return e;
}

Test(yaml_json, what_both_can_say_is_carried_over)
{
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"", "[]"},
        {"a: 1", "[{\"a\":1}]"},
        {"- a\n- [1, 2.50, -3e+5]", "[[\"a\",[1,2.50,-3e+5]]]"},
        {"a: 1\n---\nb: 2", "[{\"a\":1},{\"b\":2}]"},
        {"{\"json\": [true, null, \"x\"]}", "[{\"json\":[true,null,\"x\"]}]"},
        {"when: avg(x) > 80", "[{\"when\":\"avg(x) > 80\"}]"},
        {"[yes, on, Yes, y, true, True, FALSE]",
         "[[\"yes\",\"on\",\"Yes\",\"y\",true,true,false]]"},
        {"[~, null, NULL, nULL]", "[[null,null,null,\"nULL\"]]"},
        {"a:\nb: ''", "[{\"a\":null,\"b\":\"\"}]"},
        {"[007, +5, -0, 0o17, 0x1F, 0b1, 1_000]", "[[7,5,-0,15,31,\"0b1\",\"1_000\"]]"},
        {"[.5, 5., +.5, -1.e3, 1e5, 00.50]", "[[0.5,5.0,0.5,-1.0e3,1e5,0.50]]"},
        {"[., '.', +, -x, e5, 1e, 1e+, 1.2.3, 12:30]",
         "[[\".\",\".\",\"+\",\"-x\",\"e5\",\"1e\",\"1e+\",\"1.2.3\",\"12:30\"]]"},
        {"[12345678901234567890123]", "[[12345678901234567890123]]"},
        {"[0xFFFFFFFFFFFFFFFF, 0x10000000000000000]",
         "[[18446744073709551615,\"0x10000000000000000\"]]"},
        {"['5', \"5\", !!str 5, ! 5]", "[[\"5\",\"5\",\"5\",\"5\"]]"},
        {"5: 6\ntrue: x", "[{\"5\":6,\"true\":\"x\"}]"},
        {"a: |\n  two\n  lines\n", "[{\"a\":\"two\\nlines\\n\"}]"},
        {"a: >\n  one\n  line\n", "[{\"a\":\"one line\\n\"}]"},
        {"for: 2m\nsummary: \"{{device}} °C\"", "[{\"for\":\"2m\",\"summary\":\"{{device}} °C\"}]"},
        {"a: {b: {c: [{d: 1}]}}", "[{\"a\":{\"b\":{\"c\":[{\"d\":1}]}}}]"},
        {"? a\n: 1\n'<<': 2", "[{\"a\":1,\"<<\":2}]"},
        {"\"\\0\\x01\"", "[\"\\u0000\\u0001\"]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *json = NULL;
        struct yaml_json_error error = {0};
        cr_expect_eq(convert(cases[i].yaml, strlen(cases[i].yaml), &json, &error), ERR_OK, "%s: %s",
                     cases[i].yaml, error.detail);
        cr_expect_str_eq(json, cases[i].json, "%s", cases[i].yaml);
        free(json);
    }
}

Test(yaml_json, what_json_cannot_say_is_refused_at_its_place)
{
    static const struct {
        const char *yaml;
        enum err err;
        int line, column;
        const char *words;
    } cases[] = {
        {"a: 1\na: 2", ERR_EXISTS, 2, 1, "given twice"},
        {"a: &x 1", ERR_UNSUPPORTED, 1, 4, "anchors"},
        {"a: *x", ERR_UNSUPPORTED, 1, 4, "aliases"},
        {"a: &x {b: 1}", ERR_UNSUPPORTED, 1, 4, "anchors"},
        {"a: !!float 1", ERR_UNSUPPORTED, 1, 4, "tags"},
        {"a: !mine [1]", ERR_UNSUPPORTED, 1, 4, "tags"},
        {"<<: {a: 1}", ERR_UNSUPPORTED, 1, 1, "merge"},
        {"a: .inf", ERR_UNSUPPORTED, 1, 4, ".inf"},
        {"a: [-.INF]", ERR_UNSUPPORTED, 1, 5, "-.INF"},
        {"a: .nan", ERR_UNSUPPORTED, 1, 4, ".nan"},
        {"[a]: b", ERR_UNSUPPORTED, 1, 1, "a key must be a text"},
        {"{a: 1}: b", ERR_UNSUPPORTED, 1, 1, "a key must be a text"},
        {"a: [1", ERR_SYNTAX, 2, 1, "flow sequence"},
        {"a: b: c", ERR_SYNTAX, 1, 5, "mapping values"},
        {"\ta: 1", ERR_SYNTAX, 1, 1, "character"},
        {"a: \xff", ERR_SYNTAX, 1, 1, "UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *json = NULL;
        struct yaml_json_error error = {0};
        cr_expect_eq(convert(cases[i].yaml, strlen(cases[i].yaml), &json, &error), cases[i].err,
                     "%s: %s", cases[i].yaml, error.detail);
        cr_expect_eq(error.line, cases[i].line, "%s: line %d", cases[i].yaml, error.line);
        cr_expect_eq(error.column, cases[i].column, "%s: column %d", cases[i].yaml, error.column);
        cr_expect(strstr(error.detail, cases[i].words) != NULL, "%s: %s", cases[i].yaml,
                  error.detail);
        free(json);
    }
}

Test(yaml_json, depth_and_room_are_bounded)
{
    char deep[200];
    struct yaml_json_error error = {0};
    char *json = NULL;
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    cr_expect_eq(convert(deep, 128, &json, &error), ERR_OK, "%s", error.detail);
    free(json);
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    cr_expect_eq(convert(deep, 130, &json, &error), ERR_LIMIT);
    cr_expect_eq(error.column, 65);
    free(json);

    struct buf small;
    buf_init(&small, 16);
    buf_put_str(&small, "kept");
    cr_expect_eq(conf_yaml_to_json(VIEW("a: a text that has no room"), &small, &error), ERR_LIMIT);
    cr_expect(view_eq_str(buf_view(&small), "kept"));
    buf_fini(&small);
}

Test(yaml_json, every_cut_is_converted_or_refused_never_a_crash)
{
    static const char yaml[] = "# rules\n- name: a\n  when: \"x > 1\"\n  for: 2m\n  actions:\n"
                               "  - {command: {to: self, params: {level: 1.50}}}\n- !!str x\n";
    for (size_t cut = 0; cut < sizeof(yaml); cut++) {
        char *json = NULL;
        struct yaml_json_error error = {0};
        enum err e = convert(yaml, cut, &json, &error);
        cr_expect(e == ERR_OK ? json[0] == '[' : error.detail[0] != '\0', "cut at %zu", cut);
        free(json);
    }
}
