#include "payload/telemetry.h"

#include "payload/decode.h"

const struct payload_limits payload_limits_default = {
    .depth_max = 16,
    .values_max = 10000,
    .samples_max = 10000,
    .text_max = 4096,
};

static enum err read_telemetry(struct decode *d, struct payload_samples *samples)
{
    struct payload_event ev = {0};
    enum payload_kind kind = payload_json_next(&d->json, &ev);
    if (kind == PAYLOAD_ARRAY) {
        return decode_samples(d, samples);
    }
    if (kind != PAYLOAD_OBJECT) {
        return decode_fail_kind(d, ev.at, "an object or an array of objects", kind);
    }
    struct sample **tail = &samples->first;
    enum err e = decode_sample(d, samples, &tail);
    *tail = NULL;
    return e;
}

enum err payload_telemetry(const struct payload_ctx *ctx, struct view body,
                           struct payload_samples *ret_samples, struct payload_error *ret_error)
{
    struct decode d;
    struct payload_samples samples = {0};
    decode_init(&d, ctx, body, ret_error);
    enum err e = read_telemetry(&d, &samples);
    e = e == ERR_OK ? decode_end(&d) : e;
    e = e == ERR_OK ? decode_resolve(&d, &samples) : e;
    if (e == ERR_OK) {
        *ret_samples = samples;
    }
    return e;
}
