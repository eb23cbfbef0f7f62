#include "spool/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int real_open_at(int dir_fd, const char *name, int flags, mode_t mode)
{
    return openat(dir_fd, name, flags, mode);
}

static int real_rename_at(int dir_fd, const char *from, const char *to)
{
    return renameat(dir_fd, from, dir_fd, to);
}

static int real_unlink_at(int dir_fd, const char *name)
{
    return unlinkat(dir_fd, name, 0);
}

const struct spool_io SPOOL_IO_REAL = {
    .open_at = real_open_at,
    .read = pread,
    .write = pwrite,
    .sync_data = fdatasync,
    .sync_dir = fsync,
    .truncate = ftruncate,
    .rename_at = real_rename_at,
    .unlink_at = real_unlink_at,
    .stat_fs = fstatvfs,
};

enum err spool_io_err(void)
{
    if (errno == ENOSPC || errno == EDQUOT) {
        return ERR_FULL;
    }
    return errno == ENOMEM ? ERR_NOMEM : ERR_IO;
}

enum err spool_io_write(const struct spool_io *io, int fd, const uint8_t *data, size_t len,
                        uint64_t at)
{
    while (len > 0) {
        ssize_t n = io->write(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            if (n == 0) {
                errno = EIO; /* would go on for ever */
            }
            return spool_io_err();
        }
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return ERR_OK;
}

enum err spool_io_read(const struct spool_io *io, int fd, uint8_t *data, size_t len, uint64_t at,
                       size_t *ret_len)
{
    *ret_len = 0;
    while (*ret_len < len) {
        ssize_t n = io->read(fd, data + *ret_len, len - *ret_len, (off_t)(at + *ret_len));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return spool_io_err();
        }
        if (n == 0) {
            break;
        }
        *ret_len += (size_t)n;
    }
    return ERR_OK;
}
