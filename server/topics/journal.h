/*
 * journal: what a turn of the home loop has to store, gathered into one list of statements that is
 * committed together: rows of the same kind are one statement.
 *
 * Happy path: journal_…() while the turn runs; journal_flush() at its end; after the commit each
 * message that was queued is marked as stored, and each session that it waits for is told.
 *
 * Threads:   the home loop's; the commit comes back to it by mail.
 * Order:     within a turn messages come before the queues that name them, and those before what
 *            takes them out again; sessions come first, in the order of the calls.
 * Errors:    memory is waited for (patience.h): what is gathered here has happened already.
 */
#pragma once

#include "base/buf.h"
#include "loop/loop.h"
#include "session/target.h"
#include "store/ops.h"

struct journal;

struct journal_hooks {
    void *arg;
    void (*commit)(void *arg, struct ops *o);  /* takes o */
    void (*stored)(void *arg, int64_t number); /* what waited for the commit may go on */
    void (*room)(void *arg);                   /* after journal_full() said so */
    void (*post)(void *arg, struct mail *m);   /* to the home loop */
};

/* The limits are for what is under way to the database. */
NODISCARD struct journal *journal_new(const struct journal_hooks *hooks, int64_t messages_max,
                                      int64_t bytes_max);
void journal_free(struct journal *j); /* nothing is under way any more */
void journal_flush(struct journal *j);
/* Too much is under way; `room` tells when it is not any more. Any thread. */
bool journal_full(struct journal *j);

/* Of sessions that outlive their connection. */
void journal_session_new(struct journal *j, const struct session_opened *o);
void journal_session_opened(struct journal *j, int64_t number, int64_t expiry_us);
void journal_session_parted(struct journal *j, int64_t number, int64_t expiry_us);
void journal_session_ended(struct journal *j, int64_t number);
void journal_filter(struct journal *j, int64_t number, const struct session_filter *f);
void journal_filter_removed(struct journal *j, int64_t number, const char *filter);

/* A message waits for a session; its row is written with the first one. noted: the session's own
 * memory of when it was last noted to be told, 0 at first. */
void journal_queue(struct journal *j, int64_t number, const struct session_target *t,
                   uint64_t *noted);
void journal_queue_released(struct journal *j, int64_t number, int64_t seq);
/* The row of m goes with the last one. */
void journal_queue_done(struct journal *j, int64_t number, int64_t seq, struct message *m);
void journal_id_next(struct journal *j, int64_t id); /* ids of rows go up from here, or higher */

void journal_received(struct journal *j, int64_t number, uint16_t packet_id);
void journal_received_released(struct journal *j, int64_t number, uint16_t packet_id);

void journal_retained(struct journal *j, const struct message *m);
void journal_retained_removed(struct journal *j, struct view topic);

/* A will that waits for its delay. */
struct journal_will {
    int64_t number;    /* of its session */
    int32_t device_id; /* 0: of the open listener */
    struct message *message;
    int64_t due_us;    /* monotonic */
    int64_t expiry_us; /* of the message, once it is published; CLOCK_NONE: never */
};
int64_t journal_will(struct journal *j, const struct journal_will *w); /* the id of its row */
void journal_will_done(struct journal *j, int64_t id);

/* Who waits for what was gathered so far, and for all before it: takes a hold of its own. NULL:
 * nobody, but it counts. A message of the balance was counted as held in MESSAGE_IN_TOPICS. */
void journal_wait(struct journal *j, struct ticket *ticket, unsigned flags, size_t bytes);
