/*
 * Happy path: up to 19 significant digits and a power of ten up to 10^19 are one 128-bit integer
 * division or product; the remainder becomes a sticky lowest bit, so that the one conversion to
 * double rounds correctly. Else: a canonical copy of at most 800 digits goes to strtod(). A
 * double's halfway points have at most 767 significant digits, so whatever is cut off matters only
 * by being zero or not; then a last digit 1 stands for it. The copy has no decimal point, hence no
 * locale can change its meaning. Not done here: checking the grammar; the reader has done so.
 */
#include "payload/number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(FLT_EVAL_METHOD == 0, "double arithmetic must round to double");

const double payload_powers_of_ten[20] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                          1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                          1e14, 1e15, 1e16, 1e17, 1e18, 1e19};

enum { DIGITS_MAX = 800, EXPONENT_MAX = 1000000000 };

struct decimal {
    bool negative;
    const uint8_t *first; /* first digit that is not zero; NULL: the number is zero */
    const uint8_t *last;  /* last digit that is not zero */
    int64_t digits;       /* from first to last */
    int64_t exponent;     /* value = digits as an integer * 10^exponent */
};

static int64_t exponent_of(const uint8_t *p, const uint8_t *end)
{
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    int64_t v = 0;
    for (; p < end; p++) {
        /* Saturates far beyond what any number of digits in front could make up for. */
        v = v < EXPONENT_MAX ? v * 10 + (*p - '0') : v;
    }
    return negative ? -v : v;
}

static struct decimal decimal_of(struct view text)
{
    struct decimal d = {0};
    const uint8_t *p = text.data;
    const uint8_t *end = p + text.len;
    const uint8_t *point = NULL;
    d.negative = *p == '-';
    p += d.negative;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            point = p;
        } else if (*p != '0') {
            d.first = d.first == NULL ? p : d.first;
            d.last = p;
        }
    }
    const uint8_t *mantissa_end = p;
    int64_t written = p < end ? exponent_of(p + 1, end) : 0;
    if (d.first == NULL) {
        return d;
    }
    bool point_inside = point != NULL && d.first < point && point < d.last;
    d.digits = d.last - d.first + 1 - point_inside;
    const uint8_t *units = point == NULL ? mantissa_end : point; /* just behind the ones */
    int64_t scale = d.last < units ? units - d.last - 1 : -(d.last - units);
    d.exponent = written + scale;
    return d;
}

static uint64_t mantissa_of(const struct decimal *d)
{
    uint64_t m = 0;
    for (const uint8_t *p = d->first; p <= d->last; p++) {
        if (*p != '.') {
            m = m * 10 + (uint64_t)(*p - '0');
        }
    }
    return m;
}

static const uint64_t whole_powers_of_ten[20] = {1ULL,
                                                 10ULL,
                                                 100ULL,
                                                 1000ULL,
                                                 10000ULL,
                                                 100000ULL,
                                                 1000000ULL,
                                                 10000000ULL,
                                                 100000000ULL,
                                                 1000000000ULL,
                                                 10000000000ULL,
                                                 100000000000ULL,
                                                 1000000000000ULL,
                                                 10000000000000ULL,
                                                 100000000000000ULL,
                                                 1000000000000000ULL,
                                                 10000000000000000ULL,
                                                 100000000000000000ULL,
                                                 1000000000000000000ULL,
                                                 10000000000000000000ULL};

/* 2^n for a normal double. */
static double power_of_two(int n)
{
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* m / d, m and d > 0. */
static double divide(uint64_t m, uint64_t d)
{
    int m_shift = __builtin_clzll(m);
    int d_shift = __builtin_clzll(d);
    d <<= d_shift;
    __uint128_t top = (__uint128_t)(m << m_shift) << 63;
    uint64_t quotient = (uint64_t)(top / d); /* 63 or 64 bits: ten or more below the 53 that stay */
    quotient |= top % d != 0;
    return (double)quotient * power_of_two(d_shift - m_shift - 63);
}

static double multiply(uint64_t m, uint64_t factor)
{
    __uint128_t product = (__uint128_t)m * factor;
    uint64_t high = (uint64_t)(product >> 64);
    if (high == 0) {
        return (double)(uint64_t)product;
    }
    int shift = 64 - __builtin_clzll(high);
    uint64_t top = (uint64_t)(product >> shift);
    top |= (product & (((__uint128_t)1 << shift) - 1)) != 0;
    return (double)top * power_of_two(shift);
}

double payload_number_scale(uint64_t mantissa, int64_t exponent)
{
    if (mantissa == 0) {
        return 0;
    }
    return exponent < 0 ? divide(mantissa, whole_powers_of_ten[-exponent])
                        : multiply(mantissa, whole_powers_of_ten[exponent]);
}

static double slow(const struct decimal *d)
{
    char text[DIGITS_MAX + 32];
    int64_t len = 0;
    const uint8_t *p = d->first;
    for (; p <= d->last && len < DIGITS_MAX; p++) {
        if (*p != '.') {
            text[len++] = (char)*p;
        }
    }
    int64_t exponent = d->exponent + d->digits - len;
    if (d->digits > len) {
        text[len++] = '1'; /* d->last is not zero, so what was cut off is not */
        exponent--;
    }
    (void)snprintf(text + len, sizeof(text) - (size_t)len, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

double payload_number_decode(struct view text)
{
    struct decimal d = decimal_of(text);
    double v = 0;
    int64_t leading = d.exponent + d.digits; /* 10^(leading-1) <= value < 10^leading */
    if (d.first == NULL || leading < -400) {
        v = 0;
    } else if (leading > 400) {
        v = HUGE_VAL;
    } else if (d.digits <= 19 && d.exponent >= -19 && d.exponent <= 19) {
        v = payload_number_scale(mantissa_of(&d), d.exponent);
    } else {
        v = slow(&d);
    }
    return d.negative ? -v : v;
}
