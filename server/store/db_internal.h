/*
 * db_internal: what the files of store share about a connection.
 */
#pragma once

#include <libpq-fe.h>

#include "store/db.h"

enum { DB_PREPARED_MAX = 64 }; /* more statements than the server has */

struct db {
    PGconn *pg;
    bool broken; /* an answer is missing: the connection cannot be used again */
    bool safe;
    int64_t timeout_us; /* for one answer */
    char error[320];
    char constraint[64];
    char sqlstate[6];
    uint32_t prepared_count;
    uint64_t prepared[DB_PREPARED_MAX]; /* see prepared.c */
};

struct db_result {
    PGresult *pg;
};

/* The next result of what was sent, within the deadline (monotonic). ERR_OK with *ret_result NULL:
 * all results read. */
NODISCARD enum err db_next_result(struct db *db, int64_t deadline_us, PGresult **ret_result);
/* Takes the error of a result into db->error and gives its kind. */
enum err db_fail(struct db *db, const PGresult *r);
enum err db_broken(struct db *db, enum err e, const char *what);
/* False when PostgreSQL closed the connection while nobody asked it anything, as a restart does. */
NODISCARD bool db_still_connected(struct db *db);
/* Waits until the socket can be written or read; ERR_TIMEOUT after the deadline. */
NODISCARD enum err db_wait_socket(struct db *db, bool want_write, int64_t deadline_us);
