/*
 * format: the bytes of a segment. Pure: no file, no clock.
 *
 *     0  "SBSPOOL\n"
 *     8  u32 version            16 u64 segment number (as in the file's name)
 *    12  u32 0                  24 i64 wall clock when it was begun, us
 *                               32 u64 salt: the seed of this segment's checksums
 *                               40 zeros
 *                               56 u64 XXH3 of the 56 bytes before
 *    64  records: u32 length of the whole record, u64 checksum, u64 sequence from 1, bytes
 *        then zeros, or the end of the file
 *
 * All numbers are little-endian. The first 64 bytes stay as they are in every later version, so
 * that "too new" is never taken for "damaged". The salt is random: a block of an older file that a
 * file system brings back is not a record.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

#define SPOOL_VERSION      1u
#define SPOOL_HEADER_BYTES 64u
#define SPOOL_HEAD_BYTES   20u
#define SPOOL_RECORD_LIMIT (64u << 20) /* of a whole record; longer is damaged */

struct spool_header {
    uint32_t version;
    uint64_t segment;
    int64_t begun_us;
    uint64_t salt;
};
void spool_header_encode(const struct spool_header *h,
                         uint8_t ret_bytes[static SPOOL_HEADER_BYTES]);
/* ERR_MALFORMED: not a whole header. ERR_UNSUPPORTED: of a newer version; ret_version is set. */
NODISCARD enum err spool_header_decode(struct view bytes, struct spool_header *ret_header,
                                       uint32_t *ret_version);

/* A record with room for checksum and sequence; spool_records_seal() fills them in. */
void spool_record_put(struct buf *out, struct view bytes);
void spool_records_seal(uint8_t *data, size_t len, uint64_t salt, uint64_t sequence);
/* The record at *at of records that were put or parsed; moves *at behind it. False: no more. */
bool spool_record_next(struct view records, size_t *at, struct view *ret_bytes);

enum spool_parse_end {
    SPOOL_PARSE_END, /* no more records: zeros, or the end of the data */
    SPOOL_PARSE_CUT, /* the bytes end before the next record does */
    SPOOL_PARSE_BAD
};
struct spool_parse {
    size_t good_bytes; /* whole records with good checksums */
    uint32_t count;
    enum spool_parse_end end;
    size_t need; /* SPOOL_PARSE_CUT: bytes from the cut record's start that tell more */
};
/* bytes start with a record (or the end); the segment has data_left bytes from there. */
struct spool_parse spool_parse(struct view bytes, uint64_t data_left, uint64_t salt,
                               uint64_t sequence);
bool spool_all_zero(struct view bytes);
