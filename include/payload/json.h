/*
 * json: a strict RFC 8259 reader that hands out one event a call. No tree, no recursion, and no
 * memory except for texts that contain escapes.
 *
 *     payload_json_init(&j, body, arena, 16);
 *     while ((kind = payload_json_next(&j, &event)) > PAYLOAD_END) { … }
 *     if (kind == PAYLOAD_ERROR) { j.err, j.err_at and j.err_words say what and where }
 *
 * A member of an object is one event: its value with its key beside it.
 *
 * Ownership: keys and texts are views into the body, or into the arena when they had escapes.
 * Without an arena escapes are checked and left as they are.
 *
 * Errors: sticky. ERR_SHORT: the text ends too early; ERR_SYNTAX; ERR_UTF8: also an escape that is
 * half of a surrogate pair; ERR_RANGE: a number beyond IEEE double; ERR_LIMIT: nesting; ERR_NOMEM:
 * the arena.
 *
 * Limits: depth_max, at most PAYLOAD_DEPTH_MAX. A key twice in one object is the caller's affair.
 *
 * Numbers: the nearest double, ties to even, for any number of digits in linear time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/view.h"

enum { PAYLOAD_DEPTH_MAX = 64 };

enum payload_kind {
    PAYLOAD_ERROR,
    PAYLOAD_END, /* behind the one value and its white space */
    PAYLOAD_OBJECT,
    PAYLOAD_OBJECT_END,
    PAYLOAD_ARRAY,
    PAYLOAD_ARRAY_END,
    PAYLOAD_NUMBER,
    PAYLOAD_TEXT,
    PAYLOAD_TRUE,
    PAYLOAD_FALSE,
    PAYLOAD_NULL,
};

struct payload_event {
    struct view key;  /* .data is NULL in an array, at the top and at an end */
    struct view text; /* PAYLOAD_TEXT: its content; PAYLOAD_NUMBER: as it was written */
    double number;    /* PAYLOAD_NUMBER */
    size_t key_at;    /* byte offset of the key's opening quote */
    size_t at;        /* byte offset of the value or bracket */
    bool expected;    /* the key is the one that the caller named in `expected` */
};

struct payload_json {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    struct arena *arena;
    uint64_t stack; /* a bit for each open container, the innermost lowest; 1: object */
    uint32_t depth; /* open containers */
    uint32_t depth_max;
    int state;
    /* Set by the caller before any next(): if this is the next key, one comparison finds it. Plain
     * bytes only: valid UTF-8 without quotes, backslashes and control bytes. */
    struct view expected;
    /* Of the failure: */
    enum err err;
    bool err_in_value; /* false: between two values, or in a key */
    size_t err_at;
    const char *err_words;
    struct view err_token; /* the number that is out of range; else empty */
};

void payload_json_init(struct payload_json *j, struct view body, struct arena *arena,
                       uint32_t depth_max);
/* An event's fields that do not belong to its kind are not set. */
enum payload_kind payload_json_next(struct payload_json *j, struct payload_event *ret_event);
/* After PAYLOAD_OBJECT or PAYLOAD_ARRAY: reads on to behind its end. */
NODISCARD enum err payload_json_skip(struct payload_json *j);
/* "an object", "a number": for messages. */
const char *payload_kind_words(enum payload_kind kind);
/* The RFC 6901 pointer of what stands at a byte offset, cut with "..." when it does not fit. Walks
 * the body again: for errors only. */
void payload_json_pointer(struct view body, size_t offset, char *ret_text, size_t size);
