/*
 * check: types, names and units of a parsed expression.
 *
 * One walk over the postfix nodes with a stack of what they leave. Numbers and conditions never
 * mix: a metric is a number (a boolean reading counts as 0 or 1), a comparison is a condition. A
 * text stands only beside == and !=; there the pair of it and its metric becomes one input.
 *
 * Units are texts of the device type. Two that are known and differ are not added or compared; what
 * is not known, as a number or an attribute, goes with any.
 */
#include "base/check.h"

#include "rules/expr.h"

/* What a part of the expression leaves. */
struct value {
    enum rule_type type;
    const char *unit; /* NULL: not known, or none */
    bool literal;     /* a number as written: keeps the unit of what it multiplies */
    uint32_t from;    /* its first node among those kept */
};

struct checker {
    const struct rule_scope *scope;
    struct rule_node *nodes; /* those kept, */
    uint32_t kept;           /* so many */
    struct value values[RULE_OPS_MAX];
    uint32_t top;
    bool marked;
    uint32_t mark; /* the node that shows the alert's value */
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

static void push(struct checker *c, struct value v)
{
    CHECK(c->top < RULE_OPS_MAX);
    c->values[c->top++] = v;
}

static struct value *operand(struct checker *c, uint32_t sides, uint32_t i)
{
    return &c->values[c->top - sides + i];
}

/* The unit that the type declares for the input's metric, if the value has it. */
static const char *input_unit(const struct rule_scope *scope, const struct rule_ref *ref)
{
    bool other =
        ref->kind == RULE_INPUT_RANGE && rule_range_function(ref->fn)->unit != RULE_UNIT_SAME;
    if (scope->type == NULL || other || ref->kind == RULE_INPUT_TIMESTAMP) {
        return NULL;
    }
    const struct metric_spec *spec = find_metric(scope->type, ref->name);
    return spec != NULL && spec->unit != NULL && spec->unit[0] != '\0' ? spec->unit : NULL;
}

static enum err check_input(struct checker *c, struct rule_node *n)
{
    bool fence = n->ref.kind == RULE_INPUT_INSIDE || n->ref.kind == RULE_INPUT_DISTANCE;
    bool condition = n->ref.kind == RULE_INPUT_INSIDE ||
                     (n->ref.kind == RULE_INPUT_RANGE &&
                      (n->ref.fn == RULE_RANGE_PRESENT || n->ref.fn == RULE_RANGE_ABSENT));
    struct value v = {.type = condition ? RULE_TYPE_CONDITION : RULE_TYPE_NUMBER, .from = c->kept};
    n->type = v.type;
    if (n->ref.kind == RULE_INPUT_ATTR || n->ref.kind == RULE_INPUT_CLOCK) {
        push(c, v);
        return ERR_OK;
    }
    struct rule_place at = {.pointer = c->scope->pointer, .line = n->line, .column = n->column};
    if (fence) {
        v.unit = condition ? NULL : "m";
        push(c, v);
        enum err position = rule_scope_metric(c->scope, at, VIEW(RULE_LATITUDE));
        return position == ERR_OK ? rule_scope_metric(c->scope, at, VIEW(RULE_LONGITUDE))
                                  : position;
    }
    v.unit = input_unit(c->scope, &n->ref);
    push(c, v);
    enum err e = rule_scope_metric(c->scope, at, n->ref.name);
    if (e == ERR_OK && n->ref.kind == RULE_INPUT_BASELINE) {
        e = check_baseline(c->scope, n);
    }
    return e;
}

/* All values of an operation must be of type `want`. */
static enum err check_sides(struct checker *c, const struct rule_node *n, uint32_t sides,
                            enum rule_type want)
{
    static const char *const places[] = {"first", "second", "third"};
    static const char *const words[] = {[RULE_TYPE_NUMBER] = "a number",
                                        [RULE_TYPE_CONDITION] = "a condition",
                                        [RULE_TYPE_TEXT] = "a text"};
    for (uint32_t i = 0; i < sides; i++) {
        enum rule_type is = operand(c, sides, i)->type;
        if (is == want) {
            continue;
        }
        bool call = n->op == RULE_OP_CALL || n->op == RULE_OP_MEMORY;
        const char *side = sides == 1 ? "inner" : call ? places[i] : i == 0 ? "left" : "right";
        return FAIL_NODE(c->scope, ERR_TYPE, n, "%s takes %ss, but its %s %s is %s%s", n->words,
                         want == RULE_TYPE_NUMBER ? "number" : "condition", side,
                         call && sides > 1 ? "value" : "side", words[is],
                         want == RULE_TYPE_CONDITION && is == RULE_TYPE_NUMBER
                             ? "; compare it, as in x > 0"
                             : "");
    }
    return ERR_OK;
}

/* The one unit of all sides, or NULL. */
static enum err common_unit(struct checker *c, const struct rule_node *n, uint32_t sides,
                            const char **ret_unit)
{
    const char *unit = NULL;
    for (uint32_t i = 0; i < sides; i++) {
        const char *is = operand(c, sides, i)->unit;
        if (unit != NULL && is != NULL && strcmp(unit, is) != 0) {
            return FAIL_NODE(c->scope, ERR_TYPE, n,
                             "%s has \"%.40s\" on one side and \"%.40s\" "
                             "on the other; bring them to one unit",
                             n->words, unit, is);
        }
        unit = is != NULL ? is : unit;
    }
    *ret_unit = unit;
    return ERR_OK;
}

/* Only a number as written leaves the unit of what it multiplies or divides. */
static const char *product_unit(struct checker *c, enum rule_op op)
{
    const struct value *left = operand(c, 2, 0);
    const struct value *right = operand(c, 2, 1);
    if (right->literal) {
        return left->unit;
    }
    return left->literal && op == RULE_OP_MUL ? right->unit : NULL;
}

/* The node no longer shows the alert's value. */
static void unmark(struct checker *c)
{
    struct rule_node *n = &c->nodes[c->mark];
    if (n->op == RULE_OP_MARK) {
        n->op = RULE_OP_PLUS; /* nothing to do */
    }
    n->shown = false;
    c->marked = false;
}

/* state == "open": the metric's or attribute's input asks for the text, and is compared with 1. */
static enum err check_text(struct checker *c, const struct rule_node *n)
{
    struct value *left = operand(c, 2, 0);
    struct value *right = operand(c, 2, 1);
    uint32_t text = left->type == RULE_TYPE_TEXT ? left->from : right->from;
    uint32_t named = left->type == RULE_TYPE_TEXT ? right->from : left->from;
    struct rule_node *input = &c->nodes[named];
    bool equality = n->op == RULE_OP_EQ || n->op == RULE_OP_NE;
    bool alone = named > text ? c->kept - named == 1
                              : text - named == 1 ||
                                    (text - named == 2 && c->nodes[named + 1].op == RULE_OP_MARK);
    enum rule_type other = left->type == RULE_TYPE_TEXT ? right->type : left->type;
    bool plain = alone && other == RULE_TYPE_NUMBER && input->op == RULE_OP_INPUT &&
                 (input->ref.kind == RULE_INPUT_METRIC || input->ref.kind == RULE_INPUT_ATTR);
    if (!equality || !plain) {
        return FAIL_NODE(c->scope, ERR_TYPE, n,
                         "a text is compared by == or != with a metric or attr(\"…\"), as in "
                         "state == \"open\"");
    }
    if (c->marked && c->mark > named && c->mark < text) {
        unmark(c);
    }
    input->ref.kind = input->ref.kind == RULE_INPUT_METRIC ? RULE_INPUT_TEXT : RULE_INPUT_ATTR_TEXT;
    input->ref.param = 0;
    input->ref.text = c->nodes[text].ref.text;
    c->nodes[text].op = RULE_OP_NUMBER;
    c->nodes[text].number = 1;
    return ERR_OK;
}

/* == and != also compare two conditions; no comparison takes one of each. */
static enum err check_compare(struct checker *c, const struct rule_node *n)
{
    enum rule_type left = operand(c, 2, 0)->type;
    enum rule_type right = operand(c, 2, 1)->type;
    bool equality = n->op == RULE_OP_EQ || n->op == RULE_OP_NE;
    if (left == RULE_TYPE_TEXT || right == RULE_TYPE_TEXT) {
        return check_text(c, n);
    }
    if (left == right && (left == RULE_TYPE_NUMBER || equality)) {
        const char *unit = NULL;
        return common_unit(c, n, 2, &unit);
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

/* Its conditions become small programs, which show nothing; the total shows its seconds. */
static enum err check_memory(struct checker *c, struct rule_node *n)
{
    enum err e = check_sides(c, n, n->arity, RULE_TYPE_CONDITION);
    if (e != ERR_OK) {
        return e;
    }
    if (c->marked && c->mark >= operand(c, n->arity, 0)->from) {
        unmark(c);
    }
    n->shown = !c->marked && n->ref.memory == RULE_MEMORY_TOTAL;
    if (n->shown) {
        c->marked = true;
        c->mark = c->kept;
    }
    return ERR_OK;
}

static enum err check_call(struct checker *c, const struct rule_node *n, const char **ret_unit)
{
    enum err e = check_sides(c, n, n->arity, RULE_TYPE_NUMBER);
    if (e == ERR_OK && rule_scalar_function((enum rule_scalar)n->scalar)->unit == RULE_UNIT_SAME) {
        e = common_unit(c, n, n->arity, ret_unit);
    }
    return e;
}

static uint32_t sides_of(const struct rule_node *n)
{
    if (n->op == RULE_OP_CALL || n->op == RULE_OP_MEMORY) {
        return n->arity;
    }
    return n->op == RULE_OP_PLUS || n->op == RULE_OP_NEG ? 1 : 2;
}

static enum err check_node(struct checker *c, struct rule_node *n)
{
    uint32_t sides = sides_of(n);
    struct value v = {.type = RULE_TYPE_NUMBER, .from = operand(c, sides, 0)->from};
    enum err e = ERR_OK;
    switch (n->op) {
    case RULE_OP_INPUT:
    case RULE_OP_NUMBER:
    case RULE_OP_TEXT:
    case RULE_OP_MARK:
        return ERR_OK; /* rule_expr_check() has seen to them */
    case RULE_OP_PLUS:
    case RULE_OP_NEG:
        e = check_sides(c, n, sides, RULE_TYPE_NUMBER);
        v.unit = operand(c, sides, 0)->unit;
        v.literal = operand(c, sides, 0)->literal;
        break;
    case RULE_OP_ADD:
    case RULE_OP_SUB:
        e = check_sides(c, n, sides, RULE_TYPE_NUMBER);
        e = e != ERR_OK ? e : common_unit(c, n, sides, &v.unit);
        break;
    case RULE_OP_MUL:
    case RULE_OP_DIV:
        e = check_sides(c, n, sides, RULE_TYPE_NUMBER);
        v.unit = product_unit(c, n->op);
        v.literal = operand(c, sides, 0)->literal && operand(c, sides, 1)->literal;
        break;
    case RULE_OP_MOD:
    case RULE_OP_POW:
        e = check_sides(c, n, sides, RULE_TYPE_NUMBER);
        break;
    case RULE_OP_CALL:
        e = check_call(c, n, &v.unit);
        break;
    case RULE_OP_EQ:
    case RULE_OP_NE:
    case RULE_OP_LT:
    case RULE_OP_LE:
    case RULE_OP_GT:
    case RULE_OP_GE:
        v.type = RULE_TYPE_CONDITION;
        e = check_compare(c, n);
        break;
    case RULE_OP_AND:
    case RULE_OP_OR:
    case RULE_OP_UNLESS:
        v.type = RULE_TYPE_CONDITION;
        e = check_sides(c, n, sides, RULE_TYPE_CONDITION);
        break;
    case RULE_OP_MEMORY:
        v.type = RULE_TYPE_CONDITION;
        e = check_memory(c, n);
        break;
    }
    n->type = v.type;
    c->top -= sides;
    push(c, v);
    return e;
}

enum err rule_expr_check(struct rule_expr *x, const struct rule_scope *scope)
{
    struct checker c = {.scope = scope, .nodes = x->nodes};
    for (uint32_t i = 0; i < x->count; i++) {
        struct rule_node n = x->nodes[i];
        enum err e = ERR_OK;
        if (n.op == RULE_OP_MARK) {
            if (c.marked || c.values[c.top - 1].type != RULE_TYPE_NUMBER) {
                continue; /* only the first comparison of numbers shows its left side */
            }
            c.marked = true;
            c.mark = c.kept;
        } else if (n.op == RULE_OP_INPUT) {
            e = check_input(&c, &n);
        } else if (n.op == RULE_OP_NUMBER || n.op == RULE_OP_TEXT) {
            push(&c, (struct value){.type = n.type, .literal = true, .from = c.kept});
        } else {
            e = check_node(&c, &n);
        }
        if (e != ERR_OK) {
            return e;
        }
        if (n.op != RULE_OP_PLUS) {
            x->nodes[c.kept++] = n;
        }
    }
    x->count = c.kept;
    CHECK(c.top == 1); /* the parser emits one value */
    if (c.values[0].type != RULE_TYPE_CONDITION) {
        struct rule_node first = {.line = 1, .column = 1};
        return FAIL_NODE(scope, ERR_TYPE, &first,
                         "expected a condition such as x > 80, but this is a %s",
                         c.values[0].type == RULE_TYPE_TEXT ? "text" : "number");
    }
    return ERR_OK;
}
