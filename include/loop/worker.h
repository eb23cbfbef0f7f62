/*
 * worker: threads that take mail from one queue and may block, for database work.
 *
 * Ownership and order as for loop mail; with one thread mail runs in the order posted.
 * Threads:   worker_post() from any thread. worker_context() gives the running thread what `open`
 * made for it.
 */
#pragma once

#include "loop/loop.h"

struct worker;
typedef void *(*worker_open_fn)(void *arg); /* on the new thread; the result is its context */
typedef void (*worker_close_fn)(void *arg, void *context);

NODISCARD struct worker *worker_new(const char *name, int threads, worker_open_fn open,
                                    worker_close_fn close, void *arg);
void worker_post(struct worker *w, struct mail *m);
void *worker_context(void);         /* on a worker's thread */
void worker_stop(struct worker *w); /* runs what was posted, then the threads end; waits for them */
void worker_free(struct worker *w);
