#include "api/query.h"

#include "base/utf8.h"

/* -1: no hexadecimal digit. */
static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum err api_query_decode(struct view text, bool plus_is_space, struct arena *a,
                          struct view *ret_text)
{
    uint8_t *out = arena_alloc(a, text.len + 1);
    if (out == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            int high = text.len - i > 2 ? hex_digit(text.data[i + 1]) : -1;
            int low = text.len - i > 2 ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return ERR_MALFORMED;
            }
            c = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7F) {
            return ERR_MALFORMED;
        }
        out[n++] = c;
    }
    out[n] = 0;
    if (!utf8_valid(view_of(out, n))) {
        return ERR_UTF8;
    }
    *ret_text = view_of(out, n);
    return ERR_OK;
}

/* Cuts *left at the first `mark`; what came before it is returned. */
static struct view cut_at(struct view *left, char mark)
{
    const uint8_t *at = left->len == 0 ? NULL : memchr(left->data, mark, left->len);
    if (at == NULL) {
        struct view all = *left;
        *left = view_skip(*left, left->len);
        return all;
    }
    size_t n = (size_t)(at - left->data);
    struct view piece = view_of(left->data, n);
    *left = view_skip(*left, n + 1);
    return piece;
}

static enum err parse_segment(struct view text, struct arena *a, struct api_query *q)
{
    if (q->segment_count == API_SEGMENTS_MAX) {
        return ERR_LIMIT;
    }
    struct view segment = {NULL, 0};
    enum err e = api_query_decode(text, false, a, &segment);
    if (e != ERR_OK) {
        return e;
    }
    if (segment.len == 0 || view_eq_str(segment, ".") || view_eq_str(segment, "..")) {
        return ERR_MALFORMED;
    }
    q->segments[q->segment_count++] = segment;
    return ERR_OK;
}

static enum err parse_param(struct view text, struct arena *a, struct api_query *q)
{
    if (q->param_count == API_PARAMS_MAX) {
        return ERR_LIMIT;
    }
    struct view value = text;
    struct view name = cut_at(&value, '=');
    struct api_param p = {.name = name};
    enum err e = api_query_decode(name, true, a, &p.name);
    if (e == ERR_OK) {
        e = api_query_decode(value, true, a, &p.value);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (p.name.len == 0) {
        return ERR_MALFORMED;
    }
    q->params[q->param_count++] = p;
    return ERR_OK;
}

enum err api_query_parse(struct view target, struct arena *a, struct api_query *ret_query)
{
    if (target.len > API_TARGET_MAX) {
        return ERR_LIMIT;
    }
    if (target.len == 0 || target.data[0] != '/') {
        return ERR_MALFORMED;
    }
    struct api_query *q = arena_zalloc(a, sizeof(*q));
    if (q == NULL) {
        return ERR_NOMEM;
    }
    struct view params = target;
    struct view path = view_skip(cut_at(&params, '?'), 1);
    enum err e = ERR_OK;
    while (e == ERR_OK && path.len > 0) {
        bool last = memchr(path.data, '/', path.len) == NULL;
        e = parse_segment(cut_at(&path, '/'), a, q);
        if (e == ERR_OK && !last && path.len == 0) {
            e = ERR_MALFORMED; /* a slash at the end names nothing */
        }
    }
    while (e == ERR_OK && params.len > 0) {
        struct view piece = cut_at(&params, '&');
        e = piece.len == 0 ? ERR_OK : parse_param(piece, a, q);
    }
    if (e == ERR_OK) {
        *ret_query = *q;
    }
    return e;
}

struct view api_query_get(const struct api_query *q, const char *name)
{
    for (uint32_t i = 0; i < q->param_count; i++) {
        if (view_eq_str(q->params[i].name, name)) {
            return q->params[i].value;
        }
    }
    return (struct view){NULL, 0};
}
