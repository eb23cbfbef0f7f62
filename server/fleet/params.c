/*
 * Walks the object's bytes once and keeps no tree. It is lenient about what lies between: the
 * server is the one that checks JSON; here a wrong document is only a command that is not
 * understood.
 */
#include "fleet/params.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

enum { DEPTH_MAX = 32 };

static size_t skip_space(struct view v, size_t at)
{
    while (at < v.len &&
           (v.data[at] == ' ' || v.data[at] == '\t' || v.data[at] == '\n' || v.data[at] == '\r')) {
        at++;
    }
    return at;
}

/* Behind the closing quote, or v.len. `at` is on the opening one. */
static size_t skip_text(struct view v, size_t at)
{
    for (at++; at < v.len && v.data[at] != '"'; at++) {
        at += v.data[at] == '\\' ? 1 : 0;
    }
    return at < v.len ? at + 1 : v.len;
}

/* Behind the value: up to a comma or bracket that belongs to the level around it. */
static size_t skip_value(struct view v, size_t at)
{
    int depth = 0;
    while (at < v.len && depth <= DEPTH_MAX) {
        uint8_t c = v.data[at];
        if (c == '"') {
            at = skip_text(v, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
            return at;
        }
        depth += c == '{' || c == '[' ? 1 : 0;
        depth -= c == '}' || c == ']' ? 1 : 0;
        at++;
    }
    return depth > DEPTH_MAX ? v.len : at;
}

static struct view trim(struct view v)
{
    while (v.len > 0 && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\n' ||
                         v.data[v.len - 1] == '\r' || v.data[v.len - 1] == '\t')) {
        v.len--;
    }
    return v;
}

bool fleet_params_find(struct view object, const char *key, struct view *ret_value)
{
    size_t at = skip_space(object, 0);
    if (at >= object.len || object.data[at] != '{') {
        return false;
    }
    at = skip_space(object, at + 1);
    while (at < object.len && object.data[at] == '"') {
        size_t name_end = skip_text(object, at);
        if (name_end < at + 2) {
            return false;
        }
        struct view name = view_of(object.data + at + 1, name_end - at - 2);
        at = skip_space(object, name_end);
        if (at >= object.len || object.data[at] != ':') {
            return false;
        }
        at = skip_space(object, at + 1);
        size_t end = skip_value(object, at);
        if (view_eq_str(name, key)) {
            *ret_value = trim(view_of(object.data + at, end - at));
            return ret_value->len > 0;
        }
        at = end < object.len && object.data[end] == ',' ? skip_space(object, end + 1) : object.len;
    }
    return false;
}

bool fleet_params_text(struct view object, const char *key, struct view *ret_text)
{
    struct view v;
    if (!fleet_params_find(object, key, &v) || v.len < 2 || v.data[0] != '"' ||
        v.data[v.len - 1] != '"') {
        return false;
    }
    *ret_text = view_of(v.data + 1, v.len - 2);
    return true;
}

bool fleet_params_number(struct view object, const char *key, double *ret_x)
{
    struct view v;
    char text[64];
    if (!fleet_params_find(object, key, &v) || v.len >= sizeof(text) ||
        !view_copy(v, text, sizeof(text))) {
        return false;
    }
    char *end = NULL;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(x)) {
        return false;
    }
    *ret_x = x;
    return true;
}

bool fleet_params_bool(struct view object, const char *key, bool *ret_on)
{
    struct view v;
    if (!fleet_params_find(object, key, &v) ||
        !(view_eq_str(v, "true") || view_eq_str(v, "false"))) {
        return false;
    }
    *ret_on = v.len == 4;
    return true;
}
