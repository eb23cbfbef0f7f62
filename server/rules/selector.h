/*
 * selector: what the rest of this module needs to know about a compiled selector.
 */
#pragma once

#include "rules/rule.h"

/* The type that every selected device has ("type=motor"), or an empty view. Valid as long as s. */
struct view rule_selector_pinned_type(const struct rule_selector *s);
/* See rule_pinned(). */
NODISCARD bool rule_selector_pinned(const struct rule_selector *s, struct rule_pin *ret_pin);
/* As rule_selector_parse(), for a field of a document. */
NODISCARD enum err rule_selector_parse_at(struct view text, const char *pointer,
                                          struct rule_selector **ret_selector,
                                          struct rule_error *ret_error);
