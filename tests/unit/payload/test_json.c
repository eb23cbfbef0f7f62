/*
 * The reader against RFC 8259. Rows are written after the grammar, clause by clause: what must be
 * read, what must be refused, and with which error.
 */
#include <math.h>
#include <stdio.h>

#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/check.h"
#include "help.h"
#include "payload/json.h"

struct text {
    const char *text;
    size_t len;
};
#define T(literal)                   \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static enum err read_all(struct view body, struct arena *arena, uint32_t depth_max,
                         struct payload_json *ret_reader)
{
    struct payload_event ev;
    enum payload_kind kind = PAYLOAD_ERROR;
    payload_json_init(ret_reader, body, arena, depth_max);
    do {
        kind = payload_json_next(ret_reader, &ev);
    } while (kind > PAYLOAD_END);
    /* Sticky: whatever the end was, it stays. */
    cr_assert_eq(payload_json_next(ret_reader, &ev), kind);
    return kind == PAYLOAD_END ? ERR_OK : ret_reader->err;
}

static enum err read_text(const char *text, size_t len, uint32_t depth_max)
{
    struct arena arena;
    struct payload_json with;
    struct payload_json without;
    struct view body = heap_copy(view_of(text, len));
    arena_init(&arena, 1 << 20);
    enum err e = read_all(body, &arena, depth_max, &with);
    enum err again = read_all(body, NULL, depth_max, &without);
    cr_assert_eq(e, again, "%.*s: with and without an arena differ", (int)len, text);
    cr_assert_eq(with.err_at, without.err_at);
    cr_assert_leq(with.err_at, len);
    arena_fini(&arena);
    heap_free(body);
    return e;
}

Test(json, everything_the_grammar_allows_is_read)
{
    static const struct text rows[] = {
        /* values at the top */
        T("{}"),
        T("[]"),
        T("0"),
        T("-0"),
        T("1"),
        T("\"\""),
        T("\"a\""),
        T("true"),
        T("false"),
        T("null"),
        T(" \t\r\n1 \t\r\n"),
        T("[ ]"),
        T("{ }"),
        T("\n{\n}\n"),
        /* arrays */
        T("[1]"),
        T("[1,2]"),
        T("[ 1 , 2 ]"),
        T("[[]]"),
        T("[[],[]]"),
        T("[[[]]]"),
        T("[null]"),
        T("[true,false,null]"),
        T("[\"\"]"),
        T("[1,null,null,2]"),
        T("[{}]"),
        T("[\"a\" ]"),
        T("[\n1\n]"),
        T("[1]\n"),
        T(" [1]"),
        /* objects */
        T("{\"a\":1}"),
        T("{\"\":0}"),
        T("{\"a\":[]}"),
        T("{\"a\":{}}"),
        T("{\"a\":1,\"b\":2}"),
        T("{\"a\":1,\"a\":1}"),
        T("{\"a\":1,\"a\":2}"),
        T("{ \"a\" : 1 , \"b\" : 2 }"),
        T("{\"a\":\"b\"}"),
        T("{\"a\":{\"b\":{\"c\":null}}}"),
        T("{\"a\":[{\"b\":1},{\"c\":2}]}"),
        T("{\"foo\\u0000bar\":42}"),
        T("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
        /* numbers */
        T("[0e+1]"),
        T("[0e1]"),
        T("[1E22]"),
        T("[1E-2]"),
        T("[1E+2]"),
        T("[123e45]"),
        T("[123.456e78]"),
        T("[1e-2]"),
        T("[1e+2]"),
        T("[-1]"),
        T("[-0]"),
        T("[-0.0]"),
        T("[-123]"),
        T("[20e1]"),
        T("[123.456789]"),
        T("[0.1]"),
        T("[1.0]"),
        T("[10]"),
        T("[-0.000000000000000000000000000000000000000000000000000000000000000000000001]"),
        T("[1e-400]"),
        T("[0e999999999999]"),
        T("[-0e-999999999999]"),
        T("[0.0e400]"),
        T("[9007199254740993]"),
        T("[18446744073709551616]"),
        T("[1.7976931348623157e308]"),
        T("[123456789012345678901234567890123456789012345678901234567890]"),
        /* texts */
        T("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
        T("[\"\\u0041\"]"),
        T("[\"\\u00e9\"]"),
        T("[\"\\u20AC\"]"),
        T("[\"\\uD834\\uDD1E\"]"),
        T("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
        T("[\"\\u0000\"]"),
        T("[\"\\uFFFF\"]"),
        T("[\"\\uDBFF\\uDFFF\"]"),
        T("[\"\\\\u0000\"]"),
        T("[\"\\\\n\"]"),
        T("[\"\\\\\"]"),
        T("[\"/\"]"),
        T("[\"\x7f\"]"),
        T("[\"a/*b*/c\"]"),
        T("[\"\xc2\x80\"]"),
        T("[\"\xdf\xbf\"]"),
        T("[\"\xe0\xa0\x80\"]"),
        T("[\"\xed\x9f\xbf\"]"),
        T("[\"\xee\x80\x80\"]"),
        T("[\"\xef\xbf\xbf\"]"),
        T("[\"\xf0\x90\x80\x80\"]"),
        T("[\"\xf4\x8f\xbf\xbf\"]"),
        T("[\"\xe2\x80\xa8\"]"),
        T("[\"\xc3\xa9 and long enough\"]"),
        T("[\"long enough for words of eight \xc3\xa9\"]"),
        T("[\"seven77\"]"),
        T("[\"eight888\"]"),
        T("[\"nine99999\"]"),
        T("{\"\xc3\xa9t\xc3\xa9\":1}"),
        T("[\"\\u0022\"]"),
        T("[\"\\uD801\\udc37\"]"),
        T("[\"x\\u2028y\"]"),
        T("[\" \"]"),
        T("[\"\\ufeff\"]"),
    };
    cr_expect_geq(COUNT_OF(rows), 90u);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(read_text(rows[i].text, rows[i].len, 64), ERR_OK, "%s", rows[i].text);
    }
}

Test(json, everything_else_is_refused_for_its_reason)
{
    static const struct {
        struct text t;
        enum err err;
    } rows[] = {
        /* structure */
        {T(""), ERR_SHORT},
        {T(" "), ERR_SHORT},
        {T("["), ERR_SHORT},
        {T("{"), ERR_SHORT},
        {T("[1"), ERR_SHORT},
        {T("[1,"), ERR_SHORT},
        {T("[\"a"), ERR_SHORT},
        {T("{\"a\""), ERR_SHORT},
        {T("{\"a\":"), ERR_SHORT},
        {T("{\"a\":1"), ERR_SHORT},
        {T("{\"a\":1,"), ERR_SHORT},
        {T("[[[["), ERR_SHORT},
        {T("]"), ERR_SYNTAX},
        {T("}"), ERR_SYNTAX},
        {T("[1]]"), ERR_SYNTAX},
        {T("{}}"), ERR_SYNTAX},
        {T("[1}"), ERR_SYNTAX},
        {T("{\"a\":1]"), ERR_SYNTAX},
        {T("[,1]"), ERR_SYNTAX},
        {T("[1,]"), ERR_SYNTAX},
        {T("[1,,2]"), ERR_SYNTAX},
        {T("[,]"), ERR_SYNTAX},
        {T("[1 2]"), ERR_SYNTAX},
        {T("[1:2]"), ERR_SYNTAX},
        {T("[\"a\" \"b\"]"), ERR_SYNTAX},
        {T("[\"\":1]"), ERR_SYNTAX},
        {T("{,}"), ERR_SYNTAX},
        {T("{\"a\":1,}"), ERR_SYNTAX},
        {T("{\"a\":1,,\"b\":2}"), ERR_SYNTAX},
        {T("{\"a\" 1}"), ERR_SYNTAX},
        {T("{\"a\",1}"), ERR_SYNTAX},
        {T("{\"a\"::1}"), ERR_SYNTAX},
        {T("{\"a\":}"), ERR_SYNTAX},
        {T("{\"a\":1 \"b\":2}"), ERR_SYNTAX},
        {T("{:1}"), ERR_SYNTAX},
        {T("{\"a\"}"), ERR_SYNTAX},
        {T("{1:1}"), ERR_SYNTAX},
        {T("{a:1}"), ERR_SYNTAX},
        {T("{'a':1}"), ERR_SYNTAX},
        {T("{null:1}"), ERR_SYNTAX},
        {T("{[]:1}"), ERR_SYNTAX},
        {T("1 2"), ERR_SYNTAX},
        {T("{} x"), ERR_SYNTAX},
        {T("\"a\" \"b\""), ERR_SYNTAX},
        {T("{}#"), ERR_SYNTAX},
        {T("/* a */ 1"), ERR_SYNTAX},
        {T("[1] // x"), ERR_SYNTAX},
        {T("\xEF\xBB\xBF{}"), ERR_SYNTAX}, /* RFC 8259 8.1: a byte order mark MUST NOT be added */
        {T("\xEF\xBB\xBF"), ERR_SYNTAX},
        {T("\x00"), ERR_SYNTAX},
        {T("[1\x00]"), ERR_SYNTAX},
        {T("[\x0c]"), ERR_SYNTAX}, /* form feed is no white space */
        {T("[\x0b 1]"), ERR_SYNTAX},
        {T("[\xc2\xa0 1]"), ERR_SYNTAX}, /* nor is a no-break space */
        {T("\xe2\x81\xa0"), ERR_SYNTAX},
        {T("[\xff]"), ERR_SYNTAX},
        {T("<null>"), ERR_SYNTAX},
        {T("*"), ERR_SYNTAX},
        {T("[*]"), ERR_SYNTAX},
        {T("\\u005b\\u005d"), ERR_SYNTAX},
        /* words */
        {T("t"), ERR_SHORT},
        {T("tru"), ERR_SHORT},
        {T("nul"), ERR_SHORT},
        {T("fals"), ERR_SHORT},
        {T("[fals"), ERR_SHORT},
        {T("truth"), ERR_SYNTAX},
        {T("[nul]"), ERR_SYNTAX},
        {T("[tru]"), ERR_SYNTAX},
        {T("[fals]"), ERR_SYNTAX},
        {T("True"), ERR_SYNTAX},
        {T("TRUE"), ERR_SYNTAX},
        {T("[truetrue]"), ERR_SYNTAX},
        {T("nulll"), ERR_SYNTAX},
        {T("undefined"), ERR_SYNTAX},
        {T("NaN"), ERR_SYNTAX},
        {T("[nan]"), ERR_SYNTAX},
        {T("[-NaN]"), ERR_SYNTAX},
        {T("[Inf]"), ERR_SYNTAX},
        {T("[Infinity]"), ERR_SYNTAX},
        {T("[-Infinity]"), ERR_SYNTAX},
        {T("a"), ERR_SYNTAX},
        /* numbers */
        {T("-"), ERR_SHORT},
        {T("1."), ERR_SHORT},
        {T("1e"), ERR_SHORT},
        {T("1e-"), ERR_SHORT},
        {T("1.5E+"), ERR_SHORT},
        {T("[-]"), ERR_SYNTAX},
        {T("[--1]"), ERR_SYNTAX},
        {T("[+1]"), ERR_SYNTAX},
        {T("[++1]"), ERR_SYNTAX},
        {T("[01]"), ERR_SYNTAX},
        {T("[00]"), ERR_SYNTAX},
        {T("[-01]"), ERR_SYNTAX},
        {T("[-012]"), ERR_SYNTAX},
        {T("[012.5]"), ERR_SYNTAX},
        {T("[.5]"), ERR_SYNTAX},
        {T("[-.5]"), ERR_SYNTAX},
        {T("[1.]"), ERR_SYNTAX},
        {T("[-2.]"), ERR_SYNTAX},
        {T("[2.e3]"), ERR_SYNTAX},
        {T("[2.e+3]"), ERR_SYNTAX},
        {T("[0.3e]"), ERR_SYNTAX},
        {T("[0.3e+]"), ERR_SYNTAX},
        {T("[0e]"), ERR_SYNTAX},
        {T("[0E+]"), ERR_SYNTAX},
        {T("[1e1.5]"), ERR_SYNTAX},
        {T("[1ee2]"), ERR_SYNTAX},
        {T("[1e+-2]"), ERR_SYNTAX},
        {T("[9.3e]"), ERR_SYNTAX},
        {T("[1.2.3]"), ERR_SYNTAX},
        {T("[1 000]"), ERR_SYNTAX},
        {T("[1_000]"), ERR_SYNTAX},
        {T("[1,000.5,]"), ERR_SYNTAX},
        {T("[1+2]"), ERR_SYNTAX},
        {T("[0x1]"), ERR_SYNTAX},
        {T("[0x1p3]"), ERR_SYNTAX},
        {T("[1a]"), ERR_SYNTAX},
        {T("[1.8011670033376514H-308]"), ERR_SYNTAX},
        {T("[- 1]"), ERR_SYNTAX},
        {T("[-foo]"), ERR_SYNTAX},
        {T("[1e400]"), ERR_RANGE},
        {T("[-1e400]"), ERR_RANGE},
        {T("[1.7976931348623159e308]"), ERR_RANGE},
        {T("[123123e100000]"), ERR_RANGE},
        {T("[1e99999999999999999999999]"), ERR_RANGE},
        /* texts */
        {T("\""), ERR_SHORT},
        {T("[\""), ERR_SHORT},
        {T("\"a"), ERR_SHORT},
        {T("\"\\"), ERR_SHORT},
        {T("\"\\\""), ERR_SHORT},
        {T("\"\\u00"), ERR_SHORT},
        {T("[\"\x1f\"]"), ERR_SYNTAX},
        {T("[\"\x00\"]"), ERR_SYNTAX},
        {T("[\"a\nb\"]"), ERR_SYNTAX},
        {T("[\"a\tb\"]"), ERR_SYNTAX},
        {T("[\"long enough for words\x01 of eight\"]"), ERR_SYNTAX},
        {T("[\"\\n and a \t tab\"]"), ERR_SYNTAX},
        {T("['a']"), ERR_SYNTAX},
        {T("[\"\\a\"]"), ERR_SYNTAX},
        {T("[\"\\'\"]"), ERR_SYNTAX},
        {T("[\"\\0\"]"), ERR_SYNTAX},
        {T("[\"\\x41\"]"), ERR_SYNTAX},
        {T("[\"\\U0041\"]"), ERR_SYNTAX},
        {T("[\"\\\x00\"]"), ERR_SYNTAX},
        {T("[\"\\\xc3\xa9\"]"), ERR_SYNTAX},
        {T("[\"\\u\"]"), ERR_SYNTAX},
        {T("[\"\\u1\"]"), ERR_SYNTAX},
        {T("[\"\\u12\"]"), ERR_SYNTAX},
        {T("[\"\\u123\"]"), ERR_SYNTAX},
        {T("[\"\\u12g4\"]"), ERR_SYNTAX},
        {T("[\"\\u+123\"]"), ERR_SYNTAX},
        {T("[\"\\uD834\"]"), ERR_UTF8},
        {T("[\"\\uDD1E\"]"), ERR_UTF8},
        {T("[\"\\uD834x\"]"), ERR_UTF8},
        {T("[\"\\uD834\\n\"]"), ERR_UTF8},
        {T("[\"\\uD834\\uD834\"]"), ERR_UTF8},
        {T("[\"\\uDD1E\\uD834\"]"), ERR_UTF8},
        {T("[\"\\uD834\\u0041\"]"), ERR_UTF8},
        {T("[\"\\uD834\\u\"]"), ERR_UTF8},
        {T("[\"\\uD834\\uDD1\"]"), ERR_UTF8},
        {T("{\"\\uD800\":1}"), ERR_UTF8},
        {T("[\"\xff\"]"), ERR_UTF8},
        {T("[\"\x80\"]"), ERR_UTF8},
        {T("[\"\xc3\"]"), ERR_UTF8},
        {T("[\"\xc0\xaf\"]"), ERR_UTF8},
        {T("[\"\xe0\x80\x80\"]"), ERR_UTF8},
        {T("[\"\xed\xa0\x80\"]"), ERR_UTF8},
        {T("[\"\xf4\x90\x80\x80\"]"), ERR_UTF8},
        {T("[\"\xf0\x80\x80\x80\"]"), ERR_UTF8},
        {T("[\"\xfc\x83\xbf\xbf\xbf\xbf\"]"), ERR_UTF8},
        {T("[\"eight888\xe9\"]"), ERR_UTF8},
        {T("[\"\\n\xe9\"]"), ERR_UTF8},
        {T("[\"\xe9\\n\"]"), ERR_UTF8},
        {T("[\"seven77\xe9 and then eight\"]"), ERR_UTF8},
        {T("{\"\xb9\":\"0\"}"), ERR_UTF8},
    };
    cr_expect_geq(COUNT_OF(rows), 120u);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(read_text(rows[i].t.text, rows[i].t.len, 64), rows[i].err, "%s: %s",
                     rows[i].t.text, err_words(read_text(rows[i].t.text, rows[i].t.len, 64)));
    }
}

/* ---- events ---- */

static void trace_event(struct buf *out, enum payload_kind kind, const struct payload_event *ev)
{
    if (ev->key.data != NULL) {
        buf_printf(out, "%.*s=", VIEW_ARG(ev->key));
    }
    switch (kind) {
    case PAYLOAD_OBJECT:
        buf_put_str(out, "{ ");
        break;
    case PAYLOAD_OBJECT_END:
        buf_put_str(out, "} ");
        break;
    case PAYLOAD_ARRAY:
        buf_put_str(out, "[ ");
        break;
    case PAYLOAD_ARRAY_END:
        buf_put_str(out, "] ");
        break;
    case PAYLOAD_NUMBER:
        buf_printf(out, "%g(%.*s) ", ev->number, VIEW_ARG(ev->text));
        break;
    case PAYLOAD_TEXT:
        buf_printf(out, "<%.*s> ", VIEW_ARG(ev->text));
        break;
    case PAYLOAD_TRUE:
    case PAYLOAD_FALSE:
    case PAYLOAD_NULL:
        buf_printf(out, "%s ", payload_kind_words(kind));
        break;
    case PAYLOAD_ERROR:
    case PAYLOAD_END:
        break;
    }
    buf_printf(out, "@%zu ", ev->at);
}

Test(json, events_carry_key_value_and_place)
{
    static const struct {
        const char *text;
        const char *trace;
    } rows[] = {
        {"7", "7(7) @0 "},
        {" {\"a\" : 1.5 , \"b\":\"x\"} ", "{ @1 a=1.5(1.5) @8 b=<x> @18 } @21 "},
        {"[1,\"\",[true],{\"k\":null}]",
         "[ @0 1(1) @1 <> @3 [ @6 true @7 ] @11 { @13 k=null @18 } @22 ] @23 "},
        {"{\"a\":{\"b\":[false]}}", "{ @0 a={ @5 b=[ @10 false @11 ] @16 } @17 } @18 "},
        {"{\"\\u0061\\n\":\"\\\"\\\\\\/\\b\\f\\r\\t\"}", "{ @0 a\n=<\"\\/\b\f\r\t> @12 } @28 "},
        {"[\"\\u00e9\\u20ac\\ud834\\udd1e\\u0024\"]",
         "[ @0 <\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e$> @1 ] @33 "},
        {"[-1e3,0.5E-1]", "[ @0 -1000(-1e3) @1 0.05(0.5E-1) @6 ] @12 "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena;
        struct buf out;
        struct payload_json j;
        struct payload_event ev = {0};
        struct view body = heap_copy(view_str(rows[i].text));
        arena_init(&arena, 4096);
        buf_init(&out, 4096);
        payload_json_init(&j, body, &arena, 16);
        enum payload_kind kind = PAYLOAD_ERROR;
        while ((kind = payload_json_next(&j, &ev)) > PAYLOAD_END) {
            trace_event(&out, kind, &ev);
        }
        cr_expect_eq(kind, PAYLOAD_END);
        char *trace = buf_take_str(&out);
        cr_expect_str_eq(trace, rows[i].trace);
        free(trace);
        arena_fini(&arena);
        heap_free(body);
    }
}

Test(json, texts_are_views_into_the_body_unless_they_have_escapes)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct view body = VIEW("{\"plain\":\"\xc3\xa9t\xc3\xa9\",\"e\\u0073c\":\"a\\nb\"}");
    struct payload_json j;
    struct payload_event ev = {0};
    payload_json_init(&j, body, &arena, 16);
    cr_assert_eq(payload_json_next(&j, &ev), PAYLOAD_OBJECT);
    cr_assert_eq(payload_json_next(&j, &ev), PAYLOAD_TEXT);
    cr_expect_eq(ev.key.data, body.data + 2);
    cr_expect_eq(ev.text.data, body.data + 10);
    cr_expect_eq(arena.used_bytes, 0u, "no memory for texts without escapes");
    cr_assert_eq(payload_json_next(&j, &ev), PAYLOAD_TEXT);
    cr_expect(view_eq(ev.key, VIEW("esc")));
    cr_expect(view_eq(ev.text, VIEW("a\nb")));
    cr_expect(ev.text.data < body.data || ev.text.data > body.data + body.len);
    arena_fini(&arena);
}

Test(json, escapes_without_room_are_an_error)
{
    struct arena arena;
    struct payload_json j;
    arena_init(&arena, 0);
    cr_expect_eq(read_all(VIEW("[\"plain\"]"), &arena, 16, &j), ERR_OK);
    cr_expect_eq(read_all(VIEW("[\"a\\nb\"]"), &arena, 16, &j), ERR_NOMEM);
    arena_fini(&arena);
}

Test(json, an_expected_key_changes_nothing_but_the_speed)
{
    static const char *const bodies[] = {
        "{\"temperature\":1}",
        "{\"temp\":1}",
        "{\"temperature2\":1}",
        "{\"t\":1}",
        "{\"\":1}",
        "{\"temperatur\":1}",
        "{\"tempe",
        "{\"temperature",
        "{\"temperature\"",
        "{",
    };
    static const char *const names[] = {"temperature", "temp", "t", "", "temperatur"};
    for (size_t b = 0; b < COUNT_OF(bodies); b++) {
        for (size_t n = 0; n < COUNT_OF(names); n++) {
            struct view body = heap_copy(view_str(bodies[b]));
            struct payload_json plain;
            struct payload_json hinted;
            struct payload_event a = {0};
            struct payload_event c = {0};
            payload_json_init(&plain, body, NULL, 16);
            payload_json_init(&hinted, body, NULL, 16);
            hinted.expected = view_str(names[n]);
            enum payload_kind kind = PAYLOAD_OBJECT;
            while (kind > PAYLOAD_END) {
                kind = payload_json_next(&plain, &a);
                cr_expect_eq(payload_json_next(&hinted, &c), kind);
                cr_expect_eq(a.key.data, c.key.data);
                cr_expect_eq(a.key.len, c.key.len);
                cr_expect_eq(plain.err_at, hinted.err_at);
            }
            heap_free(body);
        }
    }
}

/* ---- cuts, depth ---- */

Test(json, every_cut_is_short_never_a_crash)
{
    static const char *const rows[] = {
        "{\"ts\":1700000000000,\"values\":{\"m0\":-1.25e-3,\"m1\":true,\"m2\":null}}",
        "[{\"text\":\"\\u00e9\\ud834\\udd1e \xe2\x82\xac\",\"no\":false},[[],{}],\"\\\\\"]",
        "\"long enough for words of eight bytes \\\" \xc3\xa9\"",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i]);
        cr_expect_eq(read_text(rows[i], len, 64), ERR_OK);
        for (size_t cut = 0; cut < len; cut++) {
            cr_expect_eq(read_text(rows[i], cut, 64), ERR_SHORT, "row %zu cut at %zu", i, cut);
        }
    }
}

Test(json, every_flipped_bit_is_handled)
{
    static const char row[] = "{\"a\":[1.5e1,\"\\u00e9\xc3\xa9\",true,null,{}],\"b\":-0}";
    uint32_t refused = 0;
    for (size_t bit = 0; bit < (sizeof(row) - 1) * 8; bit++) {
        char copy[sizeof(row)];
        memcpy(copy, row, sizeof(row));
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        refused += read_text(copy, sizeof(row) - 1, 64) != ERR_OK;
    }
    cr_expect_gt(refused, (sizeof(row) - 1) * 4, "most flips break the text");
}

Test(json, depth_is_limited_and_never_recursion)
{
    enum { DEEP = 100000 };
    char *deep = malloc(2 * DEEP);
    cr_assert_not_null(deep);
    for (uint32_t depth = 0; depth <= PAYLOAD_DEPTH_MAX + 1; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        enum err want = depth == 0 ? ERR_SHORT : depth <= 64 ? ERR_OK : ERR_LIMIT;
        cr_expect_eq(read_text(deep, 2 * depth, 1000), want, "depth %u", depth);
        want = depth == 0 ? ERR_SHORT : depth <= 5 ? ERR_OK : ERR_LIMIT;
        cr_expect_eq(read_text(deep, 2 * depth, 5), want, "depth %u of 5", depth);
    }
    memset(deep, '[', DEEP);
    memset(deep + DEEP, ']', DEEP);
    cr_expect_eq(read_text(deep, 2 * DEEP, UINT32_MAX), ERR_LIMIT);
    cr_expect_eq(read_text("[1]", 3, 0), ERR_LIMIT);
    cr_expect_eq(read_text("1", 1, 0), ERR_OK);
    free(deep);
}

Test(json, brackets_are_remembered_at_every_depth)
{
    /* A mix of 64 brackets, closed in the right order and with one wrong. */
    uint64_t state = 1;
    char text[512];
    char closers[PAYLOAD_DEPTH_MAX];
    for (int round = 0; round < 200; round++) {
        size_t len = 0;
        for (size_t i = 0; i < PAYLOAD_DEPTH_MAX; i++) {
            bool object = (test_random(&state) & 1) != 0;
            closers[i] = object ? '}' : ']';
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", object ? "{" : "[");
            if (object && i + 1 < PAYLOAD_DEPTH_MAX) {
                len += (size_t)snprintf(text + len, sizeof(text) - len, "\"k\":");
            }
        }
        size_t closing = len;
        for (size_t i = PAYLOAD_DEPTH_MAX; i-- > 0;) {
            text[len++] = closers[i];
        }
        cr_expect_eq(read_text(text, len, 64), ERR_OK);
        size_t wrong = closing + test_random(&state) % PAYLOAD_DEPTH_MAX;
        text[wrong] = text[wrong] == '}' ? ']' : '}';
        cr_expect_eq(read_text(text, len, 64), ERR_SYNTAX);
    }
}

Test(json, skip_ends_behind_the_container)
{
    struct payload_json j;
    struct payload_event ev = {0};
    payload_json_init(&j, VIEW("{\"a\":{\"b\":[1,{\"c\":[]}]},\"d\":2}"), NULL, 16);
    cr_assert_eq(payload_json_next(&j, &ev), PAYLOAD_OBJECT);
    cr_assert_eq(payload_json_next(&j, &ev), PAYLOAD_OBJECT);
    cr_expect_eq(payload_json_skip(&j), ERR_OK);
    cr_expect_eq(payload_json_next(&j, &ev), PAYLOAD_NUMBER);
    cr_expect(view_eq(ev.key, VIEW("d")));
    payload_json_init(&j, VIEW("[[1,2,}"), NULL, 16);
    cr_assert_eq(payload_json_next(&j, &ev), PAYLOAD_ARRAY);
    cr_expect_eq(payload_json_skip(&j), ERR_SYNTAX);
}

/* ---- pointers ---- */

Test(json, pointer_names_what_stands_at_an_offset)
{
    static const char body[] =
        "{\"a/b\":[1,{\"c~\":[true]},\"x\"],\"\":{\"d\":null},\"e\\u0041\":7} ";
    static const struct {
        const char *at; /* the offset of this piece */
        const char *pointer;
    } rows[] = {
        {"{\"a/b", ""},
        {"\"a/b", "/a~1b"},
        {"[1", "/a~1b"},
        {"1,{", "/a~1b/0"},
        {"{\"c~", "/a~1b/1"},
        {"[true", "/a~1b/1/c~0"},
        {"true", "/a~1b/1/c~0/0"},
        {"\"x\"", "/a~1b/2"},
        {"{\"d", "/"},
        {"null", "//d"},
        {"7}", "/eA"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char pointer[160];
        const char *at = strstr(body, rows[i].at);
        cr_assert_not_null(at);
        payload_json_pointer(VIEW(body), (size_t)(at - body), pointer, sizeof(pointer));
        cr_expect_str_eq(pointer, rows[i].pointer);
    }
}

Test(json, pointer_survives_broken_texts_and_small_buffers)
{
    static const char body[] = "{\"first\":[1,2,{\"second\xc3\xa9\":[{\"third\":tru}]}]}";
    char pointer[160];
    payload_json_pointer(VIEW(body), 1000, pointer, sizeof(pointer));
    cr_expect_str_eq(pointer, "/first/2/second\xc3\xa9/0/third");
    for (size_t size = 4; size < 40; size++) {
        char *exact = malloc(size);
        cr_assert_not_null(exact);
        payload_json_pointer(VIEW(body), 1000, exact, size);
        cr_expect_lt(strlen(exact), size);
        cr_expect(strlen(exact) == 25 || strcmp(exact + strlen(exact) - 3, "...") == 0, "%s",
                  exact);
        cr_expect_null(strstr(exact, "\xc3."), "a character was split");
        free(exact);
    }
    for (size_t cut = 0; cut < sizeof(body) - 1; cut++) {
        struct view part = heap_copy(view_of(body, cut));
        payload_json_pointer(part, cut, pointer, sizeof(pointer));
        cr_expect_lt(strlen(pointer), sizeof(pointer));
        heap_free(part);
    }
}
