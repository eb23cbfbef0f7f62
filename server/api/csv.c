#include "api/csv.h"

#include "base/utf8.h"

struct api_csv api_csv_init(struct view text)
{
    struct view bom = VIEW("\xEF\xBB\xBF");
    return (struct api_csv){.left = view_starts(text, bom) ? view_skip(text, bom.len) : text,
                            .next_line = 1};
}

/* Takes a quoted field up to and including its closing quote; *ret_len of the text in `out`. */
static enum err csv_quoted(struct api_csv *c, uint8_t *out, size_t *ret_len)
{
    size_t i = 1;
    size_t n = 0;
    for (;; i++) {
        if (i >= c->left.len) {
            c->left = view_skip(c->left, c->left.len);
            return ERR_SHORT;
        }
        uint8_t b = c->left.data[i];
        if (b == '"') {
            if (i + 1 < c->left.len && c->left.data[i + 1] == '"') {
                i++;
            } else {
                break;
            }
        }
        c->next_line += b == '\n';
        out[n++] = b;
    }
    c->left = view_skip(c->left, i + 1);
    *ret_len = n;
    return ERR_OK;
}

static enum err csv_plain(struct api_csv *c, uint8_t *out, size_t *ret_len)
{
    size_t n = 0;
    enum err e = ERR_OK;
    while (n < c->left.len && c->left.data[n] != ',' && c->left.data[n] != '\n' &&
           c->left.data[n] != '\r') {
        e = c->left.data[n] == '"' ? ERR_MALFORMED : e;
        out[n] = c->left.data[n];
        n++;
    }
    c->left = view_skip(c->left, n);
    *ret_len = n;
    return e;
}

/* True: the record ended. */
static bool csv_record_end(struct api_csv *c)
{
    if (c->left.len > 1 && c->left.data[0] == '\r' && c->left.data[1] == '\n') {
        c->left = view_skip(c->left, 1);
    }
    if (c->left.len > 0 && c->left.data[0] == '\n') {
        c->left = view_skip(c->left, 1);
        c->next_line++;
        return true;
    }
    return c->left.len == 0;
}

static void csv_skip_record(struct api_csv *c)
{
    while (!csv_record_end(c)) {
        c->left = view_skip(c->left, 1);
    }
}

/* How much of the rest one field can need: up to the end of its line, or of its quotes. */
static size_t csv_room(const struct api_csv *c)
{
    if (c->left.len > 0 && c->left.data[0] == '"') {
        size_t i = 1;
        while (i < c->left.len &&
               (c->left.data[i] != '"' || (i + 1 < c->left.len && c->left.data[i + 1] == '"'))) {
            i += c->left.data[i] == '"' ? 2 : 1;
        }
        return i < c->left.len ? i : c->left.len;
    }
    const uint8_t *end = c->left.len == 0 ? NULL : memchr(c->left.data, '\n', c->left.len);
    size_t line = end == NULL ? c->left.len : (size_t)(end - c->left.data);
    const uint8_t *comma = line == 0 ? NULL : memchr(c->left.data, ',', line);
    return comma == NULL ? line : (size_t)(comma - c->left.data);
}

static enum err csv_field(struct api_csv *c, struct arena *a, struct view *ret_field)
{
    uint8_t *out = arena_alloc(a, csv_room(c) + 1);
    if (out == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    bool quoted = c->left.len > 0 && c->left.data[0] == '"';
    enum err e = quoted ? csv_quoted(c, out, &n) : csv_plain(c, out, &n);
    if (e != ERR_OK) {
        return e;
    }
    out[n] = 0;
    if (n > 0 && memchr(out, 0, n) != NULL) {
        return ERR_MALFORMED;
    }
    *ret_field = view_of(out, n);
    return utf8_valid(*ret_field) ? ERR_OK : ERR_UTF8;
}

enum err api_csv_next(struct api_csv *c, struct arena *a, struct view *ret_fields,
                      uint32_t *ret_count)
{
    c->line = c->next_line;
    if (c->left.len == 0) {
        return ERR_SKIP;
    }
    uint32_t n = 0;
    enum err e = ERR_OK;
    for (;;) {
        if (n == API_CSV_FIELDS_MAX) {
            e = ERR_LIMIT;
            break;
        }
        e = csv_field(c, a, &ret_fields[n]);
        if (e != ERR_OK) {
            break;
        }
        n++;
        if (csv_record_end(c)) {
            *ret_count = n;
            return ERR_OK;
        }
        if (c->left.data[0] != ',') {
            e = ERR_MALFORMED;
            break;
        }
        c->left = view_skip(c->left, 1);
        if (c->left.len == 0) { /* "a," at the very end: one more, empty field */
            if (n == API_CSV_FIELDS_MAX) {
                return ERR_LIMIT;
            }
            ret_fields[n++] = VIEW("");
            *ret_count = n;
            return ERR_OK;
        }
    }
    csv_skip_record(c);
    return e;
}
