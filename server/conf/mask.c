#include "conf/mask.h"

#include <strings.h>

#define MASK "***"

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_password_key(struct view key)
{
    return (key.len == 8 && strncasecmp((const char *)key.data, "password", 8) == 0) ||
           (key.len == 11 && strncasecmp((const char *)key.data, "sslpassword", 11) == 0);
}

static bool is_key(struct view key)
{
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')) {
            return false;
        }
    }
    return key.len > 0;
}

static size_t find_byte(struct view v, uint8_t c)
{
    const uint8_t *at = v.len == 0 ? NULL : memchr(v.data, c, v.len);
    return at == NULL ? v.len : (size_t)(at - v.data);
}

/* `?key=value&key=value` behind a URL. Keys with percent signs could spell anything: false. */
static bool mask_query(struct view query, struct buf *out)
{
    char separator = '?';
    while (query.len > 0) {
        struct view pair = view_of(query.data, find_byte(query, '&'));
        query = view_skip(query, pair.len < query.len ? pair.len + 1 : pair.len);
        struct view key = view_of(pair.data, find_byte(pair, '='));
        if (!is_key(key)) {
            return false;
        }
        buf_printf(out, "%c%.*s", separator, VIEW_ARG(is_password_key(key) ? key : pair));
        if (is_password_key(key)) {
            buf_put_str(out, "=" MASK);
        }
        separator = '&';
    }
    return true;
}

/* postgresql://user:password@host… A URL where more than one reading is possible (a second @, a /
 * or ? before the @) is not shown at all. */
static bool mask_url(struct view url, struct view prefix, struct buf *out)
{
    struct view rest = view_skip(url, prefix.len);
    buf_put_view(out, prefix);
    size_t at = find_byte(rest, '@');
    if (at < rest.len) {
        struct view user = view_of(rest.data, at);
        rest = view_skip(rest, at + 1);
        if (find_byte(user, '/') < user.len || find_byte(user, '?') < user.len ||
            find_byte(rest, '@') < rest.len) {
            return false;
        }
        size_t colon = find_byte(user, ':');
        buf_put(out, user.data, colon);
        buf_put_str(out, colon < user.len ? ":" MASK "@" : "@");
    }
    size_t question = find_byte(rest, '?');
    buf_put(out, rest.data, question);
    return question == rest.len || mask_query(view_skip(rest, question + 1), out);
}

/* Length of the value at the start of v, as libpq reads it: quoted, or up to white space; 0: not
 * closed. */
static size_t value_length(struct view v)
{
    bool quoted = v.len > 0 && v.data[0] == '\'';
    for (size_t i = quoted ? 1 : 0; i < v.len; i++) {
        if (v.data[i] == '\\' && i + 1 < v.len) {
            i++;
        } else if (quoted && v.data[i] == '\'') {
            return i + 1;
        } else if (!quoted && is_space(v.data[i])) {
            return i;
        }
    }
    return quoted ? 0 : v.len;
}

static struct view skip_space(struct view v)
{
    while (v.len > 0 && is_space(v.data[0])) {
        v = view_skip(v, 1);
    }
    return v;
}

/* key=value key = 'value' … */
static bool mask_keywords(struct view v, struct buf *out)
{
    for (v = skip_space(v); v.len > 0; v = skip_space(v)) {
        size_t key_len = 0;
        while (key_len < v.len && v.data[key_len] != '=' && !is_space(v.data[key_len])) {
            key_len++;
        }
        struct view key = view_of(v.data, key_len);
        v = skip_space(view_skip(v, key_len));
        if (!is_key(key) || v.len == 0 || v.data[0] != '=') {
            return false;
        }
        v = skip_space(view_skip(v, 1));
        size_t len = value_length(v);
        if (len == 0 && v.len > 0) {
            return false;
        }
        buf_put_str(out, out->len > 0 ? " " : "");
        buf_put_view(out, key);
        buf_put_str(out, "=");
        if (is_password_key(key)) {
            buf_put_str(out, MASK);
        } else {
            buf_put(out, v.data, len);
        }
        v = view_skip(v, len);
    }
    return true;
}

void conf_mask(struct view secret, struct buf *out)
{
    bool done = false;
    if (view_starts(secret, VIEW("postgresql://"))) {
        done = mask_url(secret, VIEW("postgresql://"), out);
    } else if (view_starts(secret, VIEW("postgres://"))) {
        done = mask_url(secret, VIEW("postgres://"), out);
    } else {
        done = mask_keywords(secret, out);
    }
    if (!done || buf_err(out) != ERR_OK) {
        buf_clear(out);
        buf_put_str(out, MASK);
    }
}
