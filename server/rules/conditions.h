/*
 * conditions: what raises an alert and what ends it, for each severity of a rule.
 *
 *     "when": "x > 42", "for": "5m", "clear": "x < 40", "clear_for": "1m", "severity": "warning"
 * or
 *     "severities": {"warning": {"when": "x > 42", "clear": "x < 40"}, "critical": {"when": "x >
 * 50"}}, "for": "5m"
 *
 * `for` and `clear_for` beside `severities` are those of every severity that has none of its own.
 */
#pragma once

#include "rules/compiled.h"
#include "rules/expr.h"
#include "rules/fields.h"

struct rule_conditions {
    struct rule_fields fields; /* of the document */
    struct rule_scope scope;
    struct intern *metrics;
    struct rule_expr *expr; /* room for one, as it is large */
};

/* Fills the levels, the inputs and their count. */
NODISCARD enum err rule_conditions_read(struct rule_conditions *c, struct rule *r);
