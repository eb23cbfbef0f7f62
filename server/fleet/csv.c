/*
 * One pass over the bytes: cells are unquoted into `text`, and their ends remembered; views are
 * made when the row is complete, because `text` moves while it grows.
 */
#include "fleet/csv.h"

#include <stdbool.h>
#include <stdlib.h>

#include <zlib.h>

#include "base/buf.h"

enum { CHUNK_BYTES = 64 << 10 };

struct fleet_csv {
    gzFile file;
    enum err err;
    uint64_t line, row_line;
    int at, len; /* in chunk */
    struct buf text;
    uint32_t ends[FLEET_CSV_CELLS_MAX];
    struct view cells[FLEET_CSV_CELLS_MAX];
    uint32_t count;
    uint8_t chunk[CHUNK_BYTES];
};

enum err fleet_csv_open(const char *path, struct fleet_csv **ret_csv)
{
    struct fleet_csv *csv = calloc(1, sizeof(*csv));
    if (csv == NULL) {
        return ERR_NOMEM;
    }
    csv->file = gzopen(path, "rb"); /* reads plain files as they are */
    if (csv->file == NULL) {
        free(csv);
        return ERR_IO;
    }
    csv->line = 1;
    csv->row_line = 1;
    buf_init(&csv->text, FLEET_CSV_ROW_MAX);
    *ret_csv = csv;
    return ERR_OK;
}

void fleet_csv_close(struct fleet_csv *csv)
{
    if (csv != NULL) {
        (void)gzclose_r(csv->file);
        buf_fini(&csv->text);
        free(csv);
    }
}

uint64_t fleet_csv_line(const struct fleet_csv *csv)
{
    return csv->row_line;
}

enum { END = -1 };

/* The next byte without taking it, or END; a damaged file is an error, not an end. */
static int peek(struct fleet_csv *csv)
{
    if (csv->at == csv->len) {
        csv->at = 0;
        csv->len = gzread(csv->file, csv->chunk, CHUNK_BYTES);
        int code = Z_OK;
        (void)gzerror(csv->file, &code);
        if (csv->len < 0 || (csv->len == 0 && code != Z_OK && code != Z_STREAM_END)) {
            csv->len = 0;
            csv->err = ERR_IO;
        }
    }
    return csv->at == csv->len ? END : csv->chunk[csv->at];
}

static void skip(struct fleet_csv *csv)
{
    csv->line += csv->chunk[csv->at] == '\n' ? 1 : 0;
    csv->at++;
}

static void end_cell(struct fleet_csv *csv)
{
    if (csv->count == FLEET_CSV_CELLS_MAX) {
        csv->err = ERR_LIMIT;
        return;
    }
    csv->ends[csv->count++] = (uint32_t)csv->text.len;
}

/* Behind an opening quote, up to and with the closing one. */
static void read_quoted(struct fleet_csv *csv)
{
    for (int c = peek(csv); csv->err == ERR_OK; c = peek(csv)) {
        if (c == END) {
            csv->err = csv->err != ERR_OK ? csv->err : ERR_SYNTAX;
            return;
        }
        skip(csv);
        if (c == '"') {
            if (peek(csv) != '"') {
                c = peek(csv);
                bool ends = c == END || c == ',' || c == '\r' || c == '\n';
                csv->err = csv->err != ERR_OK || ends ? csv->err : ERR_SYNTAX;
                return;
            }
            skip(csv);
        }
        buf_put_u8(&csv->text, (uint8_t)c);
        csv->err = csv->err != ERR_OK ? csv->err : buf_err(&csv->text);
    }
}

static void read_plain(struct fleet_csv *csv)
{
    for (int c = peek(csv); c != END && c != ',' && c != '\n' && csv->err == ERR_OK;
         c = peek(csv)) {
        skip(csv);
        if (c == '\r' && (peek(csv) == '\n' || peek(csv) == END)) {
            return;
        }
        if (c == '"') {
            csv->err = ERR_SYNTAX;
            return;
        }
        buf_put_u8(&csv->text, (uint8_t)c);
        csv->err = csv->err != ERR_OK ? csv->err : buf_err(&csv->text);
    }
}

static void read_row(struct fleet_csv *csv)
{
    for (;;) {
        if (peek(csv) == '"') {
            skip(csv);
            read_quoted(csv);
            if (peek(csv) == '\r') {
                skip(csv);
            }
        } else {
            read_plain(csv);
        }
        if (csv->err == ERR_OK) {
            end_cell(csv);
        }
        int c = peek(csv);
        if (csv->err != ERR_OK || c == END) {
            return;
        }
        skip(csv);
        if (c != ',') {
            return;
        }
    }
}

static void skip_mark(struct fleet_csv *csv)
{
    if (peek(csv) == 0xEF && csv->len >= 3 && csv->chunk[1] == 0xBB && csv->chunk[2] == 0xBF) {
        csv->at = 3;
    }
}

enum err fleet_csv_next(struct fleet_csv *csv, struct fleet_csv_row *ret_row)
{
    if (csv->line == 1 && csv->at == 0 && csv->len == 0) {
        skip_mark(csv);
    }
    do {
        csv->count = 0;
        buf_clear(&csv->text);
        csv->row_line = csv->line;
        if (csv->err == ERR_OK && peek(csv) == END) {
            csv->err = csv->err == ERR_OK ? ERR_NOT_FOUND : csv->err;
        }
        if (csv->err != ERR_OK) {
            return csv->err;
        }
        read_row(csv);
        if (csv->err != ERR_OK) {
            return csv->err;
        }
    } while (csv->count == 1 && csv->ends[0] == 0); /* an empty line */
    uint32_t from = 0;
    for (uint32_t i = 0; i < csv->count; i++) {
        csv->cells[i] =
            view_of(csv->text.data == NULL ? (const uint8_t *)"" : csv->text.data + from,
                    csv->ends[i] - from);
        from = csv->ends[i];
    }
    *ret_row = (struct fleet_csv_row){.cells = csv->cells, .count = csv->count};
    return ERR_OK;
}
