/*
 * net/ws: one WebSocket, bytes in and bytes out (RFC 6455 section 5; MQTT 5 section 6).
 *
 * Packets may be cut into messages and fragments anywhere [MQTT-6.0.0-2], so what binary frames
 * carry is one stream. A Ping is answered, the last one if there were several; text ends it with
 * Close 1003, a broken rule with 1002.
 *
 * Ownership: ws_new() to ws_free(). Threads: one. Memory: 5 KiB each, whatever the peer does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

struct ws;

/* answer: to the request; leaves before all frames. NULL: out of memory. */
NODISCARD struct ws *ws_new(struct view answer);
void ws_free(struct ws *w); /* NULL is fine */
/* Takes all of `bytes` and appends what they carry to `out`; that is no more than they are.
 * ERR_CLOSED: the peer said Close or broke a rule; ours waits to be sent and what comes later is
 * not looked at. Else the error of `out`. */
NODISCARD enum err ws_take(struct ws *w, struct view bytes, struct buf *out);
/* Appends what waits, and `payload` (if not empty) as one frame, unless there was a Close before.
 * The error is that of `out`. */
NODISCARD enum err ws_put(struct ws *w, struct view payload, struct buf *out);
/* Close 1000 leaves with the next ws_put(). False: there was a Close before. */
bool ws_close(struct ws *w);
bool ws_waits(const struct ws *w); /* ws_put() has something to send even without payload */
