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
 * Files:    DIR/00000001.spool …, 0600, preallocated with zeros. A record: length, checksum of
 * length, sequence number and bytes, sequence number, bytes; little-endian; a header with a version
 * opens each segment. Failure:  - a torn record at the end of the newest segment was never
 * acknowledged: it is dropped;
 *           - any other bad checksum: the segment's good records before it are read, the file is
 * renamed to *.bad, logged and counted, and reading goes on with the next segment;
 *           - fdatasync() fails: what the file holds is unknown; the segment's records are read
 * back and written to a new one, and nothing is told as durable until that succeeded;
 *           - no space, or the quota is reached: `done` gets ERR_FULL and nothing was written.
 * Threads:  one of its own does all the I/O. spool_append(), spool_read(), spool_release() from one
 * thread, the core's; `done` runs on the spool's thread. Ownership: write and read requests are the
 * caller's, untouched after `done`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

struct spool;

struct spool_limits {
    int64_t segment_bytes; /* 16 MiB */
    int64_t quota_bytes;   /* of all segments */
    int64_t reserve_bytes; /* left free on the file system */
    uint32_t record_max;   /* bytes of one record */
};

/* Opens or creates the folder (0700; refuses one that others may write) and finds the segments that
 * are there. ERR_IO: logged with the reason and the remedy. */
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
void spool_write_init(struct spool_write *w, size_t limit_bytes);
void spool_put(struct spool_write *w, struct view bytes); /* errors: buf_err(&w->records) */
void spool_append(struct spool *s, struct spool_write *w);

/* The next records that were not read yet, oldest first, up to about max_bytes. */
struct spool_read {
    struct mail mail;
    struct spool *spool;
    size_t max_bytes;
    struct buf bytes; /* the records' bytes, walked with spool_next() */
    uint32_t count;   /* 0 with ERR_OK: everything written so far has been read */
    uint64_t segment; /* all records are of this segment */
    bool
        segment_ends; /* nothing more will come from it: it may be released once all is committed */
    enum err status;
    void (*done)(struct spool_read *r);
};
void spool_read_init(struct spool_read *r, size_t max_bytes);
void spool_read(struct spool *s, struct spool_read *r);
/* Walks r->bytes: at starts as 0. False: no more. */
bool spool_next(const struct spool_read *r, size_t *at, struct view *ret_bytes);
/* Everything in this segment is committed: the file goes. The newest segment is closed first, so
 * that the next append opens another. */
void spool_release(struct spool *s, uint64_t segment);

int64_t spool_bytes(const struct spool *s);     /* any thread: in segments that are not released */
int64_t spool_oldest_us(const struct spool *s); /* any thread: wall clock when the oldest of them
                                                   was begun; CLOCK_NONE */
bool spool_has_unread(const struct spool *s);   /* any thread */
