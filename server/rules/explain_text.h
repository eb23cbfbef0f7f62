/*
 * explain_text: a compiled condition in words, and what each comparison in it says.
 */
#pragma once

#include "base/emit_json.h"
#include "rules/compiled.h"

/* {"text":…,"holds":…,"conditions":[{"condition","holds","left","right"},…]}, of these inputs.
 * null: the program is empty. */
void rule_explain_program(struct emit_json *j, const struct rule_program *p,
                          const struct rule_inputs *inputs, const double *values);
