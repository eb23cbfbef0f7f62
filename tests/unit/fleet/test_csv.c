#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <zlib.h>

#include "base/check.h"
#include "fleet/csv.h"

/* A file of its own for each text; the caller unlinks it. */
static void write_file(char *path, const char *text, size_t len, bool gz)
{
    (void)snprintf(path, 64, "/tmp/test_fleet_csv_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    if (gz) {
        gzFile f = gzdopen(fd, "wb");
        cr_assert_eq(gzwrite(f, text, (unsigned)len), (int)len);
        cr_assert_eq(gzclose(f), Z_OK);
        return;
    }
    cr_assert_eq(write(fd, text, len), (ssize_t)len);
    cr_assert_eq(close(fd), 0);
}

/* All rows as text: cells joined with '|', rows with '/'; ends with '!' and the error's line if
 * there was one. */
static void read_back(const char *text, size_t len, bool gz, char *out, size_t size)
{
    char path[64];
    write_file(path, text, len, gz);
    struct fleet_csv *csv = NULL;
    cr_assert_eq(fleet_csv_open(path, &csv), ERR_OK);
    struct fleet_csv_row row;
    size_t at = 0;
    out[0] = '\0';
    enum err e;
    while ((e = fleet_csv_next(csv, &row)) == ERR_OK) {
        for (uint32_t i = 0; i < row.count; i++) {
            at += (size_t)snprintf(out + at, size - at, "%s%.*s", i == 0 ? "" : "|",
                                   VIEW_ARG(row.cells[i]));
        }
        at += (size_t)snprintf(out + at, size - at, "/");
    }
    if (e != ERR_NOT_FOUND) {
        (void)snprintf(out + at, size - at, "!%llu", (unsigned long long)fleet_csv_line(csv));
    }
    cr_expect_eq(fleet_csv_next(csv, &row), e, "the end and errors are sticky");
    fleet_csv_close(csv);
    cr_assert_eq(unlink(path), 0);
}

Test(csv, rows_come_back_as_rfc_4180_means_them_plain_and_gzip)
{
    static const struct {
        const char *text, *want, *why;
    } cases[] = {
        {"", "", "an empty file has no rows"},
        {"a,b\n1,2\n", "a|b/1|2/", "plain"},
        {"a,b\n1,2", "a|b/1|2/", "no line end at the end"},
        {"a,b\r\n1,2\r\n", "a|b/1|2/", "CRLF"},
        {"a,b\r\n1,2\r", "a|b/1|2/", "CR alone before the end"},
        {"a\rb,c\n", "a\rb|c/", "a CR inside a cell is text"},
        {"\xEF\xBB\xBFts,x\n", "ts|x/", "byte order mark"},
        {"a,,b,\n", "a||b|/", "empty cells"},
        {"\n\na\n\n", "a/", "empty lines"},
        {"\"a,b\",\"c\"\"d\"\n", "a,b|c\"d/", "quotes, doubled quotes, comma in quotes"},
        {"\"a\nb\",c\nd,e\n", "a\nb|c/d|e/", "a line end in quotes"},
        {"\"\",x\n", "|x/", "an empty quoted cell"},
        {"\"\"\n", "", "one empty cell is an empty line"},
        {"\"a\"\r\n\"b\"\r\n", "a/b/", "CRLF behind quotes"},
        {"x\na,\"b\n", "x/!2", "a quote that is never closed"},
        {"x\ny\n\"a\"b,c\n", "x/y/!3", "text behind a closing quote"},
        {"x\n\"1\n2\",a\nc\"d\n", "x/1\n2|a/!4",
         "a quote inside a plain cell; lines count through quotes"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int gz = 0; gz < 2; gz++) {
            char got[256];
            read_back(cases[i].text, strlen(cases[i].text), gz == 1, got, sizeof(got));
            cr_expect_str_eq(got, cases[i].want, "%s (%s)", cases[i].why, gz ? "gzip" : "plain");
        }
    }
}

Test(csv, rows_across_the_chunks_of_the_reader_are_whole)
{
    enum { ROWS = 20000 };
    char *text = malloc(ROWS * 24);
    cr_assert_not_null(text);
    size_t len = 0;
    for (int i = 0; i < ROWS; i++) {
        len += (size_t)snprintf(text + len, 24, "%d,\"q\"\"%d\"\r\n", i, i);
    }
    char path[64];
    write_file(path, text, len, true);
    struct fleet_csv *csv = NULL;
    struct fleet_csv_row row;
    cr_assert_eq(fleet_csv_open(path, &csv), ERR_OK);
    for (int i = 0; i < ROWS; i++) {
        char want[2][16];
        cr_assert_eq(fleet_csv_next(csv, &row), ERR_OK);
        cr_assert_eq(row.count, 2);
        (void)snprintf(want[0], sizeof(want[0]), "%d", i);
        (void)snprintf(want[1], sizeof(want[1]), "q\"%d", i);
        cr_assert(view_eq_str(row.cells[0], want[0]) && view_eq_str(row.cells[1], want[1]),
                  "row %d", i);
        cr_assert_eq(fleet_csv_line(csv), (uint64_t)i + 1);
    }
    cr_expect_eq(fleet_csv_next(csv, &row), ERR_NOT_FOUND);
    fleet_csv_close(csv);
    (void)unlink(path);
    free(text);
}

Test(csv, what_is_damaged_or_too_large_is_an_error_and_not_an_end)
{
    char path[64];
    struct fleet_csv *csv = NULL;
    struct fleet_csv_row row;
    cr_expect_eq(fleet_csv_open("/nonexistent/file.csv", &csv), ERR_IO);
    cr_expect_null(csv, "output touched on failure");

    /* A gzip file cut in the middle. */
    char text[4096];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + (i * i * 31 + i / 7) % 23);
    }
    write_file(path, text, sizeof(text), true);
    cr_assert_eq(truncate(path, 40), 0);
    cr_assert_eq(fleet_csv_open(path, &csv), ERR_OK);
    cr_expect_eq(fleet_csv_next(csv, &row), ERR_IO);
    fleet_csv_close(csv);
    (void)unlink(path);

    char *long_row = malloc(FLEET_CSV_ROW_MAX + 2);
    cr_assert_not_null(long_row);
    memset(long_row, 'x', FLEET_CSV_ROW_MAX + 2);
    write_file(path, long_row, FLEET_CSV_ROW_MAX + 2, false);
    cr_assert_eq(fleet_csv_open(path, &csv), ERR_OK);
    cr_expect_eq(fleet_csv_next(csv, &row), ERR_LIMIT);
    fleet_csv_close(csv);
    (void)unlink(path);

    memset(long_row, ',', FLEET_CSV_CELLS_MAX + 1);
    write_file(path, long_row, FLEET_CSV_CELLS_MAX + 1, false);
    cr_assert_eq(fleet_csv_open(path, &csv), ERR_OK);
    cr_expect_eq(fleet_csv_next(csv, &row), ERR_LIMIT);
    fleet_csv_close(csv);
    (void)unlink(path);
    free(long_row);
}
