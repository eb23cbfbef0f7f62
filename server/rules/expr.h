/*
 * expr: an expression between its text and its program: parse -> check -> emit.
 *
 * The parser leaves the nodes in postfix order, so that checking and emitting are one walk each and
 * nothing recurses. Names are views into the text, which must stay until the program is emitted.
 */
#pragma once

#include "rules/lex.h"
#include "rules/program.h"

enum { RULE_EXPR_MAX_BYTES = 4096, RULE_NODES_MAX = 2 * RULE_OPS_MAX, RULE_NESTING_MAX = 64 };

#define RULE_WINDOW_MAX_US (31LL * 24 * 3600 * 1000000)
#define RULE_LIMIT_MAX_US  (366LL * 24 * 3600 * 1000000)

enum rule_type { RULE_TYPE_NUMBER, RULE_TYPE_CONDITION, RULE_TYPE_TEXT };

struct rule_node {
    enum rule_op op;
    enum rule_type type; /* of a RULE_OP_NUMBER; set by the checker for the rest */
    int line;
    int column;
    const char *words; /* of an operator or function, for messages */
    double number;
    uint16_t scalar; /* of a RULE_OP_CALL: enum rule_scalar */
    uint16_t arity;  /* of a RULE_OP_CALL or RULE_OP_MEMORY */
    bool shown;      /* of a RULE_OP_MEMORY: its value is the alert's */
    struct rule_ref ref;
};

struct rule_expr {
    struct rule_node nodes[RULE_NODES_MAX];
    uint32_t count;
    uint32_t op_count; /* without marks */
};

/* What the checker knows beside the text. */
struct rule_scope {
    const char *pointer;
    const struct device_type *type; /* pinned by the selector; NULL: unknown */
    struct rule_error *error;
    const struct rule_env *env;
};

/* ERR_SYNTAX, ERR_UNSUPPORTED, ERR_UNKNOWN_NAME, ERR_LIMIT, ERR_RANGE. */
NODISCARD enum err rule_expr_parse(struct view text, const struct rule_scope *scope,
                                   struct rule_expr *ret_expr);
/* ERR_TYPE, ERR_UNKNOWN_NAME, ERR_RANGE. Keeps only the mark of the first comparison of numbers. */
NODISCARD enum err rule_expr_check(struct rule_expr *x, const struct rule_scope *scope);
/* Is the metric known to the pinned type? Sets the error otherwise. */
NODISCARD enum err rule_scope_metric(const struct rule_scope *scope, struct rule_place at,
                                     struct view name);
/* geo.c: adds a fence as an input, and the position that it asks about. ERR_UNKNOWN_NAME,
 * ERR_LIMIT, ERR_FULL, ERR_NOMEM. */
NODISCARD enum err rule_fence_add(const struct rule_ref *ref, const struct rule_scope *scope,
                                  struct intern *metrics, struct rule_inputs *in,
                                  uint16_t *ret_index);
/* Adds the expression's inputs to `in` and its names to `metrics`. */
NODISCARD enum err rule_expr_emit(const struct rule_expr *x, const struct rule_scope *scope,
                                  struct intern *metrics, struct rule_inputs *in,
                                  struct rule_program *ret_program);
