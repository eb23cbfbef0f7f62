/*
 * spool: groups of 1, 10, 100 and 1000 records of 250 bytes appended one after another, and all of
 * them read back. Beside it, in the same run, a bare pwrite() and fdatasync() of as many bytes into
 * a file of the same kind: what is above that is ours.
 *
 *     bench_spool [FOLDER] [SECONDS of each]      (.  2)
 */
#include "spool/spool.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

enum { SIZE = 250, SAMPLES_MAX = 200000, SEGMENT = 16 << 20 };

static sem_t done;

static void on_write(struct spool_write *w)
{
    (void)w;
    (void)sem_post(&done);
}

static void on_read(struct spool_read *r)
{
    (void)r;
    (void)sem_post(&done);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void print(const char *what, uint32_t group, int64_t *us, size_t count, int64_t took_us)
{
    CHECK(count > 0);
    qsort(us, count, sizeof(us[0]), by_value);
    printf(
        "%-6s %5u records: p50 %7.3f ms  p99 %7.3f ms  max %7.3f ms  %9.0f records/s  %zu groups\n",
        what, group, (double)us[count / 2] / 1e3, (double)us[count * 99 / 100] / 1e3,
        (double)us[count - 1] / 1e3, (double)count * group * 1e6 / (double)took_us, count);
}

static void bench_append(struct spool *s, uint32_t group, int64_t run_us, int64_t *us)
{
    size_t count = 0;
    int64_t begun_us = clock_mono_us();
    struct spool_write w;
    spool_write_init(&w, 8 << 20);
    w.done = on_write;
    while (count < SAMPLES_MAX && clock_mono_us() - begun_us < run_us) {
        buf_clear(&w.records);
        w.count = 0;
        uint8_t bytes[SIZE];
        memset(bytes, (int)count, sizeof(bytes));
        for (uint32_t i = 0; i < group; i++) {
            spool_put(&w, view_of(bytes, SIZE));
        }
        int64_t from_us = clock_mono_us();
        spool_append(s, &w);
        CHECK(sem_wait(&done) == 0);
        if (w.status == ERR_FULL) {
            break;
        }
        CHECK(w.status == ERR_OK);
        us[count++] = clock_mono_us() - from_us;
    }
    print("append", group, us, count, clock_mono_us() - begun_us);
    buf_fini(&w.records);
}

/* What the disk does without us. Preallocation is not in its times. */
static void bench_bare(const char *path, uint32_t group, int64_t run_us, int64_t *us)
{
    static uint8_t bytes[1000 * (SIZE + 20)];
    char file[500];
    (void)snprintf(file, sizeof(file), "%s/bare", path);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && unlink(file) == 0);
    uint8_t *zeros = calloc(1, SEGMENT);
    CHECK(zeros != NULL && pwrite(fd, zeros, SEGMENT, 0) == SEGMENT && fsync(fd) == 0);
    free(zeros);
    size_t len = (size_t)group * (SIZE + 20);
    size_t count = 0;
    off_t at = 0;
    int64_t begun_us = clock_mono_us();
    while (count < SAMPLES_MAX && clock_mono_us() - begun_us < run_us) {
        memset(bytes, (int)count + 1, len);
        int64_t from_us = clock_mono_us();
        CHECK(pwrite(fd, bytes, len, at) == (ssize_t)len && fdatasync(fd) == 0);
        us[count++] = clock_mono_us() - from_us;
        at = at + 2 * (off_t)len > SEGMENT ? 0 : at + (off_t)len;
    }
    print("bare", group, us, count, clock_mono_us() - begun_us);
    (void)close(fd);
}

static void bench_read(struct spool *s)
{
    struct spool_read r;
    spool_read_init(&r, 256 << 10);
    r.done = on_read;
    uint64_t records = 0;
    uint64_t last = 0;
    int64_t begun_us = clock_mono_us();
    do {
        spool_read(s, &r);
        CHECK(sem_wait(&done) == 0 && r.status == ERR_OK);
        records += r.count;
        if (last != 0 && r.segment != last) {
            spool_release(s, last);
        }
        last = r.segment;
    } while (r.count > 0);
    int64_t took_us = clock_mono_us() - begun_us;
    printf("read   %lu records, files removed: %.0f records/s\n", (unsigned long)records,
           (double)records * 1e6 / (double)took_us);
    buf_fini(&r.bytes);
}

int main(int argc, char **argv)
{
    char path[400];
    (void)snprintf(path, sizeof(path), "%s/spool-bench.XXXXXX", argc > 1 ? argv[1] : ".");
    int64_t run_us = 2 * CLOCK_SECOND_US;
    if (argc > 2) {
        CHECK(clock_parse_duration(view_str(argv[2]), &run_us) == ERR_OK);
    }
    CHECK(mkdtemp(path) != NULL && sem_init(&done, 0, 0) == 0);
    const struct spool_limits limits = {.quota_bytes = 4LL << 30, .record_max = 65536};
    struct spool *s = NULL;
    CHECK(spool_open(path, &limits, &s) == ERR_OK);
    int64_t *us = calloc(SAMPLES_MAX, sizeof(us[0]));
    CHECK(us != NULL);
    static const uint32_t groups[] = {1, 10, 100, 1000};
    for (size_t i = 0; i < COUNT_OF(groups); i++) {
        bench_bare(path, groups[i], run_us, us);
        bench_append(s, groups[i], run_us, us);
    }
    bench_read(s);
    spool_close(s);
    free(us);
    CHECK(rmdir(path) == 0);
    return 0;
}
