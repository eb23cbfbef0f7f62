/*
 * sse: reads server-sent events from pieces of a stream, as the WHATWG HTML standard says (9.2.6).
 * Pure.
 *
 * Ownership: sse_init() to sse_fini(). Limits: an event of 1 MiB; a larger one is an error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

struct sse_event {
    const char *kind; /* "message" when the stream gave none */
    const char *id;   /* the last one given, also by an earlier event */
    struct view data;
};
typedef bool (*sse_event_fn)(void *arg, const struct sse_event *e); /* false: stop */

struct sse {
    struct buf line, data;
    char kind[64];
    char id[64];
    bool has_data, after_cr, started;
};

void sse_init(struct sse *s);
void sse_fini(struct sse *s);
/* ERR_CANCELLED: the callback said stop. */
NODISCARD enum err sse_feed(struct sse *s, struct view piece, sse_event_fn event, void *arg);
