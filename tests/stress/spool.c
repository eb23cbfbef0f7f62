/*
 * The spool under ThreadSanitizer: the core's thread appends, reads and releases without waiting,
 * another looks at what any thread may look at. All records come back once and in order. Exit 0
 * when all holds.
 */
#include "spool/spool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "loop/loop.h"

enum { GROUPS = 1500, GROUP = 20, IN_FLIGHT = 8, SIZE = 200 };

struct write {
    struct spool_write write; /* first */
    struct mail back;
};

static struct {
    struct loop *core;
    struct spool *spool;
    struct mail begin;
    struct spool_read read;
    struct mail read_back;
    bool reading;
    uint64_t groups_begun;
    uint64_t groups_done;
    uint64_t next;         /* number that must be read next */
    uint64_t last_segment; /* of which something was read */
    atomic_bool ended;
    atomic_int looks;
} test;

static void go_on(void);

static void write_back(struct mail *m)
{
    struct write *w = CONTAINER_OF(m, struct write, back);
    CHECK(loop_is_current(test.core) && w->write.status == ERR_OK);
    test.groups_done++;
    buf_fini(&w->write.records);
    free(w);
    go_on();
}

static void write_done(struct spool_write *w)
{
    struct write *own = (struct write *)w;
    own->back.run = write_back;
    loop_post(test.core, &own->back);
}

static void append(void)
{
    struct write *w = calloc(1, sizeof(*w));
    CHECK(w != NULL);
    spool_write_init(&w->write, 1 << 20);
    w->write.done = write_done;
    for (uint64_t i = 0; i < GROUP; i++) {
        uint8_t bytes[SIZE] = {0};
        uint64_t number = test.groups_begun * GROUP + i;
        memcpy(bytes, &number, sizeof(number));
        spool_put(&w->write, view_of(bytes, SIZE - number % 50));
    }
    CHECK(buf_err(&w->write.records) == ERR_OK);
    test.groups_begun++;
    spool_append(test.spool, &w->write);
}

static void read_back(struct mail *m)
{
    (void)m;
    test.reading = false;
    CHECK(test.read.status == ERR_OK);
    size_t at = 0;
    struct view bytes;
    while (spool_next(&test.read.bytes, &at, &bytes)) {
        uint64_t number = 0;
        memcpy(&number, bytes.data, sizeof(number));
        CHECK(number == test.next && bytes.len == SIZE - number % 50);
        test.next++;
    }
    if (test.last_segment != 0 && test.read.segment != test.last_segment) {
        spool_release(test.spool, test.last_segment); /* a later one, or nothing more: it ended */
    }
    test.last_segment = test.read.segment;
    go_on();
}

static void read_done(struct spool_read *r)
{
    (void)r;
    test.read_back.run = read_back;
    loop_post(test.core, &test.read_back);
}

/* On the core's thread. */
static void go_on(void)
{
    while (test.groups_begun < GROUPS && test.groups_begun - test.groups_done < IN_FLIGHT) {
        append();
    }
    if (test.next == (uint64_t)GROUPS * GROUP && !test.reading) {
        if (test.last_segment != 0) {
            spool_release(test.spool, test.last_segment);
        }
        atomic_store(&test.ended, true);
        loop_stop(test.core);
        return;
    }
    if (!test.reading) {
        test.reading = true;
        spool_read(test.spool, &test.read);
    }
}

static void begin(struct mail *m)
{
    (void)m;
    go_on();
}

static void *look(void *arg)
{
    (void)arg;
    while (!atomic_load(&test.ended)) {
        int64_t bytes = spool_bytes(test.spool);
        CHECK(bytes >= 0 && bytes <= 16 << 20);
        CHECK(spool_oldest_us(test.spool) <= clock_wall_us());
        atomic_fetch_add(&test.looks, spool_has_unread(test.spool));
        (void)usleep(200);
    }
    return NULL;
}

int main(void)
{
    char path[] = "/tmp/spool-stress.XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    const struct spool_limits limits = {
        .segment_bytes = 64 << 10, .quota_bytes = 16 << 20, .record_max = 1024};
    CHECK(spool_open(path, &limits, &test.spool) == ERR_OK);
    spool_read_init(&test.read, 10000);
    test.read.done = read_done;
    test.core = loop_new("core");
    CHECK(test.core != NULL && loop_start(test.core) == ERR_OK);
    pthread_t looker;
    CHECK(pthread_create(&looker, NULL, look, NULL) == 0);
    test.begin.run = begin;
    loop_post(test.core, &test.begin);
    loop_join(test.core);
    CHECK(pthread_join(looker, NULL) == 0);
    CHECK(test.groups_done == GROUPS && test.next == (uint64_t)GROUPS * GROUP);
    spool_close(test.spool);
    loop_free(test.core);
    buf_fini(&test.read.bytes);
    CHECK(rmdir(path) == 0); /* everything was released */
    printf("%d records in order, seen unread %d times\n", GROUPS * GROUP, atomic_load(&test.looks));
    return 0;
}
