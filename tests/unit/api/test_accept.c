#include <criterion/criterion.h>

#include "api/accept.h"

Test(accept, the_best_of_what_is_offered_is_chosen)
{
    enum { TABLE = API_MEDIA_JSON | API_MEDIA_CSV | API_MEDIA_NDJSON };
    static const struct {
        const char *accept;
        unsigned offered, want;
    } cases[] = {
        {NULL, TABLE, API_MEDIA_JSON},
        {"", TABLE, API_MEDIA_JSON},
        {"*/*", TABLE, API_MEDIA_JSON},
        {"application/*", TABLE, API_MEDIA_JSON},
        {"text/csv", TABLE, API_MEDIA_CSV},
        {"TEXT/CSV; charset=utf-8", TABLE, API_MEDIA_CSV},
        {"text/*", TABLE, API_MEDIA_CSV},
        {"application/x-ndjson, */*;q=0.1", TABLE, API_MEDIA_NDJSON},
        {"application/json;q=0.5, text/csv;q=0.9", TABLE, API_MEDIA_CSV},
        {"application/json;q=0, */*", TABLE, API_MEDIA_CSV},
        {"image/png", TABLE, 0},
        {"text/csv;q=0", API_MEDIA_CSV, 0},
        {"text/csv", API_MEDIA_JSON, 0},
        {"application/problem+json", API_MEDIA_JSON, API_MEDIA_JSON},
        {"application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         API_MEDIA_JSON | API_MEDIA_TEXT, API_MEDIA_TEXT},
        {",;,q=1;;", TABLE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(api_accept(cases[i].accept, cases[i].offered), cases[i].want, "%s",
                     cases[i].accept == NULL ? "none" : cases[i].accept);
    }
}

Test(accept, content_types_are_known_by_name_not_by_parameters)
{
    cr_expect_eq(api_content_type("application/json; charset=utf-8"), (unsigned)API_MEDIA_JSON);
    cr_expect_eq(api_content_type("Text/CSV"), (unsigned)API_MEDIA_CSV);
    cr_expect_eq(api_content_type("application/jsonl"), (unsigned)API_MEDIA_NDJSON);
    cr_expect_eq(api_content_type("application/jsonx"), 0u);
    cr_expect_eq(api_content_type("multipart/form-data; boundary=application/json"), 0u);
    cr_expect_eq(api_content_type("*/*"), 0u);
    cr_expect_eq(api_content_type(""), 0u);
}

Test(if_match, only_the_strong_tag_of_this_version_matches)
{
    static const struct {
        const char *header;
        bool want;
    } cases[] = {{"\"7\"", true},   {"*", true},        {"\"6\", \"7\"", true},
                 {"\"77\"", false}, {"W/\"7\"", false}, {"7", false},
                 {"", false},       {"\"7", false},     {"\"6\",\"8\"", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(api_if_match(cases[i].header, 7), cases[i].want, "%s", cases[i].header);
    }
}
