#include "spool/format.h"

#include <xxhash.h>

#include "base/check.h"

static const uint8_t MAGIC[8] = {'S', 'B', 'S', 'P', 'O', 'O', 'L', '\n'};

static void put_le(uint8_t *at, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint64_t get_le(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = bytes; i > 0; i--) {
        v = v << 8 | at[i - 1];
    }
    return v;
}

void spool_header_encode(const struct spool_header *h, uint8_t ret_bytes[static SPOOL_HEADER_BYTES])
{
    memset(ret_bytes, 0, SPOOL_HEADER_BYTES);
    memcpy(ret_bytes, MAGIC, sizeof(MAGIC));
    put_le(ret_bytes + 8, h->version, 4);
    put_le(ret_bytes + 16, h->segment, 8);
    put_le(ret_bytes + 24, (uint64_t)h->begun_us, 8);
    put_le(ret_bytes + 32, h->salt, 8);
    put_le(ret_bytes + 56, XXH3_64bits(ret_bytes, 56), 8);
}

enum err spool_header_decode(struct view bytes, struct spool_header *ret_header,
                             uint32_t *ret_version)
{
    if (bytes.len < SPOOL_HEADER_BYTES || memcmp(bytes.data, MAGIC, sizeof(MAGIC)) != 0 ||
        get_le(bytes.data + 56, 8) != XXH3_64bits(bytes.data, 56)) {
        return ERR_MALFORMED;
    }
    struct spool_header h = {
        .version = (uint32_t)get_le(bytes.data + 8, 4),
        .segment = get_le(bytes.data + 16, 8),
        .begun_us = (int64_t)get_le(bytes.data + 24, 8),
        .salt = get_le(bytes.data + 32, 8),
    };
    if (h.version == 0) {
        return ERR_MALFORMED;
    }
    if (h.version > SPOOL_VERSION) {
        *ret_version = h.version;
        return ERR_UNSUPPORTED;
    }
    *ret_header = h;
    *ret_version = h.version;
    return ERR_OK;
}

/* Length and sequence first, their hash seeds that of the bytes: a record cannot change its length
 * or its place. */
static uint64_t checksum(uint32_t length, uint64_t sequence, struct view bytes, uint64_t salt)
{
    uint8_t head[12];
    put_le(head, length, 4);
    put_le(head + 4, sequence, 8);
    uint64_t seed = XXH3_64bits_withSeed(head, sizeof(head), salt);
    return XXH3_64bits_withSeed(bytes.data, bytes.len, seed);
}

void spool_record_put(struct buf *out, struct view bytes)
{
    if (bytes.len > SPOOL_RECORD_LIMIT - SPOOL_HEAD_BYTES) {
        if (out->err == ERR_OK) {
            out->err = ERR_LIMIT;
        }
        return;
    }
    uint8_t *room = buf_room(out, SPOOL_HEAD_BYTES + bytes.len);
    if (room == NULL) {
        return;
    }
    memset(room, 0, SPOOL_HEAD_BYTES);
    put_le(room, SPOOL_HEAD_BYTES + bytes.len, 4);
    if (bytes.len > 0) {
        memcpy(room + SPOOL_HEAD_BYTES, bytes.data, bytes.len);
    }
    buf_grew(out, SPOOL_HEAD_BYTES + bytes.len);
}

void spool_records_seal(uint8_t *data, size_t len, uint64_t salt, uint64_t sequence)
{
    size_t at = 0;
    struct view bytes;
    for (size_t start = 0; spool_record_next(view_of(data, len), &at, &bytes); start = at) {
        put_le(data + start + 4, checksum((uint32_t)(at - start), sequence, bytes, salt), 8);
        put_le(data + start + 12, sequence, 8);
        sequence++;
    }
}

bool spool_record_next(struct view records, size_t *at, struct view *ret_bytes)
{
    if (*at >= records.len) {
        return false;
    }
    size_t left = records.len - *at;
    CHECK(left >= SPOOL_HEAD_BYTES);
    uint64_t length = get_le(records.data + *at, 4);
    CHECK(length >= SPOOL_HEAD_BYTES && length <= left);
    *ret_bytes = view_of(records.data + *at + SPOOL_HEAD_BYTES, length - SPOOL_HEAD_BYTES);
    *at += length;
    return true;
}

bool spool_all_zero(struct view bytes)
{
    return bytes.len == 0 ||
           (bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.len - 1) == 0);
}

/* What is at the start of `bytes`: END, CUT with what is needed, BAD; or a good record. */
static bool parse_one(struct view bytes, uint64_t data_left, uint64_t salt, uint64_t sequence,
                      struct spool_parse *p)
{
    if (data_left < SPOOL_HEAD_BYTES) { /* too small for a record: nothing may be there */
        if (bytes.len < data_left) {
            p->end = SPOOL_PARSE_CUT;
            p->need = data_left;
        } else {
            p->end = spool_all_zero(bytes) ? SPOOL_PARSE_END : SPOOL_PARSE_BAD;
        }
        return false;
    }
    if (bytes.len < SPOOL_HEAD_BYTES) {
        p->end = SPOOL_PARSE_CUT;
        p->need = SPOOL_HEAD_BYTES;
        return false;
    }
    uint32_t length = (uint32_t)get_le(bytes.data, 4);
    if (length == 0) {
        p->end = SPOOL_PARSE_END;
        return false;
    }
    p->end = SPOOL_PARSE_BAD;
    if (length < SPOOL_HEAD_BYTES || length > SPOOL_RECORD_LIMIT || length > data_left ||
        get_le(bytes.data + 12, 8) != sequence) {
        return false;
    }
    if (length > bytes.len) {
        p->end = SPOOL_PARSE_CUT;
        p->need = length;
        return false;
    }
    struct view payload = view_of(bytes.data + SPOOL_HEAD_BYTES, length - SPOOL_HEAD_BYTES);
    if (get_le(bytes.data + 4, 8) != checksum(length, sequence, payload, salt)) {
        return false;
    }
    p->good_bytes += length;
    p->count++;
    return true;
}

struct spool_parse spool_parse(struct view bytes, uint64_t data_left, uint64_t salt,
                               uint64_t sequence)
{
    if (bytes.len > data_left) {
        bytes.len = data_left;
    }
    struct spool_parse p = {.end = SPOOL_PARSE_END};
    while (parse_one(view_skip(bytes, p.good_bytes), data_left - p.good_bytes, salt,
                     sequence + p.count, &p)) {
    }
    return p;
}
