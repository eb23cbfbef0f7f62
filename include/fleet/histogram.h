/*
 * histogram: durations in logarithmic buckets with an error under 1 %, from 1 µs to an hour and
 * more.
 *
 * Ownership: caller's storage, about 30 KB. Threads: one.
 */
#pragma once

#include <stdint.h>

enum {
    FLEET_HISTOGRAM_SUB_BITS = 7, /* 128 buckets in each power of two: half a bucket is 0.4 % */
    FLEET_HISTOGRAM_POWERS = 30,
    FLEET_HISTOGRAM_BUCKETS = FLEET_HISTOGRAM_POWERS << FLEET_HISTOGRAM_SUB_BITS
};

struct fleet_histogram {
    uint64_t count;
    int64_t max_us; /* exact */
    int64_t min_us;
    double sum_us;
    uint64_t buckets[FLEET_HISTOGRAM_BUCKETS];
};

void fleet_histogram_init(struct fleet_histogram *h);
void fleet_histogram_add(struct fleet_histogram *h, int64_t us); /* negative counts as 0 */
/* The duration that a share of all did not exceed: 0.99 for p99, 1 for the maximum. 0 when empty.
 */
int64_t fleet_histogram_at(const struct fleet_histogram *h, double share);
double fleet_histogram_mean(const struct fleet_histogram *h);
