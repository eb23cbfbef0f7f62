/*
 * random: xoshiro256** seeded by splitmix64, so that a seed gives the same fleet on every machine.
 * Not for secrets.
 *
 * Ownership: caller's storage. Threads: one per stream.
 */
#pragma once

#include <stdint.h>

struct fleet_random {
    uint64_t s[4];
};

void fleet_random_init(struct fleet_random *r, uint64_t seed);
uint64_t fleet_random_u64(struct fleet_random *r);
double fleet_random_unit(struct fleet_random *r); /* [0, 1) */
double fleet_random_between(struct fleet_random *r, double low, double high);
double fleet_random_normal(struct fleet_random *r, double mean,
                           double deviation);                    /* at most 4 deviations off */
uint64_t fleet_random_below(struct fleet_random *r, uint64_t n); /* 0: gives 0 */
/* A seed for one device of many: independent of its neighbours'. */
uint64_t fleet_random_mix(uint64_t seed, uint64_t index);
