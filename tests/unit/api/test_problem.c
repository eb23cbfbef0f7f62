#include <criterion/criterion.h>
#include <jansson.h>

#include "api/problem.h"

static json_t *write_and_load(enum problem p, const char *detail, const char *instance,
                              const struct api_errors *errors)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    problem_write(&out, p, detail, view_str(instance), "id-1", errors);
    cr_assert_eq(buf_err(&out), ERR_OK);
    json_t *json = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    buf_fini(&out);
    cr_assert_not_null(json);
    return json;
}

static const char *text(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

Test(problem, every_kind_has_the_members_of_rfc_9457_and_a_page)
{
    for (enum problem p = 0; p < PROBLEM_COUNT; p++) {
        json_t *json = write_and_load(p, "words", "/v1/x", NULL);
        cr_expect_str_eq(text(json, "detail"), "words");
        cr_expect_str_eq(text(json, "instance"), "/v1/x");
        cr_expect_str_eq(text(json, "request_id"), "id-1");
        cr_expect_eq(json_integer_value(json_object_get(json, "status")), problem_status(p));
        const char *type = text(json, "type");
        cr_assert_eq(strncmp(type, "/docs/problems/", 15), 0);
        struct buf page;
        buf_init(&page, 1 << 16);
        cr_expect(problem_write_page(&page, view_str(type + 15)), "%s", type);
        buf_fini(&page);
        json_decref(json);
    }
    struct buf page;
    buf_init(&page, 1 << 16);
    cr_expect_not(problem_write_page(&page, VIEW("none")));
    cr_expect_eq(page.len, 0);
}

Test(problem, what_a_client_sent_cannot_break_out_of_its_text)
{
    json_t *json = write_and_load(PROBLEM_INVALID, "a \"b\"\n\x01\xff", "/v1/\"},{\"", NULL);
    cr_expect_str_eq(text(json, "instance"), "/v1/\"},{\"");
    cr_expect_not_null(strstr(text(json, "detail"), "\"b\"\n"));
    json_decref(json);
}

Test(problem, errors_point_to_fields_and_their_number_is_bounded)
{
    struct api_errors errors = {0};
    for (int i = 0; i < 100; i++) {
        api_errors_add(&errors, "/a", "number %d", i);
    }
    json_t *json = write_and_load(PROBLEM_INVALID, "", "/", &errors);
    const json_t *list = json_object_get(json, "errors");
    cr_expect_eq(json_array_size(list), (size_t)API_ERRORS_MAX);
    cr_expect_str_eq(text(json_array_get(list, 1), "pointer"), "/a");
    cr_expect_str_eq(text(json_array_get(list, 1), "detail"), "number 1");
    cr_expect_neq(text(json, "detail")[0], '\0', "the general words when there are no own ones");
    json_decref(json);
}
