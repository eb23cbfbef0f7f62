/*
 * cli_table: rows of texts, aligned. On a terminal the heading stands out and no line is longer
 * than it is wide; elsewhere everything is printed whole. Control characters never get through:
 * what is shown comes from devices.
 *
 * Ownership: cells are copied. Errors: sticky; a table that ran out of memory says so in place of
 * its rows.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"

enum { CLI_COLUMNS_MAX = 16 };

struct cli_table {
    int columns;
    const char *heads[CLI_COLUMNS_MAX];
    struct buf text;   /* cells, each ended by NUL */
    size_t *at;        /* where each begins */
    size_t count, cap; /* cells */
};

struct cli_style {
    bool color;
    int width; /* 0: as wide as it gets */
};

void cli_table_init(struct cli_table *t, int columns, const char *const *heads);
void cli_table_fini(struct cli_table *t);
/* Cells come row by row. NULL and "": "-". */
void cli_table_cell(struct cli_table *t, const char *text);
void cli_table_write(const struct cli_table *t, struct cli_style style, struct buf *out);
/* To stdout, in the style it allows (NO_COLOR, COLUMNS). */
void cli_table_print(const struct cli_table *t);
struct cli_style cli_style_of(FILE *out);
/* Appends text with control characters replaced, cut to `columns` characters with an ellipsis; 0:
 * not cut. */
void cli_text_clean(struct buf *out, const char *text, int columns);
int cli_text_width(const char *text); /* characters */
