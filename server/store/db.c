#include "store/db.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/db_internal.h"

/*
 * Every answer has a deadline of our own: statement_timeout does not fire while PostgreSQL is
 * stopped or its host is gone, and TCP keepalive does not help on a Unix socket. After a missed
 * deadline the connection is not used again.
 */
enum { DB_CONNECT_TIMEOUT_S = 5, DB_ANSWER_TIMEOUT_S = 35, DB_STATEMENT_TIMEOUT_S = 30 };

static const char *const db_setup = "SET synchronous_commit = on; SET timezone = 'UTC'; SET "
                                    "datestyle = 'ISO'; SET client_min_messages = 'warning';"
                                    "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET "
                                    "idle_in_transaction_session_timeout = '60s';"
                                    "SET client_connection_check_interval = '1s'; SET jit = off";

/* ---- parameters ---- */

static int db_param(struct db_params *p, const char *value, int len, int binary)
{
    CHECK(p->count < DB_PARAMS_MAX);
    int at = p->count++;
    p->values[at] = value;
    p->lengths[at] = len;
    p->binary[at] = binary;
    return at;
}

void db_int(struct db_params *p, int64_t v)
{
    int at = db_param(p, NULL, 0, 0);
    (void)snprintf(p->scratch[at], sizeof(p->scratch[at]), "%lld", (long long)v);
    p->values[at] = p->scratch[at];
}

void db_real(struct db_params *p, double v)
{
    int at = db_param(p, NULL, 0, 0);
    if (!isnan(v)) {
        (void)snprintf(p->scratch[at], sizeof(p->scratch[at]), "%.17g", v);
        p->values[at] = p->scratch[at];
    }
}

void db_bool(struct db_params *p, bool v)
{
    (void)db_param(p, v ? "t" : "f", 1, 0);
}

void db_text(struct db_params *p, const char *text)
{
    (void)db_param(p, text, 0, 0);
}

void db_view(struct db_params *p, struct view text)
{
    CHECK(text.data == NULL || text.data[text.len] == 0);
    (void)db_param(p, (const char *)text.data, (int)text.len, 0);
}

void db_bytes(struct db_params *p, struct view bytes)
{
    (void)db_param(p, bytes.data == NULL ? "" : (const char *)bytes.data, (int)bytes.len, 1);
}

void db_time(struct db_params *p, int64_t us)
{
    int at = db_param(p, NULL, 0, 0);
    if (us != CLOCK_NONE) {
        CHECK(CLOCK_TEXT_SIZE <= sizeof(p->scratch[at]));
        p->values[at] = clock_format(us, p->scratch[at]);
    }
}

void db_null(struct db_params *p)
{
    (void)db_param(p, NULL, 0, 0);
}

/* ---- errors ---- */

static enum err db_classify(const char *state)
{
    static const struct {
        const char *prefix;
        enum err err;
    } classes[] = {
        {"23505", ERR_EXISTS}, {"23", ERR_DB_DATA},     {"22", ERR_DB_DATA},
        {"21", ERR_DB_DATA},   {"08", ERR_DB_DOWN},     {"57014", ERR_TIMEOUT},
        {"57", ERR_DB_DOWN},   {"53", ERR_DB_DOWN},     {"58", ERR_DB_DOWN},
        {"40", ERR_CONFLICT},  {"55P03", ERR_CONFLICT}, {"25006", ERR_DB_DOWN},
        {"XX", ERR_DB_DOWN},   {"25P03", ERR_DB_DOWN},  {"54", ERR_DB_DATA},
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        if (strncmp(state, classes[i].prefix, strlen(classes[i].prefix)) == 0) {
            return classes[i].err;
        }
    }
    return ERR_SYNTAX;
}

static void db_note(struct db *db, const char *message)
{
    (void)snprintf(db->error, sizeof(db->error), "%s", message);
    size_t len = strcspn(db->error, "\n");
    db->error[len] = '\0';
}

enum err db_broken(struct db *db, enum err e, const char *what)
{
    db->broken = true;
    db->constraint[0] = '\0';
    db->sqlstate[0] = '\0';
    db_note(db, what);
    return e;
}

enum err db_fail(struct db *db, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    db_note(db, primary != NULL ? primary : PQresultErrorMessage(r));
    (void)snprintf(db->constraint, sizeof(db->constraint), "%s",
                   constraint == NULL ? "" : constraint);
    (void)snprintf(db->sqlstate, sizeof(db->sqlstate), "%s", state == NULL ? "" : state);
    if (state == NULL || PQstatus(db->pg) == CONNECTION_BAD) {
        db->broken = true;
        return ERR_DB_DOWN;
    }
    enum err e = db_classify(state);
    if (e == ERR_SYNTAX) {
        LOG(LOG_ERROR, "statement_wrong", LOG_S("error", db->error),
            LOG_S("sqlstate", db->sqlstate));
    }
    return e;
}

const char *db_error(const struct db *db)
{
    return db->error;
}

const char *db_constraint(const struct db *db)
{
    return db->constraint;
}

/* ---- connection ---- */

enum err db_wait_socket(struct db *db, bool want_write, int64_t deadline_us)
{
    struct pollfd p = {.fd = PQsocket(db->pg),
                       .events = (short)(POLLIN | (want_write ? POLLOUT : 0))};
    int64_t left_us = deadline_us - clock_mono_us();
    if (left_us <= 0 || p.fd < 0) {
        return ERR_TIMEOUT;
    }
    int n = poll(&p, 1, (int)(left_us / 1000 + 1));
    if (n < 0 && errno != EINTR) {
        return ERR_IO;
    }
    return n == 0 ? ERR_TIMEOUT : ERR_OK;
}

enum err db_next_result(struct db *db, int64_t deadline_us, PGresult **ret_result)
{
    for (;;) {
        int flushed = PQflush(db->pg);
        if (flushed < 0 || PQconsumeInput(db->pg) == 0) {
            return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
        }
        if (flushed == 0 && PQisBusy(db->pg) == 0) {
            *ret_result = PQgetResult(db->pg);
            return ERR_OK;
        }
        enum err e = db_wait_socket(db, flushed > 0, deadline_us);
        if (e != ERR_OK) {
            return db_broken(db, e, "no answer in time");
        }
    }
}

static enum err db_drain(struct db *db, enum err first, struct db_result **ret_result)
{
    int64_t deadline_us = clock_mono_us() + db->timeout_us;
    PGresult *kept = NULL;
    enum err e = first;
    for (;;) {
        PGresult *r = NULL;
        enum err next = db_next_result(db, deadline_us, &r);
        if (next != ERR_OK) {
            PQclear(kept);
            return next;
        }
        if (r == NULL) {
            break;
        }
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
            PQclear(r);
            PQclear(kept);
            return db_broken(db, ERR_SYNTAX, "unexpected COPY");
        }
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && e == ERR_OK) {
            e = db_fail(db, r);
        }
        PQclear(kept);
        kept = r;
    }
    if (e == ERR_OK && kept == NULL) {
        return db_broken(db, ERR_DB_DOWN, "no answer");
    }
    if (e != ERR_OK || ret_result == NULL) {
        PQclear(kept);
        return e;
    }
    struct db_result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        PQclear(kept);
        return ERR_NOMEM;
    }
    result->pg = kept;
    *ret_result = result;
    return ERR_OK;
}

static bool db_setting_is_on(struct db *db, const char *sql)
{
    struct db_result *r = NULL;
    if (db_query(db, sql, NULL, &r) != ERR_OK) {
        return false;
    }
    bool on = db_rows(r) == 1 && strcmp(db_get(r, 0, 0), "on") == 0;
    db_result_free(r);
    return on;
}

/* What libpq would write to standard error, between the lines of the log. */
static void say_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    const char *words = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    LOG(LOG_DEBUG, "database_notice", LOG_S("words", words == NULL ? "" : words));
}

enum err db_open(const char *url, const char *application, struct db **ret_db)
{
    struct db *db = calloc(1, sizeof(*db));
    if (db == NULL) {
        return ERR_NOMEM;
    }
    db->timeout_us = DB_ANSWER_TIMEOUT_S * CLOCK_SECOND_US;
    char timeout[16];
    (void)snprintf(timeout, sizeof(timeout), "%d", DB_CONNECT_TIMEOUT_S);
    const char *const keys[] = {"dbname", "connect_timeout", "fallback_application_name",
                                "client_encoding", NULL};
    const char *const values[] = {url, timeout, application, "UTF8", NULL};
    db->pg = PQconnectdbParams(keys, values, 1);
    if (db->pg == NULL || PQstatus(db->pg) != CONNECTION_OK || PQsetnonblocking(db->pg, 1) != 0) {
        LOG(LOG_DEBUG, "database_connect_failed",
            LOG_S("error", db->pg == NULL ? "out of memory" : PQerrorMessage(db->pg)));
        db_close(db);
        return ERR_DB_DOWN;
    }
    (void)PQsetNoticeReceiver(db->pg, say_notice, NULL);
    enum err e = db_script(db, db_setup);
    if (e != ERR_OK) {
        LOG(LOG_WARN, "database_setup_failed", LOG_S("error", db->error));
        db_close(db);
        return e == ERR_SYNTAX ? ERR_UNSUPPORTED : ERR_DB_DOWN;
    }
    db->safe = db_setting_is_on(db, "SHOW fsync") &&
               db_setting_is_on(db, "SHOW full_page_writes") &&
               db_setting_is_on(db, "SHOW synchronous_commit");
    *ret_db = db;
    return ERR_OK;
}

void db_close(struct db *db)
{
    if (db != NULL) {
        PQfinish(db->pg);
        free(db);
    }
}

bool db_alive(const struct db *db)
{
    return db != NULL && !db->broken && PQstatus(db->pg) == CONNECTION_OK;
}

bool db_still_connected(struct db *db)
{
    struct pollfd p = {.fd = PQsocket(db->pg), .events = POLLIN};
    for (int i = 0; i < 4 && !db->broken && poll(&p, 1, 0) > 0;
         i++) { /* a last word, then the end */
        db->broken = PQconsumeInput(db->pg) == 0;
    }
    return db_alive(db);
}

enum err db_patience(struct db *db, int64_t us)
{
    int64_t ms = us > 0 ? us / CLOCK_MS_US : DB_STATEMENT_TIMEOUT_S * 1000LL;
    char sql[64];
    (void)snprintf(sql, sizeof(sql), "SET statement_timeout = %lld", (long long)ms);
    enum err e = db_script(db, sql);
    if (e == ERR_OK) {
        db->timeout_us =
            ms * CLOCK_MS_US + (DB_ANSWER_TIMEOUT_S - DB_STATEMENT_TIMEOUT_S) * CLOCK_SECOND_US;
    }
    return e;
}

bool db_is_safe(const struct db *db)
{
    return db->safe;
}

/* ---- queries ---- */

enum err db_query(struct db *db, const char *sql, const struct db_params *params,
                  struct db_result **ret_result)
{
    if (!db_alive(db)) {
        return db == NULL ? ERR_DB_DOWN : db_broken(db, ERR_DB_DOWN, "connection lost");
    }
    int sent = params == NULL ? PQsendQueryParams(db->pg, sql, 0, NULL, NULL, NULL, NULL, 0)
                              : PQsendQueryParams(db->pg, sql, params->count, NULL, params->values,
                                                  params->lengths, params->binary, 0);
    if (sent == 0) {
        return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
    }
    return db_drain(db, ERR_OK, ret_result);
}

enum err db_exec(struct db *db, const char *sql, const struct db_params *params, int64_t *ret_rows)
{
    struct db_result *r = NULL;
    enum err e = db_query(db, sql, params, &r);
    if (e != ERR_OK) {
        return e;
    }
    if (ret_rows != NULL) {
        *ret_rows = strtoll(PQcmdTuples(r->pg), NULL, 10);
    }
    db_result_free(r);
    return ERR_OK;
}

enum err db_script(struct db *db, const char *sql)
{
    if (!db_alive(db)) {
        return ERR_DB_DOWN;
    }
    if (PQsendQuery(db->pg, sql) == 0) {
        return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
    }
    return db_drain(db, ERR_OK, NULL);
}

int db_rows(const struct db_result *r)
{
    return PQntuples(r->pg);
}

bool db_is_null(const struct db_result *r, int row, int column)
{
    return PQgetisnull(r->pg, row, column) != 0;
}

const char *db_get(const struct db_result *r, int row, int column)
{
    return PQgetvalue(r->pg, row, column);
}

struct view db_get_view(const struct db_result *r, int row, int column)
{
    return view_of(PQgetvalue(r->pg, row, column), (size_t)PQgetlength(r->pg, row, column));
}

int64_t db_get_int(const struct db_result *r, int row, int column)
{
    return strtoll(db_get(r, row, column), NULL, 10);
}

double db_get_real(const struct db_result *r, int row, int column)
{
    return db_is_null(r, row, column) ? (double)NAN : strtod(db_get(r, row, column), NULL);
}

bool db_get_bool(const struct db_result *r, int row, int column)
{
    return db_get(r, row, column)[0] == 't';
}

int64_t db_get_time(const struct db_result *r, int row, int column)
{
    if (db_is_null(r, row, column)) {
        return CLOCK_NONE;
    }
    struct view text = db_get_view(r, row, column);
    char padded[CLOCK_TEXT_SIZE];
    bool fits = view_copy(text, padded, sizeof(padded) - 3);
    if (fits && text.len > 3 && (padded[text.len - 3] == '+' || padded[text.len - 3] == '-')) {
        memcpy(padded + text.len, ":00", 4); /* "+00" -> "+00:00" */
    }
    int64_t us = 0;
    if (fits && clock_parse(view_str(padded), &us) == ERR_OK) {
        return us;
    }
    return strtoll(db_get(r, row, column), NULL, 10);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err db_get_bytes(const struct db_result *r, int row, int column, struct buf *out)
{
    const char *at = db_get(r, row, column);
    if (at[0] == '\0') {
        return ERR_OK;
    }
    if (at[0] != '\\' || at[1] != 'x') {
        return ERR_MALFORMED;
    }
    for (at += 2; at[0] != '\0'; at += 2) {
        int high = hex_digit(at[0]);
        int low = high < 0 ? -1 : hex_digit(at[1]);
        if (low < 0) {
            return ERR_MALFORMED;
        }
        buf_put_u8(out, (uint8_t)(high * 16 + low));
    }
    return buf_err(out);
}

void db_result_free(struct db_result *r)
{
    if (r != NULL) {
        PQclear(r->pg);
        free(r);
    }
}

enum err db_transaction(struct db *db, db_body_fn body, void *arg)
{
    enum err e = db_script(db, "BEGIN");
    if (e != ERR_OK) {
        return e;
    }
    e = body(db, arg);
    if (e == ERR_OK) {
        return db_script(db, "COMMIT");
    }
    struct db kept = *db;
    if (db_alive(db) && db_script(db, "ROLLBACK") != ERR_OK) {
        db->broken = true;
    }
    /* What went wrong inside is what the caller wants to read, not the rollback. */
    memcpy(db->error, kept.error, sizeof(db->error));
    memcpy(db->constraint, kept.constraint, sizeof(db->constraint));
    return e;
}

static enum err db_copy_chunk(struct db *db, db_sink_fn sink, void *arg, bool *ret_done)
{
    char *chunk = NULL;
    int len = PQgetCopyData(db->pg, &chunk, 1);
    *ret_done = len == -1;
    if (len > 0) {
        bool wanted = sink(arg, view_of(chunk, (size_t)len));
        PQfreemem(chunk);
        return wanted ? ERR_OK : db_broken(db, ERR_CANCELLED, "the reader went away");
    }
    if (len == 0) {
        enum err e = db_wait_socket(db, false, clock_mono_us() + db->timeout_us);
        if (e != ERR_OK || PQconsumeInput(db->pg) == 0) {
            return db_broken(db, e == ERR_OK ? ERR_DB_DOWN : e, "no data in time");
        }
    }
    return len == -2 ? db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg)) : ERR_OK;
}

enum err db_copy_out(struct db *db, const char *sql, db_sink_fn sink, void *arg)
{
    if (!db_alive(db) || PQsendQuery(db->pg, sql) == 0) {
        return ERR_DB_DOWN;
    }
    PGresult *r = NULL;
    enum err e = db_next_result(db, clock_mono_us() + db->timeout_us, &r);
    if (e != ERR_OK) {
        return e;
    }
    bool copying = PQresultStatus(r) == PGRES_COPY_OUT;
    e = copying ? ERR_OK : db_fail(db, r);
    PQclear(r);
    bool done = !copying;
    while (e == ERR_OK && !done) {
        e = db_copy_chunk(db, sink, arg, &done);
    }
    return db->broken ? e : db_drain(db, e, NULL);
}

char *db_quote(struct db *db, const char *text)
{
    char *quoted = PQescapeLiteral(db->pg, text, strlen(text));
    char *copy = quoted == NULL ? NULL : strdup(quoted);
    PQfreemem(quoted);
    return copy;
}
