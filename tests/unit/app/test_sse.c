#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "app/sse.h"
#include "base/check.h"

struct seen {
    struct buf text; /* "kind/id/data;" of each event */
    int left;
};

static bool on_event(void *arg, const struct sse_event *e)
{
    struct seen *s = arg;
    buf_printf(&s->text, "%s/%s/%.*s;", e->kind, e->id, VIEW_ARG(e->data));
    return --s->left != 0;
}

/* Feeds an exact-size copy in pieces of `piece` bytes. */
static enum err feed(const char *stream, size_t piece, int events, char **ret_seen)
{
    struct seen s = {.left = events};
    struct sse sse;
    enum err e = ERR_OK;
    size_t len = strlen(stream);
    sse_init(&sse);
    buf_init(&s.text, 1 << 20);
    for (size_t at = 0; e == ERR_OK && at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        uint8_t *copy = malloc(n);
        memcpy(copy, stream + at, n);
        e = sse_feed(&sse, view_of(copy, n), on_event, &s);
        free(copy);
    }
    sse_fini(&sse);
    *ret_seen = buf_take_str(&s.text);
    return e;
}

Test(sse, streams_are_read_as_the_standard_says_however_they_are_cut)
{
    static const struct {
        const char *stream, *seen;
    } cases[] = {
        {"data: a\n\n", "message//a;"},
        {"id: 7\nevent: alert.firing\ndata: {}\n\n", "alert.firing/7/{};"},
        {"data: a\ndata: b\n\n", "message//a\nb;"},
        {"data:a\n\ndata:  b\n\n", "message//a;message// b;"}, /* one blank belongs to the colon */
        {"id: 1\ndata: a\n\ndata: b\n\n", "message/1/a;message/1/b;"}, /* the id stays */
        {"id: 1\ndata: a\n\nid\ndata: b\n\n", "message/1/a;message//b;"},
        {"event: x\n\ndata: a\n\n",
         "message//a;"}, /* no data: no event, and the kind is forgotten */
        {": ping\n\nretry: 3000\n\ndata: a\n\n", "message//a;"},
        {"data: a\r\n\r\ndata: b\r\rdata: c\n\n", "message//a;message//b;message//c;"},
        {"\xEF\xBB\xBF"
         "data: a\n\n",
         "message//a;"},
        {"data\n\n", "message//;"},
        {"unknown: x\ndata: a\n\n", "message//a;"},
        {"data: unfinished\n", ""}, /* cut off: not an event */
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t piece = 1; piece <= strlen(cases[i].stream) + 1; piece++) {
            char *seen = NULL;
            cr_expect_eq(feed(cases[i].stream, piece, 100, &seen), ERR_OK);
            cr_expect_str_eq(seen, cases[i].seen, "case %zu in pieces of %zu: %s", i, piece, seen);
            free(seen);
        }
    }
}

Test(sse, the_callback_ends_it)
{
    char *seen = NULL;
    cr_expect_eq(feed("data: a\n\ndata: b\n\ndata: c\n\n", 1000, 2, &seen), ERR_CANCELLED);
    cr_expect_str_eq(seen, "message//a;message//b;");
    free(seen);
}

Test(sse, an_event_without_end_is_an_error)
{
    char *chunk = malloc(70000);
    struct sse sse;
    struct seen s = {.left = 1};
    enum err e = ERR_OK;
    memset(chunk, 'x', 70000);
    sse_init(&sse);
    for (int i = 0; e == ERR_OK && i < 100; i++) {
        e = sse_feed(&sse, view_of(chunk, 70000), on_event, &s);
    }
    cr_expect_eq(e, ERR_LIMIT);
    sse_fini(&sse);
    free(chunk);
}
