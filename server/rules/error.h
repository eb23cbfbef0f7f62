/*
 * error: fills a struct rule_error; every refusal of a rule document goes through here.
 */
#pragma once

#include "rules/rule.h"

/* Where in the document: the JSON pointer, and line and column when it is inside an expression. */
struct rule_place {
    const char *pointer;
    int line;
    int column;
};

/* Returns `code`, so that a caller can write `return rule_error_set(...)`. */
__attribute__((format(printf, 4, 5))) NODISCARD enum err
rule_error_set(struct rule_error *e, enum err code, struct rule_place at, const char *format, ...);
/* For a failure without words of its own: out of memory, over a limit of a helper. */
NODISCARD enum err rule_error_plain(struct rule_error *e, enum err code, const char *pointer);
