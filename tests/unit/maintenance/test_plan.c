#include "help.h"

Test(plan, what_it_counts_is_its_key)
{
    static const struct {
        const char *trigger, *key;
    } cases[] = {
        {"{'run_hours':{'metric':'rpm','every':500}}", "run_hours rpm != 0"},
        {"{'run_hours':{'metric':'rpm','threshold':100,'every':500}}", "run_hours rpm > 100"},
        {"{'run_hours':{'metric':'rpm','when':'>=100','every':500}}", "run_hours rpm >= 100"},
        {"{'cycles':{'metric':'state','when':'== running','every':9}}", "cycles state == running"},
        {"{'cycles':{'metric':'on','when':'== true','every':9}}", "cycles on == 1"},
        {"{'energy':{'metric':'kwh','every':9}}", "energy kwh"},
        {"{'counter':{'metric':'m3','every':9,'modulus':100000}}", "counter m3 modulo 100000"},
        {"{'calendar':{'rrule':'FREQ=YEARLY'}}", "calendar FREQ=YEARLY"},
        {"{'condition':{'rule':'hot'}}", "condition hot"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char fields[300];
        (void)snprintf(fields, sizeof(fields), "'triggers':[%s]", cases[i].trigger);
        struct maintenance_plan *p = help_plan(fields);
        cr_expect_str_eq(p->triggers[0].key, cases[i].key);
        maintenance_plan_free(p);
    }
    maintenance_plan_free(NULL);
}

Test(plan, what_is_wrong_is_named)
{
#define HEAD   "'name':'p','title':'t','select':'type=pump'"
#define ONE(t) "{" HEAD ",'triggers':[" t "]}"
    static const struct {
        const char *document, *pointer;
        enum err err;
    } cases[] = {
        {"[]", "", ERR_SYNTAX},
        {"{'name':'p'", "", ERR_SYNTAX},
        {"{" HEAD "}", "/triggers", ERR_TYPE},
        {"{" HEAD ",'triggers':[]}", "/triggers", ERR_TYPE},
        {"{" HEAD ",'trigers':[]}", "/trigers", ERR_UNKNOWN_NAME},
        {"{'name':'p q','title':'t','select':'a=b','triggers':[]}", "/name", ERR_SYNTAX},
        {"{'name':'p','select':'a=b','triggers':[]}", "/title", ERR_SYNTAX},
        {"{'name':'p','title':'t','select':'a=','triggers':[]}", "/select", ERR_SYNTAX},
        {"{" HEAD ",'due_soon':'soon','triggers':[]}", "/due_soon", ERR_TYPE},
        {"{" HEAD ",'max_gap':'0s','triggers':[]}", "/max_gap", ERR_TYPE},
        {"{" HEAD ",'from':'monday','triggers':[]}", "/from", ERR_TYPE},
        {ONE("{}"), "/triggers/0", ERR_SYNTAX},
        {ONE("{'hours':{}}"), "/triggers/0", ERR_SYNTAX},
        {ONE("{'run_hours':{'metric':'x'}}"), "/triggers/0/run_hours/every", ERR_RANGE},
        {ONE("{'run_hours':{'metric':'x','every':0}}"), "/triggers/0/run_hours/every", ERR_RANGE},
        {ONE("{'run_hours':{'every':1}}"), "/triggers/0/run_hours/metric", ERR_SYNTAX},
        {ONE("{'run_hours':{'metric':'x','every':1,'when':'100'}}"), "/triggers/0/run_hours/when",
         ERR_SYNTAX},
        {ONE("{'run_hours':{'metric':'x','every':1,'when':'> on'}}"), "/triggers/0/run_hours/when",
         ERR_SYNTAX},
        {ONE("{'run_hours':{'metric':'x','every':1,'when':'> 1','threshold':1}}"),
         "/triggers/0/run_hours/threshold", ERR_TYPE},
        {ONE("{'run_hours':{'metric':'x','every':1,'modulus':5}}"), "/triggers/0/run_hours/modulus",
         ERR_UNKNOWN_NAME},
        {ONE("{'energy':{'metric':'x','every':1,'modulus':-5}}"), "/triggers/0/energy/modulus",
         ERR_RANGE},
        {ONE("{'calendar':{'rrule':'monthly'}}"), "/triggers/0/calendar/rrule", ERR_SYNTAX},
        {ONE("{'calendar':{'rrule':'FREQ=SECONDLY'}}"), "/triggers/0/calendar/rrule", ERR_SYNTAX},
        {ONE("{'calendar':{'rrule':'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30'}}"),
         "/triggers/0/calendar/rrule", ERR_NOT_FOUND},
        {ONE("{'calendar':{'rrule':'FREQ=DAILY','timezone':'Europe/Bonn'}}"),
         "/triggers/0/calendar/timezone", ERR_UNKNOWN_NAME},
        {ONE("{'calendar':{'rrule':'FREQ=DAILY','start':'2026-02-30'}}"),
         "/triggers/0/calendar/start", ERR_TYPE},
        {ONE("{'condition':{}}"), "/triggers/0/condition/rule", ERR_SYNTAX},
        {ONE("{'condition':{'rule':'a'}},{'condition':{'rule':'a'}}"), "/triggers/1/condition",
         ERR_EXISTS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct maintenance_plan *p = NULL;
        struct rule_error why = {.detail = ""};
        cr_expect_eq(help_read(cases[i].document, &p, &why), cases[i].err, "%s: %s",
                     cases[i].document, why.detail);
        cr_expect_str_eq(why.pointer, cases[i].pointer, "%s: %s", cases[i].document, why.pointer);
        cr_expect_null(p);
        cr_expect_neq(why.detail[0], '\0');
        maintenance_plan_free(p);
    }
}
