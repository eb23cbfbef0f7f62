/*
 * diff: the longest common subsequence of the lines between the common head and the common tail, by
 * dynamic programming; then runs of changes with their context.
 */
#include "base/diff.h"

#include <stdint.h>
#include <stdlib.h>

enum { CONTEXT = 3 };

struct lines {
    struct view *items;
    uint32_t count;
};

/* One line of the result: ' ', '-' or '+', and its place in each text before it. */
struct edit {
    char kind;
    struct view line;
    uint32_t from, to;
};

static struct lines split(struct view text)
{
    struct lines l = {.items = NULL};
    uint32_t count = text.len > 0;
    for (size_t i = 0; i + 1 < text.len; i++) {
        count += text.data[i] == '\n';
    }
    l.items = calloc((size_t)count + 1, sizeof(*l.items));
    for (size_t at = 0; l.items != NULL && at < text.len;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        size_t len = end == NULL ? text.len - at : (size_t)(end - text.data) - at;
        l.items[l.count++] = view_of(text.data + at, len);
        at += len + 1;
    }
    return l;
}

static void push(struct edit *edits, uint32_t *n, char kind, struct view line, uint32_t *i,
                 uint32_t *k)
{
    edits[(*n)++] = (struct edit){.kind = kind, .line = line, .from = *i, .to = *k};
    *i += kind != '+';
    *k += kind != '-';
}

/* lengths[i * (m + 1) + k]: of the common subsequence of a[i..] and b[k..]. NULL: no memory. */
static uint16_t *common(const struct view *a, uint32_t n, const struct view *b, uint32_t m)
{
    uint16_t *lengths = calloc((size_t)(n + 1) * (m + 1), sizeof(*lengths));
    for (uint32_t i = n; lengths != NULL && i-- > 0;) {
        for (uint32_t k = m; k-- > 0;) {
            uint16_t *at = &lengths[(size_t)i * (m + 1) + k];
            uint16_t down = at[m + 1];
            uint16_t right = at[1];
            *at = view_eq(a[i], b[k]) ? (uint16_t)(at[m + 2] + 1) : down > right ? down : right;
        }
    }
    return lengths;
}

/* Returns the number of edits; they have room for all lines of both. */
static uint32_t compare(const struct lines *a, const struct lines *b, struct edit *edits)
{
    uint32_t n = 0;
    uint32_t i = 0;
    uint32_t k = 0;
    uint32_t a_end = a->count;
    uint32_t b_end = b->count;
    while (i < a_end && i < b_end && view_eq(a->items[i], b->items[i])) {
        push(edits, &n, ' ', a->items[i], &i, &k);
    }
    while (a_end > i && b_end > k && view_eq(a->items[a_end - 1], b->items[b_end - 1])) {
        a_end--;
        b_end--;
    }
    uint32_t rows = a_end - i;
    uint32_t columns = b_end - k;
    bool small = rows <= DIFF_LINES_MAX && columns <= DIFF_LINES_MAX;
    uint16_t *lengths = small ? common(a->items + i, rows, b->items + k, columns) : NULL;
    uint32_t i0 = i;
    uint32_t k0 = k;
    while (i < a_end || k < b_end) {
        const uint16_t *at =
            lengths == NULL ? NULL : &lengths[(size_t)(i - i0) * (columns + 1) + (k - k0)];
        if (at != NULL && i < a_end && k < b_end && view_eq(a->items[i], b->items[k])) {
            push(edits, &n, ' ', a->items[i], &i, &k);
        } else if (i < a_end && (k == b_end || at == NULL || at[columns + 1] >= at[1])) {
            push(edits, &n, '-', a->items[i], &i, &k);
        } else {
            push(edits, &n, '+', b->items[k], &i, &k);
        }
    }
    free(lengths);
    while (i < a->count) {
        push(edits, &n, ' ', a->items[i], &i, &k);
    }
    return n;
}

/* The edits [first, end) as one hunk. */
static void write_hunk(const struct edit *edits, uint32_t first, uint32_t end, struct buf *out)
{
    uint32_t from = 0;
    uint32_t to = 0;
    for (uint32_t i = first; i < end; i++) {
        from += edits[i].kind != '+';
        to += edits[i].kind != '-';
    }
    buf_printf(out, "@@ -%u,%u +%u,%u @@\n", edits[first].from + (from > 0), from,
               edits[first].to + (to > 0), to);
    for (uint32_t i = first; i < end; i++) {
        buf_put_u8(out, (uint8_t)edits[i].kind);
        buf_put_view(out, edits[i].line);
        buf_put_u8(out, '\n');
    }
}

static void write_hunks(const struct edit *edits, uint32_t count, struct buf *out)
{
    uint32_t at = 0;
    while (at < count) {
        if (edits[at].kind == ' ') {
            at++;
            continue;
        }
        uint32_t first = at < CONTEXT ? 0 : at - CONTEXT;
        uint32_t last = at; /* the newest change of this hunk */
        while (at < count && at - last <= 2 * CONTEXT) {
            last = edits[at].kind == ' ' ? last : at;
            at++;
        }
        uint32_t end = last + 1 + CONTEXT < count ? last + 1 + CONTEXT : count;
        write_hunk(edits, first, end, out);
        at = end;
    }
}

void diff_unified(const char *from_name, struct view from, const char *to_name, struct view to,
                  struct buf *out)
{
    if (view_eq(from, to)) {
        return;
    }
    struct lines a = split(from);
    struct lines b = split(to);
    struct edit *edits = calloc((size_t)a.count + b.count + 1, sizeof(*edits));
    if (a.items == NULL || b.items == NULL || edits == NULL) {
        out->err = out->err == ERR_OK ? ERR_NOMEM : out->err;
    } else {
        buf_printf(out, "--- %s\n+++ %s\n", from_name, to_name);
        write_hunks(edits, compare(&a, &b, edits), out);
    }
    free(edits);
    free(a.items);
    free(b.items);
}
