/*
 * pq: libpq without a server. Its functions are here, so that the linker takes nothing of the real
 * one; what statements do is the model's business, what goes wrong and when is the script's.
 *
 * Statements are executed when their result is asked for, as late as a real server might. A
 * connection that is lost while statements are still under way leaves a ghost: a backend that may
 * finish its work at any later moment, until it is terminated.
 *
 * Threads: one. Everything that was handed out must have been given back at pq_end().
 */
#pragma once

#include <libpq-fe.h>

#include "base/buf.h"
#include "fuzz.h"

struct pq_session; /* the model's, one for each backend */

/* What a statement comes with. */
struct pq_call {
    struct pq_session *session;
    const char *sql;
    int count;
    const char *const *values;
    const int *lengths;
    const int *formats;
    int pid;
};

/* The server behind the connections. */
struct pq_model {
    struct pq_session *(*open)(int pid);
    void (*close)(struct pq_session *s); /* rolls back */
    /* The caller owns the result. COPY … FROM STDIN: pq_result(PGRES_COPY_IN). */
    PGresult *(*execute)(const struct pq_call *call);
    PGresult *(*copied)(struct pq_session *s, const char *sql, struct view bytes);
    void (*begin)(struct pq_session *s);
    void (*commit)(struct pq_session *s);
    void (*rollback)(struct pq_session *s);
};

/* faults: pairs of bytes: how many chances to leave, and what goes wrong then. */
void pq_begin(const struct pq_model *model, struct script faults);
void pq_end(void); /* ghosts finish; leaks and use after free are the sanitizer's */

/* A ghost of that pid is ended, if there is one; it may have finished just before. */
void pq_terminate(int pid);
/* The ghosts that are meant (NULL: all) come to their end, one way or the other. */
void pq_finish_ghosts(bool (*which)(const struct pq_session *s));

PGresult *pq_result(ExecStatusType status);
PGresult *pq_error(const char *sqlstate, const char *context);
/* A row of the result; NULL is null. */
void pq_row(PGresult *r, int columns, const char *const *values);
/* A value, printed; freed with the result. */
__attribute__((format(printf, 2, 3))) const char *pq_text(PGresult *r, const char *format, ...);

int64_t pq_now_us(void); /* the clock that waiting moves */
void pq_sleep_us(int64_t us);
