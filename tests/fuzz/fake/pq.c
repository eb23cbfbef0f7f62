#include "fake/pq.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "fake/pq_inside.h"

/* ---- sending ---- */

static struct statement *queue_add(struct pg_conn *c)
{
    CHECK(c->queue_len < STATEMENTS_MAX);
    return &c->queue[c->queue_len++];
}

static void queue_reset(struct pg_conn *c)
{
    CHECK(c->queue_at == c->queue_len);
    for (int i = 0; i < c->queue_len; i++) {
        pq_statement_fini(&c->queue[i]);
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
    if (pq_fault(1) != 0) {
        pq_lose(c);
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

int PQsendPrepare(PGconn *c, const char *name, const char *sql, int count, const Oid *types)
{
    CHECK(!c->pipeline && count == 0);
    int sent = PQsendQueryParams(c, sql, 1, types, &name, NULL, NULL, 0);
    if (sent == 1) {
        c->queue[c->queue_len - 1].prepare = true;
    }
    return sent;
}

int PQsendQueryPrepared(PGconn *c, const char *name, int count, const char *const *values,
                        const int *lengths, const int *formats, int result_format)
{
    for (int i = 0; i < c->prepared_count; i++) {
        if (strcmp(c->prepared[i].name, name) == 0) {
            return PQsendQueryParams(c, c->prepared[i].sql, count, NULL, values, lengths, formats,
                                     result_format);
        }
    }
    CHECK(c->status == CONNECTION_BAD); /* nothing is used that was not prepared before */
    return 0;
}

int PQenterPipelineMode(PGconn *c)
{
    if (c->status == CONNECTION_BAD || pq_fault(1) != 0) {
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
    if (c->status == CONNECTION_BAD || c->queue_at < c->queue_len || c->synced ||
        pq_fault(1) != 0) {
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
        return pq_fault(1) != 0 ? 0 : -1;
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

/* ---- receiving ---- */

int PQflush(PGconn *c)
{
    if (c->status == CONNECTION_BAD) {
        return -1;
    }
    switch (pq_fault(2)) {
    case 1:
        return 1;
    case 2:
        pq_lose(c);
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
    if (pq_fault(1) != 0) {
        pq_lose(c);
        return 0;
    }
    return 1;
}

int PQisBusy(PGconn *c)
{
    (void)c;
    return pq_fault(1) != 0;
}

static PGresult *copy_result(struct pg_conn *c)
{
    PGresult *r = NULL;
    if (pq_fault(1) != 0) {
        r = pq_any_error();
    } else {
        r = pq.model->copied(c->session, c->copy_sql, buf_view(&c->copy));
    }
    free(c->copy_sql);
    c->copy_sql = NULL;
    c->copy_ended = false;
    if (r->status == PGRES_FATAL_ERROR) {
        pq_refused(c);
        c->queue_at = c->queue_len;
    }
    return r;
}

PGresult *PQgetResult(PGconn *c)
{
    if (c->status == CONNECTION_BAD) {
        return NULL;
    }
    switch (pq_fault(8)) {
    case 1: /* the connection breaks before the answer */
        pq_lose(c);
        return pq_fault(1) != 0 ? NULL : pq_result(PGRES_FATAL_ERROR);
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
        return pq_run_next(c, true);
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
    switch (pq_fault(4)) {
    case 1:
        pq_lose(c);
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
    if (pq_fault(1) != 0) {
        return NULL;
    }
    CHECK(asprintf(&quoted, "'%.*s'", (int)len, text) >= 0);
    return quoted;
}

void PQfreemem(void *p)
{
    free(p);
}

PQnoticeReceiver PQsetNoticeReceiver(PGconn *c, PQnoticeReceiver receiver, void *arg)
{
    (void)c;
    (void)receiver;
    (void)arg;
    return NULL; /* this database has nothing to notice */
}

/* ---- time and the end ---- */

int __wrap_poll(struct pollfd *p, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *p, nfds_t count, int timeout_ms)
{
    (void)count;
    p->revents = 0;
    switch (pq_fault(4)) {
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
    pq_next_fault();
}

void pq_end(void)
{
    pq_finish_ghosts(NULL);
    CHECK(pq.open_conns == 0); /* each PQconnectdbParams() has its PQfinish() */
    CHECK(pq.open_results == 0);
}
