/*
 * program: an expression compiled to a flat list of operations over a stack of doubles.
 *
 * A value is a double; NaN means absent. Conditions are 1 and 0 and never absent. Arithmetic with
 * an absent value is absent, a comparison with one is false. Every operation is one IEEE double
 * operation, in the order written; nothing is folded or reordered. Inputs (metric values, windows,
 * baselines, attributes, clocks, memories) are numbered once per rule and looked up by whoever runs
 * the program; a memory's conditions read only inputs with a smaller number.
 *
 * Ownership: rule_program_fini() and rule_inputs_fini() free what init and add made.
 * Threads:   a compiled program never changes; any thread may run it.
 * Limits:    RULE_OPS_MAX operations, so a run ends after at most as many steps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/intern.h"
#include "rules/error.h"
#include "rules/functions.h"

enum { RULE_OPS_MAX = 256, RULE_INPUTS_MAX = 256, RULE_RANGES_MAX = 16, RULE_MEMORIES_MAX = 16 };

enum rule_input_kind {
    RULE_INPUT_METRIC, /* newest value at or before t, at most RULE_LOOKBACK_US old */
    RULE_INPUT_TEXT,   /* is the metric's newest text `text`? 1 or 0; absent as above */
    RULE_INPUT_RANGE,  /* function over the window (t - window, t] */
    RULE_INPUT_BASELINE,
    RULE_INPUT_TIMESTAMP, /* time of the metric's newest value, in seconds */
    RULE_INPUT_ATTR,
    RULE_INPUT_ATTR_TEXT, /* is the attribute `text`? */
    RULE_INPUT_CLOCK,     /* of t in the rule's time zone */
    RULE_INPUT_MEMORY,    /* what conditions were before: see memory.c */
    RULE_INPUT_INSIDE,    /* 1 or 0: is the newest position in the fence? */
    RULE_INPUT_DISTANCE,  /* metres from it to the fence */
};

#define RULE_LOOKBACK_US (5LL * 60 * 1000000)

/* The metrics that give a device's position. */
#define RULE_LATITUDE  "latitude"
#define RULE_LONGITUDE "longitude"

struct fence;

/* What an expression names. `name` and `text` are borrowed from the expression. */
struct rule_ref {
    enum rule_input_kind kind;
    enum rule_range fn; /* of a range */
    enum rule_clock clock;
    enum rule_memory memory;
    struct view name; /* of a memory: as it is written, with all its values */
    struct view text;
    int64_t window_us;   /* of a range; of a memory: its limit */
    double param;        /* beside a window; of an attribute: its default, NaN: none */
    struct fence *fence; /* borrowed; set by rule_fence_add() */
};

struct rule_program {
    struct rule_step *steps;
    uint32_t count;
};

struct rule_input {
    enum rule_input_kind kind;
    enum rule_range fn;
    enum rule_clock clock;
    enum rule_memory memory;
    int32_t metric; /* interned; 0: it reads none itself */
    int64_t window_us;
    double param;
    char *name;
    char *text;                        /* NULL: none */
    char *label;                       /* as one would write it: avg_over_time(temperature[5m]) */
    struct rule_program conditions[2]; /* of a memory; they read inputs before this one */
    struct fence *fence;               /* held; NULL: none */
    int32_t latitude, longitude;       /* of a fence: the metrics that give the position */
};

struct rule_inputs {
    struct rule_input *items;
    uint32_t count;
};

void rule_inputs_fini(struct rule_inputs *in);
/* Finds or adds. ERR_LIMIT, ERR_NOMEM. */
NODISCARD enum err rule_inputs_add(struct rule_inputs *in, const struct rule_ref *ref,
                                   struct intern *metrics, uint16_t *ret_index);
/* Does one of the first `count` change with time alone, without a sample? */
bool rule_inputs_timed(const struct rule_inputs *in, uint32_t count);

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
    RULE_OP_CALL,   /* function `input` (enum rule_scalar) of `arity` numbers */
    RULE_OP_TEXT,   /* a text to compare with; never emitted */
    RULE_OP_MEMORY, /* takes `arity` conditions into an input; never emitted */
};

struct rule_step {
    enum rule_op op;
    uint16_t input;
    uint16_t arity;
    double number;
};

void rule_program_fini(struct rule_program *p);
/* The value left on the stack. *ret_mark: the marked value, NaN when there is none. */
double rule_program_run(const struct rule_program *p, const double *inputs, double *ret_mark);
