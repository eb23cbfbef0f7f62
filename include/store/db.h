/*
 * db: one PostgreSQL connection, and queries with parameters and results on it. The rest of the
 * program sees no libpq.
 *
 * Every connection forces synchronous_commit=on and sets time-outs; db_open() refuses nothing but
 * tells through db_is_safe() whether fsync and full_page_writes are on.
 *
 * Ownership: db_result is freed with db_result_free(); texts from it live as long as it does.
 * Threads:   a connection belongs to one thread at a time.
 * Errors:    ERR_DB_DOWN (connection, shutdown, resources), ERR_DB_DATA (classes 22, 23 except
 * unique), ERR_EXISTS (unique violation), ERR_CONFLICT (serialisation, lock time-out), ERR_TIMEOUT,
 * ERR_SYNTAX (our SQL is wrong; logged). db_error() has the words, db_constraint() the constraint's
 * name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

struct db;
struct db_result;

enum { DB_PARAMS_MAX = 32 };

/* Parameters in order, as text. Numbers are printed into scratch; texts are borrowed until the
 * query returns. */
struct db_params {
    int count;
    const char *values[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX];
    int binary[DB_PARAMS_MAX];
    char scratch[DB_PARAMS_MAX][48];
};

void db_int(struct db_params *p, int64_t v);
void db_real(struct db_params *p, double v); /* NaN: null */
void db_bool(struct db_params *p, bool v);
void db_text(struct db_params *p, const char *text);   /* NULL: null */
void db_view(struct db_params *p, struct view text);   /* must be followed by a NUL byte */
void db_bytes(struct db_params *p, struct view bytes); /* bytea */
void db_time(struct db_params *p, int64_t us);         /* CLOCK_NONE: null */
void db_null(struct db_params *p);

NODISCARD enum err db_open(const char *url, const char *application, struct db **ret_db);
void db_close(struct db *db);
bool db_alive(const struct db *db);
bool db_is_safe(const struct db *db);
/* How long one statement may take from now on; 0: the default of 30 s. For maintenance. */
NODISCARD enum err db_patience(struct db *db, int64_t us);
/* sql: one statement with $1…; params may be NULL. *ret_result is set on ERR_OK only. */
NODISCARD enum err db_query(struct db *db, const char *sql, const struct db_params *params,
                            struct db_result **ret_result);
/* For statements whose rows nobody reads; ret_rows (affected) may be NULL. */
NODISCARD enum err db_exec(struct db *db, const char *sql, const struct db_params *params,
                           int64_t *ret_rows);
/* Several statements without parameters, e.g. a migration. */
NODISCARD enum err db_script(struct db *db, const char *sql);
const char *db_error(const struct db *db);
const char *db_constraint(const struct db *db);

int db_rows(const struct db_result *r);
bool db_is_null(const struct db_result *r, int row, int column);
const char *db_get(const struct db_result *r, int row, int column); /* "" for null */
struct view db_get_view(const struct db_result *r, int row, int column);
int64_t db_get_int(const struct db_result *r, int row, int column);
double db_get_real(const struct db_result *r, int row, int column); /* NaN for null */
bool db_get_bool(const struct db_result *r, int row, int column);
int64_t
db_get_time(const struct db_result *r, int row,
            int column); /* from `extract(epoch…)*1000000` or RFC text; CLOCK_NONE for null */
/* Appends a bytea value; nothing for null. */
NODISCARD enum err db_get_bytes(const struct db_result *r, int row, int column, struct buf *out);
void db_result_free(struct db_result *r);

/* Runs `body` in a transaction: COMMIT when it gives ERR_OK, else ROLLBACK. */
typedef enum err (*db_body_fn)(struct db *db, void *arg);
NODISCARD enum err db_transaction(struct db *db, db_body_fn body, void *arg);
/* Streams COPY (sql) TO STDOUT; sql has its literals quoted by db_quote(). sink false: stop. */
typedef bool (*db_sink_fn)(void *arg, struct view chunk);
NODISCARD enum err db_copy_out(struct db *db, const char *sql, db_sink_fn sink, void *arg);
/* A quoted literal for db_copy_out(); the caller frees. */
char *db_quote(struct db *db, const char *text);
