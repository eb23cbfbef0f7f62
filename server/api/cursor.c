#include "api/cursor.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/utf8.h"

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { CURSOR_PLAIN_MAX = 2 + 21 + 21 + API_CURSOR_NAME_MAX + 1 };

char *api_cursor_write(const struct api_cursor *c, char ret_text[static API_CURSOR_TEXT_SIZE])
{
    char plain[CURSOR_PLAIN_MAX + 1];
    int len = snprintf(plain, sizeof(plain), "%c:%lld:%lld:%s", c->tag, (long long)c->a,
                       (long long)c->b, c->name);
    size_t n = len < 0 ? 0 : (size_t)len;
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t left = (uint32_t)(n - i < 3 ? n - i : 3);
        uint32_t bits = (uint32_t)(uint8_t)plain[i] << 16;
        bits |= left > 1 ? (uint32_t)(uint8_t)plain[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint8_t)plain[i + 2] : 0;
        for (uint32_t k = 0; k <= left; k++) {
            ret_text[at++] = base64url[bits >> (18 - 6 * k) & 63];
        }
    }
    ret_text[at] = '\0';
    return ret_text;
}

/* The plain bytes, or 0 when the text is no base64url or too long. */
static size_t cursor_decode(struct view text, char *ret_plain, size_t size)
{
    uint32_t bits = 0;
    uint32_t have = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.data[i] == 0 ? NULL : strchr(base64url, text.data[i]);
        if (at == NULL || n == size) {
            return 0;
        }
        bits = (bits << 6 | (uint32_t)(at - base64url)) & 0xFFFFFF;
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret_plain[n++] = (char)(bits >> have & 0xFF);
        }
    }
    return n;
}

static struct view cursor_field(struct view *left)
{
    const uint8_t *colon = left->len == 0 ? NULL : memchr(left->data, ':', left->len);
    if (colon == NULL) {
        *left = view_of(NULL, 0);
        return view_of(NULL, 0);
    }
    struct view field = view_of(left->data, (size_t)(colon - left->data));
    *left = view_skip(*left, field.len + 1);
    return field;
}

enum err api_cursor_read(struct view text, char tag, struct api_cursor *ret_cursor)
{
    char plain[CURSOR_PLAIN_MAX];
    size_t n = cursor_decode(text, plain, sizeof(plain));
    struct view left = view_of(plain, n);
    if (n < 2 || plain[0] != tag || plain[1] != ':') {
        return ERR_MALFORMED;
    }
    left = view_skip(left, 2);
    struct api_cursor c = {.tag = tag};
    enum err e = api_int_parse(cursor_field(&left), &c.a);
    if (e == ERR_OK) {
        e = api_int_parse(cursor_field(&left), &c.b);
    }
    if (e != ERR_OK || left.data == NULL || left.len > API_CURSOR_NAME_MAX ||
        (left.len > 0 && memchr(left.data, 0, left.len) != NULL) || !utf8_valid(left)) {
        return ERR_MALFORMED;
    }
    (void)view_copy(left, c.name, sizeof(c.name));
    *ret_cursor = c;
    return ERR_OK;
}

enum err api_int_parse(struct view text, int64_t *ret_value)
{
    bool minus = text.len > 0 && text.data[0] == '-';
    size_t i = minus ? 1 : 0;
    if (i == text.len) {
        return ERR_SYNTAX;
    }
    int64_t v = 0;
    for (; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return ERR_SYNTAX;
        }
        int digit = text.data[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, minus ? -digit : digit, &v)) {
            return ERR_RANGE;
        }
    }
    *ret_value = v;
    return ERR_OK;
}

static enum err time_in_range(int64_t us, int64_t *ret_us)
{
    if (us < CLOCK_MIN_US || us > CLOCK_MAX_US) {
        return ERR_RANGE;
    }
    *ret_us = us;
    return ERR_OK;
}

/* "-1h", "+5m" beside now. */
static enum err time_relative(struct view text, int64_t now_us, int64_t *ret_us)
{
    int64_t by_us = 0;
    enum err e = clock_parse_duration(view_skip(text, 1), &by_us);
    if (e != ERR_OK) {
        return e;
    }
    return time_in_range(text.data[0] == '-' ? now_us - by_us : now_us + by_us, ret_us);
}

enum err api_time_parse(struct view text, int64_t now_us, int64_t *ret_us)
{
    if (text.len == 0) {
        return ERR_SYNTAX;
    }
    struct view left = text;
    if (view_starts(text, VIEW("now"))) {
        left = view_skip(text, 3);
        if (left.len == 0) {
            return time_in_range(now_us, ret_us);
        }
    }
    /* A plus sign that was not escaped arrives as a space. */
    if (left.data[0] == '-' || left.data[0] == '+' ||
        (left.len < text.len && left.data[0] == ' ')) {
        return time_relative(left, now_us, ret_us);
    }
    if (left.len < text.len) {
        return ERR_SYNTAX;
    }
    int64_t ms = 0;
    enum err e = api_int_parse(text, &ms);
    if (e == ERR_OK) {
        return ms > CLOCK_MAX_US / CLOCK_MS_US ? ERR_RANGE
                                               : time_in_range(ms * CLOCK_MS_US, ret_us);
    }
    if (e == ERR_RANGE) {
        return ERR_RANGE;
    }
    char fixed[CLOCK_TEXT_SIZE];
    if (!view_copy(text, fixed, sizeof(fixed))) {
        return ERR_SYNTAX;
    }
    for (size_t i = 19; i < text.len; i++) {
        if (fixed[i] == ' ') {
            fixed[i] = '+'; /* the same for the zone of an RFC 3339 time */
        }
    }
    return clock_parse(view_of(fixed, text.len), ret_us);
}
