/*
 * bench_store: how many samples a second the writer commits, with nothing else running, and what a
 * stored value costs. 1,000 devices; batches as large as the server's largest.
 *
 * Usage: bench_store DATABASE_URL [SECONDS [VALUES]]
 *
 * The database is empty, or its samples are deleted; the URL is a superuser's. Without VALUES:
 * samples of 1, 3, 10 and 50 values. Prints a JSON line each. The rows stay: what COPY makes of the
 * same ones is measured by tests/bench/run.
 */
#include "store/store.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/intern.h"
#include "store/writer.h"

enum { DEVICES = 1000, BATCH_ROWS = 8192, VALUES_MAX = 50 };

struct bench {
    struct db *db;
    struct writer *writer;
    struct intern *metrics;
    sem_t done;
    int64_t ts_us;
    int64_t rows;
};

static void batch_done(void *arg, struct batch *b)
{
    struct bench *bench = arg;
    CHECK(batch_status(b) == ERR_OK);
    CHECK(sem_post(&bench->done) == 0);
}

static void fill(struct bench *bench, struct batch *b, uint32_t values)
{
    struct sample_value v[VALUES_MAX];
    batch_reset(b);
    for (uint32_t i = 0; i < BATCH_ROWS; i++) {
        for (uint32_t k = 0; k < values; k++) {
            v[k] = (struct sample_value){.metric = (int32_t)k + 1,
                                         .kind = VALUE_NUMBER,
                                         .number = (double)(bench->rows % 1000) * 0.37 + k};
        }
        if (i % DEVICES == 0) {
            bench->ts_us += 1000;
        }
        struct sample s = {.ts_us = bench->ts_us, .count = values, .values = v};
        batch_message(b, NULL, ERR_OK, false);
        batch_row_add(b,
                      &(struct batch_row){.device_id = (int32_t)(i % DEVICES) + 1,
                                          .digest = sample_digest(&s),
                                          .shape = (int32_t)values,
                                          .ts_us = s.ts_us,
                                          .received_at_us = s.ts_us,
                                          .sample = &s,
                                          .metrics = bench->metrics},
                      false);
        bench->rows++;
    }
}

static int64_t query_int(struct bench *bench, const char *sql)
{
    struct db_result *r = NULL;
    CHECK(db_query(bench->db, sql, NULL, &r) == ERR_OK);
    int64_t v = db_get_int(r, 0, 0);
    db_result_free(r);
    return v;
}

/* Two batches in turn, as in the server: one is filled while the other is committed. */
static void run(struct bench *bench, uint32_t values, int64_t run_us)
{
    CHECK(db_script(bench->db, "TRUNCATE samples; CHECKPOINT") == ERR_OK);
    struct batch *batches[2] = {batch_new(), batch_new()};
    int64_t started_us = clock_mono_us();
    int64_t rows = bench->rows;
    int at = 0;
    batch_on_done(batches[0], batch_done, bench);
    batch_on_done(batches[1], batch_done, bench);
    fill(bench, batches[0], values);
    while (clock_mono_us() - started_us < run_us) {
        writer_submit(bench->writer, batches[at]);
        at = 1 - at;
        fill(bench, batches[at], values);
        CHECK(sem_wait(&bench->done) == 0);
    }
    double seconds = (double)(clock_mono_us() - started_us) / 1e6;
    rows = query_int(bench, "SELECT count(*) FROM samples");
    int64_t bytes =
        query_int(bench, "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits"
                         " WHERE inhparent = 'samples'::regclass");
    (void)printf("{\"values\":%u,\"samples_per_second\":%.0f,\"bytes_per_value\":%.1f}\n", values,
                 (double)rows / seconds, (double)bytes / (double)rows / values);
    (void)fflush(stdout);
    batch_free(batches[0]);
    batch_free(batches[1]);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s DATABASE_URL [SECONDS [VALUES]]\n", argv[0]);
        return 2;
    }
    int64_t only = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
    int64_t run_us = (argc > 2 ? strtoll(argv[2], NULL, 10) : 5) * CLOCK_SECOND_US;
    struct bench bench = {.ts_us = clock_wall_us() / CLOCK_DAY_US * CLOCK_DAY_US};
    CHECK(sem_init(&bench.done, 0, 0) == 0);
    CHECK(db_open(argv[1], "bench", &bench.db) == ERR_OK);
    struct store_migration_status status;
    CHECK(store_migrate(bench.db, &status) == ERR_OK);
    CHECK(db_script(bench.db, "INSERT INTO metrics SELECT i, 'm' || i FROM generate_series(1, 50) "
                              "i ON CONFLICT DO NOTHING;"
                              "INSERT INTO shapes SELECT n, array(SELECT generate_series(1, n)) "
                              "FROM (VALUES (1), (3), (10), (50))"
                              " v (n) ON CONFLICT DO NOTHING") == ERR_OK);
    bench.metrics = intern_new(100);
    struct conf conf = {.database_url = argv[1], .commit_timeout_us = 15 * CLOCK_SECOND_US};
    CHECK(writer_new(&conf, &bench.writer) == ERR_OK && writer_start(bench.writer) == ERR_OK);
    struct batch *first = batch_new();
    char name[32];
    int year = 0;
    int month = 0;
    int day = 0;
    clock_civil(bench.ts_us / CLOCK_DAY_US, &year, &month, &day);
    (void)snprintf(name, sizeof(name), "samples_%04d%02d%02d", year, month, day);
    batch_partition(first, bench.ts_us, bench.ts_us + CLOCK_DAY_US, name);
    batch_on_done(first, batch_done, &bench);
    writer_submit(bench.writer, first);
    CHECK(sem_wait(&bench.done) == 0);
    static const uint32_t counts[] = {1, 3, 10, 50};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        if (only == 0 || only == counts[i]) {
            run(&bench, counts[i], run_us);
        }
    }
    writer_stop(bench.writer);
    writer_free(bench.writer);
    batch_free(first);
    db_close(bench.db);
    intern_free(bench.metrics);
    return 0;
}
