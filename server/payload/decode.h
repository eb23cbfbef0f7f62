/*
 * decode: one message on its way to samples. Private to payload.
 *
 * Functions return ERR_OK, or the error that they have written to d->error already.
 */
#pragma once

#include "payload/json.h"
#include "payload/names.h"
#include "payload/telemetry.h"

struct decode {
    const struct payload_ctx *ctx;
    struct view body;
    struct payload_error *error;
    struct payload_json json;
    struct payload_hint *hint;
    struct payload_hint own_hint; /* when the caller has none: batches repeat themselves too */
    uint32_t hint_at;
    struct sample_value *values; /* of the sample in progress */
    uint32_t value_count;
    uint32_t value_room;
    bool unsorted; /* of the sample in progress */
    bool nulls;
    uint32_t samples_seen;
    uint32_t values_seen;
    struct names unknown; /* nobody has interned these; a value's metric is INT32_MIN + number until
                             the message is accepted */
    int32_t *unknown_ids;
};

void decode_init(struct decode *d, const struct payload_ctx *ctx, struct view body,
                 struct payload_error *error);
__attribute__((format(printf, 4, 5))) enum err decode_fail(struct decode *d, enum err e,
                                                           size_t offset, const char *format, ...);
/* The reader's failure. */
enum err decode_fail_json(struct decode *d);
enum err decode_fail_kind(struct decode *d, size_t offset, const char *expected,
                          enum payload_kind found);
/* "expected nothing more" is checked. */
NODISCARD enum err decode_end(struct decode *d);
/* A name as part of a message: control bytes replaced, cut to fit. */
const char *decode_show(struct view name, char ret_text[static 64]);

/* Behind the { of a sample in either form. */
NODISCARD enum err decode_sample(struct decode *d, struct payload_samples *samples,
                                 struct sample ***tail);
/* Behind the [ of an array of samples. */
NODISCARD enum err decode_samples(struct decode *d, struct payload_samples *samples);
/* Interns the names that were unknown; the last step of an accepted message. */
NODISCARD enum err decode_resolve(struct decode *d, struct payload_samples *samples);
