/*
 * The promise under faults: what was told as durable is read back after reopening, once, in order;
 * what was never put does not appear. For every call that can fail, every kind of failure, and a
 * power cut at every point.
 */
#include <errno.h>

#include <criterion/criterion.h>

#include "base/counter.h"
#include "rig.h"
#include "shadow.h"

enum { SIZE = 150, IDS = 4000, GROUPS = 14 };

static const struct spool_limits TINY = {
    .segment_bytes = 1536, .quota_bytes = 64 << 10, .record_max = 512};

/* What may and must be found. Index: the record's number. */
struct book {
    bool put[IDS];
    bool told[IDS];     /* done said ERR_OK */
    bool released[IDS]; /* is committed: may be gone, may be there */
    uint64_t next;
    uint64_t read_ids[IDS]; /* of the run, in the order they were read */
    uint64_t read_segment[IDS];
    size_t read_count;
};

static void append(struct book *b, struct spool_disk *d, uint64_t count)
{
    uint64_t first = b->next;
    b->next += count;
    CHECK(b->next <= IDS);
    for (uint64_t i = first; i < b->next; i++) {
        b->put[i] = true;
    }
    if (rig_append(d, first, count, SIZE) == ERR_OK) {
        for (uint64_t i = first; i < b->next; i++) {
            b->told[i] = true;
        }
    }
}

/* One read; everything it gives must have been told, and come once and in order. */
static void read_some(struct book *b, struct spool_disk *d)
{
    struct spool_read r;
    spool_read_init(&r, 400);
    size_t before = b->read_count;
    (void)rig_read(d, &r, SIZE, b->read_ids, &b->read_count, IDS);
    for (size_t i = before; i < b->read_count; i++) {
        b->read_segment[i] = r.segment;
        uint64_t id = b->read_ids[i];
        cr_assert(id < b->next && b->told[id], "read in the same run, never told: %lu",
                  (unsigned long)id);
        cr_assert(i == 0 || b->read_ids[i - 1] < id, "order in the same run");
    }
    buf_fini(&r.bytes);
}

static void release_first(struct book *b, struct spool_disk *d)
{
    if (b->read_count == 0 || b->read_segment[0] == b->read_segment[b->read_count - 1]) {
        return; /* its last records may be in the next read */
    }
    uint64_t segment = b->read_segment[0];
    for (size_t i = 0; i < b->read_count; i++) {
        if (b->read_segment[i] == segment) {
            b->released[b->read_ids[i]] = true;
        }
    }
    spool_disk_release(d, segment);
}

/* A life of a spool: appends of all sizes, reads, a release. The same each time but for faults. */
static void live(struct book *b, struct spool_disk *d)
{
    static const uint64_t counts[GROUPS] = {1, 3, 8, 2, 1, 5, 40, 1, 1, 7, 2, 9, 1, 4};
    for (int i = 0; i < GROUPS; i++) {
        append(b, d, counts[i]);
        if (i % 3 == 2) {
            read_some(b, d);
            read_some(b, d);
        }
        if (i == 9) {
            release_first(b, d);
        }
    }
}

/* Reopens and compares; appends; and once more, for damage that only shows the second time. */
static void check_folder(struct book *b, const char *path, const char *words, long n)
{
    uint64_t *ids = calloc(IDS, sizeof(uint64_t));
    CHECK(ids != NULL);
    int64_t bad = counter_get(COUNTER_SPOOL_BAD);
    for (int round = 0; round < 2; round++) {
        struct spool_disk *d = NULL;
        cr_assert_eq(spool_disk_open(path, &TINY, &SPOOL_IO_REAL, &d), ERR_OK, "%s %ld", words, n);
        size_t count = rig_read_all(d, 700, SIZE, ids, IDS);
        bool seen[IDS] = {false};
        for (size_t i = 0; i < count; i++) {
            cr_assert(ids[i] < b->next && b->put[ids[i]], "%s %ld: never put", words, n);
            cr_assert(i == 0 || ids[i - 1] < ids[i], "%s %ld: %lu after %lu", words, n,
                      (unsigned long)ids[i], (unsigned long)(i == 0 ? 0 : ids[i - 1]));
            seen[ids[i]] = true;
        }
        for (uint64_t id = 0; id < b->next; id++) {
            cr_assert(seen[id] || !b->told[id] || b->released[id], "%s %ld: lost %lu", words, n,
                      (unsigned long)id);
        }
        append(b, d, 3);
        cr_assert(b->told[b->next - 1], "%s %ld: cannot append after reopening", words, n);
        spool_disk_close(d);
    }
    cr_assert_eq(counter_get(COUNTER_SPOOL_BAD), bad, "%s %ld: taken for damage", words, n);
    cr_assert_eq(rig_count(path, ".new"), 0, "%s %ld", words, n);
    free(ids);
}

static struct book *book_new(void)
{
    struct book *b = calloc(1, sizeof(*b));
    CHECK(b != NULL);
    return b;
}

/* Lives once with the faults that are set; false: it could not even be opened. */
static bool run(struct book *b, const char *path)
{
    struct spool_disk *d = NULL;
    if (spool_disk_open(path, &TINY, &SHADOW_IO, &d) != ERR_OK) {
        return false;
    }
    live(b, d);
    spool_disk_close(d);
    return true;
}

static long calls_of_a_life(const char *path)
{
    struct book *b = book_new();
    shadow_reset(1);
    cr_assert(run(b, path));
    for (uint64_t i = 0; i < b->next; i++) {
        cr_assert(b->told[i], "without faults everything is told");
    }
    check_folder(b, path, "no fault", 0);
    rig_empty(path);
    free(b);
    return shadow_calls();
}

Test(power, any_failing_call_loses_nothing_that_was_told)
{
    static const struct {
        int error;
        enum shadow_fault how;
        bool lasting;
        const char *words;
    } rows[] = {
        {EIO, SHADOW_FAIL, false, "EIO once at"},
        {EIO, SHADOW_HALF, false, "EIO after half at"},
        {ENOSPC, SHADOW_HALF, false, "ENOSPC after half at"},
        {0, SHADOW_SHORT_WRITE, false, "a short write at"},
        {EINTR, SHADOW_FAIL, false, "EINTR at"},
        {EIO, SHADOW_HALF, true, "EIO from"},
        {ENOSPC, SHADOW_FAIL, true, "ENOSPC from"},
    };
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    long calls = calls_of_a_life(path);
    cr_assert_gt(calls, 80);
    struct book *b = book_new();
    struct book *after = book_new();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (long n = 1; n <= calls; n++) {
            *b = (struct book){0};
            shadow_reset((uint64_t)n);
            shadow_fail_at(n, rows[i].error, rows[i].how, rows[i].lasting);
            (void)run(b, path);
            shadow_cut_now(left); /* what the disk holds, not what the kernel remembers */
            *after = *b;
            check_folder(after, left, rows[i].words, n);
            check_folder(b, path, rows[i].words, n);
            rig_empty(path);
            rig_empty(left);
        }
    }
    free(after);
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, any_failing_call_while_reopening_loses_nothing_that_was_told)
{
    enum { CALLS = 40 };
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    struct book *b = book_new();
    struct book *after = book_new();
    int opened = 0;
    for (long n = 1; n <= CALLS * 4; n++) {
        *b = (struct book){0};
        shadow_reset((uint64_t)n);
        struct spool_disk *d = NULL;
        cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
        append(b, d, 8);
        append(b, d, 9);
        spool_disk_close(d);
        shadow_fail_at(1 + n % CALLS, n / CALLS % 2 == 0 ? ENOSPC : EIO, SHADOW_HALF,
                       n > CALLS * 2);
        if (spool_disk_open(path, &TINY, &SHADOW_IO, &d) == ERR_OK) {
            opened++;
            append(b, d, 4);
            spool_disk_close(d);
        }
        *after = *b;
        shadow_cut_now(left);
        check_folder(after, left, "cut after call", n);
        check_folder(b, path, "call", n);
        rig_empty(path);
        rig_empty(left);
    }
    cr_expect(opened > CALLS && opened < CALLS * 4);
    free(after);
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, without_space_a_torn_tail_is_cut_off_in_place_and_stays_off)
{
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    struct book *b = book_new();
    int opened = 0;
    for (long n = 0; n < 400; n++) {
        *b = (struct book){0};
        shadow_reset((uint64_t)n);
        struct spool_disk *d = NULL;
        cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
        append(b, d, 2);
        shadow_fail_at(1, EIO, SHADOW_HALF, true); /* the tail, neither synced nor repaired */
        append(b, d, 5);
        spool_disk_close(d);
        shadow_fail_at(1 + n % 20, ENOSPC, SHADOW_FAIL, false);
        if (spool_disk_open(path, &TINY, &SHADOW_IO, &d) == ERR_OK) {
            opened++;
            append(b, d, 2);
            spool_disk_close(d);
        }
        shadow_cut_now(left);
        check_folder(b, left, "run", n);
        rig_empty(path);
        rig_empty(left);
    }
    cr_expect_gt(opened, 200);
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, a_cut_at_any_call_loses_nothing_that_was_told)
{
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    long calls = calls_of_a_life(path);
    struct book *b = book_new();
    for (long n = 1; n <= calls; n++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            *b = (struct book){0};
            shadow_reset((uint64_t)n * 8 + seed);
            shadow_cut_at(n, left);
            (void)run(b, path);
            cr_assert(shadow_is_cut());
            check_folder(b, left, "cut at", n);
            rig_empty(path);
            rig_empty(left);
        }
    }
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, a_cut_after_a_fault_loses_nothing_that_was_told)
{
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    long calls = calls_of_a_life(path);
    struct book *b = book_new();
    for (uint64_t seed = 0; seed < 3000; seed++) {
        long fault = 1 + (long)(seed * 7919 % (uint64_t)calls);
        long cut = fault + 1 + (long)(seed * 104729 % 60);
        *b = (struct book){0};
        shadow_reset(seed);
        shadow_fail_at(fault, seed % 2 == 0 ? EIO : ENOSPC,
                       seed % 3 == 0 ? SHADOW_FAIL : SHADOW_HALF, false);
        shadow_cut_at(cut, left);
        (void)run(b, path);
        if (!shadow_is_cut()) {
            shadow_cut_now(left);
        }
        check_folder(b, left, "seed", (long)seed);
        rig_empty(path);
        rig_empty(left);
    }
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, cuts_in_several_lives_of_one_folder_lose_nothing_that_was_told)
{
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    struct book *b = book_new();
    for (uint64_t seed = 0; seed < 300; seed++) {
        *b = (struct book){0};
        shadow_reset(seed);
        struct spool_disk *d = NULL;
        for (int run_number = 0; run_number < 4; run_number++) {
            b->read_count = 0;
            memset(b->told, 0, sizeof(b->told) * (run_number == 0));
            cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
            for (uint64_t i = 0; i < 1 + seed % 5; i++) {
                append(b, d, 1 + (seed + i) % 9);
            }
            shadow_fail_at(1 + (long)(seed % 3), EIO, SHADOW_HALF, true);
            append(b, d, 2); /* leaves a tail that the next life cuts off */
            shadow_fail_at(-1000000, 0, SHADOW_FAIL, false);
            spool_disk_close(d);
        }
        shadow_cut_at(1 + (long)(seed % 40), left);
        if (spool_disk_open(path, &TINY, &SHADOW_IO, &d) == ERR_OK) {
            append(b, d, 5);
            spool_disk_close(d);
        }
        if (!shadow_is_cut()) {
            shadow_cut_now(left);
        }
        check_folder(b, left, "seed", (long)seed);
        rig_empty(path);
        rig_empty(left);
    }
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, after_a_failed_sync_the_group_is_told_from_a_new_file)
{
    char path[RIG_PATH_SIZE];
    char left[RIG_PATH_SIZE];
    rig_folder(path);
    rig_folder(left);
    struct book *b = book_new();
    shadow_reset(1);
    struct spool_disk *d = NULL;
    cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
    append(b, d, 2);
    uint64_t salt = d->open->salt;
    shadow_fail_at(2, EIO, SHADOW_FAIL, false); /* write, then fdatasync() */
    append(b, d, 2);
    cr_expect(b->told[3] && d->count == 1 && !d->open->broken);
    cr_expect_neq(d->open->salt, salt, "another file");
    read_some(b, d);
    cr_expect_eq(b->read_count, 4);
    shadow_cut_now(left);
    spool_disk_close(d);
    check_folder(b, left, "left", 0);
    free(b);
    rig_remove(path);
    rig_remove(left);
}

Test(power, an_interrupted_or_short_write_goes_on_in_the_same_file)
{
    static const enum shadow_fault how[] = {SHADOW_FAIL, SHADOW_SHORT_WRITE};
    for (size_t i = 0; i < COUNT_OF(how); i++) {
        char path[RIG_PATH_SIZE];
        rig_folder(path);
        struct book *b = book_new();
        shadow_reset(1);
        struct spool_disk *d = NULL;
        cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
        append(b, d, 2);
        uint64_t salt = d->open->salt;
        shadow_fail_at(1, EINTR, how[i], false);
        append(b, d, 2);
        cr_expect(b->told[3] && d->open->salt == salt);
        spool_disk_close(d);
        check_folder(b, path, "interrupted", 0);
        free(b);
        rig_remove(path);
    }
}

Test(power, a_disk_that_heals_is_used_again)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    struct book *b = book_new();
    shadow_reset(1);
    struct spool_disk *d = NULL;
    cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
    append(b, d, 2);
    shadow_fail_at(1, ENOSPC, SHADOW_HALF, true);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(rig_append(d, 900, 2, SIZE), ERR_FULL);
    }
    shadow_fail_at(1, EIO, SHADOW_HALF, true);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(rig_append(d, 900, 2, SIZE), ERR_IO);
    }
    shadow_fail_at(-1000000, 0, SHADOW_FAIL, false);
    append(b, d, 2);
    append(b, d, 20);
    for (int i = 0; i < 12; i++) {
        read_some(b, d);
    }
    cr_expect_eq(b->read_count, 24);
    spool_disk_close(d);
    check_folder(b, path, "healed", 0);
    free(b);
    rig_remove(path);
}

Test(power, what_cannot_be_read_is_tried_three_times_and_then_set_aside)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    struct book *b = book_new();
    shadow_reset(1);
    struct spool_disk *d = NULL;
    cr_assert_eq(spool_disk_open(path, &TINY, &SHADOW_IO, &d), ERR_OK);
    append(b, d, 8);
    append(b, d, 8);
    append(b, d, 8);
    struct spool_read r;
    spool_read_init(&r, 1);
    size_t count = 0;
    uint64_t ids[24];
    for (int i = 0; i < 2; i++) {
        shadow_fail_at(2, EIO, SHADOW_FAIL, false); /* open, read */
        cr_expect_eq(rig_read(d, &r, SIZE, ids, &count, 24), ERR_IO);
        spool_segment_close(d->segments[0]);
    }
    cr_expect_eq(rig_read(d, &r, SIZE, ids, &count, 24), ERR_OK);
    cr_expect(r.segment == 1 && count == 8, "two failures cost nothing");
    for (int i = 1; i < SPOOL_READ_TRIES; i++) {
        shadow_fail_at(d->segments[1]->fd < 0 ? 2 : 1, EIO, SHADOW_FAIL, true);
        cr_expect_eq(rig_read(d, &r, SIZE, ids, &count, 24), ERR_IO);
    }
    shadow_fail_at(1, EIO, SHADOW_FAIL, false);
    cr_expect_eq(rig_read(d, &r, SIZE, ids, &count, 24), ERR_OK);
    cr_expect(r.segment == 3 && count == 16, "reading goes on");
    cr_expect_eq(rig_count(path, ".bad"), 1);
    buf_fini(&r.bytes);
    spool_disk_close(d);
    free(b);
    rig_remove(path);
}
