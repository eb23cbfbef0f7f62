/*
 * ops: statements that are put together on any thread and committed together, by the batch they are
 * appended to. Arrays take many rows into one statement.
 *
 * Ownership: ops_new() to batch_append() or ops_free(). Texts and bytes are copied.
 * Threads:   one at a time.
 * Errors:    sticky; ops_err() says whether an append went over a limit, and so does the batch.
 *            Memory is waited for: what is gathered here has happened.
 * Limits:    20 parameters a statement, 512 MiB of parameters, and as much in each array.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ticket.h"
#include "base/view.h"

struct ops;
struct ops_array;

enum ops_type { OPS_BOOL, OPS_INT4, OPS_INT8, OPS_TEXT, OPS_BYTEA, OPS_TIME };

/* Of those who wait for the commit. */
enum ops_flag {
    OPS_COUNTS = 1,    /* a message of the balance, held in MESSAGE_IN_TOPICS so far */
    OPS_IMPATIENT = 2, /* while messages go to the spool it does not wait */
};

NODISCARD struct ops *ops_new(void); /* never NULL: see patience.h */
void ops_free(struct ops *o);        /* its tickets are told ERR_CLOSED; NULL is fine */
enum err ops_err(const struct ops *o);
size_t ops_bytes(const struct ops *o); /* about what it holds */

/* Statements run in order. It must be harmless when its object changed or went away meanwhile. sql
 * is a constant. The next calls add its parameters. */
void ops_add(struct ops *o, const char *sql);
void ops_int(struct ops *o, int64_t v);
void ops_text(struct ops *o, struct view v);
void ops_bytea(struct ops *o, struct view v);
void ops_time(struct ops *o, int64_t us);              /* CLOCK_NONE: null */
void ops_elements(struct ops *o, struct ops_array *a); /* a is complete; for unnest() */

/* An array that grows until it is made a parameter; it lives as long as o. */
NODISCARD struct ops_array *ops_array(struct ops *o, enum ops_type type);
uint32_t ops_array_count(const struct ops_array *a);
void ops_array_int(struct ops_array *a,
                   int64_t v); /* BOOL, INT4, INT8; TIME in µs, CLOCK_NONE: null */
void ops_array_bytes(struct ops_array *a, struct view v); /* TEXT, BYTEA */

/* Who waits for the commit; takes over the caller's hold on t. t may be NULL for one that only
 * counts. */
void ops_ticket(struct ops *o, struct ticket *t, unsigned flags);
