#include <criterion/criterion.h>

#include "help.h"
#include "rules/compiled.h"

Test(document, the_readme_example_compiles_with_every_field)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r = help_rule(
        &h,
        "{'name':'bearing-overheat','description':'hot','select':'type=motor,site=plant-1',"
        "'when':'avg_over_time(temperature[5m]) > 80 and rpm > 100','for':'2m',"
        "'clear':'temperature < 75','clear_for':'1m30s','max_gap':'10m','lateness':'30s',"
        "'late':'ignore','severity':'critical','summary':'{{device}} at {{temperature}} \xC2\xB0"
        "C','mode':'active','actions':[{'command':{'to':'self','method':'stop','params':{'a':[1]},"
        "'expires_in':'5m'}},{'notify':'ops'},{'work_order':{'title':'Inspect bearing'}}]}");
    cr_expect_str_eq(rule_name(r), "bearing-overheat");
    cr_expect_eq(rule_mode(r), RULE_ACTIVE);
    cr_expect_eq(rule_severity(r), SEVERITY_CRITICAL);
    cr_expect_eq(rule_lateness_us(r), 30 * S);
    cr_expect_eq(r->levels[0].for_us, 2 * MIN);
    cr_expect_eq(r->levels[0].clear_for_us, 90 * S);
    cr_expect_eq(r->max_gap_us, 10 * MIN);
    uint32_t count = 0;
    const struct rule_action *a = rule_actions(r, &count);
    cr_assert_eq(count, 3);
    cr_expect_eq(a[0].kind, RULE_ACTION_COMMAND);
    cr_expect_eq(a[0].target, RULE_TARGET_SELF);
    cr_expect_str_eq(a[0].method, "stop");
    cr_expect_str_eq(a[0].params, "{\"a\":[1]}");
    cr_expect_eq(a[0].expires_us, 5 * MIN);
    cr_expect_eq(a[1].kind, RULE_ACTION_NOTIFY);
    cr_expect_str_eq(a[1].text, "ops");
    cr_expect_eq(a[2].kind, RULE_ACTION_WORK_ORDER);
    cr_expect_str_eq(a[2].text, "Inspect bearing");
    rule_hold(r);
    rule_drop(r);
    rule_drop(r);
    rule_drop(NULL);
    help_env_fini(&h);
}

Test(document, what_is_left_out_has_a_default)
{
    struct help_env h;
    help_env_init(&h);
    struct rule *r =
        help_rule(&h, "{'name':'r','when':'x > 1','actions':[{'command':{'method':'stop'}}]}");
    cr_expect_eq(rule_mode(r), RULE_ACTIVE);
    cr_expect_eq(rule_severity(r), SEVERITY_WARNING);
    cr_expect_eq(rule_lateness_us(r), 2 * MIN, "from the environment");
    cr_expect_eq(r->levels[0].for_us + r->levels[0].clear_for_us + r->max_gap_us, 0);
    uint32_t count = 0;
    const struct rule_action *a = rule_actions(r, &count);
    cr_assert_eq(count, 1);
    cr_expect_eq(a[0].target, RULE_TARGET_SELF);
    cr_expect_str_eq(a[0].params, "{}");
    cr_expect_eq(a[0].expires_us, CLOCK_HOUR_US);
    struct device *d = help_device(NULL, "any");
    cr_expect(rule_selects(r, d));
    device_drop(d);
    rule_drop(r);
    help_env_fini(&h);
}

Test(document, a_command_goes_to_self_gateway_a_device_or_a_selection)
{
    static const struct {
        const char *to;
        enum rule_target target;
        const char *device;
    } cases[] = {
        {"'self'", RULE_TARGET_SELF, NULL},
        {"'gateway'", RULE_TARGET_GATEWAY, NULL},
        {"'device:pump-1'", RULE_TARGET_DEVICE, "pump-1"},
        {"'device:self'", RULE_TARGET_DEVICE, "self"},
        {"'pump-1'", RULE_TARGET_DEVICE, "pump-1"},
        {"{'select':'type=pump'}", RULE_TARGET_SELECT, NULL},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char document[256];
        (void)snprintf(document, sizeof(document),
                       "{'name':'r','when':'x > 1','actions':[{'command':{'to':%s,'method':'m'}}]}",
                       cases[i].to);
        struct rule *r = help_rule(&h, document);
        uint32_t count = 0;
        const struct rule_action *a = rule_actions(r, &count);
        cr_expect_eq(a->target, cases[i].target, "%s", cases[i].to);
        cr_expect_eq(a->selector != NULL, cases[i].target == RULE_TARGET_SELECT);
        if (cases[i].device != NULL) {
            cr_expect_str_eq(a->device, cases[i].device);
        }
        rule_drop(r);
    }
    help_env_fini(&h);
}

struct refusal {
    const char *fields; /* beside the name */
    enum err err;
    const char *pointer;
    const char *detail;
};

static const struct refusal refusals[] = {
    {"", ERR_SYNTAX, "/when", "expected a condition"},
    {",'when':5", ERR_TYPE, "/when", "expected a text"},
    {",'when':'attr(\\\"limit\\\") > 1'", ERR_TYPE, "/when", "reads no metric"},
    {",'when':'x > 1','clear':'x'", ERR_TYPE, "/clear", "condition"},
    {",'when':'x > 1','clear':'x >'", ERR_SYNTAX, "/clear", "expected a value"},
    {",'when':'x > 1','whne':1", ERR_UNKNOWN_NAME, "/whne", "did you mean \"when\"?"},
    {",'when':'x > 1','a/b~c':1", ERR_UNKNOWN_NAME, "/a~1b~0c", "unknown field"},
    {",'when':'x > 1','cooldown':5", ERR_TYPE, "/cooldown", "\"2m\""},
    {",'when':'x > 1','timezone':'Mars/Olympus'", ERR_UNKNOWN_NAME, "/timezone", "Europe/Vienna"},
    {",'when':'x > 1','active':{}", ERR_TYPE, "/active", "array of windows"},
    {",'when':'x > 1','active':[]", ERR_TYPE, "/active", "array of windows"},
    {",'when':'x > 1','active':[{'days':'monday'}]", ERR_SYNTAX, "/active/0/days", "mon-fri"},
    {",'when':'x > 1','active':[{'from':'7:00'}]", ERR_SYNTAX, "/active/0/from", "07:30"},
    {",'when':'x > 1','active':[{},{'to':'24:01'}]", ERR_SYNTAX, "/active/1/to", "07:30"},
    {",'when':'x > 1','active':[{'until':'24:00'}]", ERR_UNKNOWN_NAME, "/active/0/until",
     "unknown"},
    {",'when':'x > 1','correct_within':'1h'", ERR_SYNTAX, "/correct_within", "correct"},
    {",'when':'x > 1','late':'never'", ERR_UNKNOWN_NAME, "/late", "ignore"},
    {",'when':'x > 1','mode':'on'", ERR_UNKNOWN_NAME, "/mode", "active"},
    {",'when':'x > 1','mode':''", ERR_UNKNOWN_NAME, "/mode", "active"},
    {",'when':'x > 1','severity':'bad'", ERR_UNKNOWN_NAME, "/severity", "critical, major"},
    {",'when':'x > 1','severity':1", ERR_TYPE, "/severity", "expected a text"},
    {",'when':'x > 1','for':120", ERR_TYPE, "/for", "\"2m\""},
    {",'when':'x > 1','for':'2'", ERR_SYNTAX, "/for", "\"2m\""},
    {",'when':'x > 1','for':'-2m'", ERR_SYNTAX, "/for", "\"2m\""},
    {",'when':'x > 1','for':'367d'", ERR_RANGE, "/for", "at most 366d"},
    {",'when':'x > 1','clear_for':'367d'", ERR_RANGE, "/clear_for", "at most 366d"},
    {",'when':'x > 1','max_gap':'0s'", ERR_RANGE, "/max_gap", "longer than 0"},
    {",'when':'x > 1','lateness':'32d'", ERR_RANGE, "/lateness", "at most 31d"},
    {",'when':'x > 1','select':'site='", ERR_SYNTAX, "/select", "expected a value"},
    {",'when':'x > 1','select':'site'", ERR_SYNTAX, "/select", "expected =, != or in"},
    {",'when':'x > 1','summary':'a {{b'", ERR_SYNTAX, "/summary", "has no }}"},
    {",'when':'x > 1','summary':'{{}}'", ERR_UNKNOWN_NAME, "/summary", "unknown placeholder"},
    {",'when':'x > 1','summary':'{{label.}}'", ERR_SYNTAX, "/summary", "after label."},
    {",'when':'x > 1','summary':'{{a\\\\b}}'", ERR_UNKNOWN_NAME, "/summary", "placeholder"},
    {",'select':'type=motor','when':'rpm > 1','summary':'{{temprature}}'", ERR_UNKNOWN_NAME,
     "/summary", "did you mean \"temperature\"?"},
    {",'when':'x > 1','actions':{}", ERR_TYPE, "/actions", "an array"},
    {",'when':'x > 1','actions':[1]", ERR_TYPE, "/actions/0", "an object"},
    {",'when':'x > 1','actions':[{}]", ERR_SYNTAX, "/actions/0", "one of"},
    {",'when':'x > 1','actions':[{'notify':'a'},{'mail':'b'}]", ERR_UNKNOWN_NAME, "/actions/1/mail",
     "unknown field"},
    {",'when':'x > 1','actions':[{'notify':'a','work_order':{'title':'b'}}]", ERR_SYNTAX,
     "/actions/0", "one of"},
    {",'when':'x > 1','actions':[{'notify':'two words'}]", ERR_SYNTAX, "/actions/0/notify",
     "channel"},
    {",'when':'x > 1','actions':[{'notify':5}]", ERR_TYPE, "/actions/0/notify", "a text"},
    {",'when':'x > 1','actions':[{'work_order':'x'}]", ERR_TYPE, "/actions/0/work_order",
     "an object"},
    {",'when':'x > 1','actions':[{'work_order':{}}]", ERR_SYNTAX, "/actions/0/work_order/title",
     "not empty"},
    {",'when':'x > 1','actions':[{'work_order':{'title':'a','due':1}}]", ERR_UNKNOWN_NAME,
     "/actions/0/work_order/due", "unknown field"},
    {",'when':'x > 1','actions':[{'command':{'to':'self'}}]", ERR_SYNTAX,
     "/actions/0/command/method", "not empty"},
    {",'when':'x > 1','actions':[{'command':{'method':'m','metod':1}}]", ERR_UNKNOWN_NAME,
     "/actions/0/command/metod", "did you mean \"method\"?"},
    {",'when':'x > 1','actions':[{'command':{'method':'m','to':'a b'}}]", ERR_SYNTAX,
     "/actions/0/command/to", "expected \"self\""},
    {",'when':'x > 1','actions':[{'command':{'method':'m','to':5}}]", ERR_TYPE,
     "/actions/0/command/to", "a text"},
    {",'when':'x > 1','actions':[{'command':{'method':'m','to':{'select':''}}}]", ERR_SYNTAX,
     "/actions/0/command/to/select", "a selector"},
    {",'when':'x > 1','actions':[{'command':{'method':'m','to':{'select':'a='}}}]", ERR_SYNTAX,
     "/actions/0/command/to/select", "expected a value"},
    {",'when':'x > 1','actions':[{'command':{'method':'m','expires_in':'0s'}}]", ERR_RANGE,
     "/actions/0/command/expires_in", "longer than 0"},
};

Test(document, errors_name_the_field_by_its_pointer)
{
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *c = &refusals[i];
        char document[512];
        (void)snprintf(document, sizeof(document), "{'name':'r'%s}", c->fields);
        struct rule *r = NULL;
        struct rule_error e = {.detail = ""};
        enum err err = help_compile(&h, document, &r, &e);
        cr_expect_eq(err, c->err, "%s: %s (%s)", c->fields, err_words(err), e.detail);
        cr_expect_str_eq(e.pointer, c->pointer, "%s", c->fields);
        cr_expect(strstr(e.detail, c->detail) != NULL, "%s: %s", c->fields, e.detail);
        rule_drop(r);
    }
    help_env_fini(&h);
}

Test(document, what_is_no_object_with_a_name_is_refused)
{
    static const struct {
        const char *json;
        enum err err;
        const char *pointer;
    } cases[] = {
        {"", ERR_SYNTAX, ""},
        {"{", ERR_SYNTAX, ""},
        {"[]", ERR_TYPE, ""},
        {"{'name':'r','when':'x > 1'} x", ERR_SYNTAX, ""},
        {"{'name':'r','name':'r','when':'x > 1'}", ERR_SYNTAX, ""},
        {"{'when':'x > 1'}", ERR_SYNTAX, "/name"},
        {"{'name':'','when':'x > 1'}", ERR_SYNTAX, "/name"},
        {"{'name':'a b','when':'x > 1'}", ERR_SYNTAX, "/name"},
        {"{'name':'a/b','when':'x > 1'}", ERR_SYNTAX, "/name"},
        {"{'name':5,'when':'x > 1'}", ERR_TYPE, "/name"},
        {"{'name':'\\u0000','when':'x > 1'}", ERR_SYNTAX, ""},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule *r = NULL;
        struct rule_error e;
        cr_expect_eq(help_compile(&h, cases[i].json, &r, &e), cases[i].err, "%s", cases[i].json);
        cr_expect_str_eq(e.pointer, cases[i].pointer, "%s", cases[i].json);
    }
    char *large = malloc(70000);
    memset(large, ' ', 70000);
    struct rule *r = NULL;
    struct rule_error e;
    cr_expect_eq(rule_compile(view_of(large, 70000), &h.env, &r, &e), ERR_LIMIT);
    free(large);
    help_env_fini(&h);
}

Test(document, every_cut_of_a_rule_is_refused_never_a_crash)
{
    static const char document[] =
        "{'name':'r','select':'type=motor,site in (a,b)','when':'avg_over_time(temperature[5m]) > "
        "80','clear':'rpm < 1e3','summary':'{{device}} {{value}}','actions':[{'command':{'to':"
        "{'select':'a=b'},'method':'m'}},{'work_order':{'title':'t'}}]}";
    struct help_env h;
    help_env_init(&h);
    for (size_t cut = 0; cut < sizeof(document) - 1; cut++) {
        char *part = strndup(document, cut);
        struct rule *r = NULL;
        struct rule_error e;
        cr_expect_neq(help_compile(&h, part, &r, &e), ERR_OK, "cut at %zu", cut);
        cr_expect_null(r);
        free(part);
    }
    help_env_fini(&h);
}
