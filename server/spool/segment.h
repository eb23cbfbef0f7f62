/*
 * segment: one file of records, and what is known of it.
 *
 * A file is made under another name, filled with zeros, synced and then renamed: a file that is
 * called *.spool has a whole header, and a rewritten segment takes the place of the old one in one
 * step.
 *
 * Threads: one. Ownership: spool_segment_close() closes the descriptor; the file stays.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "spool/format.h"
#include "spool/io.h"

#define SPOOL_NAME_SIZE   32
#define SPOOL_CHUNK_BYTES ((size_t)1 << 20)
#define SPOOL_READ_TRIES  3 /* then what cannot be read is damaged */

struct spool_dir {
    const struct spool_io *io;
    int fd;
};

struct spool_segment {
    uint64_t number;
    int64_t begun_us;
    uint64_t salt;
    uint64_t file_bytes;
    uint64_t end;     /* of the durable, good records: nothing behind it is read */
    uint64_t records; /* before end */
    int fd;           /* -1: not open */
    int failures;     /* reads that failed, one after another */
    bool scanned;     /* end and records are known */
    bool bad;         /* damaged behind end: its file becomes *.bad when it is released */
    bool broken;      /* a write or sync failed: what the file holds is not known */
    bool read;        /* records of it were handed out */
    bool released;    /* its file could not be removed yet */
};

/* suffix: "spool", "new", "bad". */
void spool_segment_name(uint64_t number, const char *suffix, char ret_name[static SPOOL_NAME_SIZE]);
/* Finds number and suffix in a name that spool_segment_name() made; false: another file. */
bool spool_segment_parse_name(const char *name, uint64_t *ret_number, const char **ret_suffix);

/* Makes and preallocates the file of seg->number with seg->file_bytes; with `from` also copies the
 * records of the segment whose place it takes (ERR_MALFORMED: they are damaged; ERR_SHORT: they
 * could not be read). The caller syncs the folder. On an error nothing has changed. */
NODISCARD enum err spool_segment_make(const struct spool_dir *dir, struct spool_segment *seg,
                                      const struct spool_segment *from);
/* Opens the file if it is not; ERR_NOT_FOUND, ERR_TYPE: not a plain file. Others: errno. */
NODISCARD enum err spool_segment_open(const struct spool_dir *dir, struct spool_segment *seg);
void spool_segment_close(struct spool_segment *seg);
/* Reads the header and the size; ERR_IO, ERR_MALFORMED, ERR_UNSUPPORTED (ret_version is set). */
NODISCARD enum err spool_segment_identify(const struct spool_dir *dir, struct spool_segment *seg,
                                          uint32_t *ret_version);

/* Whole records from `at` on, of about max_bytes, but at least one. ERR_IO: not even one could be
 * read. ret_parse->end is SPOOL_PARSE_BAD when what follows the records is damaged. */
NODISCARD enum err spool_segment_read(const struct spool_dir *dir, const struct spool_segment *seg,
                                      uint64_t at, uint64_t sequence, size_t max_bytes,
                                      struct buf *out, struct spool_parse *ret_parse);
/* Finds end and records. ERR_MALFORMED: something other than zeros follows the last good record.
 * ERR_IO: what follows could not be read; the two are set, but it does not count as scanned. */
NODISCARD enum err spool_segment_scan(const struct spool_dir *dir, struct spool_segment *seg);
/* Cuts everything behind end off, durably. */
NODISCARD enum err spool_segment_cut(const struct spool_dir *dir, struct spool_segment *seg);
/* Seals and writes the records behind end, durably. After an error the segment is broken. */
NODISCARD enum err spool_segment_append(const struct spool_dir *dir, struct spool_segment *seg,
                                        uint8_t *data, size_t len, uint32_t count);
