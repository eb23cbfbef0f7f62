#include "rules/fields.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "rules/functions.h"

char *rule_pointer_join(const char *pointer, const char *key,
                        char ret_pointer[static RULE_POINTER_SIZE])
{
    char joined[RULE_POINTER_SIZE];
    size_t n = 0;
    for (const char *c = pointer; *c != '\0' && n < sizeof(joined) - 2; c++) {
        joined[n++] = *c;
    }
    joined[n++] = '/';
    for (const char *c = key; *c != '\0' && n < sizeof(joined) - 2; c++) {
        if (*c == '~' || *c == '/') {
            joined[n++] = '~';
            joined[n++] = *c == '~' ? '0' : '1';
        } else {
            joined[n++] = *c;
        }
    }
    joined[n] = '\0';
    memcpy(ret_pointer, joined, n + 1);
    return ret_pointer;
}

enum err rule_fields_fail(const struct rule_fields *f, enum err code, const char *key,
                          const char *format, ...)
{
    char detail[sizeof(f->error->detail)];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    char pointer[RULE_POINTER_SIZE];
    struct rule_place at = {.pointer = rule_pointer_join(f->pointer, key, pointer)};
    return rule_error_set(f->error, code, at, "%s", detail);
}

static bool among(const char *key, const char *const *known, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(key, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum err rule_fields_only(const struct rule_fields *f, const char *const *known, size_t count)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(f->object, key, value)
    {
        if (among(key, known, count)) {
            continue;
        }
        const char *like = rule_suggest(view_str(key), known, count);
        if (like != NULL) {
            return rule_fields_fail(f, ERR_UNKNOWN_NAME, key,
                                    "unknown field \"%.64s\"; did you mean \"%s\"?", key, like);
        }
        return rule_fields_fail(f, ERR_UNKNOWN_NAME, key, "unknown field \"%.64s\"", key);
    }
    return ERR_OK;
}

enum err rule_fields_text(const struct rule_fields *f, const char *key, size_t max_bytes,
                          struct view *ret_text)
{
    const json_t *value = json_object_get(f->object, key);
    if (value == NULL) {
        *ret_text = view_of("", 0);
        return ERR_OK;
    }
    if (!json_is_string(value)) {
        return rule_fields_fail(f, ERR_TYPE, key, "expected a text");
    }
    struct view text = view_of(json_string_value(value), json_string_length(value));
    if (text.len > max_bytes) {
        return rule_fields_fail(f, ERR_LIMIT, key, "at most %zu bytes", max_bytes);
    }
    *ret_text = text;
    return ERR_OK;
}

enum err rule_fields_duration(const struct rule_fields *f, const char *key, int64_t min_us,
                              int64_t max_us, int64_t *ret_us)
{
    const json_t *value = json_object_get(f->object, key);
    if (value == NULL) {
        return ERR_OK;
    }
    int64_t us = 0;
    struct view text = view_str(json_is_string(value) ? json_string_value(value) : NULL);
    enum err e = text.data == NULL ? ERR_TYPE : clock_parse_duration(text, &us);
    if (e != ERR_OK && e != ERR_RANGE) {
        return rule_fields_fail(
            f, e == ERR_TYPE ? ERR_TYPE : ERR_SYNTAX, key,
            "expected a duration as text, such as \"90s\", \"2m\" or \"1h30m\"");
    }
    if (e == ERR_RANGE || us > max_us) {
        char most[CLOCK_TEXT_SIZE];
        return rule_fields_fail(f, ERR_RANGE, key, "at most %s",
                                clock_format_duration(max_us, most));
    }
    if (us < min_us) {
        return rule_fields_fail(f, ERR_RANGE, key, "must be longer than 0");
    }
    *ret_us = us;
    return ERR_OK;
}
