/*
 * payload: {"ts":…,"values":{"m000":1234.56,…}}, again and again with other numbers.
 *
 * Numbers have a fixed width and are patched in place, because the generator shares its cores with
 * what it measures.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/view.h"

enum { BENCH_VALUES_MAX = 400 };
enum { BENCH_TS_END = 6 + 13, BENCH_VALUES_AT = BENCH_TS_END + 11 };
enum { BENCH_STRIDE = 15, BENCH_NUMBER_AT = 7 }; /* of one value, and of the number in it */

struct bench_payload {
    uint32_t values;
    uint64_t noise;
    size_t len;
    char text[BENCH_VALUES_MAX * BENCH_STRIDE + 64];
};

static inline void bench_payload_init(struct bench_payload *p, uint32_t values, uint64_t seed)
{
    p->values = values;
    p->noise = seed;
    size_t at = (size_t)snprintf(p->text, sizeof(p->text), "{\"ts\":0000000000000,\"values\":{");
    for (uint32_t i = 0; i < values; i++) {
        at += (size_t)snprintf(p->text + at, sizeof(p->text) - at, "%s\"m%03u\":1000.00",
                               i == 0 ? "" : ",", i);
    }
    at += (size_t)snprintf(p->text + at, sizeof(p->text) - at, "}}");
    p->len = at;
}

/* The first digit of each value stays, so that the number is JSON; the other five change with every
 * message. The view is good until the next call. */
static inline struct view bench_payload_next(struct bench_payload *p, int64_t ts_ms)
{
    uint64_t ts = (uint64_t)ts_ms;
    for (int i = BENCH_TS_END - 1; i >= BENCH_TS_END - 13; i--) {
        p->text[i] = (char)('0' + ts % 10);
        ts /= 10;
    }
    char *number = p->text + BENCH_VALUES_AT + BENCH_NUMBER_AT;
    for (uint32_t i = 0; i < p->values; i++, number += BENCH_STRIDE) {
        p->noise = p->noise * 6364136223846793005u + 1442695040888963407u;
        uint32_t n = (uint32_t)(p->noise >> 40);
        number[1] = (char)('0' + n % 10);
        number[2] = (char)('0' + n / 10 % 10);
        number[3] = (char)('0' + n / 100 % 10);
        number[5] = (char)('0' + n / 1000 % 10);
        number[6] = (char)('0' + n / 10000 % 10);
    }
    return view_of(p->text, p->len);
}
