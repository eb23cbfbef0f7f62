#include <criterion/criterion.h>

#include "rig.h"

enum { SALT = 77 };

static struct view heap(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    CHECK(copy != NULL);
    memcpy(copy, data, len);
    return view_of(copy, len);
}

static void drop(struct view v)
{
    free((void *)(uintptr_t)v.data);
}

/* Four records, the second without bytes of its own, behind each other. */
static void make(struct buf *out, size_t ret_ends[static 4])
{
    buf_init(out, 4096);
    static const size_t lens[] = {5, 0, 12, 40};
    for (size_t i = 0; i < 4; i++) {
        uint8_t bytes[64];
        memset(bytes, (int)('a' + i), sizeof(bytes));
        spool_record_put(out, view_of(bytes, lens[i]));
        ret_ends[i] = out->len;
    }
    spool_records_seal(out->data, out->len, SALT, 10);
}

Test(format, the_bytes_of_a_record_do_not_change_with_the_machine_or_the_version)
{
    struct buf b;
    buf_init(&b, 100);
    spool_record_put(&b, VIEW("abc"));
    spool_records_seal(b.data, b.len, 0x0102030405060708u, 0x0A0B);
    static const uint8_t want[] = {23,   0,    0, 0, 0xd9, 0xfc, 0x02, 0x32, 0xcb, 0xf4, 0x1b, 0x88,
                                   0x0B, 0x0A, 0, 0, 0,    0,    0,    0,    'a',  'b',  'c'};
    cr_assert_eq(b.len, sizeof(want));
    cr_expect_arr_eq(b.data, want, sizeof(want));
    buf_fini(&b);
}

Test(format, a_header_reads_back_and_any_flipped_bit_is_noticed)
{
    const struct spool_header h = {
        .version = 1, .segment = 12345678901u, .begun_us = -5, .salt = UINT64_MAX - 1};
    uint8_t bytes[SPOOL_HEADER_BYTES];
    spool_header_encode(&h, bytes);
    struct spool_header got = {0};
    uint32_t version = 0;
    cr_assert_eq(spool_header_decode(view_of(bytes, sizeof(bytes)), &got, &version), ERR_OK);
    cr_expect(got.version == 1 && got.segment == h.segment && got.begun_us == -5 &&
              got.salt == h.salt && version == 1);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        got.segment = 99;
        cr_expect_eq(spool_header_decode(view_of(bytes, sizeof(bytes)), &got, &version),
                     ERR_MALFORMED, "bit %zu", bit);
        cr_expect_eq(got.segment, 99, "output touched on failure");
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        struct view v = heap(bytes, cut);
        cr_expect_eq(spool_header_decode(v, &got, &version), ERR_MALFORMED, "cut at %zu", cut);
        drop(v);
    }
}

Test(format, a_newer_version_is_told_from_damage)
{
    uint8_t bytes[SPOOL_HEADER_BYTES];
    struct spool_header h = {.version = SPOOL_VERSION + 1, .segment = 1};
    spool_header_encode(&h, bytes);
    uint32_t version = 0;
    cr_expect_eq(spool_header_decode(view_of(bytes, sizeof(bytes)), &h, &version), ERR_UNSUPPORTED);
    cr_expect_eq(version, SPOOL_VERSION + 1);
    h.version = 0;
    spool_header_encode(&h, bytes);
    cr_expect_eq(spool_header_decode(view_of(bytes, sizeof(bytes)), &h, &version), ERR_MALFORMED);
}

Test(format, every_cut_gives_the_whole_records_before_it)
{
    struct buf b;
    size_t ends[4];
    make(&b, ends);
    for (size_t cut = 0; cut <= b.len; cut++) {
        uint32_t count = 0;
        while (count < 4 && ends[count] <= cut) {
            count++;
        }
        size_t good = count == 0 ? 0 : ends[count - 1];
        struct view v = heap(b.data, cut);
        struct spool_parse p = spool_parse(v, b.len, SALT, 10); /* more is in the file */
        cr_expect(p.count == count && p.good_bytes == good, "cut at %zu", cut);
        cr_expect_eq(p.end, cut == b.len ? SPOOL_PARSE_END : SPOOL_PARSE_CUT, "cut at %zu", cut);
        cr_expect(p.end == SPOOL_PARSE_END || (p.need > cut - good && good + p.need <= b.len));
        p = spool_parse(v, cut, SALT, 10); /* the file ends here */
        cr_expect(p.count == count && p.good_bytes == good, "end at %zu", cut);
        cr_expect_eq(p.end, cut == good ? SPOOL_PARSE_END : SPOOL_PARSE_BAD, "end at %zu", cut);
        drop(v);
    }
    buf_fini(&b);
}

Test(format, every_flipped_bit_ends_the_good_records_before_it)
{
    struct buf b;
    size_t ends[4];
    make(&b, ends);
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        uint32_t count = 0;
        while (ends[count] <= bit / 8) {
            count++;
        }
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct spool_parse p = spool_parse(buf_view(&b), b.len, SALT, 10);
        cr_expect_eq(p.count, count, "bit %zu", bit);
        cr_expect_neq(p.end, SPOOL_PARSE_CUT, "bit %zu", bit);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_fini(&b);
}

Test(format, a_good_record_of_another_place_or_segment_is_bad)
{
    struct buf b;
    size_t ends[4];
    make(&b, ends);
    cr_expect_eq(spool_parse(buf_view(&b), b.len, SALT + 1, 10).count, 0, "another salt");
    cr_expect_eq(spool_parse(buf_view(&b), b.len, SALT, 11).count, 0, "another sequence");
    struct view later = view_skip(buf_view(&b), ends[0]);
    cr_expect_eq(spool_parse(later, later.len, SALT, 10).end, SPOOL_PARSE_BAD, "one was left out");
    buf_fini(&b);
}

Test(format, zeros_end_the_records)
{
    struct buf b;
    size_t ends[4];
    make(&b, ends);
    uint8_t zeros[64] = {0};
    size_t len = b.len;
    buf_put(&b, zeros, sizeof(zeros));
    for (size_t tail = 1; tail <= sizeof(zeros); tail++) {
        struct view v = heap(b.data, len + tail);
        struct spool_parse p = spool_parse(v, v.len, SALT, 10);
        cr_expect(p.end == SPOOL_PARSE_END && p.count == 4 && p.good_bytes == len, "%zu", tail);
        drop(v);
    }
    buf_fini(&b);
}

Test(format, a_record_that_is_too_long_is_refused_before_memory_is_taken)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    static const uint8_t byte = 1;
    spool_record_put(&b, view_of(&byte, (size_t)SPOOL_RECORD_LIMIT));
    cr_expect_eq(buf_err(&b), ERR_LIMIT);
    cr_expect_eq(b.cap, 0);
    buf_fini(&b);
}

Test(format, names_of_segments_are_told_from_other_files)
{
    static const struct {
        const char *name;
        uint64_t number; /* UINT64_MAX: not ours */
    } rows[] = {
        {"00000001.spool", 1},
        {"99999999.spool", 99999999},
        {"100000000.spool", 100000000},
        {"00000012.bad", 12},
        {"00000012.new", 12},
        {"lost+found", UINT64_MAX},
        {"1.spool", UINT64_MAX},
        {"000000001.spool", UINT64_MAX},
        {"00000001.spool~", UINT64_MAX},
        {"00000001", UINT64_MAX},
        {"", UINT64_MAX},
        {"99999999999999999999999.spool", UINT64_MAX},
        {"-0000001.spool", UINT64_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t number = UINT64_MAX;
        const char *suffix = NULL;
        bool ours = spool_segment_parse_name(rows[i].name, &number, &suffix);
        cr_expect_eq(number, rows[i].number, "%s", rows[i].name);
        cr_expect_eq(ours, suffix != NULL, "%s", rows[i].name);
    }
}
