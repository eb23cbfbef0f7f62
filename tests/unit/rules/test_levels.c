#include <criterion/criterion.h>

#include "stream.h"

static const char *const cooler =
    "{'name':'cooler','severities':{'warning':{'when':'x > 42','clear':'x < 40'},"
    "'critical':{'when':'x > 50','for':'20s','clear':'x < 48'}},'for':'10s',"
    "'summary':'{{severity}} {{value}}'}";

static struct help_run *run_of(struct help_env *h, const char *document)
{
    struct rule *r = help_rule(h, document);
    struct engine_rule rule = {.rule_id = 1, .version = 1, .rule = r};
    struct device *d = help_device(NULL, "d");
    struct help_run *run = help_run_new(engine_new(d, &rule, 1, 2 * MIN, CLOCK_NONE));
    device_drop(d);
    rule_drop(r);
    return run;
}

Test(levels, one_alert_becomes_more_and_less_severe)
{
    struct help_env h;
    help_env_init(&h);
    struct help_run *run = run_of(&h, cooler);
    int32_t x = help_metric(&h, "x");
    static const struct {
        int64_t s;
        double v;
        const char *log;
        enum severity severity, worst;
    } steps[] = {
        {100, 45, "pending", SEVERITY_CRITICAL, SEVERITY_CRITICAL},
        {110, 51, "pending pending fired", SEVERITY_WARNING, SEVERITY_WARNING},
        {130, 52, "pending pending fired severity", SEVERITY_CRITICAL, SEVERITY_CRITICAL},
        {140, 47, "pending pending fired severity severity", SEVERITY_WARNING, SEVERITY_CRITICAL},
        {150, 39, "pending pending fired severity severity resolved", SEVERITY_WARNING,
         SEVERITY_CRITICAL},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        cr_assert_eq(help_feed(run, steps[i].s * S, x, steps[i].v), ENGINE_NEW);
        cr_expect_str_eq(run->log, steps[i].log, "step %zu: %s", i, run->log);
        cr_expect_eq(run->alerts[0].severity, steps[i].severity, "step %zu", i);
        cr_expect_eq(run->alerts[0].worst, steps[i].worst, "step %zu", i);
    }
    cr_expect_eq(run->count, 1);
    cr_expect_eq(run->alerts[0].since_us, 100 * S);
    cr_expect_eq(run->alerts[0].fired_us, 110 * S);
    cr_expect_eq(run->alerts[0].resolved_us, 150 * S);
    cr_expect_str_eq(run->summary, "warning 51", "%s", run->summary);
    help_run_free(run);
    help_env_fini(&h);
}

/* Each severity is raised and ends as the rule would that has only this one. */
Test(levels, they_are_the_rules_of_their_own_taken_together, .timeout = 60)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    (void)help_metric(&h, "y");
    struct stream *s = calloc(1, sizeof(*s));
    uint32_t changes = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct help_random random = {.state = seed * 31};
        stream_make(s, &h, &random, 600, 0);
        struct help_run *all = run_of(&h, cooler);
        struct help_run *warning =
            run_of(&h, "{'name':'w','when':'x > 42','clear':'x < 40','for':'10s'}");
        struct help_run *critical =
            run_of(&h, "{'name':'c','when':'x > 50','for':'20s','clear':'x < 48'}");
        for (uint32_t i = 0; i < s->count; i++) {
            (void)help_feed_sample(all, &s->items[i].sample);
            (void)help_feed_sample(warning, &s->items[i].sample);
            (void)help_feed_sample(critical, &s->items[i].sample);
            bool w =
                warning->count > 0 && warning->alerts[warning->count - 1].resolved_us == CLOCK_NONE;
            bool c = critical->count > 0 &&
                     critical->alerts[critical->count - 1].resolved_us == CLOCK_NONE;
            const struct help_alert *a = all->count == 0 ? NULL : &all->alerts[all->count - 1];
            bool open = a != NULL && a->resolved_us == CLOCK_NONE;
            cr_assert_eq(open, w || c, "seed %llu item %u", (unsigned long long)seed, i);
            cr_assert(!open || a->severity == (c ? SEVERITY_CRITICAL : SEVERITY_WARNING));
            changes +=
                open && a->severity_us == s->items[i].sample.ts_us && a->severity_us != a->fired_us;
        }
        cr_assert_eq(all->corrected + all->retracted, 0);
        help_run_free(all);
        help_run_free(warning);
        help_run_free(critical);
    }
    cr_expect_gt(changes, 100, "severities change: %u", changes);
    (void)x;
    free(s);
    help_env_fini(&h);
}

Test(levels, wrong_documents_name_the_field)
{
    static const struct {
        const char *document, *pointer;
        enum err err;
    } cases[] = {
        {"{'name':'r','severities':{}}", "/severities", ERR_TYPE},
        {"{'name':'r','severities':{'warning':{'when':'x > 1'}},'when':'x > 2'}", "/when",
         ERR_SYNTAX},
        {"{'name':'r','severities':{'warning':{'when':'x > 1'}},'severity':'info'}", "/severity",
         ERR_SYNTAX},
        {"{'name':'r','severities':{'warming':{'when':'x > 1'}}}", "/severities/warming",
         ERR_UNKNOWN_NAME},
        {"{'name':'r','severities':{'warning':{'for':'5s'}}}", "/severities/warning/when",
         ERR_SYNTAX},
        {"{'name':'r','severities':{'warning':{'when':'x >'}}}", "/severities/warning/when",
         ERR_SYNTAX},
        {"{'name':'r','severities':{'warning':{'when':'x > 1','for':5}}}",
         "/severities/warning/for", ERR_TYPE},
        {"{'name':'r','severities':{'warning':{'when':'x > 1','summary':''}}}",
         "/severities/warning/summary", ERR_UNKNOWN_NAME},
        {"{'name':'r','severities':{'warning':5}}", "/severities/warning", ERR_TYPE},
    };
    struct help_env h;
    help_env_init(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule *r = NULL;
        struct rule_error error = {.line = 0};
        cr_expect_eq(help_compile(&h, cases[i].document, &r, &error), cases[i].err, "%s: %s",
                     cases[i].document, error.detail);
        cr_expect_str_eq(error.pointer, cases[i].pointer, "%s", cases[i].document);
        cr_expect_null(r);
    }
    help_env_fini(&h);
}
