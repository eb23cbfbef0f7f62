/*
 * emit_json: writes JSON into a buf. Commas and quotes are handled here; nesting is the caller's.
 *
 *     emit_json_open(&j, '{'); emit_json_key(&j, "id"); emit_json_int(&j, 7); emit_json_close(&j,
 * '}');
 *
 * Errors: those of the buf. Invalid UTF-8 becomes U+FFFD; NaN and infinities become null.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct emit_json {
    struct buf *out;
    bool comma; /* a value was written on this level */
};

struct emit_json emit_json_init(struct buf *out);
void emit_json_open(struct emit_json *j, char bracket);  /* '{' or '[' */
void emit_json_close(struct emit_json *j, char bracket); /* '}' or ']' */
void emit_json_key(struct emit_json *j, const char *key);
void emit_json_key_view(struct emit_json *j, struct view key);
void emit_json_view(struct emit_json *j, struct view text);
void emit_json_str(struct emit_json *j, const char *text); /* NULL: null */
void emit_json_int(struct emit_json *j, int64_t v);
void emit_json_real(struct emit_json *j, double v); /* a short form that reads back the same */
void emit_json_bool(struct emit_json *j, bool v);
void emit_json_null(struct emit_json *j);
void emit_json_raw(struct emit_json *j, struct view json); /* one complete value, as it is */
void emit_json_time(struct emit_json *j, int64_t us);      /* RFC 3339, or null for CLOCK_NONE */
