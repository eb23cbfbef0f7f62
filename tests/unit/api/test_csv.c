#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "api/csv.h"

/* Records as one text: fields in brackets, records ended by ';', errors as '!'. */
static void read_all(const char *text, size_t len, char *out, size_t size)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, text, len);
    struct api_csv csv = api_csv_init(view_of(copy, len));
    struct view fields[API_CSV_FIELDS_MAX];
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < 1000; i++) {
        struct arena a;
        arena_init(&a, 1 << 20);
        uint32_t n = 0;
        enum err e = api_csv_next(&csv, &a, fields, &n);
        for (uint32_t k = 0; e == ERR_OK && k < n && used < size; k++) {
            used += (size_t)snprintf(out + used, size - used, "[%.*s]", VIEW_ARG(fields[k]));
        }
        if (e != ERR_SKIP && used < size) {
            used += (size_t)snprintf(out + used, size - used, "%s", e == ERR_OK ? ";" : "!");
        }
        arena_fini(&a);
        if (e == ERR_SKIP) {
            break;
        }
    }
    free(copy);
}

Test(csv, records_are_those_of_rfc_4180)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"", ""},
        {"a", "[a];"},
        {"a\n", "[a];"},
        {"a,b\r\nc,d\r\n", "[a][b];[c][d];"},
        {"a,\n,b\n", "[a][];[][b];"},
        {"a,", "[a][];"},
        {"\"a,b\",\"c\"\"d\"\n", "[a,b][c\"d];"},
        {"\"a\r\nb\",c\n", "[a\r\nb][c];"},
        {"\"\",x", "[][x];"},
        {"\n\na\n", "[];[];[a];"},
        {"\xEF\xBB\xBFname\n", "[name];"},
        {"a\"b\nc\n", "![c];"},     /* a quote inside a plain field */
        {"\"a\"b,c\nd\n", "![d];"}, /* text behind a closing quote */
        {"\"a\nb\n", "!"},          /* a quote that never ends */
        {"a\rb\nc\n", "![c];"},     /* a carriage return alone */
        {"\xff\nc\n", "![c];"},     /* not UTF-8 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char got[300];
        read_all(cases[i].text, strlen(cases[i].text), got, sizeof(got));
        cr_expect_str_eq(got, cases[i].want, "case %zu", i);
    }
}

Test(csv, lines_are_counted_through_quoted_line_ends)
{
    struct api_csv csv = api_csv_init(VIEW("a\n\"b\nc\"\nd\n"));
    struct view fields[API_CSV_FIELDS_MAX];
    static const uint32_t want[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        struct arena a;
        uint32_t n = 0;
        arena_init(&a, 1 << 20);
        cr_assert_eq(api_csv_next(&csv, &a, fields, &n), ERR_OK);
        cr_expect_eq(csv.line, want[i]);
        arena_fini(&a);
    }
}

Test(csv, the_number_of_fields_is_bounded)
{
    char text[2 * API_CSV_FIELDS_MAX + 3];
    memset(text, ',', sizeof(text));
    struct view fields[API_CSV_FIELDS_MAX];
    struct arena a;
    uint32_t n = 0;
    arena_init(&a, 1 << 20);
    struct api_csv csv = api_csv_init(view_of(text, API_CSV_FIELDS_MAX - 1));
    cr_expect_eq(api_csv_next(&csv, &a, fields, &n), ERR_OK);
    cr_expect_eq(n, (uint32_t)API_CSV_FIELDS_MAX);
    csv = api_csv_init(view_of(text, API_CSV_FIELDS_MAX));
    cr_expect_eq(api_csv_next(&csv, &a, fields, &n), ERR_LIMIT);
    arena_fini(&a);
}

Test(csv, every_cut_ends)
{
    static const char text[] = "\xEF\xBB\xBF"
                               "a,\"b\"\"\r\n\",c\r\n,,\"\"\nx";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        char got[300];
        read_all(text, cut, got, sizeof(got));
        cr_expect(strlen(got) < sizeof(got));
    }
}
