/*
 * writer_internal: one try at committing a batch, apart from when and how often.
 */
#pragma once

#include "store/batch_internal.h"
#include "store/db_internal.h"

struct writer_step {
    int64_t seq;       /* the lane's number when this batch is committed */
    const char *owner; /* 32 hexadecimal digits */
    bool careful;      /* all rows go through INSERT … ON CONFLICT DO NOTHING */
};

/* prepared.c */
struct prepared_values {
    int count;
    const char *const *values;
    const int *lengths, *formats;
};
/* Outside of a transaction. ERR_OK also when PostgreSQL does not take it. */
NODISCARD enum err prepared_make(struct db *db, const char *sql);
NODISCARD bool prepared_send(struct db *db, const char *sql, const struct prepared_values *v);

/* ERR_EXISTS: a row is stored already, try the careful way. ERR_SKIP: a row or an operation was
 * refused and has been taken out, try again. Others: as db.h; the transaction is rolled back or the
 * connection is broken. */
NODISCARD enum err writer_commit(struct db *db, struct batch *b, const struct writer_step *step);
