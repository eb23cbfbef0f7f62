#include <fcntl.h>
#include <sys/file.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/counter.h"
#include "rig.h"

enum { SIZE = 120, IDS = 200000 };

static const struct spool_limits SMALL = {
    .segment_bytes = 4096, .quota_bytes = 1 << 20, .record_max = 1024};

static struct spool_disk *open_disk(const char *path, const struct spool_limits *limits)
{
    struct spool_disk *d = NULL;
    cr_assert_eq(spool_disk_open(path, limits, &SPOOL_IO_REAL, &d), ERR_OK);
    return d;
}

static uint64_t *ids_new(void)
{
    uint64_t *ids = calloc(IDS, sizeof(uint64_t));
    cr_assert_not_null(ids);
    return ids;
}

static void expect_run(const uint64_t *ids, size_t count, uint64_t first, size_t want,
                       const char *words)
{
    cr_expect_eq(count, want, "%s: %zu of %zu", words, count, want);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(ids[i], first + i, "%s: number %zu is %lu", words, i, (unsigned long)ids[i]);
    }
}

Test(disk, what_was_appended_is_read_once_in_order_in_this_run_and_in_the_next)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    static const size_t reads[] = {1, 100, 4096, 1 << 20};
    for (size_t i = 0; i < COUNT_OF(reads); i++) {
        struct spool_disk *d = open_disk(path, &SMALL);
        for (uint64_t g = 0; g < 50; g++) {
            cr_assert_eq(rig_append(d, g * 7, 7, SIZE), ERR_OK);
        }
        cr_expect(d->unread && d->bytes > 350 * 20 && d->oldest_us != CLOCK_NONE);
        expect_run(ids, rig_read_all(d, reads[i], SIZE, ids, IDS), 0, 350, "this run");
        cr_expect_not(d->unread);
        cr_expect_eq(rig_read_all(d, reads[i], SIZE, ids, IDS), 0, "a second time");
        int64_t oldest_us = d->oldest_us;
        spool_disk_close(d);
        d = open_disk(path, &SMALL);
        cr_expect(d->unread && d->oldest_us == oldest_us);
        expect_run(ids, rig_read_all(d, reads[i], SIZE, ids, IDS), 0, 350, "the next");
        for (uint64_t n = 1; n < d->next_number; n++) {
            spool_disk_release(d, n);
        }
        cr_expect(d->bytes == 0 && d->oldest_us == CLOCK_NONE && d->count == 0);
        spool_disk_close(d);
        cr_expect_eq(rig_count(path, ".spool"), 0);
    }
    free(ids);
    rig_remove(path);
}

Test(disk, what_is_appended_while_reading_is_read_too)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_disk *d = open_disk(path, &SMALL);
    struct spool_read r;
    spool_read_init(&r, 300);
    size_t count = 0;
    uint64_t next = 0;
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(rig_append(d, next, (uint64_t)i % 5, SIZE), ERR_OK);
        next += (uint64_t)i % 5;
        cr_assert_eq(rig_read(d, &r, SIZE, ids, &count, IDS), ERR_OK);
    }
    do {
        cr_assert_eq(rig_read(d, &r, SIZE, ids, &count, IDS), ERR_OK);
    } while (r.count > 0);
    expect_run(ids, count, 0, next, "all");
    cr_expect(r.segment == 0 && !r.segment_ends);
    buf_fini(&r.bytes);
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, a_group_does_not_span_segments_unless_it_is_larger_than_one)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_disk *d = open_disk(path, &SMALL);
    cr_assert_eq(rig_append(d, 0, 40, SIZE), ERR_OK); /* most of a segment */
    cr_assert_eq(d->count, 1);
    cr_assert_eq(rig_append(d, 40, 30, SIZE), ERR_OK);
    cr_expect_eq(d->count, 2, "the second group has a segment of its own");
    cr_expect_eq(d->segments[0]->records, 40);
    cr_assert_eq(rig_append(d, 70, 400, SIZE), ERR_OK);
    cr_expect_gt(d->count, 10);
    expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), 0, 470, "all");
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, a_segment_says_when_nothing_more_will_come_from_it)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    struct spool_disk *d = open_disk(path, &SMALL);
    struct spool_read r;
    spool_read_init(&r, 1 << 20);
    cr_assert_eq(rig_append(d, 0, 40, SIZE), ERR_OK);
    spool_disk_read(d, &r);
    cr_expect(r.count == 40 && r.segment == 1 && !r.segment_ends, "more may be appended");
    cr_assert_eq(rig_append(d, 40, 40, SIZE), ERR_OK);
    cr_assert_eq(rig_append(d, 80, 40, SIZE), ERR_OK);
    spool_disk_read(d, &r);
    cr_expect(r.count == 40 && r.segment == 2 && r.segment_ends);
    spool_disk_read(d, &r);
    cr_expect(r.count == 40 && r.segment == 3 && !r.segment_ends);
    spool_disk_close(d);
    d = open_disk(path, &SMALL);
    for (uint64_t n = 1; n <= 3; n++) {
        spool_disk_read(d, &r);
        cr_expect(r.count == 40 && r.segment == n && r.segment_ends, "of the run before");
    }
    buf_fini(&r.bytes);
    spool_disk_close(d);
    rig_remove(path);
}

Test(disk, release_never_removes_what_was_not_read)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_disk *d = open_disk(path, &SMALL);
    struct spool_read r;
    spool_read_init(&r, 1 << 20);
    cr_assert_eq(rig_append(d, 0, 3, SIZE), ERR_OK);
    spool_disk_read(d, &r);
    cr_assert_eq(r.count, 3);
    cr_assert_eq(rig_append(d, 3, 3, SIZE), ERR_OK); /* crosses with the release */
    spool_disk_release(d, 1);
    cr_expect(d->count == 1 && d->unread && d->open == NULL, "closed, not removed");
    cr_assert_eq(rig_append(d, 6, 3, SIZE), ERR_OK);
    cr_expect_eq(d->count, 2, "another segment");
    spool_disk_release(d, 2);
    cr_expect_eq(d->count, 2, "was not begun to be read");
    spool_disk_read(d, &r);
    cr_expect(r.count == 3 && r.segment == 1 && r.segment_ends);
    spool_disk_release(d, 1);
    cr_expect_eq(d->count, 1);
    spool_disk_release(d, 1); /* twice, and one that never was */
    spool_disk_release(d, 77);
    expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), 6, 3, "the rest");
    buf_fini(&r.bytes);
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, the_newest_segment_is_removed_when_all_of_it_was_read)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_disk *d = open_disk(path, &SMALL);
    for (uint64_t i = 0; i < 10; i++) {
        cr_assert_eq(rig_append(d, i, 1, SIZE), ERR_OK);
        expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), i, 1, "one");
        spool_disk_release(d, d->next_number - 1);
        cr_expect(d->count == 0 && d->bytes == 0 && rig_count(path, ".spool") == 0);
        cr_expect_eq(d->next_number, i + 2, "a number is not used again");
    }
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, quota_and_reserve_refuse_before_anything_is_written)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_limits limits = SMALL;
    limits.quota_bytes = 3 * limits.segment_bytes;
    struct spool_disk *d = open_disk(path, &limits);
    uint64_t next = 0;
    while (rig_append(d, next, 40, SIZE) == ERR_OK) {
        next += 40;
        cr_assert_leq(d->bytes, limits.quota_bytes);
    }
    cr_expect_eq(rig_append(d, 9999, 40, SIZE), ERR_FULL);
    cr_expect_eq(rig_append(d, 9999, 200, SIZE), ERR_FULL, "larger than a segment");
    cr_expect_eq(next, 120);
    cr_expect(rig_count(path, ".spool") == 3 && rig_count(path, ".new") == 0);
    expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), 0, next, "all that was told");
    cr_expect_eq(rig_append(d, 9999, 40, SIZE), ERR_FULL, "read is not yet released");
    spool_disk_release(d, 1);
    cr_assert_eq(rig_append(d, next, 40, SIZE), ERR_OK);
    expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), next, 40, "after the release");
    spool_disk_close(d);
    limits.quota_bytes = 1 << 20;
    limits.reserve_bytes = INT64_MAX / 2;
    rig_empty(path);
    d = open_disk(path, &limits);
    cr_expect_eq(rig_append(d, 0, 1, SIZE), ERR_FULL, "reserve");
    cr_expect_eq(rig_count(path, ".spool") + rig_count(path, ".new"), 0);
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, groups_that_cannot_be_are_refused)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    struct spool_disk *d = open_disk(path, &SMALL);
    uint8_t bytes[2048] = {0};
    struct buf records;
    buf_init(&records, 4096);
    cr_expect_eq(spool_disk_append(d, &records), ERR_OK, "none is nothing to do");
    spool_record_put(&records, view_of(bytes, SMALL.record_max));
    cr_expect_eq(spool_disk_append(d, &records), ERR_OK, "the longest");
    spool_record_put(&records, view_of(bytes, SMALL.record_max + 1));
    cr_expect_eq(spool_disk_append(d, &records), ERR_LIMIT, "one is too long");
    spool_record_put(&records, view_of(bytes, sizeof(bytes)));
    cr_expect_eq(spool_disk_append(d, &records), ERR_LIMIT, "spool_put() had failed");
    buf_fini(&records);
    spool_disk_close(d);
    rig_remove(path);
}

Test(disk, a_torn_tail_at_every_byte_of_the_last_record_loses_only_that_record)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_disk *d = open_disk(path, &SMALL);
    cr_assert_eq(rig_append(d, 0, 5, SIZE), ERR_OK);
    size_t before = d->segments[0]->end;
    cr_assert_eq(rig_append(d, 5, 1, SIZE), ERR_OK);
    size_t after = d->segments[0]->end;
    spool_disk_close(d);
    uint8_t whole[4096];
    cr_assert_eq(rig_file_read(path, "00000001.spool", whole, sizeof(whole)), sizeof(whole));
    int64_t bad = counter_get(COUNTER_SPOOL_BAD);
    for (size_t cut = before; cut < after; cut++) {
        for (int how = 0; how < 3; how++) { /* the file ends, zeros follow, or rubbish */
            uint8_t torn[4096];
            memcpy(torn, whole, sizeof(torn));
            memset(torn + cut, how == 2 ? 0xAA : 0, sizeof(torn) - cut);
            bool same = memcmp(torn, whole, sizeof(torn)) == 0; /* the byte was a zero */
            rig_empty(path);
            rig_file_write(path, "00000001.spool", torn, how == 0 ? cut : sizeof(torn));
            d = open_disk(path, &SMALL);
            cr_assert_eq(rig_append(d, same ? 6 : 5, 2, SIZE), ERR_OK);
            spool_disk_close(d);
            d = open_disk(path, &SMALL); /* where the torn one is no longer the newest */
            expect_run(ids, rig_read_all(d, 1 << 20, SIZE, ids, IDS), 0, same ? 8 : 7, "cut");
            spool_disk_close(d);
        }
    }
    cr_expect_eq(counter_get(COUNTER_SPOOL_BAD), bad, "a torn tail is not damage");
    free(ids);
    rig_remove(path);
}

/* A segment of six records that is followed by another. */
static size_t two_segments(const char *path, uint8_t ret_first[static 4096],
                           size_t ret_ends[static 6])
{
    rig_empty(path);
    struct spool_disk *d = open_disk(path, &SMALL);
    for (uint64_t i = 0; i < 6; i++) {
        cr_assert_eq(rig_append(d, i, 1, SIZE), ERR_OK);
        ret_ends[i] = d->segments[0]->end;
    }
    spool_disk_close(d);
    cr_assert_eq(rig_file_read(path, "00000001.spool", ret_first, 4096), 4096);
    d = open_disk(path, &SMALL);
    cr_assert_eq(rig_append(d, 6, 3, SIZE), ERR_OK);
    spool_disk_close(d);
    return ret_ends[5];
}

Test(disk, a_flipped_bit_anywhere_in_an_older_segment_is_damage_and_loses_nothing_before_it)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    uint8_t first[4096];
    size_t ends[6];
    size_t len = two_segments(path, first, ends);
    struct spool_read r;
    spool_read_init(&r, 200);
    for (size_t byte = 0; byte < len + 600; byte++) {
        uint64_t want = 0;
        while (want < 6 && ends[want] <= byte) {
            want++;
        }
        want = byte < SPOOL_HEADER_BYTES ? 0 : want;
        first[byte] ^= (uint8_t)(1u << byte % 8);
        rig_file_write(path, "00000001.spool", first, sizeof(first));
        first[byte] ^= (uint8_t)(1u << byte % 8);
        int64_t bad = counter_get(COUNTER_SPOOL_BAD);
        struct spool_disk *d = open_disk(path, &SMALL);
        size_t count = rig_read_all(d, 200, SIZE, ids, IDS);
        cr_expect_eq(count, want + 3, "byte %zu", byte);
        for (size_t i = 0; i < count; i++) {
            cr_expect_eq(ids[i], i < want ? i : 6 + i - want, "byte %zu", byte);
        }
        cr_expect_eq(counter_get(COUNTER_SPOOL_BAD), bad + 1, "byte %zu", byte);
        cr_expect_eq(rig_count(path, "1.bad"), want == 0,
                     "set aside when there is nothing to commit");
        spool_disk_release(d, 1);
        cr_expect(rig_count(path, "1.bad") == 1 && rig_count(path, "1.spool") == 0);
        cr_expect_eq(d->count, 1);
        spool_disk_close(d);
        char name[RIG_PATH_SIZE * 2];
        (void)snprintf(name, sizeof(name), "%s/00000001.bad", path);
        cr_assert_eq(unlink(name), 0);
    }
    buf_fini(&r.bytes);
    free(ids);
    rig_remove(path);
}

Test(disk, an_older_segment_that_lost_its_end_is_damage)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    uint8_t first[4096];
    size_t ends[6];
    size_t len = two_segments(path, first, ends);
    for (size_t cut = 0; cut < len; cut += 3) {
        size_t want = 0;
        while (ends[want] <= cut) {
            want++;
        }
        if (cut == SPOOL_HEADER_BYTES || (want > 0 && ends[want - 1] == cut)) {
            continue; /* between two records: nothing tells that there were more */
        }
        rig_file_write(path, "00000001.spool", first, cut);
        struct spool_disk *d = open_disk(path, &SMALL);
        cr_expect_eq(rig_read_all(d, 1 << 20, SIZE, ids, IDS), want + 3, "cut at %zu", cut);
        spool_disk_release(d, 1);
        cr_expect_eq(rig_count(path, "1.bad"), 1, "cut at %zu", cut);
        spool_disk_close(d);
    }
    free(ids);
    rig_remove(path);
}

Test(disk, a_newer_version_is_refused_and_left_alone)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint8_t first[4096];
    size_t ends[6];
    (void)two_segments(path, first, ends);
    uint8_t newer[256] = {0};
    const struct spool_header h = {.version = SPOOL_VERSION + 1, .segment = 3};
    spool_header_encode(&h, newer);
    rig_file_write(path, "00000003.spool", newer, sizeof(newer));
    struct spool_disk *d = NULL;
    cr_expect_eq(spool_disk_open(path, &SMALL, &SPOOL_IO_REAL, &d), ERR_UNSUPPORTED);
    cr_expect_null(d);
    cr_expect_eq(rig_count(path, ".spool"), 3);
    cr_expect_eq(rig_count(path, ".bad"), 0);
    rig_remove(path);
}

Test(disk, what_is_not_a_segment_does_no_harm)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    struct spool_disk *d = open_disk(path, &SMALL);
    cr_assert_eq(rig_append(d, 0, 3, SIZE), ERR_OK);
    spool_disk_close(d);
    char name[RIG_PATH_SIZE * 2];
    rig_file_write(path, "notes.txt", (const uint8_t *)"hello", 5);
    rig_file_write(path, "00000009.new", (const uint8_t *)"half", 4);
    rig_file_write(path, "00000002.spool", NULL, 0);
    (void)snprintf(name, sizeof(name), "%s/00000003.spool", path);
    cr_assert_eq(symlink("/etc/passwd", name), 0);
    (void)snprintf(name, sizeof(name), "%s/00000004.spool", path);
    cr_assert_eq(mkfifo(name, 0600), 0);
    (void)snprintf(name, sizeof(name), "%s/00000005.spool", path);
    cr_assert_eq(mkdir(name, 0700), 0);
    uint8_t moved[4096];
    size_t len = rig_file_read(path, "00000001.spool", moved, sizeof(moved));
    rig_file_write(path, "00000006.spool", moved, len); /* its header says 1 */
    d = open_disk(path, &SMALL);
    cr_expect_eq(rig_count(path, ".bad"), 5);
    cr_expect_eq(rig_count(path, ".new"), 0);
    expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), 0, 3, "the good one");
    cr_assert_eq(rig_append(d, 3, 1, SIZE), ERR_OK);
    cr_expect_eq(d->segments[d->count - 1]->number, 10, "behind every number that was seen");
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, a_file_that_is_taken_away_does_not_stop_the_others)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    uint8_t first[4096];
    size_t ends[6];
    (void)two_segments(path, first, ends);
    struct spool_disk *d = open_disk(path, &SMALL);
    char name[RIG_PATH_SIZE * 2];
    (void)snprintf(name, sizeof(name), "%s/00000001.spool", path);
    cr_assert_eq(unlink(name), 0);
    expect_run(ids, rig_read_all(d, 4096, SIZE, ids, IDS), 6, 3, "the other");
    spool_disk_release(d, 2);
    cr_expect_eq(d->count, 0);
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, the_folder_is_private_and_used_by_one)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    char made[RIG_PATH_SIZE + 10];
    (void)snprintf(made, sizeof(made), "%s/spool", path);
    struct spool_disk *d = open_disk(made, &SMALL);
    struct stat st;
    cr_assert_eq(stat(made, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0700);
    cr_assert_eq(rig_append(d, 0, 1, SIZE), ERR_OK);
    char file[RIG_PATH_SIZE * 2];
    (void)snprintf(file, sizeof(file), "%s/00000001.spool", made);
    cr_assert_eq(stat(file, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_expect_eq(st.st_size, SMALL.segment_bytes, "preallocated");
    struct spool_disk *second = NULL;
    cr_expect_eq(spool_disk_open(made, &SMALL, &SPOOL_IO_REAL, &second), ERR_IO, "is in use");
    spool_disk_close(d);
    static const mode_t modes[] = {0770, 0702, 0722, 01777};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        cr_assert_eq(chmod(made, modes[i]), 0);
        cr_expect_eq(spool_disk_open(made, &SMALL, &SPOOL_IO_REAL, &second), ERR_IO, "%o",
                     modes[i]);
    }
    cr_expect_eq(spool_disk_open("/dev/null/x", &SMALL, &SPOOL_IO_REAL, &second), ERR_IO);
    cr_expect_eq(spool_disk_open(file, &SMALL, &SPOOL_IO_REAL, &second), ERR_IO, "a file");
    cr_expect_null(second);
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(rmdir(made), 0);
    rig_remove(path);
}

Test(disk, limits_that_make_no_sense_are_refused)
{
    static const struct spool_limits rows[] = {
        {.segment_bytes = 4096, .quota_bytes = 4095, .record_max = 100},
        {.segment_bytes = 4096, .quota_bytes = 1 << 20, .record_max = 4096 - 83},
        {.segment_bytes = -1, .quota_bytes = 1 << 20},
        {.segment_bytes = 1LL << 31, .quota_bytes = 1LL << 40},
        {.segment_bytes = 4096, .quota_bytes = 1 << 20, .reserve_bytes = -1},
        {.segment_bytes = 0, .quota_bytes = 1 << 30, .record_max = 1 << 24},
    };
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct spool_disk *d = NULL;
        cr_expect_eq(spool_disk_open(path, &rows[i], &SPOOL_IO_REAL, &d), ERR_IO, "row %zu", i);
    }
    const struct spool_limits tight = {
        .segment_bytes = 4096, .quota_bytes = 4096, .record_max = 4096 - 84};
    struct spool_disk *d = open_disk(path, &tight);
    spool_disk_close(d);
    rig_remove(path);
}

Test(disk, records_and_segments_that_larger_limits_allowed_are_still_read)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    const struct spool_limits large = {
        .segment_bytes = 1 << 20, .quota_bytes = 8 << 20, .record_max = 1 << 16};
    struct spool_disk *d = open_disk(path, &large);
    cr_assert_eq(rig_append(d, 0, 100, 4000), ERR_OK);
    spool_disk_close(d);
    struct spool_limits small = SMALL;
    small.record_max = 100;
    d = open_disk(path, &small);
    expect_run(ids, rig_read_all(d, 10, 4000, ids, IDS), 0, 100, "all");
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}

Test(disk, gauges_follow)
{
    char path[RIG_PATH_SIZE];
    rig_folder(path);
    uint64_t *ids = ids_new();
    int64_t records = counter_get(COUNTER_SPOOL_RECORDS);
    struct spool_disk *d = open_disk(path, &SMALL);
    cr_expect_eq(counter_get(COUNTER_SPOOL_BYTES), 0);
    cr_assert_eq(rig_append(d, 0, 10, SIZE), ERR_OK);
    cr_expect_eq(counter_get(COUNTER_SPOOL_BYTES), SMALL.segment_bytes);
    cr_expect_eq(counter_get(COUNTER_SPOOL_RECORDS), records + 10);
    (void)rig_read_all(d, 4096, SIZE, ids, IDS);
    spool_disk_release(d, 1);
    cr_expect_eq(counter_get(COUNTER_SPOOL_BYTES), 0);
    spool_disk_close(d);
    free(ids);
    rig_remove(path);
}
