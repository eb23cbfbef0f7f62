/*
 * check: types and names of a parsed expression, then the flat program.
 *
 * One walk over the postfix nodes with a stack of types. Numbers and conditions never mix: a metric
 * is a number (a boolean reading counts as 0 or 1), a comparison is a condition.
 */
#include "base/check.h"

#include <stdlib.h>

#include "rules/expr.h"

struct checker {
    const struct rule_scope *scope;
    enum rule_type types[RULE_OPS_MAX];
    uint32_t top;
    bool marked;
};

#define FAIL_NODE(scope, code, node, ...)                           \
    rule_error_set((scope)->error, (code),                          \
                   (struct rule_place){.pointer = (scope)->pointer, \
                                       .line = (node)->line,        \
                                       .column = (node)->column},   \
                   __VA_ARGS__)

static const char *suggest_metric(const struct device_type *type, struct view name)
{
    const char *best = NULL;
    size_t best_distance = name.len / 3 + 1;
    for (uint32_t i = 0; i < type->metric_count; i++) {
        size_t d = rule_distance(name, view_str(type->metrics[i].name));
        if (d <= best_distance && (best == NULL || d < best_distance)) {
            best = type->metrics[i].name;
            best_distance = d;
        }
    }
    return best;
}

static const struct metric_spec *find_metric(const struct device_type *type, struct view name)
{
    for (uint32_t i = 0; i < type->metric_count; i++) {
        if (view_eq_str(name, type->metrics[i].name)) {
            return &type->metrics[i];
        }
    }
    return NULL;
}

enum err rule_scope_metric(const struct rule_scope *scope, struct rule_place at, struct view name)
{
    const struct device_type *type = scope->type;
    if (type == NULL || type->any_metric || type->metric_count == 0 ||
        find_metric(type, name) != NULL) {
        return ERR_OK;
    }
    int len = (int)(name.len > 64 ? 64 : name.len);
    const char *like = suggest_metric(type, name);
    if (like != NULL) {
        return rule_error_set(scope->error, ERR_UNKNOWN_NAME, at,
                              "type \"%.40s\" has no metric \"%.*s\"; did you mean \"%.64s\"?",
                              type->name, len, (const char *)name.data, like);
    }
    return rule_error_set(scope->error, ERR_UNKNOWN_NAME, at,
                          "type \"%.40s\" has no metric \"%.*s\"; it declares %u, first \"%.40s\"",
                          type->name, len, (const char *)name.data, type->metric_count,
                          type->metrics[0].name);
}

/* A declared metric says how many readings make its baseline; only undeclared ones take the
 * default. */
static enum err check_baseline(const struct rule_scope *scope, const struct rule_node *n)
{
    const struct metric_spec *spec =
        scope->type == NULL ? NULL : find_metric(scope->type, n->ref.name);
    if (spec == NULL || spec->baseline_samples > 0) {
        return ERR_OK;
    }
    return FAIL_NODE(scope, ERR_TYPE, n,
                     "metric \"%.64s\" of type \"%.40s\" has no baseline: set "
                     "\"baseline_samples\" in the type (300, say)",
                     spec->name, scope->type->name);
}

static enum err check_input(struct checker *c, struct rule_node *n)
{
    n->type = n->ref.kind == RULE_INPUT_RANGE && n->ref.fn == RULE_RANGE_PRESENT
                  ? RULE_TYPE_CONDITION
                  : RULE_TYPE_NUMBER;
    c->types[c->top++] = n->type;
    if (n->ref.kind == RULE_INPUT_ATTR) {
        return ERR_OK;
    }
    struct rule_place at = {.pointer = c->scope->pointer, .line = n->line, .column = n->column};
    enum err e = rule_scope_metric(c->scope, at, n->ref.name);
    if (e == ERR_OK && n->ref.kind == RULE_INPUT_BASELINE) {
        e = check_baseline(c->scope, n);
    }
    return e;
}

/* Both sides, or the one side of a sign or abs, must be of type `want`. */
static enum err check_sides(struct checker *c, const struct rule_node *n, uint32_t sides,
                            enum rule_type want)
{
    static const char *const side_words[] = {"left", "right"};
    for (uint32_t i = 0; i < sides; i++) {
        if (c->types[c->top - sides + i] == want) {
            continue;
        }
        const char *side = sides == 1 ? "inner" : side_words[i];
        if (want == RULE_TYPE_NUMBER) {
            return FAIL_NODE(c->scope, ERR_TYPE, n,
                             "%s takes numbers, but its %s side is a condition", n->words, side);
        }
        return FAIL_NODE(c->scope, ERR_TYPE, n,
                         "%s takes conditions, but its %s side is a number; compare it, as in "
                         "x > 0",
                         n->words, side);
    }
    return ERR_OK;
}

/* == and != also compare two conditions; no comparison takes one of each. */
static enum err check_compare(struct checker *c, const struct rule_node *n)
{
    enum rule_type left = c->types[c->top - 2];
    enum rule_type right = c->types[c->top - 1];
    bool equality = n->op == RULE_OP_EQ || n->op == RULE_OP_NE;
    if (left == right && (left == RULE_TYPE_NUMBER || equality)) {
        return ERR_OK;
    }
    if (left != right) {
        return FAIL_NODE(c->scope, ERR_TYPE, n,
                         "%s compares a condition (the %s side) with a number; a true/false metric "
                         "is 1 or 0",
                         n->words, left == RULE_TYPE_CONDITION ? "left" : "right");
    }
    return FAIL_NODE(c->scope, ERR_TYPE, n, "%s takes numbers, but both sides are conditions",
                     n->words);
}

static enum err check_node(struct checker *c, struct rule_node *n)
{
    uint32_t sides = 2;
    enum err e = ERR_OK;
    n->type = RULE_TYPE_NUMBER;
    switch (n->op) {
    case RULE_OP_INPUT:
    case RULE_OP_NUMBER:
    case RULE_OP_MARK:
        return ERR_OK; /* rule_expr_check() has seen to them */
    case RULE_OP_PLUS:
    case RULE_OP_NEG:
    case RULE_OP_ABS:
        sides = 1;
        e = check_sides(c, n, sides, RULE_TYPE_NUMBER);
        break;
    case RULE_OP_ADD:
    case RULE_OP_SUB:
    case RULE_OP_MUL:
    case RULE_OP_DIV:
    case RULE_OP_MOD:
    case RULE_OP_POW:
    case RULE_OP_MIN:
    case RULE_OP_MAX:
        e = check_sides(c, n, sides, RULE_TYPE_NUMBER);
        break;
    case RULE_OP_EQ:
    case RULE_OP_NE:
    case RULE_OP_LT:
    case RULE_OP_LE:
    case RULE_OP_GT:
    case RULE_OP_GE:
        n->type = RULE_TYPE_CONDITION;
        e = check_compare(c, n);
        break;
    case RULE_OP_AND:
    case RULE_OP_OR:
    case RULE_OP_UNLESS:
        n->type = RULE_TYPE_CONDITION;
        e = check_sides(c, n, sides, RULE_TYPE_CONDITION);
        break;
    }
    c->top -= sides;
    c->types[c->top++] = n->type;
    return e;
}

enum err rule_expr_check(struct rule_expr *x, const struct rule_scope *scope)
{
    struct checker c = {.scope = scope};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        struct rule_node *n = &x->nodes[i];
        enum err e = ERR_OK;
        if (n->op == RULE_OP_MARK) {
            if (c.marked || c.types[c.top - 1] != RULE_TYPE_NUMBER) {
                continue; /* only the first comparison of numbers shows its left side */
            }
            c.marked = true;
        } else if (n->op == RULE_OP_INPUT) {
            e = check_input(&c, n);
        } else if (n->op == RULE_OP_NUMBER) {
            c.types[c.top++] = n->type;
        } else {
            e = check_node(&c, n);
        }
        if (e != ERR_OK) {
            return e;
        }
        if (n->op != RULE_OP_PLUS) {
            x->nodes[kept++] = *n;
        }
    }
    x->count = kept;
    CHECK(c.top == 1); /* the parser emits one value */
    if (c.types[0] != RULE_TYPE_CONDITION) {
        struct rule_node first = {.line = 1, .column = 1};
        return FAIL_NODE(scope, ERR_TYPE, &first,
                         "expected a condition such as x > 80, but this is a number");
    }
    return ERR_OK;
}

static enum err emit_input(const struct rule_node *n, const struct rule_scope *scope,
                           struct intern *metrics, struct rule_inputs *in, uint16_t *ret_index)
{
    enum err e = rule_inputs_add(in, &n->ref, metrics, ret_index);
    if (e == ERR_LIMIT) {
        return FAIL_NODE(scope, e, n, "a rule reads at most %d values", RULE_INPUTS_MAX);
    }
    if (e == ERR_FULL) {
        return FAIL_NODE(scope, ERR_LIMIT, n, "the server knows too many metric names to add one");
    }
    if (e != ERR_OK) {
        return rule_error_plain(scope->error, e, scope->pointer);
    }
    uint32_t ranges = 0;
    for (uint32_t i = 0; i < in->count; i++) {
        ranges += in->items[i].kind == RULE_INPUT_RANGE ? 1 : 0;
    }
    if (ranges > RULE_RANGES_MAX) {
        return FAIL_NODE(scope, ERR_LIMIT, n, "a rule has at most %d range functions",
                         RULE_RANGES_MAX);
    }
    return ERR_OK;
}

enum err rule_expr_emit(const struct rule_expr *x, const struct rule_scope *scope,
                        struct intern *metrics, struct rule_inputs *in,
                        struct rule_program *ret_program)
{
    struct rule_step *steps = calloc(x->count, sizeof(*steps));
    if (steps == NULL) {
        return rule_error_plain(scope->error, ERR_NOMEM, scope->pointer);
    }
    for (uint32_t i = 0; i < x->count; i++) {
        const struct rule_node *n = &x->nodes[i];
        steps[i] = (struct rule_step){.op = n->op, .number = n->number};
        if (n->op == RULE_OP_INPUT) {
            enum err e = emit_input(n, scope, metrics, in, &steps[i].input);
            if (e != ERR_OK) {
                free(steps);
                return e;
            }
        }
    }
    *ret_program = (struct rule_program){.steps = steps, .count = x->count};
    return ERR_OK;
}
