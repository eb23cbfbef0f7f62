#include "spool/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"

/* --- the list of segments --- */

bool spool_disk_is_unread(const struct spool_disk *d, const struct spool_segment *seg)
{
    if (seg->released || seg->number < d->read_segment) {
        return false;
    }
    uint64_t at = seg->number == d->read_segment ? d->read_at : SPOOL_HEADER_BYTES;
    return !seg->scanned || at < seg->end;
}

void spool_disk_publish(struct spool_disk *d)
{
    bool unread = false;
    for (size_t i = d->count; i > 0 && !unread; i--) {
        unread = spool_disk_is_unread(d, d->segments[i - 1]);
    }
    atomic_store(&d->unread, unread);
    atomic_store(&d->bytes, d->file_bytes);
    atomic_store(&d->oldest_us, d->count == 0 ? CLOCK_NONE : d->segments[0]->begun_us);
    counter_set(COUNTER_SPOOL_BYTES, d->file_bytes);
}

enum err spool_disk_push(struct spool_disk *d, const struct spool_segment *seg)
{
    if (d->count == d->cap) {
        size_t cap = d->cap == 0 ? 16 : d->cap * 2;
        struct spool_segment **segments =
            realloc(d->segments, cap * sizeof(struct spool_segment *));
        if (segments == NULL) {
            return ERR_NOMEM;
        }
        d->segments = segments;
        d->cap = cap;
    }
    struct spool_segment *own = malloc(sizeof(*own));
    if (own == NULL) {
        return ERR_NOMEM;
    }
    *own = *seg;
    d->segments[d->count++] = own;
    d->file_bytes += (int64_t)own->file_bytes;
    return ERR_OK;
}

void spool_disk_remove(struct spool_disk *d, struct spool_segment *seg)
{
    char name[SPOOL_NAME_SIZE];
    char aside[SPOOL_NAME_SIZE];
    spool_segment_name(seg->number, "spool", name);
    spool_segment_name(seg->number, "bad", aside);
    if (seg == d->open) {
        d->open = NULL;
    }
    spool_segment_close(seg);
    int rc = seg->bad ? d->dir.io->rename_at(d->dir.fd, name, aside)
                      : d->dir.io->unlink_at(d->dir.fd, name);
    if (rc != 0 && errno != ENOENT) {
        if (!seg->released) {
            LOG(LOG_ERROR, "spool_file_stays", LOG_S("file", name), LOG_S("why", strerror(errno)),
                LOG_S("next", "removal is tried again; after a restart it is read again"));
        }
        seg->released = true;
        return;
    }
    (void)d->dir.io->sync_dir(d->dir.fd); /* if the file comes back it is read again */
    size_t i = 0;
    while (d->segments[i] != seg) {
        i++;
    }
    d->file_bytes -= (int64_t)seg->file_bytes;
    free(seg);
    d->count--;
    memmove(d->segments + i, d->segments + i + 1, (d->count - i) * sizeof(struct spool_segment *));
}

void spool_disk_mark_bad(struct spool_disk *d, struct spool_segment *seg, const char *why)
{
    if (seg == d->open) {
        d->open = NULL;
    }
    if (seg->bad) {
        return; /* said before */
    }
    seg->bad = true;
    char name[SPOOL_NAME_SIZE];
    spool_segment_name(seg->number, "spool", name);
    counter_add(COUNTER_SPOOL_BAD, 1);
    LOG(LOG_ERROR, "spool_segment_bad", LOG_S("file", name), LOG_S("why", why),
        LOG_I("good_records", seg->records), LOG_I("good_bytes", seg->end),
        LOG_I("file_bytes", seg->file_bytes),
        LOG_S("next", "its good records are committed, then the file is kept as *.bad"));
}

bool spool_disk_give_up(struct spool_disk *d, struct spool_segment *seg)
{
    LOG(LOG_WARN, "spool_read_failed", LOG_I("segment", seg->number), LOG_S("why", strerror(errno)),
        LOG_S("next", "it is read again; the third time it counts"));
    if (++seg->failures < SPOOL_READ_TRIES) {
        return false;
    }
    seg->scanned = true; /* as far as it could be read */
    spool_disk_mark_bad(d, seg, "it cannot be read");
    return true;
}

/* --- appending --- */

static enum err check_group(const struct spool_disk *d, const struct buf *records,
                            uint32_t *ret_count)
{
    if (buf_err(records) != ERR_OK) {
        return buf_err(records);
    }
    size_t at = 0;
    struct view bytes;
    *ret_count = 0;
    while (spool_record_next(buf_view(records), &at, &bytes)) {
        if (bytes.len > d->limits.record_max) {
            return ERR_LIMIT;
        }
        (*ret_count)++;
    }
    return ERR_OK;
}

/* Room for so many more files, with or without the quota; nothing has been written yet. */
static enum err check_space(const struct spool_disk *d, uint64_t segments, bool with_quota)
{
    int64_t more = (int64_t)segments * d->limits.segment_bytes;
    if (with_quota && d->file_bytes + more > d->limits.quota_bytes) {
        return ERR_FULL;
    }
    struct statvfs st;
    if (d->dir.io->stat_fs(d->dir.fd, &st) != 0) {
        return spool_io_err();
    }
    uint64_t need = (uint64_t)more + (uint64_t)d->limits.reserve_bytes;
    return (uint64_t)st.f_bavail * st.f_frsize < need ? ERR_FULL : ERR_OK;
}

/* The open segment may hold anything behind its last write: its records go to a new file, which
 * takes its place. Never a second fdatasync() on the old one: that would not say what was lost. */
static enum err heal(struct spool_disk *d)
{
    struct spool_segment *seg = d->open;
    enum err e = check_space(d, 1, false); /* the old file goes at once */
    if (e != ERR_OK) {
        return e;
    }
    struct spool_segment fresh = *seg;
    e = spool_segment_make(&d->dir, &fresh, seg);
    if (e == ERR_SHORT) {
        return spool_disk_give_up(d, seg) ? ERR_OK : ERR_IO;
    }
    if (e == ERR_MALFORMED) {
        spool_disk_mark_bad(d, seg, "records that were synced are damaged");
        return ERR_OK; /* the group goes to another segment */
    }
    if (e != ERR_OK) {
        return e;
    }
    spool_segment_close(seg);
    *seg = fresh; /* still broken: the new name may not be durable yet */
    if (d->dir.io->sync_dir(d->dir.fd) != 0) {
        return spool_io_err();
    }
    seg->broken = false;
    LOG(LOG_WARN, "spool_segment_rewritten", LOG_I("segment", seg->number),
        LOG_I("records", seg->records));
    return ERR_OK;
}

void spool_disk_seal(struct spool_disk *d)
{
    if (d->open != NULL) {
        spool_segment_close(d->open);
        d->open = NULL;
    }
}

static enum err begin_segment(struct spool_disk *d)
{
    spool_disk_seal(d);
    struct spool_segment seg = {.number = d->next_number,
                                .begun_us = clock_wall_us(),
                                .file_bytes = (uint64_t)d->limits.segment_bytes,
                                .fd = -1};
    enum err e = spool_segment_make(&d->dir, &seg, NULL);
    if (e != ERR_OK) {
        return e;
    }
    d->next_number++;
    e = spool_disk_push(d, &seg);
    if (e != ERR_OK) {
        char name[SPOOL_NAME_SIZE];
        spool_segment_name(seg.number, "spool", name);
        (void)d->dir.io->unlink_at(d->dir.fd, name); /* empty: no harm if it stays */
        spool_segment_close(&seg);
        return e;
    }
    d->open = d->segments[d->count - 1];
    if (d->dir.io->sync_dir(d->dir.fd) != 0) {
        e = spool_io_err();
        spool_disk_remove(d, d->open);
    }
    return e;
}

static bool fits(const struct spool_disk *d, size_t len)
{
    return d->open != NULL && len <= d->open->file_bytes - d->open->end;
}

/* A group that fits into one segment. A second attempt, in a new file, follows a failed write. */
static enum err append_group(struct spool_disk *d, uint8_t *data, size_t len, uint32_t count)
{
    enum err e = ERR_OK;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (d->open != NULL && d->open->broken) {
            e = heal(d);
            if (e != ERR_OK) {
                return e;
            }
        }
        if (!fits(d, len)) {
            e = check_space(d, 1, true);
            e = e == ERR_OK ? begin_segment(d) : e;
            if (e != ERR_OK) {
                return e;
            }
        }
        e = spool_segment_append(&d->dir, d->open, data, len, count);
        if (e == ERR_OK) {
            return ERR_OK;
        }
        LOG(LOG_WARN, "spool_write_failed", LOG_I("segment", d->open->number),
            LOG_S("why", strerror(errno)), LOG_S("next", "its records are written to a new file"));
        if (d->open->records == 0) {
            spool_disk_remove(d, d->open); /* there are none; nobody would release it */
        }
    }
    return e;
}

/* As many whole records as fit into an empty segment. */
static size_t piece_of(const struct spool_disk *d, struct view records, uint32_t *ret_count)
{
    size_t capacity = (size_t)d->limits.segment_bytes - SPOOL_HEADER_BYTES;
    size_t at = 0;
    size_t len = 0;
    struct view bytes;
    *ret_count = 0;
    while (spool_record_next(records, &at, &bytes) && at <= capacity) {
        len = at;
        (*ret_count)++;
    }
    return len;
}

/* A group that is larger than a segment has segments of its own, so that they can be taken back as
 * a whole when one of them fails. */
static enum err append_large(struct spool_disk *d, uint8_t *data, size_t len)
{
    if (d->open != NULL && d->open->broken) {
        enum err e = heal(d);
        if (e != ERR_OK) {
            return e;
        }
    }
    uint64_t pieces = 0;
    uint32_t count = 0;
    for (size_t at = 0; at < len; pieces++) {
        at += piece_of(d, view_of(data + at, len - at), &count);
    }
    enum err e = check_space(d, pieces, true);
    uint64_t first = d->next_number;
    for (size_t at = 0; at < len && e == ERR_OK;) {
        size_t piece = piece_of(d, view_of(data + at, len - at), &count);
        e = begin_segment(d);
        if (e == ERR_OK) {
            e = spool_segment_append(&d->dir, d->open, data + at, piece, count);
        }
        at += piece;
    }
    for (size_t i = d->count; e != ERR_OK && i > 0 && d->segments[i - 1]->number >= first; i--) {
        spool_disk_remove(d, d->segments[i - 1]);
    }
    return e;
}

void spool_disk_remove_released(struct spool_disk *d)
{
    for (size_t i = d->count; i > 0; i--) {
        if (d->segments[i - 1]->released) {
            spool_disk_remove(d, d->segments[i - 1]);
        }
    }
}

static void say_state(struct spool_disk *d, enum err e)
{
    bool failing = e != ERR_OK;
    if (failing == d->failing) {
        return; /* one line when it begins and one when it ends */
    }
    d->failing = failing;
    if (failing) {
        LOG(LOG_ERROR, e == ERR_FULL ? "spool_full" : "spool_failing",
            LOG_S("why", e == ERR_FULL ? "spool_max is used up, or the disk but for the reserve"
                                       : err_words(e)),
            LOG_I("bytes", d->file_bytes), LOG_I("quota_bytes", d->limits.quota_bytes),
            LOG_I("reserve_bytes", d->limits.reserve_bytes),
            LOG_S("next", "free space or raise spool_max, or see to the disk; until then nothing "
                          "more is acknowledged"));
    } else {
        LOG(LOG_INFO, "spool_works_again", LOG_I("bytes", d->file_bytes));
    }
}

enum err spool_disk_append(struct spool_disk *d, struct buf *records)
{
    uint32_t count = 0;
    enum err e = check_group(d, records, &count);
    if (e != ERR_OK || count == 0) {
        return e; /* the caller's mistake, not the disk's */
    }
    spool_disk_remove_released(d);
    size_t capacity = (size_t)d->limits.segment_bytes - SPOOL_HEADER_BYTES;
    e = records->len > capacity ? append_large(d, records->data, records->len)
                                : append_group(d, records->data, records->len, count);
    if (e == ERR_OK) {
        counter_add(COUNTER_SPOOL_RECORDS, count);
    }
    say_state(d, e);
    spool_disk_publish(d);
    return e;
}
