/*
 * csv: reads RFC 4180 files, plain or gzip, row by row.
 *
 * Quotes, doubled quotes, line ends inside quotes, CRLF, a byte order mark and empty lines are
 * understood.
 *
 * Ownership: fleet_csv_open() to fleet_csv_close(). A row's cells are valid until the next call.
 * Threads:   one.
 * Errors:    sticky. ERR_IO: the file cannot be opened or is damaged; ERR_SYNTAX: a quote in the
 * wrong place or never closed; ERR_LIMIT. fleet_csv_line() is the line on which the row began.
 * Limits:    FLEET_CSV_ROW_MAX bytes and FLEET_CSV_CELLS_MAX cells in a row.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { FLEET_CSV_ROW_MAX = 1 << 20, FLEET_CSV_CELLS_MAX = 16384 };

struct fleet_csv;

struct fleet_csv_row {
    const struct view *cells;
    uint32_t count;
};

NODISCARD enum err fleet_csv_open(const char *path, struct fleet_csv **ret_csv);
void fleet_csv_close(struct fleet_csv *csv);
/* ERR_NOT_FOUND: no more rows. */
NODISCARD enum err fleet_csv_next(struct fleet_csv *csv, struct fleet_csv_row *ret_row);
uint64_t fleet_csv_line(const struct fleet_csv *csv);
