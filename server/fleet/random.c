#include "fleet/random.h"

#include <math.h>
#include <stddef.h>

static uint64_t splitmix(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void fleet_random_init(struct fleet_random *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t fleet_random_u64(struct fleet_random *r)
{
    uint64_t result = rotate(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotate(r->s[3], 45);
    return result;
}

double fleet_random_unit(struct fleet_random *r)
{
    return (double)(fleet_random_u64(r) >> 11) * 0x1.0p-53;
}

double fleet_random_between(struct fleet_random *r, double low, double high)
{
    return low + (high - low) * fleet_random_unit(r);
}

double fleet_random_normal(struct fleet_random *r, double mean, double deviation)
{
    /* Box and Muller's transform. The cut keeps simulated sensors inside their stated limits. */
    double u = 1.0 - fleet_random_unit(r);
    double v = fleet_random_unit(r);
    double z = sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
    return mean + deviation * fmin(4.0, fmax(-4.0, z));
}

uint64_t fleet_random_below(struct fleet_random *r, uint64_t n)
{
    return n == 0 ? 0 : fleet_random_u64(r) % n; /* the bias is below n / 2^64 */
}

uint64_t fleet_random_mix(uint64_t seed, uint64_t index)
{
    uint64_t state = seed ^ (index * 0xD1342543DE82EF95u);
    return splitmix(&state);
}
