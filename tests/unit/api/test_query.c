#include <stdlib.h>

#include <criterion/criterion.h>

#include "api/query.h"

static enum err parse(const char *text, struct arena *a, struct api_query *q)
{
    /* An exact copy, so that a byte read too far is seen. */
    size_t len = strlen(text);
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, text, len);
    enum err e = api_query_parse(view_of(copy, len), a, q);
    free(copy);
    return e;
}

Test(query, paths_are_cut_first_and_decoded_afterwards)
{
    struct arena a;
    struct api_query q = {0};
    arena_init(&a, 1 << 20);
    cr_assert_eq(parse("/v1/devices/a%2Fb+c?x=1", &a, &q), ERR_OK);
    cr_expect_eq(q.segment_count, 3);
    cr_expect(view_eq_str(q.segments[2], "a/b+c"), "an escaped slash does not cut, plus is plus");
    cr_expect_eq(q.segments[2].data[q.segments[2].len], 0, "ends with a NUL byte");
    cr_assert_eq(parse("/", &a, &q), ERR_OK);
    cr_expect_eq(q.segment_count, 0);
    arena_fini(&a);
}

Test(query, parameters_are_decoded_and_found)
{
    struct arena a;
    struct api_query q = {0};
    arena_init(&a, 1 << 20);
    cr_assert_eq(parse("/x?a=1&b=x+y%2B%26&&a=2&empty&label.site=pl%C3%A4nt", &a, &q), ERR_OK);
    cr_expect_eq(q.param_count, 5);
    cr_expect(view_eq_str(api_query_get(&q, "a"), "1"), "the first of two");
    cr_expect(view_eq_str(api_query_get(&q, "b"), "x y+&"));
    cr_expect(api_query_get(&q, "empty").data != NULL && api_query_get(&q, "empty").len == 0);
    cr_expect(view_eq_str(api_query_get(&q, "label.site"), "plänt"));
    cr_expect_null(api_query_get(&q, "c").data);
    arena_fini(&a);
}

Test(query, what_is_wrong_is_refused_and_the_result_untouched)
{
    static const struct {
        const char *target;
        enum err want;
        const char *why;
    } cases[] = {
        {"", ERR_MALFORMED, "nothing"},
        {"x", ERR_MALFORMED, "no leading slash"},
        {"http://h/x", ERR_MALFORMED, "an absolute target"},
        {"*", ERR_MALFORMED, "the server itself"},
        {"//", ERR_MALFORMED, "an empty segment"},
        {"/a//b", ERR_MALFORMED, "an empty segment inside"},
        {"/a/", ERR_MALFORMED, "a slash at the end"},
        {"/a/../b", ERR_MALFORMED, "a parent"},
        {"/a/%2e%2E", ERR_MALFORMED, "an escaped parent"},
        {"/.", ERR_MALFORMED, "this folder"},
        {"/%", ERR_MALFORMED, "an escape without digits"},
        {"/%4", ERR_MALFORMED, "an escape of one digit"},
        {"/%4g", ERR_MALFORMED, "no hexadecimal digit"},
        {"/%00", ERR_MALFORMED, "a NUL byte"},
        {"/%0a", ERR_MALFORMED, "a line end"},
        {"/%7f", ERR_MALFORMED, "DEL"},
        {"/%ff", ERR_UTF8, "not UTF-8"},
        {"/%ed%a0%80", ERR_UTF8, "a surrogate"},
        {"/a?=1", ERR_MALFORMED, "a parameter without name"},
        {"/a?x=%", ERR_MALFORMED, "a bad escape in a value"},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13", ERR_LIMIT, "13 segments"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena a;
        struct api_query q = {.segment_count = 99};
        arena_init(&a, 1 << 20);
        cr_expect_eq(parse(cases[i].target, &a, &q), cases[i].want, "%s", cases[i].why);
        cr_expect_eq(q.segment_count, 99, "%s: result touched", cases[i].why);
        arena_fini(&a);
    }
}

Test(query, limits_are_exact)
{
    struct arena a;
    struct api_query q;
    arena_init(&a, 1 << 20);
    char text[API_TARGET_MAX + 2];
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    cr_expect_eq(api_query_parse(view_of(text, API_TARGET_MAX), &a, &q), ERR_OK);
    cr_expect_eq(api_query_parse(view_of(text, API_TARGET_MAX + 1), &a, &q), ERR_LIMIT);
    size_t len = 2;
    memcpy(text, "/?", 2);
    for (int i = 0; i < API_PARAMS_MAX; i++) {
        memcpy(text + len, "p=1&", 4);
        len += 4;
    }
    cr_expect_eq(api_query_parse(view_of(text, len), &a, &q), ERR_OK);
    cr_expect_eq(q.param_count, (uint32_t)API_PARAMS_MAX);
    memcpy(text + len, "q", 1);
    cr_expect_eq(api_query_parse(view_of(text, len + 1), &a, &q), ERR_LIMIT);
    arena_fini(&a);
}

Test(query, every_cut_and_every_flipped_bit_is_an_answer_never_a_crash)
{
    static const char target[] = "/v1/devices/m%2D1/readings?metric=a,b&from=-1h&x=%C3%A4+y";
    for (size_t cut = 0; cut < sizeof(target); cut++) {
        for (int bit = 0; bit < 8; bit++) {
            char text[sizeof(target)];
            memcpy(text, target, sizeof(text));
            text[cut] ^= (char)(1 << bit);
            text[sizeof(text) - 1] = '\0';
            struct arena a;
            struct api_query q = {0};
            arena_init(&a, 1 << 20);
            enum err e = parse(text, &a, &q);
            cr_expect(e == ERR_OK || q.segment_count == 0);
            text[cut] = '\0';
            (void)!parse(text, &a, &q);
            arena_fini(&a);
        }
    }
}
