/*
 * stream: an answer of unknown length whose reader sets the pace. When everything written so far
 * has been sent, the connection is suspended and `fill` runs on a store thread for the next piece;
 * so a slow reader holds a buffer of bounded size, and neither a thread nor a database connection.
 *
 * A stream that is live waits for api_stream_push() instead of being filled. What is pushed while a
 * fill runs, or does not fit into the buffer, is not kept: the stream stops being live and the next
 * fill has to fetch it. So nothing is lost, and nothing comes twice if `fill` remembers how far it
 * came.
 *
 * Ownership: counted; one hold for the HTTP answer, one for a fill that runs. `arg` is freed by
 *            `release` with the last one.
 * Threads:   any; a lock of its own. `fill` runs without the lock, one at a time.
 */
#pragma once

#include <stdbool.h>

#include <microhttpd.h>

#include "base/buf.h"
#include "store/store.h"

struct api;
struct api_stream;

enum api_fill {
    API_FILL_MORE,   /* call again when this is sent */
    API_FILL_LIVE,   /* that was all there is now */
    API_FILL_END,    /* that was all */
    API_FILL_FAILED, /* cut the answer off, so that the client sees that it is not whole */
};
typedef enum api_fill (*api_fill_fn)(void *arg, struct db *db, struct buf *out);

enum { API_STREAM_PUSH_MAX = 256 * 1024, API_STREAM_FILL_MAX = 4 << 20 };

struct api_stream_calls {
    api_fill_fn fill;
    void (*gone)(void *arg);    /* the connection has ended; no push after it */
    void (*release)(void *arg); /* nobody uses arg any more */
};

NODISCARD struct api_stream *api_stream_new(struct api *a, struct MHD_Connection *c,
                                            const struct api_stream_calls *calls, void *arg,
                                            bool live);
/* The answer for it; takes over the stream's hold. NULL: out of memory, and the stream is freed. */
NODISCARD struct MHD_Response *api_stream_response(struct api_stream *s);
void api_stream_free(struct api_stream *s); /* one that never got to a response */
/* Before the answer is sent. */
void api_stream_write(struct api_stream *s, struct view bytes);
/* False: not live, so not kept; the next fill fetches it. `skip` is asked under the stream's lock,
 * only when it is live. */
typedef bool (*api_stream_skip_fn)(void *arg, int64_t id);
void api_stream_push(struct api_stream *s, struct view bytes, int64_t id, api_stream_skip_fn skip);
/* Adds the bytes when nothing was written since then; for keep-alives. */
void api_stream_ping(struct api_stream *s, struct view bytes, int64_t silent_since_us);
void api_stream_end(struct api_stream *s); /* after what is in the buffer */
