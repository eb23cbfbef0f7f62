#include "api/stream.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/lock.h"

enum { STREAM_BLOCK = 32 * 1024 };

struct api_stream {
    struct store_job job;
    struct lock lock;
    atomic_int holds;
    struct api *api;
    struct MHD_Connection *connection;
    struct api_stream_calls calls;
    void *arg;
    struct buf out;
    size_t sent; /* of out */
    int64_t written_us;
    bool suspended;
    bool filling;
    bool live;
    bool missed; /* something was pushed that a fill has to fetch */
    bool end;
    bool failed;
};

struct api_stream *api_stream_new(struct api *a, struct MHD_Connection *c,
                                  const struct api_stream_calls *calls, void *arg, bool live)
{
    struct api_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    lock_init(&s->lock);
    atomic_init(&s->holds, 1);
    s->api = a;
    s->connection = c;
    s->calls = *calls;
    s->arg = arg;
    s->live = live;
    s->written_us = clock_mono_us();
    buf_init(&s->out, API_STREAM_FILL_MAX + API_STREAM_PUSH_MAX);
    return s;
}

static void stream_drop(struct api_stream *s)
{
    if (atomic_fetch_sub(&s->holds, 1) != 1) {
        return;
    }
    s->calls.release(s->arg);
    buf_fini(&s->out);
    lock_fini(&s->lock);
    free(s);
}

/* Under the lock. */
static void stream_wake(struct api_stream *s)
{
    if (s->suspended) {
        s->suspended = false;
        MHD_resume_connection(s->connection);
    }
}

static void stream_work(struct store_job *job, struct db *db)
{
    struct api_stream *s = (struct api_stream *)job;
    struct buf page;
    buf_init(&page, API_STREAM_FILL_MAX);
    enum api_fill got = db == NULL ? API_FILL_FAILED : s->calls.fill(s->arg, db, &page);
    lock_take(&s->lock);
    buf_put_view(&s->out, buf_view(&page));
    bool bad = buf_err(&page) != ERR_OK || buf_err(&s->out) != ERR_OK;
    s->written_us = clock_mono_us();
    s->filling = false;
    s->failed = s->failed || bad || got == API_FILL_FAILED;
    s->end = s->end || got == API_FILL_END;
    s->live = got == API_FILL_LIVE && !s->missed;
    stream_wake(s);
    lock_give(&s->lock);
    buf_fini(&page);
    struct api *a = s->api;
    stream_drop(s);
    atomic_fetch_sub(&a->busy, 1);
}

/* Nothing to send: under the lock. */
static ssize_t stream_idle(struct api_stream *s)
{
    if (s->failed) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (s->end) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (!s->live && !s->filling) {
        /* In this order, see api_stop(): it waits for those who are busy after it said so. */
        atomic_fetch_add(&s->api->busy, 1);
        if (atomic_load(&s->api->stopping)) {
            atomic_fetch_sub(&s->api->busy, 1);
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        s->filling = true;
        s->missed = false;
        atomic_fetch_add(&s->holds, 1);
        store_run(s->api->store, &s->job, stream_work);
    }
    s->suspended = true;
    MHD_suspend_connection(s->connection);
    return 0;
}

static ssize_t stream_read(void *cls, uint64_t at, char *ret_bytes, size_t size)
{
    (void)at;
    struct api_stream *s = cls;
    lock_take(&s->lock);
    size_t left = s->out.len - s->sent;
    if (left == 0) {
        buf_clear(&s->out);
        s->sent = 0;
        ssize_t result = stream_idle(s);
        lock_give(&s->lock);
        return result;
    }
    size_t n = left < size ? left : size;
    memcpy(ret_bytes, s->out.data + s->sent, n);
    s->sent += n;
    lock_give(&s->lock);
    return (ssize_t)n;
}

static void stream_gone(void *cls)
{
    struct api_stream *s = cls;
    s->calls.gone(s->arg);
    lock_take(&s->lock);
    s->suspended = false; /* whoever wakes it now must not touch the connection */
    s->end = true;
    lock_give(&s->lock);
    stream_drop(s);
}

struct MHD_Response *api_stream_response(struct api_stream *s)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, s, stream_gone);
    if (response == NULL) {
        stream_gone(s);
    }
    return response;
}

void api_stream_free(struct api_stream *s)
{
    stream_gone(s);
}

void api_stream_write(struct api_stream *s, struct view bytes)
{
    buf_put_view(&s->out, bytes);
}

void api_stream_push(struct api_stream *s, struct view bytes, int64_t id, api_stream_skip_fn skip)
{
    lock_take(&s->lock);
    size_t waiting = s->out.len - s->sent;
    if (!s->live || waiting + bytes.len > API_STREAM_PUSH_MAX) {
        s->live = false;
        s->missed = true;
    } else if (!s->end && !skip(s->arg, id)) {
        buf_cut(&s->out, s->sent);
        s->sent = 0;
        buf_put_view(&s->out, bytes);
        s->failed = s->failed || buf_err(&s->out) != ERR_OK;
        s->written_us = clock_mono_us();
        stream_wake(s);
    }
    lock_give(&s->lock);
}

void api_stream_ping(struct api_stream *s, struct view bytes, int64_t silent_since_us)
{
    lock_take(&s->lock);
    if (s->suspended && s->out.len == s->sent && s->written_us <= silent_since_us) {
        buf_put_view(&s->out, bytes);
        s->written_us = clock_mono_us();
        stream_wake(s);
    }
    lock_give(&s->lock);
}

void api_stream_end(struct api_stream *s)
{
    lock_take(&s->lock);
    s->end = true;
    stream_wake(s);
    lock_give(&s->lock);
}
