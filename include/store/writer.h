/*
 * writer: commits batches, in order, on its own connection and thread.
 *
 * Happy path: BEGIN, the lane's sequence number, COPY of the rows, the operations, COMMIT; then the
 * messages are counted, their tickets dropped, and `done` runs, all on the writer's thread. A
 * connection that fails, hangs or is refused: the batch is kept, the server goes on filling the
 * next one up to its budget, and the writer tries again with growing pauses (0.1 to 1 s) until it
 * succeeds or is stopped. Whether a COMMIT whose answer was lost took effect is read from the
 * lane's sequence number, which also waits for the old transaction. A row that is stored already:
 * the batch goes again the careful way (INSERT … ON CONFLICT DO NOTHING). A row that PostgreSQL
 * refuses: taken out, counted as poison, the rest goes again.
 *
 * Threads: writer_submit() and writer_idle() from one thread, the core's.
 */
#pragma once

#include "conf/conf.h"
#include "store/batch.h"
#include "store/db.h"

struct writer;

NODISCARD enum err writer_new(const struct conf *conf, struct writer **ret_writer);
/* Connects and takes the lane over: after this an older server with the same database can commit
 * nothing more. */
NODISCARD enum err writer_start(struct writer *w);
/* Takes b until its `done` runs. ERR_OK: committed. After writer_stop(), and after any batch that
 * was given up, the status is ERR_CLOSED and nothing was committed: later batches build upon
 * earlier ones. */
void writer_submit(struct writer *w, struct batch *b);
/* While on, a batch that cannot be committed comes back with the status ERR_SKIP, its tickets
 * untouched, after the try that is under way, and so do all submitted after it, untried: the first
 * may have been committed without an answer. They are to be submitted again in the same order,
 * after it was switched off. */
void writer_recall(struct writer *w, bool on);
bool writer_is_up(const struct writer *w);   /* any thread */
bool writer_is_safe(const struct writer *w); /* any thread: fsync and full_page_writes are on */
bool writer_is_usurped(
    const struct writer *w); /* any thread: another server took the lane over; this one must stop */
void writer_stop(
    struct writer *w); /* batches submitted before are finished or, without a database, given up */
void writer_free(struct writer *w);
