/*
 * telemetry: device payloads -> samples. ThingsBoard's shapes: {"k":v} | {"ts":ms,"values":{…}} |
 * an array of either, and the gateway form {"pump-7":[{"ts":…,"values":{…}}], …}.
 *
 * Forms: an object of exactly "ts" (number) and "values" (object) is the timed form; any other is
 * flat, and there "ts" is a metric.
 *
 * Pure: no I/O, no clock.
 *
 * Ownership: everything returned lives in the arena and in `body`; both must stay.
 *
 * Errors: ret_error says where (JSON pointer, byte offset) and what was expected; nothing is
 * interned then, except when the table of names ran full (ERR_FULL). ERR_SHORT, ERR_SYNTAX,
 * ERR_UTF8: no JSON; ERR_MALFORMED: a name that is not allowed; ERR_UNSUPPORTED: a text with
 * U+0000; ERR_NOMEM: the arena.
 *
 * Limits: struct payload_limits, each with its own words: ERR_LIMIT.
 *
 * Numbers: IEEE double, correctly rounded; beyond its range is ERR_RANGE. null means "no value" and
 * is skipped. Objects and arrays as values are ERR_TYPE; a key twice in one object is ERR_EXISTS.
 *
 * Times: ts is epoch milliseconds, an integer (or a fraction, rounded to µs) within years 1970 to
 * 9999, else ERR_RANGE.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/intern.h"
#include "base/view.h"
#include "model/sample.h"

struct payload_limits {
    uint32_t depth_max;   /* nesting of the JSON text; above 64 counts as 64 */
    uint32_t values_max;  /* values in one message, over all samples, nulls included */
    uint32_t samples_max; /* samples in one message, empty ones included; also devices */
    uint32_t text_max;    /* bytes of one text value */
};

/* The keys of the last message of a connection, in order: devices repeat themselves, so the next
 * key is usually the next one here and costs one comparison. Zero it once. */
struct payload_hint {
    int32_t metrics[16];
    uint8_t count;
};

struct payload_error {
    enum err err;
    size_t offset;     /* byte in the body */
    char pointer[160]; /* RFC 6901, "" for the whole body */
    char detail[160];  /* "expected a number, text or boolean, found an object" */
};

struct payload_ctx {
    struct arena *arena;
    struct intern *metrics;
    const struct payload_limits *limits;
    struct payload_hint *hint; /* or NULL */
};

struct payload_samples {
    struct sample *first; /* linked by next, in the order of the message; values sorted */
    uint32_t count;       /* samples; one without any value is left out */
    uint32_t values;
};

struct payload_device {
    struct payload_device *next;
    struct view name; /* checked with ident_valid() */
    struct payload_samples samples;
};

extern const struct payload_limits payload_limits_default; /* 16, 10000, 10000, 4096 */

NODISCARD enum err payload_telemetry(const struct payload_ctx *ctx, struct view body,
                                     struct payload_samples *ret_samples,
                                     struct payload_error *ret_error);
NODISCARD enum err payload_gateway_telemetry(const struct payload_ctx *ctx, struct view body,
                                             struct payload_device **ret_first, uint32_t *ret_count,
                                             struct payload_error *ret_error);
/* v1/gateway/connect and disconnect: {"device":"name","type":"type"}; type is empty when absent. */
NODISCARD enum err payload_gateway_device(const struct payload_ctx *ctx, struct view body,
                                          struct view *ret_name, struct view *ret_type,
                                          struct payload_error *ret_error);
/* v1/gateway/rpc: a child's answer to a command, {"device":"name","id":7,"data":…}. ret_data: the
 * bytes of the value as they are. */
NODISCARD enum err payload_gateway_answer(const struct payload_ctx *ctx, struct view body,
                                          struct view *ret_name, int64_t *ret_id,
                                          struct view *ret_data, struct payload_error *ret_error);
/* Any complete JSON text within depth_max: an object when `object_only`. For attributes and command
 * answers, which are kept as they are in jsonb; what jsonb cannot keep is refused too: U+0000
 * (ERR_UNSUPPORTED), numbers of more than 400 bytes or 3 digits of exponent (ERR_RANGE). A key
 * twice is not looked for: jsonb keeps the last one. */
NODISCARD enum err payload_json_check(const struct payload_ctx *ctx, struct view body,
                                      bool object_only, struct payload_error *ret_error);
