#include "shadow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

enum { FILES_MAX = 4096, NAMES_MAX = 256, FDS_MAX = 1024, SECTOR = 512 };

struct change { /* of a file's content, not synced yet */
    struct change *next;
    uint64_t at;
    size_t len;
    bool cut; /* truncated to `at` */
    uint8_t data[];
};

struct file {
    uint8_t *synced;
    size_t size;
    struct change *first;
    struct change **last;
};

struct name {
    char name[64];
    struct file *file;
};

struct names {
    struct name of[NAMES_MAX];
    int count;
};

struct rename { /* or removal, when `to` is empty; or creation, when `from` is */
    char from[64];
    char to[64];
    struct file *file;
};

static struct {
    struct file *files[FILES_MAX];
    int file_count;
    struct names now;
    struct names synced;
    struct rename pending[NAMES_MAX];
    int pending_count;
    struct file *fds[FDS_MAX];
    int folder_fd;
    uint64_t seed;
    long calls;
    long fail_at;
    int error;
    enum shadow_fault how;
    bool lasting;
    long cut_at;
    char cut_to[256];
    bool cut;
} sh;

static uint64_t draw(void)
{
    sh.seed ^= sh.seed << 13;
    sh.seed ^= sh.seed >> 7;
    sh.seed ^= sh.seed << 17;
    return sh.seed;
}

static void file_free(struct file *f)
{
    while (f->first != NULL) {
        struct change *c = f->first;
        f->first = c->next;
        free(c);
    }
    free(f->synced);
    free(f);
}

void shadow_reset(uint64_t seed)
{
    for (int i = 0; i < sh.file_count; i++) {
        file_free(sh.files[i]);
    }
    memset(&sh, 0, sizeof(sh));
    sh.folder_fd = -1;
    sh.seed = seed * 0x9E3779B97F4A7C15u + 0x1234567u;
}

void shadow_fail_at(long n, int error, enum shadow_fault how, bool lasting)
{
    sh.fail_at = sh.calls + n;
    sh.error = error;
    sh.how = how;
    sh.lasting = lasting;
}

void shadow_cut_at(long n, const char *to)
{
    sh.cut_at = sh.calls + n;
    (void)snprintf(sh.cut_to, sizeof(sh.cut_to), "%s", to);
}

bool shadow_is_cut(void)
{
    return sh.cut;
}

long shadow_calls(void)
{
    return sh.calls;
}

/* --- names --- */

static struct name *name_find(struct names *n, const char *name)
{
    for (int i = 0; i < n->count; i++) {
        if (strcmp(n->of[i].name, name) == 0) {
            return &n->of[i];
        }
    }
    return NULL;
}

static void name_remove(struct names *n, const char *name)
{
    struct name *at = name_find(n, name);
    if (at != NULL) {
        *at = n->of[--n->count];
    }
}

static void name_set(struct names *n, const char *name, struct file *f)
{
    name_remove(n, name);
    CHECK(n->count < NAMES_MAX);
    struct name *at = &n->of[n->count++];
    (void)snprintf(at->name, sizeof(at->name), "%s", name);
    at->file = f;
}

static void apply_rename(struct names *n, const struct rename *r)
{
    if (r->from[0] != '\0') {
        name_remove(n, r->from);
    }
    if (r->to[0] != '\0') {
        name_set(n, r->to, r->file);
    }
}

static void change_names(const char *from, const char *to, struct file *f)
{
    CHECK(sh.pending_count < NAMES_MAX);
    struct rename *r = &sh.pending[sh.pending_count++];
    *r = (struct rename){.file = f};
    (void)snprintf(r->from, sizeof(r->from), "%s", from);
    (void)snprintf(r->to, sizeof(r->to), "%s", to);
    apply_rename(&sh.now, r);
}

/* --- content --- */

static void size_set(struct file *f, size_t size)
{
    uint8_t *data = realloc(f->synced, size + 1);
    CHECK(data != NULL);
    if (size > f->size) {
        memset(data + f->size, 0, size - f->size);
    }
    f->synced = data;
    f->size = size;
}

static void apply_part(struct file *f, const struct change *c, size_t from, size_t len)
{
    if (c->at + from + len > f->size) {
        size_set(f, c->at + from + len);
    }
    memcpy(f->synced + c->at + from, c->data + from, len);
}

static void apply_change(struct file *f, const struct change *c, bool whole)
{
    if (c->cut) {
        if (whole || draw() % 2 == 0) {
            size_set(f, c->at);
        }
        return;
    }
    uint64_t luck = draw() % 4; /* all, none, or each sector on its own */
    for (size_t from = 0; from < c->len;) {
        size_t len = SECTOR - (c->at + from) % SECTOR;
        len = len < c->len - from ? len : c->len - from;
        if (whole || luck == 0 || (luck > 1 && draw() % 2 == 0)) {
            apply_part(f, c, from, len);
        }
        from += len;
    }
}

static void settle(struct file *f, bool whole)
{
    while (f->first != NULL) {
        struct change *c = f->first;
        apply_change(f, c, whole);
        f->first = c->next;
        free(c);
    }
    f->last = &f->first;
}

/* What a failed write may do to the sectors it was for: also the part that was synced before. */
static void ruin(struct file *f)
{
    size_t from = SIZE_MAX;
    size_t to = 0;
    for (const struct change *c = f->first; c != NULL; c = c->next) {
        from = c->at < from ? c->at : from;
        to = c->at + c->len > to ? c->at + c->len : to;
    }
    settle(f, false);
    for (size_t at = from == SIZE_MAX ? to : from - from % SECTOR; at < to && at < f->size; at++) {
        f->synced[at] ^= 0x5A;
    }
}

static void remember(struct file *f, uint64_t at, const void *data, size_t len, bool cut)
{
    struct change *c = malloc(sizeof(*c) + len);
    CHECK(c != NULL);
    c->next = NULL;
    c->at = at;
    c->len = len;
    c->cut = cut;
    if (len > 0) {
        memcpy(c->data, data, len);
    }
    *f->last = c;
    f->last = &c->next;
}

void shadow_cut_now(const char *to)
{
    uint64_t arrived = sh.pending_count == 0 ? 0 : draw() % (uint64_t)(sh.pending_count + 1);
    for (uint64_t i = 0; i < arrived; i++) {
        apply_rename(&sh.synced, &sh.pending[i]);
    }
    for (int i = 0; i < sh.synced.count; i++) {
        struct name *n = &sh.synced.of[i];
        settle(n->file, false);
        char path[400];
        (void)snprintf(path, sizeof(path), "%s/%s", to, n->name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK(write(fd, n->file->synced, n->file->size) == (ssize_t)n->file->size);
        (void)close(fd);
    }
    sh.cut = true;
}

/* True: this call fails, errno is set. */
static bool fails(void)
{
    sh.calls++;
    if (!sh.cut && sh.calls == sh.cut_at) {
        shadow_cut_now(sh.cut_to);
    }
    if (sh.cut) {
        errno = EIO;
        return true;
    }
    if (sh.fail_at > 0 && (sh.calls == sh.fail_at || (sh.lasting && sh.calls > sh.fail_at))) {
        errno = sh.error;
        return true;
    }
    return false;
}

/* --- the calls --- */

static struct file *file_of(int fd)
{
    CHECK(fd >= 0 && fd < FDS_MAX && sh.fds[fd] != NULL);
    return sh.fds[fd];
}

static int shadow_open(int dir_fd, const char *name, int flags, mode_t mode)
{
    if (fails()) {
        return -1;
    }
    int fd = SPOOL_IO_REAL.open_at(dir_fd, name, flags, mode);
    if (fd < 0) {
        return fd;
    }
    CHECK(fd < FDS_MAX);
    if ((flags & O_DIRECTORY) != 0) {
        sh.folder_fd = dir_fd == AT_FDCWD ? fd : sh.folder_fd;
        return fd;
    }
    if ((flags & O_CREAT) != 0) {
        CHECK(sh.file_count < FILES_MAX);
        struct file *f = calloc(1, sizeof(*f));
        CHECK(f != NULL);
        f->last = &f->first;
        sh.files[sh.file_count++] = f;
        change_names("", name, f);
    }
    const struct name *n = name_find(&sh.now, name);
    CHECK(n != NULL);
    sh.fds[fd] = n->file;
    return fd;
}

static ssize_t shadow_read(int fd, void *data, size_t len, off_t at)
{
    return fails() ? -1 : SPOOL_IO_REAL.read(fd, data, len, at);
}

static ssize_t shadow_write(int fd, const void *data, size_t len, off_t at)
{
    bool failed = fails();
    int why = errno;
    if (sh.cut || (failed && sh.how == SHADOW_FAIL)) {
        return -1;
    }
    size_t part = failed && len > 1 ? len / 2 : len;
    remember(file_of(fd), (uint64_t)at, data, part, false);
    ssize_t n = SPOOL_IO_REAL.write(fd, data, part, at);
    errno = why;
    return failed && sh.how == SHADOW_HALF ? -1 : n;
}

static int shadow_sync_data(int fd)
{
    if (fails()) {
        if (!sh.cut && !sh.lasting && sh.cut_at == 0) {
            ruin(file_of(fd));
        } else if (!sh.cut) {
            settle(file_of(fd), false);
        }
        return -1;
    }
    settle(file_of(fd), true);
    return 0;
}

static int shadow_sync_dir(int fd)
{
    if (fails()) {
        return -1;
    }
    if (fd == sh.folder_fd) {
        sh.synced = sh.now;
        sh.pending_count = 0;
    }
    return 0;
}

static int shadow_truncate(int fd, off_t len)
{
    if (fails()) {
        return -1;
    }
    remember(file_of(fd), (uint64_t)len, NULL, 0, true);
    return SPOOL_IO_REAL.truncate(fd, len);
}

static int shadow_rename(int dir_fd, const char *from, const char *to)
{
    if (fails() || SPOOL_IO_REAL.rename_at(dir_fd, from, to) != 0) {
        return -1;
    }
    const struct name *n = name_find(&sh.now, from);
    CHECK(n != NULL);
    change_names(from, to, n->file);
    return 0;
}

static int shadow_unlink(int dir_fd, const char *name)
{
    if (fails() || SPOOL_IO_REAL.unlink_at(dir_fd, name) != 0) {
        return -1;
    }
    change_names(name, "", NULL);
    return 0;
}

static int shadow_stat_fs(int fd, struct statvfs *ret_stat)
{
    return fails() ? -1 : SPOOL_IO_REAL.stat_fs(fd, ret_stat);
}

const struct spool_io SHADOW_IO = {
    .open_at = shadow_open,
    .read = shadow_read,
    .write = shadow_write,
    .sync_data = shadow_sync_data,
    .sync_dir = shadow_sync_dir,
    .truncate = shadow_truncate,
    .rename_at = shadow_rename,
    .unlink_at = shadow_unlink,
    .stat_fs = shadow_stat_fs,
};
