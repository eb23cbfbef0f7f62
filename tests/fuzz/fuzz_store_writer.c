/*
 * The writer over a libpq that fails: any SQLSTATE, no answer, half an answer, a lost connection or
 * a missed deadline at any step, backends that finish their work after their connection is gone,
 * and another server that takes over. Behind it is a small model of the tables.
 *
 * Properties: a ticket that hears ERR_OK has all its rows in the committed table, one that hears
 * that it was refused has a row that was refused; batches are committed once, in the order they
 * were submitted, each under the lane's next number; each ticket and each `done` is told once; what
 * COPY gets is what the documentation of PostgreSQL says; when nothing fails any more everything is
 * committed, unless the writer gave its batch up or was told to stop.
 *
 * Input: length of the first part; operations (two bytes each); faults (fake/pq.h).
 */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/intern.h"
#include "fake/pq.h"
#include "loop/worker.h"
#include "store/batch_internal.h"
#include "store/writer.h"

enum { BATCHES = 12, MESSAGES = 48, ROWS = 128, STORED = 512, DEVICE = 7 };

struct key {
    int64_t ts_us;
    int32_t device, digest;
};

/* ---- the tables ---------------------------------------------------------------------------------
 */

struct pq_session {
    int pid;
    bool open;    /* in a transaction */
    bool stepped; /* holds the lane's row */
    int64_t seq;
    struct key added[STORED];
    int added_count;
    struct key incoming[ROWS];
    double incoming_value[ROWS];
    int incoming_count;
    int ops;
};

static struct {
    struct pq_session committed; /* `added`, `seq` */
    char owner[40];
    bool usurped;
    int running; /* the batch on the writer's thread; -1: none */
    int last_running;
    int done_batches; /* committed ones, in order */
    bool recall_on_sleep, stop_on_sleep;
} db;

static bool key_eq(struct key a, struct key b)
{
    return a.ts_us == b.ts_us && a.device == b.device && a.digest == b.digest;
}

static bool stored_in(const struct pq_session *s, struct key k)
{
    for (int i = 0; i < s->added_count; i++) {
        if (key_eq(s->added[i], k)) {
            return true;
        }
    }
    return false;
}

static void add_key(struct pq_session *s, struct key k)
{
    CHECK(s->added_count < STORED);
    s->added[s->added_count++] = k;
}

static void model_begin(struct pq_session *s)
{
    s->open = true;
    s->stepped = false;
    s->added_count = 0;
    s->incoming_count = 0;
    s->ops = 0;
}

static void model_rollback(struct pq_session *s)
{
    model_begin(s);
    s->open = false;
}

static void model_commit(struct pq_session *s)
{
    if (s->stepped) {
        CHECK(s->seq == db.committed.seq + 1); /* never one twice, never one left out */
        db.committed.seq = s->seq;
        db.done_batches++;
    }
    for (int i = 0; i < s->added_count; i++) {
        CHECK(!stored_in(&db.committed, s->added[i]));
        add_key(&db.committed, s->added[i]);
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

/* ---- COPY, read as the documentation of PostgreSQL describes it
 * ---------------------------------- */

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
static bool read_tuple(struct reader *r, struct key *ret_key, double *ret_value)
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
    struct key key = {0};
    double value = 0;
    for (int line = 1; read_tuple(&r, &key, &value); line++) {
        char context[64];
        (void)snprintf(context, sizeof(context), "COPY samples, line %d", line);
        if (incoming) {
            CHECK(s->incoming_count < ROWS);
            s->incoming_value[s->incoming_count] = value;
            s->incoming[s->incoming_count++] = key;
        } else if (stored_in(&db.committed, key) || stored_in(s, key)) {
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

/* ---- statements ---------------------------------------------------------------------------------
 */

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
    const char *row[] = {pq_text(r, "%lld", (long long)db.committed.seq), db.owner};
    pq_row(r, 2, row);
    return r;
}

static PGresult *step(struct pq_session *s, const char *sql)
{
    long long seq = 0;
    char owner[40] = "";
    CHECK(sscanf(sql, "SELECT writer_step(0, %lld, '%32[0-9a-f]')", &seq, owner) == 2);
    CHECK(s->open && !s->stepped);
    if (strcmp(owner, db.owner) != 0) {
        return pq_error("55000", NULL);
    }
    s->stepped = true;
    s->seq = seq;
    return one_text("");
}

static void key_row(PGresult *r, struct key k, const char *why)
{
    const char *row[] = {pq_text(r, "%d", k.device), pq_text(r, "%lld", (long long)k.ts_us),
                         pq_text(r, "%d", k.digest), why};
    pq_row(r, why == NULL ? 3 : 4, row);
}

static PGresult *insert_incoming(struct pq_session *s)
{
    PGresult *r = pq_result(PGRES_TUPLES_OK);
    for (int i = 0; i < s->incoming_count; i++) {
        struct key k = s->incoming[i];
        if (s->incoming_value[i] >= 666) {
            PQclear(r);
            return pq_error("23514", NULL);
        }
        if (!stored_in(&db.committed, k) && !stored_in(s, k)) {
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
    call->session->ops++;
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
        (void)snprintf(db.owner, sizeof(db.owner), "%s", call->values[0]);
        PGresult *r = pq_result(PGRES_TUPLES_OK);
        const char *seq = pq_text(r, "%lld", (long long)db.committed.seq);
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

static const struct pq_model model = {.open = model_open,
                                      .close = model_close,
                                      .execute = model_execute,
                                      .copied = model_copied,
                                      .begin = model_begin,
                                      .commit = model_commit,
                                      .rollback = model_rollback};

/* ---- the writer's thread ------------------------------------------------------------------------
 */

static struct mail *posted, **posted_last = &posted;
static struct writer *writer;

struct worker *worker_new(const char *name, int threads, worker_open_fn open, worker_close_fn close,
                          void *arg)
{
    static char worker;
    (void)name;
    (void)open;
    (void)close;
    (void)arg;
    CHECK(threads == 1);
    return (struct worker *)(void *)&worker;
}

void worker_post(struct worker *w, struct mail *m)
{
    (void)w;
    m->next = NULL;
    *posted_last = m;
    posted_last = &m->next;
}

static bool run_one(void)
{
    struct mail *m = posted;
    if (m == NULL) {
        return false;
    }
    posted = m->next;
    posted_last = posted == NULL ? &posted : posted_last;
    m->run(m);
    return true;
}

void worker_stop(struct worker *w)
{
    (void)w; /* LLVMFuzzerTestOneInput runs what was posted; here we may be inside of it */
}

void worker_free(struct worker *w)
{
    (void)w;
    CHECK(posted == NULL);
}

void *worker_context(void)
{
    return NULL;
}

int __wrap_nanosleep(const struct timespec *want, struct timespec *left);
int __wrap_nanosleep(const struct timespec *want, struct timespec *left)
{
    (void)left;
    pq_sleep_us(want->tv_sec * CLOCK_SECOND_US + want->tv_nsec / 1000);
    if (db.recall_on_sleep) {
        db.recall_on_sleep = false;
        writer_recall(writer, true);
    }
    if (db.stop_on_sleep) {
        writer_stop(writer);
    }
    return 0;
}

int64_t __wrap_clock_mono_us(void);
int64_t __wrap_clock_mono_us(void)
{
    return pq_now_us();
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x5A, len);
    return (ssize_t)len;
}

/* ---- batches ------------------------------------------------------------------------------------
 */

struct message {
    struct ticket ticket;
    struct key rows[4];
    int row_count;
    bool poisoned; /* has a row that the model refuses */
    enum err given;
    int told;
    enum err status;
};

struct slot {
    struct batch *batch;
    bool submitted, returned;
    int dones;
    enum err status;
};

static struct {
    struct slot slots[BATCHES];
    int count; /* the last one is being filled */
    struct message messages[MESSAGES];
    int message_count;
    struct intern *metrics;
} run;

static void ticket_told(struct ticket *t, enum err status)
{
    struct message *m = CONTAINER_OF(t, struct message, ticket);
    CHECK(m->told++ == 0);
    m->status = status;
    if (status != ERR_OK) {
        return;
    }
    CHECK(m->given == ERR_OK);
    for (int i = 0; i < m->row_count; i++) {
        CHECK(stored_in(&db.committed, m->rows[i]));
    }
}

static void batch_is_done(void *arg, struct batch *b)
{
    struct slot *s = arg;
    CHECK(s->submitted && s->batch == b);
    s->submitted = false;
    s->dones++;
    s->status = batch_status(b);
    s->returned = s->status == ERR_SKIP;
    if (s->returned) {
        return;
    }
    CHECK(s->status != ERR_OK || db.done_batches > 0);
    batch_free(b);
    s->batch = NULL;
}

static struct batch *filling(void)
{
    return run.slots[run.count - 1].batch;
}

static void fill_next(void)
{
    if (run.count < BATCHES) {
        struct slot *s = &run.slots[run.count++];
        *s = (struct slot){.batch = batch_new()};
        CHECK(s->batch != NULL);
    }
}

static struct message *add_message(enum err given)
{
    if (run.message_count == MESSAGES) {
        return NULL;
    }
    struct message *m = &run.messages[run.message_count++];
    *m = (struct message){.given = given, .status = ERR_STATE};
    ticket_init(&m->ticket, ticket_told);
    batch_message(filling(), &m->ticket, given, false);
    return m;
}

static void add_row(struct message *m, uint8_t which, bool suspect)
{
    if (m == NULL || m->row_count == (int)COUNT_OF(m->rows) || m->given != ERR_OK) {
        return;
    }
    struct sample_value values[] = {{.metric = 1, .kind = VALUE_NUMBER, .number = which % 8},
                                    {.metric = 2, .kind = VALUE_NUMBER, .number = 1},
                                    {.metric = 3, .kind = VALUE_TEXT, .text = VIEW("on \"fire\"")}};
    bool poison = which % 32 == 31;
    values[0].number = poison ? 666 + which : values[0].number;
    struct sample s = {
        .ts_us = (1 + which / 8) * CLOCK_SECOND_US, .count = 1 + which % 3, .values = values};
    struct key key = {.ts_us = s.ts_us, .device = DEVICE, .digest = sample_digest(&s)};
    batch_row_add(filling(),
                  &(struct batch_row){.device_id = DEVICE,
                                      .digest = key.digest,
                                      .shape = 1,
                                      .ts_us = s.ts_us,
                                      .received_at_us = s.ts_us,
                                      .sample = &s,
                                      .metrics = run.metrics},
                  suspect);
    m->poisoned = m->poisoned || poison;
    m->rows[m->row_count++] = key;
}

static void submit(struct slot *s)
{
    s->submitted = true;
    s->returned = false;
    batch_on_done(s->batch, batch_is_done, s);
    writer_submit(writer, s->batch);
}

static void resubmit_returned(void)
{
    while (run_one()) {
    }
    writer_recall(writer, false);
    for (int i = 0; i < run.count; i++) {
        if (run.slots[i].returned) {
            submit(&run.slots[i]);
        }
    }
}

static bool anything_returned(void)
{
    for (int i = 0; i < run.count; i++) {
        if (run.slots[i].returned) {
            return true;
        }
    }
    return false;
}

static void operate(uint8_t what, uint8_t which)
{
    static struct message *m; /* of the batch that is being filled */
    struct batch *b = filling();
    switch (what % 12) {
    case 0:
        m = add_message(which % 8 == 0 ? ERR_MALFORMED : ERR_OK);
        break;
    case 1:
    case 2:
        m = batch_messages(b) == 0 ? add_message(ERR_OK) : m;
        add_row(m, which, what % 12 == 2);
        break;
    case 3:
        batch_op_int(b, batch_op(b, which % 4 == 0 ? "poison $1" : "operation $1"), which);
        break;
    case 4:
        batch_latest(b, DEVICE, 1, which, which, which % 2 == 0 ? VIEW("true") : view_of(NULL, 0));
        break;
    case 5:
        batch_state(b, DEVICE, which, which, VIEW("state"));
        break;
    case 6:
        batch_partition(b, 0, CLOCK_DAY_US, "samples_19700101");
        break;
    case 7:
        (void)run_one();
        break;
    case 8:
        db.recall_on_sleep = which % 2 == 0;
        writer_recall(writer, which % 2 != 0);
        if (which % 2 == 0) {
            resubmit_returned();
        }
        break;
    case 9:
        if (which % 16 == 0) {
            (void)snprintf(db.owner, sizeof(db.owner), "somebody else");
            db.usurped = true;
        }
        break;
    case 10:
        db.stop_on_sleep = which % 16 == 0;
        break;
    default:
        if (!anything_returned() && run.count < BATCHES) {
            submit(&run.slots[run.count - 1]);
            fill_next();
        }
        break;
    }
}

/* Nothing goes wrong any more unless it was said to. */
static void finish(void)
{
    while (run_one()) {
    }
    for (int i = 0; i < BATCHES && anything_returned(); i++) {
        resubmit_returned();
        while (run_one()) {
        }
    }
    CHECK(!anything_returned());
    bool in_order = true;
    int committed = 0;
    for (int i = 0; i < run.count - 1; i++) {
        CHECK(run.slots[i].dones > 0 && !run.slots[i].submitted);
        bool good = run.slots[i].status == ERR_OK;
        CHECK(in_order || !good); /* nothing after one that was given up */
        in_order = in_order && good;
        committed += good;
    }
    CHECK(committed <= db.done_batches && db.done_batches <= committed + 1);
}

static void check_told(void)
{
    for (int i = 0; i < run.message_count; i++) {
        const struct message *m = &run.messages[i];
        CHECK(m->told == 1);
        CHECK(m->status != ERR_OK || !m->poisoned);
    }
}

static void forget_filling(void)
{
    struct slot *s = &run.slots[run.count - 1];
    for (uint32_t i = 0; i < batch_messages(s->batch); i++) {
        ticket_drop(batch_take_ticket(s->batch, i), ERR_CLOSED);
    }
    batch_free(s->batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script all = script_of(data, size);
    struct script ops = script_part(&all, script_byte(&all));
    char none[1] = "";
    struct conf conf = {.database_url = none, .commit_timeout_us = 15 * CLOCK_SECOND_US};
    memset(&db, 0, sizeof(db));
    memset(&run, 0, sizeof(run));
    run.metrics = intern_new(10);
    CHECK(intern_add(run.metrics, VIEW("a")) == 1 && intern_add(run.metrics, VIEW("b")) == 2 &&
          intern_add(run.metrics, VIEW("c")) == 3);
    pq_begin(&model, all);
    CHECK(writer_new(&conf, &writer) == ERR_OK);
    if (writer_start(writer) == ERR_OK) {
        fill_next();
        while (!script_over(&ops)) {
            uint8_t what = script_byte(&ops);
            operate(what, script_byte(&ops));
        }
        finish();
        forget_filling();
        check_told();
    }
    writer_stop(writer);
    writer_free(writer);
    pq_end();
    intern_free(run.metrics);
    return 0;
}
