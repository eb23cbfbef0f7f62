/*
 * query: the target of a request ("/v1/devices/p%2D1?limit=5") as decoded path segments and
 * parameters.
 *
 * Ownership: decoded texts live in the arena, each followed by a NUL byte.
 * Errors:    ERR_MALFORMED (no leading slash, a bad escape, an empty, "." or ".." segment, a
 * control byte), ERR_UTF8, ERR_LIMIT (segments, parameters, length), ERR_NOMEM. Limits:    16 KiB
 * in all, 12 segments, 64 parameters.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/view.h"

enum { API_TARGET_MAX = 16384, API_SEGMENTS_MAX = 12, API_PARAMS_MAX = 64 };

struct api_param {
    struct view name;
    struct view value;
};

struct api_query {
    struct view segments[API_SEGMENTS_MAX];
    uint32_t segment_count; /* "/" has none */
    struct api_param params[API_PARAMS_MAX];
    uint32_t param_count;
};

NODISCARD enum err api_query_parse(struct view target, struct arena *a,
                                   struct api_query *ret_query);
/* The first parameter of that name; .data == NULL: not given. */
struct view api_query_get(const struct api_query *q, const char *name);
/* Percent-decodes one piece; plus_is_space for parameters. */
NODISCARD enum err api_query_decode(struct view text, bool plus_is_space, struct arena *a,
                                    struct view *ret_text);
