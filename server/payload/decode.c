#include "payload/decode.h"

#include <stdarg.h>
#include <stdio.h>

void decode_init(struct decode *d, const struct payload_ctx *ctx, struct view body,
                 struct payload_error *error)
{
    /* One by one: clearing the whole struct would cost a tenth of a short message. */
    d->ctx = ctx;
    d->body = body;
    d->error = error;
    d->hint = ctx->hint;
    if (ctx->hint == NULL) {
        d->own_hint = (struct payload_hint){0};
        d->hint = &d->own_hint;
    }
    d->values = NULL;
    d->value_count = 0;
    d->value_room = 0;
    d->samples_seen = 0;
    d->values_seen = 0;
    d->unknown = (struct names){0};
    d->unknown_ids = NULL;
    payload_json_init(&d->json, body, ctx->arena, ctx->limits->depth_max);
}

enum err decode_fail(struct decode *d, enum err e, size_t offset, const char *format, ...)
{
    struct payload_error *error = d->error;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->detail, sizeof(error->detail), format, args);
    va_end(args);
    error->err = e;
    error->offset = offset;
    payload_json_pointer(d->body, offset, error->pointer, sizeof(error->pointer));
    return e;
}

enum err decode_fail_json(struct decode *d)
{
    const struct payload_json *j = &d->json;
    if (j->err == ERR_LIMIT) {
        return decode_fail(d, j->err, j->err_at, "nested deeper than %u", j->depth_max);
    }
    if (j->err_token.len > 0) {
        int shown = j->err_token.len > 40 ? 40 : (int)j->err_token.len;
        return decode_fail(d, j->err, j->err_at, "%.*s%s %s", shown,
                           (const char *)j->err_token.data, j->err_token.len > 40 ? "..." : "",
                           j->err_words);
    }
    return decode_fail(d, j->err, j->err_at, "%s%s", j->err_words,
                       j->err == ERR_SHORT ? ", but the message ends here" : "");
}

enum err decode_fail_kind(struct decode *d, size_t offset, const char *expected,
                          enum payload_kind found)
{
    if (found == PAYLOAD_ERROR) {
        return decode_fail_json(d);
    }
    return decode_fail(d, ERR_TYPE, offset, "expected %s, found %s", expected,
                       payload_kind_words(found));
}

enum err decode_end(struct decode *d)
{
    struct payload_event ev;
    return payload_json_next(&d->json, &ev) == PAYLOAD_END ? ERR_OK : decode_fail_json(d);
}

const char *decode_show(struct view name, char ret_text[static 64])
{
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (len + 4 >= 64) {
            memcpy(ret_text + len, "...", 3);
            len += 3;
            break;
        }
        uint8_t c = name.data[i];
        ret_text[len++] = c >= 0x20 && c < 0x7F ? (char)c : '?';
    }
    ret_text[len] = '\0';
    return ret_text;
}
