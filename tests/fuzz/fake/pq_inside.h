/*
 * inside: what the files of the fake libpq share.
 *
 *     pq.c         what the writer calls to send and to receive; time
 *     pq_server.c  connections, running statements, ghosts, faults
 *     pq_result.c  results
 */
#pragma once

#include "fake/pq.h"

enum { STATEMENTS_MAX = 64, PREPARED_MAX = 64, TEXTS_MAX = 256, COLUMNS_MAX = 40, GHOSTS_MAX = 8 };

struct statement {
    char *sql;
    int count;
    char **values;
    int *lengths;
    int *formats;
    bool extended;
    bool prepare; /* under the name in values[0] */
};

struct prepared_statement {
    char *name, *sql;
};

struct pg_conn {
    ConnStatusType status;
    PGTransactionStatusType tx;
    struct pq_session *session;
    int pid;
    bool pipeline, synced, failed,
        aborted;  /* failed: the rest of this string or pipeline is not run */
    bool between; /* NULL comes next: the end of one statement's results */
    struct statement queue[STATEMENTS_MAX];
    int queue_len, queue_at;
    char *copy_sql; /* COPY IN is under way */
    bool copy_ended;
    struct buf copy;
    int busy;
    struct prepared_statement prepared[PREPARED_MAX];
    int prepared_count;
};

struct pg_result {
    ExecStatusType status;
    char sqlstate[6];
    char context[96];
    bool has_state, has_context;
    char command[16];
    int rows, columns;
    char ***cells;
    char *texts[TEXTS_MAX];
    int text_count;
};

struct pq_state {
    const struct pq_model *model;
    struct script faults;
    int leave; /* chances until the next fault; -1: none comes any more */
    int next_pid;
    int64_t now_us;
    struct pg_conn *ghosts[GHOSTS_MAX];
    int ghost_count;
    int open_conns, open_results;
};
extern struct pq_state pq;

/* 0: nothing happens; else what, from 1 to kinds. */
int pq_fault(int kinds);
void pq_next_fault(void);
PGresult *pq_any_error(void);

void pq_statement_fini(struct statement *s);
void pq_refused(struct pg_conn *c); /* a statement failed: so does its transaction */
PGresult *pq_run_next(struct pg_conn *c, bool with_faults);
/* The client's end is gone. What was sent may still be carried out. */
void pq_lose(struct pg_conn *c);
