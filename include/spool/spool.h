/*
 * spool: messages on local disk while PostgreSQL is not available. The second durable tier, as
 * simple as it can be.
 *
 * Happy path: groups of records are appended to the newest segment file, fdatasync() makes them
 * durable, `done` tells. When the database is back, the core reads the records in the order they
 * were written, commits them like any message, and releases a segment once everything in it is
 * committed. No position is stored: after a crash all segments are read again, which does no harm
 * because a sample is known by its identity.
 *
 * Files: DIR/00000001.spool …, 0600, preallocated with zeros. A record: length, checksum of length,
 * sequence number and bytes, sequence number, bytes; little-endian; a header with a version opens
 * each segment.
 *
 * Failure:
 * - a torn record at the end of the newest segment was never acknowledged: it is dropped;
 * - any other bad checksum: the segment's good records before it are read, it is logged and
 *   counted, reading goes on with the next segment; the file is renamed to *.bad when it is
 *   released, since a crash before that must read it again;
 * - fdatasync() fails: what the file holds is unknown; the segment's records are read back and
 *   written to a new one, and nothing is told as durable until that succeeded (ERR_IO if not);
 * - no space, or the quota is reached: `done` gets ERR_FULL and nothing was written.
 *
 * Threads: one of its own does all the I/O. spool_append(), spool_read(), spool_release() from one
 * thread, the core's, and done in that order; `done` runs on the spool's thread.
 * Ownership: write and read requests are the caller's, untouched after `done`. They may be used
 * again (buf_clear(), count = 0) and end with buf_fini().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

struct spool;

struct spool_limits {
    int64_t segment_bytes; /* 0: 16 MiB; room for a record of record_max, at most 1 GiB */
    int64_t quota_bytes;   /* of all segments */
    int64_t reserve_bytes; /* left free on the file system */
    uint32_t record_max;   /* bytes of one record */
};

/* Opens or creates the folder (0700; refuses one that others may write) and finds the segments that
 * are there. ERR_IO: logged with the reason and the remedy. ERR_UNSUPPORTED: a segment was written
 * by a newer version; logged, nothing was changed. */
NODISCARD enum err spool_open(const char *dir, const struct spool_limits *limits,
                              struct spool **ret_spool);
void spool_close(struct spool *s); /* runs what was posted; the files stay */

/* A group: records one after another, each put with spool_put(). */
struct spool_write {
    struct mail mail;
    struct spool *spool;
    struct buf records;
    uint32_t count;
    enum err status; /* when done runs */
    void (*done)(struct spool_write *w);
};
/* limit_bytes: of all records, each with 20 bytes before it. */
void spool_write_init(struct spool_write *w, size_t limit_bytes);
void spool_put(struct spool_write *w, struct view bytes); /* errors: buf_err(&w->records) */
/* status: ERR_OK durable; ERR_FULL, ERR_IO, ERR_NOMEM not, and it may be tried again; ERR_LIMIT a
 * record is longer than record_max, or what spool_put() ran into. A group that failed is not read
 * in this run; after a restart its records may be. */
void spool_append(struct spool *s, struct spool_write *w);

/* The next records that were not read yet, oldest first, up to about max_bytes. */
struct spool_read {
    struct mail mail;
    struct spool *spool;
    size_t max_bytes;
    struct buf bytes;  /* the records, walked with spool_next() */
    uint32_t count;    /* 0 with ERR_OK: everything written so far has been read */
    uint64_t segment;  /* all records are of this segment */
    bool segment_ends; /* nothing more will come from it: may be released once all is committed */
    enum err status;
    void (*done)(struct spool_read *r);
};
/* status: ERR_OK; ERR_IO, ERR_NOMEM: read again later, nothing is skipped (what cannot be read
 * three times is damaged). Records of a later segment, or none at all, also say that nothing more
 * will come from the earlier ones: a segment may end after its last records were handed out. */
void spool_read_init(struct spool_read *r, size_t max_bytes);
void spool_read(struct spool *s, struct spool_read *r);
/* Walks records that were read, or put: at starts as 0. False: no more. */
bool spool_next(const struct buf *records, size_t *at, struct view *ret_bytes);
/* Everything in this segment is committed: the file goes. The newest segment is closed first, so
 * that the next append opens another; not while a read is under way, which may be of it. Does not
 * remove what was not read yet: when something was appended meanwhile the segment is only closed,
 * and is released again after that was read. */
void spool_release(struct spool *s, uint64_t segment);

int64_t spool_bytes(const struct spool *s); /* any thread: file sizes, what is not released */
/* Any thread: wall clock when the oldest of them was begun; CLOCK_NONE. */
int64_t spool_oldest_us(const struct spool *s);
/* Any thread. May be true when all that is left turns out to be damaged or empty: a read tells. */
bool spool_has_unread(const struct spool *s);
