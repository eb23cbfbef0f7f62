/*
 * cursor: where a page of a list ended, as an opaque text, and the times of `from` and `to`. Pure.
 *
 * A cursor is base64url of "tag:a:b:name"; the tag is the list's, so that a cursor of one list is
 * no cursor of another. It carries no authority: whoever makes one up sees what they may see
 * anyway.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { API_CURSOR_NAME_MAX = 128, API_CURSOR_TEXT_SIZE = 280 };

struct api_cursor {
    char tag;
    int64_t a, b;
    char name[API_CURSOR_NAME_MAX + 1];
};

char *api_cursor_write(const struct api_cursor *c, char ret_text[static API_CURSOR_TEXT_SIZE]);
NODISCARD enum err api_cursor_read(struct view text, char tag, struct api_cursor *ret_cursor);

/* RFC 3339, epoch milliseconds, "now", "-1h", "now-1h". ERR_SYNTAX, ERR_RANGE. */
NODISCARD enum err api_time_parse(struct view text, int64_t now_us, int64_t *ret_us);
/* Decimal digits with an optional minus sign. ERR_SYNTAX, ERR_RANGE. */
NODISCARD enum err api_int_parse(struct view text, int64_t *ret_value);
