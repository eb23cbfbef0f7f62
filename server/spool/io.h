/*
 * io: the system calls of the spool, in a table, so that a test can make the n-th of them fail.
 *
 * Errors: as the calls themselves, in errno. The helpers below finish what a signal or a short
 * write left, and give an err: ERR_FULL for no space, ERR_NOMEM, otherwise ERR_IO.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "base/err.h"

struct spool_io {
    int (*open_at)(int dir_fd, const char *name, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *data, size_t len, off_t at);
    ssize_t (*write)(int fd, const void *data, size_t len, off_t at);
    int (*sync_data)(int fd);
    int (*sync_dir)(int fd);
    int (*truncate)(int fd, off_t len);
    int (*rename_at)(int dir_fd, const char *from, const char *to);
    int (*unlink_at)(int dir_fd, const char *name);
    int (*stat_fs)(int fd, struct statvfs *ret_stat);
};
extern const struct spool_io SPOOL_IO_REAL;

enum err spool_io_err(void); /* of errno */
NODISCARD enum err spool_io_write(const struct spool_io *io, int fd, const uint8_t *data,
                                  size_t len, uint64_t at);
/* ret_len: what could be read, on an error too. Less than len with ERR_OK: the file ends. */
NODISCARD enum err spool_io_read(const struct spool_io *io, int fd, uint8_t *data, size_t len,
                                 uint64_t at, size_t *ret_len);
