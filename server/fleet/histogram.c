#include "fleet/histogram.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

void fleet_histogram_init(struct fleet_histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min_us = INT64_MAX;
}

/* Up to 2^7 one bucket a microsecond; above, 2^7 buckets for each doubling. */
static size_t bucket_of(uint64_t us)
{
    const uint64_t linear = 1u << FLEET_HISTOGRAM_SUB_BITS;
    if (us < linear) {
        return (size_t)us;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(us) - FLEET_HISTOGRAM_SUB_BITS;
    size_t bucket =
        ((size_t)(shift + 1) << FLEET_HISTOGRAM_SUB_BITS) + (size_t)((us >> shift) - linear);
    return bucket < FLEET_HISTOGRAM_BUCKETS ? bucket : FLEET_HISTOGRAM_BUCKETS - 1;
}

static int64_t middle_of(size_t bucket)
{
    const size_t linear = 1u << FLEET_HISTOGRAM_SUB_BITS;
    if (bucket < linear) {
        return (int64_t)bucket;
    }
    unsigned shift = (unsigned)(bucket >> FLEET_HISTOGRAM_SUB_BITS) - 1;
    uint64_t low = (uint64_t)(linear + (bucket & (linear - 1))) << shift;
    return (int64_t)(low + (((uint64_t)1 << shift) >> 1));
}

void fleet_histogram_add(struct fleet_histogram *h, int64_t us)
{
    if (us < 0) {
        us = 0;
    }
    h->count++;
    h->sum_us += (double)us;
    h->max_us = us > h->max_us ? us : h->max_us;
    h->min_us = us < h->min_us ? us : h->min_us;
    h->buckets[bucket_of((uint64_t)us)]++;
}

int64_t fleet_histogram_at(const struct fleet_histogram *h, double share)
{
    if (h->count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)ceil(share * (double)h->count);
    if (rank >= h->count) {
        return h->max_us;
    }
    uint64_t seen = 0;
    for (size_t i = 0; i < FLEET_HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank && seen > 0) {
            int64_t us = middle_of(i);
            us = us > h->max_us ? h->max_us : us;
            return us < h->min_us ? h->min_us : us;
        }
    }
    return h->max_us;
}

double fleet_histogram_mean(const struct fleet_histogram *h)
{
    return h->count == 0 ? 0 : h->sum_us / (double)h->count;
}
