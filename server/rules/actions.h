/*
 * actions: what a rule does when it fires, from the document's "actions".
 */
#pragma once

#include <jansson.h>

#include "rules/fields.h"

enum { RULE_ACTIONS_MAX = 16 };

/* `array` may be NULL. The caller frees with rule_actions_free(). */
NODISCARD enum err rule_actions_read(json_t *array, struct rule_error *error,
                                     struct rule_action **ret_actions, uint32_t *ret_count);
void rule_actions_free(struct rule_action *actions, uint32_t count);
