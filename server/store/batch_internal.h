/*
 * batch_internal: the inside of a batch, for the writer.
 */
#pragma once

#include "store/batch.h"
#include "store/ops.h"

/* PostgreSQL counts time from 2000-01-01. */
#define PG_EPOCH_US 946684800000000LL

enum { BATCH_OP_PARAMS_MAX = 20 };

struct batch_op {
    struct batch_op *next;
    const char *sql;
    int count;
    const char *values[BATCH_OP_PARAMS_MAX];
    int lengths[BATCH_OP_PARAMS_MAX];
    int formats[BATCH_OP_PARAMS_MAX];
};

/* Where a statement's memory comes from, and where it is said that there was none. ops.c */
struct op_room {
    struct arena *arena;
    enum err *err;
};
struct batch_op *op_new(const struct op_room *room, const char *sql); /* NULL: no memory */
void op_put_int(const struct op_room *room, struct batch_op *op, int64_t v);
void op_put_real(const struct op_room *room, struct batch_op *op, double v);
void op_put_null(const struct op_room *room, struct batch_op *op);
void op_put_text(const struct op_room *room, struct batch_op *op, struct view v);
void op_put_bytes(const struct op_room *room, struct batch_op *op, struct view v);
void op_put_time(const struct op_room *room, struct batch_op *op, int64_t us);

struct ops_waiter {
    struct ticket *ticket; /* or NULL */
    unsigned flags;
};

struct ops {
    struct ops *next; /* in the batch that took it over */
    enum err err;
    struct arena arena;
    struct batch_op *first, **last, *adding;
    uint32_t count;
    struct ops_array *arrays;
    struct buf tickets; /* struct ops_waiter[] */
};
struct ops_waiter *ops_waiters(const struct ops *o, uint32_t *ret_count);

struct batch_partition {
    struct batch_partition *next;
    int64_t from_us, to_us;
    char name[32];
};

struct batch_message {
    struct ticket *ticket;
    enum err status;
    bool counts;
    uint32_t first_row; /* up to the first row of the next message */
};

/* Where a row is, to tell afterwards what became of it. */
struct batch_key {
    int64_t ts_us;
    int32_t device_id;
    int32_t digest;
    uint32_t at; /* offset of its bytes in `rows` or `suspects` */
    uint32_t len;
    uint32_t values;
    bool suspect;
    uint8_t end; /* enum batch_row_end */
};

struct batch {
    struct mail mail;
    struct writer *writer;
    batch_done_fn done;
    void *arg;
    enum err err;
    enum err status;
    struct arena arena;
    struct buf rows;     /* COPY tuples without header and trailer */
    struct buf suspects; /* the same */
    struct buf keys;     /* struct batch_key[] */
    struct buf messages; /* struct batch_message[] */
    struct buf latest_device, latest_metric, latest_ts, latest_value,
        latest_extra; /* binary array elements */
    struct buf state_device, state_watermark, state_seen, state_rules;
    uint32_t latest_count, state_count;
    struct batch_op *first_op, **last_op;
    uint32_t op_count;
    struct batch_partition *partitions;
    struct ops *appended; /* their statements are among the operations */
    size_t appended_bytes;
    uint32_t poisoned;
};

/* Whether the batch came back because the core asked for it is its status: ERR_SKIP. */
struct batch_key *batch_keys(const struct batch *b, uint32_t *ret_count);
struct batch_message *batch_message_list(const struct batch *b, uint32_t *ret_count);
