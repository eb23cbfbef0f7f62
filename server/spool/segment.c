#include "spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

void spool_segment_name(uint64_t number, const char *suffix, char ret_name[static SPOOL_NAME_SIZE])
{
    (void)snprintf(ret_name, SPOOL_NAME_SIZE, "%08" PRIu64 ".%s", number, suffix);
}

bool spool_segment_parse_name(const char *name, uint64_t *ret_number, const char **ret_suffix)
{
    static const char *const suffixes[] = {"spool", "new", "bad"};
    uint64_t number = 0;
    size_t digits = 0;
    while (name[digits] >= '0' && name[digits] <= '9' && digits < 18) {
        number = number * 10 + (uint64_t)(name[digits++] - '0');
    }
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char same[SPOOL_NAME_SIZE];
        spool_segment_name(number, suffixes[i], same);
        if (strcmp(name, same) == 0) {
            *ret_number = number;
            *ret_suffix = suffixes[i];
            return true;
        }
    }
    return false;
}

static enum err preallocate(const struct spool_io *io, int fd, const struct spool_segment *seg)
{
    uint8_t *chunk = calloc(1, SPOOL_CHUNK_BYTES);
    if (chunk == NULL) {
        return ERR_NOMEM;
    }
    const struct spool_header header = {.version = SPOOL_VERSION,
                                        .segment = seg->number,
                                        .begun_us = seg->begun_us,
                                        .salt = seg->salt};
    spool_header_encode(&header, chunk);
    enum err e = ERR_OK;
    for (uint64_t at = 0; at < seg->file_bytes && e == ERR_OK; at += SPOOL_CHUNK_BYTES) {
        uint64_t left = seg->file_bytes - at;
        e = spool_io_write(io, fd, chunk, left < SPOOL_CHUNK_BYTES ? left : SPOOL_CHUNK_BYTES, at);
        if (at == 0) {
            memset(chunk, 0, SPOOL_HEADER_BYTES);
        }
    }
    free(chunk);
    return e;
}

/* The records keep their offsets, so that a reader in the middle of them stays where it is. */
static enum err copy_records(const struct spool_dir *dir, int fd, uint64_t salt,
                             const struct spool_segment *from)
{
    struct buf chunk;
    buf_init(&chunk, SPOOL_RECORD_LIMIT);
    enum err e = ERR_OK;
    uint64_t sequence = 1;
    for (uint64_t at = SPOOL_HEADER_BYTES; at < from->end && e == ERR_OK; at += chunk.len) {
        struct spool_parse p;
        e = spool_segment_read(dir, from, at, sequence, SPOOL_CHUNK_BYTES, &chunk, &p);
        if (e == ERR_IO) {
            e = ERR_SHORT;
        } else if (e == ERR_OK && p.count == 0) {
            e = ERR_MALFORMED;
        }
        if (e == ERR_OK) {
            spool_records_seal(chunk.data, chunk.len, salt, sequence);
            e = spool_io_write(dir->io, fd, chunk.data, chunk.len, at);
            sequence += p.count;
        }
    }
    buf_fini(&chunk);
    return e;
}

enum err spool_segment_make(const struct spool_dir *dir, struct spool_segment *seg,
                            const struct spool_segment *from)
{
    const struct spool_io *io = dir->io;
    char temporary[SPOOL_NAME_SIZE];
    char name[SPOOL_NAME_SIZE];
    spool_segment_name(seg->number, "new", temporary);
    spool_segment_name(seg->number, "spool", name);
    if (getrandom(&seg->salt, sizeof(seg->salt), 0) != (ssize_t)sizeof(seg->salt)) {
        return ERR_IO;
    }
    (void)io->unlink_at(dir->fd, temporary); /* of an attempt before */
    int fd =
        io->open_at(dir->fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return spool_io_err();
    }
    enum err e = preallocate(io, fd, seg);
    if (e == ERR_OK && from != NULL) {
        e = copy_records(dir, fd, seg->salt, from);
    }
    if (e == ERR_OK && (io->sync_data(fd) != 0 || io->rename_at(dir->fd, temporary, name) != 0)) {
        e = spool_io_err();
    }
    if (e != ERR_OK) {
        int why = errno;
        (void)io->unlink_at(dir->fd, temporary);
        (void)close(fd);
        errno = why;
        return e;
    }
    seg->fd = fd;
    seg->end = from == NULL ? SPOOL_HEADER_BYTES : from->end;
    seg->records = from == NULL ? 0 : from->records;
    seg->scanned = true;
    return ERR_OK;
}

enum err spool_segment_open(const struct spool_dir *dir, struct spool_segment *seg)
{
    if (seg->fd >= 0) {
        return ERR_OK;
    }
    char name[SPOOL_NAME_SIZE];
    spool_segment_name(seg->number, "spool", name);
    /* O_NONBLOCK: a FIFO of that name must not hold us. */
    int fd = dir->io->open_at(dir->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0 && errno == ENOENT) {
        return ERR_NOT_FOUND;
    }
    if (fd < 0) {
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? ERR_TYPE : spool_io_err();
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return ERR_TYPE;
    }
    seg->fd = fd;
    return ERR_OK;
}

void spool_segment_close(struct spool_segment *seg)
{
    if (seg->fd >= 0) {
        (void)close(seg->fd); /* everything that counts was synced before */
        seg->fd = -1;
    }
}

enum err spool_segment_identify(const struct spool_dir *dir, struct spool_segment *seg,
                                uint32_t *ret_version)
{
    struct stat st;
    uint8_t bytes[SPOOL_HEADER_BYTES];
    size_t have = 0;
    if (fstat(seg->fd, &st) != 0) {
        return ERR_IO;
    }
    seg->file_bytes = (uint64_t)st.st_size;
    if (spool_io_read(dir->io, seg->fd, bytes, sizeof(bytes), 0, &have) != ERR_OK) {
        return ERR_IO;
    }
    struct spool_header header = {0};
    enum err e = spool_header_decode(view_of(bytes, have), &header, ret_version);
    if (e != ERR_OK) {
        return e;
    }
    if (header.segment != seg->number) { /* somebody renamed it */
        return ERR_MALFORMED;
    }
    seg->begun_us = header.begun_us;
    seg->salt = header.salt;
    return ERR_OK;
}

enum err spool_segment_read(const struct spool_dir *dir, const struct spool_segment *seg,
                            uint64_t at, uint64_t sequence, size_t max_bytes, struct buf *out,
                            struct spool_parse *ret_parse)
{
    uint64_t left = (seg->scanned ? seg->end : seg->file_bytes) - at;
    size_t want = max_bytes < 4096 ? 4096 : max_bytes;
    struct spool_parse p;
    for (;;) {
        want = want < left ? want : left;
        buf_clear(out);
        out->limit = out->limit < want ? want : out->limit;
        uint8_t *room = buf_room(out, want);
        if (room == NULL && want > 0) {
            return ERR_NOMEM;
        }
        size_t have = 0;
        enum err e = spool_io_read(dir->io, seg->fd, room, want, at, &have);
        p = spool_parse(view_of(room, have), left, seg->salt, sequence);
        if (p.end != SPOOL_PARSE_CUT || p.count > 0) {
            break;
        }
        if (have < want && e != ERR_OK) {
            return ERR_IO;
        }
        if (have < want || p.need <= want) { /* the file is shorter than it was */
            p.end = SPOOL_PARSE_BAD;
            break;
        }
        want = p.need; /* one record that is longer */
    }
    buf_grew(out, p.good_bytes);
    *ret_parse = p;
    return ERR_OK;
}

/* Behind the last record a segment has zeros only. */
static enum err check_rest(const struct spool_dir *dir, const struct spool_segment *seg,
                           struct buf *chunk)
{
    buf_clear(chunk);
    uint8_t *room = buf_room(chunk, SPOOL_CHUNK_BYTES);
    if (room == NULL) {
        return ERR_NOMEM;
    }
    size_t have = 0;
    for (uint64_t at = seg->end; at < seg->file_bytes; at += have) {
        uint64_t left = seg->file_bytes - at;
        size_t want = left < SPOOL_CHUNK_BYTES ? left : SPOOL_CHUNK_BYTES;
        if (spool_io_read(dir->io, seg->fd, room, want, at, &have) != ERR_OK) {
            return ERR_IO;
        }
        if (have < want || !spool_all_zero(view_of(room, have))) {
            return ERR_MALFORMED;
        }
    }
    return ERR_OK;
}

enum err spool_segment_scan(const struct spool_dir *dir, struct spool_segment *seg)
{
    struct buf chunk;
    buf_init(&chunk, SPOOL_RECORD_LIMIT);
    struct spool_parse p = {.end = SPOOL_PARSE_CUT};
    enum err e = ERR_OK;
    seg->end = SPOOL_HEADER_BYTES;
    seg->records = 0;
    while (e == ERR_OK && p.end == SPOOL_PARSE_CUT) {
        e = spool_segment_read(dir, seg, seg->end, seg->records + 1, SPOOL_CHUNK_BYTES, &chunk, &p);
        if (e == ERR_OK) {
            seg->end += p.good_bytes;
            seg->records += p.count;
        }
    }
    if (e == ERR_OK) {
        e = p.end == SPOOL_PARSE_BAD ? ERR_MALFORMED : check_rest(dir, seg, &chunk);
    }
    buf_fini(&chunk);
    seg->scanned = e == ERR_OK || e == ERR_MALFORMED;
    return e;
}

enum err spool_segment_cut(const struct spool_dir *dir, struct spool_segment *seg)
{
    if (dir->io->truncate(seg->fd, (off_t)seg->end) != 0 || dir->io->sync_data(seg->fd) != 0) {
        return spool_io_err();
    }
    seg->file_bytes = seg->end;
    return ERR_OK;
}

enum err spool_segment_append(const struct spool_dir *dir, struct spool_segment *seg, uint8_t *data,
                              size_t len, uint32_t count)
{
    CHECK(!seg->broken && len <= seg->file_bytes - seg->end);
    spool_records_seal(data, len, seg->salt, seg->records + 1);
    enum err e = spool_io_write(dir->io, seg->fd, data, len, seg->end);
#ifndef MUTANT_SPOOL_NO_FSYNC
    if (e == ERR_OK && dir->io->sync_data(seg->fd) != 0) {
        e = spool_io_err();
    }
#endif
    seg->broken = e != ERR_OK;
    if (e == ERR_OK) {
        seg->end += len;
        seg->records += count;
    }
    return e;
}
