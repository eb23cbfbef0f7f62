#include "fake/tables.h"

#include <stdio.h>

struct tables tables;

static bool key_eq(struct table_key a, struct table_key b)
{
    return a.ts_us == b.ts_us && a.device == b.device && a.digest == b.digest;
}

bool tables_have(const struct pq_session *s, struct table_key k)
{
    for (int i = 0; i < s->added_count; i++) {
        if (key_eq(s->added[i], k)) {
            return true;
        }
    }
    return false;
}

static void add_key(struct pq_session *s, struct table_key k)
{
    CHECK(s->added_count < TABLES_STORED_MAX);
    s->added[s->added_count++] = k;
}

static void model_begin(struct pq_session *s)
{
    s->open = true;
    s->stepped = false;
    s->added_count = 0;
    s->incoming_count = 0;
}

static void model_rollback(struct pq_session *s)
{
    model_begin(s);
    s->open = false;
}

static void model_commit(struct pq_session *s)
{
    if (s->stepped) {
        CHECK(s->seq == tables.committed.seq + 1); /* never one twice, never one left out */
        tables.committed.seq = s->seq;
        tables.batches++;
    }
    for (int i = 0; i < s->added_count; i++) {
        CHECK(!tables_have(&tables.committed, s->added[i]));
        add_key(&tables.committed, s->added[i]);
    }
    model_rollback(s);
}

static struct pq_session *model_open(int pid)
{
    struct pq_session *s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->pid = pid;
    return s;
}

static void model_close(struct pq_session *s)
{
    free(s);
}

static bool holds_lane(const struct pq_session *s)
{
    return s->stepped;
}

/* ---- COPY ---- */

struct reader {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct reader *r, size_t len)
{
    CHECK(r->left >= len);
    const uint8_t *at = r->at;
    r->at += len;
    r->left -= len;
    return at;
}

static uint64_t number(struct reader *r, size_t len)
{
    const uint8_t *at = take(r, len);
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

static double real(uint64_t bits)
{
    double v = 0;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* float8[]: dimensions, nulls, type, then length and lower bound, then the elements. */
static double read_array(struct reader *r)
{
    CHECK(number(r, 4) == 1 && number(r, 4) == 0 && number(r, 4) == 701);
    uint64_t count = number(r, 4);
    CHECK(number(r, 4) == 1 && count > 1 && r->left == count * 12);
    double first = 0;
    for (uint64_t i = 0; i < count; i++) {
        CHECK(number(r, 4) == 8);
        double v = real(number(r, 8));
        first = i == 0 ? v : first;
    }
    return first;
}

/* False: the trailer. */
static bool read_tuple(struct reader *r, struct table_key *ret_key, double *ret_value)
{
    enum { TS, RECEIVED, DEVICE_ID, DIGEST, FLAGS, SHAPE, VALUE, VALUES, EXTRA, COLUMNS };
    static const int widths[COLUMNS] = {8, 8, 4, 4, 4, 4, 8, -1, -1};
    uint64_t columns = number(r, 2);
    if (columns == 0xFFFF) {
        CHECK(r->left == 0);
        return false;
    }
    CHECK(columns == COLUMNS);
    for (int i = 0; i < COLUMNS; i++) {
        int64_t len = (int32_t)number(r, 4);
        if (len < 0) {
            CHECK(len == -1 && i >= SHAPE);
            continue;
        }
        CHECK(widths[i] < 0 || len == widths[i]);
        struct reader column = {.at = take(r, (size_t)len), .left = (size_t)len};
        if (i == TS) {
            ret_key->ts_us = (int64_t)number(&column, 8) + 946684800000000;
        } else if (i == DEVICE_ID) {
            ret_key->device = (int32_t)number(&column, 4);
        } else if (i == DIGEST) {
            ret_key->digest = (int32_t)number(&column, 4);
        } else if (i == VALUE) {
            *ret_value = real(number(&column, 8));
        } else if (i == VALUES) {
            *ret_value = read_array(&column);
        } else if (i == EXTRA) {
            CHECK(column.at[0] == 1 && column.at[1] == '{' && column.at[len - 1] == '}');
        }
    }
    return true;
}

static PGresult *model_copied(struct pq_session *s, const char *sql, struct view bytes)
{
    static const uint8_t header[19] = "PGCOPY\n\377\r\n";
    bool incoming = strncmp(sql, "COPY incoming ", 14) == 0;
    struct reader r = {.at = bytes.data, .left = bytes.len};
    CHECK(s->open && memcmp(take(&r, sizeof(header)), header, sizeof(header)) == 0);
    struct table_key key = {0};
    double value = 0;
    for (int line = 1; read_tuple(&r, &key, &value); line++) {
        char context[64];
        (void)snprintf(context, sizeof(context), "COPY samples, line %d", line);
        if (incoming) {
            CHECK(s->incoming_count < TABLES_INCOMING_MAX);
            s->incoming_value[s->incoming_count] = value;
            s->incoming[s->incoming_count++] = key;
        } else if (tables_have(&tables.committed, key) || tables_have(s, key)) {
            return pq_error("23505", context);
        } else if (value >= 666) {
            return pq_error("23514", context);
        } else {
            add_key(s, key);
        }
        value = 0;
    }
    return pq_result(PGRES_COMMAND_OK);
}

/* ---- statements ---- */

static bool starts(const char *sql, const char *words)
{
    return strncmp(sql, words, strlen(words)) == 0;
}

static PGresult *one_text(const char *text)
{
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    pq_row(r, 1, &text);
    return r;
}

static PGresult *lane(void)
{
    pq_finish_ghosts(holds_lane); /* the row's lock waits for them */
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    const char *row[] = {pq_text(r, "%lld", (long long)tables.committed.seq), tables.owner};
    pq_row(r, 2, row);
    return r;
}

static PGresult *step(struct pq_session *s, const char *sql)
{
    long long seq = 0;
    char owner[40] = "";
    CHECK(sscanf(sql, "SELECT writer_step(0, %lld, '%32[0-9a-f]')", &seq, owner) == 2);
    CHECK(s->open && !s->stepped);
    if (strcmp(owner, tables.owner) != 0) {
        return pq_error("55000", NULL);
    }
    s->stepped = true;
    s->seq = seq;
    return one_text("");
}

static void key_row(PGresult *r, struct table_key k, const char *why)
{
    const char *row[] = {pq_text(r, "%d", k.device), pq_text(r, "%lld", (long long)k.ts_us),
                         pq_text(r, "%d", k.digest), why};
    pq_row(r, why == NULL ? 3 : 4, row);
}

static PGresult *insert_incoming(struct pq_session *s)
{
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    for (int i = 0; i < s->incoming_count; i++) {
        struct table_key k = s->incoming[i];
        if (s->incoming_value[i] >= 666) {
            PQclear(r);
            return pq_error("23514", NULL);
        }
        if (!tables_have(&tables.committed, k) && !tables_have(s, k)) {
            add_key(s, k);
            key_row(r, k, NULL);
        }
    }
    return r;
}

static PGresult *refused_incoming(const struct pq_session *s)
{
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    for (int i = 0; i < s->incoming_count; i++) {
        if (s->incoming_value[i] >= 666) {
            key_row(r, s->incoming[i], "refused");
        }
    }
    return r;
}

/* $1 of the arrays: binary, one dimension, as many elements as it says. */
static void check_array(const struct pq_call *call, int at)
{
    struct reader r = {.at = (const uint8_t *)call->values[at], .left = (size_t)call->lengths[at]};
    CHECK(call->formats[at] == 1 && number(&r, 4) == 1);
    (void)number(&r, 8);
    uint64_t count = number(&r, 4);
    CHECK(number(&r, 4) == 1 && count > 0);
    for (; count > 0; count--) {
        uint64_t len = number(&r, 4);
        (void)take(&r, len == UINT32_MAX ? 0 : len);
    }
    CHECK(r.left == 0);
}

static PGresult *operation(const struct pq_call *call)
{
    CHECK(call->session->open);
    if (starts(call->sql, "INSERT INTO latest ") ||
        starts(call->sql, "INSERT INTO device_state ")) {
        for (int i = 0; i < call->count; i++) {
            check_array(call, i);
        }
    } else if (starts(call->sql, "poison ")) {
        return pq_error("22P02", NULL);
    } else {
        CHECK(starts(call->sql, "operation ") ||
              starts(call->sql, "INSERT INTO rejected_messages "));
    }
    return pq_result(PGRES_COMMAND_OK);
}

static PGresult *model_execute(const struct pq_call *call)
{
    struct pq_session *s = call->session;
    const char *sql = call->sql;
    if (starts(sql, "SET ") || starts(sql, "CREATE ") || starts(sql, "WITH moved ") ||
        starts(sql, "ALTER TABLE samples ")) {
        return pq_result(PGRES_COMMAND_OK);
    }
    if (starts(sql, "SHOW ")) {
        return one_text("on");
    }
    if (starts(sql, "SELECT pg_terminate_backend")) {
        CHECK(call->count == 1);
        pq_terminate((int)strtoll(call->values[0], NULL, 10));
        return one_text("t");
    }
    if (starts(sql, "SELECT seq, owner FROM writer_lanes")) {
        return lane();
    }
    if (starts(sql, "UPDATE writer_lanes SET owner")) {
        (void)snprintf(tables.owner, sizeof(tables.owner), "%s", call->values[0]);
        PGresult *r = pq_result(PGRES_TUPLES_OK);
        const char *seq = pq_text(r, "%lld", (long long)tables.committed.seq);
        pq_row(r, 1, &seq);
        return r;
    }
    if (starts(sql, "SELECT writer_step(")) {
        return step(s, sql);
    }
    if (starts(sql, "COPY ")) {
        CHECK(strstr(sql, "FROM STDIN (FORMAT binary)") != NULL);
        return pq_result(PGRES_COPY_IN);
    }
    if (starts(sql, "INSERT INTO samples SELECT * FROM incoming")) {
        return insert_incoming(s);
    }
    if (starts(sql, "SELECT of_device")) {
        return refused_incoming(s);
    }
    return operation(call);
}

const struct pq_model tables_model = {.open = model_open,
                                      .close = model_close,
                                      .execute = model_execute,
                                      .copied = model_copied,
                                      .begin = model_begin,
                                      .commit = model_commit,
                                      .rollback = model_rollback};
