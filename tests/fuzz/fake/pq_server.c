#include <stdarg.h>
#include <stdio.h>

#include "fake/pq_inside.h"

struct pq_state pq;

/* ---- faults ---- */

void pq_next_fault(void)
{
    pq.leave = script_over(&pq.faults) ? -1 : script_byte(&pq.faults);
}

int pq_fault(int kinds)
{
    if (pq.leave < 0) {
        return 0;
    }
    if (pq.leave-- > 0) {
        return 0;
    }
    int kind = script_byte(&pq.faults) % kinds + 1;
    fuzz_trace("    fault %d of %d", kind, kinds);
    pq_next_fault();
    return kind;
}

static const char *const states[] = {
    "08006", "21000", "22003", "22P02", "23502", "23505", "23514", "25006", "25P02",
    "25P03", "40001", "40P01", "42601", "42P01", "53100", "53300", "54000", "55000",
    "55P03", "57014", "57P01", "57P03", "58030", "XX000", "P0001", "",
};

PGresult *pq_any_error(void)
{
    static const char *const contexts[] = {NULL,
                                           NULL,
                                           "COPY samples, line 1",
                                           "COPY samples, line 2, column extra",
                                           "JSON data, line 1: ...\nCOPY samples, line 1",
                                           "COPY incoming, line 99999999999",
                                           "COPY , line ",
                                           "PL/pgSQL function"};
    uint8_t which = script_byte(&pq.faults);
    const char *state = states[which % COUNT_OF(states)];
    /* 55000 is what writer_step() says when another server has taken over: only then. */
    PGresult *r = pq_error(strcmp(state, "55000") == 0 ? "57P01" : state,
                           contexts[script_byte(&pq.faults) % COUNT_OF(contexts)]);
    r->has_state = state[0] != '\0';
    return r;
}

/* ---- connections ---- */

void pq_statement_fini(struct statement *s)
{
    for (int i = 0; i < s->count; i++) {
        free(s->values[i]);
    }
    free(s->values);
    free(s->lengths);
    free(s->formats);
    free(s->sql);
    *s = (struct statement){0};
}

static void conn_free(struct pg_conn *c)
{
    for (int i = 0; i < c->queue_len; i++) {
        pq_statement_fini(&c->queue[i]);
    }
    if (c->session != NULL) {
        pq.model->close(c->session);
    }
    for (int i = 0; i < c->prepared_count; i++) {
        free(c->prepared[i].name);
        free(c->prepared[i].sql);
    }
    free(c->copy_sql);
    buf_fini(&c->copy);
    free(c);
}

static void ghost_end(int at, bool works);

PGconn *PQconnectdbParams(const char *const *keys, const char *const *values, int expand)
{
    (void)keys;
    (void)values;
    (void)expand;
    int kind = pq_fault(4);
    if (kind == 1) {
        return NULL;
    }
    if (kind == 4 && pq.ghost_count > 0) {
        ghost_end(0, true);
    }
    struct pg_conn *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    pq.open_conns++;
    c->pid = ++pq.next_pid;
    c->tx = PQTRANS_IDLE;
    bool up = kind == 0 || kind == 4;
    c->status = up ? CONNECTION_OK : CONNECTION_BAD;
    c->session = up ? pq.model->open(c->pid) : NULL;
    buf_init(&c->copy, 1 << 20);
    return c;
}

ConnStatusType PQstatus(const PGconn *c)
{
    return c == NULL ? CONNECTION_BAD : c->status;
}

int PQsetnonblocking(PGconn *c, int on)
{
    (void)c;
    (void)on;
    return pq_fault(1) == 0 ? 0 : -1;
}

char *PQerrorMessage(const PGconn *c)
{
    static char words[] = "server closed the connection unexpectedly\n\tThis probably means…\n";
    static char none[] = "";
    return c == NULL || c->status == CONNECTION_BAD ? words : none;
}

int PQbackendPID(const PGconn *c)
{
    return c == NULL || c->status == CONNECTION_BAD ? 0 : c->pid;
}

int PQsocket(const PGconn *c)
{
    return c == NULL || c->status == CONNECTION_BAD ? -1 : 1000;
}

PGTransactionStatusType PQtransactionStatus(const PGconn *c)
{
    if (c == NULL || c->status == CONNECTION_BAD) {
        return PQTRANS_UNKNOWN;
    }
    return c->queue_at < c->queue_len ? PQTRANS_ACTIVE : c->tx;
}

static bool word_is(const char *sql, const char *word)
{
    size_t len = strlen(word);
    return strncmp(sql, word, len) == 0 && (sql[len] == '\0' || sql[len] == ' ');
}

static PGresult *done(const char *command)
{
    PGresult *r = pq_result(PGRES_COMMAND_OK);
    (void)snprintf(r->command, sizeof(r->command), "%s", command);
    return r;
}

static PGresult *run_statement(struct pg_conn *c, const struct statement *s)
{
    const struct pq_model *m = pq.model;
    if (word_is(s->sql, "ROLLBACK") || (word_is(s->sql, "COMMIT") && c->tx == PQTRANS_INERROR)) {
        m->rollback(c->session);
        c->tx = PQTRANS_IDLE;
        return done("ROLLBACK");
    }
    if (c->tx == PQTRANS_INERROR) {
        return pq_error("25P02", NULL);
    }
    if (word_is(s->sql, "BEGIN")) {
        m->begin(c->session);
        c->tx = PQTRANS_INTRANS;
        return done("BEGIN");
    }
    if (word_is(s->sql, "COMMIT")) {
        m->commit(c->session);
        c->tx = PQTRANS_IDLE;
        return done("COMMIT");
    }
    if (s->prepare) {
        CHECK(c->prepared_count < PREPARED_MAX);
        c->prepared[c->prepared_count++] =
            (struct prepared_statement){.name = strdup(s->values[0]), .sql = strdup(s->sql)};
        return done("PREPARE");
    }
    const struct pq_call call = {.session = c->session,
                                 .sql = s->sql,
                                 .count = s->count,
                                 .values = (const char *const *)s->values,
                                 .lengths = s->lengths,
                                 .formats = s->formats,
                                 .pid = c->pid};
    return m->execute(&call);
}

void pq_refused(struct pg_conn *c)
{
    c->failed = true;
    if (c->tx == PQTRANS_INTRANS) {
        c->tx = PQTRANS_INERROR;
        pq.model->rollback(c->session);
    }
}

PGresult *pq_run_next(struct pg_conn *c, bool with_faults)
{
    struct statement *s = &c->queue[c->queue_at];
    PGresult *r = NULL;
    fuzz_trace("%d: %.*s", c->pid, 70, s->sql);
    if (c->failed && c->pipeline) {
        r = pq_result(PGRES_PIPELINE_ABORTED);
    } else if (with_faults && pq_fault(1) != 0) {
        r = pq_any_error();
    } else {
        r = run_statement(c, s);
    }
    if (r->status == PGRES_COPY_IN) {
        c->copy_sql = strdup(s->sql);
        buf_clear(&c->copy);
    }
    c->queue_at++;
    if (r->status == PGRES_FATAL_ERROR) {
        fuzz_trace("    refused: %s", r->sqlstate);
        pq_refused(c);
        if (!c->pipeline) {
            c->queue_at = c->queue_len; /* the rest of the string is not run */
        }
    }
    return r;
}

/* What is left of a lost connection works on by itself; COPY that has no end does not. */
static void ghost_run(struct pg_conn *c)
{
    fuzz_trace("%d works on", c->pid);
    bool cut = c->copy_sql != NULL && !c->copy_ended;
    if (c->copy_sql != NULL && !cut) {
        PGresult *r = pq.model->copied(c->session, c->copy_sql, buf_view(&c->copy));
        if (r->status == PGRES_FATAL_ERROR) {
            pq_refused(c);
            c->queue_at = c->queue_len;
        }
        PQclear(r);
    }
    while (!cut && c->queue_at < c->queue_len) {
        PGresult *r = pq_run_next(c, false);
        cut = r->status == PGRES_COPY_IN;
        PQclear(r);
    }
}

static void ghost_end(int at, bool works)
{
    struct pg_conn *c = pq.ghosts[at];
    pq.ghosts[at] = pq.ghosts[--pq.ghost_count];
    if (works) {
        ghost_run(c);
    }
    conn_free(c);
}

void pq_terminate(int pid)
{
    for (int i = 0; i < pq.ghost_count; i++) {
        if (pq.ghosts[i]->pid == pid) {
            ghost_end(i, pq_fault(1) != 0); /* it may have finished just before */
            return;
        }
    }
}

void pq_finish_ghosts(bool (*which)(const struct pq_session *s))
{
    for (int i = pq.ghost_count - 1; i >= 0; i--) {
        /* One that works on may have waited for others, which are gone then. */
        if (i < pq.ghost_count && (which == NULL || which(pq.ghosts[i]->session))) {
            ghost_end(i, pq_fault(2) != 1);
        }
    }
}

void pq_lose(struct pg_conn *c)
{
    if (c->status == CONNECTION_BAD || c->session == NULL) {
        return;
    }
    c->status = CONNECTION_BAD;
    if (pq.ghost_count < GHOSTS_MAX) {
        struct pg_conn *ghost = malloc(sizeof(*ghost));
        CHECK(ghost != NULL);
        *ghost = *c;
        pq.ghosts[pq.ghost_count++] = ghost;
        c->session = NULL;
        c->queue_len = c->queue_at = c->prepared_count = 0;
        c->copy_sql = NULL;
        buf_init(&c->copy, 1 << 20);
    }
}

void PQfinish(PGconn *c)
{
    if (c != NULL) {
        pq_lose(c);
        conn_free(c);
        pq.open_conns--;
    }
}
