#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "store/writer_internal.h"

/*
 * A batch of new samples and nothing else is one round trip: BEGIN, the lane's step, COPY and
 * COMMIT travel as one query string around the data. Anything more takes two or three: suspects are
 * copied into a temporary table and inserted from there with ON CONFLICT, and the operations go as
 * one pipeline that ends with the COMMIT.
 */
#define ROW_COLUMNS "ts, received_at, device_id, digest, flags, shape, value, values, extra"

static const uint8_t copy_header[] =
    "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* signature, flags, extension length */
enum { COPY_HEADER_LEN = 19 };

static int64_t answer_deadline(const struct db *db)
{
    return clock_mono_us() + db->timeout_us;
}

/* ---- partitions ---- */

/* A transaction of its own. Samples of that time that wait in the default partition move over. */
static enum err partition_create(struct db *db, const struct batch_partition *p)
{
    char from[CLOCK_TEXT_SIZE];
    char to[CLOCK_TEXT_SIZE];
    (void)clock_format(p->from_us, from);
    (void)clock_format(p->to_us, to);
    char sql[1024];
    int len = snprintf(
        sql, sizeof(sql),
        "BEGIN;"
        "CREATE TABLE %s (LIKE samples INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE"
        " INCLUDING INDEXES);"
        "WITH moved AS (DELETE FROM samples_default WHERE ts >= '%s' AND ts < '%s' RETURNING *)"
        " INSERT INTO %s SELECT * FROM moved;"
        "ALTER TABLE samples ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s');"
        "COMMIT",
        p->name, from, to, p->name, p->name, from, to);
    CHECK(len > 0 && (size_t)len < sizeof(sql));
    enum err e = db_script(db, sql);
    if (e == ERR_OK) {
        LOG(LOG_INFO, "partition_created", LOG_S("name", p->name));
        return ERR_OK;
    }
    bool exists = strcmp(db->sqlstate, "42P07") == 0;
    if (db_alive(db) && db_script(db, "ROLLBACK") != ERR_OK) {
        return ERR_DB_DOWN;
    }
    return exists ? ERR_OK : e;
}

static enum err partitions_create(struct db *db, struct batch *b)
{
    while (b->partitions != NULL) {
        enum err e = partition_create(db, b->partitions);
        if (e != ERR_OK) {
            return e;
        }
        b->partitions = b->partitions->next;
    }
    return ERR_OK;
}

/* ---- rows ---- */

enum row_choice { ROWS_PLAIN, ROWS_SUSPECT, ROWS_ALL };

static bool row_chosen(const struct batch_key *k, enum row_choice choice)
{
    return k->end != BATCH_ROW_POISON &&
           (choice == ROWS_ALL || k->suspect == (choice == ROWS_SUSPECT));
}

static uint32_t rows_count(const struct batch *b, enum row_choice choice)
{
    uint32_t count = 0;
    uint32_t n = 0;
    const struct batch_key *keys = batch_keys(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        n += row_chosen(&keys[i], choice);
    }
    return n;
}

static bool put_bytes(struct db *db, const void *data, size_t len)
{
    return len == 0 || PQputCopyData(db->pg, data, (int)len) == 1;
}

/* The tuples of the chosen rows, in runs that lie side by side. */
static bool put_rows(struct db *db, const struct batch *b, enum row_choice choice)
{
    uint32_t count = 0;
    const struct batch_key *keys = batch_keys(b, &count);
    const uint8_t *run = NULL;
    size_t run_len = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!row_chosen(&keys[i], choice)) {
            continue;
        }
        const uint8_t *at = (keys[i].suspect ? b->suspects.data : b->rows.data) + keys[i].at;
        if (run != NULL && at == run + run_len) {
            run_len += keys[i].len;
            continue;
        }
        if (!put_bytes(db, run, run_len)) {
            return false;
        }
        run = at;
        run_len = keys[i].len;
    }
    return put_bytes(db, run, run_len);
}

static bool put_copy(struct db *db, const struct batch *b, enum row_choice choice)
{
    static const uint8_t trailer[] = {0xFF, 0xFF};
    return put_bytes(db, copy_header, COPY_HEADER_LEN) && put_rows(db, b, choice) &&
           put_bytes(db, trailer, sizeof(trailer)) && PQputCopyEnd(db->pg, NULL) == 1;
}

/* "COPY samples, line 17, column extra" -> 17; 0: not a row's fault. */
static uint32_t error_row(const PGresult *r)
{
    const char *context =
        PQresultErrorField(r, PG_DIAG_CONTEXT); /* "JSON data, line 1: …" may stand before it */
    const char *copy = context == NULL ? NULL : strstr(context, "COPY ");
    const char *line = copy == NULL ? NULL : strstr(copy, ", line ");
    return line == NULL ? 0 : (uint32_t)strtoul(line + 7, NULL, 10);
}

static void key_poison(struct batch *b, struct batch_key *k, const char *why)
{
    k->end = BATCH_ROW_POISON;
    b->poisoned++;
    counter_add(COUNTER_BATCH_POISON, 1);
    LOG(LOG_ERROR, "row_refused", LOG_I("device_id", k->device_id), LOG_S("error", why));
    struct batch_op *op =
        batch_op(b, "INSERT INTO rejected_messages (received_at, device, topic, reason, detail, "
                    "payload, size) VALUES (now(), coalesce((SELECT name FROM devices WHERE id = "
                    "$1), ''), '', 'database refused the data', $2, $3::bytea, "
                    "octet_length($3::bytea))");
    batch_op_int(b, op, k->device_id);
    batch_op_str(b, op, why);
    batch_op_bytes(b, op,
                   view_of((k->suspect ? b->suspects.data : b->rows.data) + k->at,
                           k->len < 4096 ? k->len : 4096));
}

static enum err row_poison(struct db *db, struct batch *b, enum row_choice choice, uint32_t line)
{
    uint32_t count = 0;
    struct batch_key *keys = batch_keys(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (row_chosen(&keys[i], choice) && --line == 0) {
            key_poison(b, &keys[i], db->error);
            return ERR_SKIP;
        }
    }
    return ERR_DB_DATA;
}

/* Only PostgreSQL's own word for it counts: an answer that is merely no error is none. A COMMIT of
 * a failed transaction says ROLLBACK. */
static bool says_commit(PGresult *r)
{
    return strcmp(PQcmdStatus(r), "COMMIT") == 0;
}

static enum err no_word_of_commit(struct db *db)
{
    return db_broken(db, ERR_DB_DOWN, "no answer to COMMIT");
}

/* Sends `sql`, which holds one COPY … FROM STDIN and perhaps statements around it, and the rows.
 * commit: the last of them is COMMIT. */
static enum err copy_rows(struct db *db, struct batch *b, const char *sql, enum row_choice choice,
                          bool commit)
{
    bool committed = false;
    if (PQsendQuery(db->pg, sql) == 0) {
        return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
    }
    enum err e = ERR_OK;
    uint32_t line = 0;
    for (;;) {
        PGresult *r = NULL;
        enum err next = db_next_result(db, answer_deadline(db), &r);
        if (next != ERR_OK) {
            return next;
        }
        if (r == NULL) {
            break;
        }
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_COPY_IN) {
            if (!put_copy(db, b, choice)) {
                PQclear(r);
                return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
            }
        } else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && e == ERR_OK) {
            e = db_fail(db, r);
            line = error_row(r);
        }
        committed = says_commit(r);
        PQclear(r);
    }
    if (e == ERR_DB_DATA && line > 0) {
        return row_poison(db, b, choice, line);
    }
    return e == ERR_OK && commit && !committed ? no_word_of_commit(db) : e;
}

/* ---- rows that may be stored already ---- */

struct stored_key {
    int64_t ts_us;
    int32_t device_id;
    int32_t digest;
    bool taken;
};

static int stored_key_compare(const void *a, const void *b)
{
    const struct stored_key *x = a;
    const struct stored_key *y = b;
    if (x->device_id != y->device_id) {
        return x->device_id < y->device_id ? -1 : 1;
    }
    if (x->ts_us != y->ts_us) {
        return x->ts_us < y->ts_us ? -1 : 1;
    }
    return x->digest == y->digest ? 0 : x->digest < y->digest ? -1 : 1;
}

/* The first row of a key that was inserted is new, all others of that key are duplicates. */
static enum err mark_duplicates(struct batch *b, const struct db_result *inserted,
                                enum row_choice choice)
{
    size_t n = (size_t)db_rows(inserted);
    struct stored_key *stored = calloc(n + 1, sizeof(*stored));
    if (stored == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        stored[i].device_id = (int32_t)db_get_int(inserted, (int)i, 0);
        stored[i].ts_us = db_get_int(inserted, (int)i, 1);
        stored[i].digest = (int32_t)db_get_int(inserted, (int)i, 2);
    }
    qsort(stored, n, sizeof(*stored), stored_key_compare);
    uint32_t count = 0;
    struct batch_key *keys = batch_keys(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (!row_chosen(&keys[i], choice)) {
            continue;
        }
        struct stored_key want = {
            .ts_us = keys[i].ts_us, .device_id = keys[i].device_id, .digest = keys[i].digest};
        struct stored_key *at = bsearch(&want, stored, n, sizeof(*stored), stored_key_compare);
        bool fresh = at != NULL && !at->taken;
        keys[i].end = fresh ? BATCH_ROW_NEW : BATCH_ROW_DUPLICATE;
        if (fresh) {
            at->taken = true;
        }
    }
    free(stored);
    return ERR_OK;
}

#define COPY_INCOMING "COPY incoming (" ROW_COLUMNS ") FROM STDIN (FORMAT binary)"

/* INSERT … SELECT does not say which row was refused, so each is tried alone, in a transaction that
 * comes to nothing: a row that PostgreSQL refuses must not keep the others waiting for ever. */
static enum err find_refused(struct db *db, struct batch *b, enum row_choice choice)
{
    enum err e = db_script(db, "ROLLBACK; BEGIN");
    if (e == ERR_OK) {
        e = copy_rows(db, b, COPY_INCOMING, choice, false);
    }
    struct db_result *refused = NULL;
    if (e == ERR_OK) {
        e = db_query(db,
                     "SELECT of_device, (extract(epoch FROM at) * 1000000)::bigint, of_digest, why"
                     " FROM pg_temp.incoming_refused()",
                     NULL, &refused);
    }
    if (e != ERR_OK) {
        return e;
    }
    uint32_t count = 0;
    struct batch_key *keys = batch_keys(b, &count);
    for (int row = 0; row < db_rows(refused); row++) {
        for (uint32_t i = 0; i < count; i++) {
            if (row_chosen(&keys[i], choice) && keys[i].device_id == db_get_int(refused, row, 0) &&
                keys[i].ts_us == db_get_int(refused, row, 1) &&
                keys[i].digest == db_get_int(refused, row, 2)) {
                key_poison(b, &keys[i], db_get(refused, row, 3));
            }
        }
    }
    e = db_rows(refused) > 0 ? ERR_SKIP : ERR_DB_DATA;
    db_result_free(refused);
    return e;
}

static enum err insert_careful(struct db *db, struct batch *b, enum row_choice choice)
{
    if (rows_count(b, choice) == 0) {
        return ERR_OK;
    }
    enum err e = copy_rows(db, b, COPY_INCOMING, choice, false);
    if (e != ERR_OK) {
        return e;
    }
#ifdef MUTANT_NO_CONFLICT_CLAUSE
    /* What the durability tests must catch: what is stored already is stored again. */
    e = db_script(db, "UPDATE incoming SET digest = (random() * 2e9)::int");
    if (e != ERR_OK) {
        return e;
    }
#endif
    struct db_result *inserted = NULL;
    e = db_query(db,
                 "INSERT INTO samples SELECT * FROM incoming ON CONFLICT DO NOTHING"
                 " RETURNING device_id, (extract(epoch FROM ts) * 1000000)::bigint, digest",
                 NULL, &inserted);
    if (e == ERR_DB_DATA) {
        return find_refused(db, b, choice);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = mark_duplicates(b, inserted, choice);
    db_result_free(inserted);
    return e;
}

/* ---- operations ---- */

/* A one-dimensional binary array from elements that are already in wire form. */
static void put_array(struct buf *out, uint32_t oid, uint32_t count, const struct buf *elements)
{
    buf_clear(out);
    const uint32_t head[] = {1, 1, oid, count, 1};
    for (size_t i = 0; i < COUNT_OF(head); i++) {
        buf_put_u32(out, head[i]);
    }
    buf_put_view(out, buf_view(elements));
}

enum { OID_BYTEA = 17, OID_INT4 = 23, OID_TEXT = 25, OID_FLOAT8 = 701, OID_TIMESTAMPTZ = 1184 };
enum { ARRAYS_MAX = 5 };

/* A device may have been written twice into one batch: the later one counts. */
static const char *const sql_latest =
    "INSERT INTO latest (device_id, metric, ts, value, extra)"
    " SELECT DISTINCT ON (d, m) d, m, t, v, x::jsonb FROM unnest($1::int[], $2::int[], "
    "$3::timestamptz[],"
    " $4::float8[], $5::text[]) WITH ORDINALITY AS i (d, m, t, v, x, n) ORDER BY d, m, n DESC"
    " ON CONFLICT (device_id, metric) DO UPDATE SET ts = excluded.ts, value = excluded.value,"
    " extra = excluded.extra WHERE excluded.ts >= latest.ts";

static const char *const sql_state =
    "INSERT INTO device_state (device_id, watermark, last_seen_at, rule_state)"
    " SELECT DISTINCT ON (d) d, w, l, r FROM unnest($1::int[], $2::timestamptz[], "
    "$3::timestamptz[],"
    " $4::bytea[]) WITH ORDINALITY AS i (d, w, l, r, n) ORDER BY d, n DESC"
    " ON CONFLICT (device_id) DO UPDATE SET watermark = excluded.watermark,"
    " last_seen_at = excluded.last_seen_at, rule_state = excluded.rule_state";

static bool send_arrays(struct db *db, const char *sql, uint32_t count,
                        const struct buf *const *elements, const uint32_t *oids, int arrays)
{
    struct buf bufs[ARRAYS_MAX];
    const char *values[ARRAYS_MAX];
    int lengths[ARRAYS_MAX];
    int formats[ARRAYS_MAX];
    bool ok = true;
    for (int i = 0; i < arrays; i++) {
        buf_init(&bufs[i], SIZE_MAX / 2);
        put_array(&bufs[i], oids[i], count, elements[i]);
        ok = ok && buf_err(&bufs[i]) == ERR_OK;
        values[i] = (const char *)bufs[i].data;
        lengths[i] = (int)bufs[i].len;
        formats[i] = 1;
    }
    const struct prepared_values v = {
        .count = arrays, .values = values, .lengths = lengths, .formats = formats};
    ok = ok && prepared_send(db, sql, &v);
    for (int i = 0; i < arrays; i++) {
        buf_fini(&bufs[i]);
    }
    return ok;
}

static bool send_latest(struct db *db, const struct batch *b)
{
    const struct buf *const elements[] = {&b->latest_device, &b->latest_metric, &b->latest_ts,
                                          &b->latest_value, &b->latest_extra};
    static const uint32_t oids[] = {OID_INT4, OID_INT4, OID_TIMESTAMPTZ, OID_FLOAT8, OID_TEXT};
    return b->latest_count == 0 || send_arrays(db, sql_latest, b->latest_count, elements, oids, 5);
}

static bool send_state(struct db *db, const struct batch *b)
{
    const struct buf *const elements[] = {&b->state_device, &b->state_watermark, &b->state_seen,
                                          &b->state_rules};
    static const uint32_t oids[] = {OID_INT4, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_BYTEA};
    return b->state_count == 0 || send_arrays(db, sql_state, b->state_count, elements, oids, 4);
}

static enum err prepare_operations(struct db *db, const struct batch *b)
{
    enum err e = ERR_OK;
    for (const struct batch_op *op = b->first_op; op != NULL && e == ERR_OK; op = op->next) {
        e = prepared_make(db, op->sql);
    }
    if (e == ERR_OK && b->latest_count > 0) {
        e = prepared_make(db, sql_latest);
    }
    if (e == ERR_OK && b->state_count > 0) {
        e = prepared_make(db, sql_state);
    }
    return e;
}

static bool send_operations(struct db *db, const struct batch *b)
{
    for (const struct batch_op *op = b->first_op; op != NULL; op = op->next) {
        const struct prepared_values v = {.count = op->count,
                                          .values = op->values,
                                          .lengths = op->lengths,
                                          .formats = op->formats};
        if (!prepared_send(db, op->sql, &v)) {
            return false;
        }
    }
    return send_latest(db, b) && send_state(db, b) &&
           PQsendQueryParams(db->pg, "COMMIT", 0, NULL, NULL, NULL, NULL, 0) == 1 &&
           PQpipelineSync(db->pg) == 1;
}

/* Reads all answers of the pipeline. *ret_failed: which statement failed first, counted from 0. */
static enum err read_pipeline(struct db *db, uint32_t *ret_failed)
{
    enum err e = ERR_OK;
    bool committed = false;
    uint32_t at = 0;
    for (;;) {
        PGresult *r = NULL;
        enum err next = db_next_result(db, answer_deadline(db), &r);
        if (next != ERR_OK) {
            return next;
        }
        if (r == NULL) {
            at++; /* the end of one statement's results */
            continue;
        }
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_FATAL_ERROR && e == ERR_OK) {
            e = db_fail(db, r);
            *ret_failed = at;
        }
        committed = committed || says_commit(r);
        PQclear(r);
        if (db->broken) {
            return e;
        }
        if (status == PGRES_PIPELINE_SYNC) {
            return e == ERR_OK && !committed ? no_word_of_commit(db) : e;
        }
    }
}

/* Takes the operation out that PostgreSQL refused for its data: it alone is lost, and loudly. */
static enum err operation_poison(struct db *db, struct batch *b, uint32_t at)
{
    struct batch_op **link = &b->first_op;
    for (uint32_t i = 0; *link != NULL && i < at; i++) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return ERR_DB_DATA;
    }
    LOG(LOG_ERROR, "operation_refused", LOG_S("sql", (*link)->sql), LOG_S("error", db->error));
    counter_add(COUNTER_BATCH_POISON, 1);
    if (b->last_op == &(*link)->next) {
        b->last_op = link;
    }
    *link = (*link)->next;
    b->op_count--;
    return ERR_SKIP;
}

static enum err run_operations(struct db *db, struct batch *b)
{
    if (PQenterPipelineMode(db->pg) != 1 || !send_operations(db, b)) {
        return db_broken(db, ERR_DB_DOWN, PQerrorMessage(db->pg));
    }
    uint32_t failed = 0;
    enum err e = read_pipeline(db, &failed);
    if (db->broken) {
        return e;
    }
    if (PQexitPipelineMode(db->pg) != 1) {
        return db_broken(db, ERR_DB_DOWN, "the pipeline did not end");
    }
    bool about_data = e == ERR_DB_DATA || e == ERR_SYNTAX || e == ERR_EXISTS;
    return about_data ? operation_poison(db, b, failed) : e;
}

/* ---- the whole ---- */

static bool only_rows(const struct batch *b)
{
    return b->suspects.len == 0 && b->op_count == 0 && b->latest_count == 0 && b->state_count == 0;
}

static enum err begin(struct db *db, struct batch *b, const struct writer_step *step, bool copy,
                      bool commit)
{
    char sql[512];
    int len = snprintf(sql, sizeof(sql), "BEGIN; SELECT writer_step(0, %lld, '%s')%s%s",
                       (long long)step->seq, step->owner,
                       copy ? "; COPY samples (" ROW_COLUMNS ") FROM STDIN (FORMAT binary)" : "",
                       commit ? "; COMMIT" : "");
    CHECK(len > 0 && (size_t)len < sizeof(sql));
    return copy ? copy_rows(db, b, sql, ROWS_PLAIN, commit) : db_script(db, sql);
}

static enum err commit_steps(struct db *db, struct batch *b, const struct writer_step *step)
{
    bool plain = !step->careful && rows_count(b, ROWS_PLAIN) > 0;
    bool at_once = plain && only_rows(b);
    enum err e = begin(db, b, step, plain, at_once);
    if (e != ERR_OK || at_once) {
        return e;
    }
    e = insert_careful(db, b, step->careful ? ROWS_ALL : ROWS_SUSPECT);
    return e == ERR_OK ? run_operations(db, b) : e;
}

enum err writer_commit(struct db *db, struct batch *b, const struct writer_step *step)
{
    enum err e = partitions_create(db, b);
    if (e == ERR_OK) {
        e = prepare_operations(db, b);
    }
    if (e == ERR_OK) {
        e = commit_steps(db, b, step);
    }
    if (e != ERR_OK && db_alive(db) && PQtransactionStatus(db->pg) != PQTRANS_IDLE) {
        struct db kept = *db;
        if (db_script(db, "ROLLBACK") != ERR_OK) {
            db->broken = true;
        }
        memcpy(db->error, kept.error, sizeof(db->error));
        memcpy(db->sqlstate, kept.sqlstate, sizeof(db->sqlstate));
    }
    return e;
}
