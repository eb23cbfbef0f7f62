#include <criterion/criterion.h>

#include "help.h"

static enum err parse(const char *text, struct rule_selector **ret_s, struct rule_error *ret_e)
{
    size_t len = strlen(text);
    char *exact = malloc(len + 1); /* without its NUL in sight */
    memcpy(exact, text, len);
    enum err err = rule_selector_parse(view_of(exact, len), ret_s, ret_e);
    free(exact);
    return err;
}

Test(selector, every_term_must_hold)
{
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        {"", true},
        {"  ", true},
        {"type=motor", true},
        {"type==motor", true},
        {"type=pump", false},
        {"name=p-1", true},
        {"name!=p-1", false},
        {"site=plant-1", true},
        {"site=plant-2", false},
        {" type = motor , site = plant-1 ", true},
        {"type=motor,site=plant-2", false},
        {"line!=3", true}, /* a device without the label */
        {"site!=plant-1", false},
        {"site in (plant-2,plant-1)", true},
        {"site in (plant-2)", false},
        {"line in (3)", false},
        {"has(site)", true},
        {"has( line )", false},
        {"has(type),has(name)", true},
        {"has=1", false}, /* a label of that name */
        {"in in (in)", false},
        {"owner=\"A, B (c)\"", true},
        {"owner='A, B (c)'", true},
        {"owner=\"\"", false},
        {"owner!=\"\"", true},
        {"ip=10.0.0.1:80", true},
    };
    struct help_env h;
    help_env_init(&h);
    struct device *d = help_device(h.type, "p-1");
    help_label(d, "ip", "10.0.0.1:80");
    help_label(d, "owner", "A, B (c)");
    help_label(d, "site", "plant-1");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule_selector *s = NULL;
        struct rule_error e = {.detail = ""};
        cr_assert_eq(parse(cases[i].text, &s, &e), ERR_OK, "%s: %s", cases[i].text, e.detail);
        cr_expect_eq(rule_selector_matches(s, d), cases[i].holds, "%s", cases[i].text);
        rule_selector_free(s);
    }
    rule_selector_free(NULL);
    device_drop(d);
    help_env_fini(&h);
}

Test(selector, what_every_selected_device_has_is_known)
{
    static const struct {
        const char *select;
        const char *pin; /* key and values; NULL: none */
    } cases[] = {
        {"", NULL},
        {"has(site)", NULL},
        {"site!=a", NULL},
        {"site=a", "site a"},
        {"site==a,line!=3", "site a"},
        {"line!=3,site in (a,b)", "site a b"},
        {"type=motor", "type motor"},
        {"type=motor,site=a", "site a"},
        {"site=a,type=motor", "site a"},
        {"type=motor,site in (a,b),name in (x,y),line=3", "name x y"},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char document[256];
        (void)snprintf(document, sizeof(document), "{'name':'r','select':'%s','when':'rpm > 1'}",
                       cases[i].select);
        struct rule *r = help_rule(&h, document);
        struct rule_pin pin = {.count = 7};
        bool pinned = rule_pinned(r, &pin);
        cr_expect_eq(pinned, cases[i].pin != NULL, "%s", cases[i].select);
        char got[128] = "";
        for (uint32_t k = 0; pinned && k < pin.count; k++) {
            size_t used = strlen(got);
            (void)snprintf(got + used, sizeof(got) - used, "%s %s", k == 0 ? pin.key : "",
                           pin.values[k]);
        }
        cr_expect_str_eq(got, cases[i].pin == NULL ? "" : cases[i].pin, "%s: %s", cases[i].select,
                         got);
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(selector, errors_name_the_column)
{
    static const struct {
        const char *text;
        enum err err;
        int column;
    } cases[] = {
        {"site", ERR_SYNTAX, 5},        {"site=", ERR_SYNTAX, 6},
        {"site=a b", ERR_SYNTAX, 8},    {"=a", ERR_SYNTAX, 1},
        {"site=a,", ERR_SYNTAX, 8},     {"site in a", ERR_SYNTAX, 9},
        {"site in (a", ERR_SYNTAX, 11}, {"site in ()", ERR_SYNTAX, 10},
        {"has(", ERR_SYNTAX, 5},        {"has(a", ERR_SYNTAX, 6},
        {"site=\"a", ERR_SYNTAX, 6},    {"site>3", ERR_SYNTAX, 5},
        {"site~a", ERR_SYNTAX, 5},      {"site=*", ERR_SYNTAX, 6},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule_selector *s = NULL;
        struct rule_error e = {.detail = ""};
        cr_expect_eq(parse(cases[i].text, &s, &e), cases[i].err, "%s", cases[i].text);
        cr_expect_eq(e.column, cases[i].column, "%s: column %d (%s)", cases[i].text, e.column,
                     e.detail);
        cr_expect_null(s);
    }
}

Test(selector, bytes_terms_and_values_are_limited)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    for (int i = 0; i < 33; i++) {
        buf_printf(&b, "%sk%d=v", i > 0 ? "," : "", i);
    }
    struct rule_selector *s = NULL;
    struct rule_error e;
    cr_expect_eq(rule_selector_parse(buf_view(&b), &s, &e), ERR_LIMIT);
    buf_clear(&b);
    buf_put_str(&b, "k in (v");
    for (int i = 0; i < 64; i++) {
        buf_put_str(&b, ",v");
    }
    buf_put_str(&b, ")");
    cr_expect_eq(rule_selector_parse(buf_view(&b), &s, &e), ERR_LIMIT);
    buf_clear(&b);
    for (int i = 0; i < 1025; i++) {
        buf_put_u8(&b, ' ');
    }
    cr_expect_eq(rule_selector_parse(buf_view(&b), &s, &e), ERR_LIMIT);
    buf_fini(&b);
}
