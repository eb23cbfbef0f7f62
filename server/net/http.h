/*
 * net/http: the request with which a WebSocket begins (RFC 6455 section 4.2, RFC 9112). Bytes in,
 * verdict out: no socket, no state.
 *
 * Limits: a head of 8 KiB. Strict where clients are: lines end with CR LF, no folded lines, no
 * body.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

enum { HTTP_HEAD_MAX = 8192, HTTP_ACCEPT_CHARS = 28 };

struct http_verdict {
    int status;        /* 101: a WebSocket begins; else of the refusal */
    const char *words; /* why, for the refusal's body and the log */
    char accept[HTTP_ACCEPT_CHARS + 1];
};

/*
 * Judges the request head at the front of `bytes`; nothing may follow it, because a client has to
 * wait for the answer. ERR_SHORT: it is not complete yet.
 *
 * guarded: the connection carries authority of its own (a client certificate, or the open
 * listener), which a browser would lend to any page: a request whose Origin is another host is
 * refused.
 */
NODISCARD enum err http_judge(struct view bytes, bool guarded, struct http_verdict *ret_verdict);
/* The whole answer, for status 101 without what follows it. */
void http_answer(const struct http_verdict *v, struct buf *out);
