#include "base/emit_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/utf8.h"

struct emit_json emit_json_init(struct buf *out)
{
    return (struct emit_json){.out = out};
}

static void emit_comma(struct emit_json *j)
{
    if (j->comma) {
        buf_put_u8(j->out, ',');
    }
    j->comma = true;
}

void emit_json_open(struct emit_json *j, char bracket)
{
    emit_comma(j);
    buf_put_u8(j->out, (uint8_t)bracket);
    j->comma = false;
}

void emit_json_close(struct emit_json *j, char bracket)
{
    buf_put_u8(j->out, (uint8_t)bracket);
    j->comma = true;
}

/* The length of the valid sequence at the start of v, at least 1; *ret_valid says whether it is
 * one. */
static size_t emit_sequence(struct view v, bool *ret_valid)
{
    uint8_t lead = v.data[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    *ret_valid = len <= v.len && utf8_valid(view_of(v.data, len));
    return *ret_valid ? len : 1;
}

static void emit_escaped(struct buf *out, struct view text)
{
    buf_put_u8(out, '"');
    while (text.len > 0) {
        bool valid = false;
        size_t len = emit_sequence(text, &valid);
        uint8_t c = text.data[0];
        if (!valid) {
            buf_put_str(out, "\xEF\xBF\xBD");
        } else if (c == '"' || c == '\\') {
            buf_put_u8(out, '\\');
            buf_put_u8(out, c);
        } else if (c == '\n') {
            buf_put_str(out, "\\n");
        } else if (c < 0x20 || c == 0x7F) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_put(out, text.data, len);
        }
        text = view_skip(text, len);
    }
    buf_put_u8(out, '"');
}

void emit_json_key_view(struct emit_json *j, struct view key)
{
    emit_comma(j);
    emit_escaped(j->out, key);
    buf_put_u8(j->out, ':');
    j->comma = false;
}

void emit_json_key(struct emit_json *j, const char *key)
{
    emit_json_key_view(j, view_str(key));
}

void emit_json_view(struct emit_json *j, struct view text)
{
    emit_comma(j);
    emit_escaped(j->out, text);
}

void emit_json_str(struct emit_json *j, const char *text)
{
    if (text == NULL) {
        emit_json_null(j);
        return;
    }
    emit_json_view(j, view_str(text));
}

void emit_json_int(struct emit_json *j, int64_t v)
{
    emit_comma(j);
    buf_printf(j->out, "%lld", (long long)v);
}

void emit_json_real(struct emit_json *j, double v)
{
    if (!isfinite(v)) {
        emit_json_null(j);
        return;
    }
    emit_comma(j);
    char text[40];
    /* Below the normal range a double has fewer digits than 15. */
    for (int digits = v != 0 && !isnormal(v) ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    buf_put_str(j->out, text);
}

void emit_json_bool(struct emit_json *j, bool v)
{
    emit_comma(j);
    buf_put_str(j->out, v ? "true" : "false");
}

void emit_json_null(struct emit_json *j)
{
    emit_comma(j);
    buf_put_str(j->out, "null");
}

void emit_json_raw(struct emit_json *j, struct view json)
{
    emit_comma(j);
    buf_put_view(j->out, json);
}

void emit_json_time(struct emit_json *j, int64_t us)
{
    if (us == CLOCK_NONE) {
        emit_json_null(j);
        return;
    }
    char text[CLOCK_TEXT_SIZE];
    emit_json_str(j, clock_format(us, text));
}
