/*
 * Settings and rule files. Property: settings that are accepted, written as they are in force and
 * read again are the same settings; a conversion to JSON gives one array whose brackets and quotes
 * balance.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "conf/load.h"
#include "conf/yaml_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct conf *c, struct buf *out)
{
    buf_init(out, 1024 * 1024);
    conf_write_effective(c, out);
    CHECK(buf_err(out) == ERR_OK);
}

static void fuzz_settings(struct view yaml)
{
    struct conf *c = NULL;
    struct conf *again = NULL;
    struct conf_error error;
    if (conf_load_text(yaml, "fuzz.yaml", NULL, &c, &error) != ERR_OK) {
        CHECK(c == NULL);
        CHECK(memchr(error.detail, 0, sizeof(error.detail)) != NULL && error.detail[0] != 0);
        return;
    }
    struct buf first;
    struct buf second;
    write_again(c, &first);
    CHECK(conf_load_text(buf_view(&first), "again.yaml", NULL, &again, &error) == ERR_OK);
    write_again(again, &second);
    CHECK(view_eq(buf_view(&first), buf_view(&second)));
    buf_fini(&first);
    buf_fini(&second);
    conf_free(c);
    conf_free(again);
}

static void check_balance(struct view json)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.data[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        depth += (c == '[' || c == '{') - (c == ']' || c == '}');
        CHECK(depth > 0 || i + 1 == json.len);
    }
    CHECK(depth == 0 && !quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf json;
    struct yaml_json_error error;
    buf_init(&json, 1024 * 1024);
    fuzz_settings(view_of(data, size));
    if (conf_yaml_to_json(view_of(data, size), &json, &error) == ERR_OK) {
        check_balance(buf_view(&json));
    } else {
        CHECK(json.len == 0);
    }
    buf_fini(&json);
    return 0;
}
