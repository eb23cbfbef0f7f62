/*
 * rig: a folder, and records that know their number, so that a lost, repeated, moved or invented
 * one is noticed.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "spool/disk.h"

#define RIG_PATH_SIZE 300

static inline void rig_folder(char ret_path[static RIG_PATH_SIZE])
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(ret_path, RIG_PATH_SIZE, "%s/spool-test.XXXXXX", base);
    CHECK(mkdtemp(ret_path) != NULL);
}

static inline void rig_empty(const char *path)
{
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (const struct dirent *f = readdir(d); f != NULL; f = readdir(d)) {
        char name[RIG_PATH_SIZE * 2];
        (void)snprintf(name, sizeof(name), "%s/%s", path, f->d_name);
        if (f->d_name[0] != '.' && unlink(name) != 0) {
            CHECK(rmdir(name) == 0);
        }
    }
    (void)closedir(d);
}

static inline void rig_remove(const char *path)
{
    rig_empty(path);
    CHECK(rmdir(path) == 0);
}

/* How many files end so. */
static inline int rig_count(const char *path, const char *suffix)
{
    int count = 0;
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (const struct dirent *f = readdir(d); f != NULL; f = readdir(d)) {
        size_t len = strlen(f->d_name);
        count += len > strlen(suffix) && strcmp(f->d_name + len - strlen(suffix), suffix) == 0;
    }
    (void)closedir(d);
    return count;
}

static inline size_t rig_file_read(const char *path, const char *name, uint8_t *ret, size_t size)
{
    char full[RIG_PATH_SIZE * 2];
    (void)snprintf(full, sizeof(full), "%s/%s", path, name);
    FILE *f = fopen(full, "rb");
    CHECK(f != NULL);
    size_t n = fread(ret, 1, size, f);
    (void)fclose(f);
    return n;
}

static inline void rig_file_write(const char *path, const char *name, const uint8_t *data,
                                  size_t len)
{
    char full[RIG_PATH_SIZE * 2];
    (void)snprintf(full, sizeof(full), "%s/%s", path, name);
    FILE *f = fopen(full, "wb");
    CHECK(f != NULL);
    CHECK(len == 0 || fwrite(data, 1, len, f) == len);
    CHECK(fclose(f) == 0);
}

/* Record number id: its number, then bytes that follow from it. Some are empty of the latter. */
static inline size_t rig_bytes(uint64_t id, uint8_t *ret, size_t size)
{
    size_t len = 8 + (id * 2654435761u >> 7) % (size - 8);
    memcpy(ret, &id, 8);
    for (size_t i = 8; i < len; i++) {
        ret[i] = (uint8_t)(id * 31 + i * 7);
    }
    return len;
}

static inline void rig_put(struct buf *out, uint64_t id, size_t size)
{
    uint8_t bytes[4096];
    spool_record_put(out, view_of(bytes, rig_bytes(id, bytes, size)));
}

/* A group of records from `first` on. */
static inline enum err rig_append(struct spool_disk *d, uint64_t first, uint64_t count, size_t size)
{
    struct buf records;
    buf_init(&records, 64u << 20);
    for (uint64_t i = 0; i < count; i++) {
        rig_put(&records, first + i, size);
    }
    enum err e = spool_disk_append(d, &records);
    buf_fini(&records);
    return e;
}

/* The number of a record that was made with this size; UINT64_MAX: it never was. */
static inline uint64_t rig_id(struct view bytes, size_t size)
{
    uint8_t want[4096];
    uint64_t id = 0;
    if (bytes.len < 8) {
        return UINT64_MAX;
    }
    memcpy(&id, bytes.data, 8);
    return view_eq(bytes, view_of(want, rig_bytes(id, want, size))) ? id : UINT64_MAX;
}

/* Reads once; the numbers go behind *count of ret_ids. */
static inline enum err rig_read(struct spool_disk *d, struct spool_read *r, size_t size,
                                uint64_t *ret_ids, size_t *count, size_t max)
{
    spool_disk_read(d, r);
    size_t at = 0;
    uint32_t records = 0;
    struct view bytes;
    while (spool_next(&r->bytes, &at, &bytes)) {
        CHECK(*count < max);
        ret_ids[(*count)++] = rig_id(bytes, size);
        records++;
    }
    CHECK(records == r->count);
    return r->status;
}

/* Reads to the end. */
static inline size_t rig_read_all(struct spool_disk *d, size_t max_bytes, size_t size,
                                  uint64_t *ret_ids, size_t max)
{
    struct spool_read r;
    spool_read_init(&r, max_bytes);
    size_t count = 0;
    do {
        CHECK(rig_read(d, &r, size, ret_ids, &count, max) == ERR_OK);
    } while (r.count > 0);
    buf_fini(&r.bytes);
    return count;
}
