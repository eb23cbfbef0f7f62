/*
 * fuzz_base_zone: the bytes of a zone file. What is taken gives an offset of less than a week at
 * any time, and a civil time that says the same.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_at(const struct zone *z, int64_t us)
{
    int32_t offset_s = zone_offset_s(z, us);
    CHECK(offset_s > -7 * 86400 && offset_s < 7 * 86400);
    struct zone_time t = zone_local(z, us);
    CHECK(t.month >= 1 && t.month <= 12 && t.day >= 1 && t.day <= t.days_in_month);
    CHECK(t.hour >= 0 && t.hour < 24 && t.minute >= 0 && t.minute < 60 && t.second >= 0 &&
          t.second < 60);
    CHECK(t.weekday >= 0 && t.weekday < 7 && t.day_of_year >= 1 && t.day_of_year <= 366);
    int64_t days = clock_days(t.year, t.month, t.day);
    int64_t local_s = days * 86400 + t.hour * 3600 + t.minute * 60 + t.second;
    CHECK(local_s - offset_s == us / CLOCK_SECOND_US);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone *z = NULL;
    uint8_t *exact = malloc(size > 0 ? size : 1);
    CHECK(exact != NULL);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    if (zone_parse(view_of(exact, size), &z) == ERR_OK) {
        for (int64_t us = CLOCK_MIN_US; us < CLOCK_MAX_US; us += CLOCK_MAX_US / 997) {
            check_at(z, us);
        }
        check_at(z, CLOCK_MAX_US);
        zone_free(z);
    } else {
        CHECK(z == NULL);
    }
    free(exact);
    return 0;
}
