#include "rules/rule.h"

#include <stdlib.h>

#include "base/check.h"
#include "rules/actions.h"
#include "rules/compiled.h"
#include "rules/selector.h"

void rule_free(struct rule *r)
{
    if (r == NULL) {
        return;
    }
    free(r->name);
    free(r->description);
    rule_selector_free(r->selector);
    rule_inputs_fini(&r->inputs);
    for (uint32_t i = 0; i < r->level_count; i++) {
        rule_program_fini(&r->levels[i].when);
        rule_program_fini(&r->levels[i].clear);
    }
    rule_calendar_fini(&r->calendar);
    rule_summary_fini(&r->summary);
    rule_actions_free(r->actions, r->action_count);
    free(r);
}

void rule_hold(struct rule *r)
{
    CHECK(atomic_fetch_add_explicit(&r->holds, 1, memory_order_relaxed) > 0);
}

void rule_drop(struct rule *r)
{
    if (r != NULL && atomic_fetch_sub_explicit(&r->holds, 1, memory_order_acq_rel) == 1) {
        rule_free(r);
    }
}

const char *rule_name(const struct rule *r)
{
    return r->name;
}

enum rule_mode rule_mode(const struct rule *r)
{
    return r->mode;
}

enum severity rule_severity(const struct rule *r)
{
    return r->levels[0].severity;
}

int64_t rule_lateness_us(const struct rule *r)
{
    return r->lateness_us;
}

int64_t rule_correct_us(const struct rule *r)
{
    return r->correct_us > r->lateness_us ? r->correct_us : r->lateness_us;
}

bool rule_selects(const struct rule *r, const struct device *d)
{
    return rule_selector_matches(r->selector, d);
}

bool rule_pinned(const struct rule *r, struct rule_pin *ret_pin)
{
    return rule_selector_pinned(r->selector, ret_pin);
}

const struct rule_action *rule_actions(const struct rule *r, uint32_t *ret_count)
{
    *ret_count = r->action_count;
    return r->actions;
}
