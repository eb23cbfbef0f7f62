/*
 * disk: the spool without its thread: the folder, its segments, where appending and reading are.
 *
 * Happy path: open finds the segments; append writes groups to the open segment and makes another
 * when one does not fit; read walks from the oldest segment to the end of the newest; release
 * removes a file. Errors and what they leave behind: as spool.h says.
 * Deliberately not: a stored position, an index, reuse of files, writing into a segment of an
 * earlier run.
 * Threads: one; the three atomics are for the others. Ownership: as for spool.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "spool/io.h"
#include "spool/segment.h"
#include "spool/spool.h"

struct spool_disk {
    struct spool_dir dir;
    struct spool_limits limits;
    struct spool_segment **segments; /* oldest first */
    size_t count;
    size_t cap;
    uint64_t next_number;
    struct spool_segment *open; /* is appended to, or NULL */
    uint64_t read_segment;      /* where reading goes on */
    uint64_t read_at;
    uint64_t read_sequence;
    int64_t file_bytes; /* of all segments */
    bool failing;       /* the last append failed: said once */
    _Atomic int64_t bytes;
    _Atomic int64_t oldest_us;
    atomic_bool unread;
};

NODISCARD enum err spool_disk_open(const char *path, const struct spool_limits *limits,
                                   const struct spool_io *io, struct spool_disk **ret_disk);
void spool_disk_close(struct spool_disk *d);
/* A group; its checksums and sequence numbers are filled in. Errors: as in spool_write.status. */
NODISCARD enum err spool_disk_append(struct spool_disk *d, struct buf *records);
void spool_disk_read(struct spool_disk *d, struct spool_read *r);
void spool_disk_release(struct spool_disk *d, uint64_t number);

/* What follows is shared by the files of this struct. */
void spool_disk_publish(struct spool_disk *d);
NODISCARD enum err spool_disk_push(struct spool_disk *d, const struct spool_segment *seg);
/* Removes the file, or sets it aside when it is bad, and forgets the segment. */
void spool_disk_remove(struct spool_disk *d, struct spool_segment *seg);
/* A read failed: true when it was the last try and the segment is bad now. */
NODISCARD bool spool_disk_give_up(struct spool_disk *d, struct spool_segment *seg);
void spool_disk_mark_bad(struct spool_disk *d, struct spool_segment *seg, const char *why);
bool spool_disk_is_unread(const struct spool_disk *d, const struct spool_segment *seg);
/* Nothing is appended to the open segment any more; what it holds stays to be read. */
void spool_disk_seal(struct spool_disk *d);
void spool_disk_remove_released(struct spool_disk *d);
