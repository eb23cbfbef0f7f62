/*
 * Walks libyaml's events with an explicit stack and writes JSON as it goes; nothing is built in
 * memory but the text and, for each open mapping, the set of its keys. What YAML has and JSON has
 * not is refused, never guessed.
 */
#include "conf/yaml_json.h"

#include <stdarg.h>
#include <stdio.h>

#include <yaml.h>

#include "base/emit_json.h"
#include "base/map.h"

enum { YAML_JSON_INPUT_MAX = 4 * 1024 * 1024, YAML_JSON_DEPTH = 64 };

struct yaml_level {
    bool mapping;
    bool want_key;
    struct map keys; /* of a mapping */
};

struct yaml_walk {
    yaml_parser_t parser;
    struct emit_json out;
    struct yaml_level levels[YAML_JSON_DEPTH];
    int depth;
    bool done;
    struct yaml_json_error error;
};

__attribute__((format(printf, 4, 5))) static enum err
walk_fail(struct yaml_walk *w, enum err code, yaml_mark_t mark, const char *format, ...)
{
    w->error = (struct yaml_json_error){.line = (int)mark.line + 1, .column = (int)mark.column + 1};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->error.detail, sizeof(w->error.detail), format, args);
    va_end(args);
    return code;
}

static size_t skip_digits(struct view v, size_t at)
{
    while (at < v.len && v.data[at] >= '0' && v.data[at] <= '9') {
        at++;
    }
    return at;
}

/* Decimal digits without leading zeros, at least one. */
static void put_digits(struct buf *out, struct view digits)
{
    while (digits.len > 1 && digits.data[0] == '0') {
        digits = view_skip(digits, 1);
    }
    buf_put_str(out, digits.len == 0 ? "0" : "");
    buf_put_view(out, digits);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?  as JSON, digits untouched. */
static bool put_decimal(struct view v, struct buf *out)
{
    size_t start = v.len > 0 && (v.data[0] == '-' || v.data[0] == '+') ? 1 : 0;
    size_t whole_end = skip_digits(v, start);
    size_t end = whole_end;
    struct view fraction = {NULL, 0};
    if (end < v.len && v.data[end] == '.') {
        end = skip_digits(v, whole_end + 1);
        fraction = view_of(v.data + whole_end + 1, end - whole_end - 1);
    }
    bool is_real = end > whole_end;
    if (whole_end == start && fraction.len == 0) {
        return false;
    }
    struct view exponent = view_skip(v, end);
    if (exponent.len > 0) {
        size_t sign = exponent.len > 1 && (exponent.data[1] == '-' || exponent.data[1] == '+');
        if ((exponent.data[0] != 'e' && exponent.data[0] != 'E') || exponent.len == 1 + sign ||
            skip_digits(exponent, 1 + sign) != exponent.len) {
            return false;
        }
    }
    buf_put_str(out, v.data[0] == '-' ? "-" : "");
    put_digits(out, view_of(v.data + start, whole_end - start));
    if (is_real) {
        buf_put_str(out, ".");
        buf_put_view(out, fraction.len > 0 ? fraction : VIEW("0"));
    }
    buf_put_view(out, exponent);
    return true;
}

/* 0o17 and 0x1F, up to 64 bits without sign. */
static bool put_based(struct view v, struct buf *out)
{
    uint64_t n = 0;
    if (v.len < 3 || v.len > 18 || v.data[0] != '0' || (v.data[1] != 'o' && v.data[1] != 'x')) {
        return false;
    }
    unsigned base = v.data[1] == 'o' ? 8 : 16;
    for (size_t i = 2; i < v.len; i++) {
        uint8_t c = v.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base || n > (UINT64_MAX - digit) / base) {
            return false;
        }
        n = n * base + digit;
    }
    buf_printf(out, "%llu", (unsigned long long)n);
    return true;
}

static bool is_any(struct view v, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (view_eq_str(v, *words)) {
            return true;
        }
    }
    return false;
}

/* YAML 1.2.2, 10.3.2: the core schema's tag resolution. */
static enum err put_plain(struct yaml_walk *w, struct view v, yaml_mark_t mark)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const specials[] = {".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf",
                                           "-.INF", "+.inf", "+.Inf", "+.INF", ".nan",
                                           ".NaN",  ".NAN",  NULL};
    if (is_any(v, nulls)) {
        emit_json_null(&w->out);
        return ERR_OK;
    }
    if (is_any(v, trues) || is_any(v, falses)) {
        emit_json_bool(&w->out, is_any(v, trues));
        return ERR_OK;
    }
    if (is_any(v, specials)) {
        return walk_fail(w, ERR_UNSUPPORTED, mark, "JSON has no word for %.*s", VIEW_ARG(v));
    }
    struct buf number;
    buf_init(&number, YAML_JSON_INPUT_MAX);
    bool is_number = put_decimal(v, &number) || put_based(v, &number);
    enum err e = buf_err(&number);
    if (e == ERR_OK && is_number) {
        emit_json_raw(&w->out, buf_view(&number));
    } else if (e == ERR_OK) {
        emit_json_view(&w->out, v);
    }
    buf_fini(&number);
    return e;
}

static enum err walk_key(struct yaml_walk *w, const yaml_event_t *e, struct yaml_level *level)
{
    struct view key = view_of(e->data.scalar.value, e->data.scalar.length);
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && view_eq_str(key, "<<")) {
        return walk_fail(w, ERR_UNSUPPORTED, e->start_mark, "merge keys (<<) are not used here");
    }
    void *old = NULL;
    enum err err = map_put(&level->keys, key, w, &old);
    if (err == ERR_OK && old != NULL) {
        int shown = key.len > 60 ? 60 : (int)key.len;
        err = walk_fail(w, ERR_EXISTS, e->start_mark, "the key \"%.*s\" is given twice", shown,
                        (const char *)key.data);
    }
    emit_json_key_view(&w->out, key);
    level->want_key = false;
    return err;
}

/* A value begins: the next scalar of this mapping is a key again. */
static void value_seen(struct yaml_walk *w)
{
    if (w->depth > 0) {
        w->levels[w->depth - 1].want_key = w->levels[w->depth - 1].mapping;
    }
}

static enum err walk_scalar(struct yaml_walk *w, const yaml_event_t *e)
{
    const char *tag = (const char *)e->data.scalar.tag;
    bool is_text = tag != NULL && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0);
    if (e->data.scalar.anchor != NULL || (tag != NULL && !is_text)) {
        return walk_fail(w, ERR_UNSUPPORTED, e->start_mark, "anchors and tags are not used here");
    }
    struct yaml_level *level = w->depth > 0 ? &w->levels[w->depth - 1] : NULL;
    if (level != NULL && level->mapping && level->want_key) {
        return walk_key(w, e, level);
    }
    struct view v = view_of(e->data.scalar.value, e->data.scalar.length);
    value_seen(w);
    if (is_text || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        emit_json_view(&w->out, v);
        return ERR_OK;
    }
    return put_plain(w, v, e->start_mark);
}

static enum err walk_open(struct yaml_walk *w, const yaml_event_t *e, bool mapping)
{
    const yaml_char_t *anchor =
        mapping ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
    const yaml_char_t *tag = mapping ? e->data.mapping_start.tag : e->data.sequence_start.tag;
    if (anchor != NULL || tag != NULL) {
        return walk_fail(w, ERR_UNSUPPORTED, e->start_mark, "anchors and tags are not used here");
    }
    if (w->depth > 0 && w->levels[w->depth - 1].mapping && w->levels[w->depth - 1].want_key) {
        return walk_fail(w, ERR_UNSUPPORTED, e->start_mark, "a key must be a text");
    }
    if (w->depth == YAML_JSON_DEPTH) {
        return walk_fail(w, ERR_LIMIT, e->start_mark, "nested deeper than %d", YAML_JSON_DEPTH);
    }
    value_seen(w);
    struct yaml_level *level = &w->levels[w->depth++];
    *level = (struct yaml_level){.mapping = mapping, .want_key = mapping};
    map_init(&level->keys);
    emit_json_open(&w->out, mapping ? '{' : '[');
    return ERR_OK;
}

static void walk_close(struct yaml_walk *w)
{
    struct yaml_level *level = &w->levels[--w->depth];
    emit_json_close(&w->out, level->mapping ? '}' : ']');
    map_fini(&level->keys);
}

static enum err walk_event(struct yaml_walk *w, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return walk_scalar(w, e);
    case YAML_MAPPING_START_EVENT:
        return walk_open(w, e, true);
    case YAML_SEQUENCE_START_EVENT:
        return walk_open(w, e, false);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        walk_close(w);
        return ERR_OK;
    case YAML_ALIAS_EVENT:
        return walk_fail(w, ERR_UNSUPPORTED, e->start_mark, "aliases are not used here");
    case YAML_STREAM_END_EVENT:
        w->done = true;
        return ERR_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return ERR_OK;
    }
    return ERR_OK;
}

static enum err walk_all(struct yaml_walk *w)
{
    enum err e = ERR_OK;
    emit_json_open(&w->out, '[');
    while (e == ERR_OK && !w->done) {
        yaml_event_t event;
        if (yaml_parser_parse(&w->parser, &event) == 0) {
            const yaml_parser_t *p = &w->parser;
            e = walk_fail(w, ERR_SYNTAX, p->problem_mark, "%s%s%s",
                          p->context != NULL ? p->context : "", p->context != NULL ? ", " : "",
                          p->problem != NULL ? p->problem : "not YAML");
            break;
        }
        e = walk_event(w, &event);
        yaml_event_delete(&event);
        e = e != ERR_OK ? e : buf_err(w->out.out);
    }
    while (w->depth > 0) {
        walk_close(w); /* of a walk that was broken off */
    }
    emit_json_close(&w->out, ']');
    return e != ERR_OK ? e : buf_err(w->out.out);
}

enum err conf_yaml_to_json(struct view yaml, struct buf *ret_json,
                           struct yaml_json_error *ret_error)
{
    if (yaml.len > YAML_JSON_INPUT_MAX) {
        *ret_error = (struct yaml_json_error){.detail = "larger than 4 MiB"};
        return ERR_LIMIT;
    }
    size_t before = ret_json->len;
    struct yaml_walk w = {.out = emit_json_init(ret_json)};
    if (yaml_parser_initialize(&w.parser) == 0) {
        return ERR_NOMEM;
    }
    yaml_parser_set_input_string(&w.parser, yaml.data, yaml.len);
    yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
    enum err e = walk_all(&w);
    yaml_parser_delete(&w.parser);
    if (e != ERR_OK) {
        if (w.error.detail[0] == '\0') {
            (void)snprintf(w.error.detail, sizeof(w.error.detail), "%s", err_words(e));
        }
        ret_json->len = before;
        *ret_error = w.error;
    }
    return e;
}
