/*
 * events: the event streams (Server-Sent Events). Each starts with what the table `events` has
 * after the client's last id, and goes on with what the core commits, without gap or repeat.
 *
 * Happy path:  a client without an id is live at once; one with an id is filled page by page, and
 * is live when a page was not full and nothing was committed meanwhile. Slow client: its buffer
 * (256 KiB) fills, it stops being live and reads from the table again when it has sent what it has.
 * One that does not read at all is closed by libmicrohttpd. Old id:      `event: reset` tells that
 * events between are no longer kept, or that the id is from another database; the stream goes on
 * with the oldest that is there. Tokens:      asked again every two seconds: a revoked token ends
 * its streams.
 *
 * Threads: any; one lock for the list, then the stream's own.
 */
#pragma once

#include "api/request.h"

struct api_events;

NODISCARD struct api_events *api_events_new(struct api *a);
void api_events_free(struct api_events *e);
/* The handler's part; the request has its parameters checked by the caller. since < 0: from now;
 * device_id 0: all. Takes the selector over. */
void api_events_open(struct api_events *e, struct api_request *r, int64_t since, int32_t device_id,
                     struct view kinds, struct rule_selector *selector);
void api_events_publish(struct api_events *e, const struct api_event *event);
void api_events_tick(struct api_events *e, int64_t now_us);
void api_events_stop(struct api_events *e);
/* Is `kind` ("alert.firing") among the words ("alert,command.succeeded")? Empty: yes. Pure. */
bool api_events_kind_matches(struct view words, struct view kind);
/* One event as it goes over the wire; line ends inside the JSON are kept by repeating "data:". */
void api_events_write(struct buf *out, int64_t id, const char *kind, struct view json);
