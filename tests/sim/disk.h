/*
 * disk: the segments of the spool, as they are on disk.
 */
#pragma once

#include "pg.h"

struct disk_record {
    uint8_t *bytes;
    uint32_t len;
    uint32_t hidden_in_life; /* of a group that failed: not read before a restart */
};

struct disk_segment {
    uint64_t number;
    bool going; /* is being removed */
    struct disk_record *items;
    uint32_t count, cap;
};

struct disk {
    struct disk_segment *items;
    uint32_t count, cap;
    uint64_t last_number;
    bool full; /* others fill it; may stay so when nothing else goes wrong any more */
};

struct disk *disk_new(void);
void disk_free(struct disk *d);
bool disk_has_readable(const struct disk *d); /* not only what failed in this life */
void spool_dies(void);                        /* the server crashes */
/* checks.c: everything in it must be in the database. */
void check_spool_released(const struct disk_segment *g);
