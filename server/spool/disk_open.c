/*
 * Opening: the folder, its lock, the segments that are there.
 *
 * The newest of them may end in a group that was never acknowledged, and what is read of it may be
 * in the kernel's memory only: the run before may have ended after a failed fdatasync(). So its
 * good records are written to a new file here, once: in later runs this segment is no longer the
 * newest, and damage in it is damage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "spool/disk.h"

#define SEGMENT_BYTES_DEFAULT (16 << 20)

static enum err refuse(const char *path, const char *why, const char *next)
{
    LOG(LOG_ERROR, "spool_not_opened", LOG_S("dir", path), LOG_S("why", why), LOG_S("next", next));
    return ERR_IO;
}

static enum err refuse_errno(const char *path, const char *next)
{
    return refuse(path, strerror(errno), next);
}

/* The folder's own name must survive a power cut as well. */
static bool sync_parent(const struct spool_dir *dir)
{
    int fd = dir->io->open_at(dir->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
        return errno == EACCES && syncfs(dir->fd) == 0;
    }
    bool ok = dir->io->sync_dir(fd) == 0;
    int why = errno;
    (void)close(fd);
    errno = why;
    return ok;
}

static enum err open_folder(struct spool_dir *dir, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return refuse_errno(path, "create the folder, owned by the server's user, mode 0700");
    }
    dir->fd = dir->io->open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    struct stat st;
    if (dir->fd < 0 || fstat(dir->fd, &st) != 0) {
        return refuse_errno(path, "give the server's user access to the folder");
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 || (st.st_uid != geteuid() && st.st_uid != 0)) {
        return refuse(path, "others may write to it", "chown it to the server's user, chmod 0700");
    }
    if (flock(dir->fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? refuse(path, "another process uses it", "stop that process")
                                    : refuse_errno(path, "use a local file system");
    }
    return sync_parent(dir) ? ERR_OK : refuse_errno(path, "check the disk");
}

static int by_number(const void *a, const void *b)
{
    const struct spool_segment *const *x = a;
    const struct spool_segment *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static enum err list_files(struct spool_disk *d)
{
    int fd = d->dir.io->open_at(d->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *files = fd < 0 ? NULL : fdopendir(fd);
    if (files == NULL) {
        enum err e = spool_io_err();
        if (fd >= 0) {
            (void)close(fd);
        }
        return e;
    }
    enum err e = ERR_OK;
    for (const struct dirent *f = readdir(files); f != NULL && e == ERR_OK; f = readdir(files)) {
        struct spool_segment seg = {.fd = -1, .begun_us = CLOCK_NONE};
        const char *suffix = NULL;
        if (!spool_segment_parse_name(f->d_name, &seg.number, &suffix)) {
            continue; /* lost+found and the like */
        }
        if (seg.number >= d->next_number) {
            d->next_number = seg.number + 1; /* a number is never used again, *.bad included */
        }
        if (strcmp(suffix, "new") == 0) {
            (void)d->dir.io->unlink_at(d->dir.fd, f->d_name); /* was never finished */
        } else if (strcmp(suffix, "spool") == 0) {
            e = spool_disk_push(d, &seg);
        }
    }
    (void)closedir(files);
    if (e == ERR_OK && d->count > 0) {
        qsort(d->segments, d->count, sizeof(d->segments[0]), by_number);
    }
    return e;
}

static enum err identify(struct spool_disk *d, struct spool_segment *seg)
{
    uint32_t version = 0;
    enum err e = spool_segment_open(&d->dir, seg);
    if (e == ERR_OK) {
        do {
            e = spool_segment_identify(&d->dir, seg, &version);
        } while (e == ERR_IO && !spool_disk_give_up(d, seg));
        d->file_bytes += (int64_t)seg->file_bytes;
        if (seg->bad) {
            e = ERR_MALFORMED;
        }
        seg->failures = 0;
    }
    if (e == ERR_UNSUPPORTED) {
        char name[SPOOL_NAME_SIZE];
        spool_segment_name(seg->number, "spool", name);
        LOG(LOG_ERROR, "spool_version", LOG_S("file", name), LOG_I("version", version),
            LOG_I("newest_known", SPOOL_VERSION),
            LOG_S("next", "start the newer server, which wrote it, and let it empty the spool"));
        return e;
    }
    spool_segment_close(seg);
    if (e == ERR_MALFORMED || e == ERR_TYPE) {
        seg->scanned = true; /* nothing in it can be read */
        spool_disk_mark_bad(d, seg, "it has no header of a segment");
        return ERR_OK;
    }
    return e;
}

/* The good records in a new file. When there is no space for it, the rest is cut off in place. */
static enum err rewrite(struct spool_disk *d, struct spool_segment *seg)
{
    if (seg->end == SPOOL_HEADER_BYTES) {
        return ERR_OK; /* is removed */
    }
    struct spool_segment fresh = *seg;
    fresh.file_bytes = seg->end;
    enum err e = spool_segment_make(&d->dir, &fresh, seg);
    if (e == ERR_FULL) {
        return spool_segment_cut(&d->dir, seg);
    }
    if (e == ERR_OK) {
        spool_segment_close(seg);
        *seg = fresh;
        e = d->dir.io->sync_dir(d->dir.fd) == 0 ? ERR_OK : spool_io_err();
    }
    return e == ERR_SHORT || e == ERR_MALFORMED ? ERR_IO : e; /* it could be read just now */
}

/* What follows the last good record of the newest segment was never acknowledged. */
static enum err cut_tail(struct spool_disk *d, struct spool_segment *seg)
{
    enum err e = spool_segment_open(&d->dir, seg);
    if (e != ERR_OK) {
        return e;
    }
    do {
        e = spool_segment_scan(&d->dir, seg);
    } while (e == ERR_IO && !spool_disk_give_up(d, seg));
    if (e == ERR_IO) {
        e = ERR_OK; /* set aside, but never cut: it may be readable another day */
    } else if (e == ERR_OK || e == ERR_MALFORMED) {
        if (e == ERR_MALFORMED) {
            LOG(LOG_WARN, "spool_tail_dropped", LOG_I("segment", seg->number),
                LOG_I("good_records", seg->records), LOG_I("good_bytes", seg->end));
        }
        uint64_t before = seg->file_bytes;
        e = rewrite(d, seg);
        d->file_bytes -= (int64_t)(before - seg->file_bytes);
    }
    spool_segment_close(seg);
    return e;
}

static enum err find_segments(struct spool_disk *d)
{
    enum err e = list_files(d);
    for (size_t i = 0; i < d->count && e == ERR_OK; i++) {
        e = identify(d, d->segments[i]);
    }
    struct spool_segment *newest = d->count == 0 ? NULL : d->segments[d->count - 1];
    if (e == ERR_OK && newest != NULL && !newest->bad) {
        e = cut_tail(d, newest);
    }
    for (size_t i = d->count; i > 0 && e == ERR_OK; i--) {
        struct spool_segment *seg = d->segments[i - 1];
        if (seg->scanned && seg->end <= SPOOL_HEADER_BYTES) {
            spool_disk_remove(d, seg); /* no records: nobody would release it */
        }
    }
    return e;
}

static bool limits_make_sense(const struct spool_limits *l)
{
    return l->segment_bytes <= 1 << 30 && l->quota_bytes >= l->segment_bytes &&
           l->reserve_bytes >= 0 && l->record_max <= SPOOL_RECORD_LIMIT - SPOOL_HEAD_BYTES &&
           l->segment_bytes >= (int64_t)SPOOL_HEADER_BYTES + SPOOL_HEAD_BYTES + l->record_max;
}

enum err spool_disk_open(const char *path, const struct spool_limits *limits,
                         const struct spool_io *io, struct spool_disk **ret_disk)
{
    struct spool_disk *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->dir = (struct spool_dir){.io = io, .fd = -1};
    d->next_number = 1;
    d->limits = *limits;
    if (d->limits.segment_bytes == 0) {
        d->limits.segment_bytes = SEGMENT_BYTES_DEFAULT;
    }
    enum err e = limits_make_sense(&d->limits)
                     ? open_folder(&d->dir, path)
                     : refuse(path, "a record must fit into a segment, a segment into the quota",
                              "correct the limits");
    if (e == ERR_OK) {
        e = find_segments(d);
        if (e != ERR_OK && e != ERR_UNSUPPORTED) {
            (void)refuse(path, e == ERR_IO ? strerror(errno) : err_words(e),
                         "check the disk and who may read and write the files");
        }
    }
    if (e != ERR_OK) {
        spool_disk_close(d);
        return e;
    }
    spool_disk_publish(d);
    *ret_disk = d;
    return ERR_OK;
}

void spool_disk_close(struct spool_disk *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->count; i++) {
        spool_segment_close(d->segments[i]);
        free(d->segments[i]);
    }
    free(d->segments);
    if (d->dir.fd >= 0) {
        (void)close(d->dir.fd);
    }
    free(d);
}
