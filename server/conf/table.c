#include "conf/table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

enum { PLAIN = 0, SECRET = 1 };

/* clang-format off */
#define ROW_TEXT(n, def, flags, w)            {.name = #n, .type = SETTING_TEXT, .secret = (flags) != 0, .text = (def), .offset = offsetof(struct conf, n), .words = (w)},
#define ROW_COUNT(n, def, lo, hi, flags, w)   {.name = #n, .type = SETTING_COUNT, .secret = (flags) != 0, .number = (def), .min = (lo), .max = (hi), .offset = offsetof(struct conf, n), .words = (w)},
#define ROW_BOOL(n, def, flags, w)            {.name = #n, .type = SETTING_BOOL, .secret = (flags) != 0, .number = (def), .max = 1, .offset = offsetof(struct conf, n), .words = (w)},
#define ROW_TIME(n, def, lo, hi, flags, w)    {.name = #n, .type = SETTING_TIME, .secret = (flags) != 0, .number = (def), .min = (lo), .max = (hi), .offset = offsetof(struct conf, n##_us), .words = (w)},
#define ROW_SIZE(n, def, lo, hi, flags, w)    {.name = #n, .type = SETTING_SIZE, .secret = (flags) != 0, .number = (def), .min = (lo), .max = (hi), .offset = offsetof(struct conf, n##_bytes), .words = (w)},
static const struct setting settings[] = {SETTING_LIST(ROW_TEXT, ROW_COUNT, ROW_BOOL, ROW_TIME, ROW_SIZE)};
/* clang-format on */

_Static_assert(COUNT_OF(settings) <= SETTINGS_MAX, "raise SETTINGS_MAX");

const struct setting *setting_all(size_t *ret_count)
{
    *ret_count = COUNT_OF(settings);
    return settings;
}

const struct setting *setting_find(struct view name, size_t *ret_index)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (view_eq_str(name, settings[i].name)) {
            *ret_index = i;
            return &settings[i];
        }
    }
    return NULL;
}

/* Edits (insert, delete, replace, swap neighbours) that turn a into b. */
static size_t edit_distance(struct view a, struct view b)
{
    size_t rows[3][SETTING_NAME_MAX + 1];
    CHECK(a.len <= SETTING_NAME_MAX && b.len <= SETTING_NAME_MAX);
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = above[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && above2[j - 2] + 1 < best) {
                best = above2[j - 2] + 1;
            }
            row[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

const struct setting *setting_nearest(struct view name)
{
    if (name.len < 3 || name.len > SETTING_NAME_MAX) {
        return NULL;
    }
    const struct setting *nearest = NULL;
    size_t best = name.len / 3 < 3 ? name.len / 3 + 1 : 4; /* one more than what is still likely */
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        size_t d = edit_distance(name, view_str(settings[i].name));
        if (d < best) {
            best = d;
            nearest = &settings[i];
        }
    }
    return nearest;
}

static const struct {
    const char *unit;
    int64_t bytes;
} size_units[] = {
    {"GiB", 1024 * MIB},
    {"MiB", MIB},
    {"KiB", KIB},
    {"B", 1},
};

static enum err parse_size(struct view text, int64_t *ret_bytes)
{
    int64_t n = 0;
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, text.data[digits] - '0', &n)) {
            return ERR_RANGE;
        }
        digits++;
    }
    if (digits == 0) {
        return ERR_TYPE;
    }
    struct view unit = view_skip(text, digits);
    while (unit.len > 0 && unit.data[0] == ' ') {
        unit = view_skip(unit, 1);
    }
    int64_t factor = unit.len == 0 ? 1 : 0;
    for (size_t i = 0; i < COUNT_OF(size_units); i++) {
        if (view_eq_str(unit, size_units[i].unit)) {
            factor = size_units[i].bytes;
        }
    }
    if (factor == 0) {
        return ERR_TYPE;
    }
    return __builtin_mul_overflow(n, factor, ret_bytes) ? ERR_RANGE : ERR_OK;
}

static enum err parse_count(struct view text, int64_t *ret_count)
{
    bool negative = text.len > 1 && text.data[0] == '-';
    struct view digits = negative ? view_skip(text, 1) : text;
    int64_t n = 0;
    if (digits.len == 0) {
        return ERR_TYPE;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return ERR_TYPE;
        }
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, digits.data[i] - '0', &n)) {
            return ERR_RANGE;
        }
    }
    *ret_count = negative ? -n : n;
    return ERR_OK;
}

static enum err parse_time(struct view text, int64_t *ret_us)
{
    if (view_eq_str(text, "0")) {
        *ret_us = 0; /* zero needs no unit */
        return ERR_OK;
    }
    enum err e = clock_parse_duration(text, ret_us);
    return e == ERR_SYNTAX ? ERR_TYPE : e;
}

static enum err parse_any(const struct setting *s, struct view text, int64_t *ret_number)
{
    switch (s->type) {
    case SETTING_COUNT:
        return parse_count(text, ret_number);
    case SETTING_TIME:
        return parse_time(text, ret_number);
    case SETTING_SIZE:
        return parse_size(text, ret_number);
    case SETTING_BOOL:
        *ret_number = view_eq_str(text, "true");
        return *ret_number == 1 || view_eq_str(text, "false") ? ERR_OK : ERR_TYPE;
    case SETTING_TEXT:
        break;
    }
    CHECK(s->type != SETTING_TEXT);
    return ERR_TYPE;
}

static const char *type_words(enum setting_type type)
{
    switch (type) {
    case SETTING_COUNT:
        return "a whole number";
    case SETTING_BOOL:
        return "true or false";
    case SETTING_TIME:
        return "a time with its unit (us, ms, s, m, h, d, w), such as 90s or 2m";
    case SETTING_SIZE:
        return "a size (B, KiB, MiB, GiB), such as 256KiB";
    case SETTING_TEXT:
        break;
    }
    return "a text";
}

enum err setting_parse(const struct setting *s, struct view text, int64_t *ret_number,
                       char *ret_detail, size_t detail_size)
{
    int64_t number = 0;
    enum err e = parse_any(s, text, &number);
    if (e == ERR_OK && (number < s->min || number > s->max)) {
        e = ERR_RANGE;
    }
    if (e == ERR_OK) {
        *ret_number = number;
        return ERR_OK;
    }
    int shown = text.len > 40 ? 40 : (int)text.len;
    if (e == ERR_TYPE) {
        (void)snprintf(ret_detail, detail_size, "`%s` is \"%.*s\"; it takes %s", s->name, shown,
                       (const char *)text.data, type_words(s->type));
        return e;
    }
    struct buf range;
    buf_init(&range, 128);
    setting_format(s->type, s->min, &range);
    buf_put_str(&range, " to ");
    setting_format(s->type, s->max, &range);
    (void)snprintf(ret_detail, detail_size, "`%s` is %.*s; accepted: %.*s", s->name, shown,
                   (const char *)text.data, VIEW_ARG(buf_view(&range)));
    buf_fini(&range);
    return e;
}

void setting_format(enum setting_type type, int64_t number, struct buf *out)
{
    char text[CLOCK_TEXT_SIZE];
    switch (type) {
    case SETTING_TIME:
        buf_put_str(out, clock_format_duration(number, text));
        return;
    case SETTING_SIZE:
        for (size_t i = 0; i < COUNT_OF(size_units); i++) {
            if (number != 0 && number % size_units[i].bytes == 0) {
                buf_printf(out, "%lld%s", (long long)(number / size_units[i].bytes),
                           size_units[i].unit);
                return;
            }
        }
        buf_put_str(out, "0B");
        return;
    case SETTING_BOOL:
        buf_put_str(out, number != 0 ? "true" : "false");
        return;
    case SETTING_COUNT:
    case SETTING_TEXT:
        break;
    }
    buf_printf(out, "%lld", (long long)number);
}

char **setting_text_at(const struct setting *s, struct conf *c)
{
    CHECK(s->type == SETTING_TEXT);
    return (char **)(void *)((char *)c + s->offset);
}

int64_t setting_number_get(const struct setting *s, const struct conf *c)
{
    const char *at = (const char *)c + s->offset;
    if (s->type == SETTING_BOOL) {
        return *(const bool *)(const void *)at;
    }
    return *(const int64_t *)(const void *)at;
}

void setting_number_set(const struct setting *s, struct conf *c, int64_t number)
{
    char *at = (char *)c + s->offset;
    if (s->type == SETTING_BOOL) {
        *(bool *)(void *)at = number != 0;
        return;
    }
    *(int64_t *)(void *)at = number;
}
