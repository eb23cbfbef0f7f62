/*
 * fuzz_geo_fence: documents of geofences, and positions around them.
 *
 * First byte: how many positions follow the document's end, 8 bytes each. What is refused says
 * where and why. What is accepted lets stay whoever may come in, is 0 metres away exactly for
 * those who may come in, and its distances are finite and at most half round the earth.
 */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "geo/fence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_position(const struct fence *f, const uint8_t bytes[static 8])
{
    int32_t raw[2];
    memcpy(raw, bytes, sizeof(raw));
    struct geo_point p = {.longitude = raw[0] * (180 / 2147483648.0),
                          .latitude = raw[1] * (90 / 2147483648.0)};
    CHECK(geo_point_valid(p));
    double metres = fence_distance_m(f, p);
    bool enters = fence_inside(f, p, false);
    CHECK(metres >= 0 && metres <= 3.15 * GEO_EARTH_RADIUS_M);
    CHECK(!enters || fence_inside(f, p, true));
    CHECK(enters ? metres == 0 : metres >= 0);
    CHECK(metres > 0 || enters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t tail = size == 0 ? 0 : 1 + 8 * (size_t)(data[0] % 16);
    if (size < 1 || size < tail) {
        return 0;
    }
    struct fence *f = NULL;
    struct fence_error why = {.pointer = "untouched"};
    enum err e = fence_new(1, view_of(data + 1, size - tail), &f, &why);
    if (e != ERR_OK) {
        CHECK(e == ERR_SYNTAX || e == ERR_TYPE || e == ERR_RANGE || e == ERR_LIMIT ||
              e == ERR_UNKNOWN_NAME);
        CHECK(why.detail[0] != '\0' && (why.pointer[0] == '\0' || why.pointer[0] == '/'));
        return 0;
    }
    CHECK(fence_name(f)[0] != '\0');
    for (size_t at = size - tail + 1; at + 8 <= size; at += 8) {
        check_position(f, data + at);
    }
    fence_drop(f);
    return 0;
}
