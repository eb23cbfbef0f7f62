/*
 * Framing. Properties: a stream cut into reads gives the same packets as the stream whole; an
 * answer other than "wait for more" never changes when more bytes arrive; a packet lies inside its
 * bytes.
 *
 * Input: limit (2 bytes), size of the reads (1 byte), the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "mqtt/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(struct view in, uint32_t limit, const struct mqtt_frame *f)
{
    CHECK(f->total >= 2 && f->total <= in.len && f->total <= limit);
    CHECK(f->body.data + f->body.len == in.data + f->total);
    CHECK(f->body.data > in.data && f->head == in.data[0]);
    CHECK(f->type == (enum mqtt_type)(f->head >> 4) && f->type != MQTT_WILL);
}

/* The first packet as it looks when only `have` bytes are there, in memory of that size. */
static enum err frame_of(struct view in, size_t have, uint32_t limit, size_t *ret_total)
{
    uint8_t *copy = malloc(have + 1);
    CHECK(copy != NULL);
    if (have > 0) {
        memcpy(copy, in.data, have);
    }
    struct mqtt_frame f = {.total = SIZE_MAX};
    enum err e = mqtt_frame(view_of(copy, have), limit, &f);
    CHECK((e == ERR_OK) == (f.total != SIZE_MAX));
    if (e == ERR_OK) {
        check_frame(view_of(copy, have), limit, &f);
    }
    *ret_total = f.total;
    free(copy);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 4096) {
        return 0;
    }
    uint32_t limit = (uint32_t)data[0] << 8 | data[1];
    size_t step = 1u + data[2] % 64u;
    struct view in = view_of(data + 3, size - 3);
    for (;;) {
        struct mqtt_frame whole = {.total = SIZE_MAX};
        enum err want = mqtt_frame(in, limit, &whole);
        enum err got = ERR_SHORT;
        size_t total = SIZE_MAX;
        for (size_t have = 0; got == ERR_SHORT; have += step) {
            size_t part = have < in.len ? have : in.len;
            got = frame_of(in, part, limit, &total);
            if (part == in.len) {
                break;
            }
        }
        CHECK(got == want && total == whole.total);
        if (want != ERR_OK) {
            return 0;
        }
        check_frame(in, limit, &whole);
        in = view_skip(in, whole.total);
    }
}
