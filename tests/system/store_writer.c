/*
 * The writer against a real PostgreSQL: what it stores, what it recognises, what it survives.
 * Usage: system_store_writer DATABASE_URL (empty database). Prints one line per promise; exit 0
 * when all hold.
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/intern.h"
#include "store/store.h"
#include "store/writer.h"

struct fixture {
    struct conf conf;
    struct db *db; /* a connection of the test's own */
    struct writer *writer;
    struct intern *metrics;
    sem_t done;
    int failed;
};

struct waiter {
    struct ticket ticket;
    enum err status;
    int calls;
};

static void ticket_done(struct ticket *t, enum err status)
{
    struct waiter *w = CONTAINER_OF(t, struct waiter, ticket);
    w->status = status;
    w->calls++;
}

static void batch_done(void *arg, struct batch *b)
{
    (void)b;
    struct fixture *f = arg;
    CHECK(sem_post(&f->done) == 0);
}

static void expect(struct fixture *f, const char *promise, int64_t got, int64_t want)
{
    bool ok = got == want;
    f->failed += !ok;
    (void)printf("%s %s", ok ? "ok  " : "FAIL", promise);
    (void)printf(ok ? "\n" : " (got %lld, expected %lld)\n", (long long)got, (long long)want);
}

static int64_t query_int(struct fixture *f, const char *sql)
{
    struct db_result *r = NULL;
    CHECK(db_query(f->db, sql, NULL, &r) == ERR_OK);
    int64_t v = db_rows(r) == 0 ? -1 : db_get_int(r, 0, 0);
    db_result_free(r);
    return v;
}

static enum err commit(struct fixture *f, struct batch *b)
{
    batch_on_done(b, batch_done, f);
    writer_submit(f->writer, b);
    CHECK(sem_wait(&f->done) == 0);
    return batch_status(b);
}

static void message(struct batch *b, struct waiter *w)
{
    *w = (struct waiter){.status = ERR_STATE};
    ticket_init(&w->ticket, ticket_done);
    counter_message_received(1);
    batch_message(b, &w->ticket, ERR_OK, true);
}

/* Two numbers, or a number and a text. */
static void row(struct fixture *f, struct batch *b, int64_t ts_us, double v, struct view text,
                bool suspect)
{
    struct sample_value values[] = {{.metric = 1, .kind = VALUE_NUMBER, .number = v},
                                    {.metric = 2, .kind = VALUE_NUMBER, .number = v * 2}};
    if (text.data != NULL) {
        values[1].kind = VALUE_TEXT;
        values[1].text = text;
    }
    struct sample s = {.ts_us = ts_us, .count = 2, .values = values};
    batch_row_add(b,
                  &(struct batch_row){.device_id = 7,
                                      .digest = sample_digest(&s),
                                      .shape = text.data != NULL ? 1 : 2,
                                      .ts_us = ts_us,
                                      .received_at_us = ts_us,
                                      .sample = &s,
                                      .metrics = f->metrics},
                  suspect);
}

static void stores_what_it_was_given(struct fixture *f)
{
    struct batch *b = batch_new();
    struct waiter w;
    struct waiter empty;
    batch_partition(b, 0, 31 * CLOCK_DAY_US, "samples_197001");
    message(b, &w);
    row(f, b, 1000000, 1.5, (struct view){NULL, 0}, false);
    row(f, b, 2000000, 2.5, VIEW("on \"fire\""), false);
    message(b, &empty);
    expect(f, "a batch of new samples is committed", commit(f, b), ERR_OK);
    expect(f, "its ticket is told once", w.calls, 1);
    expect(f, "and told success", w.status, ERR_OK);
    expect(f, "a message without samples is answered too", empty.calls, 1);
    expect(
        f, "numbers are stored in the order of the shape",
        query_int(
            f,
            "SELECT count(*) FROM reading_values WHERE (metric, value) IN (('a', 1.5), ('b', 3))"),
        2);
    expect(f, "a single number goes into the scalar column",
           query_int(f, "SELECT count(*) FROM samples WHERE value = 2.5 AND values IS NULL"), 1);
    expect(f, "texts are stored as they are",
           query_int(f, "SELECT count(*) FROM readings WHERE extra ->> 'b' = 'on \"fire\"'"), 1);
    batch_free(b);
}

static void recognises_duplicates(struct fixture *f)
{
    struct counter_balance before = counter_balance();
    struct batch *b = batch_new();
    struct waiter again;
    struct waiter fresh;
    struct waiter twice;
    message(b, &again);
    row(f, b, 1000000, 1.5, (struct view){NULL, 0}, true); /* a suspect that is stored */
    message(b, &fresh);
    row(f, b, 3000000, 1.5, (struct view){NULL, 0}, true);  /* a suspect that is not */
    row(f, b, 1000000, 99.0, (struct view){NULL, 0}, true); /* same time, other content */
    message(b, &twice);
    row(f, b, 3000000, 1.5, (struct view){NULL, 0}, true); /* twice in one batch */
    expect(f, "suspects are committed", commit(f, b), ERR_OK);
    expect(
        f, "same device, time and content add no row",
        query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(1) AND values[1] = 1.5"),
        1);
    expect(f, "same time with other content is another sample",
           query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(1)"), 2);
    struct counter_balance after = counter_balance();
    expect(f, "duplicates are counted by message", after.duplicate - before.duplicate, 2);
    expect(f, "and so are new ones", after.committed - before.committed, 1);
    batch_reset(b);
    message(b, &again);
    row(f, b, 2000000, 2.5, VIEW("on \"fire\""), false); /* thought to be new, but stored */
    row(f, b, 4000000, 4.0, (struct view){NULL, 0}, false);
    expect(f, "a row wrongly taken for new does no harm", commit(f, b), ERR_OK);
    expect(f, "and its neighbour is stored",
           query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(4)"), 1);
    batch_free(b);
}

static void takes_poison_out(struct fixture *f)
{
    struct batch *b = batch_new();
    struct waiter good;
    struct waiter bad;
    message(b, &good);
    row(f, b, 5000000, 5.0, (struct view){NULL, 0}, false);
    message(b, &bad);
    row(f, b, 6000000, 6.0, view_of("a\0b", 3),
        false); /* jsonb has no U+0000; the decoder would have refused it */
    struct batch_op *op = batch_op(b, "INSERT INTO store_meta VALUES ($1, $2::int::text)");
    batch_op_str(b, op, "x");
    batch_op_str(b, op, "no number");
    expect(f, "a batch with a row and an operation that are refused is committed without them",
           commit(f, b), ERR_OK);
    expect(f, "the other row is stored",
           query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(5)"), 1);
    expect(f, "the refused row's message is told so", bad.status != ERR_OK, 1);
    expect(f, "the other's is not", good.status, ERR_OK);
    expect(
        f, "the refused row is kept with the reason",
        query_int(
            f, "SELECT count(*) FROM rejected_messages WHERE reason <> '' AND length(payload) > 0"),
        1);
    batch_free(b);
}

/* Suspects go another way, where PostgreSQL does not say which of them it refused. */
static void takes_poison_out_of_suspects(struct fixture *f)
{
    CHECK(db_script(f->db, "ALTER TABLE samples ADD CONSTRAINT refuse_666 CHECK (values[1] IS "
                           "DISTINCT FROM 666)") == ERR_OK);
    struct batch *b = batch_new();
    struct waiter good;
    struct waiter bad;
    struct waiter again;
    message(b, &good);
    row(f, b, 7000000, 7.0, (struct view){NULL, 0}, true);
    message(b, &bad);
    row(f, b, 8000000, 666.0, (struct view){NULL, 0}, true);
    message(b, &again);
    row(f, b, 7000000, 7.0, (struct view){NULL, 0}, true);
    row(f, b, 9000000, 9.0, (struct view){NULL, 0}, false);
    expect(f, "a batch with a suspect that is refused is committed without it", commit(f, b),
           ERR_OK);
    expect(f, "its neighbours are stored once",
           query_int(f, "SELECT count(*) FROM samples WHERE ts IN (to_timestamp(7), "
                        "to_timestamp(9))"),
           2);
    expect(f, "the refused one's message is told so", bad.status, ERR_RANGE);
    expect(f, "the others' are not", good.status == ERR_OK && again.status == ERR_OK, 1);
    expect(f, "it is kept with the reason",
           query_int(f, "SELECT count(*) FROM rejected_messages WHERE detail LIKE '%refuse_666%'"),
           1);
    batch_free(b);
}

static void survives_lost_connections(struct fixture *f)
{
    for (int i = 0; i < 5; i++) {
        CHECK(query_int(f, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                           " WHERE application_name = 'signalbox-writer'") == 1);
        struct batch *b = batch_new();
        struct waiter w;
        message(b, &w);
        row(f, b, (100 + i) * CLOCK_SECOND_US, i, (struct view){NULL, 0}, false);
        if (commit(f, b) != ERR_OK || w.status != ERR_OK) {
            f->failed++;
        }
        batch_free(b);
    }
    expect(f, "after each lost connection the batch is stored once",
           query_int(f, "SELECT count(*) FROM samples WHERE ts >= to_timestamp(100) AND ts < "
                        "to_timestamp(105)"),
           5);
}

/* The first batch is committed, as far as the lane's number says, but its answer is lost; the
 * second was submitted behind it. It must neither be committed before the first nor be taken for
 * it. */
static void recalled_batches_keep_their_order(struct fixture *f)
{
    struct batch *b[2];
    struct waiter w[2];
    CHECK(db_script(f->db, "BEGIN; SELECT FROM writer_lanes FOR UPDATE") == ERR_OK);
    writer_recall(f->writer, true);
    for (int i = 0; i < 2; i++) {
        b[i] = batch_new();
        message(b[i], &w[i]);
        row(f, b[i], (300 + i) * CLOCK_SECOND_US, 1.0, (struct view){NULL, 0}, false);
        batch_on_done(b[i], batch_done, f);
        writer_submit(f->writer, b[i]);
    }
    while (query_int(f, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity,"
                        " pg_stat_clear_snapshot() WHERE application_name = 'signalbox-writer' AND"
                        " wait_event_type = 'Lock'") == 0) {
    }
    CHECK(db_script(f->db, "UPDATE writer_lanes SET seq = seq + 1; COMMIT") == ERR_OK);
    CHECK(sem_wait(&f->done) == 0 && sem_wait(&f->done) == 0);
    expect(f, "a batch whose outcome is unknown comes back", batch_status(b[0]), ERR_SKIP);
    expect(f, "and the one behind it too", batch_status(b[1]), ERR_SKIP);
    writer_recall(f->writer, false);
    expect(f, "submitted again, the first is settled by the lane's number", commit(f, b[0]),
           ERR_OK);
    expect(f, "and the second is committed", commit(f, b[1]), ERR_OK);
    expect(f, "with its row",
           query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(301)"), 1);
    batch_free(b[0]);
    batch_free(b[1]);
}

static void commits_nothing_after_a_batch_that_was_given_up(struct fixture *f)
{
    struct writer *other = NULL;
    CHECK(writer_new(&f->conf, &other) == ERR_OK && writer_start(other) == ERR_OK);
    struct writer *kept = f->writer;
    f->writer = other;
    struct batch *b = batch_new();
    struct waiter w;
    message(b, &w);
    batch_latest(b, 1, 1, 0, 0.0, VIEW("no JSON"));
    expect(f, "a batch that is refused again and again is given up", commit(f, b) == ERR_OK, 0);
    batch_reset(b);
    message(b, &w);
    row(f, b, 400 * CLOCK_SECOND_US, 1.0, (struct view){NULL, 0}, false);
    expect(f, "what was built upon it is not committed", commit(f, b), ERR_CLOSED);
    expect(f, "nor acknowledged", w.status, ERR_CLOSED);
    expect(f, "nor stored",
           query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(400)"), 0);
    batch_free(b);
    f->writer = kept;
    writer_stop(other);
    writer_free(other);
}

static void gives_way_to_another_server(struct fixture *f)
{
    struct writer *other = NULL;
    CHECK(writer_new(&f->conf, &other) == ERR_OK && writer_start(other) == ERR_OK);
    struct batch *b = batch_new();
    struct waiter w;
    message(b, &w);
    row(f, b, 200 * CLOCK_SECOND_US, 1.0, (struct view){NULL, 0}, false);
    expect(f, "a server whose lane was taken over commits nothing", commit(f, b), ERR_DENIED);
    expect(f, "and acknowledges nothing", w.status, ERR_DENIED);
    expect(f, "its row is not stored",
           query_int(f, "SELECT count(*) FROM samples WHERE ts = to_timestamp(200)"), 0);
    batch_free(b);
    writer_stop(other);
    writer_free(other);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s DATABASE_URL\n", argv[0]);
        return 2;
    }
    struct fixture f = {
        .conf = {.database_url = argv[1], .commit_timeout_us = 15 * CLOCK_SECOND_US}};
    CHECK(sem_init(&f.done, 0, 0) == 0);
    CHECK(db_open(argv[1], "test", &f.db) == ERR_OK);
    struct store_migration_status status;
    CHECK(store_migrate(f.db, &status) == ERR_OK);
    expect(&f, "migrations run again change nothing", store_migrate(f.db, &status), ERR_OK);
    f.metrics = intern_new(100);
    CHECK(intern_add(f.metrics, VIEW("a")) == 1 && intern_add(f.metrics, VIEW("b")) == 2);
    CHECK(db_script(f.db, "INSERT INTO metrics VALUES (1, 'a'), (2, 'b'); INSERT INTO shapes "
                          "VALUES (1, '{1}'), (2, '{1,2}');"
                          "INSERT INTO devices (name, type_id) SELECT 'd' || i, 1 FROM "
                          "generate_series(1, 7) i") == ERR_OK);
    CHECK(writer_new(&f.conf, &f.writer) == ERR_OK && writer_start(f.writer) == ERR_OK);
    stores_what_it_was_given(&f);
    recognises_duplicates(&f);
    takes_poison_out(&f);
    takes_poison_out_of_suspects(&f);
    survives_lost_connections(&f);
    recalled_batches_keep_their_order(&f);
    gives_way_to_another_server(&f);
    commits_nothing_after_a_batch_that_was_given_up(&f);
    struct counter_balance balance = counter_balance();
    expect(&f, "the balance holds",
           balance.received - balance.committed - balance.duplicate - balance.rejected, 0);
    expect(&f, "and no message is left in a batch", balance.held[MESSAGE_IN_BATCH], 0);
    writer_stop(f.writer);
    writer_free(f.writer);
    db_close(f.db);
    intern_free(f.metrics);
    return f.failed == 0 ? 0 : 1;
}
