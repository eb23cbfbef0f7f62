/*
 * Numbers are the nearest double, bit for bit. The oracle is strtod() in the C locale, and for the
 * halfway cases digits that were computed by hand from the definition of the format.
 */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "help.h"
#include "payload/json.h"
#include "payload/number.h"

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* Through the reader, from an exact-size copy. An infinity stands for ERR_RANGE. */
static double read_number(const char *text, size_t len)
{
    struct view body = heap_copy(view_of(text, len));
    struct payload_json j;
    struct payload_event ev = {0};
    payload_json_init(&j, body, NULL, 1);
    enum payload_kind kind = payload_json_next(&j, &ev);
    double v = ev.number;
    if (kind == PAYLOAD_ERROR) {
        cr_expect_eq(j.err, ERR_RANGE, "%.*s: %s", (int)(len > 60 ? 60 : len), text, j.err_words);
        v = text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
    } else {
        cr_expect_eq(kind, PAYLOAD_NUMBER);
        cr_expect_eq(payload_json_next(&j, &ev), PAYLOAD_END);
        cr_expect_eq(bits_of(payload_number_decode(body)), bits_of(v), "%.*s: two ways",
                     (int)(len > 60 ? 60 : len), text);
    }
    heap_free(body);
    return v;
}

static void same_as_strtod(const char *text)
{
    double want = strtod(text, NULL);
    double got = read_number(text, strlen(text));
    cr_expect_eq(bits_of(got), bits_of(want), "%.60s: %a, expected %a", text, got, want);
}

Test(number, known_hard_cases_round_to_nearest_even)
{
    static const struct {
        const char *text;
        uint64_t bits;
    } rows[] = {
        {"0", 0x0000000000000000},
        {"-0", 0x8000000000000000},
        {"-0.0e5", 0x8000000000000000},
        {"1", 0x3FF0000000000000},
        {"0.1", 0x3FB999999999999A},
        {"-1.5", 0xBFF8000000000000},
        {"9007199254740992", 0x4340000000000000}, /* 2^53 */
        {"9007199254740993", 0x4340000000000000}, /* halfway: to even */
        {"9007199254740994", 0x4340000000000001},
        {"9007199254740995", 0x4340000000000002}, /* halfway: to even, upwards */
        {"9007199254740993.0000000000000000000000000000001", 0x4340000000000001},
        {"9007199254740992.9999999999999999999999999999999", 0x4340000000000000},
        {"18446744073709551615", 0x43F0000000000000}, /* 2^64 - 1 */
        {"9999999999999999999", 0x43E158E460913D00},  /* the largest of 19 digits */
        {"1e19", 0x43E158E460913D00},
        {"1e22", 0x4480F0CF064DD592},
        {"1e23", 0x44B52D02C7E14AF6},
        {"0.30000000000000004", 0x3FD3333333333334},
        {"23.400000000000002", 0x4037666666666667},
        {"3.14159265358979323846264338327950288", 0x400921FB54442D18},
        {"1.7976931348623157e308", 0x7FEFFFFFFFFFFFFF},
        {"1.7976931348623158e308", 0x7FEFFFFFFFFFFFFF},  /* below the halfway point to 2^1024 */
        {"2.2250738585072014e-308", 0x0010000000000000}, /* the smallest normal */
        {"2.2250738585072011e-308", 0x000FFFFFFFFFFFFF}, /* the one that hung other parsers */
        {"2.2250738585072012e-308", 0x0010000000000000},
        {"4.9406564584124654e-324", 0x0000000000000001},
        {"5e-324", 0x0000000000000001},
        {"3e-324", 0x0000000000000001},
        {"2.4703282292062327208e-324", 0x0000000000000000}, /* just below half of it */
        {"2.4703282292062328e-324", 0x0000000000000001},    /* just above */
        {"2e-324", 0x0000000000000000},
        {"1e-400", 0x0000000000000000},
        {"-1e-99999999999999999999", 0x8000000000000000},
        {"1.00000000000000011102230246251565404236316680908203125", 0x3FF0000000000000},
        {"1.00000000000000011102230246251565404236316680908203124", 0x3FF0000000000000},
        {"1.00000000000000011102230246251565404236316680908203126", 0x3FF0000000000001},
        {"0.000000000000000000000000000000000000000000001e45", 0x3FF0000000000000},
        {"1000000000000000000000000000000000000000000000e-45", 0x3FF0000000000000},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double got = read_number(rows[i].text, strlen(rows[i].text));
        cr_expect_eq(bits_of(got), rows[i].bits, "%s: %016llx", rows[i].text,
                     (unsigned long long)bits_of(got));
        same_as_strtod(rows[i].text);
    }
}

Test(number, beyond_the_range_is_told)
{
    static const char *const rows[] = {
        "1e309",
        "-1e309",
        "1.7976931348623159e308",
        "1e400",
        "1e99999",
        "17976931348623159000e289",
        "0.001e312",
        "1e9999999999999999999999999999",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect(isinf(read_number(rows[i], strlen(rows[i]))), "%s", rows[i]);
    }
}

Test(number, random_doubles_read_back_bit_for_bit)
{
    uint64_t state = 7;
    char text[64];
    for (int i = 0; i < 200000; i++) {
        double v = double_of(test_random(&state));
        if (!isfinite(v)) {
            continue;
        }
        (void)snprintf(text, sizeof(text), "%.17g", v);
        cr_assert_eq(bits_of(read_number(text, strlen(text))), bits_of(v), "%s", text);
    }
}

Test(number, random_subnormals_read_back_bit_for_bit)
{
    uint64_t state = 8;
    char text[64];
    for (int i = 0; i < 20000; i++) {
        double v = double_of(test_random(&state) >> (12 + test_random(&state) % 50));
        (void)snprintf(text, sizeof(text), "%.17g", v);
        cr_assert_eq(bits_of(read_number(text, strlen(text))), bits_of(v), "%s", text);
    }
}

Test(number, random_digits_and_exponents_agree_with_strtod)
{
    uint64_t state = 9;
    for (int i = 0; i < 200000; i++) {
        char text[128];
        size_t len = 0;
        uint64_t r = test_random(&state);
        unsigned digits = 1 + (unsigned)(r % 25);
        unsigned point = (unsigned)(r >> 8) % (digits + 1);
        for (unsigned d = 0; d < digits; d++) {
            if (d == point && d > 0) {
                text[len++] = '.';
            }
            unsigned digit = (unsigned)(test_random(&state) % 10);
            digit = d == 0 && point != 1 && digit == 0 ? 1 : digit;
            text[len++] = (char)('0' + digit);
        }
        text[len] = '\0';
        if ((r >> 16) % 2 == 0) {
            /* Near the two fast ways' limits as often as far away. */
            int range = (r >> 17) % 2 == 0 ? 25 : 340;
            int exponent = (int)((r >> 20) % (unsigned)(2 * range)) - range;
            (void)snprintf(text + len, sizeof(text) - len, "e%d", exponent);
        }
        same_as_strtod(text);
    }
}

/* The exact decimal of the point halfway between a double and the next one has at most 767
 * significant digits; printf writes it in full. */
Test(number, exact_halfway_points_and_their_neighbours)
{
    uint64_t state = 10;
    char text[1600];
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = test_random(&state) >> 1;
        if (i % 3 == 0) {
            bits >>= 11; /* subnormal or tiny */
        }
        double v = double_of(bits);
        double next = double_of(bits + 1);
        if (!isfinite(next)) {
            continue;
        }
        /* One more bit than a double has: long double holds the midpoint exactly. */
        long double middle = ((long double)v + (long double)next) / 2;
        int len = snprintf(text, sizeof(text) - 8, "%.1100Le", middle);
        cr_assert(len > 0 && len < (int)sizeof(text) - 8);
        same_as_strtod(text);
        double even = bits % 2 == 0 ? v : next;
        cr_expect_eq(bits_of(read_number(text, (size_t)len)), bits_of(even), "%.40s", text);
        /* One digit, far behind the others, decides. */
        char *e = strchr(text, 'e');
        cr_assert_not_null(e);
        e[-1] = '1';
        cr_expect_eq(bits_of(read_number(text, (size_t)len)), bits_of(next), "%.40s", text);
    }
}

Test(number, a_million_digits_are_read_in_linear_time_and_right)
{
    enum { MANY = 1000000 };
    char *text = malloc(MANY + 64);
    cr_assert_not_null(text);
    struct timespec from;
    struct timespec to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    /* 0.000…0001e1000000 */
    memset(text, '0', MANY);
    text[1] = '.';
    (void)snprintf(text + MANY, 64, "1e%d", MANY - 1);
    cr_expect_eq(read_number(text, strlen(text)), 1.0);
    /* 1000…000e-999999 */
    memset(text, '0', MANY);
    text[0] = '1';
    (void)snprintf(text + MANY, 64, "e-%d", MANY - 1);
    cr_expect_eq(read_number(text, strlen(text)), 1.0);
    /* 9007199254740993 followed by zeros and a last one: above the halfway point */
    memset(text, '0', MANY);
    memcpy(text, "9007199254740993.", 17);
    cr_expect_eq(bits_of(read_number(text, MANY)), 0x4340000000000000u);
    text[MANY - 1] = '1';
    cr_expect_eq(bits_of(read_number(text, MANY)), 0x4340000000000001u);
    /* 777…777 */
    memset(text, '7', MANY);
    cr_expect(isinf(read_number(text, MANY)));
    text[1] = '.';
    cr_expect_eq(read_number(text, MANY), 7.7777777777777777777777);
    /* 0.000…000 */
    memset(text, '0', MANY);
    text[1] = '.';
    cr_expect_eq(read_number(text, MANY), 0.0);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    double took_s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    cr_expect_lt(took_s, 5.0, "7 million digits took %.2f s", took_s);
    free(text);
}

Test(number, the_locale_does_not_matter)
{
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    for (size_t i = 0; i < COUNT_OF(locales); i++) {
        if (setlocale(LC_ALL, locales[i]) == NULL) {
            continue; /* not installed here; the last one always is */
        }
        cr_expect_eq(read_number("0.5", 3), 0.5);
        cr_expect_eq(read_number("1.25e-30", 8), 1.25e-30);
        cr_expect_eq(read_number("3.14159265358979323846264338", 28), 3.14159265358979323846264338);
    }
}
