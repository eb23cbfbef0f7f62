#include "api/body.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/emit_json.h"

static bool depth_fits(struct view text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (quoted) {
            i += c == '\\'; /* the byte after it cannot end the text */
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > API_JSON_DEPTH_MAX) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

enum err api_json_load(struct view text, json_t **ret_json, char *ret_detail, size_t detail_size)
{
    if (!depth_fits(text)) {
        (void)snprintf(ret_detail, detail_size, "the body nests deeper than %d levels",
                       API_JSON_DEPTH_MAX);
        return ERR_LIMIT;
    }
    if (text.len == 0) {
        (void)snprintf(ret_detail, detail_size, "the body is empty; a JSON object is expected");
        return ERR_SYNTAX;
    }
    json_error_t error;
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        (void)snprintf(ret_detail, detail_size, "the body is no JSON: line %d, column %d: %s",
                       error.line, error.column, error.text);
        return ERR_SYNTAX;
    }
    *ret_json = json;
    return ERR_OK;
}

bool api_type_matches(const json_t *value, unsigned types)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return (types & API_STRING) != 0;
    case JSON_INTEGER:
        return (types & (API_NUMBER | API_INTEGER)) != 0;
    case JSON_REAL:
        return (types & API_NUMBER) != 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return (types & API_BOOL) != 0;
    case JSON_OBJECT:
        return (types & API_OBJECT) != 0;
    case JSON_ARRAY:
        return (types & API_ARRAY) != 0;
    case JSON_NULL:
        return (types & API_NULL) != 0;
    }
    return false;
}

void api_type_words(unsigned types, char *ret_words, size_t size)
{
    static const char *const words[] = {"a text",    "a number", "an integer", "true or false",
                                        "an object", "an array", "null"};
    size_t used = 0;
    ret_words[0] = '\0';
    for (unsigned i = 0; i < COUNT_OF(words) && used < size; i++) {
        if ((types & 1u << i) != 0) {
            used += (size_t)snprintf(ret_words + used, size - used, "%s%s", used == 0 ? "" : " or ",
                                     words[i]);
        }
    }
}

void api_field_pointer(const char *pointer, const char *name, char *ret_pointer, size_t size)
{
    size_t used = (size_t)snprintf(ret_pointer, size, "%s/", pointer);
    for (; *name != '\0' && used + 3 < size; name++) {
        if (*name == '~' || *name == '/') {
            ret_pointer[used++] = '~';
            ret_pointer[used++] = *name == '~' ? '0' : '1';
        } else {
            ret_pointer[used++] = *name;
        }
    }
    if (used < size) {
        ret_pointer[used] = '\0';
    }
}

struct api_fields api_fields_init(const json_t *value, const char *pointer,
                                  struct api_errors *errors)
{
    struct api_fields f = {.errors = errors};
    (void)view_copy(view_str(pointer), f.pointer, sizeof(f.pointer));
    if (json_is_object(value)) {
        f.object = value;
    } else {
        api_errors_add(errors, pointer, "must be an object");
    }
    return f;
}

void api_field_error(struct api_fields *f, const char *name, const char *format, ...)
{
    char pointer[192];
    char detail[256];
    api_field_pointer(f->pointer, name, pointer, sizeof(pointer));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    api_errors_add(f->errors, pointer, "%s", detail);
}

/* Is `name` one of the words? */
static bool words_have(const char *words, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = words; *at != '\0';) {
        size_t n = strcspn(at, " ");
        if (n == len && memcmp(at, name, len) == 0) {
            return true;
        }
        at += n;
        at += *at == ' ';
    }
    return false;
}

void api_fields_only(struct api_fields *f, const char *names)
{
    if (f->object == NULL) {
        return;
    }
    /* jansson iterates over a non-const object and does not change it. */
    json_t *object = (json_t *)(uintptr_t)f->object;
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        if (!words_have(names, key)) {
            api_field_error(f, key, "is not a field here; known are: %s", names);
        }
    }
}

const json_t *api_field(struct api_fields *f, const char *name, unsigned types, bool required)
{
    const json_t *value = f->object == NULL ? NULL : json_object_get(f->object, name);
    if (value == NULL) {
        if (required && f->object != NULL) {
            api_field_error(f, name, "is missing");
        }
        return NULL;
    }
    if (!api_type_matches(value, types)) {
        char words[120];
        api_type_words(types, words, sizeof(words));
        api_field_error(f, name, "must be %s", words);
        return NULL;
    }
    return value;
}

const char *api_field_text(struct api_fields *f, const char *name, bool required)
{
    const json_t *value = api_field(f, name, API_STRING, required);
    return value == NULL ? NULL : json_string_value(value);
}

static void write_scalar(struct emit_json *j, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        emit_json_view(j, view_of(json_string_value(v), json_string_length(v)));
        break;
    case JSON_INTEGER:
        emit_json_int(j, json_integer_value(v));
        break;
    case JSON_REAL:
        emit_json_real(j, json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        emit_json_bool(j, json_is_true(v));
        break;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        emit_json_null(j);
        break;
    }
}

struct write_level {
    json_t *container;
    void *iter;   /* of an object */
    size_t index; /* of an array */
};

/* The next member to write, its key written; NULL: the container is finished. */
static json_t *write_next(struct emit_json *j, struct write_level *l)
{
    if (json_is_array(l->container)) {
        return json_array_get(l->container, l->index++);
    }
    l->iter = l->index++ == 0 ? json_object_iter(l->container)
                              : json_object_iter_next(l->container, l->iter);
    if (l->iter == NULL) {
        return NULL;
    }
    emit_json_key(j, json_object_iter_key(l->iter));
    return json_object_iter_value(l->iter);
}

void api_json_write(struct buf *out, const json_t *value)
{
    struct emit_json j = emit_json_init(out);
    struct write_level levels[API_JSON_DEPTH_MAX + 1];
    int depth = 0;
    json_t *at = (json_t *)(uintptr_t)value; /* iterators want it so; nothing is changed */
    for (;;) {
        bool nests = json_is_object(at) || json_is_array(at);
        if (nests && depth <= API_JSON_DEPTH_MAX) {
            emit_json_open(&j, json_is_object(at) ? '{' : '[');
            levels[depth++] = (struct write_level){.container = at};
        } else {
            write_scalar(&j, at);
        }
        at = NULL;
        while (at == NULL && depth > 0) {
            at = write_next(&j, &levels[depth - 1]);
            if (at == NULL) {
                depth--;
                emit_json_close(&j, json_is_object(levels[depth].container) ? '}' : ']');
            }
        }
        if (at == NULL) {
            return;
        }
    }
}
