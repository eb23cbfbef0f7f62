/*
 * explain_text: the flat program read back as an expression.
 *
 * Each operation takes the newest nodes from a stack and leaves one: its text, and the part of the
 * program that makes its value. So the value of any part is what the program itself says; nothing
 * is calculated here.
 */
#include "rules/explain_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

enum {
    TEXTS_MAX_BYTES = 4 << 20,
    ORDER_OR = 1,
    ORDER_AND,
    ORDER_COMPARE,
    ORDER_ADD,
    ORDER_MUL,
    ORDER_SIGN,
    ORDER_POW,
    ORDER_ATOM,
};

struct node {
    const char *text;
    uint32_t first, end; /* steps of the program */
    int order;           /* how tight it binds */
};

struct reader {
    const struct rule_program *p;
    const struct rule_inputs *inputs;
    const double *values;
    struct emit_json *j;
    struct arena arena;
    struct node stack[RULE_OPS_MAX];
    uint32_t depth;
};

static double value_of(const struct reader *r, const struct node *n)
{
    const struct rule_program part = {.steps = r->p->steps + n->first, .count = n->end - n->first};
    double mark = 0;
    return rule_program_run(&part, r->values, &mark);
}

__attribute__((format(printf, 2, 3))) static const char *print(struct reader *r, const char *format,
                                                               ...)
{
    va_list args;
    char text[8192];
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *kept = arena_str(&r->arena, view_str(text));
    return kept == NULL ? "" : kept;
}

/* In parentheses when it would be read otherwise beside an operator that binds so tight. */
static const char *part(struct reader *r, const struct node *n, int order)
{
    return n->order < order ? print(r, "(%s)", n->text) : n->text;
}

static void emit_value(struct emit_json *j, const char *key, double v)
{
    emit_json_key(j, key);
    emit_json_real(j, v);
}

static void emit_condition(struct reader *r, const struct node *n, const struct node *left,
                           const struct node *right)
{
    emit_json_open(r->j, '{');
    emit_json_key(r->j, "condition");
    emit_json_str(r->j, n->text);
    emit_json_key(r->j, "holds");
    emit_json_bool(r->j, value_of(r, n) != 0);
    if (left != NULL) {
        emit_value(r->j, "left", value_of(r, left));
        emit_value(r->j, "right", value_of(r, right));
    }
    emit_json_close(r->j, '}');
}

/* A bare input or word is a condition by itself. */
static void emit_bare(struct reader *r, const struct node *n)
{
    if (n->order == ORDER_ATOM) {
        emit_condition(r, n, NULL, NULL);
    }
}

static void push(struct reader *r, struct node n)
{
    if (r->depth < RULE_OPS_MAX) {
        r->stack[r->depth++] = n;
    }
}

static struct node pop(struct reader *r)
{
    return r->depth == 0 ? (struct node){.text = "?", .order = ORDER_ATOM} : r->stack[--r->depth];
}

static void binary(struct reader *r, const char *sign, int order, uint32_t end)
{
    struct node right = pop(r);
    struct node left = pop(r);
    struct node n = {.first = left.first, .end = end, .order = order};
    bool logic = order == ORDER_OR || order == ORDER_AND;
    bool from_right = order == ORDER_POW; /* 2 ^ 3 ^ 4 is 2 ^ (3 ^ 4) */
    n.text = print(r, "%s %s %s", part(r, &left, order + (from_right ? 1 : 0)), sign,
                   part(r, &right, order + (from_right ? 0 : 1)));
    if (logic) {
        emit_bare(r, &left);
        emit_bare(r, &right);
    } else if (order == ORDER_COMPARE) {
        emit_condition(r, &n, &left, &right);
    }
    push(r, n);
}

static void call(struct reader *r, const char *name, uint32_t arity, uint32_t end)
{
    struct node n = {.first = end - 1, .end = end, .order = ORDER_ATOM};
    uint32_t from = r->depth < arity ? 0 : r->depth - arity;
    const char *list = "";
    for (uint32_t i = from; i < r->depth; i++) {
        n.first = i == from ? r->stack[i].first : n.first;
        list = print(r, "%s%s%s", list, i == from ? "" : ", ", r->stack[i].text);
    }
    r->depth = from;
    n.text = print(r, "%s(%s)", name, list);
    push(r, n);
}

static const char *number_text(struct reader *r, double v)
{
    struct buf b;
    buf_init(&b, 64);
    struct emit_json j = emit_json_init(&b);
    emit_json_real(&j, v);
    const char *text = print(r, "%.*s", VIEW_ARG(buf_view(&b)));
    buf_fini(&b);
    return text;
}

static void step(struct reader *r, uint32_t at)
{
    static const struct {
        const char *sign;
        int order;
    } binaries[] = {
        [RULE_OP_ADD] = {"+", ORDER_ADD},         [RULE_OP_SUB] = {"-", ORDER_ADD},
        [RULE_OP_MUL] = {"*", ORDER_MUL},         [RULE_OP_DIV] = {"/", ORDER_MUL},
        [RULE_OP_MOD] = {"%", ORDER_MUL},         [RULE_OP_POW] = {"^", ORDER_POW},
        [RULE_OP_EQ] = {"==", ORDER_COMPARE},     [RULE_OP_NE] = {"!=", ORDER_COMPARE},
        [RULE_OP_LT] = {"<", ORDER_COMPARE},      [RULE_OP_LE] = {"<=", ORDER_COMPARE},
        [RULE_OP_GT] = {">", ORDER_COMPARE},      [RULE_OP_GE] = {">=", ORDER_COMPARE},
        [RULE_OP_AND] = {"and", ORDER_AND},       [RULE_OP_OR] = {"or", ORDER_OR},
        [RULE_OP_UNLESS] = {"unless", ORDER_AND},
    };
    const struct rule_step *s = &r->p->steps[at];
    uint32_t end = at + 1;
    struct node n = {.first = at, .end = end, .order = ORDER_ATOM};
    switch (s->op) {
    case RULE_OP_NUMBER:
        n.text = number_text(r, s->number);
        push(r, n);
        break;
    case RULE_OP_INPUT:
        n.text = r->inputs->items[s->input].label;
        push(r, n);
        break;
    case RULE_OP_MARK:
    case RULE_OP_PLUS:
        n = pop(r);
        n.end = end;
        push(r, n);
        break;
    case RULE_OP_NEG:
        n = pop(r);
        n.text = print(r, "-%s", part(r, &n, ORDER_SIGN));
        n.end = end;
        n.order = ORDER_SIGN;
        push(r, n);
        break;
    case RULE_OP_CALL:
        call(r, rule_scalar_function((enum rule_scalar)s->input)->name, s->arity, end);
        break;
    case RULE_OP_TEXT: /* these two are never emitted */
    case RULE_OP_MEMORY:
        break;
    case RULE_OP_ADD:
    case RULE_OP_SUB:
    case RULE_OP_MUL:
    case RULE_OP_DIV:
    case RULE_OP_MOD:
    case RULE_OP_POW:
    case RULE_OP_EQ:
    case RULE_OP_NE:
    case RULE_OP_LT:
    case RULE_OP_LE:
    case RULE_OP_GT:
    case RULE_OP_GE:
    case RULE_OP_AND:
    case RULE_OP_OR:
    case RULE_OP_UNLESS:
        binary(r, binaries[s->op].sign, binaries[s->op].order, end);
        break;
    }
}

void rule_explain_program(struct emit_json *j, const struct rule_program *p,
                          const struct rule_inputs *inputs, const double *values)
{
    struct reader *r = p->count == 0 ? NULL : calloc(1, sizeof(*r));
    if (r == NULL) {
        emit_json_null(j);
        return;
    }
    r->p = p;
    r->inputs = inputs;
    r->values = values;
    r->j = j;
    arena_init(&r->arena, TEXTS_MAX_BYTES);
    emit_json_open(j, '{');
    emit_json_key(j, "conditions");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < p->count; i++) {
        step(r, i);
    }
    struct node whole = pop(r);
    emit_bare(r, &whole);
    emit_json_close(j, ']');
    emit_json_key(j, "text");
    emit_json_str(j, whole.text);
    emit_json_key(j, "holds");
    emit_json_bool(j, value_of(r, &whole) != 0);
    emit_json_close(j, '}');
    arena_fini(&r->arena);
    free(r);
}
