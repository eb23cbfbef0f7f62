#include "fake/pq.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

enum { STATEMENTS_MAX = 64, TEXTS_MAX = 256, COLUMNS_MAX = 40, GHOSTS_MAX = 8 };

struct statement {
    char *sql;
    int count;
    char **values;
    int *lengths;
    int *formats;
    bool extended;
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

static struct {
    const struct pq_model *model;
    struct script faults;
    int leave; /* chances until the next fault; -1: none comes any more */
    int next_pid;
    int64_t now_us;
    struct pg_conn *ghosts[GHOSTS_MAX];
    int ghost_count;
    int open_conns, open_results;
} pq;

/* ---- faults -------------------------------------------------------------------------------------
 */

/* FUZZ_TRACE=1 shows what a reproducing input does. */
__attribute__((format(printf, 1, 2))) static void trace(const char *format, ...)
{
    if (getenv("FUZZ_TRACE") == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void next_fault(void)
{
    pq.leave = script_over(&pq.faults) ? -1 : script_byte(&pq.faults);
}

/* 0: nothing happens; else what, from 1 to kinds. */
static int fault(int kinds)
{
    if (pq.leave < 0) {
        return 0;
    }
    if (pq.leave-- > 0) {
        return 0;
    }
    int kind = script_byte(&pq.faults) % kinds + 1;
    trace("    fault %d of %d", kind, kinds);
    next_fault();
    return kind;
}

static const char *const states[] = {
    "08006", "21000", "22003", "22P02", "23502", "23505", "23514", "25006", "25P02",
    "25P03", "40001", "40P01", "42601", "42P01", "53100", "53300", "54000", "55000",
    "55P03", "57014", "57P01", "57P03", "58030", "XX000", "P0001", "",
};

static PGresult *any_error(void)
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

/* ---- results ------------------------------------------------------------------------------------
 */

PGresult *pq_result(ExecStatusType status)
{
    PGresult *r = calloc(1, sizeof(*r));
    CHECK(r != NULL);
    r->status = status;
    pq.open_results++;
    return r;
}

PGresult *pq_error(const char *sqlstate, const char *context)
{
    PGresult *r = pq_result(PGRES_FATAL_ERROR);
    r->has_state = true;
    (void)snprintf(r->sqlstate, sizeof(r->sqlstate), "%s", sqlstate);
    r->has_context = context != NULL;
    (void)snprintf(r->context, sizeof(r->context), "%s", context == NULL ? "" : context);
    return r;
}

const char *pq_text(PGresult *r, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    CHECK(vasprintf(&text, format, args) >= 0 && r->text_count < TEXTS_MAX);
    va_end(args);
    r->texts[r->text_count++] = text;
    return text;
}

void pq_row(PGresult *r, int columns, const char *const *values)
{
    CHECK(columns <= COLUMNS_MAX && (r->rows == 0 || r->columns == columns));
    r->columns = columns;
    r->cells = realloc(r->cells, ((size_t)r->rows + 1) * sizeof(*r->cells));
    char **row = calloc((size_t)columns, sizeof(*row));
    CHECK(r->cells != NULL && row != NULL);
    for (int i = 0; i < columns; i++) {
        row[i] = values[i] == NULL ? NULL : strdup(values[i]);
    }
    r->cells[r->rows++] = row;
}

void PQclear(PGresult *r)
{
    if (r == NULL) {
        return;
    }
    for (int row = 0; row < r->rows; row++) {
        for (int i = 0; i < r->columns; i++) {
            free(r->cells[row][i]);
        }
        free(r->cells[row]);
    }
    for (int i = 0; i < r->text_count; i++) {
        free(r->texts[i]);
    }
    free(r->cells);
    free(r);
    pq.open_results--;
}

ExecStatusType PQresultStatus(const PGresult *r)
{
    return r == NULL ? PGRES_FATAL_ERROR : r->status;
}

char *PQresultErrorField(const PGresult *r, int field)
{
    static char message[] = "it was refused\nwith a second line";
    static char constraint[] = "samples_pkey";
    if (r == NULL || r->status != PGRES_FATAL_ERROR) {
        return NULL;
    }
    switch (field) {
    case PG_DIAG_SQLSTATE:
        return r->has_state ? (char *)(uintptr_t)r->sqlstate : NULL;
    case PG_DIAG_CONTEXT:
        return r->has_context ? (char *)(uintptr_t)r->context : NULL;
    case PG_DIAG_MESSAGE_PRIMARY:
        return r->has_state ? message : NULL;
    case PG_DIAG_CONSTRAINT_NAME:
        return r->has_state && strcmp(r->sqlstate, "23505") == 0 ? constraint : NULL;
    default:
        return NULL;
    }
}

char *PQresultErrorMessage(const PGresult *r)
{
    static char words[] = "ERROR: it was refused\n";
    static char none[] = "";
    return r == NULL || r->status != PGRES_FATAL_ERROR ? none : words;
}

int PQntuples(const PGresult *r)
{
    return r == NULL ? 0 : r->rows;
}

/* libpq warns and gives NULL or 1 beyond the table; here nobody may even ask. */
static char *cell(const PGresult *r, int row, int column)
{
    CHECK(r != NULL && row >= 0 && row < r->rows && column >= 0 && column < r->columns);
    return r->cells[row][column];
}

char *PQgetvalue(const PGresult *r, int row, int column)
{
    static char none[] = "";
    char *value = cell(r, row, column);
    return value == NULL ? none : value;
}

int PQgetlength(const PGresult *r, int row, int column)
{
    const char *value = cell(r, row, column);
    return value == NULL ? 0 : (int)strlen(value);
}

int PQgetisnull(const PGresult *r, int row, int column)
{
    return cell(r, row, column) == NULL;
}

char *PQcmdStatus(PGresult *r)
{
    static char none[] = "";
    return r->command[0] == '\0' ? none : r->command;
}

char *PQcmdTuples(PGresult *r)
{
    static char text[16];
    (void)snprintf(text, sizeof(text), "%d", r == NULL ? 0 : r->rows);
    return text;
}

static void ghost_end(int at, bool works);

/* ---- connections --------------------------------------------------------------------------------
 */

static void statement_fini(struct statement *s)
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
        statement_fini(&c->queue[i]);
    }
    if (c->session != NULL) {
        pq.model->close(c->session);
    }
    free(c->copy_sql);
    buf_fini(&c->copy);
    free(c);
}

PGconn *PQconnectdbParams(const char *const *keys, const char *const *values, int expand)
{
    (void)keys;
    (void)values;
    (void)expand;
    int kind = fault(4);
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
    return fault(1) == 0 ? 0 : -1;
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
    const struct pq_call call = {.session = c->session,
                                 .sql = s->sql,
                                 .count = s->count,
                                 .values = (const char *const *)s->values,
                                 .lengths = s->lengths,
                                 .formats = s->formats,
                                 .pid = c->pid};
    return m->execute(&call);
}

static void refused(struct pg_conn *c)
{
    c->failed = true;
    if (c->tx == PQTRANS_INTRANS) {
        c->tx = PQTRANS_INERROR;
        pq.model->rollback(c->session);
    }
}

static PGresult *run_next(struct pg_conn *c, bool with_faults)
{
    struct statement *s = &c->queue[c->queue_at];
    PGresult *r = NULL;
    trace("%d: %.*s", c->pid, 70, s->sql);
    if (c->failed && c->pipeline) {
        r = pq_result(PGRES_PIPELINE_ABORTED);
    } else if (with_faults && fault(1) != 0) {
        r = any_error();
    } else {
        r = run_statement(c, s);
    }
    if (r->status == PGRES_COPY_IN) {
        c->copy_sql = strdup(s->sql);
        buf_clear(&c->copy);
    }
    c->queue_at++;
    if (r->status == PGRES_FATAL_ERROR) {
        trace("    refused: %s", r->sqlstate);
        refused(c);
        if (!c->pipeline) {
            c->queue_at = c->queue_len; /* the rest of the string is not run */
        }
    }
    return r;
}

/* What is left of a lost connection works on by itself; COPY that has no end does not. */
static void ghost_run(struct pg_conn *c)
{
    trace("%d works on", c->pid);
    bool cut = c->copy_sql != NULL && !c->copy_ended;
    if (c->copy_sql != NULL && !cut) {
        PGresult *r = pq.model->copied(c->session, c->copy_sql, buf_view(&c->copy));
        if (r->status == PGRES_FATAL_ERROR) {
            refused(c);
            c->queue_at = c->queue_len;
        }
        PQclear(r);
    }
    while (!cut && c->queue_at < c->queue_len) {
        PGresult *r = run_next(c, false);
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
            ghost_end(i, fault(1) != 0); /* it may have finished just before */
            return;
        }
    }
}

void pq_finish_ghosts(bool (*which)(const struct pq_session *s))
{
    for (int i = pq.ghost_count - 1; i >= 0; i--) {
        if (which == NULL || which(pq.ghosts[i]->session)) {
            ghost_end(i, fault(2) != 1);
        }
    }
}

/* The client's end is gone. What was sent may still be carried out. */
static void lose(struct pg_conn *c)
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
        c->queue_len = c->queue_at = 0;
        c->copy_sql = NULL;
        buf_init(&c->copy, 1 << 20);
    }
}

void PQfinish(PGconn *c)
{
    if (c != NULL) {
        lose(c);
        conn_free(c);
        pq.open_conns--;
    }
}

/* ---- sending ------------------------------------------------------------------------------------
 */

static struct statement *queue_add(struct pg_conn *c)
{
    CHECK(c->queue_len < STATEMENTS_MAX);
    return &c->queue[c->queue_len++];
}

static void queue_reset(struct pg_conn *c)
{
    CHECK(c->queue_at == c->queue_len);
    for (int i = 0; i < c->queue_len; i++) {
        statement_fini(&c->queue[i]);
    }
    c->queue_len = c->queue_at = 0;
    c->failed = false;
}

/* 0: it did not go out. */
static int may_send(struct pg_conn *c)
{
    if (c->status == CONNECTION_BAD) {
        return 0;
    }
    if (fault(1) != 0) {
        lose(c);
        return 0;
    }
    return 1;
}

int PQsendQuery(PGconn *c, const char *sql)
{
    CHECK(!c->pipeline && c->copy_sql == NULL);
    if (may_send(c) == 0) {
        return 0;
    }
    queue_reset(c);
    const char *at = sql;
    while (*at != '\0') {
        at += strspn(at, "; ");
        size_t len = 0;
        bool quoted = false;
        while (at[len] != '\0' && (quoted || at[len] != ';')) {
            quoted ^= at[len] == '$' && at[len + 1] == '$';
            len++;
        }
        if (len > 0) {
            queue_add(c)->sql = strndup(at, len);
        }
        at += len;
    }
    c->between = false;
    return 1;
}

int PQsendQueryParams(PGconn *c, const char *sql, int count, const Oid *types,
                      const char *const *values, const int *lengths, const int *formats,
                      int result_format)
{
    (void)types;
    (void)result_format;
    CHECK(c->copy_sql == NULL);
    if (may_send(c) == 0) {
        return 0;
    }
    if (!c->pipeline || (c->queue_at == c->queue_len && c->queue_len > 0 && !c->synced)) {
        queue_reset(c);
    }
    struct statement *s = queue_add(c);
    s->sql = strdup(sql);
    s->extended = true;
    s->count = count;
    s->values = calloc((size_t)count + 1, sizeof(*s->values));
    s->lengths = calloc((size_t)count + 1, sizeof(*s->lengths));
    s->formats = calloc((size_t)count + 1, sizeof(*s->formats));
    CHECK(s->values != NULL && s->lengths != NULL && s->formats != NULL);
    for (int i = 0; i < count; i++) {
        if (values[i] == NULL) {
            continue;
        }
        bool binary = formats != NULL && formats[i] == 1;
        size_t len = binary ? (size_t)lengths[i] : strlen(values[i]);
        s->values[i] = malloc(len + 1);
        CHECK(s->values[i] != NULL);
        memcpy(s->values[i], values[i], len);
        s->values[i][len] = '\0';
        s->lengths[i] = (int)len;
        s->formats[i] = binary;
    }
    c->between = false;
    return 1;
}

int PQenterPipelineMode(PGconn *c)
{
    if (c->status == CONNECTION_BAD || fault(1) != 0) {
        return 0;
    }
    queue_reset(c);
    c->pipeline = true;
    c->synced = false;
    return 1;
}

int PQpipelineSync(PGconn *c)
{
    if (may_send(c) == 0) {
        return 0;
    }
    c->synced = true;
    return 1;
}

int PQexitPipelineMode(PGconn *c)
{
    if (c->status == CONNECTION_BAD || c->queue_at < c->queue_len || c->synced || fault(1) != 0) {
        return 0;
    }
    c->pipeline = false;
    c->failed = false;
    return 1;
}

int PQputCopyData(PGconn *c, const char *bytes, int len)
{
    CHECK(c->copy_sql != NULL && !c->copy_ended);
    if (may_send(c) == 0) {
        return fault(1) != 0 ? 0 : -1;
    }
    uint8_t *exact = fuzz_copy(view_of(bytes, (size_t)len)); /* all of it can be read */
    buf_put(&c->copy, exact, (size_t)len);
    free(exact);
    return 1;
}

int PQputCopyEnd(PGconn *c, const char *error)
{
    CHECK(c->copy_sql != NULL && error == NULL);
    if (may_send(c) == 0) {
        return -1;
    }
    c->copy_ended = true;
    return 1;
}

/* ---- receiving ----------------------------------------------------------------------------------
 */

int PQflush(PGconn *c)
{
    if (c->status == CONNECTION_BAD) {
        return -1;
    }
    switch (fault(2)) {
    case 1:
        return 1;
    case 2:
        lose(c);
        return -1;
    default:
        return 0;
    }
}

int PQconsumeInput(PGconn *c)
{
    if (c->status == CONNECTION_BAD) {
        return 0;
    }
    if (fault(1) != 0) {
        lose(c);
        return 0;
    }
    return 1;
}

int PQisBusy(PGconn *c)
{
    (void)c;
    return fault(1) != 0;
}

static PGresult *copy_result(struct pg_conn *c)
{
    PGresult *r = NULL;
    if (fault(1) != 0) {
        r = any_error();
    } else {
        r = pq.model->copied(c->session, c->copy_sql, buf_view(&c->copy));
    }
    free(c->copy_sql);
    c->copy_sql = NULL;
    c->copy_ended = false;
    if (r->status == PGRES_FATAL_ERROR) {
        refused(c);
        c->queue_at = c->queue_len;
    }
    return r;
}

PGresult *PQgetResult(PGconn *c)
{
    if (c->status == CONNECTION_BAD) {
        return NULL;
    }
    switch (fault(8)) {
    case 1: /* the connection breaks before the answer */
        lose(c);
        return fault(1) != 0 ? NULL : pq_result(PGRES_FATAL_ERROR);
    case 2:
        return pq_result(PGRES_NONFATAL_ERROR);
    default:
        break;
    }
    if (c->copy_sql != NULL) {
        CHECK(c->copy_ended); /* asking before the end would wait for ever */
        return copy_result(c);
    }
    if (c->between) {
        c->between = false;
        return NULL;
    }
    if (c->queue_at < c->queue_len) {
        c->between = c->queue[c->queue_at].extended;
        return run_next(c, true);
    }
    if (c->pipeline && c->synced) {
        c->synced = false;
        queue_reset(c);
        return pq_result(PGRES_PIPELINE_SYNC);
    }
    return NULL;
}

int PQgetCopyData(PGconn *c, char **ret_bytes, int async)
{
    (void)async;
    if (c->status == CONNECTION_BAD) {
        return -2;
    }
    switch (fault(4)) {
    case 1:
        lose(c);
        return -2;
    case 2:
        return 0;
    case 3:
        *ret_bytes = strdup("{\"ts\":1}\n");
        return 9;
    default:
        return -1;
    }
}

char *PQescapeLiteral(PGconn *c, const char *text, size_t len)
{
    (void)c;
    char *quoted = NULL;
    if (fault(1) != 0) {
        return NULL;
    }
    CHECK(asprintf(&quoted, "'%.*s'", (int)len, text) >= 0);
    return quoted;
}

void PQfreemem(void *p)
{
    free(p);
}

/* ---- time ---------------------------------------------------------------------------------------
 */

int __wrap_poll(struct pollfd *p, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *p, nfds_t count, int timeout_ms)
{
    (void)count;
    p->revents = 0;
    switch (fault(4)) {
    case 1:
        pq.now_us += (int64_t)timeout_ms * 1000;
        return 0;
    case 2:
        errno = EINTR;
        return -1;
    case 3:
        errno = ENOMEM;
        return -1;
    default:
        pq.now_us += 1000;
        p->revents = POLLIN;
        return timeout_ms == 0 ? 0 : 1;
    }
}

int64_t pq_now_us(void)
{
    return pq.now_us;
}

void pq_sleep_us(int64_t us)
{
    pq.now_us += us;
}

void pq_begin(const struct pq_model *model, struct script faults)
{
    CHECK(pq.open_conns == 0 && pq.open_results == 0 && pq.ghost_count == 0);
    pq.model = model;
    pq.faults = faults;
    pq.next_pid = 100;
    pq.now_us = 1000000000;
    next_fault();
}

void pq_end(void)
{
    pq_finish_ghosts(NULL);
    CHECK(pq.open_conns == 0); /* each PQconnectdbParams() has its PQfinish() */
    CHECK(pq.open_results == 0);
}
