/*
 * utf8, ident, err, emit_json.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "base/ident.h"
#include "base/utf8.h"

/* ---- utf8 ---- */

/* Unicode, table 3-7, as it is printed. */
static const struct {
    uint8_t low[4], high[4];
    size_t len;
} table_3_7[] = {
    {{0x00}, {0x7F}, 1},
    {{0xC2, 0x80}, {0xDF, 0xBF}, 2},
    {{0xE0, 0xA0, 0x80}, {0xE0, 0xBF, 0xBF}, 3},
    {{0xE1, 0x80, 0x80}, {0xEC, 0xBF, 0xBF}, 3},
    {{0xED, 0x80, 0x80}, {0xED, 0x9F, 0xBF}, 3},
    {{0xEE, 0x80, 0x80}, {0xEF, 0xBF, 0xBF}, 3},
    {{0xF0, 0x90, 0x80, 0x80}, {0xF0, 0xBF, 0xBF, 0xBF}, 4},
    {{0xF1, 0x80, 0x80, 0x80}, {0xF3, 0xBF, 0xBF, 0xBF}, 4},
    {{0xF4, 0x80, 0x80, 0x80}, {0xF4, 0x8F, 0xBF, 0xBF}, 4},
};

static bool table_valid(const uint8_t *p, size_t len)
{
    while (len > 0) {
        size_t used = 0;
        for (size_t row = 0; row < COUNT_OF(table_3_7) && used == 0; row++) {
            bool fits = table_3_7[row].len <= len;
            for (size_t i = 0; fits && i < table_3_7[row].len; i++) {
                fits = p[i] >= table_3_7[row].low[i] && p[i] <= table_3_7[row].high[i];
            }
            used = fits ? table_3_7[row].len : 0;
        }
        if (used == 0) {
            return false;
        }
        p += used;
        len -= used;
    }
    return true;
}

Test(utf8, every_sequence_of_one_to_three_bytes_is_judged_as_the_table_says)
{
    uint8_t b[3];
    for (uint32_t n = 0; n < 1u << 24; n++) {
        b[0] = (uint8_t)(n >> 16);
        b[1] = (uint8_t)(n >> 8);
        b[2] = (uint8_t)n;
        cr_assert_eq(utf8_valid(view_of(b, 3)), table_valid(b, 3), "%06x", n);
        if (n < 1u << 16) {
            cr_assert_eq(utf8_valid(view_of(b + 1, 2)), table_valid(b + 1, 2), "%04x", n);
        }
        if (n < 1u << 8) {
            cr_assert_eq(utf8_valid(view_of(b + 2, 1)), table_valid(b + 2, 1), "%02x", n);
        }
    }
}

Test(utf8, sampled_sequences_of_four_bytes_are_judged_as_the_table_says)
{
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                    0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0,
                                    0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFE, 0xFF};
    enum { N = COUNT_OF(edges) };
    uint32_t valid = 0;
    for (uint32_t n = 0; n < N * N * N * N; n++) {
        const uint8_t b[4] = {edges[n / (N * N * N)], edges[n / (N * N) % N], edges[n / N % N],
                              edges[n % N]};
        bool want = table_valid(b, 4);
        valid += want;
        cr_assert_eq(utf8_valid(view_of(b, 4)), want, "%02x %02x %02x %02x", b[0], b[1], b[2],
                     b[3]);
    }
    cr_expect_gt(valid, 100u);
}

Test(utf8, the_place_of_a_bad_byte_does_not_matter)
{
    for (size_t len = 1; len < 40; len++) {
        for (size_t bad = 0; bad < len; bad++) {
            uint8_t *text = malloc(len);
            cr_assert_not_null(text);
            memset(text, 'a', len);
            cr_assert(utf8_valid(view_of(text, len)));
            text[bad] = 0x80;
            cr_assert_not(utf8_valid(view_of(text, len)));
            text[bad] = 0xC3; /* needs one more */
            cr_assert_not(utf8_valid(view_of(text, len)));
            if (bad + 1 < len) {
                text[bad + 1] = 0xA9;
                cr_assert(utf8_valid(view_of(text, len)));
            }
            free(text);
        }
    }
    cr_expect(utf8_valid(view_of(NULL, 0)));
    cr_expect(utf8_valid_mqtt(view_of(NULL, 0)));
    cr_expect(utf8_valid(VIEW("a\0b")));
    cr_expect_not(utf8_valid_mqtt(VIEW("a\0b")));
    cr_expect(utf8_valid_mqtt(VIEW("\xc3\xa9")));
    cr_expect_not(utf8_valid_mqtt(VIEW("\xe9")));
    cr_expect(utf8_valid_text(VIEW("a\tb\n")));
    cr_expect_not(utf8_valid_text(VIEW("a\0b")));
    cr_expect_not(utf8_valid_text(VIEW("\xe9")));
}

/* Section 1.5.4, code point by code point, at every place of a word. */
Test(utf8, what_mqtt_refuses)
{
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        if (code == 0xD800) {
            code = 0xE000; /* surrogates have no encoding */
        }
        bool control = code < 0x20 || (code >= 0x7F && code <= 0x9F);
        bool non_character = (code >= 0xFDD0 && code <= 0xFDEF) || (code & 0xFFFE) == 0xFFFE;
        uint8_t text[24];
        size_t at = code % 20;
        memset(text, 'a', sizeof(text));
        (void)utf8_put(code, text + at);
        cr_assert_eq(utf8_valid_mqtt(view_of(text, sizeof(text))), !control && !non_character,
                     "U+%04X", code);
        cr_assert_eq(utf8_valid_text(view_of(text, sizeof(text))), code != 0, "U+%04X", code);
    }
}

Test(utf8, clean_keeps_what_is_valid)
{
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"h\xc3\xb6her \xf0\x9f\x94\xa5", "h\xc3\xb6her \xf0\x9f\x94\xa5"},
        {"cut \xc3", "cut "}, /* at each place of characters of 2, 3 and 4 bytes */
        {"cut \xe2\x82", "cut "},
        {"cut \xe2", "cut "},
        {"cut \xf0\x9f\x94", "cut "},
        {"cut \xf0\x9f", "cut "},
        {"\xf0", ""},
        {"\xe9t\xe9.", "?t?."}, /* Latin-1 */
        {"\xe2\x82 \xc3", "?? "},
        {"\x80\xff\xc0\xaf", "????"},
        {"\xed\xa0\x80.", "???."}, /* a surrogate */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%s", cases[i].text);
        utf8_clean(text);
        cr_expect_str_eq(text, cases[i].clean, "case %zu", i);
    }
}

Test(utf8, put_writes_what_valid_accepts)
{
    uint8_t bytes[4];
    for (uint32_t code = 0; code <= 0x110010; code++) {
        int len = utf8_put(code, bytes);
        bool scalar = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
        int want = !scalar ? 0 : code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        cr_assert_eq(len, want, "%x", code);
        cr_assert(utf8_valid(view_of(bytes, (size_t)len)));
        if (len == 3) {
            cr_assert_eq((bytes[0] & 0xFu) << 12 | (bytes[1] & 0x3Fu) << 6 | (bytes[2] & 0x3Fu),
                         code);
        }
    }
    cr_expect_eq(utf8_put(UINT32_MAX, bytes), 0);
}

/* ---- ident ---- */

Test(ident, every_byte_is_allowed_or_not)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    static const char metric[] = " /%()@$";
    for (int c = 0; c < 256; c++) {
        const uint8_t name[3] = {'a', (uint8_t)c, 'b'};
        bool is_plain = c != 0 && strchr(plain, c) != NULL;
        bool is_metric = is_plain || (c != 0 && strchr(metric, c) != NULL);
        cr_expect_eq(ident_valid(view_of(name, 3)), is_plain, "byte %02x", c);
        cr_expect_eq(ident_metric_valid(view_of(name, 3)), is_metric, "byte %02x", c);
        cr_expect_eq(ident_valid(view_of(name + 1, 1)), is_plain);
    }
}

Test(ident, lengths_and_characters_beyond_ascii)
{
    char name[IDENT_MAX + 2];
    memset(name, 'x', sizeof(name));
    for (size_t len = 0; len <= IDENT_MAX + 1; len++) {
        bool want = len >= 1 && len <= IDENT_MAX;
        cr_expect_eq(ident_valid(view_of(name, len)), want);
        cr_expect_eq(ident_metric_valid(view_of(name, len)), want);
    }
    cr_expect(ident_metric_valid(VIEW("temp\xc3\xa9rature \xc2\xb0"
                                      "C")));
    cr_expect_not(ident_valid(VIEW("temp\xc3\xa9rature")));
    cr_expect_not(ident_metric_valid(VIEW("\xc3")));
    cr_expect_not(ident_metric_valid(VIEW("\xed\xa0\x80")));
    cr_expect_not(ident_metric_valid(VIEW("a\xc2\x85")), "a control character of Latin-1");
    cr_expect_not(ident_metric_valid(VIEW("\xc2\x9f")));
    cr_expect(ident_metric_valid(VIEW("\xc2\xa0")));
    cr_expect_not(ident_metric_valid(VIEW("a\"b")));
}

/* ---- err ---- */

Test(err, every_code_has_words_and_its_own_value)
{
    static const enum err codes[] = {
#define ERR_CODE(name, value, words) name,
        ERR_LIST(ERR_CODE)
#undef ERR_CODE
    };
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        cr_expect_gt(strlen(err_words(codes[i])), 1u);
        cr_expect_leq((int)codes[i], 0);
        for (size_t other = 0; other < i; other++) {
            cr_expect_neq(codes[i], codes[other]);
            cr_expect_str_neq(err_words(codes[i]), err_words(codes[other]));
        }
    }
    cr_expect_str_eq(err_words((enum err)12345), "unknown error");
}

/* ---- emit_json ---- */

Test(emit_json, commas_and_nesting)
{
    struct buf b;
    buf_init(&b, 4096);
    struct emit_json j = emit_json_init(&b);
    emit_json_open(&j, '{');
    emit_json_key(&j, "a");
    emit_json_int(&j, -7);
    emit_json_key(&j, "b");
    emit_json_open(&j, '[');
    emit_json_bool(&j, true);
    emit_json_bool(&j, false);
    emit_json_null(&j);
    emit_json_open(&j, '{');
    emit_json_close(&j, '}');
    emit_json_open(&j, '[');
    emit_json_close(&j, ']');
    emit_json_str(&j, "x");
    emit_json_close(&j, ']');
    emit_json_key_view(&j, VIEW("c"));
    emit_json_raw(&j, VIEW("{\"raw\":1}"));
    emit_json_key(&j, "d");
    emit_json_str(&j, NULL);
    emit_json_key(&j, "e");
    emit_json_time(&j, 1583750766250000);
    emit_json_key(&j, "f");
    emit_json_time(&j, CLOCK_NONE);
    emit_json_key(&j, "g");
    emit_json_int(&j, INT64_MIN);
    emit_json_close(&j, '}');
    char *text = buf_take_str(&b);
    cr_expect_str_eq(text,
                     "{\"a\":-7,\"b\":[true,false,null,{},[],\"x\"],\"c\":{\"raw\":1},\"d\":null,"
                     "\"e\":\"2020-03-09T10:46:06.250Z\",\"f\":null,\"g\":-9223372036854775808}");
    free(text);
}

Test(emit_json, texts_are_escaped_and_bad_bytes_replaced)
{
    static const struct {
        struct view in;
        const char *out;
    } rows[] = {
        {{(const uint8_t *)"", 0}, "\"\""},
        {{(const uint8_t *)"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{(const uint8_t *)"\n\t\r\0\x1f\x7f", 6}, "\"\\n\\u0009\\u000d\\u0000\\u001f\\u007f\""},
        {{(const uint8_t *)"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e", 9},
         "\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\""},
        {{(const uint8_t *)"a\x80z", 3}, "\"a\xEF\xBF\xBDz\""},
        {{(const uint8_t *)"\xc3", 1}, "\"\xEF\xBF\xBD\""},
        {{(const uint8_t *)"\xed\xa0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {{(const uint8_t *)"\xff\xc3\xa9", 3}, "\"\xEF\xBF\xBD\xc3\xa9\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf b;
        buf_init(&b, 4096);
        struct emit_json j = emit_json_init(&b);
        emit_json_view(&j, rows[i].in);
        char *text = buf_take_str(&b);
        cr_expect_str_eq(text, rows[i].out, "row %zu: %s", i, text);
        free(text);
    }
}

Test(emit_json, reals_read_back_the_same)
{
    static const double values[] = {0.0,
                                    -0.0,
                                    1.0,
                                    0.1,
                                    -2.5,
                                    1e21,
                                    1e-7,
                                    1.0 / 3,
                                    5e-324,
                                    2e-310,
                                    1e308,
                                    123456789.125,
                                    0.1 + 0.2,
                                    1.7976931348623157e308,
                                    2.2250738585072014e-308};
    uint64_t state = 1;
    for (size_t i = 0; i < 20000; i++) {
        double v = 0;
        if (i < COUNT_OF(values)) {
            v = values[i];
        } else {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            memcpy(&v, &state, sizeof(v));
        }
        struct buf b;
        buf_init(&b, 64);
        struct emit_json j = emit_json_init(&b);
        emit_json_real(&j, v);
        char *text = buf_take_str(&b);
        if (isfinite(v)) {
            double back = strtod(text, NULL);
            cr_assert_eq(memcmp(&back, &v, sizeof(v)), 0, "%s", text);
        } else {
            cr_assert_str_eq(text, "null");
        }
        free(text);
    }
    static const struct {
        double v;
        const char *text;
    } rows[] = {{0.1, "0.1"}, {5, "5"}, {-0.0, "-0"}, {5e-324, "5e-324"}, {1e21, "1e+21"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf b;
        buf_init(&b, 64);
        struct emit_json j = emit_json_init(&b);
        emit_json_real(&j, rows[i].v);
        char *text = buf_take_str(&b);
        cr_expect_str_eq(text, rows[i].text);
        free(text);
    }
}

Test(emit_json, a_full_buffer_is_told_at_the_end)
{
    struct buf b;
    buf_init(&b, 10);
    struct emit_json j = emit_json_init(&b);
    emit_json_open(&j, '[');
    for (int i = 0; i < 100; i++) {
        emit_json_int(&j, 12345);
    }
    emit_json_close(&j, ']');
    cr_expect_eq(buf_err(&b), ERR_LIMIT);
    cr_expect_leq(b.len, 10u);
    buf_fini(&b);
}
