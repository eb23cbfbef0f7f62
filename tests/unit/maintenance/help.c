#include "help.h"

enum err help_read(const char *document, struct maintenance_plan **ret_plan,
                   struct rule_error *ret_error)
{
    size_t len = strlen(document);
    char *exact = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        exact[i] = document[i] == '\'' ? '"' : document[i];
    }
    enum err e = maintenance_plan_read(view_of(exact, len), ret_plan, ret_error);
    free(exact);
    return e;
}

struct maintenance_plan *help_plan(const char *fields)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "{'name':'p','title':'Service','select':'type=pump',%s}",
                   fields);
    struct maintenance_plan *p = NULL;
    struct rule_error why = {.detail = ""};
    cr_assert_eq(help_read(text, &p, &why), ERR_OK, "%s: %s %s", text, why.pointer, why.detail);
    return p;
}

int64_t help_time(const char *text)
{
    int64_t us = 0;
    cr_assert_eq(clock_parse(view_str(text), &us), ERR_OK, "%s", text);
    return us;
}
