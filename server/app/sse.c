#include "app/sse.h"

#include <string.h>

enum { SSE_EVENT_MAX = 1024 * 1024 };

void sse_init(struct sse *s)
{
    *s = (struct sse){0};
    buf_init(&s->line, SSE_EVENT_MAX);
    buf_init(&s->data, SSE_EVENT_MAX);
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->line);
    buf_fini(&s->data);
}

static void take_field(struct sse *s, struct view name, struct view value)
{
    if (view_eq_str(name, "data")) {
        if (s->has_data) {
            buf_put_u8(&s->data, '\n');
        }
        buf_put_view(&s->data, value);
        s->has_data = true;
    } else if (view_eq_str(name, "event")) {
        (void)view_copy(value, s->kind, sizeof(s->kind));
    } else if (view_eq_str(name, "id") && value.len < sizeof(s->id) &&
               memchr(value.data, 0, value.len) == NULL) {
        (void)view_copy(value, s->id, sizeof(s->id));
    }
}

static bool dispatch(struct sse *s, sse_event_fn event, void *arg)
{
    bool go_on = true;
    if (s->has_data) {
        const struct sse_event e = {.kind = s->kind[0] == '\0' ? "message" : s->kind,
                                    .id = s->id,
                                    .data = buf_view(&s->data)};
        go_on = event(arg, &e);
    }
    buf_clear(&s->data);
    s->kind[0] = '\0';
    s->has_data = false;
    return go_on;
}

static bool take_line(struct sse *s, sse_event_fn event, void *arg)
{
    struct view line = buf_view(&s->line);
    if (!s->started && view_starts(line, VIEW("\xEF\xBB\xBF"))) {
        line = view_skip(line, 3); /* a byte order mark before the first line */
    }
    s->started = true;
    if (line.len == 0) {
        return dispatch(s, event, arg);
    }
    const uint8_t *colon = memchr(line.data, ':', line.len);
    struct view name = colon == NULL ? line : view_of(line.data, (size_t)(colon - line.data));
    struct view value =
        colon == NULL ? view_of(line.data + line.len, 0) : view_skip(line, name.len + 1);
    if (value.len > 0 && value.data[0] == ' ') {
        value = view_skip(value, 1);
    }
    take_field(s, name, value); /* a comment has an empty name */
    return true;
}

enum err sse_feed(struct sse *s, struct view piece, sse_event_fn event, void *arg)
{
    for (size_t i = 0; i < piece.len; i++) {
        uint8_t c = piece.data[i];
        bool second = s->after_cr && c == '\n'; /* of CR LF: the line ended with CR */
        s->after_cr = c == '\r';
        if (second) {
            continue;
        }
        if (c != '\n' && c != '\r') {
            buf_put_u8(&s->line, c);
            continue;
        }
        bool go_on = take_line(s, event, arg);
        buf_clear(&s->line);
        if (!go_on) {
            return ERR_CANCELLED;
        }
        if (buf_err(&s->data) != ERR_OK) {
            return buf_err(&s->data);
        }
    }
    return buf_err(&s->line);
}
