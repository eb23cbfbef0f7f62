#include "app/cli_table.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/check.h"
#include "base/utf8.h"

enum { TABLE_GAP = 2, TABLE_TEXT_MAX = 256 * 1024 * 1024 };

void cli_table_init(struct cli_table *t, int columns, const char *const *heads)
{
    CHECK(columns > 0 && columns <= CLI_COLUMNS_MAX);
    *t = (struct cli_table){.columns = columns};
    buf_init(&t->text, TABLE_TEXT_MAX);
    for (int i = 0; i < columns; i++) {
        t->heads[i] = heads[i];
    }
}

void cli_table_fini(struct cli_table *t)
{
    buf_fini(&t->text);
    free(t->at);
    *t = (struct cli_table){0};
}

void cli_table_cell(struct cli_table *t, const char *text)
{
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        size_t *at = realloc(t->at, cap * sizeof(*at));
        if (at == NULL) {
            t->text.err = ERR_NOMEM;
            return;
        }
        t->at = at;
        t->cap = cap;
    }
    t->at[t->count] = t->text.len;
    cli_text_clean(&t->text, text == NULL || text[0] == '\0' ? "-" : text, 0);
    buf_put_u8(&t->text, 0);
    if (buf_err(&t->text) == ERR_OK) {
        t->count++;
    }
}

/* Bytes of the character at s; 0: one byte that is no UTF-8. */
static size_t character(const char *s)
{
    const uint8_t *b = (const uint8_t *)s;
    size_t len = b[0] < 0x80 ? 1 : b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
    return strnlen(s, len) == len && utf8_valid(view_of(b, len)) ? len : 0;
}

int cli_text_width(const char *text)
{
    int n = 0;
    while (*text != '\0') {
        size_t len = character(text);
        text += len == 0 ? 1 : len;
        n++;
    }
    return n;
}

void cli_text_clean(struct buf *out, const char *text, int columns)
{
    bool cut = columns > 0 && cli_text_width(text) > columns;
    for (int n = cut ? columns - 1 : -1; *text != '\0' && n != 0; n--) {
        const uint8_t *b = (const uint8_t *)text;
        size_t len = character(text);
        bool control = b[0] < 0x20 || b[0] == 0x7F || (len == 2 && b[0] == 0xC2 && b[1] < 0xA0);
        if (len == 0 || control) {
            buf_put_u8(out, b[0] == '\n' || b[0] == '\t' ? ' ' : '?');
        } else {
            buf_put(out, b, len);
        }
        text += len == 0 ? 1 : len;
    }
    if (cut) {
        buf_put_str(out, "\xE2\x80\xA6");
    }
}

static void measure(const struct cli_table *t, int widths[CLI_COLUMNS_MAX])
{
    for (int i = 0; i < t->columns; i++) {
        widths[i] = cli_text_width(t->heads[i]);
    }
    for (size_t k = 0; k < t->count; k++) {
        int w = cli_text_width((const char *)t->text.data + t->at[k]);
        int i = (int)(k % (size_t)t->columns);
        widths[i] = w > widths[i] ? w : widths[i];
    }
}

/* Takes from the widest column until the row fits, and leaves every column eight characters. */
static void squeeze(const struct cli_table *t, int width, int widths[CLI_COLUMNS_MAX])
{
    CHECK(t->columns > 0 && t->columns <= CLI_COLUMNS_MAX);
    int total = TABLE_GAP * (t->columns - 1);
    for (int i = 0; i < t->columns; i++) {
        total += widths[i];
    }
    for (; width > 0 && total > width; total--) {
        int widest = 0;
        for (int i = 1; i < t->columns; i++) {
            widest = widths[i] >= widths[widest] ? i : widest;
        }
        if (widths[widest] <= 8) {
            return;
        }
        widths[widest]--;
    }
}

static void put_row(const struct cli_table *t, const int *widths, const char *const *cells,
                    struct buf *out)
{
    for (int i = 0; i < t->columns; i++) {
        cli_text_clean(out, cells[i], widths[i]);
        int pad = i + 1 == t->columns ? 0 : widths[i] - cli_text_width(cells[i]);
        pad = pad < 0 ? 0 : pad;
        buf_printf(out, "%*s", i + 1 == t->columns ? 0 : pad + TABLE_GAP, "");
    }
}

void cli_table_write(const struct cli_table *t, struct cli_style style, struct buf *out)
{
    int widths[CLI_COLUMNS_MAX] = {0};
    if (buf_err(&t->text) != ERR_OK) {
        buf_put_str(out, "(not enough memory for the table)\n");
        return;
    }
    measure(t, widths);
    squeeze(t, style.width, widths);
    buf_put_str(out, style.color ? "\x1b[1m" : "");
    put_row(t, widths, t->heads, out);
    buf_put_str(out, style.color ? "\x1b[0m\n" : "\n");
    for (size_t k = 0; k + (size_t)t->columns <= t->count; k += (size_t)t->columns) {
        const char *cells[CLI_COLUMNS_MAX];
        for (int i = 0; i < t->columns; i++) {
            cells[i] = (const char *)t->text.data + t->at[k + (size_t)i];
        }
        put_row(t, widths, cells, out);
        buf_put_str(out, "\n");
    }
}

struct cli_style cli_style_of(FILE *out)
{
    struct cli_style style = {0};
    const char *no_color = getenv("NO_COLOR");
    const char *columns = getenv("COLUMNS");
    const char *term = getenv("TERM");
    struct winsize size;
    if (isatty(fileno(out)) == 0) {
        return style;
    }
    style.color = (no_color == NULL || no_color[0] == '\0') &&
                  (term == NULL || strcmp(term, "dumb") != 0); /* no-color.org */
    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0) {
        style.width = size.ws_col;
    }
    if (columns != NULL) {
        char *end = NULL;
        unsigned long n = strtoul(columns, &end, 10);
        style.width =
            end != columns && *end == '\0' && n >= 20 && n <= 10000 ? (int)n : style.width;
    }
    return style;
}

void cli_table_print(const struct cli_table *t)
{
    struct buf out;
    buf_init(&out, TABLE_TEXT_MAX);
    cli_table_write(t, cli_style_of(stdout), &out);
    (void)fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
}
