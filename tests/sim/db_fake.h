/*
 * db_fake: what stands behind the opaque types of store/db.h.
 */
#pragma once

#include "base/check.h"
#include "pg.h"
#include "store/db.h"

struct db {
    bool broken;
    int queries_left; /* then the connection breaks; negative: never */
};

struct db_cell {
    char *text; /* NULL: null */
    size_t len;
};

struct db_result {
    int columns;
    struct db_cell *cells;
    uint32_t count, cap;
};

struct db_result *result_new(int columns);
void result_bytes(struct db_result *r, const void *data, size_t len); /* NULL: null */
void result_text(struct db_result *r, const char *text);
void result_int(struct db_result *r, int64_t v); /* CLOCK_NONE: null */
void result_real(struct db_result *r, double v); /* NaN: null */

/* pg_select.c */
struct db_result *db_select(struct pg *pg, const char *sql, const struct db_params *p);
