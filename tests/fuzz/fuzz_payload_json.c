/*
 * The reader against jansson: both accept or both refuse, and every number, text and key is the
 * same, bit for bit.
 *
 * Where they may differ, and why:
 * - nesting: the reader stops at 64, jansson at 2048;
 * - a key with U+0000: jansson cannot have one;
 * - a key twice: the reader gives both, jansson refuses here;
 * - a NUL byte: jansson 2.14 loses one that it has read ahead and accepts "[2<NUL>]";
 * - integers beyond 64 bits: jansson takes all integers as reals here, so that they are no
 * difference.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/check.h"
#include "payload/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct level {
    json_t *node;
    size_t seen;
};

static bool same_scalar(enum payload_kind kind, const struct payload_event *ev, json_t *other)
{
    if (kind == PAYLOAD_NUMBER) {
        double v = json_real_value(other);
        return json_is_real(other) && memcmp(&v, &ev->number, sizeof(v)) == 0;
    }
    if (kind == PAYLOAD_TEXT) {
        return json_is_string(other) &&
               view_eq(ev->text, view_of(json_string_value(other), json_string_length(other)));
    }
    return kind == PAYLOAD_TRUE    ? json_is_true(other)
           : kind == PAYLOAD_FALSE ? json_is_false(other)
                                   : json_is_null(other);
}

static void compare(struct payload_json *j, json_t *root)
{
    struct level levels[PAYLOAD_DEPTH_MAX + 1];
    struct payload_event ev = {0};
    uint32_t depth = 0;
    enum payload_kind kind = PAYLOAD_ERROR;
    while ((kind = payload_json_next(j, &ev)) > PAYLOAD_END) {
        if (kind == PAYLOAD_OBJECT_END || kind == PAYLOAD_ARRAY_END) {
            const struct level *l = &levels[--depth];
            CHECK(l->seen == (kind == PAYLOAD_ARRAY_END ? json_array_size(l->node)
                                                        : json_object_size(l->node)));
            continue;
        }
        json_t *other = root;
        if (depth > 0) {
            struct level *l = &levels[depth - 1];
            other = json_is_array(l->node)
                        ? json_array_get(l->node, l->seen)
                        : json_object_getn(l->node, (const char *)ev.key.data, ev.key.len);
            l->seen++;
            CHECK((ev.key.data == NULL) == json_is_array(l->node));
        }
        CHECK(other != NULL);
        if (kind == PAYLOAD_OBJECT || kind == PAYLOAD_ARRAY) {
            CHECK(kind == PAYLOAD_OBJECT ? json_is_object(other) : json_is_array(other));
            levels[depth++] = (struct level){other, 0};
        } else {
            CHECK(same_scalar(kind, &ev, other));
        }
    }
    CHECK(kind == PAYLOAD_END && depth == 0);
}

static bool accepts(struct payload_json *j, struct view body, struct arena *arena)
{
    struct payload_event ev;
    enum payload_kind kind = PAYLOAD_ERROR;
    payload_json_init(j, body, arena, PAYLOAD_DEPTH_MAX);
    while ((kind = payload_json_next(j, &ev)) > PAYLOAD_END) {
    }
    CHECK(kind == PAYLOAD_END || (j->err != ERR_OK && j->err_at <= body.len));
    return kind == PAYLOAD_END;
}

static void check_against_jansson(struct view body, struct arena *arena)
{
    struct payload_json j;
    struct payload_json dry;
    json_error_t error;
    bool accepted = accepts(&j, body, arena);
    /* Without an arena the verdict is the same. */
    CHECK(accepts(&dry, body, NULL) == accepted);
    CHECK(dry.err == j.err && dry.err_at == j.err_at);
    if (!accepted) {
        char pointer[24];
        payload_json_pointer(body, j.err_at, pointer, sizeof(pointer));
        CHECK(strlen(pointer) < sizeof(pointer));
    }
    size_t flags =
        JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    json_t *other = json_loadb((const char *)body.data, body.len, flags, &error);
    if (other == NULL) {
        enum json_error_code why = json_error_code(&error);
        CHECK(!accepted || why == json_error_stack_overflow || why == json_error_duplicate_key ||
              why == json_error_null_byte_in_key);
        return;
    }
    CHECK(accepted || j.err == ERR_LIMIT || memchr(body.data, 0, body.len) != NULL);
    if (accepted) {
        payload_json_init(&j, body, arena, PAYLOAD_DEPTH_MAX);
        compare(&j, other);
    }
    json_decref(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    uint8_t *exact = malloc(size > 0 ? size : 1);
    CHECK(exact != NULL);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    arena_init(&arena, 1 << 24);
    check_against_jansson(view_of(exact, size), &arena);
    arena_fini(&arena);
    free(exact);
    return 0;
}
