/*
 * batch: what one transaction of the writer holds: samples, and everything that follows from them.
 *
 * The core fills it, the writer commits it. Messages keep the tickets of those who wait for the
 * commit. Ownership: one owner at a time: the core until writer_submit(), the writer until `done`
 * runs. Errors:    sticky; batch_err() says whether an append failed for memory. A batch with an
 * error is given up whole. Threads:   one at a time.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/ticket.h"
#include "loop/loop.h"
#include "model/sample.h"

struct batch;
struct batch_op;
struct ops;
typedef void (*batch_done_fn)(void *arg, struct batch *b);

/* One sample with everything the row needs. */
struct batch_row {
    int32_t device_id;
    int32_t digest;
    int32_t flags; /* enum sample_flag, packet id << 16 */
    int32_t shape; /* 0: no numeric value */
    int64_t ts_us;
    int64_t received_at_us;
    const struct sample
        *sample; /* its values in the order of the shape; read during the call only */
    const struct intern *metrics; /* names for texts and booleans */
};

enum batch_row_end { BATCH_ROW_NEW, BATCH_ROW_DUPLICATE, BATCH_ROW_POISON };

NODISCARD struct batch *batch_new(void);
void batch_free(struct batch *b);
void batch_reset(struct batch *b);
enum err batch_err(const struct batch *b);
uint32_t batch_rows(const struct batch *b);
size_t batch_bytes(const struct batch *b);
bool batch_empty(const struct batch *b); /* nothing at all to commit or to answer */

/* A message: rows added after it belong to it. `t` may be NULL; else the batch takes over the
 * caller's hold. status: what the ticket is told after the commit (ERR_OK, or why the message was
 * rejected). counts: the message is part of the balance. */
void batch_message(struct batch *b, struct ticket *t, enum err status, bool counts);
/* suspect: may be stored already; it goes the slower way that recognises duplicates. */
void batch_row_add(struct batch *b, const struct batch_row *row, bool suspect);
/* A partition must exist before the rows: [from, to), named. */
void batch_partition(struct batch *b, int64_t from_us, int64_t to_us, const char *name);

/* Any statement with parameters, run in order after the rows, in the same transaction. It must be
 * harmless when its object changed or went away meanwhile. sql is a constant. */
struct batch_op *batch_op(struct batch *b, const char *sql);
void batch_op_int(struct batch *b, struct batch_op *op, int64_t v);
void batch_op_real(struct batch *b, struct batch_op *op, double v);       /* NaN: null */
void batch_op_text(struct batch *b, struct batch_op *op, struct view v);  /* copied */
void batch_op_str(struct batch *b, struct batch_op *op, const char *s);   /* copied; NULL: null */
void batch_op_time(struct batch *b, struct batch_op *op, int64_t us);     /* CLOCK_NONE: null */
void batch_op_bytes(struct batch *b, struct batch_op *op, struct view v); /* copied, bytea */

/* Takes o over: its statements run after those that are there, and who waits for them waits for the
 * batch. Each is a message of the batch. spooling: those that are impatient are told at once. */
void batch_append(struct batch *b, struct ops *o, bool spooling);

/* The newest value of a metric; at most one call for a (device, metric) in a batch. extra: JSON of
 * a text or boolean. */
void batch_latest(struct batch *b, int32_t device_id, int32_t metric, int64_t ts_us, double value,
                  struct view extra);
void batch_state(struct batch *b, int32_t device_id, int64_t watermark_us, int64_t last_seen_us,
                 struct view rule_state);

/* For whoever made the batch; see writer.h. */
void batch_on_done(struct batch *b, batch_done_fn done, void *arg);
/* After the commit: messages ended, and rows that PostgreSQL refused. */
uint32_t batch_messages(const struct batch *b);
uint32_t batch_poisoned(const struct batch *b);
enum err
batch_status(const struct batch *b); /* ERR_SKIP: given back uncommitted, see writer_recall() */
/* Of a batch that came back: the ticket of its at-th message becomes the caller's; NULL: none. */
struct ticket *batch_take_ticket(struct batch *b, uint32_t at);
/* The poisoned rows: device ids whose state must be rebuilt. at < batch_poisoned(). */
int32_t batch_poisoned_device(const struct batch *b, uint32_t at);
