/*
 * waits: requests that wait for the end of a command (?wait=5s). They hold a suspended connection
 * and no thread.
 *
 * A request is entered first and its command read from the database afterwards: a command that
 * ended before is seen by the read, one that ends later by its event, and one in between by both;
 * then whoever is second does nothing.
 *
 * Threads: any; a lock of its own.
 */
#pragma once

#include "api/request.h"

struct api_waits;
struct api_wait;

NODISCARD struct api_waits *api_waits_new(void);
void api_waits_free(struct api_waits *w);
/* In the request's arena; `ended` is run for it on a store thread when the wait is over. NULL: out
 * of memory, or the server is stopping. */
struct api_wait *api_waits_add(struct api_waits *w, struct api_request *r, int64_t command_id,
                               int64_t deadline_us, store_work_fn ended);
/* After the read. True: the wait is over and the caller answers; else `ended` will run. */
NODISCARD bool api_waits_checked(struct api_waits *w, struct api_wait *wait, bool is_final);
void api_waits_event(struct api_waits *w, int64_t command_id);
void api_waits_tick(struct api_waits *w, int64_t now_us);
void api_waits_stop(struct api_waits *w);
