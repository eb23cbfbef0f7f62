/*
 * A device's or gateway's message -> samples. The first byte chooses what is decoded and how tight
 * the limits are.
 *
 * What is accepted keeps its promises: samples sorted, counts right, limits held, texts inside the
 * body or the arena; and decoding it again, with the hint that the first time left, with a mad hint
 * or none, gives the same. What is refused has an error inside the body and leaves no name behind.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "base/utf8.h"
#include "payload/telemetry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct payload_limits tight = {
    .depth_max = 3, .values_max = 6, .samples_max = 4, .text_max = 8};

/* Outside the body it is the arena's: ASan sees any other place when the bytes are read. */
static bool lies_in(struct view part, struct view whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

static uint64_t check_value(const struct payload_ctx *ctx, struct view body,
                            const struct sample_value *v)
{
    struct view name = intern_name(ctx->metrics, v->metric);
    CHECK(ident_metric_valid(name));
    CHECK(v->kind == VALUE_NUMBER || v->kind == VALUE_BOOL || v->kind == VALUE_TEXT);
    CHECK(v->kind != VALUE_BOOL || v->number == 0 || v->number == 1);
    CHECK(v->number - v->number == 0); /* finite */
    if (v->kind == VALUE_TEXT) {
        CHECK(v->text.data != NULL && v->text.len <= ctx->limits->text_max);
        CHECK(utf8_valid_text(v->text));
        if (!lies_in(v->text, body)) {
            CHECK(memchr(body.data, '\\', body.len) != NULL); /* only escapes are copied */
        }
    }
    return (uint64_t)v->metric * 31 + (uint64_t)v->kind;
}

/* A hash of everything decoded. */
static uint64_t check_samples(const struct payload_ctx *ctx, struct view body,
                              const struct payload_samples *samples)
{
    uint64_t hash = samples->count;
    uint32_t count = 0;
    uint32_t values = 0;
    for (struct sample *s = samples->first; s != NULL; s = s->next) {
        count++;
        values += s->count;
        CHECK(s->count > 0);
        CHECK(s->ts_us == CLOCK_NONE || (s->ts_us >= CLOCK_MIN_US && s->ts_us <= CLOCK_MAX_US));
        for (uint32_t i = 0; i < s->count; i++) {
            CHECK(s->values[i].metric > (i == 0 ? 0 : s->values[i - 1].metric));
            hash = hash * 1099511628211u + check_value(ctx, body, &s->values[i]);
        }
        hash = hash * 1099511628211u + (uint64_t)s->ts_us + (uint64_t)(uint32_t)sample_digest(s);
    }
    CHECK(count == samples->count && values == samples->values);
    CHECK(count <= ctx->limits->samples_max && values <= ctx->limits->values_max);
    return hash;
}

/* The hash of what was decoded, or the error. */
static enum err decode(const struct payload_ctx *ctx, struct view body, bool gateway,
                       uint64_t *hash, struct payload_error *error)
{
    struct payload_samples samples = {0};
    struct payload_device *first = NULL;
    uint32_t devices = 0;
    arena_reset(ctx->arena);
    enum err e = ERR_OK;
    if (gateway) {
        e = payload_gateway_telemetry(ctx, body, &first, &devices, error);
    } else {
        e = payload_telemetry(ctx, body, &samples, error);
    }
    if (e != ERR_OK) {
        CHECK(error->err == e && error->offset <= body.len);
        CHECK(memchr(error->pointer, 0, sizeof(error->pointer)) != NULL);
        CHECK(memchr(error->detail, 0, sizeof(error->detail)) != NULL && error->detail[0] != 0);
        *hash = error->offset * 31 + (uint64_t)(unsigned)-e;
        return e;
    }
    *hash = gateway ? devices : check_samples(ctx, body, &samples);
    for (; first != NULL; first = first->next) {
        CHECK(ident_valid(first->name));
        *hash = *hash * 31 + check_samples(ctx, body, &first->samples);
        devices--;
    }
    CHECK(devices == 0);
    return e;
}

static void check_message(uint8_t mode, struct view body)
{
    struct arena arena;
    struct payload_hint hint = {0};
    struct payload_error error;
    struct intern *metrics = intern_new(1000);
    CHECK(metrics != NULL);
    arena_init(&arena, (mode & 4) != 0 ? 4096 : 1 << 22);
    struct payload_ctx ctx = {&arena, metrics, (mode & 2) != 0 ? &tight : &payload_limits_default,
                              &hint};
    bool gateway = (mode & 1) != 0;
    uint64_t first = 0;
    enum err e = decode(&ctx, body, gateway, &first, &error);
    CHECK(e == ERR_OK || e == ERR_FULL || intern_count(metrics) == 0);
    for (int round = 0; round < 4 && e != ERR_NOMEM; round++) {
        uint64_t again = 0;
        if (round == 2) {
            hint.count = (uint8_t)(mode * 7);
            for (size_t i = 0; i < COUNT_OF(hint.metrics); i++) {
                hint.metrics[i] = (int32_t)(mode >> 3) - (int32_t)i * 3 + 8;
            }
        }
        ctx.hint = round == 3 ? NULL : &hint;
        enum err second = decode(&ctx, body, gateway, &again, &error);
        CHECK(second == e || second == ERR_NOMEM || (mode & 4) != 0);
        CHECK(second != e || again == first);
    }
    struct view name;
    struct view type;
    if (payload_gateway_device(&ctx, body, &name, &type, &error) == ERR_OK) {
        CHECK(ident_valid(name) && (type.len == 0 || ident_valid(type)));
        CHECK(payload_json_check(&ctx, body, true, &error) != ERR_SYNTAX);
    }
    arena_fini(&arena);
    intern_free(metrics);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t *body = malloc(size); /* the message ends where it ends */
    CHECK(body != NULL);
    struct view exact = view_of(body + 1, size - 1);
    memcpy(body, data, size);
    check_message(data[0], exact);
    free(body);
    return 0;
}
