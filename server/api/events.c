#include "api/events.h"

#include <stdlib.h>

#include "api/internal.h"
#include "api/stream.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/list.h"
#include "store/query_events.h"

enum { EVENTS_PAGE = 500 };
#define EVENTS_PING_US  (15 * CLOCK_SECOND_US)
#define EVENTS_TOKEN_US (2 * CLOCK_SECOND_US)

struct subscription {
    struct list node;
    struct api_events *events;
    struct api_stream *stream;
    struct rule_selector *selector; /* NULL: all */
    int32_t device_id;              /* 0: all */
    struct view kinds;
    char *kinds_text;
    struct auth_bearer bearer;     /* under the list's lock; renewed by every check of the token */
    struct auth_bearer on_filling; /* its copy for the fill that runs */
    char token[API_CURSOR_TEXT_SIZE];
    int64_t last_id; /* the newest event it has seen or passed over */
    bool checked;    /* whether last_id is still in the table */
};

struct api_events {
    struct api *api;
    struct lock lock;
    struct list all;
    int64_t newest_id; /* published by this process; 0: none yet */
    int64_t token_check_us;
    bool stopping;
};

struct api_events *api_events_new(struct api *a)
{
    struct api_events *e = calloc(1, sizeof(*e));
    if (e != NULL) {
        e->api = a;
        lock_init(&e->lock);
        list_init(&e->all);
    }
    return e;
}

void api_events_free(struct api_events *e)
{
    if (e != NULL) {
        lock_fini(&e->lock);
        free(e);
    }
}

bool api_events_kind_matches(struct view words, struct view kind)
{
    if (words.len == 0) {
        return true;
    }
    while (words.len > 0) {
        const uint8_t *comma = memchr(words.data, ',', words.len);
        size_t n = comma == NULL ? words.len : (size_t)(comma - words.data);
        struct view word = view_of(words.data, n);
        words = view_skip(words, comma == NULL ? n : n + 1);
        bool prefix = view_starts(kind, word) && (kind.len == n || kind.data[n] == '.');
        if (n > 0 && prefix) {
            return true;
        }
    }
    return false;
}

void api_events_write(struct buf *out, int64_t id, const char *kind, struct view json)
{
    buf_printf(out, "id: %lld\nevent: %s\ndata: ", (long long)id, kind);
    while (json.len > 0) {
        size_t n = 0;
        while (n < json.len && json.data[n] != '\n' && json.data[n] != '\r') {
            n++;
        }
        buf_put(out, json.data, n);
        if (n < json.len) {
            buf_put_str(out, "\ndata: ");
            n++;
        }
        json = view_skip(json, n);
    }
    buf_put_str(out, "\n\n");
}

static bool wants(const struct subscription *s, const struct auth_bearer *bearer, struct view kind,
                  int32_t device_id, const struct device *d)
{
    if (!api_events_kind_matches(s->kinds, kind) ||
        (s->device_id != 0 && s->device_id != device_id)) {
        return false;
    }
    bool all = s->selector == NULL && bearer->selector == NULL;
    if (all) {
        return true;
    }
    return d != NULL && (s->selector == NULL || rule_selector_matches(s->selector, d)) &&
           auth_bearer_sees(s->events->api->auth, bearer, d);
}

/* ---- reading from the table -------------------------------------------------------------------
 */

static void write_reset(struct buf *out, int64_t last_id, const char *why)
{
    buf_printf(out, "id: %lld\nevent: reset\ndata: {\"reason\":\"%s\"}\n\n", (long long)last_id,
               why);
}

/* Is the client's last id one that the table can follow on from? */
static enum err check_last_id(struct subscription *s, struct db *db, struct buf *out)
{
    int64_t oldest = 0;
    int64_t newest = 0;
    enum err e = store_event_range(db, &oldest, &newest);
    if (e != ERR_OK) {
        return e;
    }
    s->checked = true;
    if (newest > 0 && oldest > s->last_id + 1 && s->last_id > 0) {
        s->last_id = oldest - 1;
        write_reset(out, s->last_id, "events after that id are no longer kept");
    } else if (s->last_id > newest) {
        s->last_id = newest;
        write_reset(out, s->last_id, "that id is newer than any event");
    }
    return ERR_OK;
}

static bool take_row(void *arg, const struct store_event *row, struct buf *out)
{
    struct subscription *s = arg;
    struct device *d =
        row->device_id == 0 ? NULL : catalog_device_by_id(s->events->api->catalog, row->device_id);
    if (wants(s, &s->on_filling, view_str(row->kind), row->device_id, d)) {
        api_events_write(out, row->id, row->kind, row->body);
    }
    device_drop(d);
    s->last_id = row->id;
    return out->len < API_STREAM_PUSH_MAX; /* the rest with the next page */
}

static enum api_fill events_fill(void *arg, struct db *db, struct buf *out)
{
    struct subscription *s = arg;
    lock_take(&s->events->lock);
    s->on_filling = s->bearer;
    lock_give(&s->events->lock);
    if (!s->checked && check_last_id(s, db, out) != ERR_OK) {
        return API_FILL_FAILED;
    }
    bool more = false;
    if (store_event_page(db, s->last_id, EVENTS_PAGE, take_row, s, out, &more) != ERR_OK) {
        return API_FILL_FAILED;
    }
    return more ? API_FILL_MORE : API_FILL_LIVE;
}

static void events_gone(void *arg)
{
    struct subscription *s = arg;
    lock_take(&s->events->lock);
    if (list_linked(&s->node)) {
        list_remove(&s->node);
        counter_add(COUNTER_SSE_CLIENTS, -1);
    }
    lock_give(&s->events->lock);
}

static void events_release(void *arg)
{
    struct subscription *s = arg;
    rule_selector_free(s->selector);
    free(s->kinds_text);
    free(s);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

void api_events_open(struct api_events *e, struct api_request *r, int64_t since, int32_t device_id,
                     struct view kinds, struct rule_selector *selector)
{
    static const struct api_stream_calls calls = {events_fill, events_gone, events_release};
    struct subscription *s = calloc(1, sizeof(*s));
    char *kinds_text = strndup(kinds.len == 0 ? "" : (const char *)kinds.data, kinds.len);
    struct api_stream *stream = s == NULL || kinds_text == NULL
                                    ? NULL
                                    : api_stream_new(e->api, r->connection, &calls, s, since < 0);
    if (stream == NULL) {
        free(s);
        free(kinds_text);
        rule_selector_free(selector);
        api_fail_err(r, ERR_NOMEM, "");
        return;
    }
    s->events = e;
    s->stream = stream;
    s->selector = selector;
    s->kinds_text = kinds_text;
    s->kinds = view_str(kinds_text);
    s->bearer = r->bearer;
    s->checked = since < 0;
    (void)view_copy(view_str(r->token), s->token, sizeof(s->token));
    s->device_id = device_id;
    api_stream_write(stream, VIEW("retry: 3000\n\n"));
    lock_take(&e->lock);
    bool stopping = e->stopping;
    s->last_id = since < 0 ? e->newest_id : since;
    if (!stopping) {
        list_push_back(&e->all, &s->node);
        counter_add(COUNTER_SSE_CLIENTS, 1);
    }
    lock_give(&e->lock);
    if (stopping) {
        api_stream_free(stream);
        api_fail_err(r, ERR_CANCELLED, "");
        return;
    }
    r->stream = stream;
    r->out_type = "text/event-stream";
    r->status = MHD_HTTP_OK;
}

/* ---- live -------------------------------------------------------------------------------------
 */

static bool seen_already(void *arg, int64_t id)
{
    struct subscription *s = arg;
    if (id <= s->last_id) {
        return true;
    }
    s->last_id = id;
    return false;
}

void api_events_publish(struct api_events *e, const struct api_event *event)
{
    struct device *d =
        event->device_id == 0 ? NULL : catalog_device_by_id(e->api->catalog, event->device_id);
    struct buf frame;
    buf_init(&frame, API_STREAM_FILL_MAX);
    api_events_write(&frame, event->id, event->kind, event->json);
    lock_take(&e->lock);
    e->newest_id = event->id;
    LIST_FOREACH (at, &e->all) {
        struct subscription *s = CONTAINER_OF(at, struct subscription, node);
        if (wants(s, &s->bearer, view_str(event->kind), event->device_id, d)) {
            api_stream_push(s->stream, buf_view(&frame), event->id, seen_already);
        }
    }
    lock_give(&e->lock);
    buf_fini(&frame);
    device_drop(d);
}

void api_events_tick(struct api_events *e, int64_t now_us)
{
    lock_take(&e->lock);
    bool ask = now_us - e->token_check_us >= EVENTS_TOKEN_US;
    e->token_check_us = ask ? now_us : e->token_check_us;
    LIST_FOREACH (at, &e->all) {
        struct subscription *s = CONTAINER_OF(at, struct subscription, node);
        if (ask && auth_bearer(e->api->auth, view_str(s->token), &s->bearer) != ERR_OK) {
            api_stream_end(s->stream);
        }
        api_stream_ping(s->stream, VIEW(": keep-alive\n\n"), now_us - EVENTS_PING_US);
    }
    lock_give(&e->lock);
}

void api_events_stop(struct api_events *e)
{
    lock_take(&e->lock);
    e->stopping = true;
    LIST_FOREACH (at, &e->all) {
        api_stream_end(CONTAINER_OF(at, struct subscription, node)->stream);
    }
    lock_give(&e->lock);
}
