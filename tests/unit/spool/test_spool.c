/* The whole module with its thread. */
#include <semaphore.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "rig.h"

enum { SIZE = 250 };

static const struct spool_limits LIMITS = {
    .segment_bytes = 1 << 20, .quota_bytes = 256 << 20, .record_max = 4096};

struct sink {
    struct spool_read read;
    sem_t done;
};

static sem_t written;

static void on_write(struct spool_write *w)
{
    (void)w;
    (void)sem_post(&written);
}

static void on_read(struct spool_read *r)
{
    (void)sem_post(&((struct sink *)(void *)r)->done);
}

static void put(struct spool_write *w, uint64_t first, uint64_t count)
{
    spool_write_init(w, 64u << 20);
    w->done = on_write;
    for (uint64_t id = first; id < first + count; id++) {
        uint8_t bytes[SIZE];
        spool_put(w, view_of(bytes, rig_bytes(id, bytes, SIZE)));
    }
}

/* Reads once and checks that the records go on where they ended; the next number. */
static uint64_t read_on(struct spool *s, struct sink *sink, uint64_t next)
{
    spool_read(s, &sink->read);
    (void)sem_wait(&sink->done);
    cr_assert_eq(sink->read.status, ERR_OK);
    size_t at = 0;
    struct view bytes;
    uint32_t count = 0;
    while (spool_next(&sink->read.bytes, &at, &bytes)) {
        cr_assert_eq(rig_id(bytes, SIZE), next, "record %lu", (unsigned long)next);
        next++;
        count++;
    }
    cr_assert_eq(count, sink->read.count);
    return next;
}

Test(spool, a_hundred_thousand_records_come_back_and_the_files_go)
{
    enum { RECORDS = 100000, GROUP = 250 };
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    (void)sem_init(&written, 0, 0);
    struct spool *s = NULL;
    cr_assert_eq(spool_open(path, &LIMITS, &s), ERR_OK);
    cr_expect(!spool_has_unread(s) && spool_bytes(s) == 0 && spool_oldest_us(s) == CLOCK_NONE);
    int64_t before_us = clock_wall_us();
    for (uint64_t first = 0; first < RECORDS; first += GROUP) {
        struct spool_write w;
        put(&w, first, GROUP);
        cr_assert(buf_err(&w.records) == ERR_OK && w.count == GROUP);
        spool_append(s, &w);
        (void)sem_wait(&written);
        cr_assert_eq(w.status, ERR_OK);
        buf_fini(&w.records);
    }
    spool_close(s);
    cr_assert_eq(spool_open(path, &LIMITS, &s), ERR_OK);
    cr_expect(spool_has_unread(s) && spool_bytes(s) > RECORDS * 100);
    cr_expect(spool_oldest_us(s) >= before_us && spool_oldest_us(s) <= clock_wall_us());
    struct sink sink = {0};
    (void)sem_init(&sink.done, 0, 0);
    spool_read_init(&sink.read, 256 << 10);
    sink.read.done = on_read;
    uint64_t next = 0;
    do {
        next = read_on(s, &sink, next);
        if (sink.read.segment_ends) {
            spool_release(s, sink.read.segment);
        }
    } while (sink.read.count > 0);
    cr_expect_eq(next, RECORDS);
    cr_expect(!spool_has_unread(s));
    spool_close(s);
    cr_expect_eq(rig_count(path, ".spool"), 0, "all were released");
    buf_fini(&sink.read.bytes);
    rig_remove(path);
}

Test(spool, many_requests_at_once_are_answered_in_order)
{
    enum { WRITES = 200, GROUP = 10 };
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    (void)sem_init(&written, 0, 0);
    struct spool *s = NULL;
    cr_assert_eq(spool_open(path, &LIMITS, &s), ERR_OK);
    static struct spool_write writes[WRITES];
    static struct sink sinks[WRITES];
    for (uint64_t i = 0; i < WRITES; i++) {
        put(&writes[i], i * GROUP, GROUP);
        spool_append(s, &writes[i]);
        (void)sem_init(&sinks[i].done, 0, 0);
        spool_read_init(&sinks[i].read, 1 << 20);
        sinks[i].read.done = on_read;
        spool_read(s, &sinks[i].read); /* behind the group: must see it */
    }
    spool_close(s); /* runs what was posted */
    uint64_t next = 0;
    for (uint64_t i = 0; i < WRITES; i++) {
        cr_expect_eq(writes[i].status, ERR_OK);
        cr_expect_eq(sinks[i].read.count, GROUP);
        size_t at = 0;
        struct view bytes;
        while (spool_next(&sinks[i].read.bytes, &at, &bytes)) {
            cr_assert_eq(rig_id(bytes, SIZE), next);
            next++;
        }
        buf_fini(&writes[i].records);
        buf_fini(&sinks[i].read.bytes);
    }
    cr_expect_eq(next, WRITES * GROUP);
    rig_remove(path);
}

Test(spool, a_request_may_be_used_again)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    (void)sem_init(&written, 0, 0);
    struct spool *s = NULL;
    cr_assert_eq(spool_open(path, &LIMITS, &s), ERR_OK);
    struct spool_write w;
    put(&w, 0, 1);
    struct sink sink = {0};
    (void)sem_init(&sink.done, 0, 0);
    spool_read_init(&sink.read, 4096);
    sink.read.done = on_read;
    for (uint64_t id = 0; id < 5; id++) {
        buf_clear(&w.records);
        w.count = 0;
        uint8_t bytes[SIZE];
        spool_put(&w, view_of(bytes, rig_bytes(id, bytes, SIZE)));
        spool_append(s, &w);
        (void)sem_wait(&written);
        cr_assert_eq(read_on(s, &sink, id), id + 1);
        spool_release(s, sink.read.segment);
    }
    spool_close(s);
    cr_expect_eq(rig_count(path, ".spool"), 0);
    buf_fini(&w.records);
    buf_fini(&sink.read.bytes);
    rig_remove(path);
}
