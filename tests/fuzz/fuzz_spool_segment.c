/*
 * Any bytes as a segment. Properties: what is given out lies inside the file, behind each other,
 * and each record's checksum and sequence, computed here in another way, are right; parsing in
 * pieces gives the same records as parsing the whole; a cut never gives a record that the whole did
 * not give, and stops at the torn one.
 *
 * Input: how much is read at a time (1 byte), the segment. The mutator seals what it makes, so that
 * damage is tried behind good checksums too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/check.h"
#include "spool/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static uint64_t number(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, at, bytes); /* the fuzzer runs on little-endian machines only */
    return v;
}

static uint64_t checksum(const uint8_t *record, size_t length, uint64_t salt)
{
    uint8_t head[12];
    memcpy(head, record, 4);
    memcpy(head + 4, record + 12, 8);
    return XXH3_64bits_withSeed(record + 20, length - 20,
                                XXH3_64bits_withSeed(head, sizeof(head), salt));
}

/* How many records, all checked by hand. */
static uint32_t check_records(const uint8_t *at, size_t good_bytes, uint64_t salt,
                              uint64_t sequence)
{
    uint32_t count = 0;
    size_t walk = 0;
    struct view bytes;
    for (size_t done = 0; done < good_bytes; count++) {
        CHECK(good_bytes - done >= 20);
        uint64_t length = number(at + done, 4);
        CHECK(length >= 20 && length <= good_bytes - done);
        CHECK(number(at + done + 12, 8) == sequence + count);
        CHECK(number(at + done + 4, 8) == checksum(at + done, length, salt));
        CHECK(spool_record_next(view_of(at, good_bytes), &walk, &bytes));
        CHECK(bytes.data == at + done + 20 && bytes.len == length - 20);
        done += length;
        CHECK(walk == done);
    }
    CHECK(!spool_record_next(view_of(at, good_bytes), &walk, &bytes));
    return count;
}

static struct spool_parse parse_copy(const uint8_t *at, size_t len, uint64_t left, uint64_t salt,
                                     uint64_t sequence)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    CHECK(copy != NULL);
    memcpy(copy, at, len);
    struct spool_parse p = spool_parse(view_of(copy, len), left, salt, sequence);
    CHECK(p.good_bytes <= len);
    CHECK(check_records(copy, p.good_bytes, salt, sequence) == p.count);
    CHECK(p.end != SPOOL_PARSE_CUT || (p.need > len - p.good_bytes && p.need <= left));
    free(copy);
    return p;
}

/* As a reader does it: so many bytes at a time, more when a record is longer. */
static void check_pieces(const uint8_t *at, size_t len, uint64_t salt, size_t step,
                         const struct spool_parse *whole)
{
    size_t done = 0;
    uint32_t count = 0;
    size_t want = step;
    for (;;) {
        size_t have = want < len - done ? want : len - done;
        struct spool_parse p = parse_copy(at + done, have, len - done, salt, 1u + count);
        done += p.good_bytes;
        count += p.count;
        if (p.end != SPOOL_PARSE_CUT) {
            CHECK(p.end == whole->end);
            break;
        }
        want = p.count > 0 ? step : p.need;
    }
    CHECK(done == whole->good_bytes && count == whole->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 8192) {
        return 0;
    }
    size_t step = 1u + data[0];
    struct view segment = view_of(data + 1, size - 1);
    struct spool_header header = {.version = 99};
    uint32_t version = 0;
    enum err e = spool_header_decode(segment, &header, &version);
    CHECK((e == ERR_OK) == (header.version != 99));
    if (e != ERR_OK) {
        CHECK(e == ERR_MALFORMED || (e == ERR_UNSUPPORTED && version > SPOOL_VERSION));
        return 0;
    }
    CHECK(header.version == SPOOL_VERSION);
    uint8_t again[SPOOL_HEADER_BYTES];
    spool_header_encode(&header, again);
    CHECK(memcmp(again + 16, segment.data + 16, 24) == 0);
    const uint8_t *at = segment.data + SPOOL_HEADER_BYTES;
    size_t len = segment.len - SPOOL_HEADER_BYTES;
    struct spool_parse whole = parse_copy(at, len, len, header.salt, 1);
    CHECK(whole.end != SPOOL_PARSE_CUT);
    check_pieces(at, len, header.salt, step, &whole);
    for (size_t cut = 0; cut < len; cut += 1 + len / 16) {
        struct spool_parse torn = parse_copy(at, cut, cut, header.salt, 1);
        CHECK(torn.count <= whole.count && torn.good_bytes <= whole.good_bytes);
        CHECK(torn.end != SPOOL_PARSE_CUT);
    }
    return 0;
}

/* Makes the header and, mostly, the first few records right again. */
static void seal(uint8_t *segment, size_t len, unsigned int seed)
{
    struct spool_header header = {
        .version = seed % 32 == 0 ? 2 : 1, .segment = 1, .salt = seed % 3};
    spool_header_encode(&header, segment);
    size_t at = SPOOL_HEADER_BYTES;
    for (uint64_t sequence = 1; len - at >= 20 && sequence <= 1 + (seed >> 8) % 8; sequence++) {
        uint64_t length = number(segment + at, 4);
        if (length < 20 || length > len - at) {
            length = 20 + (seed >> 16) % 40;
            length = length < len - at ? length : len - at;
            memcpy(segment + at, &(uint32_t){(uint32_t)length}, 4);
        }
        spool_records_seal(segment + at, length, header.salt, sequence);
        at += length;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size >= 1 + SPOOL_HEADER_BYTES && seed % 8 != 0) {
        seal(data + 1, size - 1, seed);
    }
    return size;
}
