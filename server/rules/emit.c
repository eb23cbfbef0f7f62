/*
 * emit: a checked expression as a flat program, its names as inputs.
 *
 * The nodes are in postfix order already, so most become a step each. A memory takes the steps of
 * its conditions, which are the last ones, as programs of its own and leaves one that reads it.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "rules/expr.h"

#define FAIL_NODE(x, code, node, ...)                                  \
    rule_error_set((x)->scope->error, (code),                          \
                   (struct rule_place){.pointer = (x)->scope->pointer, \
                                       .line = (node)->line,           \
                                       .column = (node)->column},      \
                   __VA_ARGS__)

struct emitter {
    const struct rule_scope *scope;
    struct intern *metrics;
    struct rule_inputs *in;
    struct rule_step steps[RULE_OPS_MAX];
    uint32_t count;
    uint32_t from[RULE_OPS_MAX]; /* the first step of each value on the stack */
    uint32_t top;
};

static enum err put_step(struct emitter *x, const struct rule_node *n, struct rule_step step)
{
    if (x->count == RULE_OPS_MAX) {
        return FAIL_NODE(x, ERR_LIMIT, n, "the expression has more than %d operations",
                         RULE_OPS_MAX - 1);
    }
    x->steps[x->count++] = step;
    return ERR_OK;
}

static enum err check_counts(struct emitter *x, const struct rule_node *n)
{
    uint32_t ranges = 0;
    uint32_t memories = 0;
    for (uint32_t i = 0; i < x->in->count; i++) {
        ranges += x->in->items[i].kind == RULE_INPUT_RANGE ? 1 : 0;
        memories += x->in->items[i].kind == RULE_INPUT_MEMORY ? 1 : 0;
    }
    if (ranges > RULE_RANGES_MAX) {
        return FAIL_NODE(x, ERR_LIMIT, n, "a rule has at most %d range functions", RULE_RANGES_MAX);
    }
    if (memories > RULE_MEMORIES_MAX) {
        return FAIL_NODE(x, ERR_LIMIT, n, "a rule has at most %d of for_total and then",
                         RULE_MEMORIES_MAX);
    }
    return ERR_OK;
}

static enum err add_input(struct emitter *x, const struct rule_node *n, uint16_t *ret_index)
{
    bool fence = n->ref.kind == RULE_INPUT_INSIDE || n->ref.kind == RULE_INPUT_DISTANCE;
    enum err e = fence ? rule_fence_add(&n->ref, x->scope, x->metrics, x->in, ret_index)
                       : rule_inputs_add(x->in, &n->ref, x->metrics, ret_index);
    if (e == ERR_UNKNOWN_NAME) {
        return FAIL_NODE(x, e, n, "there is no geofence \"%.*s\"", VIEW_ARG(n->ref.name));
    }
    if (e == ERR_LIMIT) {
        return FAIL_NODE(x, e, n, "a rule reads at most %d values", RULE_INPUTS_MAX);
    }
    if (e == ERR_FULL) {
        return FAIL_NODE(x, ERR_LIMIT, n, "the server knows too many metric names to add one");
    }
    if (e != ERR_OK) {
        return rule_error_plain(x->scope->error, e, x->scope->pointer);
    }
    return check_counts(x, n);
}

/* The steps [from, to) as a program. */
static enum err cut_program(struct emitter *x, uint32_t from, uint32_t to,
                            struct rule_program *ret_program)
{
    struct rule_step *steps = calloc(to - from + 1, sizeof(*steps));
    if (steps == NULL) {
        return rule_error_plain(x->scope->error, ERR_NOMEM, x->scope->pointer);
    }
    memcpy(steps, x->steps + from, (to - from) * sizeof(*steps));
    *ret_program = (struct rule_program){.steps = steps, .count = to - from};
    return ERR_OK;
}

static enum err emit_memory(struct emitter *x, const struct rule_node *n)
{
    uint32_t arity = n->arity;
    uint32_t begin = x->from[x->top - arity];
    struct rule_step step = {.op = RULE_OP_INPUT};
    enum err e = add_input(x, n, &step.input);
    for (uint32_t i = 0; i < arity && e == ERR_OK; i++) {
        struct rule_program *to = &x->in->items[step.input].conditions[i];
        uint32_t at = x->top - arity + i;
        if (to->steps == NULL) { /* else the same text stood before and means the same */
            e = cut_program(x, x->from[at], i + 1 < arity ? x->from[at + 1] : x->count, to);
        }
    }
    x->count = begin;
    x->top = x->top - arity + 1;
    if (e == ERR_OK) {
        e = put_step(x, n, step);
    }
    if (e == ERR_OK && n->shown) {
        e = put_step(x, n, (struct rule_step){.op = RULE_OP_MARK});
    }
    if (e != ERR_OK || n->ref.memory != RULE_MEMORY_TOTAL) {
        return e;
    }
    double limit_s = (double)n->ref.window_us / (double)CLOCK_SECOND_US;
    e = put_step(x, n, (struct rule_step){.op = RULE_OP_NUMBER, .number = limit_s});
    return e != ERR_OK ? e : put_step(x, n, (struct rule_step){.op = RULE_OP_GE});
}

static enum err emit_node(struct emitter *x, const struct rule_node *n)
{
    struct rule_step step = {.op = n->op, .number = n->number};
    enum err e = ERR_OK;
    switch ((int)n->op) {
    case RULE_OP_PLUS:
        return ERR_OK;
    case RULE_OP_MEMORY:
        return emit_memory(x, n);
    case RULE_OP_INPUT:
        e = add_input(x, n, &step.input);
        x->from[x->top++] = x->count;
        break;
    case RULE_OP_NUMBER:
        x->from[x->top++] = x->count;
        break;
    case RULE_OP_CALL:
        step.input = n->scalar;
        step.arity = n->arity;
        x->top = x->top - n->arity + 1;
        break;
    case RULE_OP_MARK:
    case RULE_OP_NEG:
        break;
    default: /* of two sides */
        x->top--;
        break;
    }
    return e != ERR_OK ? e : put_step(x, n, step);
}

enum err rule_expr_emit(const struct rule_expr *x, const struct rule_scope *scope,
                        struct intern *metrics, struct rule_inputs *in,
                        struct rule_program *ret_program)
{
    struct emitter emitter = {.scope = scope, .metrics = metrics, .in = in};
    for (uint32_t i = 0; i < x->count; i++) {
        enum err e = emit_node(&emitter, &x->nodes[i]);
        if (e != ERR_OK) {
            return e;
        }
    }
    return cut_program(&emitter, 0, emitter.count, ret_program);
}
