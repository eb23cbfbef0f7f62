#include "notify/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

struct fields fields_init(const json_t *object, const char *at, struct fields_error *error)
{
    return (struct fields){.object = object, .at = at, .error = error, .err = ERR_OK};
}

void fields_fail(struct fields *f, enum err e, const char *name, const char *format, ...)
{
    if (f->err != ERR_OK) {
        return;
    }
    f->err = e;
    (void)snprintf(f->error->pointer, f->error->pointer_size, "%s/%s", f->at, name);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(f->error->detail, f->error->detail_size, format, args);
    va_end(args);
}

static bool is_among(const char *names, const char *name)
{
    size_t len = strlen(name);
    if (len == 0) {
        return false;
    }
    for (const char *at = strstr(names, name); at != NULL; at = strstr(at + 1, name)) {
        bool begins = at == names || at[-1] == ' ';
        if (begins && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

void fields_only(struct fields *f, const char *names)
{
    json_t *object = (json_t *)(uintptr_t)f->object; /* only read */
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(object, name, value)
    {
        (void)value;
        if (!is_among(names, name)) {
            fields_fail(f, ERR_UNKNOWN_NAME, name, "is not known here; expected: %s", names);
        }
    }
}

/* NULL: absent or null. */
static const json_t *fields_get(struct fields *f, const char *name, bool required)
{
    const json_t *v = f->err == ERR_OK ? json_object_get(f->object, name) : NULL;
    if (json_is_null(v)) {
        v = NULL;
    }
    if (v == NULL && required) {
        fields_fail(f, ERR_SYNTAX, name, "is required");
    }
    return v;
}

const char *fields_text(struct fields *f, const char *name, size_t max, bool required)
{
    const json_t *v = fields_get(f, name, required);
    if (v == NULL) {
        return NULL;
    }
    if (!json_is_string(v)) {
        fields_fail(f, ERR_TYPE, name, "must be a text");
        return NULL;
    }
    size_t len = json_string_length(v);
    if (len == 0 || len > max || strlen(json_string_value(v)) != len) {
        fields_fail(f, ERR_LIMIT, name, "must have 1 to %zu bytes", max);
        return NULL;
    }
    return json_string_value(v);
}

int64_t fields_int(struct fields *f, const char *name, int64_t least, int64_t most,
                   int64_t standard)
{
    const json_t *v = fields_get(f, name, false);
    if (v == NULL) {
        return standard;
    }
    int64_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < least || n > most) {
        fields_fail(f, ERR_RANGE, name, "must be an integer from %lld to %lld", (long long)least,
                    (long long)most);
        return standard;
    }
    return n;
}

bool fields_bool(struct fields *f, const char *name, bool standard)
{
    const json_t *v = fields_get(f, name, false);
    if (v != NULL && !json_is_boolean(v)) {
        fields_fail(f, ERR_TYPE, name, "must be true or false");
    }
    return v == NULL ? standard : json_is_true(v);
}

int64_t fields_duration(struct fields *f, const char *name, int64_t least_us, int64_t most_us,
                        int64_t standard_us)
{
    const json_t *v = fields_get(f, name, false);
    if (v == NULL) {
        return standard_us;
    }
    int64_t us = 0;
    struct view text = view_of(json_string_value(v), json_string_length(v));
    if (!json_is_string(v) || clock_parse_duration(text, &us) != ERR_OK || us < least_us ||
        us > most_us) {
        char least[CLOCK_TEXT_SIZE];
        char most[CLOCK_TEXT_SIZE];
        fields_fail(f, ERR_RANGE, name, "must be a duration from %s to %s, as 30s, 15m, 2h",
                    clock_format_duration(least_us, least), clock_format_duration(most_us, most));
        return standard_us;
    }
    return us;
}

const json_t *fields_object(struct fields *f, const char *name, bool required)
{
    const json_t *v = fields_get(f, name, required);
    if (v != NULL && !json_is_object(v)) {
        fields_fail(f, ERR_TYPE, name, "must be an object");
        return NULL;
    }
    return v;
}
