/*
 * program: an expression compiled to a flat list of operations over a stack of doubles.
 *
 * A value is a double; NaN means absent. Conditions are 1 and 0 and never absent. Arithmetic with
 * an absent value is absent, a comparison with one is false. Every operation is one IEEE double
 * operation, in the order written; nothing is folded or reordered. Inputs (metric values, windows,
 * baselines, attributes) are numbered once per rule and looked up by whoever runs the program.
 *
 * Ownership: rule_program_fini() and rule_inputs_fini() free what init and add made.
 * Threads:   a compiled program never changes; any thread may run it.
 * Limits:    RULE_OPS_MAX operations, so a run ends after at most as many steps.
 */
#pragma once

#include <stdint.h>

#include "base/intern.h"
#include "rules/error.h"
#include "rules/functions.h"

enum { RULE_OPS_MAX = 256, RULE_INPUTS_MAX = 256, RULE_RANGES_MAX = 16 };

enum rule_input_kind {
    RULE_INPUT_METRIC, /* newest value at or before t, at most RULE_LOOKBACK_US old */
    RULE_INPUT_RANGE,  /* function over the window (t - window, t] */
    RULE_INPUT_BASELINE,
    RULE_INPUT_ATTR,
};

#define RULE_LOOKBACK_US (5LL * 60 * 1000000)

/* What an expression names. `name` is borrowed from the expression. */
struct rule_ref {
    enum rule_input_kind kind;
    enum rule_range fn;
    struct view name;
    int64_t window_us;
};

struct rule_input {
    enum rule_input_kind kind;
    enum rule_range fn;
    int32_t metric; /* interned; 0 for an attribute */
    int64_t window_us;
    char *name;
    char *label; /* as one would write it: avg_over_time(temperature[5m]) */
};

struct rule_inputs {
    struct rule_input *items;
    uint32_t count;
};

void rule_inputs_fini(struct rule_inputs *in);
/* Finds or adds. ERR_LIMIT, ERR_NOMEM. */
NODISCARD enum err rule_inputs_add(struct rule_inputs *in, const struct rule_ref *ref,
                                   struct intern *metrics, uint16_t *ret_index);

enum rule_op {
    RULE_OP_NUMBER, /* pushes `number`; true and false are 1 and 0 */
    RULE_OP_INPUT,  /* pushes input `input` */
    RULE_OP_MARK,   /* keeps the top as the value an alert shows */
    RULE_OP_PLUS,   /* the sign: nothing to do; never emitted */
    RULE_OP_NEG,
    RULE_OP_ADD,
    RULE_OP_SUB,
    RULE_OP_MUL,
    RULE_OP_DIV,
    RULE_OP_MOD,
    RULE_OP_POW,
    RULE_OP_EQ,
    RULE_OP_NE,
    RULE_OP_LT,
    RULE_OP_LE,
    RULE_OP_GT,
    RULE_OP_GE,
    RULE_OP_AND,
    RULE_OP_OR,
    RULE_OP_UNLESS,
    RULE_OP_ABS,
    RULE_OP_MIN,
    RULE_OP_MAX,
};

struct rule_step {
    enum rule_op op;
    uint16_t input;
    double number;
};

struct rule_program {
    struct rule_step *steps;
    uint32_t count;
};

void rule_program_fini(struct rule_program *p);
/* The value left on the stack. *ret_mark: the marked value, NaN when there is none. */
double rule_program_run(const struct rule_program *p, const double *inputs, double *ret_mark);
